//! Counters that threads add to without sharing a cache line.
//!
//! # Idea and source
//! The counter is the sum of cells, and threads add to different ones: D. Lea's
//! `LongAdder` (`Striped64`, JDK 8). There threads find their cells by a hash, so
//! that two may meet in one and an addition must be a compare-and-swap. Here a
//! thread's cell is that of its [`Slot`], which no other running thread has. Hence
//! an addition is a load and a store, with no locked instruction and no retry.
//!
//! `K` counters that are counted together, such as the statistics of a cache,
//! share the cell of a thread.
//!
//! What is rare goes to the *remainder*, one wide number beside the cells, under a
//! lock: the additions of a thread that has no slot, or no memory for its cell, or
//! whose cell would overflow. So an addition never fails and the sum is exact,
//! however large. A reset, too, changes nothing but the remainder: it subtracts from
//! it what it returns. It could not write to cells, whose owners do not look
//! whether the value they loaded is still there when they store.
//!
//! # Invariants
//! - **C1** A cell is written only by the holder of its slot, of which there is one
//!   at a time (N1); the next one sees what the last one wrote (N2). Between the
//!   load and the store of an addition its thread runs nothing else.
//! - **C2** The value is the sum of the cells and the remainder.
//! - **C3** The lock is held by whoever reads all cells, until it has written the
//!   remainder that belongs to them. So resets follow one another, each reads a
//!   cell no earlier than the one before did, and every addition is in exactly one
//!   of them, or in what remains.
//! - **C4** The lock is held for one pass over the cells, which calls nothing, by
//!   attached threads: so no one holds it when the interpreter forks.
//!
//! # What a sum observes
//! Every addition that happened before is in it, and none twice. The cells are read one
//! after the other: of two additions made meanwhile it may contain the later and not
//! the earlier one. When no thread adds it is exact.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Release` | a cell, written | `Acquire` in reading all cells | what was done before an addition is seen by whoever finds it in a sum |
//! | `Relaxed` | a cell, read by its owner | | its own last write, or N2 |
//!
//! The arena's segments are published by its own orderings.
//!
//! # Progress
//! An addition to a cell that is there is wait-free. Making the cell is lock-free
//! as far as the allocator is. Sums, resets and additions to the remainder take the
//! lock: they wait for each other, and never does a thread that has a cell.

use std::sync::PoisonError;

use crossbeam_utils::CachePadded;

use super::super::memory::arena::{Arena, Zeroed};
use super::super::memory::slots::Slot;
use super::super::shim::{AtomicI64, Mutex, MutexGuard, Ordering::Relaxed, mutant, ordering};

/// What one thread has counted.
type Cell<const K: usize> = CachePadded<[AtomicI64; K]>;

// SAFETY: zero bytes are zeros; atomics have no drop glue.
unsafe impl<const K: usize> Zeroed for Cell<K> {
    const FIRST_BITS: u32 = 0;

    fn zeroed() -> Self {
        CachePadded::new(std::array::from_fn(|_| AtomicI64::new(0)))
    }
}

/// A remainder. Aligned to 8 bytes, which is all that Python's allocator promises
/// where pointers have 32 bits.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(8))]
struct Wide(i128);

/// `K` counters.
#[derive(Debug)]
pub struct Striped<const K: usize> {
    cells: Arena<Cell<K>>,
    remainders: Mutex<[Wide; K]>,
}

impl<const K: usize> Default for Striped<K> {
    fn default() -> Self {
        Self::new([0; K])
    }
}

impl<const K: usize> Striped<K> {
    /// Starts at `values`.
    pub fn new(values: [i64; K]) -> Self {
        let remainders = values.map(|value| Wide(value.into()));
        Self { cells: Arena::new(), remainders: Mutex::new(remainders) }
    }

    /// Adds `n` to the counter `which`, for the running thread.
    #[inline]
    #[cfg(not(loom))]
    pub fn add(&self, which: usize, n: i64) {
        if !self.try_add(super::super::memory::slots::current(), which, n) {
            self.add_slowly(super::super::memory::slots::take_current(), which, n);
        }
    }

    /// Adds `n` to the counter `which`, for the only holder of `slot`, if its cell
    /// is there and has room.
    #[inline]
    pub fn try_add(&self, slot: Slot, which: usize, n: i64) -> bool {
        let Some(cell) = self.cells.find(slot.number()) else { return false };
        // Relaxed: C1.
        let Some(next) = cell[which].load(Relaxed).checked_add(n) else { return false };
        // Release: what came before the addition.
        cell[which].store(next, ordering!(Release, "striped.add"));
        true
    }

    /// Adds as [`Self::try_add`] does, and makes the cell or takes the lock if need be.
    #[cold]
    #[inline(never)]
    pub fn add_slowly(&self, slot: Slot, which: usize, n: i64) {
        let has_cell = slot != Slot::NONE && self.cells.reach(slot.number()).is_ok();
        if !(has_cell && self.try_add(slot, which, n)) {
            self.lock()[which].0 += i128::from(n);
        }
    }

    /// The value of the counter `which`.
    pub fn sum(&self, which: usize) -> i128 {
        let remainders = self.lock();
        self.in_cells(which) + remainders[which].0
    }

    /// Makes the counter `which` start again at 0; returns the value it had.
    pub fn reset(&self, which: usize) -> i128 {
        let mut remainders = self.lock();
        let sum = self.in_cells(which) + remainders[which].0;
        if mutant!("striped.reset.lets_go") {
            drop(remainders);
            remainders = self.lock();
        }
        if mutant!("striped.reset.clears_cells") {
            self.cells.iter().for_each(|cell| cell[which].store(0, Relaxed));
            remainders[which].0 = 0;
            return sum;
        }
        // C3.
        remainders[which].0 -= sum;
        sum
    }

    /// How many cells there are, for tests of what memory remains.
    pub fn capacity(&self) -> usize {
        self.cells.iter().count()
    }

    /// The sum of the cells. The caller holds the lock (C3).
    fn in_cells(&self, which: usize) -> i128 {
        // Acquire: what came before the additions.
        let read = |cell: &Cell<K>| cell[which].load(ordering!(Acquire, "striped.sum"));
        self.cells.iter().map(|cell| i128::from(read(cell))).sum()
    }

    fn lock(&self) -> MutexGuard<'_, [Wide; K]> {
        self.remainders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
