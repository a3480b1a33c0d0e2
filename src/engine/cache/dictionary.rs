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
//! *The value of a key that is there is replaced without the shard's lock.* The writer finds the entry as a
//! reader does, inside a guard; claims it, by a latch in a byte of it that would be lost otherwise; looks whether the life goes on; and replaces the value. So writers meet only where they write the same
//! key, or keys whose entries share a cache line.
//!
//! # Invariants
//! Those of the cache (C1, C2, C4); and
//! - **D1** The value of a key changes, and the key goes, under the claim on its entry only (E7). So an update
//!   that finds the expected value there and replaces it takes effect at one moment, its store; or, if
//!   the entry was detached meanwhile ([`Dictionary::clear`]), just before that: it began before, since
//!   it came by the old table.
//! - **D2** An entry that was found inside a guard, and has the same stamp once it is claimed, is the
//!   key's until the claim ends: its page stays as long as the guard, and who ends a life claims it.
//!
//! # Progress
//! As the cache's: what looks is lock-free. What replaces a value waits for who changes the same key, for some
//! instructions; what inserts or removes locks one shard.

use super::super::memory::arena::OutOfMemory;
use super::super::memory::epoch::{Epochs, Reclaim};
use super::super::memory::pointer::Counted;
use super::super::shim::{Ordering::Relaxed, mutant};
use super::lookup::{Found, Known, Query, Step, mix};
use super::policy::Unlimited;
use super::removed::Removed;
use super::shard::{Locked, Namesake};
use super::update::{Item, take_notice, taken};
use super::{Cache, Clock, Core, Glance, MOST_SHARDS, UNBOUNDED};

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

/// What came of replacing a value: if not the old one's word, the new one back.
enum Exchange<T> {
    Done(usize),
    /// There is no such key, or it has another value than the expected one.
    Refused(T),
    /// That must be searched for.
    Unknown(T),
}

/// Replaces the value of an entry that was found inside a guard, if it is still its key's (D2).
#[inline(always)]
fn exchange_claimed<T: Counted>(
    found: Found<'_, Unlimited>,
    expected: Option<usize>,
    value: T,
) -> Exchange<T> {
    let place = found.place;
    let _claim = if mutant!("dictionary.exchange.unclaimed") { None } else { place.claim() };
    if !place.is_still(found.stamp) && !mutant!("dictionary.life.unchecked") {
        return Exchange::Unknown(value);
    }
    let (_, word) = place.words();
    if expected.is_some_and(|expected| word != expected)
        && !mutant!("dictionary.expected.unchecked")
    {
        return Exchange::Refused(value);
    }
    Exchange::Done(place.replace(value.into_raw(), 0))
}

/// Lets other threads drop a value, if there are any.
fn hand_over<T: Counted>(core: &Core<Unlimited>, value: &T) {
    if core.is_shared.load(Relaxed) {
        value.hand_over();
    }
}

/// The value that was replaced.
fn dropped<T: Counted>(core: &Core<Unlimited>, word: usize) -> T {
    // SAFETY: E4: its reference is the caller's now.
    let old = unsafe { T::from_raw(word) };
    take_notice(core, &[&old]);
    old
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

    /// Returns the value of a key; or gives it this one, if it has none (as [`Cache::get_or_put`]).
    ///
    /// # Errors
    /// As for [`Self::put`].
    pub fn get_or_put<Q: Query<T>>(
        &self,
        query: &Q,
        key: T,
        value: T,
        admit: impl Fn() -> bool,
    ) -> Result<Option<T>, Q::Error> {
        self.table.get_or_put(query, item(key, value), &mut Removed::default(), admit)
    }

    /// Replaces the value of a key, if the first look tells that it has one (as
    /// [`Cache::glance`]), and returns the old value; or gives this one back.
    ///
    /// # Errors
    /// The value, if there was no such key, or it takes [`Self::put`] to find out.
    #[inline]
    pub fn overwrite<Q: Query<T>>(&self, query: &Q, value: T) -> Result<T, T> {
        let Some(core) = self.table.core() else { return Err(value) };
        match Self::exchange(core, query, None, value) {
            Exchange::Done(old) => Ok(dropped(core, old)),
            Exchange::Refused(value) | Exchange::Unknown(value) => Err(value),
        }
    }

    /// Replaces the value of a key if it is the expected one, with no lock, if the first look
    /// tells.
    #[inline]
    fn exchange<Q: Query<T>>(
        core: &Core<Unlimited>,
        query: &Q,
        expected: Option<usize>,
        value: T,
    ) -> Exchange<T> {
        // What was taken beside is dropped out here.
        let mut beside = None;
        let guard = G::enter();
        let exchange = match core.walk(&guard, query) {
            Step::Found(found) => {
                hand_over(core, &value);
                exchange_claimed(found, expected, value)
            }
            Step::Absent => Exchange::Refused(value),
            Step::Compare(_, key, _) => {
                beside = Some(key);
                Exchange::Unknown(value)
            }
            Step::Lost(taken) => {
                beside = taken;
                Exchange::Unknown(value)
            }
            Step::Unshared(_) => Exchange::Unknown(value),
        };
        drop(guard);
        drop(beside);
        exchange
    }

    /// Waits for those who are changing the shard of a hash.
    pub fn settle(&self, hash: u64) {
        self.table.settle(hash);
    }

    /// The same at the beginning of a load (as [`Cache::catch_up`]).
    pub fn catch_up(&self, hash: u64) {
        self.table.catch_up(hash);
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
        let value = match Self::exchange(core, query, expected, value) {
            Exchange::Done(old) => return Ok(Ok(dropped(core, old))),
            Exchange::Refused(value) => return Ok(Err(value)),
            Exchange::Unknown(value) => value,
        };
        hand_over(core, &value);
        let word = value.into_raw();
        match self.change(query, expected, |locked, found| locked.replace(found, word, 0, 1)) {
            Ok(Some(old)) => Ok(Ok(dropped(core, old))),
            // SAFETY: given up just now.
            Ok(None) => Ok(Err(unsafe { T::from_raw(word) })),
            Err(error) => {
                // SAFETY: as above.
                drop(unsafe { T::from_raw(word) });
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
        let Some(core) = self.table.core() else { return Ok(None) };
        let remove = |locked: &mut Locked<'_, G, Unlimited>, found: Found<'_, Unlimited>| {
            locked.remove_claimed(found.index, found.place)
        };
        let words = self.change(query, expected, remove)?;
        G::tidy();
        Ok(words.map(|words| taken(core, &words)))
    }

    /// Calls `act` under the lock with a key's entry, which is claimed, if its value is the expected
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
                    let is_claimed = !mutant!("dictionary.change.unclaimed");
                    let _claim = if is_claimed { found.place.claim() } else { None };
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

    /// The keys, a piece of a shard at a time.
    ///
    /// # Errors
    /// [`OutOfMemory`], or what `between` returned.
    pub fn keys<E: From<OutOfMemory>>(
        &self,
        between: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<T>, E> {
        self.table.keys(between)
    }

    /// The items, a piece of a shard at a time; each value is of a moment of its own.
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
