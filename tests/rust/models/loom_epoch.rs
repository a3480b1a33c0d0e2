//! Epochs under loom; `loom_int.rs` says what that is.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_epoch
//! ```
//!
//! Loom knows no system that fences other threads: the reader's half of the barrier is a
//! fence here. A block that is freed stays, and says so to whoever looks.
#![cfg(loom)]

#[allow(dead_code)] // other tests use the rest
#[path = "../common/outcomes.rs"]
mod outcomes;

use lockfree::engine::memory::epoch::domain::Domain;
use lockfree::engine::memory::epoch::{Block, Header};
use lockfree::shim::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};
use outcomes::{PREEMPTIONS, outcomes_of};
use std::alloc::Layout;
use std::ptr::NonNull;

/// What readers read: where a block is.
struct Place {
    domain: Domain<2>,
    current: AtomicPtr<Header>,
}

// SAFETY: the blocks that it points to are its own; all else is atomic.
unsafe impl Sync for Place {}
// SAFETY: as above.
unsafe impl Send for Place {}

fn block() -> Block {
    Block::new(Layout::new::<Header>()).unwrap()
}

impl Place {
    fn new() -> Self {
        Self { domain: Domain::new(), current: AtomicPtr::new(block().0.as_ptr()) }
    }

    /// As a reader, looks at what is there, twice.
    fn look(&self) {
        let current = self.current.load(Acquire);
        // SAFETY: that is the question; a freed one says so.
        let header = unsafe { &*current };
        header.check();
        self.current.load(Relaxed);
        header.check();
    }

    /// Unlinks what is there, and retires it.
    fn replace(&self) {
        let new = block().0.as_ptr();
        let old = NonNull::new(self.current.load(Relaxed)).unwrap();
        self.current.store(new, Release);
        // SAFETY: unlinked just now, by the only one who does.
        unsafe { self.domain.retire(Block(old)) };
    }
}

type Thread = fn(&Place);

/// Runs the threads in every order; what they do checks itself.
fn check<const THREADS: usize>(threads: [Thread; THREADS], end: fn(&Place)) {
    let runs = threads.map(|thread| move |place: &Place| thread(place));
    // Of three threads there are too many.
    let preemptions = if THREADS > 2 { PREEMPTIONS } else { PREEMPTIONS + 1 };
    outcomes_of(Some(preemptions), Place::new, runs, end);
}

fn read(place: &Place) {
    let note = place.domain.note(0);
    place.domain.enter(note);
    place.look();
    place.domain.leave(note);
}

fn read_twice(place: &Place) {
    read(place);
    read(place);
}

fn read_uncounted(place: &Place) {
    place.domain.enter_uncounted();
    place.look();
    place.domain.leave_uncounted();
}

fn collect(place: &Place) {
    place.domain.collect();
}

fn replace_and_collect(place: &Place) {
    place.replace();
    place.domain.collect();
}

fn nothing_waits(place: &Place) {
    place.domain.collect();
    assert_eq!(place.domain.bytes(), 0, "nobody is inside");
}

#[test]
fn what_a_reader_looks_at_is_there() {
    check([read, replace_and_collect], nothing_waits);
}

/// A reader comes again, and what it looked at first is freed.
#[test]
fn a_reader_that_enters_again_has_read() {
    check([read_twice, replace_and_collect], nothing_waits);
}

#[test]
fn a_reader_without_a_note_keeps_all() {
    check([read_uncounted, replace_and_collect], nothing_waits);
}

#[test]
fn anybody_may_collect() {
    check([read, Place::replace, collect], nothing_waits);
}

/// What was kept for a reader is freed by whoever collects next.
#[test]
fn what_was_kept_is_kept_as_long_as_its_readers_stay() {
    check([read, replace_and_collect, collect], nothing_waits);
}
