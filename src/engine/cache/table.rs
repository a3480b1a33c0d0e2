//! The hash table of a shard: chains of entries, walked without a lock.
//!
//! # Idea and source
//! Each entry has two links, one for tables of even and one for tables of odd
//! generation (H. Xu's resizable hash lists in Linux's bridge code, 2010, from
//! which its `rhashtable` grew). A table is grown under the shard's lock by
//! linking all entries anew through the *other* links, while readers walk the old
//! table as it was; then the new one is published.
//!
//! # Invariants
//! - **T1** The lock-holder alone links and unlinks. Entries are linked at the head
//!   of their chain only, and unlinking one does not change its own link. So in the
//!   chains of one table, an entry comes before another for as long as both live.
//! - **T2** A link for the table of generation `g` is written while `g` is current
//!   or about to be.
//! - **T3** A table is retired after another one, or none, was published in its place;
//!   readers are inside a guard (see [`epoch`](super::super::memory::epoch)). No two have
//!   the same generation, which is how a reader knows one again who has been outside
//!   meanwhile.
//!
//! # When a miss is one
//! The walk in `lookup.rs` claims: *an item that was in the cache all the while is
//! found*. Suppose that its entry E was live from before the head of its chain was
//! read until the end of that chain was, and that the walk passed E by.
//!
//! By induction, E can be reached from each entry X that the walk comes to, at the
//! moment when the link to X is read. It is so for the head. The walk then reads
//! X's link within one life of X in which X's hash belongs to the chain (E3), and
//! X is, at that moment, in one of four places.
//! - *In the chain, in the life it had when the link to it was read*: E comes behind
//!   it as before (T1).
//! - *In the chain, in a later life*: it was linked at the head after E, and so E
//!   comes behind it.
//! - *Linked, not yet in the chain*: its link is the head of the chain, of now.
//! - *Taken out, and not free yet*: its link is its successor of the moment it was
//!   taken out, which the lock-holder has changed nothing behind.
//!
//! (X's page may have gone, and another one come in its place: that makes it X in a later
//! life. If none has come, the walk starts again.)
//!
//! If X is found free, or at home elsewhere, the walk starts again. So it came to
//! E, or to the end of the chain through an entry that E can be reached from,
//! which is a contradiction. A walk that went outside goes on, if it does, in the same life
//! of X and in a table of the same generation, as if it had rested there. All this is about one table. If, at the end, it is
//! still the current one then by T2 no link that the walk read was of another one;
//! otherwise the walk starts again.

use std::alloc::Layout;
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::super::memory::arena::{NIL, OutOfMemory};
use super::super::memory::epoch::{Block, Header, Reclaim};
use super::super::shim::{
    AtomicPtr, AtomicU32,
    Ordering::{Relaxed, Release},
    mutant, ordering,
};
use super::entry::Entry;
use super::pages::{Entries, View};
use super::policy::Policy;

/// Buckets of a shard's first table.
const FIRST: usize = if cfg!(loom) { 1 } else { 4 };

/// At least so many buckets there are for each item: with two, one hit in four has to
/// pass over another item.
const PER_ITEM: usize = if cfg!(loom) { 1 } else { 2 };

/// With so many times as many a table is too large, and replaced by one that can grow
/// and shrink by half as much before it is replaced in turn.
const SLACK: usize = 16;

/// A table of so many buckets is not too large.
const SMALL: usize = if cfg!(loom) { 1 } else { 128 };

/// How far one who goes through all entries has come: a hash, the lowest bit first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place(u64);

/// What a table begins with; the heads of the chains follow.
#[derive(Debug)]
#[repr(C)]
struct TableHead {
    header: Header,
    generation: u64,
    /// One less than the number of buckets, which is a power of two.
    mask: u64,
}

/// The chains of one generation, which are there as long as `'a` lasts (T3).
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    head: NonNull<TableHead>,
    _there: PhantomData<&'a ()>,
}

impl<'a> Table<'a> {
    /// # Safety
    /// Null, or the address of a table that is there as long as `'a` lasts.
    #[inline(always)]
    unsafe fn at(address: *mut Header) -> Option<Self> {
        let table = Self { head: NonNull::new(address)?.cast(), _there: PhantomData };
        table.known().header.check();
        Some(table)
    }

    /// An empty table.
    fn new(buckets: usize, generation: u64) -> Result<Self, OutOfMemory> {
        let size = buckets.checked_mul(size_of::<AtomicU32>());
        let size = size.and_then(|size| size.checked_add(size_of::<TableHead>()));
        let layout =
            size.and_then(|size| Layout::from_size_align(size, align_of::<TableHead>()).ok());
        let block = layout.and_then(Block::new).ok_or(OutOfMemory)?;
        let table = Self { head: block.0.cast(), _there: PhantomData };
        // SAFETY: places in the new block.
        let place = unsafe { &raw mut (*table.head.as_ptr()).generation };
        // SAFETY: as above.
        unsafe { place.write(generation) };
        // SAFETY: as above.
        let place = unsafe { &raw mut (*table.head.as_ptr()).mask };
        // SAFETY: as above.
        unsafe { place.write(buckets as u64 - 1) };
        // Zeros are empty chains; loom's types need constructing.
        #[cfg(loom)]
        for number in 0..buckets {
            // SAFETY: the block has room for so many.
            let head = unsafe { table.heads().add(number) };
            // SAFETY: as above.
            unsafe { head.cast_mut().write(AtomicU32::new(NIL)) };
        }
        Ok(table)
    }

    #[inline(always)]
    fn known(self) -> &'a TableHead {
        // SAFETY: it is there.
        unsafe { self.head.as_ref() }
    }

    #[inline(always)]
    fn heads(self) -> *const AtomicU32 {
        // SAFETY: the heads begin where this one ends, in the same block.
        unsafe { self.head.add(1) }.cast().as_ptr()
    }

    #[inline(always)]
    fn len(self) -> usize {
        // A table is smaller than the address space.
        usize::try_from(self.known().mask).expect("fewer buckets than addresses") + 1
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the lower bits are meant
    fn bucket(self, hash: u64) -> &'a AtomicU32 {
        let number = (hash & self.known().mask) as usize;
        // SAFETY: the mask keeps it in bounds.
        let bucket = unsafe { self.heads().add(number) };
        // SAFETY: zeros are a head, and the table is there.
        unsafe { &*bucket }
    }

    #[inline]
    pub(super) fn head(self, hash: u64) -> u32 {
        // Acquire: the entry that it names, and its life.
        self.bucket(hash).load(ordering!(Acquire, "cache.head.load"))
    }

    /// Its number; the lowest bit is which of the two links is this table's.
    #[inline]
    pub(super) fn generation(self) -> u64 {
        self.known().generation
    }

    /// Whether two hashes belong to the same chain.
    #[inline]
    pub(super) fn is_home(self, a: u64, b: u64) -> bool {
        (a ^ b) & self.known().mask == 0 || mutant!("cache.walk.astray")
    }

    /// The entries of the chain of a hash. The caller holds the lock, or is alone.
    pub(super) fn chain<P: Policy>(
        self,
        entries: &Entries<P>,
        hash: u64,
    ) -> impl Iterator<Item = (u32, &Entry<P>)> + use<'_, P> {
        from_head(entries.held(), self.generation(), self.head(hash))
    }

    /// The entries of all chains. The caller holds the lock, or is alone.
    pub(super) fn all<'e, P: Policy>(
        self,
        entries: &'e Entries<P>,
    ) -> impl Iterator<Item = (u32, &'e Entry<P>)> + use<'a, 'e, P> {
        let heads = (0..=self.known().mask).map(move |number| self.bucket(number).load(Relaxed));
        heads.flat_map(move |head| from_head(entries.held(), self.generation(), head))
    }

    /// Calls `visit` with the entries of chain after chain from `from` on, at least `count` if there are so many, and
    /// returns where to go on. The caller holds the lock.
    ///
    /// The entries are gone through in the order of their hashes, read from the lowest bit
    /// on. In a table of any size those of a chain lie together then, and the chains in that
    /// order; so who goes on in a larger table, or a smaller one, meets each entry once.
    pub(super) fn some<P: Policy>(
        self,
        entries: &Entries<P>,
        from: Place,
        count: usize,
        mut visit: impl FnMut(&Entry<P>),
    ) -> Option<Place> {
        let chains = u128::from(self.known().mask) + 1;
        // How far two chains are apart.
        let width = (1 << u64::BITS) / chains;
        let (mut chain, mut visited) = (u128::from(from.0) / width, 0);
        while visited < count && chain < chains {
            let first = u64::try_from(chain * width).expect("the chain is one of the table's");
            for (_, here) in self.chain(entries, first.reverse_bits()) {
                if here.hash().reverse_bits() >= from.0 {
                    visit(here);
                    visited += 1;
                }
            }
            chain += 1;
        }
        u64::try_from(chain * width).ok().map(Place)
    }

    /// Puts a filled entry at the head of its chain. The caller holds the lock.
    #[inline]
    pub(super) fn link<P: Policy>(
        self,
        index: u32,
        filled: &Entry<P>,
        hash: u64,
        linking: impl FnOnce(),
    ) {
        let bucket = self.bucket(hash);
        filled.set_next(self.generation(), bucket.load(Relaxed));
        linking();
        // Release: the entry is whole.
        bucket.store(index, ordering!(Release, "cache.head.link"));
    }

    /// Takes an entry out of its chain. The caller holds the lock.
    #[inline]
    pub(super) fn unlink<P: Policy>(self, entries: &Entries<P>, index: u32, unlinked: &Entry<P>) {
        let next = unlinked.next(self.generation());
        let bucket = self.bucket(unlinked.hash());
        let mut before = bucket.load(Relaxed);
        if before == index {
            // Release: as in `link`. (No model can miss it: to loom, a thread's later stores
            // publish what an earlier one did.)
            return bucket.store(next, Release);
        }
        loop {
            let predecessor = entries.entry(before);
            before = predecessor.next(self.generation());
            debug_assert!(before != NIL, "T1: a live entry is in its chain");
            if before == index {
                return predecessor.set_next(self.generation(), next);
            }
        }
    }

    /// Links all entries of the table before.
    fn take_over<P: Policy>(self, entries: &Entries<P>, before: Table<'_>) {
        for (index, moved) in before.all(entries) {
            self.link(index, moved, moved.hash(), || ());
        }
    }

    fn block(self) -> Block {
        Block(self.head.cast())
    }

    /// The bytes that it takes.
    fn size(self) -> usize {
        self.known().header.size()
    }
}

fn from_head<P: Policy>(
    entries: View<'_, P>,
    generation: u64,
    head: u32,
) -> impl Iterator<Item = (u32, &Entry<P>)> {
    let mut next = head;
    std::iter::from_fn(move || {
        let index = (next != NIL).then_some(next)?;
        let here = entries.find(index).expect("G2: what is in a chain has a page");
        next = here.next(generation);
        Some((index, here))
    })
}

/// The table of a shard.
#[derive(Debug)]
pub(super) struct Tables {
    /// Null before the first, and after [`Self::take`].
    current: AtomicPtr<Header>,
}

impl Tables {
    pub(super) fn new() -> Self {
        Self { current: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// The table as a reader finds it who is inside that guard.
    #[inline(always)]
    pub(super) fn current<'a, G>(&self, _guard: &'a G) -> Option<Table<'a>> {
        // Acquire: its heads, and the links of its generation.
        let table = self.current.load(ordering!(Acquire, "cache.table.load"));
        // SAFETY: T3.
        unsafe { Table::at(table) }
    }

    /// The same for the holder of the lock, or who is alone.
    #[inline(always)]
    pub(super) fn held(&self) -> Option<Table<'_>> {
        // SAFETY: T3: nobody retires it.
        unsafe { Table::at(self.current.load(Relaxed)) }
    }

    #[inline]
    pub(super) fn is_current(&self, table: Table<'_>) -> bool {
        let current = self.current.load(Relaxed).cast();
        std::ptr::eq(current, table.head.as_ptr()) || mutant!("cache.table.unchecked")
    }

    /// Makes room for `len` entries. The caller holds the lock, and counts the generations.
    ///
    /// # Errors
    /// [`OutOfMemory`], if there is no table at all. Without a larger one the chains
    /// only grow longer.
    pub(super) fn reserve<P: Policy, R: Reclaim>(
        &self,
        entries: &Entries<P>,
        len: usize,
        generation: &mut u64,
    ) -> Result<(), OutOfMemory> {
        match self.held() {
            None => {
                let first = Table::new(FIRST, *generation)?;
                *generation += 1;
                self.publish(first);
            }
            Some(table) if len * PER_ITEM > table.len() => {
                self.replace::<P, R>(entries, table, table.len() * 2, generation);
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Makes the table smaller, if it is too large for `len` entries. The caller holds the
    /// lock.
    #[inline]
    pub(super) fn shrink<P: Policy, R: Reclaim>(
        &self,
        entries: &Entries<P>,
        len: usize,
        generation: &mut u64,
    ) {
        let Some(table) = self.held() else { return };
        if table.len() > SMALL && len * PER_ITEM * SLACK < table.len() {
            let wanted = (len * PER_ITEM).next_power_of_two() * 4;
            self.replace::<P, R>(entries, table, wanted.max(FIRST), generation);
        }
    }

    #[cold]
    fn replace<P: Policy, R: Reclaim>(
        &self,
        entries: &Entries<P>,
        before: Table<'_>,
        buckets: usize,
        generation: &mut u64,
    ) {
        let Ok(after) = Table::new(buckets, *generation) else { return };
        *generation += 1;
        after.take_over(entries, before);
        if mutant!("cache.table.early") {
            // SAFETY: none, that is the fault.
            unsafe { R::retire(before.block()) };
            R::tidy();
            return self.publish(after);
        }
        self.publish(after);
        // SAFETY: T3: another one was published.
        unsafe { R::retire(before.block()) };
    }

    fn publish(&self, table: Table<'_>) {
        let address = table.head.cast().as_ptr();
        // Release: the chains are linked.
        self.current.store(address, ordering!(Release, "cache.table.store"));
    }

    /// Unlinks all entries at once. The caller holds the lock.
    pub(super) fn take<R: Reclaim>(&self) {
        let Some(table) = self.held() else { return };
        // Relaxed: the epoch does the rest.
        self.current.store(std::ptr::null_mut(), Relaxed);
        // SAFETY: T3: none was published.
        unsafe { R::retire(table.block()) };
    }

    /// The bytes of the table. The caller holds the lock.
    pub(super) fn bytes(&self) -> usize {
        self.held().map_or(0, Table::size)
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        if let Some(table) = self.held() {
            // SAFETY: this is the end of the cache.
            unsafe { table.block().free() };
        }
    }
}
