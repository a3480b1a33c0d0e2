//! Who is evicted: S3-FIFO.
//!
//! # Idea and source
//! J. Yang, Y. Zhang, Z. Qiu, Y. Yue, K. V. Rashmi, "FIFO queues are all you need
//! for cache eviction", SOSP 2023. Most items of a cache are used once. So new
//! ones pass through a *small* queue, a tenth of the cache; what was used twice
//! there moves on to the *main* queue, the rest goes. What comes back soon after it
//! went, as the *ghost* remembers, enters the main queue directly. There an item
//! that was used since it came to the front goes round once more.
//!
//! A hit therefore moves nothing: it raises a two-bit count. That is why readers
//! need no lock. The parameters, and filling the main queue too as long as nothing
//! was ever evicted, are those of the authors' simulator, libCacheSim.
//!
//! Four things differ. The small queue's tenth is of what the shard holds, because
//! shards share one bound. A search for a victim passes over
//! [`MOST_PASSED`] items at most, because it happens under the shard's lock. Among [`FEW`] items
//! one use is enough to earn the main queue: a small queue of one to ten items is passed through
//! so soon that hardly any is used twice there. And an item that weighs nothing gives no room, so
//! it is no victim: it has a queue of its own, the *weightless* one, which the cache bounds by number.

use super::super::memory::arena::NIL;
use super::super::shim::{
    AtomicU8, AtomicU64,
    Ordering::{Relaxed, Release},
    UnsafeCell, mutant, ordering,
};
use super::entry::{self, Content};
use super::ghost::Ghost;
use super::pages;
use super::policy::{Admission, Policy};

type Entries = pages::Entries<S3Fifo>;
type Entry = entry::Entry<S3Fifo>;

const _: () = assert!(cfg!(loom) || size_of::<Entry>() == 64, "an entry fills a cache line");

/// The small queue's share is one in so many.
const SMALL_SHARE: u64 = 10;

/// Uses in the small queue that earn a place in the main one.
const EARNED: u8 = 2;

/// Among so many items one use does.
const FEW: usize = 100;

/// How many items a search for a victim may pass over.
const MOST_PASSED: usize = 256;

/// The most that is remembered of how often an item was used: S3-FIFO's two bits.
const MOST_USED: u8 = 3;

/// The queue of the policy that an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Small,
    Main,
}

/// What only the holder of the shard's lock uses.
#[derive(Clone, Copy, Debug)]
struct Links {
    /// The next one in the queue.
    newer: u32,
    older: u32,
    /// Twice the weight, and the place: no weight has more than 63 bits.
    placed_weight: u64,
}

impl Links {
    #[inline]
    fn weight(&self) -> u64 {
        self.placed_weight >> 1
    }

    #[inline]
    fn set_weight(&mut self, weight: u64) {
        self.placed_weight = weight << 1 | self.placed_weight & 1;
    }

    #[inline]
    fn place(&self) -> Place {
        if self.placed_weight & 1 == 0 { Place::Small } else { Place::Main }
    }

    #[inline]
    fn set_place(&mut self, place: Place) {
        self.placed_weight = self.placed_weight & !1 | u64::from(place == Place::Main);
    }
}

/// What an entry has for this policy.
#[derive(Debug)]
#[repr(C)]
pub struct Note {
    /// When the item expires; 0 is never.
    deadline: AtomicU64,
    links: UnsafeCell<Links>,
}

impl Entry {
    /// How often the item was used, forgetting one time.
    fn unmark(&self) -> u8 {
        let used = self.uses.load(Relaxed);
        self.uses.store(used.saturating_sub(1), Relaxed);
        used
    }

    fn used(&self) -> u8 {
        self.uses.load(Relaxed)
    }

    fn forget_use(&self) {
        self.uses.store(0, Relaxed);
    }

    fn links(&self) -> Links {
        // SAFETY: E5.
        self.note.links.with(|links| unsafe { *links })
    }

    fn with_links<R>(&self, change: impl FnOnce(&mut Links) -> R) -> R {
        self.note.links.with_mut(|links| {
            // SAFETY: E5.
            change(unsafe { &mut *links })
        })
    }
}

/// A queue of entries, linked through them. What the link of the oldest one to an older one says does
/// not matter: whoever evicts it leaves its neighbour, another cache line, as it is.
#[derive(Debug, Default)]
struct Queue {
    oldest: u32,
    newest: u32,
    len: u32,
}

impl Queue {
    #[inline]
    fn push(&mut self, entries: &Entries, index: u32, new: &Entry, place: Place) {
        let older = std::mem::replace(&mut self.newest, index);
        if older == NIL {
            self.oldest = index;
        } else {
            entries.entry(older).with_links(|links| links.newer = index);
        }
        self.len += 1;
        new.with_links(|links| {
            (links.older, links.newer) = (older, NIL);
            links.set_place(place);
        });
    }

    /// Takes out an entry that has these links.
    #[inline]
    fn remove(&mut self, entries: &Entries, index: u32, links: &Links) {
        self.len -= 1;
        if self.oldest == index {
            self.oldest = links.newer;
            if links.newer == NIL {
                self.newest = NIL;
            }
            return;
        }
        entries.entry(links.older).with_links(|older| older.newer = links.newer);
        match links.newer {
            NIL => self.newest = links.older,
            newer => entries.entry(newer).with_links(|newer| newer.older = links.older),
        }
    }

    /// Whether there is nothing in it but this one.
    fn is_only(&self, index: u32) -> bool {
        self.oldest == self.newest && (self.oldest == NIL || self.oldest == index)
    }
}

/// A sum of weights, wider than that of an item: without a limit, items weigh any number of times
/// 2^63. (Packed, so that the shard's lock lies beside what it protects.)
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(8))]
struct Sum(u128);

/// The queues of a shard. What each eviction writes comes first, and is on one cache line, with the
/// shard's lock: the other lines of the shard stay in the caches of all who only read them.
#[derive(Debug, Default)]
#[repr(C)]
pub struct S3Fifo {
    small: Queue,
    main: Queue,
    /// How many items in these two weigh more than 1.
    heavier: u32,
    /// Whether anything was ever evicted.
    was_full: bool,
    ghost: Ghost,
    /// Of what weighs nothing.
    weightless: Queue,
    /// What the items in the small and the main queue weigh, beyond 1 each.
    excess: [Sum; 2],
}

impl Policy for S3Fifo {
    /// How often the item was used of late, up to [`MOST_USED`].
    type Uses = AtomicU8;
    type Note = Note;

    #[cfg(loom)]
    fn zeroed() -> (AtomicU8, Note) {
        let links = UnsafeCell::new(Links { newer: NIL, older: NIL, placed_weight: 0 });
        (AtomicU8::new(0), Note { deadline: AtomicU64::new(0), links })
    }

    #[inline]
    fn begin(entry: &Entry, content: &Content) {
        // Release: E3.
        entry.note.deadline.store(content.deadline, ordering!(Release, "cache.fill.deadline"));
        if !mutant!("cache.used.inherited") {
            entry.forget_use();
        }
        entry.with_links(|links| links.set_weight(content.weight));
    }

    #[inline]
    fn deadline(entry: &Entry) -> u64 {
        entry.note.deadline.load(ordering!(Acquire, "cache.deadline.load"))
    }

    fn set_deadline(entry: &Entry, deadline: u64) {
        entry.note.deadline.store(deadline, Release);
    }

    fn weight_of(entry: &Entry) -> u64 {
        entry.links().weight()
    }

    /// It is written to a few times only, and never again as long as nobody looks for victims.
    #[inline]
    fn mark(entry: &Entry) {
        let used = entry.used();
        if used < MOST_USED && !mutant!("cache.used.unmarked") {
            entry.uses.store(used + 1, Relaxed);
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.weighing() + self.weightless()
    }

    #[inline]
    fn weightless(&self) -> usize {
        self.weightless.len as usize
    }

    fn weight(&self) -> u128 {
        self.weight_in(Place::Small) + self.weight_in(Place::Main)
    }

    #[inline(always)]
    fn weigh_one_each(&self) -> bool {
        self.heavier == 0
    }

    fn remove_all(&mut self) {
        (self.small, self.main) = (Queue::default(), Queue::default());
        self.weightless = Queue::default();
        (self.heavier, self.excess) = (0, Default::default());
    }

    fn bytes(&self) -> usize {
        self.ghost.bytes()
    }

    #[inline]
    fn returns(&mut self, hash: u64) -> bool {
        self.ghost.remove(hash)
    }

    #[inline]
    fn admit(&mut self, entries: &Entries, index: u32, new: &Entry, admission: &Admission) {
        let small_share = || (admission.room / SMALL_SHARE).max(1).into();
        let is_small =
            !admission.returns && (self.was_full || self.weight_in(Place::Small) < small_share());
        self.push(entries, index, new, if is_small { Place::Small } else { Place::Main });
    }

    #[inline]
    fn remove(&mut self, entries: &Entries, index: u32, removed: &Entry) {
        let links = removed.links();
        self.queue(&links).remove(entries, index, &links);
        self.take_off(&links);
    }

    fn reweigh(&mut self, entries: &Entries, index: u32, reweighed: &Entry, weight: u64) {
        let before = reweighed.links();
        if (before.weight() == 0) == (weight == 0) {
            self.take_off(&before);
            reweighed.with_links(|links| links.set_weight(weight));
            return self.add(&reweighed.links());
        }
        self.remove(entries, index, reweighed);
        reweighed.with_links(|links| links.set_weight(weight));
        self.push(entries, index, reweighed, Place::Main);
    }

    #[inline]
    fn victim<'a>(&mut self, entries: &'a Entries, spared: u32) -> Option<(u32, &'a Entry)> {
        let mut passes = self.weighing().min(MOST_PASSED);
        let earned = if self.weighing() <= FEW { 1 } else { EARNED };
        loop {
            let index = self.front(spared);
            if index == NIL || index == spared && self.weighing() == 1 {
                return None;
            }
            let front = entries.entry(index);
            if index != spared && (passes == 0 || !has_earned(front, earned)) {
                return Some((index, front));
            }
            // To the end of the main queue.
            self.remove(entries, index, front);
            self.push(entries, index, front, Place::Main);
            passes = passes.saturating_sub(1);
        }
    }

    fn weightless_victim(&mut self, entries: &Entries) -> Option<u32> {
        for _ in 0..self.weightless().min(MOST_PASSED) {
            let index = self.weightless.oldest;
            let front = entries.entry(index);
            if front.unmark() == 0 {
                break;
            }
            self.weightless.remove(entries, index, &front.links());
            self.weightless.push(entries, index, front, Place::Main);
        }
        (self.weightless.len > 0).then_some(self.weightless.oldest)
    }

    #[inline]
    fn evict(&mut self, entries: &Entries, index: u32, victim: &Entry) {
        self.was_full = true;
        if victim.links().place() == Place::Small {
            // As many as the main queue should have.
            let share = self.weighing() - self.weighing() / 10;
            self.ghost.insert(victim.hash(), share);
        }
        self.remove(entries, index, victim);
    }
}

impl S3Fifo {
    /// Where what each eviction writes ends.
    pub(super) const WRITTEN: usize = std::mem::offset_of!(Self, ghost) + Ghost::WRITTEN;

    /// How many items there are that weigh anything.
    #[inline]
    fn weighing(&self) -> usize {
        (self.small.len + self.main.len) as usize
    }

    /// What the items of the small or the main queue weigh.
    #[inline]
    fn weight_in(&self, place: Place) -> u128 {
        let queue = if place == Place::Small { &self.small } else { &self.main };
        let excess = if self.heavier == 0 { 0 } else { self.excess[place as usize].0 };
        u128::from(queue.len) + excess
    }

    /// The item whose turn it is: the small queue's while that has its share, or there is
    /// nobody else in the main one but `spared`.
    #[inline]
    fn front(&self, spared: u32) -> u32 {
        if self.small.len > 0 && (self.has_share() || self.main.is_only(spared)) {
            self.small.oldest
        } else {
            self.main.oldest
        }
    }

    /// Whether the small queue has its share.
    #[inline]
    fn has_share(&self) -> bool {
        if self.heavier == 0 {
            return u64::from(self.small.len) * (SMALL_SHARE - 1) >= u64::from(self.main.len);
        }
        // (So many weights of 63 bits as there can be items are far from the end of what this counts.)
        let times = u128::from(SMALL_SHARE - 1);
        self.weight_in(Place::Small) * times >= self.weight_in(Place::Main)
    }

    /// Puts an item at the end of that queue; if it weighs nothing, of the one for such.
    #[inline]
    fn push(&mut self, entries: &Entries, index: u32, new: &Entry, place: Place) {
        let weight = new.links().weight();
        let (queue, place) = match place {
            _ if weight == 0 => (&mut self.weightless, Place::Main),
            Place::Small => (&mut self.small, place),
            Place::Main => (&mut self.main, place),
        };
        queue.push(entries, index, new, place);
        self.add(&new.links());
    }

    /// The queue of an entry with these links.
    #[inline]
    fn queue(&mut self, links: &Links) -> &mut Queue {
        match links.place() {
            _ if links.weight() == 0 => &mut self.weightless,
            Place::Small => &mut self.small,
            Place::Main => &mut self.main,
        }
    }

    /// Adds the weight of an item to what those in its queue weigh.
    #[inline]
    fn add(&mut self, links: &Links) {
        if links.weight() > 1 {
            self.heavier += 1;
            self.excess[links.place() as usize].0 += u128::from(links.weight() - 1);
        }
    }

    /// The opposite.
    #[inline]
    fn take_off(&mut self, links: &Links) {
        if links.weight() > 1 {
            self.heavier -= 1;
            self.excess[links.place() as usize].0 -= u128::from(links.weight() - 1);
        }
    }
}

/// Whether the item whose turn it is has earned to be passed over, by so many uses in the small
/// queue; that is used up.
fn has_earned(front: &Entry, uses: u8) -> bool {
    match front.links().place() {
        Place::Small => {
            let earned = front.used() >= uses;
            if earned {
                front.forget_use();
            }
            earned
        }
        Place::Main => front.unmark() > 0,
    }
}
