//! A queue under a lock, whose order is a matter of its [`Shelf`]: last in, first out
//! ([`Lifo`]), or sorted ([`Heap`]).
//!
//! # Idea and source
//! One lock, held for a few instructions. For a heap (J. W. J. Williams, "Algorithm 232:
//! Heapsort", CACM 1964) that is also the quickest way known to us: a concurrent skip
//! list pays with an epoch and an allocation per value for a parallelism that a queue,
//! whose consumers all want the same value, has no use for.
//!
//! The stack of this crate takes no lock, and would not do for a queue that is last in, first
//! out: the bound, the length and what is unfinished are to be exact, so that each put had to
//! claim room on a counter before it pushes, and each get to give it back after it has popped.
//! That is a third contended word beside the stack's head and its free list, where all who put
//! and get want the same end anyway; and between the two steps there are values that are
//! counted and cannot be got, for which others would have to wait. Under the lock both are one
//! step. (Counted by `benches/ab --instructions` on CPython 3.14.9 free-threaded, one thread: a
//! put and a get here execute 1.63 times what a push and a pop of the stack do, which has
//! nothing of that, and 1.64 times those of the queue that is first in, first out.)
//!
//! It has the interface of the [`Queue`](super::Queue) that is first in, first out.
//!
//! # Invariants
//! - **G1** The shelf is looked at and changed under the lock. `len`, `closed` and `shut`
//!   are changed under the lock; anybody may read them.
//! - **G2** Under the lock runs nothing but this module and the allocator: no value is
//!   dropped, compared or shown to anybody there. So no thread waits for anything, or
//!   comes here again, with the lock in hand.
//! - **G3** `len` is the length of the shelf, and at most the limit, unless that was
//!   lowered.
//! - **G4** A shelf has room for at most four times what is in it, or a little (`WORTH`). Whoever
//!   takes out of one that has more gives half of it back or more, for which as many were taken out.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | the lock | around each change | itself | G1 |
//! | `SeqCst` | `len`, `unfinished`, `closed`, `shut`, `limit` | each other | that what is read without the lock was true at one moment, together with all other operations |
//!
//! # Progress
//! What changes the queue blocks on the lock; what asks it something is wait-free.

use std::collections::BinaryHeap;

use super::super::Backoff;
use super::super::memory::arena::OutOfMemory;
use super::super::memory::growth::{is_generous, put, trim};
use super::super::shim::{
    AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering::SeqCst, mutant,
};
use super::priority::Priority;
use super::{BATCH, Refusal, TryGet, UNLIMITED, bound_of};

/// At most so many values are put by one step: a heap takes its time.
const PUTS: usize = if cfg!(loom) { 2 } else { 1024 };

/// How often a thread pauses for the lock before it sleeps.
const PAUSES: u32 = 4;

/// What holds values in an order of its own.
pub trait Shelf: Default {
    /// What is put.
    type Entry;
    /// What is got.
    type Value;

    /// Makes room for so many more.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed.
    fn reserve(&mut self, more: usize) -> Result<(), OutOfMemory>;

    /// Puts an entry where it belongs; there is room for it.
    fn push(&mut self, entry: Self::Entry);

    /// Takes the value whose turn it is. Gives memory back that is not needed any more.
    fn pop(&mut self) -> Option<Self::Value>;

    /// The bytes that it has allocated.
    fn bytes(&self) -> usize;

    /// Calls `visit` with each value until it fails.
    ///
    /// # Errors
    /// The first error of `visit`.
    fn traverse<E>(&self, visit: impl FnMut(&Self::Value) -> Result<(), E>) -> Result<(), E>;
}

/// Last in, first out.
#[derive(Debug)]
pub struct Lifo<T>(Vec<T>);

impl<T> Default for Lifo<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Shelf for Lifo<T> {
    type Entry = T;
    type Value = T;

    #[inline]
    fn reserve(&mut self, more: usize) -> Result<(), OutOfMemory> {
        self.0.try_reserve(more).map_err(|_| OutOfMemory)
    }

    #[inline]
    fn push(&mut self, entry: T) {
        put(&mut self.0, entry); // room: `reserve`
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        let value = self.0.pop();
        if is_generous::<T>(self.0.len(), self.0.capacity()) {
            trim(&mut self.0);
        }
        value
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<T>()
    }

    fn traverse<E>(&self, visit: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        self.0.iter().try_for_each(visit)
    }
}

/// A value and its priority.
#[derive(Debug)]
pub struct Ranked<T> {
    /// The smallest comes first.
    pub priority: Priority,
    /// What the heap does not look at.
    pub value: T,
}

/// The smallest first, and among equals first in, first out.
#[derive(Debug)]
pub struct Heap<T> {
    heap: BinaryHeap<Place<T>>,
    /// How many ever came.
    arrivals: u64,
}

/// A value in the heap.
#[derive(Debug)]
struct Place<T> {
    priority: Priority,
    arrival: u64,
    value: T,
}

impl<T> Ord for Place<T> {
    /// The greatest is the next one.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.priority.cmp(&self.priority).then(other.arrival.cmp(&self.arrival))
    }
}

impl<T> PartialOrd for Place<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Place<T> {
    fn eq(&self, other: &Self) -> bool {
        self.arrival == other.arrival
    }
}

impl<T> Eq for Place<T> {}

impl<T> Default for Heap<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), arrivals: 0 }
    }
}

impl<T> Shelf for Heap<T> {
    type Entry = Ranked<T>;
    type Value = T;

    #[inline]
    fn reserve(&mut self, more: usize) -> Result<(), OutOfMemory> {
        self.heap.try_reserve(more).map_err(|_| OutOfMemory)
    }

    #[inline]
    fn push(&mut self, Ranked { priority, value }: Ranked<T>) {
        self.arrivals += 1;
        #[allow(clippy::disallowed_methods)] // room: `reserve`
        self.heap.push(Place { priority, arrival: self.arrivals, value });
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        let place = self.heap.pop();
        if is_generous::<Place<T>>(self.heap.len(), self.heap.capacity()) {
            let mut places = std::mem::take(&mut self.heap).into_vec();
            trim(&mut places);
            self.heap = places.into(); // in the order of a heap already
        }
        place.map(|place| place.value)
    }

    fn bytes(&self) -> usize {
        self.heap.capacity() * size_of::<Place<T>>()
    }

    fn traverse<E>(&self, mut visit: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        self.heap.iter().try_for_each(|place| visit(&place.value))
    }
}

/// The queue.
#[derive(Debug)]
pub struct Guarded<S> {
    shelf: Mutex<S>,
    len: AtomicUsize,
    /// How many values were put and are not done.
    unfinished: AtomicU64,
    limit: AtomicU64,
    /// Nothing can be put any more.
    closed: AtomicBool,
    /// Nothing can be got any more either.
    shut: AtomicBool,
}

impl<S: Shelf> Default for Guarded<S> {
    fn default() -> Self {
        Self {
            shelf: Mutex::new(S::default()),
            len: AtomicUsize::new(0),
            unfinished: AtomicU64::new(0),
            limit: AtomicU64::new(UNLIMITED),
            closed: AtomicBool::new(false),
            shut: AtomicBool::new(false),
        }
    }
}

impl<S: Shelf> Guarded<S> {
    /// Limits the number of values; 0 is no limit. What is there stays.
    pub fn set_limit(&self, limit: u64) {
        let _held = self.lock();
        self.limit.store(bound_of(limit), SeqCst);
    }

    /// How many values there may be; 0 is any number.
    pub fn bound(&self) -> u64 {
        if self.is_bounded() { self.limit() } else { 0 }
    }

    /// The bytes that it has allocated.
    pub fn bytes(&self) -> usize {
        self.lock().bytes()
    }

    /// Whether there is a limit.
    #[inline]
    pub fn is_bounded(&self) -> bool {
        self.limit() != UNLIMITED
    }

    #[inline]
    fn limit(&self) -> u64 {
        self.limit.load(SeqCst)
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, S> {
        self.shelf.try_lock().unwrap_or_else(|| self.lock_contended())
    }

    /// A loser pauses, so that the winner may come again some times while it has the cache
    /// lines; that is quicker for both than to be woken for each turn.
    #[cold]
    fn lock_contended(&self) -> MutexGuard<'_, S> {
        let mut backoff = Backoff::new();
        for _ in 0..PAUSES {
            backoff.wait();
            if let Some(held) = self.shelf.try_lock() {
                return held;
            }
        }
        self.shelf.lock()
    }

    /// Puts an entry.
    ///
    /// # Errors
    /// The entry and why it was refused; the queue is as it was.
    #[inline]
    pub fn try_put(&self, entry: S::Entry) -> Result<(), (S::Entry, Refusal)> {
        let early = mutant!("guarded.room.early").then(|| self.room(1));
        let mut held = self.lock();
        let room = early.unwrap_or_else(|| self.room(1));
        if let Err(refusal) = room.and_then(|_| Ok(held.reserve(1)?)) {
            drop(held);
            return Err((entry, refusal));
        }
        self.count(1);
        held.push(entry);
        Ok(())
    }

    /// Puts the first of `entries`, as many as there is room for, in one step. Returns how
    /// many, at least one.
    ///
    /// # Errors
    /// Why it was none.
    pub fn try_put_some(
        &self,
        entries: &mut std::vec::IntoIter<S::Entry>,
    ) -> Result<usize, Refusal> {
        let mut held = self.lock();
        let room = self.room(entries.len().min(PUTS))?;
        held.reserve(room)?;
        self.count(room);
        entries.take(room).for_each(|entry| held.push(entry));
        Ok(room)
    }

    /// How many of `wanted` there is room for. With the lock in hand.
    #[inline]
    fn room(&self, wanted: usize) -> Result<usize, Refusal> {
        if self.closed.load(SeqCst) {
            return Err(Refusal::Closed);
        }
        match self.limit().saturating_sub(self.len.load(SeqCst) as u64) {
            0 => Err(Refusal::Full),
            room => Ok(usize::try_from(room).map_or(wanted, |room| room.min(wanted))),
        }
    }

    /// Counts values that are put. With the lock in hand.
    #[inline]
    fn count(&self, more: usize) {
        self.unfinished.fetch_add(more as u64, SeqCst);
        self.len.fetch_add(more, SeqCst);
    }

    /// Takes the value whose turn it is.
    #[inline]
    pub fn try_get(&self) -> TryGet<S::Value> {
        let mut held = self.lock();
        if self.shut.load(SeqCst) {
            return TryGet::Closed;
        }
        match held.pop() {
            Some(value) => {
                self.len.fetch_sub(1, SeqCst);
                TryGet::Got(value)
            }
            None => self.nothing(),
        }
    }

    /// Takes up to `count` values, and not more than lie together in a step, and calls
    /// `sink` with each, without the lock. Says how many, at least one.
    pub fn try_get_some(&self, count: usize, sink: impl FnMut(S::Value)) -> TryGet<usize> {
        self.get_unless(|| self.shut.load(SeqCst), count, sink)
    }

    /// [`Self::try_get_some`] on a queue that may be shut: what is left in it.
    pub fn get_some(&self, count: usize, sink: impl FnMut(S::Value)) -> TryGet<usize> {
        self.get_unless(|| false, count, sink)
    }

    fn get_unless(
        &self,
        over: impl Fn() -> bool,
        count: usize,
        sink: impl FnMut(S::Value),
    ) -> TryGet<usize> {
        let mut values = [const { None }; BATCH];
        let mut held = self.lock();
        if over() {
            return TryGet::Closed;
        }
        let mut taken = 0;
        while taken < count.min(BATCH)
            && let Some(value) = held.pop()
        {
            values[taken] = Some(value);
            taken += 1;
        }
        if taken == 0 {
            return self.nothing();
        }
        self.len.fetch_sub(taken, SeqCst);
        drop(held);
        // Only now: dropping one may run anything (G2).
        values.into_iter().flatten().for_each(sink);
        TryGet::Got(taken)
    }

    /// What to say of an empty shelf. With the lock in hand.
    fn nothing<R>(&self) -> TryGet<R> {
        if self.closed.load(SeqCst) { TryGet::Closed } else { TryGet::Empty }
    }

    /// Refuses further values. Says whether this call did it.
    pub fn close(&self) -> bool {
        let _held = self.lock();
        !self.closed.swap(true, SeqCst)
    }

    /// Refuses further values, and to give those that are left but to [`Self::get_some`].
    pub fn shut(&self) {
        let _held = self.lock();
        self.closed.store(true, SeqCst);
        self.shut.store(true, SeqCst);
    }

    /// Whether nothing can be put any more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len.load(SeqCst)
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room.
    pub fn is_full(&self) -> bool {
        self.len() as u64 >= self.limit()
    }

    /// How many values were put and are not done.
    pub fn unfinished(&self) -> u64 {
        self.unfinished.load(SeqCst)
    }

    /// Says that `count` values are done. Says whether they were the last; something may
    /// have been put meanwhile.
    ///
    /// # Errors
    /// How many are unfinished, if fewer; nothing is done.
    pub fn finish(&self, count: u64) -> Result<bool, u64> {
        let less = |unfinished: u64| unfinished.checked_sub(count);
        self.unfinished.fetch_update(SeqCst, SeqCst, less).map(|unfinished| unfinished == count)
    }

    /// Says that `count` values are done, or as many as are unfinished.
    pub fn finish_up_to(&self, mut count: u64) {
        while let Err(unfinished) = self.finish(count) {
            count = unfinished;
        }
    }

    /// Takes what is left and drops it, one value after the other.
    pub fn clear(&self) {
        while let TryGet::Got(_) = self.get_some(BATCH, drop) {}
    }

    /// Calls `visit` with each value until it fails; for a garbage collector, which finds
    /// the lock free (G2).
    ///
    /// # Errors
    /// The first error of `visit`.
    pub fn traverse<E>(&self, visit: impl FnMut(&S::Value) -> Result<(), E>) -> Result<(), E> {
        self.shelf.try_lock().map_or(Ok(()), |shelf| shelf.traverse(visit))
    }
}
