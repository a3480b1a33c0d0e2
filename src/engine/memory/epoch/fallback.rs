//! The same by `crossbeam-epoch`, whose readers execute a fence of their own: where the
//! system fences nobody, and to compare with.

use std::cell::RefCell;
use std::ptr::NonNull;

use crossbeam_epoch::{Collector, Guard, LocalHandle};

use super::super::super::shim::{
    AtomicPtr, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use super::{Block, Reclaim};

/// What [`super::Epochs`] falls back on.
#[derive(Debug)]
pub struct Crossbeam;

/// Null before the first use, and in a forked child: there the other threads, who may
/// have been inside, are gone, and their collector is left alone.
static COLLECTOR: AtomicPtr<Collector> = AtomicPtr::new(std::ptr::null_mut());

/// The bytes that wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The thread's handle, and of which collector it is.
    static HANDLE: RefCell<Option<(usize, LocalHandle)>> = const { RefCell::new(None) };
}

fn collector() -> &'static Collector {
    let mut found = COLLECTOR.load(Acquire);
    if found.is_null() {
        // Once in a process. What `crossbeam-epoch` allocates itself aborts as well where there
        // is no memory: it is only used where the system fences nobody.
        #[allow(clippy::disallowed_methods)]
        let made = Box::into_raw(Box::new(Collector::new()));
        found = match COLLECTOR.compare_exchange(std::ptr::null_mut(), made, AcqRel, Acquire) {
            Ok(_) => made,
            Err(others) => {
                // SAFETY: made above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                others
            }
        };
    }
    // SAFETY: it is never freed.
    unsafe { &*found }
}

/// Enters.
pub(super) fn pin() -> Guard {
    let collector = collector();
    let address = std::ptr::from_ref(collector).addr();
    let pinned = HANDLE.try_with(|handle| {
        let mut handle = handle.borrow_mut();
        match &*handle {
            Some((known, handle)) if *known == address => handle.pin(),
            _ => {
                let (_, new) = handle.insert((address, collector.register()));
                new.pin()
            }
        }
    });
    // An error: the thread is about to end.
    pinned.unwrap_or_else(|_| collector.register().pin())
}

/// The bytes that wait.
#[inline(always)]
pub(super) fn waiting() -> usize {
    WAITING.load(Relaxed)
}

/// Frees whatever can be freed: two epochs have to end, which takes one call each.
pub(super) fn collect() {
    for _ in 0..3 {
        if waiting() > 0 {
            pin().flush();
        }
    }
}

/// In a forked child.
pub(super) fn forked() {
    COLLECTOR.store(std::ptr::null_mut(), Relaxed);
    WAITING.store(0, Relaxed);
}

impl Reclaim for Crossbeam {
    type Guard = Guard;
    type Again = Guard;

    fn enter() -> Guard {
        pin()
    }

    fn enter_again() -> Option<Guard> {
        Some(pin())
    }

    unsafe fn retire(block: Block) {
        // SAFETY: nobody has freed it.
        let size = unsafe { block.header() }.size();
        WAITING.fetch_add(size, Relaxed);
        let address = block.0.as_ptr().expose_provenance();
        let free = move || {
            let header = std::ptr::with_exposed_provenance_mut(address);
            let block = NonNull::new(header).map(Block);
            // SAFETY: nobody is inside who could reach it.
            block.into_iter().for_each(|block| unsafe { block.free() });
            // One that was retired before a fork is not counted in the child.
            let _ = WAITING.fetch_update(Relaxed, Relaxed, |all| Some(all.saturating_sub(size)));
        };
        // SAFETY: the caller's promise; what is deferred borrows nothing.
        unsafe { pin().defer_unchecked(free) };
    }

    fn tidy() {
        super::Epochs::tidy();
    }
}
