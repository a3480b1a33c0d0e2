//! A small number for each running thread, its own as long as it runs.
//!
//! # Idea and source
//! What threads write apart from one another lies in an array, in which each has
//! its place. Threads come and go, so a thread that ends gives its number back,
//! and a new one gets the smallest that is free: the array stays as long as the
//! largest number of threads that ran at once. (The crate `thread_local` numbers
//! threads in the same way.)
//!
//! Free numbers are the zero bits of a bitmap. There is no lock, because a thread
//! gives its number back from its destructors, where nothing stops it when
//! another one forks: the child could find a lock taken for ever.
//!
//! # Invariants
//! - **N1** A number is held by the thread that turned its bit from 0 to 1, until
//!   that thread turns it back: by one thread at a time.
//! - **N2** What a holder did happens before what the next holder does.
//! - **N3** In a forked child only the thread that forked holds a number.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Release` | giving a number back | `Acquire` in taking one | N2; the bits' other changes are read-modify-writes and keep the release sequence |
//!
//! # Progress
//! Knowing one's number is wait-free. Taking one is lock-free: a retry means that
//! another thread took one. Giving it back is wait-free.

use super::super::shim::detached::AtomicU64;
use super::super::shim::{Ordering::Relaxed, mutant, ordering};

/// The number of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u32);

impl Slot {
    /// Of a thread that has no number: it did not ask yet, it is about to end, or
    /// too many others run.
    pub const NONE: Self = Self(0);

    /// The number, from 1 on; 0 is that of [`Self::NONE`].
    #[inline]
    pub fn number(self) -> u32 {
        self.0
    }
}

const WORDS: usize = if cfg!(loom) { 1 } else { 64 };

/// How many threads can have a number at the same time.
pub const SLOTS: usize = WORDS * u64::BITS as usize;

/// Which numbers are held.
#[derive(Debug)]
pub struct Slots {
    held: [AtomicU64; WORDS],
}

impl Default for Slots {
    fn default() -> Self {
        Self { held: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Slots {
    /// All numbers are free.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { held: [const { AtomicU64::new(0) }; WORDS] }
    }

    /// Takes the smallest free number (N1); [`Slot::NONE`] if there is none.
    pub fn take(&self) -> Slot {
        let taken = (0..).zip(&self.held).find_map(|(word, held)| Some((word, take_bit(held)?)));
        taken.map_or(Slot::NONE, |(word, bit)| Slot(word * u64::BITS + bit + 1))
    }

    /// Gives back what [`Self::take`] returned.
    pub fn give_back(&self, slot: Slot) {
        if let Some((held, mask)) = self.place(slot) {
            // Release: N2.
            held.fetch_and(!mask, ordering!(Release, "striped.slots.give_back"));
        }
    }

    /// Takes all numbers but this one from their holders, which are gone (N3). No
    /// other thread runs.
    pub fn keep_only(&self, slot: Slot) {
        for held in &self.held {
            held.store(0, Relaxed);
        }
        if let Some((held, mask)) = self.place(slot) {
            held.store(mask, Relaxed);
        }
    }

    /// The word of a number, and its bit there.
    fn place(&self, slot: Slot) -> Option<(&AtomicU64, u64)> {
        let index = slot.0.checked_sub(1)?;
        Some((&self.held[(index / u64::BITS) as usize], 1 << (index % u64::BITS)))
    }
}

/// Turns the lowest zero bit to 1, and says which it was.
fn take_bit(held: &AtomicU64) -> Option<u32> {
    let mut found = held.load(Relaxed);
    loop {
        let bit = found.trailing_ones();
        if bit == u64::BITS {
            return None;
        }
        // Acquire: N2.
        let before = held.fetch_or(1 << bit, ordering!(Acquire, "striped.slots.take"));
        if before & (1 << bit) == 0 || mutant!("striped.slots.take.shared") {
            return Some(bit);
        }
        found = before;
    }
}

#[cfg(not(loom))]
pub use running::{current, forked, take_current};

/// The numbers of this process's threads.
#[cfg(not(loom))]
mod running {
    use std::cell::Cell;

    use super::{Slot, Slots};

    static SLOTS: Slots = Slots::new();

    thread_local! {
        /// What the lease says, without its destructor and so without the check
        /// whether that has run.
        static CURRENT: Cell<Slot> = const { Cell::new(Slot::NONE) };
        static LEASE: Lease = Lease::new();
    }

    /// Holds the thread's number, and gives it back when the thread ends.
    struct Lease(Slot);

    impl Lease {
        fn new() -> Self {
            let slot = SLOTS.take();
            CURRENT.set(slot);
            Self(slot)
        }
    }

    impl Drop for Lease {
        fn drop(&mut self) {
            // First: what is still to run in this thread must not use the number.
            CURRENT.set(Slot::NONE);
            SLOTS.give_back(self.0);
        }
    }

    /// The running thread's number, if it has one.
    #[inline(always)]
    pub fn current() -> Slot {
        CURRENT.get()
    }

    /// The running thread's number, taken if need be; [`Slot::NONE`] from those of
    /// its destructors that run after the number was given back.
    #[cold]
    pub fn take_current() -> Slot {
        LEASE.try_with(|lease| lease.0).unwrap_or(Slot::NONE)
    }

    /// To be called in a forked child, before any other thread starts there. It
    /// takes no lock and allocates nothing of its own.
    pub fn forked() {
        SLOTS.keep_only(current());
    }
}
