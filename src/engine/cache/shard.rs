//! A shard: what its lock protects, and what the holder of the lock does.
//!
//! A shard has its own table, policy, timers and free entries. Its lock is held
//! for some instructions and no user code: keys and values go in and out as words,
//! and whoever held the lock turns them into references again once it is released.

use std::marker::PhantomData;
use std::mem::offset_of;

use super::super::memory::arena::{NIL, OutOfMemory};
use super::super::memory::epoch::Reclaim;
use super::super::memory::pointer::Counted;
use super::super::shim::{Lock, LockGuard, mutant};
use super::Apart;
use super::entry::{Content, Entry, Glimpse, Life};
use super::lookup::{Found, Known, Query, mix};
use super::pages::{Detached, Entries, Pages};
use super::policy::{Admission, Policy};
use super::s3fifo::S3Fifo;
use super::table::{Place, Tables};
use super::timers::{Timer, Timers};

/// The key and the value of an item that was removed.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) weight: u64,
}

/// Who goes next.
#[derive(Debug)]
pub(super) struct Victim<'a, P: Policy> {
    index: u32,
    place: &'a Entry<P>,
}

/// Whether an item has a key.
#[derive(Debug)]
pub(super) enum Namesake<'a, P: Policy> {
    Absent,
    /// As long as the lock is held.
    Equal(Found<'a, P>),
    /// There is one of the same hash; only a comparison can tell.
    Unknown,
}

/// What a lock protects. What each insertion into a full cache writes comes first, so that it is on the
/// lock's cache line.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct State<P> {
    /// How many lives there were (E1).
    lives: u64,
    pub(super) policy: P,
    timers: Timers,
    pages: Pages,
    /// How many tables there were (T3).
    generations: u64,
}

/// What the lock takes before that.
const LOCK: usize = align_of::<State<S3Fifo>>();

const _: () = assert!(
    cfg!(loom) || LOCK + offset_of!(State<S3Fifo>, policy) + S3Fifo::WRITTEN <= 64,
    "what an insertion into a full cache writes is on the lock's cache line"
);

/// A part of the cache.
#[derive(Debug)]
pub(super) struct Shard<P: Policy> {
    /// What readers read.
    readable: Apart<Readable<P>>,
    state: Apart<Lock<State<P>>>,
}

/// What readers read of a shard.
#[derive(Debug)]
pub(super) struct Readable<P: Policy> {
    pub(super) tables: Tables,
    pub(super) entries: Entries<P>,
}

impl<P: Policy> std::ops::Deref for Shard<P> {
    type Target = Readable<P>;

    #[inline(always)]
    fn deref(&self) -> &Readable<P> {
        &self.readable
    }
}

impl<P: Policy> Shard<P> {
    pub(super) fn new() -> Self {
        let readable = Readable { tables: Tables::new(), entries: Entries::new() };
        Self { readable: Apart(readable), state: Apart(Lock::default()) }
    }

    pub(super) fn lock_state(&self) -> LockGuard<'_, State<P>> {
        self.state.lock()
    }

    pub(super) fn lock<G: Reclaim>(&self) -> Locked<'_, G, P> {
        let state = self.lock_state();
        Locked { entries: &self.entries, tables: &self.tables, state, _retires: PhantomData }
    }
}

/// A shard whose lock is held. Memory that comes free is retired by `G`.
#[derive(Debug)]
pub(super) struct Locked<'a, G, P: Policy> {
    pub(super) entries: &'a Entries<P>,
    tables: &'a Tables,
    pub(super) state: LockGuard<'a, State<P>>,
    _retires: PhantomData<G>,
}

impl<'a, G: Reclaim, P: Policy> Locked<'a, G, P> {
    /// Looks for the item with this key (C2).
    #[inline(always)] // what it returns takes time through memory
    pub(super) fn namesake<T: Counted, Q: Query<T>>(
        &self,
        query: &Q,
        known: &Known,
    ) -> Namesake<'a, P> {
        let hash = mix(query.hash());
        let Some(table) = self.tables.held() else { return Namesake::Absent };
        let mut namesake = Namesake::Absent;
        // In general they were compared in the order of the chain.
        let mut in_order = known.unequal.iter();
        for (index, place) in table.chain(self.entries, hash) {
            if place.hash() != hash {
                continue;
            }
            let found = Found { place, index, stamp: place.stamp() };
            if place.is_surely(query.address(), query.by_hash()) {
                return Namesake::Equal(found);
            }
            let life = found.life();
            if in_order.any(|each| *each == life) || known.unequal.contains(&life) {
                continue;
            }
            // SAFETY: words in our entries are of `T`s.
            let is_plainly = |key: Glimpse<'_>| unsafe { query.is_plainly(&key) };
            if known.equal == Some(life) || place.glimpse(found.stamp).is_some_and(is_plainly) {
                return Namesake::Equal(found);
            }
            namesake = Namesake::Unknown;
        }
        namesake
    }

    /// Calls `visit` with the entries of some items, from `from` on; returns where to go on.
    pub(super) fn some(
        &self,
        from: Place,
        count: usize,
        visit: impl FnMut(&Entry<P>),
    ) -> Option<Place> {
        self.tables.held().and_then(|table| table.some(self.entries, from, count, visit))
    }

    /// The entry of a life that goes on.
    #[inline]
    pub(super) fn find(&self, life: Life) -> Option<&'a Entry<P>> {
        self.entries.held().find(life.index).filter(|place| place.has(life))
    }

    /// Sees to it that one more item can be inserted, also after others were evicted.
    pub(super) fn reserve(&mut self, deadline: u64) -> Result<(), OutOfMemory> {
        self.reserve_timer(deadline)?;
        let state = &mut *self.state;
        let len = state.policy.len() + 1;
        self.tables.reserve::<P, G>(self.entries, len, &mut state.generations)?;
        state.pages.reserve::<P, G>(self.entries)
    }

    /// Sees to it that one more item can have this deadline.
    #[inline]
    pub(super) fn reserve_timer(&mut self, deadline: u64) -> Result<(), OutOfMemory> {
        if deadline == 0 { Ok(()) } else { self.reserve_one_timer() }
    }

    fn reserve_one_timer(&mut self) -> Result<(), OutOfMemory> {
        let (entries, state) = (self.entries, &mut *self.state);
        state.timers.reserve(state.policy.len(), |timer| is_valid(entries, timer))
    }

    /// Puts an item in the cache, for which [`Self::reserve`] has made provision. (Its
    /// entry is the victim's, if there is one: that one is at hand.)
    pub(super) fn insert(&mut self, content: &Content, admission: &Admission) {
        let (index, place) = self.state.pages.take(self.entries);
        self.state.lives += 1;
        let number = self.state.lives;
        place.fill(content, number);
        if let Some(table) = self.tables.held() {
            table.link(index, place, content.hash, || {
                // Linked: readers may pass through it from now on.
                place.begin(number);
            });
        }
        // Live: here the item comes into the cache.
        let stamp = place.step();
        self.state.policy.admit(self.entries, index, place, admission);
        self.set_timer(content.deadline, Found { place, index, stamp });
    }

    /// Replaces the value of a live item, which is claimed. [`Self::reserve_timer`] has made provision.
    pub(super) fn replace(
        &mut self,
        found: Found<'_, P>,
        value: usize,
        deadline: u64,
        weight: u64,
    ) -> usize {
        let old = found.place.replace(value, deadline);
        self.state.policy.reweigh(self.entries, found.index, found.place, weight);
        self.set_timer(deadline, found);
        old
    }

    /// The policy's next victim, if it weighs so much: 1, as all items do, and they are so many as
    /// to make room themselves.
    #[inline(always)]
    pub(super) fn victim(&mut self, weight: u64, room: u64) -> Option<Victim<'a, P>> {
        let policy = &mut self.state.policy;
        let weighing = policy.len() - policy.weightless();
        if weight != 1 || !policy.weigh_one_each() || (weighing as u64) < least(room) {
            return None;
        }
        let (index, place) = policy.victim(self.entries, NIL)?;
        Some(Victim { index, place })
    }

    /// Removes the victim, and puts an item in its place, and its entry: nothing has to be
    /// reserved. Neither expires.
    #[inline(always)]
    pub(super) fn supplant(
        &mut self,
        victim: &Victim<'a, P>,
        content: &Content,
        room: u64,
    ) -> Words {
        let Victim { index, place } = *victim;
        let _claim = place.claim();
        let state = &mut *self.state;
        let returns = state.policy.returns(content.hash);
        state.policy.evict(self.entries, index, place);
        // Dead: here the victim leaves the cache.
        place.step();
        if let Some(table) = self.tables.held() {
            table.unlink(self.entries, index, place);
        }
        let (key, value) = place.parted();
        if !mutant!("cache.supplant.same_life") {
            place.step();
        }
        // Free, and used anew. E4: what it is filled with replaces both words.
        state.lives += 1;
        let number = state.lives;
        place.fill(content, number);
        if let Some(table) = self.tables.held() {
            table.link(index, place, content.hash, || place.begin(number));
        }
        // Live: here the item comes into the cache.
        place.step();
        state.policy.admit(self.entries, index, place, &Admission { returns, room });
        Words { key, value, weight: content.weight }
    }

    #[inline]
    fn set_timer(&mut self, deadline: u64, found: Found<'_, P>) {
        if deadline != 0 {
            self.state.timers.set(Timer { deadline, index: found.index, stamp: found.stamp });
        }
    }

    /// Removes a live item.
    pub(super) fn remove(&mut self, index: u32) -> Words {
        let place = self.entries.entry(index);
        let _claim = place.claim();
        self.remove_claimed(index, place)
    }

    /// The same, of one that is claimed.
    pub(super) fn remove_claimed(&mut self, index: u32, place: &Entry<P>) -> Words {
        self.state.policy.remove(self.entries, index, place);
        self.take_out(index, place)
    }

    /// Removes the policy's next victim.
    pub(super) fn evict(&mut self, spared: u32) -> Option<(Words, u64)> {
        let (index, victim) = self.state.policy.victim(self.entries, spared)?;
        let _claim = if mutant!("dictionary.evict.unclaimed") { None } else { victim.claim() };
        let deadline = victim.deadline();
        self.state.policy.evict(self.entries, index, victim);
        Some((self.take_out(index, victim), deadline))
    }

    /// Removes the policy's next victim of those that weigh nothing.
    #[cold]
    pub(super) fn evict_weightless(&mut self) -> Option<(Words, u64)> {
        let index = self.state.policy.weightless_victim(self.entries)?;
        let deadline = self.entries.entry(index).deadline();
        Some((self.remove(index), deadline))
    }

    /// Whether any item may expire.
    #[inline]
    pub(super) fn has_timers(&self) -> bool {
        !self.state.timers.is_empty()
    }

    /// Removes an item whose deadline has passed.
    pub(super) fn expire(&mut self, now: impl Fn() -> u64) -> Option<Words> {
        loop {
            let timer = self.state.timers.take_due(&now)?;
            if is_valid(self.entries, timer) {
                return Some(self.remove(timer.index));
            }
        }
    }

    /// Unlinks all items at once. They are out of the cache, and what becomes of them is for
    /// the caller to do, who holds them alone: late readers, inside guards, may still find
    /// them live, as of the moment before.
    pub(super) fn detach(&mut self) -> Detached<P> {
        self.tables.take::<G>();
        let state = &mut *self.state;
        state.policy.remove_all();
        state.timers.clear();
        state.pages.take_all(self.entries)
    }

    /// The bytes that the shard has allocated.
    pub(super) fn bytes(&self) -> usize {
        let state = &*self.state;
        let beside = state.timers.bytes() + state.policy.bytes();
        self.tables.bytes() + state.pages.bytes() + beside
    }

    /// The end of a life, which is claimed. The item is in no queue any more.
    #[inline]
    fn take_out(&mut self, index: u32, place: &Entry<P>) -> Words {
        // Dead: here the item leaves the cache.
        place.step();
        let weight = P::weight_of(place);
        let state = &mut *self.state;
        if let Some(table) = self.tables.held() {
            table.unlink(self.entries, index, place);
        }
        let (key, value) = place.empty();
        // Free.
        if !mutant!("cache.free.same_life") {
            place.step();
        }
        state.pages.give_back::<P, G>(self.entries, index);
        self.tables.shrink::<P, G>(self.entries, state.policy.len(), &mut state.generations);
        Words { key, value, weight }
    }
}

/// A shard whose items weigh less does not make room itself; `room` is its share of the limit.
#[inline(always)]
pub(super) fn least(room: u64) -> u64 {
    room / 2
}

/// Whether a timer is that of an item. The lock is held.
fn is_valid<P: Policy>(entries: &Entries<P>, timer: Timer) -> bool {
    let place = entries.held().find(timer.index);
    place.is_some_and(|place| place.stamp() == timer.stamp && place.deadline() == timer.deadline)
}

/// Ends the life of a detached item; `None` if it ended before.
pub(super) fn end_detached<P: Policy>(place: &Entry<P>) -> Option<Words> {
    // Late writers may be there, as late readers may.
    let _claim = if mutant!("dictionary.clear.unclaimed") { None } else { place.claim() };
    place.stamp().is_live().then(|| {
        // As `take_out`.
        place.step();
        let (key, value) = place.empty();
        place.step();
        Words { key, value, weight: P::weight_of(place) }
    })
}
