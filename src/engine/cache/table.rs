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
//! - **T3** Tables are freed with the cache. All old ones together are smaller than
//!   the current one.
//!
//! # When a miss is one
//! The walk in `mod.rs` claims: *an item that was in the cache all the while is
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
//! If X is found free, or at home elsewhere, the walk starts again. So it came to
//! E, or to the end of the chain through an entry that E can be reached from,
//! which is a contradiction. All this is about one table. If, at the end, it is
//! still the current one then by T2 no link that the walk read was of another one;
//! otherwise the walk starts again.

use super::super::memory::arena::{NIL, OutOfMemory};
use super::super::shim::{AtomicPtr, AtomicU32, Ordering::Relaxed, mutant, ordering};
use super::entry::{Entries, Entry, entry};

/// Buckets of a shard's first table.
const FIRST: usize = if cfg!(loom) { 1 } else { 8 };

/// At least so many buckets there are for each item: with two, one hit in four has to
/// pass over another item.
const PER_ITEM: usize = if cfg!(loom) { 1 } else { 2 };

/// The chains of one generation.
#[derive(Debug)]
pub(super) struct Table {
    heads: Box<[AtomicU32]>,
    generation: usize,
    /// Which bits of a hash tell where it belongs: the bucket's and the shard's.
    home: u64,
    /// The table before this one (T3).
    previous: *mut Table,
}

impl Table {
    #[inline]
    pub(super) fn head(&self, hash: u64) -> u32 {
        // Acquire: the entry that it names.
        self.bucket(hash).load(ordering!(Acquire, "cache.head.load"))
    }

    /// Which of the two links is this table's.
    #[inline]
    pub(super) fn generation(&self) -> usize {
        self.generation
    }

    /// Whether two hashes belong to the same chain of the same shard.
    #[inline]
    pub(super) fn is_home(&self, a: u64, b: u64) -> bool {
        (a ^ b) & self.home == 0 || mutant!("cache.walk.astray")
    }

    /// The entries of the chain of a hash. The caller holds the lock, or is alone.
    pub(super) fn chain<'a>(
        &self,
        entries: &'a Entries,
        hash: u64,
    ) -> impl Iterator<Item = (u32, &'a Entry)> + use<'a> {
        Self::from_head(entries, self.generation, self.head(hash))
    }

    /// The entries of all chains. The caller holds the lock, or is alone.
    pub(super) fn all<'a>(
        &'a self,
        entries: &'a Entries,
    ) -> impl Iterator<Item = (u32, &'a Entry)> {
        self.heads
            .iter()
            .flat_map(|head| Self::from_head(entries, self.generation, head.load(Relaxed)))
    }

    fn from_head(
        entries: &Entries,
        generation: usize,
        head: u32,
    ) -> impl Iterator<Item = (u32, &Entry)> {
        let mut next = head;
        std::iter::from_fn(move || {
            let index = (next != NIL).then_some(next)?;
            let here = entry(entries, index);
            next = here.next(generation);
            Some((index, here))
        })
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the lower bits are meant
    fn bucket(&self, hash: u64) -> &AtomicU32 {
        // A power of two, so that the mask keeps it in bounds.
        &self.heads[hash as usize & (self.heads.len() - 1)]
    }

    /// Puts a filled entry at the head of its chain. The caller holds the lock.
    #[inline]
    pub(super) fn link(&self, index: u32, filled: &Entry, hash: u64, linking: impl FnOnce()) {
        let bucket = self.bucket(hash);
        filled.set_next(self.generation, bucket.load(Relaxed));
        linking();
        // Release: the entry is whole.
        bucket.store(index, ordering!(Release, "cache.head.store"));
    }

    /// Takes an entry out of its chain. The caller holds the lock.
    #[inline]
    pub(super) fn unlink(&self, entries: &Entries, index: u32, unlinked: &Entry) {
        let next = unlinked.next(self.generation);
        let bucket = self.bucket(unlinked.hash());
        let mut before = bucket.load(Relaxed);
        if before == index {
            return bucket.store(next, ordering!(Release, "cache.head.unlink"));
        }
        loop {
            let predecessor = entry(entries, before);
            before = predecessor.next(self.generation);
            debug_assert!(before != NIL, "T1: a live entry is in its chain");
            if before == index {
                return predecessor.set_next(self.generation, next);
            }
        }
    }
}

/// The table of a shard, and those before it.
#[derive(Debug)]
pub(super) struct Tables {
    /// Null before the first.
    current: AtomicPtr<Table>,
}

// SAFETY: a table is made of atomics and what never changes; the raw pointers
// are owned by the one `Tables` that they hang on.
unsafe impl Send for Tables {}
// SAFETY: as above.
unsafe impl Sync for Tables {}

impl Tables {
    pub(super) fn new() -> Self {
        Self { current: AtomicPtr::new(std::ptr::null_mut()) }
    }

    #[inline]
    pub(super) fn current(&self) -> Option<&Table> {
        // Acquire: its heads, and the links of its generation.
        let table = self.current.load(ordering!(Acquire, "cache.table.load"));
        // SAFETY: T3.
        unsafe { table.as_ref() }
    }

    #[inline]
    pub(super) fn is_current(&self, table: &Table) -> bool {
        std::ptr::eq(self.current.load(Relaxed), table) || mutant!("cache.table.unchecked")
    }

    /// Makes room for `len` entries, of a shard whose hashes have these bits in
    /// common. The caller holds the lock.
    ///
    /// # Errors
    /// [`OutOfMemory`], if there is no table at all. Without a larger one the chains
    /// only grow longer.
    pub(super) fn reserve(
        &self,
        entries: &Entries,
        len: usize,
        shard_bits: u64,
    ) -> Result<(), OutOfMemory> {
        match self.current() {
            None => self.publish(Table::new(FIRST, 0, shard_bits)?),
            Some(table) if len * PER_ITEM > table.heads.len() => {
                let buckets = table.heads.len() * 2;
                if let Ok(mut grown) = Table::new(buckets, table.generation + 1, shard_bits) {
                    grown.take_over(entries, table);
                    self.publish(grown);
                }
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn publish(&self, mut table: Table) {
        table.previous = self.current.load(Relaxed);
        let table = Box::into_raw(Box::new(table));
        // Release: the chains are linked.
        self.current.store(table, ordering!(Release, "cache.table.store"));
    }
}

impl Table {
    fn new(buckets: usize, generation: usize, shard_bits: u64) -> Result<Self, OutOfMemory> {
        let mut heads = Vec::new();
        heads.try_reserve_exact(buckets).map_err(|_| OutOfMemory)?;
        heads.extend((0..buckets).map(|_| AtomicU32::new(NIL)));
        let home = (buckets as u64 - 1) | shard_bits;
        let previous = std::ptr::null_mut();
        Ok(Self { heads: heads.into_boxed_slice(), generation, home, previous })
    }

    /// Links all entries of the table before.
    fn take_over(&mut self, entries: &Entries, before: &Table) {
        for (index, moved) in before.all(entries) {
            self.link(index, moved, moved.hash(), || ());
        }
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        let mut table = self.current.load(Relaxed);
        while !table.is_null() {
            // SAFETY: made by `publish`; T3: this is the end of the cache.
            let boxed = unsafe { Box::from_raw(table) };
            table = boxed.previous;
        }
    }
}
