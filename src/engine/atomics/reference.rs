//! A reference that threads share, read and replace.
//!
//! # Idea and source
//! One word holds the address of a reference-counted value. A reader takes its own
//! reference without announcing itself: it loads the address, tries to take a
//! reference to whatever is there, and looks whether the address is still in the
//! word (see [`pointer`](super::super::memory::pointer) for the idea and its source). A writer swaps
//! the word and owns what was in it at once: nothing is ever deferred.
//!
//! # Invariants
//! - **P1** The word holds the address of a live, shared value, of which the word
//!   owns one reference.
//! - **P2** What a reader returns was in the word at the moment of its second
//!   look. It held a reference then, so that the address meant one value from the
//!   taking to the look; and the word's reference was to that same value.
//! - **P3** `compare_exchange` compares addresses. The caller holds a reference to
//!   `expected`, so that no other value can have its address meanwhile: there is
//!   no ABA.
//!
//! # Orderings
//! An ordering weaker than these is raised to them: the count that a reader
//! changes is part of the value, which must have been made before.
//!
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Release` at least | every write | `Acquire` at least in every read | the value behind the address |
//! | `Acquire` | a reader's first look | every write | the count that it tries to change |
//! | `Acquire` fence | after a reader's taking a reference ([`Counted::try_acquire`]) | the fence below | P2: the second look is no older than what was taken |
//! | `Release` fence | after a replacement | the fence above | the same, whatever comes where the old value was |
//!
//! # Progress
//! `exchange`, `store` and `compare_exchange` are wait-free, as far as the processor is
//! (see [`super`]). `load` is lock-free: a retry means that another thread replaced the
//! value.

use std::marker::PhantomData;

use super::super::memory::pointer::Counted;
use super::super::shim::{
    AtomicUsize,
    Ordering::{self, AcqRel, Acquire, Relaxed, Release},
    fence, mutant, spin, weakened,
};
use super::order::reading;

/// The shared reference: one word, at its own address.
#[derive(Debug)]
#[repr(transparent)]
pub struct Reference<T: Counted> {
    /// P1
    word: AtomicUsize,
    _owns: PhantomData<T>,
}

// SAFETY: P1: sharing the word shares the value; `Pointer` is `Send`, and
// `Counted` is made to be read by several threads.
unsafe impl<T: Counted> Sync for Reference<T> {}

impl<T: Counted> Reference<T> {
    /// Starts with `value`.
    pub fn new(value: T) -> Self {
        value.share();
        Self { word: AtomicUsize::new(value.into_raw()), _owns: PhantomData }
    }

    /// Returns a reference to the value.
    #[inline]
    pub fn load(&self, order: Ordering) -> T {
        // SAFETY: `attempt` passes on what P1 says.
        match self.attempt(order, |word| unsafe { T::try_acquire_own(word) }) {
            Ok(value) => value,
            Err(stale) => self.load_anyhow(order, stale),
        }
    }

    /// As [`Self::load`], whoever's the value is. Apart, so that the short way needs no
    /// stack frame.
    #[inline(never)]
    fn load_anyhow(&self, order: Ordering, mut stale: Option<T>) -> T {
        loop {
            drop(stale);
            // SAFETY: `attempt` passes on what P1 says.
            match self.attempt(order, |word| unsafe { T::try_acquire(word) }) {
                Ok(value) => return value,
                Err(taken) => stale = taken,
            }
            // The word has a new value by now.
            spin(1);
        }
    }

    /// Takes a reference by `acquire` and looks again (P2).
    ///
    /// # Errors
    /// What was taken, if it may never have been in the word.
    #[inline(always)]
    fn attempt(
        &self,
        order: Ordering,
        acquire: impl FnOnce(usize) -> Option<T>,
    ) -> Result<T, Option<T>> {
        // Acquire: the value was made, its count included. (No model can miss it:
        // loom lets an attempt on the count see the newest one.)
        let word = self.word.load(Acquire);
        let value = acquire(word).ok_or(None)?;
        if !mutant!("reference.load.fence") {
            fence(Acquire);
        }
        if self.is(word, order) || mutant!("reference.load.unchecked") {
            Ok(value)
        } else {
            Err(Some(value))
        }
    }

    /// Whether the word is still the same (P2).
    #[inline]
    fn is(&self, word: usize, order: Ordering) -> bool {
        let order = at_least_acquire(order);
        self.word.load(weakened!(order, "reference.load.second")) == word
    }

    /// Replaces the value, and returns the one it replaced.
    #[inline]
    pub fn exchange(&self, value: T, order: Ordering) -> T {
        value.share();
        let order = at_least_both(order);
        let word = self.word.swap(value.into_raw(), weakened!(order, "reference.exchange"));
        part();
        // SAFETY: P1: the word's reference is the caller's now.
        unsafe { T::from_raw(word) }
    }

    /// Replaces the value whose address is `expected` by `desired`, and returns the
    /// one replaced.
    ///
    /// # Errors
    /// `desired`, where another value was there.
    #[inline]
    pub fn compare_exchange(
        &self,
        expected: usize,
        desired: T,
        order: Ordering,
        failure: Ordering,
    ) -> Result<T, T> {
        desired.share();
        let desired = desired.into_raw();
        let order = at_least_both(order);
        let order = weakened!(order, "reference.compare_exchange");
        match self.word.compare_exchange(expected, desired, order, failure) {
            Ok(word) => {
                part();
                // SAFETY: P1: the word's reference is the caller's now.
                Ok(unsafe { T::from_raw(word) })
            }
            // SAFETY: it was made into a word above, and is in no other place.
            Err(_) => Err(unsafe { T::from_raw(desired) }),
        }
    }

    /// The address of the value, for comparisons only: it may be dead already.
    pub fn address(&self, order: Ordering) -> usize {
        self.word.load(order)
    }

    /// Looks at the value.
    ///
    /// # Safety
    /// No other thread replaces it meanwhile.
    pub unsafe fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        // SAFETY: P1, and the caller's promise.
        unsafe { T::peek(self.word.load(Relaxed), look) }
    }
}

impl<T: Counted> Drop for Reference<T> {
    fn drop(&mut self) {
        // SAFETY: P1; nobody else has the word any more.
        drop(unsafe { T::from_raw(self.word.load(Acquire)) });
    }
}

/// Comes between a replacement and the end of what was replaced.
#[inline(always)]
fn part() {
    if !mutant!("reference.replaced.fence") {
        // Release: that the word has another value.
        fence(Release);
    }
}

/// What a load must have at least.
#[inline(always)]
const fn at_least_acquire(order: Ordering) -> Ordering {
    match reading(order) {
        Relaxed => Acquire,
        order => order,
    }
}

/// What a replacement must have at least: it publishes one value, and hands the
/// other one over.
#[inline(always)]
const fn at_least_both(order: Ordering) -> Ordering {
    match order {
        Relaxed | Acquire | Release => AcqRel,
        order => order,
    }
}
