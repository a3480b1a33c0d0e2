//! A boolean.
//!
//! # Idea and source
//! The test-and-set of the first multiprocessors (IBM System/360, 1964), C's
//! `atomic_flag`: setting the flag tells whether it was set already, so that of
//! all who try exactly one learns that it was the first. Each operation is one
//! instruction of the processor, or its compare-and-swap loop.
//!
//! # Orderings
//! The caller says which, as with std's atomics; a constant one costs nothing.
//!
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | the caller's, if it releases | every write | every read that acquires | whatever the writer did before |
//! | the caller's for a failure | a failed compare-and-swap | every write | what came before the value found |
//!
//! # Progress
//! `fetch_not` is lock-free: x86-64 has no instruction that flips a flag and tells
//! what it was. All others are wait-free, as far as the processor is (see [`super`]).

use super::super::shim::{AtomicBool, Ordering, mutant, weakened};

/// The boolean.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Flag {
    cell: AtomicBool,
}

impl Flag {
    /// Starts at `value`.
    pub fn new(value: bool) -> Self {
        Self { cell: AtomicBool::new(value) }
    }

    /// Reads the value.
    #[inline]
    pub fn load(&self, order: Ordering) -> bool {
        self.cell.load(weakened!(order, "flag.load"))
    }

    /// Replaces the value.
    #[inline]
    pub fn store(&self, value: bool, order: Ordering) {
        self.cell.store(value, weakened!(order, "flag.store"));
    }

    /// Replaces the value and returns the one it replaced.
    #[inline]
    pub fn exchange(&self, value: bool, order: Ordering) -> bool {
        if mutant!("flag.exchange.not_atomic") {
            let found = self.load(order);
            self.cell.store(value, Ordering::SeqCst);
            return found;
        }
        self.cell.swap(value, weakened!(order, "flag.exchange"))
    }

    /// Replaces `expected` by `desired`.
    ///
    /// # Errors
    /// The value found, where that is not `expected`; nothing was written.
    #[inline]
    pub fn compare_exchange(
        &self,
        expected: bool,
        desired: bool,
        order: Ordering,
        failure: Ordering,
    ) -> Result<bool, bool> {
        self.cell.compare_exchange(
            expected,
            desired,
            weakened!(order, "flag.compare_exchange"),
            weakened!(failure, "flag.compare_exchange.failure"),
        )
    }

    /// Makes it true and returns the value before.
    #[inline]
    pub fn test_and_set(&self, order: Ordering) -> bool {
        self.exchange(true, order)
    }

    /// Makes it the opposite and returns the value before.
    #[inline]
    pub fn fetch_not(&self, order: Ordering) -> bool {
        self.cell.fetch_xor(true, weakened!(order, "flag.fetch_not"))
    }
}
