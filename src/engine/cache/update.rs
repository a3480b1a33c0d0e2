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
use super::shard::{Locked, Namesake, Words, end_detached, least};
use super::{Cache, Clock, Core, MOST_SHARDS, UNBOUNDED};

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
        self.share_key(core);
        self.share_value(core);
    }

    #[inline]
    fn share_key<P: Policy>(&self, core: &Core<P>) {
        if core.is_shared.load(Relaxed) {
            self.key.hand_over();
        }
    }

    #[inline]
    fn share_value<P: Policy>(&self, core: &Core<P>) {
        if core.is_shared.load(Relaxed) {
            self.value.hand_over();
        }
    }
}

/// What putting an item came to.
#[derive(Debug)]
pub enum Put<T, E> {
    /// It is in, at the first try. One item at most had to go for it.
    AtOnce(Option<Evicted<T>>),
    /// It took longer, or failed; and this had to go.
    Later(Result<(), E>, Removed<T>),
}

/// What room is made for.
#[derive(Debug)]
struct Want {
    /// Tells the shard.
    hash: u64,
    weight: u64,
    /// The entry in that shard that is not to go, if there is one.
    spared: u32,
}

/// Why an item was not inserted.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// Something came in between: look again.
    Rival,
    /// The limit is less than it weighs, or 0.
    TooHeavy,
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

/// Who drops what another thread has put knows that the cache is shared.
#[inline]
pub(super) fn take_notice<T: Counted, P: Policy>(core: &Core<P>, dropped: &[&T]) {
    if !core.is_shared.load(Relaxed) && dropped.iter().any(|dropped| dropped.is_anothers()) {
        core.is_shared.store(true, Relaxed);
    }
}

/// The references of an item that was removed, after a look at whose they are.
pub(super) fn taken<T: Counted, P: Policy>(core: &Core<P>, words: &Words) -> (T, T) {
    let (key, value) = own(words);
    take_notice(core, &[&key, &value]);
    (key, value)
}

/// What was to be put, and was evicted before it was in.
fn turned_away<T>(Item { key, value, .. }: Item<T>) -> Evicted<T> {
    Evicted { key, value, reason: Reason::Size }
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

/// Whether another shard is to make room, for this one has too little: where not all weigh the same, what
/// goes for an item may weigh more, and its shard would have less and less in the course of time.
fn is_short<G: Reclaim, P: Policy>(core: &Core<P>, locked: &Locked<'_, G, P>, weight: u64) -> bool {
    core.shards.len() > 1
        && core.budget.is_full(weight)
        && locked.state.policy.weight() < least(core.room()).into()
}

/// Evicts an item if there is more than the limit allows.
fn evict_excess<G: Reclaim, P: Policy>(
    core: &Core<P>,
    locked: &mut Locked<'_, G, P>,
) -> Option<(Words, u64)> {
    let victim = if core.budget.is_exceeded() { locked.evict(NIL) } else { None };
    let most = if core.budget.allows(0) { core.room_for_weightless() } else { 0 };
    let victim = match victim {
        None if locked.state.policy.weightless() as u64 > most => locked.evict_weightless(),
        victim => victim,
    };
    victim.inspect(|(words, _)| core.budget.release(words.weight))
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
    /// for it is added to `removed`, even where this fails; the item itself, if it weighs more than
    /// the limit, or that is 0.
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

    /// Puts an item in, as [`Self::put_if`] does, where most often that is done at once: the item
    /// takes the place of one where all weigh 1, or only the value of its key is another.
    #[inline(always)]
    pub fn put_at_once<Q: Query<T>>(
        &self,
        query: &Q,
        item: Item<T>,
        admit: impl Fn() -> bool,
    ) -> Put<T, Q::Error> {
        let Some(core) = self.core() else { return self.put_first(query, item, admit) };
        item.share_value(core);
        let hash = mix(query.hash());
        let mut locked = core.lock::<G>(hash);
        if !admit() {
            return Put::AtOnce(None);
        }
        match locked.namesake(query, &Known::NOTHING) {
            Namesake::Equal(found) if found.is_plain(item.weight, item.deadline) => {
                let claim = found.place.claim();
                let old = found.place.set_value(item.value.into_raw());
                drop(claim);
                found.place.mark();
                drop(locked);
                // SAFETY: E4: the word's reference is ours now.
                let old = unsafe { T::from_raw(old) };
                take_notice(core, &[&old]);
                Put::AtOnce(None)
            }
            // Where there are no timers nothing expires.
            Namesake::Absent
                if item.deadline == 0
                    && !locked.has_timers()
                    && core.budget.is_full(item.weight) =>
            {
                let room = core.room();
                let Some(victim) = locked.victim(item.weight, room) else {
                    return self.put_further(core, locked, query, item, admit);
                };
                // Not before: most often the key of an item whose value is replaced is dropped
                // again, by the thread that made it.
                item.share_key(core);
                let Item { key, value, weight, deadline } = item;
                let (key, value) = (key.into_raw(), value.into_raw());
                let by_hash = query.by_hash();
                let content = Content { key, value, hash, by_hash, deadline, weight };
                let words = locked.supplant(&victim, &content, room);
                drop(locked);
                let evicted = evicted(&words, Reason::Size);
                take_notice(core, &[&evicted.key, &evicted.value]);
                Put::AtOnce(Some(evicted))
            }
            _ => self.put_further(core, locked, query, item, admit),
        }
    }

    /// The rest of [`Self::put_at_once`].
    #[inline(never)]
    fn put_further<'a, Q: Query<T>>(
        &self,
        core: &'a Core<P>,
        locked: Locked<'a, G, P>,
        query: &Q,
        item: Item<T>,
        admit: impl Fn() -> bool,
    ) -> Put<T, Q::Error> {
        item.share_key(core);
        let mut removed = Removed::default();
        let result = self.put_locked(core, locked, query, item, &mut removed, admit);
        Put::Later(result, removed)
    }

    /// The same where nothing was ever put.
    #[cold]
    fn put_first<Q: Query<T>>(
        &self,
        query: &Q,
        item: Item<T>,
        admit: impl Fn() -> bool,
    ) -> Put<T, Q::Error> {
        let mut removed = Removed::default();
        let result = self.put_if(query, item, &mut removed, admit);
        Put::Later(result, removed)
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
        item: Item<T>,
        removed: &mut Removed<T>,
        admit: impl Fn() -> bool,
    ) -> Result<(), Q::Error> {
        let core = self.core_or_new(item.weight)?;
        item.share(core);
        let locked = core.lock::<G>(mix(query.hash()));
        if !admit() {
            return Ok(());
        }
        self.put_locked(core, locked, query, item, removed, admit)
    }

    /// The same with the lock held, and `admit` asked under it.
    #[inline]
    fn put_locked<'a, Q: Query<T>>(
        &self,
        core: &'a Core<P>,
        mut locked: Locked<'a, G, P>,
        query: &Q,
        mut item: Item<T>,
        removed: &mut Removed<T>,
        admit: impl Fn() -> bool,
    ) -> Result<(), Q::Error> {
        let mut known = Known::default();
        loop {
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
                Namesake::Equal(found) => self.replace(core, locked, found, item, removed, &admit),
                Namesake::Absent => self.insert(core, locked, query, &known, item, removed, &admit),
                Namesake::Unknown => {
                    drop(locked);
                    Err((Refusal::Rival, item))
                }
            };
            item = match inserted {
                Ok(()) => return Ok(()),
                Err((Refusal::Rival, item)) => item,
                Err((Refusal::TooHeavy, item)) => {
                    removed.reserve()?;
                    removed.push(turned_away(item));
                    return Ok(());
                }
                Err((Refusal::OutOfMemory, _)) => return Err(OutOfMemory.into()),
            };
            known.equal = core.search::<T, G, Q>(query, &mut known)?;
            locked = core.lock::<G>(mix(query.hash()));
            if !admit() {
                // Before the item goes.
                drop(locked);
                return Ok(());
            }
        }
    }

    /// Returns the value that has the same key, noted as used; or puts the item in, if `admit` says so,
    /// as for [`Self::put_if`].
    ///
    /// # Errors
    /// As for [`Self::put`].
    pub fn get_or_put<Q: Query<T>>(
        &self,
        query: &Q,
        mut item: Item<T>,
        removed: &mut Removed<T>,
        admit: impl Fn() -> bool,
    ) -> Result<Option<T>, Q::Error> {
        let core = self.core_or_new(item.weight)?;
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
            if !admit() {
                return Ok(None);
            }
            item = match self.insert(core, locked, query, &known, item, removed, &admit) {
                Ok(()) => return Ok(None),
                Err((Refusal::Rival, item)) => item,
                Err((Refusal::TooHeavy, item)) => {
                    removed.reserve()?;
                    removed.push(turned_away(item));
                    return Ok(None);
                }
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

    /// The same at the beginning of a load. Who was changing the shard has done so now, and who does later
    /// sees what the caller did before.
    pub fn catch_up(&self, hash: u64) {
        if let Some(core) = self.core_so_far()
            && !mutant!("cache.catch_up.waits_for_nobody")
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
            core.budget.release(words.weight);
            drop(locked);
            G::tidy();
            if has_expired {
                expired(evicted(&words, Reason::Expired));
                return Ok(None);
            }
            return Ok(Some(taken(core, &words)));
        }
        Ok(None)
    }

    /// Removes the next victim, and returns it. Expired items are no victims: they
    /// are handed to `expired`, with nothing held.
    pub fn remove_victim(&self, mut expired: impl FnMut(Evicted<T>)) -> Option<(T, T)> {
        let core = self.core()?;
        for shard in &core.shards {
            let next = || {
                let mut locked = shard.lock::<G>();
                let victim = locked.evict(NIL).or_else(|| locked.evict_weightless());
                victim.inspect(|(words, _)| core.budget.release(words.weight))
            };
            while let Some((words, deadline)) = next() {
                if !self.has_passed(deadline, 0) {
                    return Some(taken(core, &words));
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

    /// Replaces the value of an item that is there, if it is still admitted.
    #[inline]
    fn replace<'a>(
        &self,
        core: &'a Core<P>,
        mut locked: Locked<'a, G, P>,
        found: Found<'a, P>,
        item: Item<T>,
        removed: &mut Removed<T>,
        admit: impl Fn() -> bool,
    ) -> Result<(), (Refusal, Item<T>)> {
        if let Err(error) = locked.reserve_timer(item.deadline) {
            return Err((error.into(), item));
        }
        let before = P::weight_of(found.place);
        if item.weight != before {
            let (hash, spared) = (found.place.hash(), found.index);
            let want = Want { hash, weight: item.weight.saturating_sub(before), spared };
            match self.reweigh(core, &mut locked, found, item.weight, &want, removed) {
                Ok(true) => {}
                Ok(false) if core.shards.len() > 1 && core.budget.allows(item.weight) => {
                    match self.find_growth(core, locked, found, item.deadline, &want, removed) {
                        // Its life has gone on, and so it lies where it did.
                        Ok(relocked) if admit() => locked = relocked,
                        Ok(_) => {
                            core.budget.release(want.weight);
                            return Err((Refusal::Rival, item));
                        }
                        Err(refusal) => return Err((refusal, item)),
                    }
                }
                Ok(false) => {
                    // Before anything goes: the item is reported.
                    if let Err(error) = removed.reserve() {
                        return Err((error.into(), item));
                    }
                    let words = locked.remove(found.index);
                    core.budget.release(words.weight);
                    drop(locked);
                    drop(own::<T>(&words));
                    return Err((Refusal::TooHeavy, item));
                }
                Err(error) => return Err((error.into(), item)),
            }
        }
        let is_claimed = !mutant!("dictionary.replace.unclaimed");
        let claim = if is_claimed { found.place.claim() } else { None };
        let Item { key, value, weight, deadline } = item;
        let old = locked.replace(found, value.into_raw(), deadline, weight);
        drop(claim);
        found.place.mark();
        drop(locked);
        // SAFETY: E4: the word's reference is ours now.
        let old = unsafe { T::from_raw(old) };
        take_notice(core, &[&old]);
        drop((old, key));
        Ok(())
    }

    /// Gives out what an item is to weigh from now on. False if that is more than the limit is by
    /// now, or than there is when all else in its shard has gone.
    ///
    /// # Errors
    /// As [`Self::make_room`].
    #[cold]
    fn reweigh(
        &self,
        core: &Core<P>,
        locked: &mut Locked<'_, G, P>,
        found: Found<'_, P>,
        weight: u64,
        growth: &Want,
        removed: &mut Removed<T>,
    ) -> Result<bool, OutOfMemory> {
        // Nothing else goes for what cannot come in.
        if !core.budget.allows(weight) {
            return Ok(false);
        }
        let before = P::weight_of(found.place);
        if weight == 0 {
            self.make_room_for_weightless(core, locked, removed)?;
        } else if is_short(core, locked, growth.weight)
            || !self.make_room(core, locked, growth, removed)?
        {
            return Ok(false);
        }
        core.budget.release(before.saturating_sub(weight));
        Ok(true)
    }

    /// Room for what an item is to weigh more, as far as its own shard has none: [`Refusal::Rival`] if
    /// meanwhile it has gone, or weighs something else.
    #[cold]
    fn find_growth<'a>(
        &self,
        core: &'a Core<P>,
        locked: Locked<'a, G, P>,
        found: Found<'a, P>,
        deadline: u64,
        growth: &Want,
        removed: &mut Removed<T>,
    ) -> Result<Locked<'a, G, P>, Refusal> {
        let (life, before) = (found.life(), P::weight_of(found.place));
        self.find_room(core, locked, growth, removed, |locked| {
            let is_same = locked.find(life).is_some_and(|place| {
                P::weight_of(place) == before && !self.has_passed(place.deadline(), 0)
            });
            if is_same && core.budget.allows(before + growth.weight) {
                locked.reserve_timer(deadline).map_err(Refusal::from)
            } else {
                Err(Refusal::Rival)
            }
        })
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
        if !core.budget.allows(item.weight) {
            return Err((Refusal::TooHeavy, item));
        }
        let returns = locked.state.policy.returns(hash);
        let want = Want { hash, weight: item.weight, spared: NIL };
        let fits = match item.weight {
            0 => self.make_room_for_weightless(core, &mut locked, removed).map(|()| true),
            weight if is_short(core, &locked, weight) => Ok(false),
            _ => self.make_room(core, &mut locked, &want, removed),
        };
        let fits = match fits {
            Ok(fits) => fits,
            Err(error) => return Err((error.into(), item)),
        };
        if !fits {
            let found = self.find_room(core, locked, &want, removed, |locked| {
                match locked.namesake(query, known) {
                    Namesake::Absent if !core.budget.allows(item.weight) => Err(Refusal::TooHeavy),
                    Namesake::Absent => locked.reserve(item.deadline).map_err(Refusal::from),
                    _ => Err(Refusal::Rival),
                }
            });
            match found {
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
        if let Some(first) = removed.iter().next() {
            take_notice(core, &[&first.key, &first.value]);
        }
        G::tidy();
        Ok(())
    }

    /// The rest of making room, when the shard of the key has nothing more to give, or less than its
    /// share: from other shards, as long as `check` finds under the lock that it is still wanted.
    ///
    /// What went for it is kept until it is enough: given back, it would be other writers', who evict nothing then, and
    /// this would never end. So one thread at a time does this, lest two wait for what the other has.
    #[cold]
    fn find_room<'a>(
        &self,
        core: &'a Core<P>,
        mut locked: Locked<'a, G, P>,
        want: &Want,
        removed: &mut Removed<T>,
        check: impl Fn(&mut Locked<'a, G, P>) -> Result<(), Refusal>,
    ) -> Result<Locked<'a, G, P>, Refusal> {
        drop(locked);
        let _alone = core.budget.gathering.lock();
        let mut backoff = Backoff::new();
        let mut share = 0;
        // First from those that have more than their share.
        let mut least = core.room();
        loop {
            let before = share;
            let gathered = self.evict_elsewhere(core, want, least, &mut share, removed);
            locked = core.lock::<G>(want.hash);
            core.budget.in_flight.fetch_sub(share, Relaxed);
            if core.budget.is_exceeded() {
                // The limit has become less meanwhile: this is too much now.
                core.budget.release(std::mem::take(&mut share));
            }
            let has_more = least > 0 && share > before;
            let fits = gathered.map_err(Refusal::from).and_then(|()| check(&mut locked));
            let fits = fits.and_then(|()| {
                if has_more && !core.budget.complete(&mut share, want.weight) {
                    return Ok(false);
                }
                Ok(self.gather(core, &mut locked, want, &mut share, removed)?)
            });
            match fits {
                Ok(true) => return Ok(locked),
                Ok(false) => {}
                Err(refusal) => {
                    core.budget.release(share);
                    return Err(refusal);
                }
            }
            core.budget.in_flight.fetch_add(share, Relaxed);
            drop(locked);
            if share == before && least == 0 {
                // What is missing is in the hands of writers, one of whom may not be running.
                backoff.wait_for_another();
            }
            if !has_more {
                least = 0;
            }
        }
    }

    /// Reserves what is wanted in the budget, evicting what must go from this shard. False
    /// if it has nothing more to give.
    ///
    /// # Errors
    /// [`OutOfMemory`]: there is no room for what must go.
    fn make_room(
        &self,
        core: &Core<P>,
        locked: &mut Locked<'_, G, P>,
        want: &Want,
        removed: &mut Removed<T>,
    ) -> Result<bool, OutOfMemory> {
        let mut share = 0;
        let fits = self.gather(core, locked, want, &mut share, removed);
        if !matches!(fits, Ok(true)) {
            core.budget.release(share);
        }
        fits
    }

    /// The same with a share of it reserved already, which becomes what is reserved then. If
    /// this fails, it is for the caller to release.
    fn gather(
        &self,
        core: &Core<P>,
        locked: &mut Locked<'_, G, P>,
        want: &Want,
        share: &mut u64,
        removed: &mut Removed<T>,
    ) -> Result<bool, OutOfMemory> {
        while !core.budget.complete(share, want.weight) {
            removed.reserve()?;
            let Some((words, deadline)) = locked.evict(want.spared) else { return Ok(false) };
            *share += words.weight;
            removed.push(evicted(&words, self.reason(deadline)));
        }
        // The limit has become less while something was on its way from one shard to another.
        while core.budget.is_exceeded()
            && removed.reserve().is_ok()
            && let Some((words, deadline)) = locked.evict(want.spared)
        {
            core.budget.release(words.weight);
            removed.push(evicted(&words, self.reason(deadline)));
        }
        Ok(want.spared != NIL || !core.budget.is_exceeded())
    }

    /// Sees to it that one more item may come into this shard that weighs nothing.
    ///
    /// # Errors
    /// As [`Self::make_room`].
    #[cold]
    fn make_room_for_weightless(
        &self,
        core: &Core<P>,
        locked: &mut Locked<'_, G, P>,
        removed: &mut Removed<T>,
    ) -> Result<(), OutOfMemory> {
        while locked.state.policy.weightless() as u64 >= core.room_for_weightless() {
            removed.reserve()?;
            let Some((words, deadline)) = locked.evict_weightless() else { break };
            removed.push(evicted(&words, self.reason(deadline)));
        }
        Ok(())
    }

    /// Sets what all items may weigh together. What is too much by now is evicted, and handed to
    /// `sink`, with nothing held.
    ///
    /// # Errors
    /// [`OutOfMemory`]; then nothing was changed.
    pub fn set_limit(
        &self,
        limit: u64,
        mut sink: impl FnMut(Evicted<T>),
    ) -> Result<(), OutOfMemory> {
        let core = self.core_or_new(0)?;
        while !self.change_limit(core, limit) {
            let evict = |locked: &mut Locked<'_, G, P>| {
                locked.evict(NIL).inspect(|(words, _)| core.budget.release(words.weight))
            };
            self.evict_from_each(core, 1, &mut sink, evict);
        }
        let some = AT_ONCE / MOST_SHARDS;
        while self.evict_from_each(core, some, &mut sink, |locked| evict_excess(core, locked)) {}
        G::tidy();
        Ok(())
    }

    /// With all shards locked, so that nobody keeps account by another limit than he began with.
    /// False if there is more than can be counted, as there may be without a limit.
    fn change_limit(&self, core: &Core<P>, limit: u64) -> bool {
        let mut states = [const { None }; MOST_SHARDS];
        for (state, shard) in states.iter_mut().zip(&core.shards) {
            *state = Some(shard.lock_state());
        }
        let weight: u128 = states.iter().flatten().map(|state| state.policy.weight()).sum();
        // Without a limit nobody counts.
        let used = u64::try_from(if limit == UNBOUNDED { 0 } else { weight }).ok();
        let used = used.and_then(|used| used.checked_add(core.budget.in_flight.load(Relaxed)));
        let Some(used) = used else { return false };
        if !mutant!("cache.limit.uncounted") {
            core.budget.used.store(used, Relaxed);
        }
        core.budget.limit.store(limit, Relaxed);
        self.limit.store(limit, Relaxed);
        true
    }

    /// Removes up to `most` items from each shard, which `evict` chooses, and hands them to `sink`,
    /// with nothing held; false if there was none.
    fn evict_from_each(
        &self,
        core: &Core<P>,
        most: usize,
        mut sink: impl FnMut(Evicted<T>),
        mut evict: impl FnMut(&mut Locked<'_, G, P>) -> Option<(Words, u64)>,
    ) -> bool {
        let mut some = false;
        for shard in &core.shards {
            let mut removed = Removed::default();
            let mut locked = shard.lock::<G>();
            // For the first one there is room.
            for _ in 0..most {
                let victim = removed.reserve().ok().and_then(|()| evict(&mut locked));
                let Some((words, deadline)) = victim else { break };
                removed.push(evicted(&words, self.reason(deadline)));
                some = true;
            }
            drop(locked);
            removed.into_iter().for_each(&mut sink);
        }
        some
    }

    /// Evicts items of other shards until `share` is as much as is wanted, some of each, as long as it
    /// has more than `least`. The share is in flight.
    fn evict_elsewhere(
        &self,
        core: &Core<P>,
        want: &Want,
        least: u64,
        share: &mut u64,
        removed: &mut Removed<T>,
    ) -> Result<(), OutOfMemory> {
        let own = core.number(want.hash);
        let mut gathered = Ok(());
        for number in (1..core.shards.len()).map(|i| (own + i) % core.shards.len()) {
            let mut locked = core.shards[number].lock::<G>();
            let before = *share;
            for _ in 0..AT_ONCE {
                let is_enough = core.budget.complete(share, want.weight);
                if is_enough || locked.state.policy.weight() <= least.into() {
                    break;
                }
                gathered = removed.reserve();
                let Some((words, deadline)) = gathered.ok().and_then(|()| locked.evict(NIL)) else {
                    break;
                };
                *share += words.weight;
                removed.push(evicted(&words, self.reason(deadline)));
            }
            // (What is beyond is released late if that is the last one's: then it is less now.)
            core.budget.in_flight.fetch_add(share.wrapping_sub(before), Relaxed);
            gathered?;
            if *share >= want.weight {
                break;
            }
        }
        Ok(())
    }

    fn reason(&self, deadline: u64) -> Reason {
        if self.has_passed(deadline, 0) { Reason::Expired } else { Reason::Size }
    }
}
