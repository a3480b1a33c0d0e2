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
//! Every operation is sequentially consistent: that is what a Python programmer
//! may assume of `AtomicInt64`, and on x86-64 only `store` could be cheaper.
//!
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `SeqCst` | every write | every read | whatever the writer did before |
//! | `SeqCst` | a failed compare-and-swap | every write | the witnessed value's history |
//!
//! # Progress
//! `load`, `store` and `exchange` are wait-free; all others are lock-free: a
//! retry means that another thread's operation succeeded.

use super::Backoff;
use crate::shim::{AtomicI64, Ordering, mutant, ordering};

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
    pub fn load(&self) -> i64 {
        self.cell.load(ordering!(SeqCst, "int.load"))
    }

    /// Replaces the value.
    #[inline]
    pub fn store(&self, value: i64) {
        self.cell.store(value, ordering!(SeqCst, "int.store"));
    }

    /// Replaces the value and returns the one it replaced.
    #[inline]
    pub fn exchange(&self, value: i64) -> i64 {
        self.cell.swap(value, ordering!(SeqCst, "int.exchange"))
    }

    /// Replaces `expected` by `desired`.
    ///
    /// # Errors
    /// The value found, where that is not `expected`; nothing was written.
    #[inline]
    pub fn compare_exchange(&self, expected: i64, desired: i64) -> Result<i64, i64> {
        if mutant!("int.compare_exchange.not_atomic") {
            let found = self.load();
            if found == expected {
                self.store(desired);
                return Ok(found);
            }
            return Err(found);
        }
        self.cell.compare_exchange(
            expected,
            desired,
            ordering!(SeqCst, "int.compare_exchange"),
            ordering!(SeqCst, "int.compare_exchange.failure"),
        )
    }

    /// Adds `n` and returns the value before.
    ///
    /// # Errors
    /// [`Overflow`] if the sum does not fit.
    #[inline]
    pub fn fetch_add(&self, n: i64) -> Result<i64, Overflow> {
        if mutant!("int.add.publishes_first") {
            let value = self.cell.fetch_add(n, Ordering::SeqCst);
            return value.checked_add(n).map(|_| value).ok_or_else(|| {
                self.cell.fetch_sub(n, Ordering::SeqCst);
                Overflow { value }
            });
        }
        self.checked(|value| value.checked_add(n))
    }

    /// Adds `n` in a single attempt and returns the value before; `None`, and
    /// nothing written, after a lost race or if the sum does not fit.
    #[inline]
    pub fn try_fetch_add(&self, n: i64) -> Option<i64> {
        let value = self.load();
        let next = value.checked_add(n)?;
        self.publish(value, next).then_some(value)
    }

    /// Subtracts `n` and returns the value before.
    ///
    /// # Errors
    /// [`Overflow`] if the difference does not fit.
    #[inline]
    pub fn fetch_sub(&self, n: i64) -> Result<i64, Overflow> {
        self.checked(|value| value.checked_sub(n))
    }

    /// Bitwise and; returns the value before.
    #[inline]
    pub fn fetch_and(&self, n: i64) -> i64 {
        self.cell.fetch_and(n, ordering!(SeqCst, "int.fetch_and"))
    }

    /// Bitwise or; returns the value before.
    #[inline]
    pub fn fetch_or(&self, n: i64) -> i64 {
        self.cell.fetch_or(n, ordering!(SeqCst, "int.fetch_or"))
    }

    /// Bitwise exclusive or; returns the value before.
    #[inline]
    pub fn fetch_xor(&self, n: i64) -> i64 {
        self.cell.fetch_xor(n, ordering!(SeqCst, "int.fetch_xor"))
    }

    /// Keeps the larger of the value and `n`; returns the value before.
    #[inline]
    pub fn fetch_max(&self, n: i64) -> i64 {
        self.cell.fetch_max(n, ordering!(SeqCst, "int.fetch_max"))
    }

    /// Keeps the smaller of the value and `n`; returns the value before.
    #[inline]
    pub fn fetch_min(&self, n: i64) -> i64 {
        self.cell.fetch_min(n, ordering!(SeqCst, "int.fetch_min"))
    }

    /// Publishes `change(value)` if it fits (I1); returns the value before.
    #[inline]
    fn checked(&self, change: impl Fn(i64) -> Option<i64>) -> Result<i64, Overflow> {
        let value = self.load();
        // I2: the check comes before the write.
        let Some(next) = change(value) else { return Err(Overflow { value }) };
        if self.publish(value, next) { Ok(value) } else { self.checked_contended(change) }
    }

    /// The rest of [`Self::checked`], after a lost race. It reads again after
    /// each pause: the value that won the race is old by then.
    #[cold]
    #[inline(never)]
    fn checked_contended(&self, change: impl Fn(i64) -> Option<i64>) -> Result<i64, Overflow> {
        let mut backoff = Backoff::new();
        loop {
            backoff.wait();
            let value = self.load();
            let next = change(value).ok_or(Overflow { value })?;
            if self.publish(value, next) {
                return Ok(value);
            }
        }
    }

    #[inline]
    fn publish(&self, value: i64, next: i64) -> bool {
        if mutant!("int.checked.not_atomic") {
            self.store(next);
            return true;
        }
        let success = ordering!(SeqCst, "int.checked");
        self.cell.compare_exchange(value, next, success, Ordering::Relaxed).is_ok()
    }
}
