//! Readers, epochs, and what waits for them.
//!
//! # Invariants
//! - **P1** A reader's word is 0, or the epoch of some moment before its first look;
//!   the reader alone writes to it.
//! - **P2** A block is added to those that wait after it was unlinked.
//! - **P3** A block is stamped with the epoch that ended after it was added. Who notes
//!   a later one has seen it end, and so does not reach the block.
//! - **P4** A block is freed after everybody's fence that came after its stamp, when no
//!   reader's word is 0 < word <= stamp. A word that is 0 then is of a reader who has
//!   left, or whose first look comes after that fence, and so after the unlink.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Release` | the epoch's end | `Acquire` of the epoch by a reader | P3: the unlink |
//! | [light](super::barrier) | between a reader's note and its first look | [heavy](super::barrier) | P4 |
//! | `Release` | a reader's leaving, and its entering again | `Acquire` in the collector | its reads, before the memory is freed |
//! | `Release` | a block, added | `Acquire` in taking all of them | P2; and so P3, for a block that another thread has added |
//!
//! # Progress
//! Entering and leaving are wait-free, retiring is lock-free. Collecting is wait-free
//! as far as the system's fence is; it waits for no reader, but leaves what it cannot
//! free.

use std::ptr::NonNull;

use crossbeam_utils::CachePadded;

use super::super::super::shim::{
    AtomicBool, AtomicPtr, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, SeqCst},
    full_fence, mutant, ordering,
};
use super::barrier;
use super::block::{Block, Header};

/// The note of a reader (P1).
#[derive(Debug)]
pub struct Note(AtomicU64);

const OUTSIDE: u64 = 0;

/// What readers read, and hardly anybody writes.
#[derive(Debug)]
struct Seldom {
    epoch: AtomicU64,
    /// So many notes were ever used.
    used: AtomicUsize,
}

/// So many readers at a time can have a note of their own.
#[derive(Debug)]
pub struct Domain<const NOTES: usize> {
    seldom: CachePadded<Seldom>,
    notes: [CachePadded<Note>; NOTES],
    /// How many readers are inside who have no note.
    uncounted: CachePadded<AtomicU64>,
    /// The first of the blocks that wait.
    waiting: CachePadded<AtomicPtr<Header>>,
    /// The bytes of all that wait.
    bytes: AtomicUsize,
    /// Whether somebody is collecting: two would do the same. It protects nothing.
    is_collecting: AtomicBool,
}

// SAFETY: the blocks that it points to are its own; all else is atomic.
unsafe impl<const NOTES: usize> Send for Domain<NOTES> {}
// SAFETY: as above.
unsafe impl<const NOTES: usize> Sync for Domain<NOTES> {}

macro_rules! new_domain {
    ($($const:ident)?) => {
        /// Nobody is inside, and nothing waits.
        pub $($const)? fn new() -> Self {
            Self {
                seldom: CachePadded::new(Seldom {
                    epoch: AtomicU64::new(OUTSIDE + 1),
                    used: AtomicUsize::new(0),
                }),
                notes: new_domain!(@notes $($const)?),
                uncounted: CachePadded::new(AtomicU64::new(0)),
                waiting: CachePadded::new(AtomicPtr::new(std::ptr::null_mut())),
                bytes: AtomicUsize::new(0),
                is_collecting: AtomicBool::new(false),
            }
        }
    };
    (@notes const) => { [const { CachePadded::new(Note(AtomicU64::new(OUTSIDE))) }; NOTES] };
    (@notes) => { std::array::from_fn(|_| CachePadded::new(Note(AtomicU64::new(OUTSIDE)))) };
}

impl<const NOTES: usize> Domain<NOTES> {
    #[cfg(not(loom))]
    new_domain!(const);
    #[cfg(loom)]
    new_domain!();

    /// A note, which is the caller's own as long as it says.
    pub fn note(&self, number: usize) -> &Note {
        // Relaxed: whoever looks at it does so after everybody's fence.
        self.seldom.used.fetch_max(number + 1, Relaxed);
        &self.notes[number]
    }

    /// The same, if so many notes are known to be used; the caller enters by it, if at all.
    #[cfg(not(loom))]
    #[inline(always)]
    pub fn used_note(&self, number: usize) -> Option<&Note> {
        // Relaxed: it only grows. Who has seen this value, and is then fenced by everybody's
        // fence, keeps who looks behind that fence from seeing an older one.
        if number < self.seldom.used.load(Relaxed) {
            self.notes.get(number).map(|note| &**note)
        } else {
            None
        }
    }

    /// Enters, by this note.
    #[inline(always)]
    pub fn enter(&self, note: &Note) {
        debug_assert!(note.0.load(Relaxed) == OUTSIDE, "nobody enters twice");
        // Acquire: what was unlinked before that epoch began. (No model can miss it: the light
        // barrier is a fence there.)
        let now = self.seldom.epoch.load(Acquire);
        if mutant!("epoch.enter.late") {
            return barrier::light();
        }
        // Release: what it read when it was inside before.
        note.0.store(now, ordering!(Release, "epoch.enter.again"));
        if !mutant!("epoch.enter.barrier") {
            barrier::light();
        }
    }

    /// Leaves.
    #[inline(always)]
    #[allow(clippy::unused_self)] // whose note it is
    pub fn leave(&self, note: &Note) {
        // Release: what it read is read.
        note.0.store(OUTSIDE, ordering!(Release, "epoch.leave"));
    }

    /// Enters without a note: nothing is freed meanwhile.
    pub fn enter_uncounted(&self) {
        self.uncounted.fetch_add(1, SeqCst);
        full_fence();
    }

    /// Leaves what was entered so.
    pub fn leave_uncounted(&self) {
        // Release: what it read is read.
        self.uncounted.fetch_sub(1, ordering!(Release, "epoch.leave.uncounted"));
    }

    /// Adds a block to those that wait.
    ///
    /// # Safety
    /// It is unlinked (P2), and was not retired before.
    pub unsafe fn retire(&self, block: Block) {
        // SAFETY: nobody has freed it.
        let header = unsafe { block.header() };
        header.check();
        self.bytes.fetch_add(header.size(), Relaxed);
        // SAFETY: a chain of one, which is the caller's.
        unsafe { self.add(block.0, block.0) };
    }

    /// # Safety
    /// A chain of blocks that wait, and are the caller's.
    unsafe fn add(&self, first: NonNull<Header>, last: NonNull<Header>) {
        let mut next = self.waiting.load(Relaxed);
        loop {
            // SAFETY: the chain is the caller's.
            unsafe { (*last.as_ptr()).next = next };
            // Release: P2, and the header.
            let order = ordering!(Release, "epoch.retire");
            match self.waiting.compare_exchange_weak(next, first.as_ptr(), order, Relaxed) {
                Ok(_) => return,
                Err(found) => next = found,
            }
        }
    }

    /// The bytes that wait.
    #[inline(always)]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Frees whatever can be freed.
    pub fn collect(&self) {
        if self.is_collecting.compare_exchange(false, true, Relaxed, Relaxed).is_err() {
            return;
        }
        // Acquire: the unlinks of those who retired (P2); who notes the next epoch must see them (P3),
        // and that begins before everybody's fence. (Argued, not shown: our models do not fail without it.)
        let mut next = self.waiting.swap(std::ptr::null_mut(), Acquire);
        // Release: P3; what was unlinked is seen by whoever notes the next epoch.
        let stamp = self.seldom.epoch.fetch_add(1, ordering!(Release, "epoch.collect.end"));
        // Loom does not count a fence for a step. So that it tries what may come in between,
        // there is one that depends on the readers.
        #[cfg(loom)]
        self.oldest();
        let oldest = if barrier::heavy() { self.oldest() } else { OUTSIDE };
        let mut kept: Option<(NonNull<Header>, NonNull<Header>)> = None;
        while let Some(block) = NonNull::new(next) {
            let header = block.as_ptr();
            // SAFETY: taken out of the list, and so our own.
            next = unsafe { (*header).next };
            // SAFETY: as above.
            let begun = unsafe { &mut (*header).epoch };
            if *begun == 0 {
                *begun = stamp;
            }
            if *begun < oldest || mutant!("epoch.collect.early") && *begun == oldest {
                // SAFETY: as above.
                self.bytes.fetch_sub(unsafe { (*header).size() }, Relaxed);
                // SAFETY: P4.
                unsafe { Block(block).free() };
            } else {
                let (first, last) = kept.unwrap_or((block, block));
                // SAFETY: as above.
                unsafe { (*header).next = first.as_ptr() };
                kept = Some((block, last));
            }
        }
        if let Some((first, last)) = kept {
            // SAFETY: linked just now.
            unsafe { self.add(first, last) };
        }
        self.is_collecting.store(false, Relaxed);
    }

    /// The earliest epoch that a reader may have noted who is inside: what was stamped
    /// before is nobody's any more.
    fn oldest(&self) -> u64 {
        // Acquire: who left has finished reading.
        if self.uncounted.load(ordering!(Acquire, "epoch.collect.uncounted")) != 0 {
            return OUTSIDE;
        }
        let notes = &self.notes[..self.seldom.used.load(Relaxed)];
        let inside = notes.iter().filter_map(|note| {
            // Acquire: as above.
            let since = note.0.load(ordering!(Acquire, "epoch.collect.notes"));
            (since != OUTSIDE).then_some(since)
        });
        inside.min().unwrap_or(u64::MAX)
    }

    /// To be called in a forked child, which has one thread, and by that thread: the
    /// others have left, and it is not inside itself.
    pub fn forked(&self) {
        for note in &self.notes[..self.seldom.used.load(Relaxed)] {
            note.0.store(OUTSIDE, Relaxed);
        }
        self.uncounted.store(0, Relaxed);
        self.is_collecting.store(false, Relaxed);
    }
}

impl<const NOTES: usize> Default for Domain<NOTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const NOTES: usize> Drop for Domain<NOTES> {
    fn drop(&mut self) {
        self.collect();
    }
}
