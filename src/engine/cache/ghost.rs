//! What was evicted of late: S3-FIFO's ghost queue.
//!
//! # Idea and source
//! The paper (see `policy.rs`) proposes to keep no queue but a table of
//! fingerprints, each with the time at which it was evicted, counted in evictions:
//! what is older than the queue would be long is out of it, and its slot free. A
//! fingerprint has two buckets of eight slots, a cache line each, and goes to the
//! emptier one (Y. Azar, A. Broder, A. Karlin, E. Upfal, "Balanced Allocations",
//! STOC 1994), so that four of five slots can be in use and hardly any bucket
//! overflows. With one bucket to each, one in twenty is forgotten too early, which
//! costs points of the hit ratio where keys come round in a loop.
//!
//! A slot takes 8 bytes, a fingerprint 10. Two keys of one fingerprint are taken for
//! one another: once in 2^32 / 16.

const SLOTS: usize = 8;

/// Fingerprints and when they came.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    fingerprints: [u32; SLOTS],
    times: [u32; SLOTS],
}

/// The first eviction's time: a slot that was never used has time 0, long ago.
const START: u32 = 1 << 31;

/// The fingerprints of the last evictions.
#[derive(Debug)]
pub(super) struct Ghost {
    buckets: Vec<Bucket>,
    /// How many evictions are remembered.
    capacity: u32,
    time: u32,
}

impl Default for Ghost {
    fn default() -> Self {
        Self { buckets: Vec::new(), capacity: 0, time: START }
    }
}

impl Ghost {
    /// Remembers an eviction, as one of the last `capacity`.
    pub(super) fn insert(&mut self, hash: u64, capacity: usize) {
        self.capacity = u32::try_from(capacity).unwrap_or(START).min(START);
        self.time = self.time.wrapping_add(1);
        if !self.is_large_enough() {
            self.grow();
        }
        self.store(fingerprint(hash), self.time);
    }

    /// Whether the key was evicted of late, which is forgotten.
    pub(super) fn remove(&mut self, hash: u64) -> bool {
        let wanted = fingerprint(hash);
        let Some(places) = self.places(wanted) else { return false };
        places.into_iter().any(|place| self.remove_from(place, wanted))
    }

    fn remove_from(&mut self, place: usize, wanted: u32) -> bool {
        let Bucket { fingerprints, times } = &self.buckets[place];
        // All at once, without a branch: most often it is not there.
        if fingerprints.map(|each| each == wanted) == [false; SLOTS] {
            return false;
        }
        let is_it = |slot: &usize| fingerprints[*slot] == wanted && self.is_recent(times[*slot]);
        let Some(slot) = (0..SLOTS).find(is_it) else { return false };
        self.buckets[place].times[slot] = 0;
        true
    }

    fn age(&self, time: u32) -> u32 {
        self.time.wrapping_sub(time)
    }

    fn is_recent(&self, time: u32) -> bool {
        self.age(time) < self.capacity
    }

    /// The two buckets of a fingerprint, as soon as there are any.
    fn places(&self, fingerprint: u32) -> Option<[usize; 2]> {
        let other = fingerprint.wrapping_mul(0x9E37_79B1).rotate_left(16);
        // The upper half of the product: a number below that of the buckets.
        let place = |bits: u32| ((u64::from(bits) * self.buckets.len() as u64) >> 32) as usize;
        (!self.buckets.is_empty()).then(|| [fingerprint, other].map(place))
    }

    fn store(&mut self, fingerprint: u32, time: u32) {
        let Some([first, second]) = self.places(fingerprint) else { return };
        let in_use = |place: usize| {
            self.buckets[place].times.map(|t| u8::from(self.is_recent(t))).iter().sum::<u8>()
        };
        let emptier = if in_use(second) < in_use(first) { second } else { first };
        let ages = self.buckets[emptier].times.map(|time| self.age(time));
        let oldest = (0..SLOTS).max_by_key(|slot| ages[*slot]).expect("a bucket has slots");
        self.buckets[emptier].fingerprints[oldest] = fingerprint;
        self.buckets[emptier].times[oldest] = time;
    }

    fn is_large_enough(&self) -> bool {
        // Four of five slots are used.
        self.buckets.len() * SLOTS * 4 >= self.capacity as usize * 5
    }

    /// Makes room. Memory that is refused is done without.
    #[cold]
    fn grow(&mut self) {
        let wanted = (self.capacity as usize + self.capacity as usize / 4).div_ceil(SLOTS);
        let mut buckets = Vec::new();
        // A shard's share of a cache varies: some more, so that this stays rare.
        if buckets.try_reserve_exact(wanted + wanted / 16 + 1).is_ok() {
            buckets.resize(buckets.capacity(), Bucket::default());
            for Bucket { fingerprints, times } in std::mem::replace(&mut self.buckets, buckets) {
                let slots = fingerprints.into_iter().zip(times);
                slots.for_each(|(fingerprint, time)| self.store(fingerprint, time));
            }
        }
    }
}

/// The bits of a hash that choose neither the shard nor, in most caches, the bucket.
#[allow(clippy::cast_possible_truncation)] // some bits are meant
fn fingerprint(hash: u64) -> u32 {
    (hash >> 28) as u32
}
