//! The operations that change the cache.
//!
//! Each searches as a reader does, with nothing held, and then acts under the lock
//! of the key's shard, if what it found is still so; otherwise it searches again.
//! References are dropped after the lock was released.

use super::entry::{Content, Life};
use super::lookup::{Found, Look, Query, mix};
use super::removed::{Evicted, Reason, Removed};
use super::shard::{Admission, Locked, Words};
use super::{Cache, Clock, Core};
use crate::engine::Backoff;
use crate::engine::arena::NIL;
use crate::engine::pointer::Counted;
use crate::shim::spin;

/// An insertion removes up to so many expired items on its way, so that they do
/// not pile up.
const EXPIRED_AT_ONCE: usize = 2;

/// What is put into a cache.
#[derive(Debug)]
pub struct Item<T> {
    /// Its key.
    pub key: T,
    /// Its value.
    pub value: T,
    /// At most the cache's limit; 1 in a cache that is not weighed.
    pub weight: u64,
    /// When it expires, by the cache's clock; 0 is never.
    pub deadline: u64,
}

impl<T: Counted> Item<T> {
    fn share(&self) {
        self.key.share();
        self.value.share();
    }
}

/// Why nothing was put.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// A comparison failed.
    Comparison(E),
    /// The allocator refused.
    OutOfMemory,
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self::Comparison(error)
    }
}

/// Why an item was not inserted.
enum Refusal<T> {
    /// There is an item that the key was not compared with.
    Rival(Item<T>),
    OutOfMemory,
}

/// The references of an item that was removed.
fn own<T: Counted>(words: &Words) -> (T, T) {
    // SAFETY: E4: the words were taken out of their entry, with their references.
    let key = unsafe { T::from_raw(words.key) };
    // SAFETY: as above.
    (key, unsafe { T::from_raw(words.value) })
}

fn evicted<T: Counted>(words: &Words, reason: Reason) -> Evicted<T> {
    let (key, value) = own(words);
    Evicted { key, value, reason }
}

impl<T: Counted, C: Clock> Cache<T, C> {
    /// Puts an item in, in place of the one that has the same key. What had to go
    /// for it is added to `removed`, even where this fails.
    ///
    /// # Errors
    /// [`Failure`]; then nothing was put.
    pub fn put<Q: Query<T>>(
        &self,
        query: &Q,
        mut item: Item<T>,
        removed: &mut Removed<T>,
    ) -> Result<(), Failure<Q::Error>> {
        item.share();
        let core = self.core_or_new();
        let mut unequal = Vec::new();
        loop {
            item = match core.search(query, &mut unequal)? {
                Some(found) => match self.replace(core, query, found, item, removed) {
                    Ok(()) => return Ok(()),
                    Err(item) => item,
                },
                None => match self.insert(core, query, &unequal, item, removed) {
                    Ok(()) => return Ok(()),
                    Err(Refusal::Rival(item)) => item,
                    Err(Refusal::OutOfMemory) => return Err(Failure::OutOfMemory),
                },
            }
        }
    }

    /// Returns the value that has the same key, noted as used; or puts the item in.
    ///
    /// # Errors
    /// As for [`Self::put`].
    pub fn get_or_put<Q: Query<T>>(
        &self,
        query: &Q,
        mut item: Item<T>,
        removed: &mut Removed<T>,
    ) -> Result<Option<T>, Failure<Q::Error>> {
        item.share();
        let core = self.core_or_new();
        let mut unequal = Vec::new();
        loop {
            if let Some(found) = core.search(query, &mut unequal)? {
                match self.look(found) {
                    Look::Found(value) => {
                        found.place.mark();
                        return Ok(Some(value));
                    }
                    Look::Expired => removed.extend(self.drop_expired(core, query, found)),
                    Look::Gone => spin(1),
                }
                continue;
            }
            item = match self.insert(core, query, &unequal, item, removed) {
                Ok(()) => return Ok(None),
                Err(Refusal::Rival(item)) => item,
                Err(Refusal::OutOfMemory) => return Err(Failure::OutOfMemory),
            }
        }
    }

    /// Removes a key, and returns the item.
    ///
    /// # Errors
    /// As [`Query::is`].
    pub fn remove<Q: Query<T>>(
        &self,
        query: &Q,
        expired: impl FnMut(Evicted<T>),
    ) -> Result<Option<(T, T)>, Q::Error> {
        let look = |core: &Core, Found { place, life }: Found<'_>| {
            let mut locked = core.lock(mix(query.hash()));
            if !place.is_still(life.stamp) {
                return Look::Gone;
            }
            if self.has_passed(place.deadline()) {
                return Look::Expired;
            }
            let words = locked.remove(life.index);
            core.budget.release(words.weight);
            Look::Found(own(&words))
        };
        self.find(query, look, expired)
    }

    /// Removes the next victim, and returns it. Expired items are no victims: they
    /// are added to `removed`.
    pub fn remove_victim(&self, removed: &mut Removed<T>) -> Option<(T, T)> {
        let core = self.core()?;
        for shard in &core.shards {
            let mut locked = shard.lock(&core.entries);
            while let Some((words, deadline)) = locked.evict(NIL) {
                core.budget.release(words.weight);
                if !self.has_passed(deadline) {
                    return Some(own(&words));
                }
                removed.push(evicted(&words, Reason::Expired));
            }
        }
        None
    }

    /// Removes all items, shard by shard.
    pub fn clear(&self) {
        let Some(core) = self.core() else { return };
        for shard in &core.shards {
            let mut locked = shard.lock(&core.entries);
            let removed = locked.drain();
            core.budget.release(removed.iter().map(|words| words.weight).sum());
            drop(locked);
            for words in &removed {
                drop(own::<T>(words));
            }
        }
    }

    /// Removes all items whose time is over; returns how many.
    pub fn expire(&self, removed: &mut Removed<T>) -> usize {
        let Some(core) = self.core() else { return 0 };
        let expire_all = |shard: &super::Shard| {
            self.expire_some(core, &mut shard.lock(&core.entries), usize::MAX, removed)
        };
        core.shards.iter().map(expire_all).sum()
    }

    /// Removes up to `most` expired items of a shard; returns how many.
    fn expire_some(
        &self,
        core: &Core,
        locked: &mut Locked<'_>,
        most: usize,
        removed: &mut Removed<T>,
    ) -> usize {
        let due = std::iter::from_fn(|| locked.expire(|| self.now()));
        let remove = |words: Words| {
            core.budget.release(words.weight);
            removed.push(evicted(&words, Reason::Expired));
        };
        due.take(most).map(remove).count()
    }

    /// Removes an item that was found expired, if it still is.
    #[cold]
    pub(super) fn drop_expired<Q: Query<T>>(
        &self,
        core: &Core,
        query: &Q,
        found: Found<'_>,
    ) -> Option<Evicted<T>> {
        self.take_expired(core, &mut core.lock(mix(query.hash())), found)
    }

    /// Removes an item if it is there and its time is over.
    fn take_expired(
        &self,
        core: &Core,
        locked: &mut Locked<'_>,
        Found { place, life }: Found<'_>,
    ) -> Option<Evicted<T>> {
        (place.is_still(life.stamp) && self.has_passed(place.deadline())).then(|| {
            let words = locked.remove(life.index);
            core.budget.release(words.weight);
            evicted(&words, Reason::Expired)
        })
    }

    /// Replaces the value of an item that was found; gives the new item back, if that
    /// one is not there any more.
    fn replace<Q: Query<T>>(
        &self,
        core: &Core,
        query: &Q,
        found: Found<'_>,
        item: Item<T>,
        removed: &mut Removed<T>,
    ) -> Result<(), Item<T>> {
        let mut locked = core.lock(mix(query.hash()));
        // What has expired is not there: it is not replaced, but goes.
        removed.extend(self.take_expired(core, &mut locked, found));
        let Found { place, life } = found;
        if !place.is_still(life.stamp) {
            return Err(item);
        }
        let before = place.links().weight;
        let growth = item.weight.saturating_sub(before);
        let fits = self.make_room(core, &mut locked, growth, life.index, removed);
        debug_assert!(fits, "the item alone fits, and only an undivided cache is weighed");
        core.budget.release(before.saturating_sub(item.weight));
        let Item { key, value, weight, deadline } = item;
        let old = locked.replace(life, value.into_raw(), deadline, weight);
        place.mark();
        drop(locked);
        // SAFETY: E4: the word's reference is ours now.
        drop(unsafe { T::from_raw(old) });
        drop(key);
        Ok(())
    }

    /// Inserts an item, unless there is one that its key was not compared with (C2).
    fn insert<Q: Query<T>>(
        &self,
        core: &Core,
        query: &Q,
        unequal: &[Life],
        item: Item<T>,
        removed: &mut Removed<T>,
    ) -> Result<(), Refusal<T>> {
        let hash = mix(query.hash());
        let mut backoff = Backoff::new();
        // The entry of a victim in another shard, whose weight was 1 too.
        let mut granted = None;
        let mut returns = false;
        loop {
            let mut locked = core.lock(hash);
            let share = granted.map_or(0, |index| {
                locked.give(index);
                1
            });
            // In general they were compared in the order of the chain.
            let mut in_order = unequal.iter();
            let mut is_unequal =
                |life| in_order.any(|each| *each == life) || unequal.contains(&life);
            if !locked.namesakes(hash).all(&mut is_unequal) {
                core.budget.release(share);
                return Err(Refusal::Rival(item));
            }
            self.expire_some(core, &mut locked, EXPIRED_AT_ONCE, removed);
            let Ok(index) = locked.reserve(core.shard_bits()) else {
                core.budget.release(share);
                return Err(Refusal::OutOfMemory);
            };
            returns |= locked.state.policy.returns(hash);
            if self.make_room(core, &mut locked, item.weight - share, NIL, removed) {
                let Item { key, value, weight, deadline } = item;
                let (key, value) = (key.into_raw(), value.into_raw());
                let content = Content { key, value, hash, by_hash: query.by_hash(), deadline };
                locked.insert(index, &content, &Admission { weight, returns, room: core.room() });
                return Ok(());
            }
            locked.give(index);
            drop(locked);
            granted = self.evict_elsewhere(core, hash, removed);
            if granted.is_none() {
                // All that is not in a shard is in the hands of writers.
                backoff.wait();
            }
        }
    }

    /// Reserves `weight` in the budget, evicting what must go from this shard. False
    /// if it has nothing more to give.
    fn make_room(
        &self,
        core: &Core,
        locked: &mut Locked<'_>,
        weight: u64,
        spared: u32,
        removed: &mut Removed<T>,
    ) -> bool {
        let mut freed = 0;
        while !core.budget.reserve(weight.saturating_sub(freed)) {
            let Some((words, deadline)) = locked.evict(spared) else {
                core.budget.release(freed);
                return false;
            };
            freed += words.weight;
            removed.push(evicted(&words, self.reason(deadline)));
        }
        core.budget.release(freed.saturating_sub(weight));
        true
    }

    /// Evicts an item of another shard, and returns its entry.
    fn evict_elsewhere(&self, core: &Core, hash: u64, removed: &mut Removed<T>) -> Option<u32> {
        let others = (1..core.shards.len()).map(|i| (core.number(hash) + i) % core.shards.len());
        for number in others {
            let mut locked = core.shards[number].lock(&core.entries);
            if let Some((words, deadline)) = locked.evict(NIL) {
                removed.push(evicted(&words, self.reason(deadline)));
                return Some(locked.take_given());
            }
        }
        None
    }

    fn reason(&self, deadline: u64) -> Reason {
        if self.has_passed(deadline) { Reason::Expired } else { Reason::Size }
    }
}
