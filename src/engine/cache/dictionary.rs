//! A dictionary: the cache's table without a bound, and with updates that compare.
//!
//! # Idea
//! All that is hard about the cache is its search and its memory, and a dictionary has the
//! same. Nothing is evicted and nothing expires, so that the [policy](Unlimited) has nothing in
//! an entry: it takes 40 bytes.
//!
//! An update that depends on the value that it replaces takes it by identity: the caller has a
//! reference to the value that it expects, so that no other one has its address meanwhile.
//!
//! # Invariants
//! Those of the cache (C1, C2, C4); and
//! - **D1** The value of a key changes under the lock of its shard only. So an update that finds
//!   the expected value there and replaces it takes effect at one moment, its store.
//!
//! # Progress
//! As the cache's: what looks is lock-free, what changes locks one shard.

use super::super::memory::arena::OutOfMemory;
use super::super::memory::epoch::{Epochs, Reclaim};
use super::super::memory::pointer::Counted;
use super::super::shim::{Ordering::Relaxed, mutant};
use super::lookup::{Found, Known, Query, mix};
use super::policy::Unlimited;
use super::removed::Removed;
use super::shard::{Locked, Namesake};
use super::update::{Item, own, take_notice};
use super::{Cache, Clock, Glance, MOST_SHARDS, UNBOUNDED};

/// Where nothing expires it is always the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Never;

impl Clock for Never {
    #[inline(always)]
    fn now(&self) -> u64 {
        0
    }
}

/// The dictionary.
#[derive(Debug)]
pub struct Dictionary<T: Counted, G: Reclaim = Epochs> {
    table: Cache<T, Never, G, Unlimited>,
}

impl<T: Counted, G: Reclaim> Default for Dictionary<T, G> {
    fn default() -> Self {
        Self::with(MOST_SHARDS)
    }
}

fn item<T>(key: T, value: T) -> Item<T> {
    Item { key, value, weight: 1, deadline: 0 }
}

impl<T: Counted, G: Reclaim> Dictionary<T, G> {
    /// An empty dictionary with so many shards, a power of two of up to 16.
    pub fn with(shards: usize) -> Self {
        Self { table: Cache::with(UNBOUNDED, shards, Never) }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// As [`Query::is`].
    #[inline]
    pub fn get<Q: Query<T>>(&self, query: &Q) -> Result<Option<T>, Q::Error> {
        self.table.peek(query, |_| ())
    }

    /// The same, if the first look tells (as [`Cache::glance`]).
    #[inline(always)]
    pub fn glance<Q: Query<T>>(&self, query: &Q) -> Glance<T> {
        self.table.glance(query)
    }

    /// Whether a key is there.
    ///
    /// # Errors
    /// As [`Query::is`].
    pub fn contains<Q: Query<T>>(&self, query: &Q) -> Result<bool, Q::Error> {
        self.table.contains(query, |_| ())
    }

    /// Gives a key a value.
    ///
    /// # Errors
    /// As [`Query::is`], or [`OutOfMemory`]; then nothing was changed.
    #[inline]
    pub fn put<Q: Query<T>>(&self, query: &Q, key: T, value: T) -> Result<(), Q::Error> {
        self.table.put(query, item(key, value), &mut Removed::default())
    }

    /// The same, if `admit` still says so under the lock (as [`Cache::put_if`]).
    ///
    /// # Errors
    /// As for [`Self::put`].
    pub fn put_if<Q: Query<T>>(
        &self,
        query: &Q,
        key: T,
        value: T,
        admit: impl Fn() -> bool,
    ) -> Result<(), Q::Error> {
        self.table.put_if(query, item(key, value), &mut Removed::default(), admit)
    }

    /// Returns the value of a key; or gives it this one, if it has none.
    ///
    /// # Errors
    /// As for [`Self::put`].
    pub fn get_or_put<Q: Query<T>>(
        &self,
        query: &Q,
        key: T,
        value: T,
    ) -> Result<Option<T>, Q::Error> {
        self.table.get_or_put(query, item(key, value), &mut Removed::default())
    }

    /// Waits for those who are changing the shard of a hash.
    pub fn settle(&self, hash: u64) {
        self.table.settle(hash);
    }

    /// Replaces the value of a key, if it has one, and that is the expected one: the one at
    /// this address, to which the caller has a reference; any, if `None`. Returns the old
    /// value, or gives the new one back.
    ///
    /// # Errors
    /// As [`Query::is`].
    pub fn replace<Q: Query<T>>(
        &self,
        query: &Q,
        expected: Option<usize>,
        value: T,
    ) -> Result<Result<T, T>, Q::Error> {
        let Some(core) = self.table.core() else { return Ok(Err(value)) };
        if core.is_shared.load(Relaxed) {
            value.hand_over();
        }
        let word = value.into_raw();
        let replaced =
            self.change(query, expected, |locked, found| locked.replace(found, word, 0, 1));
        // SAFETY: E4: the reference of the one or of the other word is ours now.
        let own = |word| unsafe { T::from_raw(word) };
        match replaced {
            Ok(Some(old)) => {
                let old = own(old);
                take_notice(core, &old);
                Ok(Ok(old))
            }
            Ok(None) => Ok(Err(own(word))),
            Err(error) => {
                drop(own(word));
                Err(error)
            }
        }
    }

    /// Removes a key, if its value is the expected one, as for [`Self::replace`], and returns
    /// both.
    ///
    /// # Errors
    /// As [`Query::is`].
    pub fn remove<Q: Query<T>>(
        &self,
        query: &Q,
        expected: Option<usize>,
    ) -> Result<Option<(T, T)>, Q::Error> {
        let words = self.change(query, expected, |locked, found| locked.remove(found.index))?;
        G::tidy();
        Ok(words.map(|words| own(&words)))
    }

    /// Calls `act` under the lock with a key's entry, if its value is the expected
    /// one.
    fn change<Q: Query<T>, R>(
        &self,
        query: &Q,
        expected: Option<usize>,
        act: impl FnOnce(&mut Locked<'_, G, Unlimited>, Found<'_, Unlimited>) -> R,
    ) -> Result<Option<R>, Q::Error> {
        let Some(core) = self.table.core() else { return Ok(None) };
        let mut known = Known::default();
        loop {
            let mut locked = core.lock::<G>(mix(query.hash()));
            match locked.namesake(query, &known) {
                Namesake::Absent => return Ok(None),
                Namesake::Equal(found) => {
                    // Here and not before: D1.
                    let (_, value) = found.place.words();
                    let is_expected = expected.is_none_or(|expected| value == expected)
                        || mutant!("dictionary.expected.unchecked");
                    return Ok(is_expected.then(|| act(&mut locked, found)));
                }
                Namesake::Unknown => {}
            }
            drop(locked);
            known.equal = core.search::<T, G, Q>(query, &mut known)?;
        }
    }

    /// Removes some item, and returns it.
    pub fn remove_any(&self) -> Option<(T, T)> {
        let item = self.table.remove_victim(drop);
        G::tidy();
        item
    }

    /// Removes all items, shard by shard; `dropped` is called for each, with nothing held.
    pub fn clear(&self, dropped: impl FnMut()) {
        self.table.clear(dropped);
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The bytes that it has allocated.
    pub fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// The keys, shard by shard as of one moment each.
    ///
    /// # Errors
    /// [`OutOfMemory`], or what `between` returned.
    pub fn keys<E: From<OutOfMemory>>(
        &self,
        between: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<T>, E> {
        self.table.keys(between)
    }

    /// The items, shard by shard as of one moment each.
    ///
    /// # Errors
    /// As [`Self::keys`].
    pub fn items<E: From<OutOfMemory>>(
        &self,
        between: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<(T, T)>, E> {
        self.table.items(between)
    }

    /// Calls `visit` with each key and value until it fails; for a garbage collector.
    ///
    /// # Safety
    /// No other thread is inside an operation on this dictionary.
    ///
    /// # Errors
    /// The first error of `visit`.
    pub unsafe fn traverse<E>(&self, visit: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        // SAFETY: the caller's promise.
        unsafe { self.table.traverse(visit) }
    }
}
