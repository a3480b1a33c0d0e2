//! When a removed value may be taken from under those who still look at it.
//!
//! # The problem
//! Iteration reads a value without removing it. Between the load of
//! its address and the increment of its reference count another thread may
//! remove and free it; checking afterwards that nothing changed is too late, for
//! the freed memory has been touched. The known answers: hazard pointers
//! (readers publish what they look at), epochs (readers publish when they look),
//! and reader counts. A stack is popped all the time and looked at seldom, so it
//! takes the one whose cost to a pop is one load of a word nobody writes: a
//! count of the readers inside.
//!
//! # Idea
//! Readers enter and leave. A remover unlinks first and then asks whether any
//! reader is inside. If none is, nobody can reach what it unlinked: it is the
//! remover's. Else the remover takes a copy and leaves the nodes, values
//! included, in the *limbo*, a list that the last reader to leave takes with it.
//! The count and the head of the limbo share a word, so that "the last one" and
//! "what was in limbo then" are one fact.
//!
//! # Invariants
//! - **R1** Nodes enter the limbo only while a reader is inside, after they were
//!   unlinked.
//! - **R2** The limbo is taken only by the step that makes the count zero. So
//!   whoever entered before a node was unlinked has left when it is released.
//! - **R3** A reader that entered after a remover asked does not reach what that
//!   remover had unlinked: the two full fences order "unlink, ask" against
//!   "enter, look", and one of the two sees the other.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | full fence | after entering | full fence before asking | R3 |
//! | `Release` | leaving | `Acquire` in asking and in the last leaving | the reader's reads, before the value is freed |
//! | `Release` | adding to the limbo | `Acquire` in the last leaving | the links of the limbo |
//!
//! # Progress
//! All lock-free; asking is wait-free. A reader that is suspended inside delays
//! the release of memory, no thread; one that comes while a limbo waits is held
//! back for a bounded moment, so that the count can reach zero.

use super::super::shim::{
    AtomicU64, Ordering::Relaxed, full_fence_after_rmw, mutant, ordering, spin,
};
use super::arena::NIL;

/// One reader, in the word's upper half; the lower one is the limbo's head.
const READER: u64 = 1 << 32;

/// How many pauses a reader stays outside, at most, to let a limbo be emptied:
/// some visits' length. In a loom run it changes nothing that can be observed.
const COURTESY: u32 = if cfg!(loom) { 0 } else { 64 };

/// The readers inside, and the limbo.
#[derive(Debug)]
pub struct Readers {
    word: AtomicU64,
}

impl Default for Readers {
    fn default() -> Self {
        Self::new()
    }
}

impl Readers {
    /// Nobody inside, nothing in limbo.
    pub fn new() -> Self {
        Self { word: AtomicU64::new(u64::from(NIL)) }
    }

    /// Enters: what is reachable after this stays readable until [`Self::leave`].
    pub fn enter(&self) {
        if limbo(self.word.load(Relaxed)) != NIL {
            self.let_limbo_drain();
        }
        self.word.fetch_add(READER, Relaxed);
        // Full fence: R3.
        if !mutant!("stack.readers.enter_fence") {
            full_fence_after_rmw();
        }
    }

    /// Readers who overlap without a gap would keep the limbo for ever: a late one
    /// stays outside for a moment, in which those inside come to an end.
    #[cold]
    fn let_limbo_drain(&self) {
        let mut pauses = COURTESY;
        while pauses > 0 && limbo(self.word.load(Relaxed)) != NIL {
            spin(1);
            pauses -= 1;
        }
    }

    /// Leaves. The last one out gets the head of the limbo, its own from now on
    /// (R2); the others get [`NIL`].
    #[must_use = "the limbo would leak"]
    pub fn leave(&self) -> u32 {
        let mut word = self.word.load(Relaxed);
        loop {
            let last = word < 2 * READER || mutant!("stack.readers.first_takes");
            let next = if last { (word - READER) & !(READER - 1) } else { word - READER };
            let order = ordering!(AcqRel, "stack.readers.leave");
            match self.word.compare_exchange_weak(word, next, order, Relaxed) {
                Ok(_) => return if last { limbo(word) } else { NIL },
                Err(found) => word = found,
            }
        }
    }

    /// Whether a reader may be inside that reaches what the caller has just
    /// unlinked by a read-modify-write.
    #[inline]
    pub fn any_after_unlink(&self) -> bool {
        // Full fence: R3.
        if !mutant!("stack.readers.ask_fence") {
            full_fence_after_rmw();
        }
        // Acquire: a reader that left has finished its reads.
        self.word.load(ordering!(Acquire, "stack.readers.ask")) >= READER
    }

    /// Adds a chain of unlinked nodes to the limbo; `link` makes its last node
    /// point to the index it is given. False, and nothing done, if no reader is
    /// inside any more (R1).
    pub fn defer(&self, first: u32, mut link: impl FnMut(u32)) -> bool {
        let mut word = self.word.load(ordering!(Acquire, "stack.readers.defer_none"));
        while word >= READER {
            link(limbo(word));
            let next = (word & !(READER - 1)) | u64::from(first);
            let order = ordering!(Release, "stack.readers.defer");
            let failure = ordering!(Acquire, "stack.readers.defer_none");
            match self.word.compare_exchange_weak(word, next, order, failure) {
                Ok(_) => return true,
                Err(found) => word = found,
            }
        }
        false
    }
}

#[allow(clippy::cast_possible_truncation)] // the lower half is meant
fn limbo(word: u64) -> u32 {
    word as u32
}
