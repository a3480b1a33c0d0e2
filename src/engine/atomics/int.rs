//! A 64-bit signed integer whose arithmetic is checked.
//!
//! # Idea and source
//! Arithmetic is a compare-and-swap loop (M. Herlihy, "Wait-Free
//! Synchronization", TOPLAS 1991): the sum is computed and checked before it is
//! published. A fetch-and-add instruction would publish first and could only
//! repair an overflow afterwards, when others have seen the wrapped value. What
//! cannot overflow (exchange, the bit operations, minimum and maximum) is one
//! read-modify-write.
//!
//! # Invariants
//! - **I1** The cell only ever holds a value that some operation was asked to
//!   store, or the exact result of one; never a wrapped one.
//! - **I2** An operation that reports [`Overflow`] has written nothing.
//!
//! # Orderings
//! The caller says which, as with std's atomics; a constant one costs nothing.
//!
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | the caller's, if it releases | every write | every read that acquires | whatever the writer did before |
//! | the caller's for a failure | a failed compare-and-swap | every write | the witnessed value's history |
//! | its [`reading`] part | the load before an arithmetic compare-and-swap | every write | what an overflow was seen in |
//!
//! # Progress
//! `load`, `store` and `exchange` are wait-free, as far as the processor is (see
//! [`super`]); all others are lock-free: a retry means that another thread's operation
//! succeeded.

use super::super::Backoff;
use super::super::shim::{AtomicI64, Ordering, mutant, weakened};
use super::order::reading;

/// The result would not fit; the cell was left as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// The value that the operation found.
    pub value: i64,
}

/// The integer.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Int64 {
    cell: AtomicI64,
}

impl Int64 {
    /// Starts at `value`.
    pub fn new(value: i64) -> Self {
        Self { cell: AtomicI64::new(value) }
    }

    /// Reads the value.
    #[inline]
    pub fn load(&self, order: Ordering) -> i64 {
        self.cell.load(weakened!(order, "int.load"))
    }

    /// Replaces the value.
    #[inline]
    pub fn store(&self, value: i64, order: Ordering) {
        self.cell.store(value, weakened!(order, "int.store"));
    }

    /// Replaces the value and returns the one it replaced.
    #[inline]
    pub fn exchange(&self, value: i64, order: Ordering) -> i64 {
        self.cell.swap(value, weakened!(order, "int.exchange"))
    }

    /// Replaces `expected` by `desired`.
    ///
    /// # Errors
    /// The value found, where that is not `expected`; nothing was written.
    #[inline]
    pub fn compare_exchange(
        &self,
        expected: i64,
        desired: i64,
        order: Ordering,
        failure: Ordering,
    ) -> Result<i64, i64> {
        if mutant!("int.compare_exchange.not_atomic") {
            let found = self.load(failure);
            if found == expected {
                self.cell.store(desired, Ordering::SeqCst);
                return Ok(found);
            }
            return Err(found);
        }
        self.cell.compare_exchange(
            expected,
            desired,
            weakened!(order, "int.compare_exchange"),
            weakened!(failure, "int.compare_exchange.failure"),
        )
    }

    /// Adds `n` and returns the value before.
    ///
    /// # Errors
    /// [`Overflow`] if the sum does not fit.
    #[inline]
    pub fn fetch_add(&self, n: i64, order: Ordering) -> Result<i64, Overflow> {
        if mutant!("int.add.publishes_first") {
            let value = self.cell.fetch_add(n, Ordering::SeqCst);
            return value.checked_add(n).map(|_| value).ok_or_else(|| {
                self.cell.fetch_sub(n, Ordering::SeqCst);
                Overflow { value }
            });
        }
        self.checked(|value| value.checked_add(n), order)
    }

    /// Adds `n` in a single attempt and returns the value before; `None`, and
    /// nothing written, after a lost race or if the sum does not fit.
    #[inline]
    pub fn try_fetch_add(&self, n: i64, order: Ordering) -> Option<i64> {
        let value = self.load(reading(order));
        let next = value.checked_add(n)?;
        self.publish(value, next, order).then_some(value)
    }

    /// Subtracts `n` and returns the value before.
    ///
    /// # Errors
    /// [`Overflow`] if the difference does not fit.
    #[inline]
    pub fn fetch_sub(&self, n: i64, order: Ordering) -> Result<i64, Overflow> {
        self.checked(|value| value.checked_sub(n), order)
    }

    /// Bitwise and; returns the value before.
    #[inline]
    pub fn fetch_and(&self, n: i64, order: Ordering) -> i64 {
        self.cell.fetch_and(n, weakened!(order, "int.fetch_and"))
    }

    /// Bitwise or; returns the value before.
    #[inline]
    pub fn fetch_or(&self, n: i64, order: Ordering) -> i64 {
        self.cell.fetch_or(n, weakened!(order, "int.fetch_or"))
    }

    /// Bitwise exclusive or; returns the value before.
    #[inline]
    pub fn fetch_xor(&self, n: i64, order: Ordering) -> i64 {
        self.cell.fetch_xor(n, weakened!(order, "int.fetch_xor"))
    }

    /// Keeps the larger of the value and `n`; returns the value before.
    #[inline]
    pub fn fetch_max(&self, n: i64, order: Ordering) -> i64 {
        self.cell.fetch_max(n, weakened!(order, "int.fetch_max"))
    }

    /// Keeps the smaller of the value and `n`; returns the value before.
    #[inline]
    pub fn fetch_min(&self, n: i64, order: Ordering) -> i64 {
        self.cell.fetch_min(n, weakened!(order, "int.fetch_min"))
    }

    /// Publishes `change(value)` if it fits (I1); returns the value before.
    #[inline]
    fn checked(
        &self,
        change: impl Fn(i64) -> Option<i64>,
        order: Ordering,
    ) -> Result<i64, Overflow> {
        let value = self.load(reading(order));
        // I2: the check comes before the write.
        let Some(next) = change(value) else { return Err(Overflow { value }) };
        if self.publish(value, next, order) {
            Ok(value)
        } else {
            self.checked_contended(change, order)
        }
    }

    /// The rest of [`Self::checked`], after a lost race. It reads again after
    /// each pause: the value that won the race is old by then.
    #[cold]
    #[inline(never)]
    fn checked_contended(
        &self,
        change: impl Fn(i64) -> Option<i64>,
        order: Ordering,
    ) -> Result<i64, Overflow> {
        let mut backoff = Backoff::new();
        loop {
            backoff.wait();
            let value = self.load(reading(order));
            let next = change(value).ok_or(Overflow { value })?;
            if self.publish(value, next, order) {
                return Ok(value);
            }
        }
    }

    #[inline]
    fn publish(&self, value: i64, next: i64, order: Ordering) -> bool {
        if mutant!("int.checked.not_atomic") {
            self.cell.store(next, Ordering::SeqCst);
            return true;
        }
        let success = weakened!(order, "int.checked");
        self.cell.compare_exchange(value, next, success, Ordering::Relaxed).is_ok()
    }
}
