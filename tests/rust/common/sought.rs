//! Keys for the tests of the cache, and the cache as they see it.

use std::ops::Range;

use lockfree::engine::cache::{Cache, Clock, Glance, Glimpse, Item, Put, Query, Removed};
use lockfree::engine::{Counted, OutOfMemory};

/// A reference that shows a number.
pub(crate) trait Numbered: Counted + Sized {
    fn number(&self) -> usize;

    /// The same of what has that memory now: the tests' is always there.
    fn number_at(word: usize) -> usize {
        // SAFETY: a word of our own, and whatever it is of by now has a number.
        unsafe { Self::peek(word, Self::number) }
    }
}

/// In models, the keys that are compared by a look.
#[allow(dead_code)] // models use it
pub(crate) const PLAIN: Range<usize> = 100..110;

/// In models, the other keys.
#[allow(dead_code)] // as above
pub(crate) const KEYS: Range<usize> = 0..10;

/// A key that is looked for: a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sought {
    pub(crate) number: usize,
    pub(crate) hash: u64,
    /// Whether no two numbers have the same hash.
    pub(crate) by_hash: bool,
}

impl<T: Numbered> Query<T> for Sought {
    type Error = OutOfMemory;

    fn hash(&self) -> u64 {
        self.hash
    }

    fn address(&self) -> usize {
        usize::MAX // it is no other's
    }

    fn by_hash(&self) -> bool {
        self.by_hash
    }

    /// Some numbers are as texts are to Python.
    unsafe fn is_plainly(&self, key: &Glimpse<'_>) -> bool {
        let plain = if cfg!(loom) { PLAIN.contains(&self.number) } else { self.number % 2 == 1 };
        if !plain {
            return false;
        }
        let number = T::number_at(key.word());
        let holds = key.holds();
        // As if an address in it were followed: it is no value that came in the key's place.
        let is_keys = KEYS.contains(&number) || PLAIN.contains(&number);
        assert!(!cfg!(loom) || !holds || is_keys, "{number} is no key's");
        holds && number == self.number
    }

    fn is(&self, key: &T) -> Result<bool, OutOfMemory> {
        assert!(!self.by_hash, "the hash tells");
        Ok(key.number() == self.number)
    }
}

/// How long an item is good that is good for ever.
pub(crate) const FOREVER: u64 = 0;

/// A map from numbers to numbers.
pub(crate) struct Map<T: Counted, C: Clock, M> {
    pub(crate) cache: Cache<T, C>,
    /// Makes references.
    pub(crate) make: M,
    /// Hashes keys, and tells whether that is all that counts.
    pub(crate) hash: fn(usize) -> (u64, bool),
}

impl<T: Numbered, C: Clock, M: Fn(usize) -> T> Map<T, C, M> {
    pub(crate) fn sought(&self, number: usize) -> Sought {
        let (hash, by_hash) = (self.hash)(number);
        Sought { number, hash, by_hash }
    }

    /// By a glance at first, for some of the keys.
    pub(crate) fn get(&self, key: usize) -> Option<usize> {
        if !cfg!(loom) && key.is_multiple_of(3) {
            return self.glance(key);
        }
        self.search(key)
    }

    pub(crate) fn glance(&self, key: usize) -> Option<usize> {
        match self.cache.glance(&self.sought(key)) {
            Glance::Found(value) => Some(value.number()),
            Glance::Absent => None,
            Glance::Unknown => self.search(key),
        }
    }

    fn search(&self, key: usize) -> Option<usize> {
        let value = self.cache.get(&self.sought(key), drop).unwrap();
        value.map(|value| value.number())
    }

    pub(crate) fn contains(&self, key: usize) -> bool {
        self.cache.contains(&self.sought(key), drop).unwrap()
    }

    pub(crate) fn put(&self, key: usize, value: usize) -> Vec<usize> {
        self.put_weighed(key, value, 1, FOREVER)
    }

    /// Returns the keys that had to go.
    pub(crate) fn put_weighed(
        &self,
        key: usize,
        value: usize,
        weight: u64,
        deadline: u64,
    ) -> Vec<usize> {
        let item = Item { key: (self.make)(key), value: (self.make)(value), weight, deadline };
        match self.cache.put_at_once(&self.sought(key), item, || true) {
            Put::AtOnce(evicted) => evicted.iter().map(|evicted| evicted.key.number()).collect(),
            Put::Later(result, removed) => {
                result.unwrap();
                keys(&removed)
            }
        }
    }

    pub(crate) fn get_or_put(&self, key: usize, value: usize, deadline: u64) -> Option<usize> {
        let item = Item { key: (self.make)(key), value: (self.make)(value), weight: 1, deadline };
        let mut removed = Removed::default();
        let found = self.cache.get_or_put(&self.sought(key), item, &mut removed, || true).unwrap();
        found.map(|value| value.number())
    }

    pub(crate) fn remove(&self, key: usize) -> Option<usize> {
        let item = self.cache.remove(&self.sought(key), drop).unwrap();
        item.map(|(key, value)| {
            assert_eq!(key.number(), key.number());
            value.number()
        })
    }

    /// All items, ordered by their keys.
    pub(crate) fn items(&self) -> Vec<(usize, usize)> {
        let items = self.cache.items(|| Ok::<_, OutOfMemory>(())).unwrap().into_iter();
        let mut items: Vec<_> = items.map(|(key, value)| (key.number(), value.number())).collect();
        items.sort_unstable();
        items
    }
}

pub(crate) fn keys<T: Numbered>(removed: &Removed<T>) -> Vec<usize> {
    removed.iter().map(|evicted| evicted.key.number()).collect()
}
