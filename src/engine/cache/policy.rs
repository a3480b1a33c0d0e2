//! What decides how long items stay, and what it needs in their entries.
//!
//! The table, the pages and the search are the same whatever the policy is.

use std::fmt::Debug;

use super::super::memory::arena::NIL;
use super::super::shim::Latch;
use super::entry::{Content, Entry};
use super::pages::Entries;

/// What the policy wants to know of a new item.
#[derive(Debug)]
pub struct Admission {
    /// Whether one with its key was evicted of late.
    pub(super) returns: bool,
    /// What the shard may hold, as far as is known.
    pub(super) room: u64,
}

/// What decides which item goes when there is no room. All but what readers do is done by the
/// holder of the shard's lock. What a policy does not say itself is so where each item weighs 1 and none
/// expires.
pub trait Policy: Debug + Default {
    /// What readers leave in the entry of an item that they used: a byte, or nothing.
    type Uses: Debug;
    /// What else it needs there. Zeros are its value in a free entry.
    type Note: Debug;

    /// What a free entry has; loom's types need constructing.
    #[cfg(loom)]
    fn zeroed() -> (Self::Uses, Self::Note);

    /// Writes what the entry of a new item begins with.
    fn begin(_entry: &Entry<Self>, _content: &Content) {}

    /// When the item expires; 0 is never. Readers ask this.
    #[inline(always)]
    fn deadline(_entry: &Entry<Self>) -> u64 {
        0
    }

    /// Changes that.
    #[inline(always)]
    fn set_deadline(_entry: &Entry<Self>, _deadline: u64) {}

    /// What the item weighs.
    #[inline(always)]
    fn weight_of(_entry: &Entry<Self>) -> u64 {
        1
    }

    /// Notes that the item was used. Readers do this.
    #[inline(always)]
    fn mark(_entry: &Entry<Self>) {}

    /// By what an entry is claimed (E7), where writers do without the shard's lock.
    #[inline(always)]
    fn latch(_: &Entry<Self>) -> Option<&Latch> {
        None
    }

    /// How many items there are.
    fn len(&self) -> usize;

    /// How many of them weigh nothing.
    fn weightless(&self) -> usize {
        0
    }

    /// What they weigh together.
    fn weight(&self) -> u128 {
        self.len() as u128
    }

    /// Whether none weighs more than 1.
    #[inline(always)]
    fn weigh_one_each(&self) -> bool {
        true
    }

    /// Lets all items go; what was evicted of late is remembered.
    fn remove_all(&mut self) {
        *self = Self::default();
    }

    /// The bytes that it takes beside the entries.
    fn bytes(&self) -> usize {
        0
    }

    /// Whether an item with this key was evicted of late. It is asked before room is made
    /// for the new one, and once: then that is forgotten.
    fn returns(&mut self, _hash: u64) -> bool {
        false
    }

    /// Takes in a new item.
    fn admit(
        &mut self,
        entries: &Entries<Self>,
        index: u32,
        new: &Entry<Self>,
        admission: &Admission,
    );

    /// Lets an item go that was removed for another reason than its being the victim.
    fn remove(&mut self, entries: &Entries<Self>, index: u32, removed: &Entry<Self>);

    /// Takes note of a new weight.
    fn reweigh(
        &mut self,
        _entries: &Entries<Self>,
        _index: u32,
        _reweighed: &Entry<Self>,
        _weight: u64,
    ) {
    }

    /// Who is to go next of those that weigh anything; not `spared`.
    fn victim<'a>(
        &mut self,
        _entries: &'a Entries<Self>,
        _spared: u32,
    ) -> Option<(u32, &'a Entry<Self>)> {
        None
    }

    /// Who is to go next of those that weigh nothing, by its index.
    fn weightless_victim(&mut self, _entries: &Entries<Self>) -> Option<u32> {
        None
    }

    /// Lets the victim go, which weighs something.
    fn evict(&mut self, entries: &Entries<Self>, index: u32, victim: &Entry<Self>) {
        self.remove(entries, index, victim);
    }
}

/// There is always room. An entry has nothing but its key, its value, and what a search needs.
#[derive(Debug)]
pub(super) struct Unlimited {
    len: usize,
    /// Where the search for an item, whichever, ended.
    cursor: u32,
}

impl Default for Unlimited {
    fn default() -> Self {
        Self { len: 0, cursor: NIL }
    }
}

impl Policy for Unlimited {
    /// Nobody counts uses: the byte is the entry's latch.
    type Uses = Latch;
    type Note = ();

    #[cfg(loom)]
    fn zeroed() -> (Latch, ()) {
        (Latch::default(), ())
    }

    #[inline(always)]
    fn latch(entry: &Entry<Self>) -> Option<&Latch> {
        Some(&entry.uses)
    }

    fn len(&self) -> usize {
        self.len
    }

    fn admit(&mut self, _: &Entries<Self>, _: u32, _: &Entry<Self>, _: &Admission) {
        self.len += 1;
    }

    fn remove(&mut self, _: &Entries<Self>, _: u32, _: &Entry<Self>) {
        self.len -= 1;
    }

    /// The one that lies next, whichever that is.
    fn victim<'a>(
        &mut self,
        entries: &'a Entries<Self>,
        spared: u32,
    ) -> Option<(u32, &'a Entry<Self>)> {
        debug_assert_eq!(spared, NIL, "nothing is spared where there is always room");
        let found = entries.next_live(self.cursor).or_else(|| entries.next_live(NIL));
        self.cursor = found.map_or(NIL, |(index, _)| index);
        found
    }
}
