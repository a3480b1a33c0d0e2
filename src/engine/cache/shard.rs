//! A shard: what its lock protects, and what the holder of the lock does.
//!
//! A shard has its own table, policy, timers and free entries. Its lock is held
//! for some instructions and no user code: keys and values go in and out as words,
//! and whoever held the lock turns them into references again once it is released.

use crossbeam_utils::CachePadded;

use super::super::arena::{NIL, OutOfMemory};
use super::entry::{Content, Entries, Entry, Life, entry};
use super::policy::Policy;
use super::table::Tables;
use super::timers::Timers;
use crate::shim::{Mutex, MutexGuard, mutant};

/// The key and the value of an item that was removed.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) weight: u64,
}

/// What the policy wants to know of a new item.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) weight: u64,
    /// Whether one with its key was evicted of late.
    pub(super) returns: bool,
    /// What the shard may hold, as far as is known.
    pub(super) room: u64,
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
        // Nothing that the holder does panics.
        let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Locked { entries, tables: &self.tables, state }
    }
}

/// A shard whose lock is held.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    pub(super) entries: &'a Entries,
    tables: &'a Tables,
    pub(super) state: MutexGuard<'a, State>,
}

impl Locked<'_> {
    /// The lives with this hash.
    pub(super) fn namesakes(&self, hash: u64) -> impl Iterator<Item = Life> {
        let chain = self.tables.current().map(|table| table.chain(self.entries, hash));
        let namesakes = chain.into_iter().flatten().filter(move |(_, place)| place.hash() == hash);
        namesakes.map(|(index, place)| Life { index, stamp: place.stamp() })
    }

    /// The entries of all items.
    pub(super) fn items(&self) -> impl Iterator<Item = &Entry> {
        let table = self.tables.current();
        table.into_iter().flat_map(|table| table.all(self.entries)).map(|(_, place)| place)
    }

    /// Sees to it that one more item can be linked, and returns an entry for it.
    pub(super) fn reserve(&mut self, shard_bits: u64) -> Result<u32, OutOfMemory> {
        self.tables.reserve(self.entries, self.state.policy.len() + 1, shard_bits)?;
        match self.state.free {
            NIL => self.entries.grow(1),
            free => {
                self.state.free = entry(self.entries, free).links().newer;
                Ok(free)
            }
        }
    }

    /// Gives a free entry to this shard.
    pub(super) fn give(&mut self, index: u32) {
        let next = std::mem::replace(&mut self.state.free, index);
        entry(self.entries, index).with_links(|links| links.newer = next);
    }

    /// Takes back what was given last.
    pub(super) fn take_given(&mut self) -> u32 {
        let links = entry(self.entries, self.state.free).links();
        std::mem::replace(&mut self.state.free, links.newer)
    }

    /// Puts an item in the cache, into an entry that [`Self::reserve`] returned.
    pub(super) fn insert(&mut self, index: u32, content: &Content, admission: &Admission) {
        let place = entry(self.entries, index);
        place.fill(content);
        place.with_links(|links| links.weight = admission.weight);
        if let Some(table) = self.tables.current() {
            table.link(self.entries, index, content.hash, || {
                // Linked: readers may pass through it from now on.
                place.step();
            });
        }
        // Live: here the item comes into the cache.
        let stamp = place.step();
        self.state.policy.admit(self.entries, index, admission.returns, admission.room);
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
        let old = entry(self.entries, life.index).replace(value, deadline);
        self.state.policy.reweigh(self.entries, life.index, weight);
        self.set_timer(deadline, life);
        old
    }

    fn set_timer(&mut self, deadline: u64, life: Life) {
        if deadline == 0 {
            return;
        }
        let (entries, state) = (self.entries, &mut *self.state);
        let is_valid = |deadline, life: Life| {
            let place = entry(entries, life.index);
            place.is_still(life.stamp) && place.deadline() == deadline
        };
        state.timers.set(deadline, life, state.policy.len(), is_valid);
    }

    /// Removes a live item.
    pub(super) fn remove(&mut self, index: u32) -> Words {
        self.state.policy.remove(self.entries, index);
        self.take_out(index)
    }

    /// Removes the policy's next victim.
    pub(super) fn evict(&mut self, spared: u32) -> Option<(Words, u64)> {
        let index = self.state.policy.victim(self.entries, spared)?;
        let deadline = entry(self.entries, index).deadline();
        self.state.policy.evict(self.entries, index);
        Some((self.take_out(index), deadline))
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

    /// Removes all items.
    pub(super) fn drain(&mut self) -> Vec<Words> {
        let mut removed = Vec::with_capacity(self.state.policy.len());
        while let Some(index) = self.state.policy.any() {
            removed.push(self.remove(index));
        }
        self.state.timers.clear();
        removed
    }

    /// The end of a life. The item is in no queue any more.
    fn take_out(&mut self, index: u32) -> Words {
        let place = entry(self.entries, index);
        // Dead: here the item leaves the cache.
        place.step();
        if let Some(table) = self.tables.current() {
            table.unlink(self.entries, index);
        }
        let (key, value) = place.empty();
        // Free.
        if !mutant!("cache.free.same_life") {
            place.step();
        }
        self.give(index);
        Words { key, value, weight: place.links().weight }
    }
}
