//! What was evicted of late: S3-FIFO's ghost queue.
//!
//! # Idea and source
//! The paper (see `policy.rs`) proposes to keep no queue but a table of
//! fingerprints, each with the time at which it was evicted, counted in evictions:
//! what is older than the queue would be long is out of it. A bucket is a cache
//! line of eight slots. When it overflows, its oldest fingerprint is forgotten
//! too early: with five slots for four fingerprints, about one in twenty.
//! A slot takes 8 bytes, a fingerprint 10.
//!
//! Two keys of one fingerprint are taken for one another: once in 2^32 / 8.

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
        let (time, capacity) = (self.time, self.capacity);
        let wanted = fingerprint(hash);
        let Some(bucket) = self.bucket(wanted) else { return false };
        let is_it = |slot: &&mut Slot| slot.time != 0 && slot.fingerprint == wanted;
        let Some(slot) = bucket.0.iter_mut().find(is_it) else { return false };
        let found = std::mem::take(slot);
        time.wrapping_sub(found.time) < capacity
    }

    fn bucket(&mut self, fingerprint: u32) -> Option<&mut Bucket> {
        // The upper bits of the product: a number below the number of buckets.
        let place = (u64::from(fingerprint) * self.buckets.len() as u64) >> 32;
        self.buckets.get_mut(usize::try_from(place).ok()?)
    }

    fn store(&mut self, slot: Slot) {
        let time = self.time;
        let Some(bucket) = self.bucket(slot.fingerprint) else { return };
        let age = |old: &Slot| if old.time == 0 { u32::MAX } else { time.wrapping_sub(old.time) };
        let oldest = bucket.0.iter_mut().max_by_key(|old| {
            // An older eviction of the same key gives way first.
            (old.fingerprint == slot.fingerprint, age(old))
        });
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
#[allow(clippy::cast_possible_truncation)] // some bits are meant
fn fingerprint(hash: u64) -> u32 {
    (hash >> 28) as u32
}
