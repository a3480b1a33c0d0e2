//! A lock that is held for some instructions.
//!
//! # Idea and source
//! Its holder stays attached, calls nothing of Python's, and is done within some hundred nanoseconds.
//! So who finds it taken need only look again (L. Rudolph, Z. Segall, "Dynamic decentralized cache
//! schemes for MIMD parallel processors", ISCA 1984: reading, until it is worth trying), and nobody
//! has to be woken: to give it back is a store. A lock that has sleepers pays for a second locked
//! instruction to learn of them, a tenth of what it costs to put something into a cache.
//!
//! Who has looked for some microseconds sleeps between two looks: the system has suspended the
//! holder, and must have a processor for it, whatever the priorities of those who wait.
//!
//! With a GIL nobody finds it taken, and it has no locked instruction at all
//! ([`shim::attached`](super::super::shim)). As for the other locks, nobody holds it when the interpreter forks.
//!
//! # Invariants
//! - **L1** Who has made the word true is the only one who uses the value, until he makes it false.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Acquire` | taking it | `Release` of giving it back | the value |
//!
//! # Progress
//! Blocking. Who comes later may be quicker.

use std::ops::{Deref, DerefMut};

use super::super::shim::{AtomicBool, Ordering::Relaxed, UnsafeCell, ordering, spin};

/// Pauses between two looks.
const PAUSES: u32 = 16;

/// So many looks take some microseconds.
#[cfg(not(loom))]
const LOOKS: u32 = 64;

/// A value, and who may use it.
#[derive(Debug)]
pub struct Lock<T> {
    is_taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: L1: the value goes from thread to thread.
unsafe impl<T: Send> Send for Lock<T> {}
// SAFETY: L1: one thread uses the value.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self { is_taken: AtomicBool::new(false), value: UnsafeCell::new(T::default()) }
    }
}

impl<T> Lock<T> {
    /// Takes it, and waits if it is taken.
    #[inline(always)]
    pub fn lock(&self) -> LockGuard<'_, T> {
        if !self.try_take() {
            self.wait();
        }
        LockGuard(self)
    }

    #[inline(always)]
    fn try_take(&self) -> bool {
        !self.is_taken.swap(true, ordering!(Acquire, "lock.take"))
    }

    #[cold]
    fn wait(&self) {
        let mut patience = Patience::default();
        while self.is_taken.load(Relaxed) || !self.try_take() {
            patience.wait();
        }
    }
}

/// How often somebody has looked.
#[derive(Debug, Default)]
struct Patience {
    #[cfg(not(loom))]
    looks: u32,
}

impl Patience {
    #[cfg(loom)]
    #[allow(clippy::unused_self)] // as below
    fn wait(&mut self) {
        spin(PAUSES);
    }

    #[cfg(not(loom))]
    fn wait(&mut self) {
        if self.looks < LOOKS {
            self.looks += 1;
            spin(PAUSES);
        } else {
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
    }
}

/// A lock that is taken; it is given back when this is dropped.
#[derive(Debug)]
pub struct LockGuard<'a, T>(&'a Lock<T>);

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.0.value.with(|value| {
            // SAFETY: L1.
            unsafe { &*value }
        })
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.0.value.with_mut(|value| {
            // SAFETY: L1.
            unsafe { &mut *value }
        })
    }
}

impl<T> Drop for LockGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: what was done to the value.
        self.0.is_taken.store(false, ordering!(Release, "lock.give_back"));
    }
}
