//! A shard: what its lock protects, and what the holder of the lock does.
//!
//! A shard has its own table, policy, timers and free entries. Its lock is held
//! for some instructions and no user code: keys and values go in and out as words,
//! and whoever held the lock turns them into references again once it is released.

use crossbeam_utils::CachePadded;

use super::super::memory::arena::{NIL, OutOfMemory};
use super::super::shim::{Mutex, MutexGuard, mutant};
use super::entry::{Content, Entries, Entry, Life, entry};
use super::lookup::{Query, mix};
use super::policy::{Admission, Policy};
use super::table::Tables;
use super::timers::Timers;

/// The key and the value of an item that was removed.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) weight: u64,
}

/// What came of comparing a key with those of its hash.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) equal: Option<Life>,
    pub(super) unequal: Vec<Life>,
}

/// Whether an item has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namesake {
    Absent,
    Equal(Life),
    /// There is one of the same hash; only a comparison can tell.
    Unknown,
}

/// What a lock protects.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) policy: Policy,
    timers: Timers,
    /// The first of the free entries, linked through [`Links::newer`].
    ///
    /// [`Links::newer`]: super::entry::Links::newer
    free: u32,
}

/// A part of the cache.
#[derive(Debug)]
pub(super) struct Shard {
    /// What readers read.
    pub(super) tables: CachePadded<Tables>,
    state: CachePadded<Mutex<State>>,
}

impl Shard {
    pub(super) fn new() -> Self {
        let tables = CachePadded::new(Tables::new());
        Self { tables, state: CachePadded::new(Mutex::new(State::default())) }
    }

    pub(super) fn lock<'a>(&'a self, entries: &'a Entries) -> Locked<'a> {
        Locked { entries, tables: &self.tables, state: self.state.lock() }
    }
}

/// A shard whose lock is held.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    pub(super) entries: &'a Entries,
    tables: &'a Tables,
    pub(super) state: MutexGuard<'a, State>,
}

impl<'a> Locked<'a> {
    /// Looks for the item with this key (C2).
    #[inline]
    pub(super) fn namesake<T, Q: Query<T>>(&self, query: &Q, known: &Known) -> Namesake {
        let hash = mix(query.hash());
        let Some(table) = self.tables.current() else { return Namesake::Absent };
        let mut namesake = Namesake::Absent;
        // In general they were compared in the order of the chain.
        let mut in_order = known.unequal.iter();
        for (index, place) in table.chain(self.entries, hash) {
            if place.hash() != hash {
                continue;
            }
            let life = Life { index, stamp: place.stamp() };
            if in_order.any(|each| *each == life) || known.unequal.contains(&life) {
                continue;
            }
            if known.equal == Some(life) || place.is_surely(query.address(), query.by_hash()) {
                return Namesake::Equal(life);
            }
            namesake = Namesake::Unknown;
        }
        namesake
    }

    /// The entries of all items.
    pub(super) fn items(&self) -> impl Iterator<Item = &Entry> {
        let table = self.tables.current();
        table.into_iter().flat_map(|table| table.all(self.entries)).map(|(_, place)| place)
    }

    /// Sees to it that one more item can be inserted, also after others were removed.
    pub(super) fn reserve(&mut self, shard_bits: u64) -> Result<(), OutOfMemory> {
        self.tables.reserve(self.entries, self.state.policy.len() + 1, shard_bits)?;
        if self.state.free == NIL {
            let index = self.entries.grow(1)?;
            self.give(index);
        }
        Ok(())
    }

    /// Gives a free entry to this shard.
    pub(super) fn give(&mut self, index: u32) {
        self.give_back(index, entry(self.entries, index));
    }

    fn give_back(&mut self, index: u32, free: &Entry) {
        let next = std::mem::replace(&mut self.state.free, index);
        free.with_links(|links| links.newer = next);
    }

    /// Takes back what was given last.
    #[inline]
    pub(super) fn take_given(&mut self) -> (u32, &'a Entry) {
        let index = self.state.free;
        let given = entry(self.entries, index);
        self.state.free = given.links().newer;
        (index, given)
    }

    /// Puts an item in the cache, for which [`Self::reserve`] has made provision. (Its
    /// entry is the victim's, if there is one: that one is at hand.)
    pub(super) fn insert(&mut self, content: &Content, admission: &Admission) {
        let (index, place) = self.take_given();
        place.fill(content);
        place.with_links(|links| links.weight = admission.weight);
        if let Some(table) = self.tables.current() {
            table.link(index, place, content.hash, || {
                // Linked: readers may pass through it from now on.
                place.step();
            });
        }
        // Live: here the item comes into the cache.
        let stamp = place.step();
        self.state.policy.admit(self.entries, index, place, admission);
        self.set_timer(content.deadline, Life { index, stamp });
    }

    /// Replaces the value of a live item.
    pub(super) fn replace(
        &mut self,
        life: Life,
        value: usize,
        deadline: u64,
        weight: u64,
    ) -> usize {
        let place = entry(self.entries, life.index);
        let old = place.replace(value, deadline);
        self.state.policy.reweigh(place, weight);
        self.set_timer(deadline, life);
        old
    }

    #[inline]
    fn set_timer(&mut self, deadline: u64, life: Life) {
        if deadline != 0 {
            self.start_timer(deadline, life);
        }
    }

    fn start_timer(&mut self, deadline: u64, life: Life) {
        let (entries, state) = (self.entries, &mut *self.state);
        let is_valid = |deadline, life: Life| {
            let place = entry(entries, life.index);
            place.is_still(life.stamp) && place.deadline() == deadline
        };
        state.timers.set(deadline, life, state.policy.len(), is_valid);
    }

    /// Removes a live item.
    pub(super) fn remove(&mut self, index: u32) -> Words {
        let place = entry(self.entries, index);
        self.state.policy.remove(self.entries, place);
        self.take_out(index, place)
    }

    /// Removes the policy's next victim.
    pub(super) fn evict(&mut self, spared: u32) -> Option<(Words, u64)> {
        let (index, victim) = self.state.policy.victim(self.entries, spared)?;
        let deadline = victim.deadline();
        self.state.policy.evict(self.entries, victim);
        Some((self.take_out(index, victim), deadline))
    }

    /// Whether any item may expire.
    #[inline]
    pub(super) fn has_timers(&self) -> bool {
        !self.state.timers.is_empty()
    }

    /// Removes an item whose deadline has passed.
    pub(super) fn expire(&mut self, now: impl Fn() -> u64) -> Option<Words> {
        loop {
            let (deadline, life) = self.state.timers.take_due(&now)?;
            let place = entry(self.entries, life.index);
            if place.is_still(life.stamp) && place.deadline() == deadline {
                return Some(self.remove(life.index));
            }
        }
    }

    /// Removes as many items as there are places for; returns how many.
    pub(super) fn drain(&mut self, places: &mut [Option<Words>]) -> usize {
        let mut count = 0;
        for place in places {
            let Some(index) = self.state.policy.any() else { break };
            *place = Some(self.remove(index));
            count += 1;
        }
        if self.state.policy.len() == 0 {
            self.state.timers.clear();
        }
        count
    }

    /// The end of a life. The item is in no queue any more.
    #[inline]
    fn take_out(&mut self, index: u32, place: &Entry) -> Words {
        // Dead: here the item leaves the cache.
        place.step();
        if let Some(table) = self.tables.current() {
            table.unlink(self.entries, index, place);
        }
        let (key, value) = place.empty();
        // Free.
        if !mutant!("cache.free.same_life") {
            place.step();
        }
        self.give_back(index, place);
        Words { key, value, weight: place.links().weight }
    }
}
