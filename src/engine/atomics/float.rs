//! A 64-bit floating-point number.
//!
//! # Idea and source
//! The cell holds the number's bits, for which processors have atomic
//! instructions; none of ours adds floating-point numbers atomically, so that an
//! addition is a compare-and-swap loop, as C++20 has it (P0020, 2017), and so are the
//! larger and the smaller of two (C++26, P3008). Bits are also
//! what a compare-and-swap compares: NaN is found where the same NaN is expected,
//! which by value would never end a loop, and -0.0 is not taken for 0.0.
//!
//! Additions follow IEEE 754. They are not associative: what threads add up
//! together depends, in its last digits, on the order in which they got there.
//!
//! A NaN is missing data to the larger and the smaller of two (`maximumNumber` of
//! IEEE 754-2019): what is a number remains; and -0.0 is below 0.0.
//!
//! # Invariants
//! - **I1** The cell only ever holds the bits of a number that some operation was
//!   asked to store, or those of the sum of the number before and one to be added.
//!
//! # Orderings
//! The caller says which, as with std's atomics; a constant one costs nothing.
//!
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | the caller's, if it releases | every write | every read that acquires | whatever the writer did before |
//! | the caller's for a failure | a failed compare-and-swap | every write | what came before the value found |
//! | `Relaxed` | the load before the compare-and-swap of a change | | nothing: the compare-and-swap that succeeds has read the same bits |
//!
//! # Progress
//! `fetch_add`, `fetch_max` and `fetch_min` are lock-free: a retry means that another
//! thread's operation succeeded. All others are wait-free.

use super::super::Backoff;
use super::super::shim::{
    AtomicU64,
    Ordering::{self, Relaxed},
    mutant, weakened,
};

/// The number.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Float64 {
    bits: AtomicU64,
}

impl Float64 {
    /// Starts at `value`.
    pub fn new(value: f64) -> Self {
        Self { bits: AtomicU64::new(value.to_bits()) }
    }

    /// Reads the value.
    #[inline]
    pub fn load(&self, order: Ordering) -> f64 {
        f64::from_bits(self.bits.load(weakened!(order, "float.load")))
    }

    /// Replaces the value.
    #[inline]
    pub fn store(&self, value: f64, order: Ordering) {
        self.bits.store(value.to_bits(), weakened!(order, "float.store"));
    }

    /// Replaces the value and returns the one it replaced.
    #[inline]
    pub fn exchange(&self, value: f64, order: Ordering) -> f64 {
        f64::from_bits(self.bits.swap(value.to_bits(), weakened!(order, "float.exchange")))
    }

    /// Replaces `expected` by `desired`, if the value has the bits of `expected`.
    ///
    /// # Errors
    /// The value found, where it has others; nothing was written.
    #[inline]
    pub fn compare_exchange(
        &self,
        expected: f64,
        desired: f64,
        order: Ordering,
        failure: Ordering,
    ) -> Result<f64, f64> {
        let found = self.bits.compare_exchange(
            expected.to_bits(),
            desired.to_bits(),
            weakened!(order, "float.compare_exchange"),
            weakened!(failure, "float.compare_exchange.failure"),
        );
        found.map(f64::from_bits).map_err(f64::from_bits)
    }

    /// Adds `n` and returns the value before.
    #[inline]
    pub fn fetch_add(&self, n: f64, order: Ordering) -> f64 {
        self.change(order, |value| value + n)
    }

    /// Replaces the value by the larger of it and `n`; returns the value before.
    #[inline]
    pub fn fetch_max(&self, n: f64, order: Ordering) -> f64 {
        self.change(order, |value| larger(value, n))
    }

    /// Replaces the value by the smaller of it and `n`; returns the value before.
    #[inline]
    pub fn fetch_min(&self, n: f64, order: Ordering) -> f64 {
        self.change(order, |value| -larger(-value, -n))
    }

    /// Replaces the value by a function of it; returns the value before.
    #[inline]
    fn change(&self, order: Ordering, next: impl Fn(f64) -> f64) -> f64 {
        self.try_change(order, &next).unwrap_or_else(|| self.change_contended(order, next))
    }

    /// The rest of [`Self::change`], after a lost race. It reads again after
    /// each pause: the value that won the race is old by then.
    #[cold]
    #[inline(never)]
    fn change_contended(&self, order: Ordering, next: impl Fn(f64) -> f64) -> f64 {
        let mut backoff = Backoff::new();
        loop {
            backoff.wait();
            if let Some(value) = self.try_change(order, &next) {
                return value;
            }
        }
    }

    #[inline]
    fn try_change(&self, order: Ordering, next: impl Fn(f64) -> f64) -> Option<f64> {
        let bits = self.bits.load(Relaxed);
        let value = f64::from_bits(bits);
        let next = next(value).to_bits();
        if mutant!("float.change.not_atomic") {
            self.bits.store(next, Ordering::SeqCst);
            return Some(value);
        }
        let success = weakened!(order, "float.change");
        self.bits.compare_exchange(bits, next, success, Relaxed).ok().map(|_| value)
    }
}

/// `maximumNumber` of IEEE 754-2019: `a` stays, bit by bit, unless `b` is larger or the
/// only number.
fn larger(a: f64, b: f64) -> f64 {
    let both_zero = a == 0.0 && b == 0.0;
    let takes_b = b > a || (a.is_nan() && !b.is_nan()) || (both_zero && a.is_sign_negative());
    if takes_b { b } else { a }
}
