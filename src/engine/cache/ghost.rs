//! What was evicted of late: S3-FIFO's ghost queue.
//!
//! # Idea and source
//! The paper (see `policy.rs`) proposes to keep no queue but a table of
//! fingerprints, each with the time at which it was evicted, counted in evictions:
//! what is older than the queue would be long is out of it. Here a bucket is a cache
//! line, whose slots are filled in turn: the oldest is overwritten, and nothing has
//! to be looked for. Fingerprints come to the buckets as chance will have it, and of a
//! bucket that more come to than it has slots, some are forgotten too early: with
//! [`LOAD`] to a bucket on average one in 600, with [`MOST`] one in 100. (It matters
//! where keys come round in a loop: there each is a miss.)
//!
//! A fingerprint takes 8 bytes. Two keys are taken for one another once in 2^16 / 15.

use std::array;

use super::super::memory::growth::filled;

const SLOTS: usize = 15;

/// The place of what is no slot.
const NEXT: usize = SLOTS;

/// Fingerprints to a bucket, on average, when it is made.
const LOAD: usize = 8;

/// Fingerprints to a bucket, on average, that more buckets are made for.
const MOST: usize = 10;

/// Ticks of the clock while the queue would be as long as it may, at the least.
/// A slot that is not overwritten for four times as long seems to be new again.
const TICKS: u32 = 1 << 14;

/// Fingerprints, and when they came.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Bucket {
    /// 0 where there is none, as in the last one always: sixteen are compared at once.
    fingerprints: [u16; SLOTS + 1],
    /// And, at [`NEXT`], the slot to be filled next.
    times: [u16; SLOTS + 1],
}

const _: () = assert!(size_of::<Bucket>() == 64, "a bucket fills a cache line");

impl Bucket {
    /// Whether a slot has this fingerprint, and was filled less than `recent` ticks ago.
    #[inline(always)]
    fn is(&self, slot: usize, wanted: u16, now: u16, recent: u16) -> bool {
        (self.fingerprints[slot] == wanted) & (now.wrapping_sub(self.times[slot]) < recent)
    }

    /// Forgets a fingerprint that is there.
    #[cold]
    fn forget(&mut self, wanted: u16, now: u16, recent: u16) -> bool {
        let found = (0..SLOTS).find(|slot| self.is(*slot, wanted, now, recent));
        found.map(|slot| self.fingerprints[slot] = 0).is_some()
    }
}

/// The fingerprints of the last evictions. What each eviction writes comes first.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Ghost {
    /// Evictions since the last tick.
    since: u32,
    time: u16,
    /// For so many ticks they are remembered.
    recent: u16,
    /// How many evictions are.
    capacity: u32,
    /// How many evictions pass between two ticks.
    tick_length: u32,
    buckets: Vec<Bucket>,
}

impl Ghost {
    /// Where what each eviction writes ends.
    pub(super) const WRITTEN: usize = std::mem::offset_of!(Self, recent);

    /// Remembers an eviction, as one of the last `capacity`.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, capacity: usize) {
        if self.capacity as usize != capacity {
            self.remember(capacity);
        }
        self.tick();
        let time = self.time;
        let Some(bucket) = self.bucket(hash) else { return };
        let slot = usize::from(bucket.times[NEXT]) % SLOTS;
        bucket.fingerprints[slot] = fingerprint(hash);
        bucket.times[slot] = time;
        bucket.times[NEXT] = if slot + 1 == SLOTS { 0 } else { bucket.times[NEXT] + 1 };
    }

    /// Whether the key was evicted of late, which is forgotten.
    #[inline]
    pub(super) fn remove(&mut self, hash: u64) -> bool {
        let (wanted, now, recent) = (fingerprint(hash), self.time, self.recent);
        let Some(bucket) = self.bucket(hash) else { return false };
        let is_it = |slot: usize| bucket.is(slot, wanted, now, recent);
        // All at once, without a branch: most often it is not there.
        let is_there = array::from_fn::<bool, { SLOTS + 1 }, _>(is_it) != [false; SLOTS + 1];
        is_there && bucket.forget(wanted, now, recent)
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Counts an eviction.
    fn tick(&mut self) {
        self.since += 1;
        if self.since >= self.tick_length {
            (self.time, self.since) = (self.time.wrapping_add(1), 0);
        }
    }

    /// From now on the last `capacity` evictions are remembered.
    #[cold]
    fn remember(&mut self, capacity: usize) {
        self.capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
        self.tick_length = (self.capacity / TICKS).max(1);
        // Less than twice `TICKS`, but for what divides badly.
        self.recent = u16::try_from(self.capacity / self.tick_length).unwrap_or(u16::MAX);
        if self.buckets.len() * MOST < capacity {
            self.grow();
        }
    }

    /// The bucket of a hash, as soon as there is any.
    fn bucket(&mut self, hash: u64) -> Option<&mut Bucket> {
        // The upper half of the product: a number below that of the buckets.
        let place = (u64::from(place_bits(hash)) * self.buckets.len() as u64) >> 32;
        self.buckets.get_mut(usize::try_from(place).ok()?)
    }

    /// Makes more buckets, and forgets what was in the others: it happens when the
    /// cache becomes full, and seldom again. Memory that is refused is done without.
    #[cold]
    fn grow(&mut self) {
        let wanted = (self.capacity as usize).div_ceil(LOAD);
        if let Ok(buckets) = filled(Bucket::default(), wanted) {
            self.buckets = buckets;
        }
    }
}

/// The bits of a hash that choose neither the shard nor, in most caches, the chain.
#[allow(clippy::cast_possible_truncation)] // some bits are meant
fn place_bits(hash: u64) -> u32 {
    (hash >> 28) as u32
}

/// Other bits, and never 0.
#[allow(clippy::cast_possible_truncation)] // some bits are meant
fn fingerprint(hash: u64) -> u16 {
    (hash as u16).max(1)
}
