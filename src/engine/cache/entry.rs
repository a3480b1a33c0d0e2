//! Where an item lies, used for one item after the other: one cache line in a cache, and where
//! threads count by key; 40 bytes in a dictionary.
//!
//! # Lives
//! An entry is used anew as soon as it is free, and its page may go and come back, so a
//! reader may stand on one that was emptied, or filled anew, under its feet. The
//! [`Stamp`] tells: it has the number of the life, and the step.
//!
//! | state | the entry | its item |
//! |---|---|---|
//! | free | is in no chain | there is none |
//! | linked | is being linked into its chain | is not in the cache yet |
//! | live | is in its chain | **is in the cache** |
//! | dead | is being taken out of its chain | is not in the cache any more |
//!
//! # Invariants
//! - **E1** Lives are numbered by a count of the shard's, which never starts again, so
//!   that no two have the same number, whatever became of the memory in between. The
//!   stamp has the lower 30 bits, the *era* the 16 above: they come round after 2^46
//!   insertions, a quarter of a year without pause. Only the shard's lock-holder changes a stamp, or
//!   who owns the page, which was detached.
//!   (Two looks at a stamp alone, inside a guard: a reader had to be suspended there for
//!   just 2^30 insertions, the last of them into this entry.)
//! - **E2** The key, the hash, the era and the way to compare do not change in a life,
//!   outside the free state; the value and the deadline may.
//! - **E3** What a reader finds in an entry between two looks at the same stamp, not
//!   free, belongs to that life: a later one is written after the stamp has changed,
//!   with `Release`, so that whoever `Acquire`s a word of it sees the stamp changed.
//! - **E4** A word that is not 0 owns a reference. It is emptied, or replaced,
//!   before that reference is given up.
//! - **E5** What of the policy's note is not atomic is the lock-holder's alone.
//! - **E6** A key whose word was read in this life was there, with its reference, from then until
//!   a later look at the same stamp (E2, E4). So what was read of the key itself between the two, with no
//!   reference of the reader's, was the key's; a key never changes. Without such a look it may be of whatever has that
//!   memory by now, and nothing is concluded from it, nor is an address or a length in it followed. (That the look is no
//!   older than what was read: E8.)
//! - **E7** Where writers do without the shard's lock ([`Policy::latch`]), the value of an entry that is live,
//!   and with it the reference that the word owns, goes only with a claim on the entry: whoever replaces the
//!   value has that alone, and has found under it that the life goes on; whoever ends the life has the lock
//!   as well, or owns the page, which was detached. Who holds a shard's lock may wait for a claim; who has one waits for nobody.
//! - **E8** Between the store that takes a word away from readers (a step, or another value) and the end of the reference that
//!   the word owned is a `Release` fence. What lies at the address after that end was written behind that fence; so whoever
//!   reads any of it, and then looks, behind an `Acquire` fence, sees that the word is gone. (The store alone does not do: it is
//!   ordered after what came before it, not before what follows. Nor does the end itself, if nobody else knew the object: it is
//!   a plain count, and a load. `pointer.rs` says what is so if the end comes, or the memory is used anew, in
//!   another thread.)

#[cfg(loom)]
use super::super::memory::arena::NIL;
use super::super::memory::pointer::Counted;
use super::super::shim::{
    AtomicBool, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Latch, LatchGuard,
    Ordering::{Acquire, Relaxed, Release},
    fence, mutant, ordering,
};
use super::policy::Policy;

/// A moment in an entry's lives (E1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(u32);

/// Steps in a life.
const STEPS: u32 = 4;
const FREE: u32 = 0;
const LINKED: u32 = 1;
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

/// One life of one entry: numbers, by which it is found again, or found to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life {
    pub(super) index: u32,
    /// Of the live state.
    pub(super) stamp: Stamp,
    pub(super) era: u16,
}

/// The place of an item.
#[derive(Debug)]
#[repr(C)]
pub struct Entry<P: Policy> {
    key: AtomicUsize,
    value: AtomicUsize,
    /// Of the key, mixed.
    hash: AtomicU64,
    /// The next in the chain, for the table of an even and of an odd generation.
    next: [AtomicU32; 2],
    stamp: AtomicU32,
    /// The upper bits of the life's number.
    era: AtomicU16,
    /// What a use leaves behind, in a byte that would be lost otherwise.
    pub(super) uses: P::Uses,
    /// Whether equal hashes alone make the key equal to another one such.
    by_hash: AtomicBool,
    /// What the policy needs beside that.
    pub(super) note: P::Note,
}

impl<P: Policy> Entry<P> {
    /// A free entry, as zero bytes are one: 0 is `NIL`, the smallest stamp, and the policy's
    /// zero. Loom's types need constructing.
    #[cfg(loom)]
    pub(super) fn zeroed() -> Self {
        let (uses, note) = P::zeroed();
        Self {
            key: AtomicUsize::new(0),
            value: AtomicUsize::new(0),
            hash: AtomicU64::new(0),
            next: [AtomicU32::new(NIL), AtomicU32::new(NIL)],
            stamp: AtomicU32::new(0),
            era: AtomicU16::new(0),
            uses,
            by_hash: AtomicBool::new(false),
            note,
        }
    }
}

// SAFETY: E5 for the note, as far as it is not atomic; all else is.
unsafe impl<P: Policy> Sync for Entry<P> {}

/// A key at which a reader looks who has no reference to it (E6).
#[derive(Debug)]
pub struct Glimpse<'a> {
    word: usize,
    now: &'a AtomicU32,
    stamp: Stamp,
}

impl Glimpse<'_> {
    /// The word of the key, which may have gone since.
    #[inline(always)]
    pub fn word(&self) -> usize {
        self.word
    }

    /// Whether all that was read of the key so far was the key's.
    #[inline(always)]
    pub fn holds(&self) -> bool {
        if !mutant!("cache.glimpse.fence") {
            // Acquire: that the key was there, by whatever was read of it.
            fence(Acquire);
        }
        self.now.load(Relaxed) == self.stamp.0 || mutant!("cache.glimpse.unchecked")
    }
}

/// What a life starts with.
#[derive(Debug)]
pub struct Content {
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) hash: u64,
    pub(super) by_hash: bool,
    pub(super) deadline: u64,
    pub(super) weight: u64,
}

/// What came of trying to take a reference. Nothing is dropped where it is tried, inside a
/// guard.
#[derive(Debug)]
pub(super) enum Taken<T> {
    /// The value, and its deadline.
    Value(T, u64),
    /// The life is over, or the value was replaced, and this was taken in vain.
    Gone(Option<T>),
    /// What is there was not shared yet.
    Unshared,
}

/// What readers do.
impl<P: Policy> Entry<P> {
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
        // Acquire: E3. (No model can miss it, here and with the key and the value: the fence
        // behind a reference that is taken, or the link that the walk goes on by, does the same.)
        self.hash.load(Acquire)
    }

    /// The life of which this is a stamp, if it goes on at the next look.
    #[inline]
    pub(super) fn life(&self, index: u32, stamp: Stamp) -> Life {
        // Acquire: E3.
        Life { index, stamp, era: self.era.load(Acquire) }
    }

    /// Whether this life goes on.
    #[inline]
    pub(super) fn has(&self, life: Life) -> bool {
        let stamp = self.stamp();
        stamp == life.stamp && self.life(life.index, stamp) == life && self.is_still(stamp)
    }

    /// The link for tables of this generation.
    #[inline]
    fn link(&self, generation: u64) -> &AtomicU32 {
        &self.next[usize::from(generation % 2 == 1)]
    }

    /// The index of the next entry in the chain of a table.
    #[inline]
    pub(super) fn next(&self, generation: u64) -> u32 {
        // Acquire: E3, and the entry that it names.
        self.link(generation).load(ordering!(Acquire, "cache.next.load"))
    }

    /// Whether the key is the same object, or equal by its hash. The hashes are
    /// equal.
    #[inline]
    pub(super) fn is_surely(&self, word: usize, by_hash: bool) -> bool {
        // Acquire: E3.
        by_hash && self.by_hash.load(Acquire) || self.key.load(Acquire) == word
    }

    /// A look at the key of this life; `None` if that is over.
    #[inline(always)]
    pub(super) fn glimpse(&self, stamp: Stamp) -> Option<Glimpse<'_>> {
        // Acquire: E3, and the key behind the word.
        let word = self.key.load(Acquire);
        (word != 0).then_some(Glimpse { word, now: &self.stamp, stamp })
    }

    /// A reference to the key of this life.
    ///
    /// # Safety
    /// Words in this entry are of `T`s.
    #[cold]
    #[inline(never)] // most keys are compared without
    pub(super) unsafe fn key<T: Counted>(&self, stamp: Stamp) -> Taken<T> {
        let word = self.key.load(Acquire);
        // SAFETY: a word that is not 0 is of a shared `T` (E4), read just now.
        let key = if word == 0 { None } else { unsafe { T::try_acquire(word) } };
        // As in `value`; the models' keys are numbers in their hashes, and need no such look.
        fence(Acquire);
        // By E2 it is the key, and by E4 it was owned by the entry, if the life goes on.
        match key {
            key if !self.is_still(stamp) => Taken::Gone(key),
            None => Taken::Unshared,
            Some(key) => Taken::Value(key, 0),
        }
    }

    /// A reference to the value at a moment of this life, and the deadline then.
    ///
    /// # Safety
    /// As for `key`.
    #[inline(always)]
    pub(super) unsafe fn value<T: Counted>(&self, stamp: Stamp) -> Taken<T> {
        let word = self.value.load(Acquire);
        if word == 0 {
            return Taken::Gone(None);
        }
        // SAFETY: as in `key`.
        let value = unsafe { T::try_acquire(word) };
        if !mutant!("cache.value.fence") {
            fence(Acquire);
        }
        let deadline = P::deadline(self);
        let unchanged = self.value.load(Acquire) == word || mutant!("cache.value.unchecked");
        match value {
            value if !self.is_still(stamp) || !unchanged => Taken::Gone(value),
            None => Taken::Unshared,
            Some(value) => Taken::Value(value, deadline),
        }
    }

    /// Claims it, which keeps its value as it is, if it has one (E7). Where there is nothing but
    /// the shard's lock, this is nothing.
    #[inline(always)]
    pub(super) fn claim(&self) -> Option<LatchGuard<'_>> {
        P::latch(self).map(Latch::lock)
    }

    #[inline]
    pub(super) fn deadline(&self) -> u64 {
        P::deadline(self)
    }

    /// Notes that the item was used.
    #[inline]
    pub(super) fn mark(&self) {
        P::mark(self);
    }
}

/// What the holder of the shard's lock does, or of a claim where E7 says so.
impl<P: Policy> Entry<P> {
    /// Writes the content of the life of this number; the entry is free.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // E1: some bits are meant
    pub(super) fn fill(&self, content: &Content, number: u64) {
        // Release: E3, for readers who come from an earlier life.
        self.era.store((number >> 30) as u16, Release);
        self.hash.store(content.hash, ordering!(Release, "cache.fill.hash"));
        self.by_hash.store(content.by_hash, Release);
        self.key.store(content.key, ordering!(Release, "cache.fill.key"));
        self.value.store(content.value, ordering!(Release, "cache.fill.value"));
        P::begin(self, content);
    }

    /// The words of a dead entry, whose references are given up next (E4).
    #[inline]
    pub(super) fn parted(&self) -> (usize, usize) {
        let words = self.words();
        if !mutant!("cache.words.fence") {
            // Release: E8, that the life is over.
            fence(Release);
        }
        words
    }

    /// Takes the key and the value out of a dead entry (E4).
    pub(super) fn empty(&self) -> (usize, usize) {
        let words = self.parted();
        self.key.store(0, Relaxed);
        self.value.store(0, Relaxed);
        words
    }

    /// Replaces the value and the deadline of a live entry, which is claimed.
    ///
    /// While they change, the later of the two deadlines is in force: no value is
    /// hidden that has not expired.
    pub(super) fn replace(&self, value: usize, deadline: u64) -> usize {
        let before = P::deadline(self);
        let later = if before == 0 || deadline == 0 { 0 } else { before.max(deadline) };
        P::set_deadline(self, later);
        let old = self.set_value(value);
        P::set_deadline(self, deadline);
        old
    }

    /// Replaces the value alone.
    #[inline]
    pub(super) fn set_value(&self, value: usize) -> usize {
        let old = self.value.load(Relaxed);
        // Release: the value was made.
        self.value.store(value, ordering!(Release, "cache.value.replace"));
        if !mutant!("cache.replaced.fence") {
            // Release: E8, that there is another value.
            fence(Release);
        }
        old
    }

    /// The first step of the life of this number.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // E1: the lower bits
    pub(super) fn begin(&self, number: u64) {
        let stamp = (number as u32).wrapping_mul(STEPS) + LINKED;
        // Release: what was filled in.
        self.stamp.store(stamp, ordering!(Release, "cache.stamp.begin"));
    }

    /// The next step of its life.
    #[inline]
    pub(super) fn step(&self) -> Stamp {
        let next = Stamp(self.stamp.load(Relaxed).wrapping_add(1));
        // Release: what the step tells has been done.
        self.stamp.store(next.0, ordering!(Release, "cache.stamp.step"));
        next
    }

    /// Sets the link for tables of this generation; of a free entry, to the next free one.
    pub(super) fn set_next(&self, generation: u64, next: u32) {
        // Release: the entry that it names is whole; E3.
        self.link(generation).store(next, ordering!(Release, "cache.next.store"));
    }

    /// The words of a live entry. The value stays while it is claimed (E7).
    pub(super) fn words(&self) -> (usize, usize) {
        (self.key.load(Relaxed), self.value.load(Relaxed))
    }
}
