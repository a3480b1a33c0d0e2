//! The memory of a queue: an endless row of slots, of which a window is there.
//!
//! # Idea and source
//! The row is cut into segments of [`SLOTS`] slots, numbered by *ordinals*, as
//! in the queues of A. Morrison, Y. Afek, "Fast Concurrent Queues for x86
//! Processors", PPoPP 2013, and linked like the nodes of M. M. Michael, M. L.
//! Scott, "Simple, Fast, and Practical Non-Blocking and Blocking Concurrent Queue
//! Algorithms", PODC 1996. What is new at the back is appended, what has been
//! used up at the front is retired and becomes memory for a later ordinal. (The first
//! segment is a small one, used once: `blocks.rs`.)
//!
//! The memory is *type-stable*: a page that once held slots holds slots until
//! the queue is dropped. So a thread that was delayed may look into a segment
//! that was retired meanwhile; it reads a word that means nothing, and its
//! compare-and-swap on the position, which only ever grows, fails. That is what
//! saves readers an epoch or a hazard pointer per operation. Memory beyond
//! a spare is given back to the system page by page, and stays mapped.
//!
//! # Invariants
//! - **S1** An ordinal and the index of the memory it lives in travel in one
//!   word ([`Place`]), which is true from the append of that ordinal until it is
//!   retired. The word does not recur: ordinals only grow. They have 40 bits, so
//!   that a thread had to be suspended for a multiple of 2^49 values, two months
//!   of one each 10 ns, to take another segment for the one it knew.
//! - **S2** Before a place is published all its slots are empty (0).
//! - **S3** An ordinal is retired once, by whoever moved the head's word past
//!   it, when each of its slots has been filled and emptied. Nobody writes to a
//!   slot after that: fillers had claimed theirs.
//! - **S4** A link belongs to an ordinal too, and is empty once for each: a stale
//!   append fails.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Release` | a link, set | `Acquire` of the link | the emptied slots (S2) |
//! | `Release` | the word of an end, moved | `Acquire` of the word | the same |
//! | `AcqRel` | the spare, exchanged | itself | S3: all use of the former life |
//! | `Release`/`Acquire` | the top of the idle list | each other | the same |
//! | `Relaxed` | emptying slots | | published by the link |
//!
//! # Progress
//! All lock-free as far as the allocator is: nobody waits for the one who
//! appends, but appends in its place.

use super::super::Backoff;
use super::super::memory::arena::{NIL, OutOfMemory};
use super::super::memory::pages;
use super::super::memory::tagged::Tagged;
use super::super::shim::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, mutant, ordering};
pub use super::blocks::START;
use super::blocks::{Blocks, FIRST, FRESH, Link, Page};

/// Binary logarithm of the slots in a segment, which fill a page of memory.
const SLOT_BITS: u32 = if cfg!(loom) {
    1
} else if cfg!(all(target_vendor = "apple", target_arch = "aarch64")) {
    11
} else {
    9
};
/// How many slots a segment has.
pub const SLOTS: u64 = 1 << SLOT_BITS;

const INDEX_BITS: u32 = 24;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const ORDINAL_MASK: u64 = u64::MAX >> INDEX_BITS;

/// An ordinal and the index of its memory, in one word (S1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(u64);

impl Place {
    /// Before the first: no slots, but a link.
    const BEFORE: Self = Self::new(u64::MAX, NIL);

    const fn new(ordinal: u64, index: u32) -> Self {
        Self(ordinal << INDEX_BITS | index as u64)
    }

    #[inline]
    fn ordinal(self) -> u64 {
        self.0 >> INDEX_BITS
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // masked
    fn index(self) -> u32 {
        (self.0 & INDEX_MASK) as u32
    }

    /// The place after this one, in the memory `index`.
    fn next(self, index: u32) -> Self {
        Self::new(self.ordinal().wrapping_add(1), index)
    }

    /// Whether the position is in this segment; modulo 2^49, as ordinals are
    /// modulo 2^40.
    #[inline]
    fn covers(self, position: u64) -> bool {
        (position >> SLOT_BITS) & ORDINAL_MASK == self.ordinal()
    }
}

/// Where one end of the queue is: the place of the segment it was last seen in.
#[derive(Debug)]
pub struct End {
    place: AtomicU64,
}

impl Default for End {
    fn default() -> Self {
        Self { place: AtomicU64::new(Place::BEFORE.0) }
    }
}

impl End {
    #[inline]
    fn load(&self) -> Place {
        // Acquire: the emptied slots.
        Place(self.place.load(ordering!(Acquire, "queue.end.load")))
    }

    /// Moves on, unless another thread has done so.
    fn advance(&self, from: Place, to: Place) -> bool {
        // Release: the emptied slots, for those who have not followed the link.
        let order = ordering!(Release, "queue.end.advance");
        self.place.compare_exchange(from.0, to.0, order, Relaxed).is_ok()
    }
}

/// The segments of one queue. What every operation reads comes first: the rest keeps a distance
/// between that and what follows.
#[derive(Debug)]
#[repr(C)]
pub struct Segments {
    pages: Blocks,
    /// The link of [`Place::BEFORE`].
    first: AtomicU64,
    /// The top of the list of the retired pages whose memory was given back.
    idle: AtomicU64,
    /// A retired page whose memory was not, or `NIL`.
    spare: AtomicU32,
    /// The smallest index of a page that there never was.
    fresh: AtomicU32,
}

impl Default for Segments {
    fn default() -> Self {
        Self {
            pages: Blocks::default(),
            first: AtomicU64::new(Place::BEFORE.0),
            idle: AtomicU64::new(u64::from(NIL)),
            spare: AtomicU32::new(NIL),
            fresh: AtomicU32::new(FRESH),
        }
    }
}

impl Segments {
    /// The bytes that it has allocated, given back to the system or not.
    pub fn bytes(&self) -> usize {
        self.pages.bytes(self.fresh.load(Relaxed))
    }

    /// The slot of a position, if `end` is in its segment. It is the position's
    /// own as long as the position is neither emptied nor, at the back, claimed.
    #[inline]
    pub fn slot(&self, end: &End, position: u64) -> Option<&AtomicUsize> {
        let place = end.load();
        place.covers(position).then(|| self.slot_at(place, position))
    }

    /// The slot of a position, and how many follow it in its segment.
    #[inline]
    pub fn slots(&self, end: &End, position: u64) -> Option<&[AtomicUsize]> {
        let place = end.load();
        place.covers(position).then(|| self.pages.slots(place.index(), offset(position)))
    }

    /// Moves the tail's `end` to the segment of `position`, appended if need be.
    /// Nothing is done if the position is stale.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is appended.
    #[cold]
    pub fn append(&self, end: &End, position: u64) -> Result<(), OutOfMemory> {
        let place = end.load();
        if !place.next(NIL).covers(position) {
            return Ok(());
        }
        let mut next = self.follow(place);
        if next == Some(NIL) {
            next = if place == Place::BEFORE && START != 0 {
                Some(self.begin()?)
            } else {
                let page = self.take_page()?;
                self.publish(end, place, page)
            };
        }
        if let Some(next) = next {
            end.advance(place, place.next(next));
        }
        Ok(())
    }

    /// Moves the head's `end` to the segment of `position`, and retires the one
    /// before. The caller has seen the tail in that segment or beyond. Nothing is
    /// done if the position is stale.
    #[cold]
    pub fn retire(&self, end: &End, position: u64) {
        let place = end.load();
        if !place.next(NIL).covers(position) && !mutant!("queue.retire.early") {
            return;
        }
        let Some(next) = self.follow(place).filter(|next| *next != NIL) else { return };
        let is_whole = START == 0 || place.index() != FIRST;
        if end.advance(place, place.next(next)) && place != Place::BEFORE && is_whole {
            self.give_page(place.index());
        }
    }

    /// Calls `visit` with the words of all positions from `head` up to `tail`.
    ///
    /// # Safety
    /// No other thread is inside an operation on the queue.
    ///
    /// # Errors
    /// The first error of `visit`.
    pub unsafe fn traverse<E>(
        &self,
        end: &End,
        head: u64,
        tail: u64,
        mut visit: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut place = end.load();
        for position in head..tail {
            if !place.covers(position) {
                let Some(next) = self.follow(place) else { break };
                place = place.next(next);
            }
            visit(self.slot_at(place, position).load(Relaxed))?;
        }
        Ok(())
    }

    /// Whether the slots of all positions from `head` up to `tail` are empty. False also if
    /// the head moved away; where it did not, its segment and those behind it were not retired.
    pub fn are_empty(&self, end: &End, head: u64, tail: u64) -> bool {
        let mut place = end.load();
        for position in head..tail {
            if !place.covers(position) {
                let next = self.follow(place).filter(|next| *next != NIL);
                let Some(next) = next else { return false };
                place = place.next(next);
            }
            // Acquire: each is read before the head is read again.
            let word = self.slot_at(place, position).load(ordering!(Acquire, "queue.slot.read"));
            if !place.covers(position) || word != 0 {
                return false;
            }
        }
        true
    }

    #[inline]
    fn slot_at(&self, place: Place, position: u64) -> &AtomicUsize {
        self.pages.slot(place.index(), offset(position))
    }

    fn link(&self, index: u32) -> &Link {
        self.pages.link(index)
    }

    fn next_of(&self, place: Place) -> &AtomicU64 {
        if place == Place::BEFORE { &self.first } else { &self.link(place.index()).next }
    }

    /// The page of the place after this one, or `NIL` if there is none yet.
    /// `None` if this place is no more (S4).
    fn follow(&self, place: Place) -> Option<u32> {
        // Acquire: the emptied slots.
        let next = Place(self.next_of(place).load(ordering!(Acquire, "queue.link.follow")));
        (next.ordinal() == place.ordinal()).then_some(next.index())
    }

    /// Appends the small page, as the first. Whoever does so appends the same one: it is empty
    /// from the beginning and has a link that is, and nobody who comes late changes either.
    fn begin(&self) -> Result<u32, OutOfMemory> {
        let page = self.pages.first()?;
        let some = Place::new(Place::BEFORE.ordinal(), page);
        // Release: the emptied slots.
        let order = ordering!(Release, "queue.link.publish");
        // Another thread may have been quicker.
        let _ = self.first.compare_exchange(Place::BEFORE.0, some.0, order, Relaxed);
        Ok(page)
    }

    /// Appends an emptied page behind a place; returns the page that is there in
    /// the end, which is another one if another thread was quicker.
    fn publish(&self, end: &End, place: Place, page: u32) -> Option<u32> {
        // Were another page behind this place by now, this very page may have been
        // it, and would get the link of that life anew (S4).
        if end.load() != place {
            self.give_page(page);
            return None;
        }
        let link = self.next_of(place);
        let (none, some) = (Place::new(place.ordinal(), NIL), Place::new(place.ordinal(), page));
        self.link(page).next.store(place.next(NIL).0, Relaxed);
        // Release: the emptied slots.
        let order = ordering!(Release, "queue.link.publish");
        if link.compare_exchange(none.0, some.0, order, Relaxed).is_ok() {
            return Some(page);
        }
        self.give_page(page);
        self.follow(place)
    }

    /// An empty page.
    fn take_page(&self) -> Result<u32, OutOfMemory> {
        // Acquire: its former life is over.
        let spare = self.spare.swap(NIL, ordering!(AcqRel, "queue.spare.take"));
        let index = match spare {
            NIL => self.wake_page()?,
            spare => spare,
        };
        for slot in &self.pages.page(index).slots {
            if !mutant!("queue.page.dirty") {
                slot.store(0, Relaxed);
            }
        }
        Ok(index)
    }

    /// Keeps a page for later.
    fn give_page(&self, index: u32) {
        // Release: its life is over.
        let former = self.spare.swap(index, ordering!(AcqRel, "queue.spare.give"));
        if former != NIL {
            self.lay_idle(former);
        }
    }

    /// A page from the idle list, or a new one.
    fn wake_page(&self) -> Result<u32, OutOfMemory> {
        let mut backoff = Backoff::new();
        loop {
            // Acquire: its former life is over.
            let top = Tagged(self.idle.load(ordering!(Acquire, "queue.idle.take")));
            if top.index() == NIL {
                return self.pages.grow(&self.fresh);
            }
            let next = top.popped(self.link(top.index()).idle.load(Relaxed));
            if self.idle.compare_exchange(top.0, next.0, Relaxed, Relaxed).is_ok() {
                return Ok(top.index());
            }
            backoff.wait();
        }
    }

    /// Gives a page's memory back to the system and puts it on the idle list.
    fn lay_idle(&self, index: u32) {
        give_back(self.pages.page(index));
        let mut backoff = Backoff::new();
        loop {
            let top = Tagged(self.idle.load(Relaxed));
            self.link(index).idle.store(top.index(), Relaxed);
            // Release: its life is over.
            let order = ordering!(Release, "queue.idle.give");
            if self.idle.compare_exchange(top.0, top.pushed(index).0, order, Relaxed).is_ok() {
                return;
            }
            backoff.wait();
        }
    }
}

#[inline]
#[allow(clippy::cast_possible_truncation)] // less than SLOTS
fn offset(position: u64) -> usize {
    (position % SLOTS) as usize
}

/// Tells the system that what the page holds is not needed: reading it yields
/// the old words or zeros.
fn give_back(page: &Page) {
    let address = std::ptr::from_ref(page).cast_mut().cast();
    // SAFETY: a page of this arena's own, whose words S3 lets change to zeros.
    unsafe { pages::discard(address, size_of::<Page>()) };
}
