//! A queue: first in, first out, for any number of producers and consumers.
//!
//! # Idea and source
//! An endless row of slots ([`Segments`]) and two positions in it, where the
//! next value goes and where the next one comes from. As in D. Vyukov's bounded
//! MPMC queue (1024cores.net, 2010) and crossbeam's `SegQueue`, a producer claims
//! its slot by a compare-and-swap of the tail and fills it afterwards. Two things
//! differ:
//!
//! - *A consumer claims nothing that is not there.* It reads the word in the slot
//!   first and moves the head only if there is one. So nobody ever waits with a
//!   claim in hand. Who finds a slot claimed and not filled looks again instead
//!   of going to sleep: filling is not a change that is notified.
//! - *The bound is arithmetic.* The positions only grow; if the tail is read
//!   before the head, their difference is never less than the length at the
//!   moment the head is read, and the compare-and-swap of the tail
//!   proves that it has not grown since. So the bound is exact, and one
//!   algorithm serves every bound: a queue of at most 10^8 costs what is in it.
//!
//! A slot is one word: a value is a pointer ([`Pointer`]), 0 is emptiness.
//!
//! # Invariants
//! - **Q1** `head <= tail`; both only grow. A slot below the head is used up, one
//!   from the head up to the tail is claimed by a producer or filled.
//! - **Q2** The slot of a claimed position is written by its claimer, once, and
//!   by nobody else until its segment is retired, which is after the head has
//!   passed it (S3).
//! - **Q3** Whoever moves the head past a position owns the value that it read in
//!   that slot before: by Q1 the position was not passed meanwhile, and by Q2
//!   the word was the claimer's.
//! - **Q4** `tail - head <= limit`, and one more while a value is displaced. If the limit is
//!   lowered below the length, nothing is put until there is room, and a value that is
//!   put by force takes another one's place: one more for each that is doing so.
//! - **Q5** No tail moves once it is closed.
//! - **Q6** A put takes effect when its slot, or one behind it, is filled; none of those
//!   can be got before that. So the queue is empty as long as all slots from the head up to
//!   the tail are. A slot that is found empty was so since it was claimed, for it is filled
//!   once; if the tail was read before, and the head has not moved since before that, all
//!   were empty at the moment when the tail was read.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Release` | filling a slot | `Acquire` of the slot | what the value points to |
//! | `SeqCst` | every access to the two positions | each other | that "empty" and "full" are true at one moment, together with all other operations; S3 |
//! | `SeqCst` | the limit | the two positions | that who waits for room and who makes room see the same limit |
//! | `SeqCst` | the count of the done | the tail | "all done" likewise |
//! | `Relaxed` | a head that was seen | | any head there ever was will do |
//! | `Release` | the state, set | `Acquire` of the state | what came before the shut |
//!
//! # Progress
//! Consumers hinder nobody. A producer that is suspended between claiming and
//! filling, some nanoseconds, delays those who need its slot: they get
//! [`TryGet::Unfilled`]. All else is lock-free, allocation aside.

mod blocks;
pub mod guarded;
pub mod priority;
pub mod segments;

use std::marker::PhantomData;

use super::Backoff;
use super::memory::arena::OutOfMemory;
use super::memory::pointer::Pointer;
use super::shim::{
    AtomicBool, AtomicU64, AtomicUsize, LINE,
    Ordering::{Relaxed, SeqCst},
    mutant, ordering,
};
use segments::{End, START, Segments};

/// Why nothing was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There are as many values as the limit allows.
    Full,
    /// The queue was closed.
    Closed,
    /// There is no memory for the slots.
    OutOfMemory,
    /// A slot was claimed by another producer and is not filled yet; only
    /// [`Queue::force_put`] minds. Wait a moment and try again.
    Unfilled,
}

impl From<OutOfMemory> for Refusal {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Why an attempt came to nothing.
enum Miss {
    /// Another thread was quicker.
    Lost,
    Refused(Refusal),
}

impl From<OutOfMemory> for Miss {
    fn from(error: OutOfMemory) -> Self {
        Self::Refused(error.into())
    }
}

/// The first value, still in its slot.
struct First {
    head: u64,
    word: usize,
}

/// What there was to get.
#[derive(Debug, PartialEq, Eq)]
pub enum TryGet<T> {
    /// The value, or how many there were.
    Got(T),
    /// Nothing.
    Empty,
    /// Nothing, and nothing will come.
    Closed,
    /// The first value's producer has claimed its slot and not filled it yet.
    /// Wait a moment and try again.
    Unfilled,
}

/// In the tail: nothing can be put any more. The rest of the word is a position.
const CLOSED: u64 = 1 << 63;

/// The limit of a queue without one: more than there will ever be.
const UNLIMITED: u64 = CLOSED;

/// The limit that `limit` stands for: 0 is none.
fn bound_of(limit: u64) -> u64 {
    if limit == 0 { UNLIMITED } else { limit.min(UNLIMITED) }
}

/// At most so many values are taken by one step.
const BATCH: usize = if cfg!(loom) { 2 } else { 64 };

/// What the producers write to.
#[derive(Debug)]
struct Tail {
    /// Where the next value goes, and [`CLOSED`].
    position: AtomicU64,
    end: End,
    /// A head that was seen. It saves producers the head's cache line as long as
    /// even by this one there is room.
    head_seen: AtomicU64,
}

/// What the consumers write to.
#[derive(Debug)]
struct Head {
    /// Where the next value comes from.
    position: AtomicU64,
    end: End,
    /// Up to which position values are done with, as their consumers say.
    done: AtomicU64,
}

/// What keeps words in different cache lines, and pairs of lines where they are fetched in pairs.
/// Not by their alignment, for which an allocator needs as much again.
type Apart = [u8; LINE - align_of::<u64>()];

/// The rest of a line of 64 bytes behind what [`Segments`] ends with, which is hardly ever read.
type Behind = [u8; if LINE > 40 { 24 } else { 0 }];

/// It has one value: the others are there for the tag of an enum that a queue is in.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Niche {
    Taken = 1,
}

/// The queue.
#[derive(Debug)]
#[repr(C)]
pub struct Queue<T: Pointer> {
    /// How many values there may be; 2^63 is no limit.
    limit: AtomicU64,
    /// Whether the limit was lowered while the queue was in use: there may be more values.
    lowered: AtomicBool,
    /// Whether nothing can be got any more either.
    shut: AtomicBool,
    _niche: Niche,
    segments: Segments,
    _behind: Behind,
    tail: Tail,
    _apart: Apart,
    head: Head,
    values: PhantomData<T>,
}

impl<T: Pointer> Default for Queue<T> {
    fn default() -> Self {
        Self {
            limit: AtomicU64::new(UNLIMITED),
            lowered: AtomicBool::new(false),
            shut: AtomicBool::new(false),
            _niche: Niche::Taken,
            segments: Segments::default(),
            _behind: [0; size_of::<Behind>()],
            tail: Tail {
                position: AtomicU64::new(START),
                end: End::default(),
                head_seen: AtomicU64::new(START),
            },
            _apart: [0; size_of::<Apart>()],
            head: Head {
                position: AtomicU64::new(START),
                end: End::default(),
                done: AtomicU64::new(START),
            },
            values: PhantomData,
        }
    }
}

// SAFETY: the words in the slots are values, which go from thread to thread.
unsafe impl<T: Pointer> Sync for Queue<T> {}

impl<T: Pointer> Queue<T> {
    /// An empty queue without a limit. It has allocated nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the number of values; 0 is no limit. What is there stays.
    pub fn set_limit(&self, limit: u64) {
        let limit = bound_of(limit);
        if limit < self.limit() {
            self.lowered.store(true, SeqCst);
        }
        // A read-modify-write: who is notified of it looks at it after.
        self.limit.swap(limit, SeqCst);
    }

    /// The same for a queue that is being made.
    pub fn begin_with_limit(&self, limit: u64) {
        if self.tail.position.load(SeqCst) == START {
            self.limit.store(bound_of(limit), SeqCst);
        } else {
            self.set_limit(limit);
        }
    }

    #[inline]
    fn limit(&self) -> u64 {
        self.limit.load(SeqCst)
    }

    /// How many values there may be; 0 is no limit.
    pub fn bound(&self) -> u64 {
        if self.is_bounded() { self.limit() } else { 0 }
    }

    /// The bytes that it has allocated.
    pub fn bytes(&self) -> usize {
        self.segments.bytes()
    }

    /// Whether there is a limit.
    #[inline]
    pub fn is_bounded(&self) -> bool {
        self.limit() != UNLIMITED
    }

    /// Puts a value behind all others.
    ///
    /// # Errors
    /// The value and why it was refused; the queue is as it was.
    #[inline]
    pub fn try_put(&self, value: T) -> Result<(), (T, Refusal)> {
        if self.was_shut() {
            return Err((value, Refusal::Closed));
        }
        let tail = self.tail.position.load(SeqCst);
        if self.has_room(tail)
            && let Some(slot) = self.segments.slot(&self.tail.end, tail)
            && self.claim(tail, 1)
        {
            fill(slot, value);
            return Ok(());
        }
        self.put_slowly(value)
    }

    #[cold]
    #[inline(never)]
    fn put_slowly(&self, value: T) -> Result<(), (T, Refusal)> {
        let mut backoff = Backoff::new();
        loop {
            let (tail, _) = match self.room(1) {
                Ok(room) => room,
                Err(refusal) => return Err((value, refusal)),
            };
            if let Some(slot) = self.segments.slot(&self.tail.end, tail) {
                if self.claim(tail, 1) {
                    fill(slot, value);
                    return Ok(());
                }
                backoff.wait();
            } else if let Err(error) = self.segments.append(&self.tail.end, tail) {
                return Err((value, error.into()));
            }
        }
    }

    /// Puts the first of `values`, as many as there is room for at one place, in
    /// one step; they come out one after the other, with nothing in between.
    /// Returns how many, at least one.
    ///
    /// # Errors
    /// Why it was none.
    pub fn try_put_some(&self, values: &mut std::vec::IntoIter<T>) -> Result<usize, Refusal> {
        let mut backoff = Backoff::new();
        if self.was_shut() {
            return Err(Refusal::Closed);
        }
        loop {
            let (tail, room) = self.room(values.len())?;
            let Some(slots) = self.segments.slots(&self.tail.end, tail) else {
                self.segments.append(&self.tail.end, tail)?;
                continue;
            };
            let count = room.min(slots.len());
            if self.claim(tail, count as u64) {
                slots.iter().zip(values.take(count)).for_each(|(slot, value)| fill(slot, value));
                return Ok(count);
            }
            backoff.wait();
        }
    }

    /// Puts a value, and if there is no room takes the first one out for it: the
    /// two are one step. Returns what was displaced, which counts as done.
    ///
    /// # Errors
    /// The value and why it was refused; the queue is as it was.
    pub fn force_put(&self, value: T) -> Result<Option<T>, (T, Refusal)> {
        let mut backoff = Backoff::new();
        loop {
            match self.try_force() {
                Ok((slot, None)) => {
                    fill(slot, value);
                    return Ok(None);
                }
                Ok((slot, Some(first))) => {
                    fill(slot, value);
                    return Ok(self.displace(&first));
                }
                Err(Miss::Refused(refusal)) => return Err((value, refusal)),
                Err(Miss::Lost) => backoff.wait(),
            }
        }
    }

    /// Claims a slot: beyond the limit, if the queue is full and its first value
    /// is there, which is then to be displaced.
    fn try_force(&self) -> Result<(&AtomicUsize, Option<First>), Miss> {
        if self.was_shut() {
            return Err(Miss::Refused(Refusal::Closed));
        }
        let (tail, len, head) = self.ends()?;
        let limit = self.limit();
        if len > limit && !self.was_lowered() && !mutant!("queue.force.crowd") {
            // Another value is being displaced: one at a time (Q4).
            return Err(Miss::Refused(Refusal::Unfilled));
        }
        let first = if len >= limit { Some(self.first(head)?) } else { None };
        let Some(slot) = self.segments.slot(&self.tail.end, tail) else {
            self.segments.append(&self.tail.end, tail)?;
            return Err(Miss::Lost);
        };
        if self.claim(tail, 1) { Ok((slot, first)) } else { Err(Miss::Lost) }
    }

    /// The first value, if it is there.
    fn first(&self, head: u64) -> Result<First, Miss> {
        let Some(slot) = self.segments.slot(&self.head.end, head) else {
            self.segments.retire(&self.head.end, head);
            return Err(Miss::Lost);
        };
        match read(slot) {
            0 if self.head.position.load(SeqCst) == head => Err(Miss::Refused(Refusal::Unfilled)),
            0 => Err(Miss::Lost),
            word => Ok(First { head, word }),
        }
    }

    /// Takes the first value out, unless a consumer did.
    fn displace(&self, first: &First) -> Option<T> {
        self.pass(first.head, 1).then(|| {
            self.finish_up_to(1);
            // SAFETY: Q3.
            unsafe { T::from_raw(first.word) }
        })
    }

    /// Takes the first value.
    #[inline]
    pub fn try_get(&self) -> TryGet<T> {
        let head = self.head.position.load(SeqCst);
        if self.was_shut() {
            return TryGet::Closed;
        }
        if let Some(slot) = self.segments.slot(&self.head.end, head) {
            let word = read(slot);
            if word != 0 && self.pass(head, 1) {
                // SAFETY: Q3.
                return TryGet::Got(unsafe { T::from_raw(word) });
            }
        }
        self.get_slowly()
    }

    #[cold]
    #[inline(never)]
    fn get_slowly(&self) -> TryGet<T> {
        let mut got = None;
        match self.try_get_some(1, |value| got = Some(value)) {
            TryGet::Got(_) => TryGet::Got(got.expect("one was got")),
            TryGet::Empty => TryGet::Empty,
            TryGet::Closed => TryGet::Closed,
            TryGet::Unfilled => TryGet::Unfilled,
        }
    }

    /// Takes the first values, up to `count` and as many as lie together, in one
    /// step, and calls `sink` with each. Says how many, at least one.
    pub fn try_get_some(&self, count: usize, sink: impl FnMut(T)) -> TryGet<usize> {
        self.get_unless(|| self.was_shut() && !mutant!("queue.shut.unasked"), count, sink)
    }

    /// [`Self::try_get_some`] on a queue that may be shut: what is left in it.
    pub fn get_some(&self, count: usize, sink: impl FnMut(T)) -> TryGet<usize> {
        self.get_unless(|| false, count, sink)
    }

    /// Takes the first values unless it is `over`, which is asked after the head
    /// was read: so nobody takes a value after another that was left in a shut
    /// queue.
    fn get_unless(
        &self,
        over: impl Fn() -> bool,
        count: usize,
        mut sink: impl FnMut(T),
    ) -> TryGet<usize> {
        let mut words = [0; BATCH];
        let mut backoff = Backoff::new();
        loop {
            let head = self.head.position.load(SeqCst);
            if over() {
                return TryGet::Closed;
            }
            let Some(slots) = self.segments.slots(&self.head.end, head) else {
                if let Some(nothing) = self.nothing(head) {
                    return nothing;
                }
                self.segments.retire(&self.head.end, head);
                continue;
            };
            let words = read_filled(slots, &mut words[..count.min(BATCH)]);
            if words.is_empty() {
                match self.nothing(head) {
                    Some(nothing) => return nothing,
                    None if self.head.position.load(SeqCst) == head => return TryGet::Unfilled,
                    None => {}
                }
            } else if self.pass(head, words.len() as u64) {
                for word in &*words {
                    // SAFETY: Q3.
                    sink(unsafe { T::from_raw(*word) });
                }
                return TryGet::Got(words.len());
            }
            backoff.wait();
        }
    }

    /// What to say if the queue is empty with this head: it was so when the tail
    /// was read, for then the head, which is never beyond it, was still there.
    fn nothing<R>(&self, head: u64) -> Option<TryGet<R>> {
        let tail = self.tail.position.load(SeqCst);
        (tail & !CLOSED == head).then_some(if tail & CLOSED == 0 {
            TryGet::Empty
        } else {
            TryGet::Closed
        })
    }

    /// Whether no value was there at some moment of this call, only slots that producers have
    /// claimed and not filled (Q6). For one who does not wait: filling is not notified of in
    /// a way that one who falls asleep could rely on.
    #[cold]
    pub fn is_unfilled(&self) -> bool {
        let head = self.head.position.load(SeqCst);
        let tail = self.tail.position.load(SeqCst);
        if tail & CLOSED != 0 {
            return false;
        }
        // All of this after the tail was read: a slot that is empty now was so then.
        let empty =
            self.segments.are_empty(&self.head.end, head, tail) || mutant!("queue.unfilled.unread");
        empty && self.head.position.load(SeqCst) == head
    }

    /// Whether the first slot is filled, as far as one can tell without moving on.
    pub fn first_is_there(&self) -> bool {
        let head = self.head.position.load(SeqCst);
        self.segments.slot(&self.head.end, head).is_none_or(|slot| read(slot) != 0)
    }

    /// Closes the tail: nothing can be put any more (Q5). Says whether this call
    /// did it.
    pub fn close(&self) -> bool {
        self.tail.position.fetch_or(CLOSED, SeqCst) & CLOSED == 0
    }

    /// Closes both ends. What is left is for [`Self::get_some`].
    ///
    /// The state is set first, and everybody looks at it first: from then on
    /// all operations that begin find the queue shut. Those under way before may
    /// still put and get, as if they had come before.
    pub fn shut(&self) {
        self.shut.store(true, ordering!(Release, "queue.shut"));
        self.close();
    }

    /// Whether nothing can be put any more.
    pub fn is_closed(&self) -> bool {
        self.was_shut() || self.tail.position.load(SeqCst) & CLOSED != 0
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        let mut len = self.tail_beyond(&self.head.position);
        if !self.was_lowered() {
            // A value that is being displaced does not count.
            len = len.min(self.limit());
        }
        usize::try_from(len).unwrap_or(usize::MAX)
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
        self.tail_beyond(&self.head.done)
    }

    /// How far the tail is beyond a count that never overtakes it, at one moment:
    /// the count was the same before and after the tail was read.
    fn tail_beyond(&self, count: &AtomicU64) -> u64 {
        let mut behind = count.load(SeqCst);
        loop {
            let tail = self.tail.position.load(SeqCst) & !CLOSED;
            let again = count.load(SeqCst);
            if again == behind || mutant!("queue.beyond.unvalidated") {
                return tail - behind;
            }
            behind = again;
        }
    }

    /// Says that `count` values are done. Says whether they were the last;
    /// something may have been put meanwhile.
    ///
    /// # Errors
    /// How many are unfinished, if fewer; nothing is done.
    pub fn finish(&self, count: u64) -> Result<bool, u64> {
        let done_with = &self.head.done;
        let mut done = done_with.load(SeqCst);
        loop {
            let unfinished = (self.tail.position.load(SeqCst) & !CLOSED) - done;
            if unfinished < count {
                return Err(unfinished);
            }
            match done_with.compare_exchange_weak(done, done + count, SeqCst, SeqCst) {
                Ok(_) => return Ok(unfinished == count),
                Err(found) => done = found,
            }
        }
    }

    /// Takes what is left and drops it, one value after the other.
    pub fn clear(&self) {
        while let TryGet::Got(_) = self.get_some(BATCH, drop) {}
    }

    /// Says that `count` values are done, or as many as are unfinished.
    pub fn finish_up_to(&self, mut count: u64) {
        while let Err(unfinished) = self.finish(count) {
            count = unfinished;
        }
    }

    /// Calls `visit` with each value until it fails; for a garbage collector.
    ///
    /// # Safety
    /// No other thread is inside an operation on this queue.
    ///
    /// # Errors
    /// The first error of `visit`.
    pub unsafe fn traverse<E>(&self, mut visit: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        let head = self.head.position.load(SeqCst);
        let tail = self.tail.position.load(SeqCst) & !CLOSED;
        let visit = |word| {
            // SAFETY: Q1: with nobody inside, each of these slots is filled.
            unsafe { T::peek(word, &mut visit) }
        };
        // SAFETY: the caller's promise.
        unsafe { self.segments.traverse(&self.head.end, head, tail, visit) }
    }

    /// Whether there may be more values than the limit allows.
    fn was_lowered(&self) -> bool {
        self.lowered.load(SeqCst)
    }

    /// Whether [`Self::shut`] was called.
    #[inline]
    fn was_shut(&self) -> bool {
        self.shut.load(ordering!(Acquire, "queue.was_shut"))
    }

    /// Whether there is room behind `tail`, which is not closed, as far as one
    /// can tell without looking at the head.
    #[inline]
    fn has_room(&self, tail: u64) -> bool {
        // No limit is more than any open tail, and no more than a closed one.
        tail < self.limit() || tail.wrapping_sub(self.tail.head_seen.load(Relaxed)) < self.limit()
    }

    /// The tail, and how many of `wanted` values there is room for behind it.
    ///
    /// The tail is read first. So the room is there when the tail is claimed,
    /// and if there is none, that was so when the head was read.
    fn room(&self, wanted: usize) -> Result<(u64, usize), Refusal> {
        loop {
            let (tail, len, head) = match self.ends() {
                Ok(ends) => ends,
                Err(Miss::Lost) => continue,
                Err(Miss::Refused(refusal)) => return Err(refusal),
            };
            self.tail.head_seen.store(head, Relaxed);
            return match self.limit().saturating_sub(len) {
                0 => Err(Refusal::Full),
                room => Ok((tail, usize::try_from(room).map_or(wanted, |room| room.min(wanted)))),
            };
        }
    }

    /// The tail, if it is open, how many values there are, and the head. The tail
    /// is read first; it is lost if it was left behind when the head was read.
    fn ends(&self) -> Result<(u64, u64, u64), Miss> {
        let tail = self.tail.position.load(SeqCst);
        if tail & CLOSED != 0 {
            return Err(Miss::Refused(Refusal::Closed));
        }
        let head = if mutant!("queue.ends.hint") {
            self.tail.head_seen.load(Relaxed)
        } else {
            self.head.position.load(SeqCst)
        };
        let len = tail.checked_sub(head).ok_or(Miss::Lost)?;
        Ok((tail, len, head))
    }

    /// Moves the tail past `count` slots, which are the caller's to fill (Q2).
    #[inline]
    fn claim(&self, tail: u64, count: u64) -> bool {
        self.tail.position.compare_exchange(tail, tail + count, SeqCst, SeqCst).is_ok()
    }

    /// Moves the head past `count` values, which are the caller's (Q3).
    #[inline]
    fn pass(&self, head: u64, count: u64) -> bool {
        self.head.position.compare_exchange(head, head + count, SeqCst, SeqCst).is_ok()
    }
}

impl<T: Pointer> Drop for Queue<T> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[inline]
fn fill<T: Pointer>(slot: &AtomicUsize, value: T) {
    // Release: what the value points to.
    slot.store(value.into_raw(), ordering!(Release, "queue.slot.fill"));
}

#[inline]
fn read(slot: &AtomicUsize) -> usize {
    // Acquire: what the value points to; and the slot is read before the head
    // is moved.
    slot.load(ordering!(Acquire, "queue.slot.read"))
}

/// The words of the first slots that are filled, as many as there is space for.
fn read_filled<'a>(slots: &[AtomicUsize], words: &'a mut [usize]) -> &'a mut [usize] {
    let mut count = 0;
    for (slot, word) in slots.iter().zip(&mut *words) {
        *word = read(slot);
        if *word == 0 {
            break;
        }
        count += 1;
    }
    &mut words[..count]
}
