//! Nodes that are addressed by number and stay where they are.
//!
//! # Idea and source
//! A growable array of segments whose sizes double, as in D. Dechev, P.
//! Pirkelbauer, B. Stroustrup, "Lock-Free Dynamically Resizable Arrays",
//! OPODIS 2006. Growing never moves a node, so an index stays good for the
//! arena's life; a 32-bit index leaves room for a tag beside it in one word.
//! Segments come from the allocator zeroed, so pages that no node has touched
//! take no memory; those of nodes that nobody holds can be [discarded](Arena::discard).
//!
//! # Invariants
//! - **A1** A segment's pointer goes from null to its address once, and is
//!   freed when the arena is dropped.
//! - **A2** Index 0 ([`NIL`]) names no node. An index that [`Arena::grow`]
//!   returned names a node whose segment is there; no other index exists.
//! - **A3** Each index is returned by `grow` once.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Release` | a segment's pointer, published | `Acquire` in `segment` | the zeroed nodes |
//! | `Release` | the same | `Acquire` in `find` and `iter` | the same |
//! | `Relaxed` | a segment's pointer, in `get` | | the index came with the segment, by the ordering of whatever it was read from |
//! | `Relaxed` | the count of indices given out | itself | nothing but uniqueness (A3) |
//!
//! # Progress
//! `get`, `find` and `iter` are wait-free. `grow` is lock-free as far as the allocator is: threads
//! that need the same new segment each allocate one, and all but one free theirs.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::super::shim::{AtomicPtr, AtomicU32, Ordering::Relaxed, ordering};
#[cfg(not(loom))]
use super::pages;

/// The index of no node.
pub const NIL: u32 = 0;

/// Bits of an index; an arena holds fewer than 2^30 nodes.
pub const INDEX_BITS: u32 = 30;

/// How many segments there can be.
pub const SEGMENTS: usize = INDEX_BITS as usize;

/// What any allocator aligns to; above that the arena aligns by itself, because
/// the system hands out zeroed pages untouched only where nothing more is asked.
const MIN_ALIGN: usize = 8;

/// What an arena can hold: a type for which zero bytes are a value.
///
/// # Safety
/// Zeroed memory is a valid `Self`, and dropping one does nothing.
pub unsafe trait Zeroed: Sized {
    /// Binary logarithm of the number of nodes in the first segment.
    const FIRST_BITS: u32;

    /// A value as zeroed memory would be: loom's types need constructing.
    fn zeroed() -> Self;

    /// In the models: what becomes of a value in memory that the system takes back.
    #[cfg(loom)]
    fn discard(&self) {}
}

/// No more nodes: the allocator refused, or all indices are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// The nodes.
#[derive(Debug)]
pub struct Arena<N: Zeroed> {
    segments: [AtomicPtr<u8>; SEGMENTS],
    /// The smallest index not given out.
    fresh: AtomicU32,
    nodes: PhantomData<N>,
}

// SAFETY:
// - moving an arena moves its nodes, hence `N: Send`;
// - a shared arena hands out `&N` to any thread, hence `N: Sync`.
unsafe impl<N: Zeroed + Send> Send for Arena<N> {}
// SAFETY: as above.
unsafe impl<N: Zeroed + Send + Sync> Sync for Arena<N> {}

impl<N: Zeroed> Default for Arena<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Zeroed> Arena<N> {
    /// An arena without a node: it has allocated nothing.
    pub fn new() -> Self {
        let segments = std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut()));
        Self { segments, fresh: AtomicU32::new(NIL + 1), nodes: PhantomData }
    }

    /// The node with this index.
    ///
    /// # Safety
    /// `grow` returned the index (A2), and the caller has it by a chain of
    /// releases and acquires from there.
    #[inline]
    pub unsafe fn get(&self, index: u32) -> &N {
        let (segment, offset) = place::<N>(index);
        // SAFETY: the caller's promise.
        let nodes = unsafe { self.nodes(segment) };
        // SAFETY: A2: the segment is there, and `place` stays inside it.
        let node = unsafe { nodes.add(offset) };
        // SAFETY: A1: the node lives as long as the arena.
        unsafe { &*node }
    }

    /// The node with this index, if its segment is there; none has [`NIL`].
    #[inline]
    pub fn find(&self, index: u32) -> Option<&N> {
        if index == NIL {
            return None;
        }
        let (segment, offset) = place::<N>(index);
        // Acquire: the zeroed nodes.
        let memory = self.segments.get(segment)?.load(ordering!(Acquire, "striped.arena.find"));
        if memory.is_null() {
            return None;
        }
        // SAFETY: `place` stays inside the segment.
        let node = unsafe { aligned::<N>(memory).add(offset) };
        // SAFETY: A1: the node lives as long as the arena.
        Some(unsafe { &*node })
    }

    /// All nodes whose segments are there.
    pub fn iter(&self) -> impl Iterator<Item = &N> {
        self.segments.iter().enumerate().flat_map(|(number, segment)| {
            // Acquire: the zeroed nodes.
            let memory = segment.load(ordering!(Acquire, "striped.arena.iter"));
            if memory.is_null() {
                return [].iter();
            }
            // SAFETY: A1: that many nodes, which live as long as the arena.
            unsafe { std::slice::from_raw_parts(aligned::<N>(memory), len::<N>(number)) }.iter()
        })
    }

    /// The nodes of a segment that is there.
    ///
    /// # Safety
    /// As for `get`, with an index in this segment.
    #[inline]
    unsafe fn nodes(&self, segment: usize) -> *const N {
        // SAFETY: A2 bounds the segment's number.
        let segment = unsafe { self.segments.get_unchecked(segment) };
        // Relaxed: the index came, by a release and an acquire, from a thread for
        // which the segment was there.
        let memory = segment.load(Relaxed);
        debug_assert!(!memory.is_null(), "A2: the segment of an index is there");
        aligned(memory)
    }

    /// The node with this index, and those behind it in its segment.
    ///
    /// # Safety
    /// As for `get`.
    #[inline]
    pub unsafe fn segment_from(&self, index: u32) -> &[N] {
        let (segment, offset) = place::<N>(index);
        // SAFETY: the caller's promise.
        let nodes = unsafe { self.nodes(segment) };
        // SAFETY: A2: the segment is there, and `place` stays inside it.
        let node = unsafe { nodes.add(offset) };
        // SAFETY: A1: so many nodes, which live as long as the arena.
        unsafe { std::slice::from_raw_parts(node, len::<N>(segment) - offset) }
    }

    /// Gives out `count` new indices, the first of which is returned.
    ///
    /// # Errors
    /// [`OutOfMemory`]; then the indices are lost, and no node with them.
    #[cold]
    pub fn grow(&self, count: u32) -> Result<u32, OutOfMemory> {
        const LIMIT: u32 = 1 << INDEX_BITS;
        let room = |fresh: u32| fresh.checked_add(count).filter(|end| *end < LIMIT);
        let first = self.fresh.fetch_update(Relaxed, Relaxed, room).map_err(|_| OutOfMemory)?;
        let (lowest, _) = place::<N>(first);
        let (highest, _) = place::<N>(first + count - 1);
        for number in lowest..=highest {
            self.segment(number)?;
        }
        Ok(first)
    }

    /// The bytes of all segments.
    pub fn bytes(&self) -> usize {
        let there = |(number, segment): (usize, &AtomicPtr<u8>)| {
            (!segment.load(Relaxed).is_null()).then(|| len::<N>(number) * size_of::<N>())
        };
        self.segments.iter().enumerate().filter_map(there).sum()
    }

    /// Sees to it that an index can be used that another arena has given out; one
    /// of the two gives out indices for both.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn reach(&self, index: u32) -> Result<(), OutOfMemory> {
        self.segment(place::<N>(index).0)
    }

    /// How many indices were given out, as far as the caller knows.
    #[inline]
    pub fn given_out(&self) -> u32 {
        // Relaxed: whoever has an index knows that it was given out.
        self.fresh.load(Relaxed) - 1
    }

    /// Tells the system that what is in the nodes from `first` up to `end` is not needed:
    /// whoever still reads there finds what was there, or zeros. The caller holds these nodes.
    #[cfg(not(loom))]
    pub fn discard(&self, first: u32, end: u32) {
        for number in place::<N>(first).0..=place::<N>(end - 1).0 {
            // SAFETY: these indices were given out (A2).
            let nodes = unsafe { self.nodes(number) };
            let own = first_of::<N>(number)..first_of::<N>(number) + index_of(len::<N>(number));
            let skipped = first.saturating_sub(own.start) as usize;
            let count = (end.min(own.end) - own.start) as usize - skipped;
            let address = nodes.wrapping_add(skipped).cast_mut().cast();
            // SAFETY: zero bytes are a node (`Zeroed`), and these are the caller's.
            unsafe { pages::discard(address, count * size_of::<N>()) };
        }
    }

    /// The same in the models.
    #[cfg(loom)]
    pub fn discard(&self, first: u32, end: u32) {
        for index in first..end {
            // SAFETY: given out (A2).
            unsafe { self.get(index) }.discard();
        }
    }

    /// Sees to it that the segment is there (A1).
    fn segment(&self, number: usize) -> Result<(), OutOfMemory> {
        publish(
            &self.segments[number],
            || allocate::<N>(number).map(NonNull::as_ptr),
            // SAFETY: allocated just now, and no other thread has seen it.
            |memory| unsafe { free::<N>(number, memory) },
        )
    }
}

/// Sees to it that an address is there: that of what this thread makes, or another one.
///
/// # Errors
/// That of `make`.
pub(in super::super) fn publish(
    slot: &AtomicPtr<u8>,
    make: impl FnOnce() -> Result<*mut u8, OutOfMemory>,
    free: impl FnOnce(*mut u8),
) -> Result<(), OutOfMemory> {
    if !slot.load(ordering!(Acquire, "stack.arena.segment")).is_null() {
        return Ok(());
    }
    let memory = make()?;
    let publish = ordering!(Release, "stack.arena.publish");
    // Acquire: the nodes of whoever was first.
    let lost = ordering!(Acquire, "stack.arena.lost");
    if slot.compare_exchange(std::ptr::null_mut(), memory, publish, lost).is_err() {
        free(memory);
    }
    Ok(())
}

impl<N: Zeroed> Drop for Arena<N> {
    fn drop(&mut self) {
        for (number, segment) in self.segments.iter().enumerate() {
            let memory = segment.load(Relaxed);
            if !memory.is_null() {
                // SAFETY: A1: allocated for this number; nobody else is left.
                unsafe { free::<N>(number, memory) };
            }
        }
    }
}

/// The segment of an index, and the place in it.
#[inline]
fn place<N: Zeroed>(index: u32) -> (usize, usize) {
    let shifted = (index - 1) + (1 << N::FIRST_BITS);
    let log = shifted.ilog2();
    ((log - N::FIRST_BITS) as usize, (shifted - (1 << log)) as usize)
}

/// The segment of an index.
#[inline]
pub fn segment_of<N: Zeroed>(index: u32) -> usize {
    place::<N>(index).0
}

/// The first index of a segment.
pub fn first_of<N: Zeroed>(number: usize) -> u32 {
    index_of(len::<N>(number) - len::<N>(0)) + 1
}

fn index_of(count: usize) -> u32 {
    u32::try_from(count).expect("less than an index")
}

/// How many nodes a segment has.
fn len<N: Zeroed>(number: usize) -> usize {
    1 << (N::FIRST_BITS as usize + number)
}

/// What to ask the allocator for.
fn layout<N: Zeroed>(number: usize) -> Result<Layout, OutOfMemory> {
    let slack = align_of::<N>().saturating_sub(MIN_ALIGN);
    let size =
        len::<N>(number).checked_mul(size_of::<N>()).and_then(|size| size.checked_add(slack));
    size.and_then(|size| Layout::from_size_align(size, MIN_ALIGN).ok()).ok_or(OutOfMemory)
}

/// The first node in what the allocator returned.
#[inline]
fn aligned<N>(memory: *mut u8) -> *mut N {
    if align_of::<N>() <= MIN_ALIGN {
        return memory.cast();
    }
    memory.map_addr(|address| address.next_multiple_of(align_of::<N>())).cast()
}

fn allocate<N: Zeroed>(number: usize) -> Result<NonNull<u8>, OutOfMemory> {
    let layout = layout::<N>(number)?;
    // SAFETY: no segment and no node is empty.
    let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(OutOfMemory)?;
    #[cfg(loom)]
    for offset in 0..len::<N>(number) {
        // SAFETY: inside the allocation.
        let node = unsafe { aligned::<N>(memory.as_ptr()).add(offset) };
        // SAFETY: written once.
        unsafe { node.write(N::zeroed()) };
    }
    Ok(memory)
}

/// # Safety
/// `allocate` returned `memory` for this number; it is not used again.
unsafe fn free<N: Zeroed>(number: usize, memory: *mut u8) {
    #[cfg(loom)]
    for offset in 0..len::<N>(number) {
        // SAFETY: inside the allocation.
        let node = unsafe { aligned::<N>(memory).add(offset) };
        // SAFETY: `allocate` wrote each of them.
        unsafe { node.drop_in_place() };
    }
    let Ok(layout) = layout::<N>(number) else { return };
    // SAFETY: allocated with the same layout.
    unsafe { dealloc(memory, layout) };
}
