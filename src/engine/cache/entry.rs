//! Where an item lies: one cache line, used for one item after the other.
//!
//! # Lives
//! Entries are never freed before the cache is, so a reader may stand on one that
//! was emptied, or filled anew, under its feet. The [`Stamp`] tells: it counts the
//! steps of the entry's life, four to each.
//!
//! | state | the entry | its item |
//! |---|---|---|
//! | free | is in no chain | there is none |
//! | linked | is being linked into its chain | is not in the cache yet |
//! | live | is in its chain | **is in the cache** |
//! | dead | is being taken out of its chain | is not in the cache any more |
//!
//! # Invariants
//! - **E1** A stamp only grows, by one at a time, and only its shard's lock-holder
//!   changes it. It wraps after 2^30 lives: a reader had to be suspended for just
//!   so many insertions into one entry to take two of them for one.
//! - **E2** The key, the hash and the way to compare do not change in a life,
//!   outside the free state; the value and the deadline may.
//! - **E3** What a reader finds in an entry between two looks at the same stamp, not
//!   free, belongs to that life: a later one is written after the stamp has grown,
//!   with `Release`, so that whoever `Acquire`s a word of it sees the stamp grown.
//! - **E4** A word that is not 0 owns a reference. It is emptied, or replaced,
//!   before that reference is given up.
//! - **E5** The [`Links`] and the [`Place`] are the lock-holder's alone.

use super::super::memory::arena::{Arena, NIL, Zeroed};
use super::super::memory::pointer::Counted;
use super::super::shim::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
    UnsafeCell, fence, mutant, ordering, spin,
};

/// All entries of a cache.
pub(super) type Entries = Arena<Entry>;

/// A moment in an entry's lives (E1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(u32);

/// Steps in a life.
const STEPS: u32 = 4;
const FREE: u32 = 0;
const LIVE: u32 = 2;

impl Stamp {
    #[inline]
    pub(super) fn is_free(self) -> bool {
        self.0 % STEPS == FREE
    }

    #[inline]
    pub(super) fn is_live(self) -> bool {
        self.0 % STEPS == LIVE
    }
}

/// One life of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) index: u32,
    /// Of the live state.
    pub(super) stamp: Stamp,
}

/// The queue of the policy that an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Place {
    Small,
    Main,
}

/// What only the holder of the shard's lock uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    /// The next one in the queue; of a free entry, the next free one.
    pub(super) newer: u32,
    pub(super) older: u32,
    pub(super) weight: u64,
}

/// The most that is remembered of how often an item was used: S3-FIFO's two bits.
const MOST_USED: u8 = 3;

/// The place of an item.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Entry {
    key: AtomicUsize,
    value: AtomicUsize,
    /// Of the key, mixed.
    hash: AtomicU64,
    /// When the item expires; 0 is never.
    deadline: AtomicU64,
    /// The next in the chain, for the table of an even and of an odd generation.
    next: [AtomicU32; 2],
    stamp: AtomicU32,
    /// How often the item was used of late, up to [`MOST_USED`].
    used: AtomicU8,
    /// Whether equal hashes alone make the key equal to another one such.
    by_hash: AtomicBool,
    /// E5, as the links.
    place: UnsafeCell<Place>,
    links: UnsafeCell<Links>,
}

const _: () = assert!(cfg!(loom) || size_of::<Entry>() == 64, "an entry fills a cache line");

// SAFETY: zero bytes are a free entry: 0 is `NIL`, the smallest stamp, the first
// `Place`; neither atomics nor `Links` have drop glue.
unsafe impl Zeroed for Entry {
    const FIRST_BITS: u32 = if cfg!(loom) { 1 } else { 3 };

    fn zeroed() -> Self {
        Self {
            key: AtomicUsize::new(0),
            value: AtomicUsize::new(0),
            hash: AtomicU64::new(0),
            deadline: AtomicU64::new(0),
            next: [AtomicU32::new(NIL), AtomicU32::new(NIL)],
            stamp: AtomicU32::new(0),
            used: AtomicU8::new(0),
            by_hash: AtomicBool::new(false),
            place: UnsafeCell::new(Place::Small),
            links: UnsafeCell::new(Links { newer: NIL, older: NIL, weight: 0 }),
        }
    }
}

// SAFETY: E5 for the links and the place; all else is atomic.
unsafe impl Sync for Entry {}

/// What a life starts with.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) hash: u64,
    pub(super) by_hash: bool,
    pub(super) deadline: u64,
}

/// Why no reference was taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused {
    /// The life is over.
    Gone,
    /// What is there was not shared yet.
    Unshared,
}

/// What readers do.
impl Entry {
    #[inline]
    pub(super) fn stamp(&self) -> Stamp {
        // Acquire: what was written before this step.
        Stamp(self.stamp.load(ordering!(Acquire, "cache.stamp.load")))
    }

    /// The second look of E3: whether it is still the same life.
    #[inline]
    pub(super) fn lives_on(&self, stamp: Stamp) -> bool {
        self.stamp.load(Relaxed) / STEPS == stamp.0 / STEPS || mutant!("cache.walk.unchecked")
    }

    /// The second look of E3: whether nothing at all has happened.
    #[inline]
    pub(super) fn is_still(&self, stamp: Stamp) -> bool {
        self.stamp.load(Relaxed) == stamp.0 || mutant!("cache.value.life_unchecked")
    }

    #[inline]
    pub(super) fn hash(&self) -> u64 {
        // Acquire: E3. (No model can miss it, here and with the key and the value: whoever
        // goes on acquires a link, or a reference, that comes with the stamp as well.)
        self.hash.load(Acquire)
    }

    /// The index of the next entry in the chain of a table.
    #[inline]
    pub(super) fn next(&self, generation: usize) -> u32 {
        // Acquire: E3, and the entry that it names.
        self.next[generation % 2].load(ordering!(Acquire, "cache.next.load"))
    }

    /// Whether the key is the same object, or equal by its hash. The hashes are
    /// equal.
    #[inline]
    pub(super) fn is_surely(&self, word: usize, by_hash: bool) -> bool {
        // Acquire: E3.
        by_hash && self.by_hash.load(Acquire) || self.key.load(Acquire) == word
    }

    /// A reference to the key of this life.
    ///
    /// # Safety
    /// Words in this entry are of `T`s.
    pub(super) unsafe fn key<T: Counted>(&self, stamp: Stamp) -> Result<T, Refused> {
        let word = self.key.load(Acquire);
        // SAFETY: a word that is not 0 is of a shared `T` (E4), read just now.
        let key = if word == 0 { None } else { unsafe { T::try_acquire(word) } };
        // As in `value`; the models' keys are numbers in their hashes, and need no such look.
        fence(Acquire);
        // By E2 it is the key, and by E4 it was owned by the entry, if the life goes on.
        if self.is_still(stamp) { key.ok_or(Refused::Unshared) } else { Err(Refused::Gone) }
    }

    /// A reference to the value at a moment of this life, and the deadline then.
    ///
    /// # Safety
    /// As for `key`.
    #[inline(always)]
    pub(super) unsafe fn value<T: Counted>(&self, stamp: Stamp) -> Result<(T, u64), Refused> {
        loop {
            let word = self.value.load(Acquire);
            if word == 0 {
                return Err(Refused::Gone);
            }
            // SAFETY: as in `key`.
            let value = unsafe { T::try_acquire(word) };
            if !mutant!("cache.value.fence") {
                fence(Acquire);
            }
            let deadline = self.deadline.load(Acquire);
            let unchanged = self.value.load(Acquire) == word || mutant!("cache.value.unchecked");
            if !self.is_still(stamp) {
                return Err(Refused::Gone);
            }
            if unchanged {
                return value.map(|value| (value, deadline)).ok_or(Refused::Unshared);
            }
            // The value was replaced meanwhile.
            spin(1);
        }
    }

    #[inline]
    pub(super) fn deadline(&self) -> u64 {
        self.deadline.load(Acquire)
    }

    /// Notes that the item was used. It is written to a few times only, and never
    /// again as long as nobody looks for victims.
    #[inline]
    pub(super) fn mark(&self) {
        let used = self.used.load(Relaxed);
        if used < MOST_USED && !mutant!("cache.used.unmarked") {
            self.used.store(used + 1, Relaxed);
        }
    }
}

/// What the holder of the shard's lock does.
impl Entry {
    /// Writes the next life's content; the entry is free.
    pub(super) fn fill(&self, content: &Content) {
        // Release: E3, for readers who come from an earlier life.
        self.hash.store(content.hash, Release);
        self.by_hash.store(content.by_hash, Release);
        self.key.store(content.key, Release);
        self.value.store(content.value, Release);
        self.deadline.store(content.deadline, Release);
        if !mutant!("cache.used.inherited") {
            self.used.store(0, Relaxed);
        }
    }

    /// Takes the key and the value out of a dead entry (E4).
    pub(super) fn empty(&self) -> (usize, usize) {
        let words = self.words();
        self.key.store(0, Relaxed);
        self.value.store(0, Relaxed);
        words
    }

    /// Replaces the value and the deadline.
    ///
    /// While they change, the later of the two deadlines is in force: no value is
    /// hidden that has not expired.
    pub(super) fn replace(&self, value: usize, deadline: u64) -> usize {
        let before = self.deadline.load(Relaxed);
        let later = if before == 0 || deadline == 0 { 0 } else { before.max(deadline) };
        self.deadline.store(later, Release);
        let old = self.value.load(Relaxed);
        // Release: the value was made.
        self.value.store(value, ordering!(Release, "cache.value.replace"));
        self.deadline.store(deadline, Release);
        old
    }

    /// The next step of its life.
    pub(super) fn step(&self) -> Stamp {
        let next = Stamp(self.stamp.load(Relaxed).wrapping_add(1));
        // Release: what the step tells has been done.
        self.stamp.store(next.0, ordering!(Release, "cache.stamp.step"));
        next
    }

    pub(super) fn set_next(&self, generation: usize, next: u32) {
        // Release: the entry that it names is whole; E3.
        self.next[generation % 2].store(next, ordering!(Release, "cache.next.store"));
    }

    /// How often the item was used, forgetting one time.
    pub(super) fn unmark(&self) -> u8 {
        let used = self.used.load(Relaxed);
        self.used.store(used.saturating_sub(1), Relaxed);
        used
    }

    pub(super) fn used(&self) -> u8 {
        self.used.load(Relaxed)
    }

    pub(super) fn forget_use(&self) {
        self.used.store(0, Relaxed);
    }

    pub(super) fn links(&self) -> Links {
        // SAFETY: E5.
        self.links.with(|links| unsafe { *links })
    }

    pub(super) fn with_links<R>(&self, change: impl FnOnce(&mut Links) -> R) -> R {
        self.links.with_mut(|links| {
            // SAFETY: E5.
            change(unsafe { &mut *links })
        })
    }

    pub(super) fn place(&self) -> Place {
        // SAFETY: E5.
        self.place.with(|place| unsafe { *place })
    }

    pub(super) fn set_place(&self, place: Place) {
        // SAFETY: E5.
        self.place.with_mut(|old| unsafe { *old = place });
    }

    /// The words of a live entry that nobody changes.
    pub(super) fn words(&self) -> (usize, usize) {
        (self.key.load(Relaxed), self.value.load(Relaxed))
    }
}

/// The entry with this index.
#[inline]
pub(super) fn entry(entries: &Entries, index: u32) -> &Entry {
    // SAFETY: the indices in chains, queues and lists are those that `grow` returned;
    // readers come by them through acquiring loads (the tables' heads, `next`).
    unsafe { entries.get(index) }
}
