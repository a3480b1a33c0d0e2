//! The pages of a queue, addressed by number, which stay where they are.
//!
//! # Idea and source
//! Segments that grow, as in an [`Arena`](super::super::memory::arena), and with its
//! orderings. What differs is made for pages:
//!
//! - *The first is a small one*: of the first page of a queue only the last [`FIRST_SLOTS`]
//!   slots are there, and the positions of a queue begin with them ([`START`]). So a queue with a
//!   few items does not take a page; and which slot a position has is the same arithmetic for all.
//! - *A page's link lies apart from it*, before the pages of its block, so that a page can be
//!   given back to the system.
//! - *Memory is not cleared*: who takes a page empties it. So pages that nobody had take none,
//!   and a block can be many times as long as the one before: few addresses are enough.
//! - *An index says which block*, in its upper bits, and which page of it.
//!
//! # Invariants
//! - **B1** A block's address goes from null to its address once (A1), and is that of its first
//!   page: of the small block the address that a whole page would have, which nobody uses
//!   below its last slots.
//! - **B2** Index 0 ([`NIL`]) names no page. An index that [`Blocks::grow`] or [`Blocks::first`]
//!   returned names one whose block is there; no other index exists.
//! - **B3** Before the pages of a block lie one word, the address that the allocator returned, and
//!   before that their links, the last one first. The small block has its link behind its slots.
//!
//! # Orderings
//! Those of the arena, whose [`publish`] it uses.
//!
//! # Progress
//! As of the arena.

use std::alloc::{Layout, alloc, dealloc};

use super::super::memory::arena::{NIL, OutOfMemory, publish};
use super::super::shim::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use super::segments::SLOTS;

/// How many slots of the first page are there. In the models all: a first page is then like
/// any other.
const FIRST_SLOTS: u64 = if cfg!(loom) { SLOTS } else { 32 };

/// How many slots a page has.
#[allow(clippy::cast_possible_truncation)] // some thousands at most
const PAGE: usize = SLOTS as usize;

/// The position of the first value of all: the first of those slots.
pub const START: u64 = SLOTS - FIRST_SLOTS;

/// Binary logarithm of the longest block's length.
const OFFSET_BITS: u32 = 20;

/// How many pages the blocks have. Memory that is not touched costs little. It is not free, where
/// systems promise no more than they have: from 64 MB on a block is at most four times as long as all
/// before it.
const LENGTHS: [usize; BLOCKS] = if cfg!(loom) {
    [1, 1, 2, 4, 8, 16, 32, 64, 128]
} else {
    [1, 1, 16, 256, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << OFFSET_BITS]
};

/// How many blocks there can be.
const BLOCKS: usize = 9;

/// The index of the small page.
pub(super) const FIRST: u32 = 1 << OFFSET_BITS;

/// The index of the first page of a block.
const fn first_of(number: usize) -> u32 {
    #[allow(clippy::cast_possible_truncation)] // one of a few
    let block = number as u32 + 1;
    block << OFFSET_BITS
}

/// How many pages a block has.
fn len(number: usize) -> usize {
    LENGTHS.get(number).copied().unwrap_or(0)
}

/// The number of a block, and the place in it.
#[inline]
fn place(index: u32) -> (usize, usize) {
    ((index >> OFFSET_BITS) as usize - 1, (index & ((1 << OFFSET_BITS) - 1)) as usize)
}

/// The slots of a segment. Aligned so that each can be given back to the system.
#[derive(Debug)]
#[cfg_attr(not(all(target_vendor = "apple", target_arch = "aarch64")), repr(C, align(4096)))]
#[cfg_attr(all(target_vendor = "apple", target_arch = "aarch64"), repr(C, align(16384)))]
pub(super) struct Page {
    pub(super) slots: [AtomicUsize; PAGE],
}

/// What is known of a page; apart from it, so that it can be given back.
#[derive(Debug)]
pub(super) struct Link {
    /// The ordinal of the page, and the index of the next one's page or `NIL`.
    pub(super) next: AtomicU64,
    /// The next page in the idle list.
    pub(super) idle: AtomicU32,
}

/// The pages of one queue, and their links.
#[derive(Debug)]
pub(super) struct Blocks {
    blocks: [AtomicPtr<u8>; BLOCKS],
}

/// The smallest index not given out, at first.
pub(super) const FRESH: u32 = if START == 0 { FIRST } else { first_of(1) };

impl Default for Blocks {
    fn default() -> Self {
        Self { blocks: std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut())) }
    }
}

impl Blocks {
    /// The small page, there and empty: it is only ever the first.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(super) fn first(&self) -> Result<u32, OutOfMemory> {
        self.block(0)?;
        Ok(FIRST)
    }

    /// An index that nobody has, of a page that is not empty; `fresh` is the smallest.
    ///
    /// # Errors
    /// [`OutOfMemory`]; then the index is lost.
    pub(super) fn grow(&self, fresh: &AtomicU32) -> Result<u32, OutOfMemory> {
        let next = |index: u32| {
            let (number, offset) = place(index);
            let next = if offset + 1 == len(number) { first_of(number + 1) } else { index + 1 };
            (number < BLOCKS).then_some(next)
        };
        let index = fresh.fetch_update(Relaxed, Relaxed, next).map_err(|_| OutOfMemory)?;
        self.block(place(index).0)?;
        Ok(index)
    }

    /// The slots of a page from one on.
    #[inline]
    pub(super) fn slots(&self, index: u32, offset: usize) -> &[AtomicUsize] {
        let slot = self.address(index).wrapping_add(offset * size_of::<AtomicUsize>());
        // SAFETY: B1, B2: what begins there ends with the page, and lives as long as this.
        unsafe { std::slice::from_raw_parts(slot.cast(), PAGE - offset) }
    }

    /// The slot of a page.
    #[inline]
    pub(super) fn slot(&self, index: u32, offset: usize) -> &AtomicUsize {
        let slot = self.address(index).wrapping_add(offset * size_of::<AtomicUsize>());
        // SAFETY: as in `slots`.
        unsafe { &*slot.cast() }
    }

    /// A page that is not the small one.
    pub(super) fn page(&self, index: u32) -> &Page {
        debug_assert!(START == 0 || index != FIRST, "B1: a whole page");
        // SAFETY: as in `slots`.
        unsafe { &*self.address(index).cast() }
    }

    /// The link of a page.
    pub(super) fn link(&self, index: u32) -> &Link {
        let (number, offset) = place(index);
        let base = self.address(index).wrapping_sub(offset * size_of::<Page>());
        // SAFETY: B3, which lives as long as this.
        unsafe { &*link_of(number, base, offset) }
    }

    /// The bytes of what is there, apart from pages that nobody had yet; `fresh` is the first.
    pub(super) fn bytes(&self, fresh: u32) -> usize {
        let (last, used) = place(fresh);
        let unused = |number| if number == last { len(number) - used } else { 0 };
        let size = |number| {
            let all = layout(number).map_or(0, |layout| layout.size());
            all - unused(number) * size_of::<Page>()
        };
        let is_there = |number: &usize| !self.blocks[*number].load(Relaxed).is_null();
        (0..BLOCKS).filter(is_there).map(size).sum()
    }

    /// Where a page begins.
    #[inline]
    fn address(&self, index: u32) -> *mut u8 {
        let (number, offset) = place(index);
        // SAFETY: B2 bounds the number.
        let block = unsafe { self.blocks.get_unchecked(number) };
        // Relaxed: the index came, by a release and an acquire, from a thread for
        // which the block was there.
        let base = block.load(Relaxed);
        debug_assert!(!base.is_null(), "B2: the block of an index is there");
        base.wrapping_add(offset * size_of::<Page>())
    }

    /// Sees to it that a block is there (B1).
    fn block(&self, number: usize) -> Result<(), OutOfMemory> {
        let block = self.blocks.get(number).ok_or(OutOfMemory)?;
        publish(
            block,
            || allocate(number),
            // SAFETY: allocated for this number, and no other thread has seen it.
            |base| unsafe { free(number, base) },
        )
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        for (number, block) in self.blocks.iter().enumerate() {
            let base = block.load(Relaxed);
            if !base.is_null() {
                // SAFETY: B1: allocated for this number; nobody else is left.
                unsafe { free(number, base) };
            }
        }
    }
}

/// Whether it is the block of the small page.
const fn is_small(number: usize) -> bool {
    START != 0 && number == 0
}

/// What lies before the first page.
fn header(number: usize) -> usize {
    len(number) * size_of::<Link>() + size_of::<*mut u8>()
}

fn layout(number: usize) -> Result<Layout, OutOfMemory> {
    let size = if is_small(number) {
        slot_at(FIRST_SLOTS) + size_of::<Link>()
    } else {
        header(number) + align_of::<Page>() - align_of::<Link>() + len(number) * size_of::<Page>()
    };
    Layout::from_size_align(size, align_of::<Link>()).map_err(|_| OutOfMemory)
}

/// The address of a page's link (B3).
fn link_of(number: usize, base: *mut u8, offset: usize) -> *mut Link {
    if is_small(number) {
        return base.wrapping_add(slot_at(SLOTS)).cast();
    }
    base.wrapping_sub(size_of::<*mut u8>() + (offset + 1) * size_of::<Link>()).cast()
}

/// The place of what the allocator returned (B3).
fn word_before(base: *mut u8) -> *mut *mut u8 {
    base.wrapping_sub(size_of::<*mut u8>()).cast()
}

/// A slot, so many bytes from the beginning of a block.
fn slot_of(base: *mut u8, distance: usize) -> *mut AtomicUsize {
    base.wrapping_add(distance).cast()
}

/// A block; returns the address of its first page (B1).
fn allocate(number: usize) -> Result<*mut u8, OutOfMemory> {
    // SAFETY: no block is empty.
    let memory = unsafe { alloc(layout(number)?) };
    if memory.is_null() {
        return Err(OutOfMemory);
    }
    let base = if is_small(number) {
        memory.wrapping_sub(slot_at(START))
    } else {
        let pages = memory.wrapping_add(header(number));
        let base = pages.map_addr(|address| address.next_multiple_of(align_of::<Page>()));
        // SAFETY: B3: inside the allocation.
        unsafe { word_before(base).write(memory) };
        base
    };
    for offset in 0..len(number) {
        let link = Link { next: AtomicU64::new(0), idle: AtomicU32::new(NIL) };
        // SAFETY: as above.
        unsafe { link_of(number, base, offset).write(link) };
    }
    for slot in slots_to_make(number) {
        // SAFETY: as above.
        unsafe { slot_of(base, slot).write(AtomicUsize::new(0)) };
    }
    Ok(base)
}

/// Where the slots are that must be made with their block: those of the small page are empty from
/// the beginning, and loom's need constructing.
fn slots_to_make(number: usize) -> impl Iterator<Item = usize> {
    let pages = if is_small(number) || cfg!(loom) { len(number) } else { 0 };
    let first = if is_small(number) { START } else { 0 };
    (0..pages).flat_map(move |page| {
        (first..SLOTS).map(move |slot| page * size_of::<Page>() + slot_at(slot))
    })
}

/// How far from the beginning of a page a slot is.
#[allow(clippy::cast_possible_truncation)] // less than a page
const fn slot_at(slot: u64) -> usize {
    slot as usize * size_of::<AtomicUsize>()
}

/// # Safety
/// `allocate` returned `base` for this number; it is not used again.
unsafe fn free(number: usize, base: *mut u8) {
    #[cfg(loom)]
    for slot in slots_to_make(number) {
        // SAFETY: `allocate` made each of them.
        unsafe { slot_of(base, slot).drop_in_place() };
    }
    #[cfg(loom)]
    for offset in 0..len(number) {
        // SAFETY: as above.
        unsafe { link_of(number, base, offset).drop_in_place() };
    }
    let memory = if is_small(number) {
        base.wrapping_add(slot_at(START))
    } else {
        // SAFETY: B3.
        unsafe { word_before(base).read() }
    };
    let Ok(layout) = layout(number) else { return };
    // SAFETY: allocated with the same layout.
    unsafe { dealloc(memory, layout) };
}
