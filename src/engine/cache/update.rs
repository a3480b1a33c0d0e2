//! The operations that change the cache.
//!
//! Each acts under the lock of the key's shard. What has to be compared first is
//! compared as readers do it, with nothing held; under the lock it shows whether what
//! came of that is still so. References are dropped after the lock was released.

use std::cell::OnceCell;

use super::super::Backoff;
use super::super::memory::arena::{NIL, OutOfMemory};
use super::super::memory::epoch::{Alone, Reclaim};
use super::super::memory::pointer::Counted;
use super::super::shim::{Ordering::Relaxed, mutant};
use super::entry::{Content, Life};
use super::lookup::{Found, Known, Query, Sought, mix};
use super::policy::{Admission, Policy};
use super::removed::{Evicted, Reason, Removed};
use super::shard::{Locked, Namesake, Words, end_detached};
use super::{Cache, Clock, Core};

/// An insertion removes up to so many expired items on its way, so that they do
/// not pile up.
const EXPIRED_AT_ONCE: usize = 2;

/// What removes much takes out so many before it drops them, with nothing held.
const AT_ONCE: usize = 64;

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
    /// Lets other threads take references, if there are any.
    #[inline]
    fn share<P: Policy>(&self, core: &Core<P>) {
        if core.is_shared.load(Relaxed) {
            self.key.share();
            self.value.share();
        }
    }
}

/// Why an item was not inserted.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// Something came in between: look again.
    Rival,
    OutOfMemory,
}

impl From<OutOfMemory> for Refusal {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// The references of an item that was removed.
pub(super) fn own<T: Counted>(words: &Words) -> (T, T) {
    // SAFETY: E4: the words were taken out of their entry, with their references.
    let key = unsafe { T::from_raw(words.key) };
    // SAFETY: as above.
    (key, unsafe { T::from_raw(words.value) })
}

fn evicted<T: Counted>(words: &Words, reason: Reason) -> Evicted<T> {
    let (key, value) = own(words);
    Evicted { key, value, reason }
}

/// Removes up to `most` items of a shard that are due, as many as there is room for, which is
/// one at least if `removed` is empty; returns how many.
fn expire_some<T: Counted, G: Reclaim, P: Policy>(
    core: &Core<P>,
    locked: &mut Locked<'_, G, P>,
    most: usize,
    due: impl Fn() -> u64,
    removed: &mut Removed<T>,
) -> usize {
    for count in 0..most {
        let room = removed.reserve().ok();
        let Some(words) = room.and_then(|()| locked.expire(&due)) else { return count };
        core.budget.release(words.weight);
        removed.push(evicted(&words, Reason::Expired));
    }
    most
}

/// Removes an item whose time is over.
fn take_expired<T: Counted, G: Reclaim, P: Policy>(
    core: &Core<P>,
    locked: &mut Locked<'_, G, P>,
    index: u32,
) -> Evicted<T> {
    let words = locked.remove(index);
    core.budget.release(words.weight);
    evicted(&words, Reason::Expired)
}

impl<T: Counted, C: Clock, G: Reclaim, P: Policy> Cache<T, C, G, P> {
    /// Puts an item in, in place of the one that has the same key. What had to go
    /// for it is added to `removed`, even where this fails.
    ///
    /// # Errors
    /// As [`Query::is`], or [`OutOfMemory`]; then nothing was put.
    #[inline]
    pub fn put<Q: Query<T>>(
        &self,
        query: &Q,
        item: Item<T>,
        removed: &mut Removed<T>,
    ) -> Result<(), Q::Error> {
        self.put_if(query, item, removed, || true)
    }

    /// Puts an item in, as [`Self::put`] does, if `admit` still says so under the lock
    /// under which it goes in. `admit` may be asked several times.
    ///
    /// What makes `admit` say no, and [settles](Self::settle) then, knows that the item
    /// is in or never will be.
    ///
    /// # Errors
    /// As for [`Self::put`].
    #[inline]
    pub fn put_if<Q: Query<T>>(
        &self,
        query: &Q,
        mut item: Item<T>,
        removed: &mut Removed<T>,
        admit: impl Fn() -> bool,
    ) -> Result<(), Q::Error> {
        let core = self.core_or_new()?;
        item.share(core);
        let mut known = Known::default();
        loop {
            let mut locked = core.lock::<G>(mix(query.hash()));
            if !admit() {
                return Ok(());
            }
            let inserted = match locked.namesake(query, &known) {
                // What has expired is not there: it is not replaced, but goes.
                Namesake::Equal(found) if self.has_passed(found.place.deadline(), 0) => {
                    if removed.reserve().is_ok() {
                        removed.push(take_expired(core, &mut locked, found.index));
                        continue;
                    }
                    drop(locked);
                    Err((Refusal::OutOfMemory, item))
                }
                Namesake::Equal(found) => self.replace(core, locked, found, item, removed),
                Namesake::Absent => self.insert(core, locked, query, &known, item, removed, &admit),
                Namesake::Unknown => {
                    drop(locked);
                    Err((Refusal::Rival, item))
                }
            };
            item = match inserted {
                Ok(()) => return Ok(()),
                Err((Refusal::Rival, item)) => item,
                Err((Refusal::OutOfMemory, _)) => return Err(OutOfMemory.into()),
            };
            known.equal = core.search::<T, G, Q>(query, &mut known)?;
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
    ) -> Result<Option<T>, Q::Error> {
        let core = self.core_or_new()?;
        item.share(core);
        let mut known = Known::default();
        loop {
            let look = |found: Found<'_, P>| self.look_and_mark(found);
            match core.look_up::<T, G, Q, T>(query, &mut known, &look)? {
                Sought::Found(value, _) => return Ok(Some(value)),
                Sought::Expired(life) => {
                    removed.reserve()?;
                    if let Some(expired) = self.drop_expired(core, query, life, 0) {
                        removed.push(expired);
                    }
                    continue;
                }
                Sought::Absent => {}
            }
            let locked = core.lock::<G>(mix(query.hash()));
            if !matches!(locked.namesake(query, &known), Namesake::Absent) {
                continue;
            }
            item = match self.insert(core, locked, query, &known, item, removed, || true) {
                Ok(()) => return Ok(None),
                Err((Refusal::Rival, item)) => item,
                Err((Refusal::OutOfMemory, _)) => return Err(OutOfMemory.into()),
            }
        }
    }

    /// Waits for those who are changing the shard of a hash.
    pub fn settle(&self, hash: u64) {
        if let Some(core) = self.core()
            && !mutant!("cache.settle.waits_for_nobody")
        {
            drop(core.lock::<G>(mix(hash)));
        }
    }

    /// Removes a key, and returns the item.
    ///
    /// # Errors
    /// As [`Query::is`].
    pub fn remove<Q: Query<T>>(
        &self,
        query: &Q,
        mut expired: impl FnMut(Evicted<T>),
    ) -> Result<Option<(T, T)>, Q::Error> {
        let Some(core) = self.core() else { return Ok(None) };
        let mut known = Known::default();
        while let Some(life) = core.search::<T, G, Q>(query, &mut known)? {
            let mut locked = core.lock::<G>(mix(query.hash()));
            let Some(place) = locked.find(life) else { continue };
            let has_expired = self.has_passed(place.deadline(), 0);
            let words = locked.remove(life.index);
            drop(locked);
            core.budget.release(words.weight);
            G::tidy();
            if has_expired {
                expired(evicted(&words, Reason::Expired));
                return Ok(None);
            }
            return Ok(Some(own(&words)));
        }
        Ok(None)
    }

    /// Removes the next victim, and returns it. Expired items are no victims: they
    /// are handed to `expired`, with nothing held.
    pub fn remove_victim(&self, mut expired: impl FnMut(Evicted<T>)) -> Option<(T, T)> {
        let core = self.core()?;
        for shard in &core.shards {
            let next = || shard.lock::<G>().evict(NIL);
            while let Some((words, deadline)) = next() {
                core.budget.release(words.weight);
                if !self.has_passed(deadline, 0) {
                    return Some(own(&words));
                }
                expired(evicted(&words, Reason::Expired));
            }
        }
        None
    }

    /// Removes all items, shard by shard; `dropped` is called for each, with nothing held.
    pub fn clear(&self, dropped: impl FnMut()) {
        self.clear_by::<G>(dropped);
    }

    /// The same before the end of the cache: nobody else is there.
    pub(super) fn clear_alone(&mut self) {
        self.clear_by::<Alone>(|| ());
    }

    fn clear_by<R: Reclaim>(&self, mut dropped: impl FnMut()) {
        let Some(core) = self.core() else { return };
        for shard in &core.shards {
            let mut locked = shard.lock::<R>();
            // Where there is a limit it fits; where there is none, nothing was given out.
            let weight = u64::try_from(locked.state.policy.weight()).unwrap_or(u64::MAX);
            core.budget.release(weight);
            let mut detached = locked.detach();
            drop(locked);
            loop {
                let mut some = [const { None }; AT_ONCE];
                let mut places = some.iter_mut();
                let more = detached.next::<R>(AT_ONCE, |place| {
                    if let Some(words) = end_detached(place) {
                        let next = places.next().expect("so many at once");
                        *next = Some(words);
                    }
                });
                for words in some.iter().flatten() {
                    drop(own::<T>(words));
                    dropped();
                }
                if !more {
                    break;
                }
            }
            R::tidy();
        }
    }

    /// Removes all items whose time and grace are over, and hands each to `sink`, with nothing held;
    /// returns how many.
    pub fn expire(&self, mut sink: impl FnMut(Evicted<T>)) -> usize {
        let Some(core) = self.core() else { return 0 };
        // Once: what `sink` puts is for another time.
        let now = OnceCell::new();
        let due = || *now.get_or_init(|| self.due());
        let mut count = 0;
        for shard in &core.shards {
            loop {
                let mut removed = Removed::default();
                let mut locked = shard.lock::<G>();
                let some = expire_some(core, &mut locked, AT_ONCE, due, &mut removed);
                drop(locked);
                removed.into_iter().for_each(&mut sink);
                count += some;
                if some == 0 {
                    break;
                }
            }
        }
        G::tidy();
        count
    }

    /// Whose deadline was that long ago, their grace is over.
    fn due(&self) -> u64 {
        self.now().saturating_sub(self.grace)
    }

    /// Removes an item that was found expired, if it still is.
    #[cold]
    pub(super) fn drop_expired<Q: Query<T>>(
        &self,
        core: &Core<P>,
        query: &Q,
        life: Life,
        grace: u64,
    ) -> Option<Evicted<T>> {
        let mut locked = core.lock::<G>(mix(query.hash()));
        let place = locked.find(life)?;
        let is_over = self.has_passed(place.deadline(), grace);
        is_over.then(|| take_expired(core, &mut locked, life.index))
    }

    /// Replaces the value of an item that is there.
    #[inline]
    fn replace(
        &self,
        core: &Core<P>,
        mut locked: Locked<'_, G, P>,
        found: Found<'_, P>,
        item: Item<T>,
        removed: &mut Removed<T>,
    ) -> Result<(), (Refusal, Item<T>)> {
        if let Err(error) = locked.reserve_timer(item.deadline) {
            return Err((error.into(), item));
        }
        let before = P::weight_of(found.place);
        if item.weight != before {
            let growth = item.weight.saturating_sub(before);
            match self.make_room(core, &mut locked, growth, found.index, removed) {
                Ok(fits) => debug_assert!(fits, "the item alone fits, and there is one shard"),
                Err(error) => return Err((error.into(), item)),
            }
            core.budget.release(before.saturating_sub(item.weight));
        }
        let Item { key, value, weight, deadline } = item;
        let old = locked.replace(found, value.into_raw(), deadline, weight);
        found.place.mark();
        drop(locked);
        // SAFETY: E4: the word's reference is ours now.
        drop(unsafe { T::from_raw(old) });
        drop(key);
        Ok(())
    }

    /// Inserts an item that is not there, unless one comes in that its key was not
    /// compared with (C2), or it is no longer admitted, while room is sought elsewhere.
    #[inline]
    #[allow(clippy::too_many_arguments)]
    fn insert<'a, Q: Query<T>>(
        &self,
        core: &'a Core<P>,
        mut locked: Locked<'a, G, P>,
        query: &Q,
        known: &Known,
        item: Item<T>,
        removed: &mut Removed<T>,
        admit: impl Fn() -> bool,
    ) -> Result<(), (Refusal, Item<T>)> {
        let hash = mix(query.hash());
        if locked.has_timers() {
            expire_some(core, &mut locked, EXPIRED_AT_ONCE, || self.due(), removed);
        }
        if let Err(error) = locked.reserve(item.deadline) {
            return Err((error.into(), item));
        }
        let returns = locked.state.policy.returns(hash);
        let fits = match self.make_room(core, &mut locked, item.weight, NIL, removed) {
            Ok(fits) => fits,
            Err(error) => return Err((error.into(), item)),
        };
        if !fits {
            match self.find_room(core, locked, query, known, &item, removed) {
                Ok(relocked) if admit() => locked = relocked,
                Ok(_) => {
                    core.budget.release(item.weight);
                    return Err((Refusal::Rival, item));
                }
                Err(refusal) => return Err((refusal, item)),
            }
        }
        let Item { key, value, weight, deadline } = item;
        let (key, value) = (key.into_raw(), value.into_raw());
        let content = Content { key, value, hash, by_hash: query.by_hash(), deadline, weight };
        locked.insert(&content, &Admission { returns, room: core.room() });
        drop(locked);
        G::tidy();
        Ok(())
    }

    /// The rest of making room, and an entry to go with it, when the shard of the key
    /// has nothing more to give: from other shards.
    #[cold]
    fn find_room<'a, Q: Query<T>>(
        &self,
        core: &'a Core<P>,
        mut locked: Locked<'a, G, P>,
        query: &Q,
        known: &Known,
        item: &Item<T>,
        removed: &mut Removed<T>,
    ) -> Result<Locked<'a, G, P>, Refusal> {
        let hash = mix(query.hash());
        let mut backoff = Backoff::new();
        loop {
            drop(locked);
            // The victim in another shard weighed 1 too.
            let share = u64::from(self.evict_elsewhere(core, hash, removed)?);
            if share == 0 {
                // All that is not in a shard is in the hands of writers.
                backoff.wait();
            }
            locked = core.lock::<G>(hash);
            let refusal = match locked.namesake(query, known) {
                Namesake::Absent => locked.reserve(item.deadline).err().map(Refusal::from),
                _ => Some(Refusal::Rival),
            };
            if let Some(refusal) = refusal {
                core.budget.release(share);
                return Err(refusal);
            }
            match self.make_room(core, &mut locked, item.weight - share, NIL, removed) {
                Ok(true) => return Ok(locked),
                failed => {
                    core.budget.release(share);
                    failed?;
                }
            }
        }
    }

    /// Reserves `weight` in the budget, evicting what must go from this shard. False
    /// if it has nothing more to give.
    ///
    /// # Errors
    /// [`OutOfMemory`]: there is no room for what must go.
    fn make_room(
        &self,
        core: &Core<P>,
        locked: &mut Locked<'_, G, P>,
        weight: u64,
        spared: u32,
        removed: &mut Removed<T>,
    ) -> Result<bool, OutOfMemory> {
        let mut freed = 0;
        while !core.budget.reserve(weight.saturating_sub(freed)) {
            let next = removed.reserve().map(|()| locked.evict(spared));
            let Ok(Some((words, deadline))) = next else {
                core.budget.release(freed);
                return next.map(|_| false);
            };
            freed += words.weight;
            removed.push(evicted(&words, self.reason(deadline)));
        }
        core.budget.release(freed.saturating_sub(weight));
        Ok(true)
    }

    /// Evicts an item of another shard; false if there is none.
    fn evict_elsewhere(
        &self,
        core: &Core<P>,
        hash: u64,
        removed: &mut Removed<T>,
    ) -> Result<bool, OutOfMemory> {
        removed.reserve()?;
        let others = (1..core.shards.len()).map(|i| (core.number(hash) + i) % core.shards.len());
        for number in others {
            let mut locked = core.shards[number].lock::<G>();
            if let Some((words, deadline)) = locked.evict(NIL) {
                removed.push(evicted(&words, self.reason(deadline)));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn reason(&self, deadline: u64) -> Reason {
        if self.has_passed(deadline, 0) { Reason::Expired } else { Reason::Size }
    }
}
