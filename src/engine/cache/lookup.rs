//! The search for a key: with no lock, and nothing held while keys are compared.
//!
//! `table.rs` has the argument why what the walk does not find is not there;
//! `entry.rs` has the invariants that start with E.

use super::super::memory::arena::NIL;
use super::super::memory::pointer::Counted;
use super::super::shim::{Ordering::Relaxed, mutant, spin};
use super::entry::{Entry, Life, Refused, entry};
use super::table::Table;
use super::{Core, share};

/// A key that is looked for.
pub trait Query<T> {
    /// What a comparison may fail with.
    type Error;

    /// The key's hash.
    fn hash(&self) -> u64;

    /// The key's address, which is not 0: that is what an emptied entry has.
    fn address(&self) -> usize;

    /// Whether the key is equal to any other such one that has the same hash.
    fn by_hash(&self) -> bool;

    /// Compares with a key of the same hash. It is called with nothing held, and
    /// may use the cache.
    ///
    /// # Errors
    /// The comparison's own.
    fn is(&self, key: &T) -> Result<bool, Self::Error>;
}

/// A key's entry, if its life goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) place: &'a Entry,
    pub(super) life: Life,
}

impl Found<'_> {
    /// The next entry in the chain, if this life goes on. However long the walk has
    /// rested here, that is as good as if it had just come.
    #[inline(always)]
    fn next(&self, table: &Table) -> Option<u32> {
        let next = self.place.next(table.generation());
        self.place.lives_on(self.life.stamp).then_some(next)
    }
}

/// What a walk came to.
enum Step<'a, T> {
    /// The key's entry.
    Found(Found<'a>),
    /// It has the same hash; only a comparison can tell. The table is that of the walk.
    Compare(Found<'a>, T, &'a Table),
    /// The key is not in the cache.
    Absent,
    /// It has the same hash, but cannot be compared yet.
    Unshared(Found<'a>, &'a Table),
    /// Something moved: walk again.
    Lost,
}

/// What came of looking at an entry that a search found.
pub(super) enum Look<T> {
    Found(T),
    /// Its time is over: it is absent.
    Expired,
    /// It was removed meanwhile.
    Gone,
    /// It was put before the cache was known to be shared.
    Unshared,
}

impl Core {
    /// The entry that has the key, if there is one. Those compared in vain are added
    /// to `unequal`.
    #[inline(always)]
    pub(super) fn search<T: Counted, Q: Query<T>>(
        &self,
        query: &Q,
        unequal: &mut Vec<Life>,
    ) -> Result<Option<Found<'_>>, Q::Error> {
        match self.walk(query, unequal) {
            Step::Found(found) => Ok(Some(found)),
            Step::Absent => Ok(None),
            step => self.search_on(query, unequal, step),
        }
    }

    /// The rest of [`Self::search`].
    #[inline(never)]
    fn search_on<'a, T: Counted, Q: Query<T>>(
        &'a self,
        query: &Q,
        unequal: &mut Vec<Life>,
        mut step: Step<'a, T>,
    ) -> Result<Option<Found<'a>>, Q::Error> {
        // Of this walk it meets none again, so that it need not look for them.
        let mut before = unequal.len();
        loop {
            step = match step {
                Step::Found(found) => return Ok(Some(found)),
                Step::Absent => return Ok(None),
                Step::Lost => {
                    spin(1);
                    before = unequal.len();
                    self.walk(query, unequal)
                }
                Step::Unshared(found, table) => {
                    self.share::<T>(query.hash(), found);
                    self.walk_from(found.life.index, table, query, &unequal[..before])
                }
                Step::Compare(found, key, table) => {
                    // Nothing is held here but references.
                    if query.is(&key)? {
                        return Ok(Some(found));
                    }
                    unequal.push(found.life);
                    match found.next(table) {
                        None => Step::Lost,
                        Some(next) => self.walk_from(next, table, query, &unequal[..before]),
                    }
                }
            }
        }
    }

    /// Shares what an entry has, if its life goes on, and whatever is put from now on.
    #[cold]
    pub(super) fn share<T: Counted>(&self, hash: u64, Found { place, life }: Found<'_>) {
        self.is_shared.store(true, Relaxed);
        let _locked = self.lock(mix(hash));
        if place.is_still(life.stamp) || mutant!("cache.share.gone") {
            let (key, value) = place.words();
            share::<T>(key);
            share::<T>(value);
        }
    }

    /// Walks the chain of a hash to the first entry that is, or may be, the key's.
    #[inline(always)]
    fn walk<T: Counted, Q: Query<T>>(&self, query: &Q, unequal: &[Life]) -> Step<'_, T> {
        let hash = mix(query.hash());
        let Some(table) = self.shard(hash).tables.current() else { return Step::Absent };
        self.walk_from(table.head(hash), table, query, unequal)
    }

    /// The walk from one of its entries on.
    #[inline(always)]
    fn walk_from<'a, T: Counted, Q: Query<T>>(
        &'a self,
        mut index: u32,
        table: &'a Table,
        query: &Q,
        unequal: &[Life],
    ) -> Step<'a, T> {
        let hash = mix(query.hash());
        while index != NIL {
            let place = entry(&self.entries, index);
            let stamp = place.stamp();
            let hash_here = place.hash();
            if stamp.is_free() || !table.is_home(hash_here, hash) {
                return Step::Lost;
            }
            let found = Found { place, life: Life { index, stamp } };
            if hash_here == hash && stamp.is_live() && !unequal.contains(&found.life) {
                if place.is_surely(query.address(), query.by_hash()) {
                    return Step::Found(found);
                }
                // SAFETY: words in our entries are of `T`s.
                let key = unsafe { place.key(stamp) };
                return match key {
                    Ok(key) => Step::Compare(found, key, table),
                    Err(Refused::Unshared) => Step::Unshared(found, table),
                    Err(Refused::Gone) => Step::Lost,
                };
            }
            let Some(next) = found.next(table) else { return Step::Lost };
            index = next;
        }
        if self.shard(hash).tables.is_current(table) { Step::Absent } else { Step::Lost }
    }
}

/// Spreads the hash over all bits, without losing any: equal results mean equal
/// hashes. CPython's hash of an int is the int. (Fibonacci hashing, and the upper
/// half of the product folded into the lower one.)
#[inline(always)]
pub(super) fn mix(hash: u64) -> u64 {
    let product = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ (product >> 32)
}
