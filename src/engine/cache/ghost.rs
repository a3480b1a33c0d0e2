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

/// A fingerprint and when it came.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    fingerprint: u32,
    /// 0 is an empty slot.
    time: u32,
}

const SLOTS: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket([Slot; SLOTS]);

/// The fingerprints of the last evictions.
#[derive(Debug, Default)]
pub(super) struct Ghost {
    buckets: Vec<Bucket>,
    /// How many evictions are remembered.
    capacity: u32,
    time: u32,
}

impl Ghost {
    /// Remembers an eviction, as one of the last `capacity`.
    pub(super) fn insert(&mut self, hash: u64, capacity: usize) {
        self.resize(u32::try_from(capacity).unwrap_or(u32::MAX));
        self.time = self.time.wrapping_add(1).max(1);
        let slot = Slot { fingerprint: fingerprint(hash), time: self.time };
        self.store(slot);
    }

    /// Whether the key was evicted of late, which is forgotten.
    pub(super) fn remove(&mut self, hash: u64) -> bool {
        let wanted = fingerprint(hash);
        let is_it = |slot: &&mut Slot| slot.time != 0 && slot.fingerprint == wanted;
        let Some(places) = self.places(wanted) else { return false };
        for place in places {
            if let Some(slot) = self.buckets[place].0.iter_mut().find(is_it) {
                let found = std::mem::take(slot);
                return self.time.wrapping_sub(found.time) < self.capacity;
            }
        }
        false
    }

    /// The two buckets of a fingerprint, as soon as there are any.
    fn places(&self, fingerprint: u32) -> Option<[usize; 2]> {
        let other = fingerprint.wrapping_mul(0x9E37_79B1).rotate_left(16);
        // The upper half of the product: a number below that of the buckets.
        let place = |bits: u32| ((u64::from(bits) * self.buckets.len() as u64) >> 32) as usize;
        (!self.buckets.is_empty()).then(|| [fingerprint, other].map(place))
    }

    fn store(&mut self, slot: Slot) {
        let Some(places) = self.places(slot.fingerprint) else { return };
        let (time, capacity) = (self.time, self.capacity);
        let age =
            |slot: &Slot| if slot.time == 0 { u32::MAX } else { time.wrapping_sub(slot.time) };
        let in_use = |place: &usize| {
            self.buckets[*place].0.iter().filter(|slot| age(slot) < capacity).count()
        };
        let [first, second] = places;
        let emptier = if in_use(&second) < in_use(&first) { second } else { first };
        let oldest = self.buckets[emptier].0.iter_mut().max_by_key(|slot| age(slot));
        *oldest.expect("a bucket has slots") = slot;
    }

    /// Makes room: memory that is refused is not used.
    fn resize(&mut self, capacity: u32) {
        self.capacity = capacity;
        let wanted = (capacity as usize + capacity as usize / 4).div_ceil(SLOTS);
        if wanted <= self.buckets.len() {
            return;
        }
        let mut buckets = Vec::new();
        // A shard's share of a cache varies: some more, so that this stays rare.
        if buckets.try_reserve_exact(wanted + wanted / 16).is_ok() {
            buckets.resize(buckets.capacity(), Bucket::default());
            let before = std::mem::replace(&mut self.buckets, buckets);
            let slots = before.into_iter().flat_map(|bucket| bucket.0);
            slots.filter(|slot| slot.time != 0).for_each(|slot| self.store(slot));
        }
    }
}

/// The bits of a hash that choose neither the shard nor, in most caches, the bucket.
fn fingerprint(hash: u64) -> u32 {
    (hash >> 28) as u32
}
