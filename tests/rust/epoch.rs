//! Epochs, with threads.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;

use lockfree::engine::memory::epoch::domain::Domain;
#[cfg(all(unix, not(miri)))]
use lockfree::engine::memory::epoch::forked;
use lockfree::engine::memory::epoch::{
    Alone, Block, Crossbeam, Epochs, Header, Reclaim, barrier, waiting,
};

/// A block whose word behind the header is a number.
fn block(number: u64) -> Block {
    let size = size_of::<Header>() + size_of::<u64>();
    let block = Block::new(Layout::from_size_align(size, 8).unwrap()).unwrap();
    // SAFETY: there is room for it.
    let place = unsafe { block.0.add(1) }.cast::<u64>();
    // SAFETY: as above.
    unsafe { place.write(number) };
    block
}

fn number(block: *mut Header) -> u64 {
    // SAFETY: `block` made it, and nobody has freed it, says the guard.
    let place = unsafe { block.add(1) }.cast::<u64>();
    // SAFETY: as above.
    unsafe { place.read() }
}

#[test]
fn what_was_retired_waits_for_those_inside_and_for_nobody_else() {
    if !barrier::exists() {
        return;
    }
    let domain = Domain::<2>::new();
    let (a, b) = (domain.note(0), domain.note(1));
    domain.enter(a);
    // SAFETY: nobody has linked it.
    unsafe { domain.retire(block(1)) };
    domain.collect();
    assert_ne!(domain.bytes(), 0);
    // Who comes later does not keep it.
    domain.enter(b);
    domain.leave(a);
    domain.collect();
    assert_eq!(domain.bytes(), 0);
    domain.leave(b);
}

#[test]
fn a_reader_without_a_note_keeps_all() {
    if !barrier::exists() {
        return;
    }
    let domain = Domain::<1>::new();
    domain.enter_uncounted();
    // SAFETY: nobody has linked it.
    unsafe { domain.retire(block(1)) };
    domain.collect();
    assert_ne!(domain.bytes(), 0);
    domain.leave_uncounted();
    domain.collect();
    assert_eq!(domain.bytes(), 0);
}

#[test]
fn in_a_forked_child_nobody_is_inside() {
    if !barrier::exists() {
        return;
    }
    let domain = Domain::<2>::new();
    domain.enter(domain.note(1));
    domain.enter_uncounted();
    // SAFETY: nobody has linked it.
    unsafe { domain.retire(block(1)) };
    domain.forked();
    domain.collect();
    assert_eq!(domain.bytes(), 0);
}

#[test]
fn large_blocks_are_zeroed_and_freed() {
    for size in [1 << 12, 1 << 16, 1 << 20] {
        let layout = Layout::from_size_align(size, 64).unwrap();
        let block = Block::new(layout).unwrap();
        assert_eq!(block.0.addr().get() % 64, 0);
        let start = size_of::<Header>();
        // SAFETY: so many bytes are behind the header.
        let first = unsafe { block.0.as_ptr().cast::<u8>().add(start) };
        // SAFETY: as above.
        let rest = unsafe { std::slice::from_raw_parts(first, size - start) };
        assert!(rest.iter().all(|byte| *byte == 0));
        // SAFETY: nobody else has it.
        unsafe { Alone::retire(block) };
    }
}

/// Readers look at what a writer replaces all the time. (The address sanitizer says whether
/// it is still there.)
fn readers_find_what_is_there<R: Reclaim>() {
    const ROUNDS: u64 = if cfg!(miri) { 100 } else { 20_000 };
    let current = AtomicPtr::new(block(0).0.as_ptr());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !is_over.load(SeqCst) {
                    let guard = R::enter();
                    let now = number(current.load(SeqCst));
                    drop(guard);
                    assert!(now >= last, "{now} after {last}");
                    last = now;
                }
            });
        }
        for round in 1..=ROUNDS {
            let old = current.swap(block(round).0.as_ptr(), SeqCst);
            // SAFETY: just now it was unlinked.
            unsafe { R::retire(Block(NonNull::new(old).unwrap())) };
            R::tidy();
        }
        is_over.store(true, SeqCst);
    });
    // SAFETY: nobody is left.
    unsafe { Block(NonNull::new(current.into_inner()).unwrap()).free() };
}

#[test]
fn readers_of_epochs_find_what_is_there() {
    readers_find_what_is_there::<Epochs>();
}

#[test]
fn readers_of_crossbeam_find_what_is_there() {
    readers_find_what_is_there::<Crossbeam>();
}

/// Whoever retires collects: with nobody inside little waits.
#[test]
fn what_waits_is_bounded() {
    let layout = Layout::from_size_align(1 << 18, 8).unwrap();
    for _ in 0..256 {
        // SAFETY: nobody has linked it.
        unsafe { Epochs::retire(Block::new(layout).unwrap()) };
        Epochs::tidy();
    }
    let waits = || waiting() > 4 << 20;
    for _ in 0..1000 {
        if !waits() {
            break;
        }
        thread::sleep(std::time::Duration::from_millis(2));
        Epochs::tidy();
    }
    assert!(!waits(), "{} bytes wait", waiting());
}

/// The readers that a forked child has inherited are not there, and keep nothing.
#[cfg(all(unix, not(miri)))]
#[test]
fn a_forked_child_frees_what_it_retires() {
    let (entered, is_inside) = channel();
    let (go_on, may_leave) = channel::<()>();
    let reader = thread::spawn(move || {
        let _guard = Epochs::enter();
        entered.send(()).unwrap();
        may_leave.recv().unwrap();
    });
    is_inside.recv().unwrap();
    // What the child needs is there before: another test's thread may be making it.
    Epochs::tidy();
    drop(Epochs::enter());
    // SAFETY: the child goes on with this thread alone, and ends below.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: it ends the process.
        unsafe { libc::_exit(i32::from(!frees_what_it_retires())) };
    }
    let mut status = 0;
    // SAFETY: the place is there.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "memory waits for a reader who is not there");
    go_on.send(()).unwrap();
    reader.join().unwrap();
}

/// In a forked child.
#[cfg(all(unix, not(miri)))]
fn frees_what_it_retires() -> bool {
    const SIZE: usize = 1 << 18;
    const COUNT: usize = 64;
    forked();
    let before = waiting();
    // One who retires, and one who has just come.
    let work = || {
        for _ in 0..COUNT / 2 {
            drop(Epochs::enter());
            let block = Block::new(Layout::from_size_align(SIZE, 8).unwrap()).unwrap();
            // SAFETY: nobody has linked it.
            unsafe { Epochs::retire(block) };
            // As often as it takes: not each time is it tried.
            thread::sleep(std::time::Duration::from_millis(2));
            Epochs::tidy();
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    waiting() < before + COUNT / 2 * SIZE
}

/// A thread that ends, and its destructors, which enter after it has given its note
/// back.
#[test]
fn threads_end() {
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            drop(Epochs::enter());
        }
    }
    thread_local!(static LATE: Late = const { Late });
    for _ in 0..5000 / if cfg!(miri) { 500 } else { 1 } {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            LATE.with(|_| ());
            drop(Epochs::enter());
            sender.send(()).unwrap();
        })
        .join()
        .unwrap();
        receiver.recv().unwrap();
    }
}
