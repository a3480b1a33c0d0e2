//! The search for a key: with no lock, and nothing held while keys are compared.
//!
//! `table.rs` has the argument why what the walk does not find is not there;
//! `entry.rs` has the invariants that start with E.

use super::Core;
use super::entry::{Life, entry};
use crate::engine::arena::NIL;
use crate::engine::pointer::Counted;
use crate::shim::spin;

/// A key that is looked for.
pub trait Query<T> {
    /// What a comparison may fail with.
    type Error;

    /// The key's hash.
    fn hash(&self) -> u64;

    /// The key's address.
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

/// The next thing to do in a search.
enum Step<T> {
    /// The key's entry, if its life goes on.
    Found(Life),
    /// It has the same hash; only a comparison can tell.
    Compare(Life, T),
    /// The key is not in the cache.
    Absent,
}

/// What came of looking at an entry that a search found.
pub(super) enum Look<T> {
    Found(T),
    /// Its time is over: it is absent.
    Expired,
    /// It was removed meanwhile.
    Gone,
}

impl Core {
    /// The life of the entry that has the key, if there is one. Those compared in
    /// vain are added to `unequal`.
    #[inline]
    pub(super) fn search<T: Counted, Q: Query<T>>(
        &self,
        query: &Q,
        unequal: &mut Vec<Life>,
    ) -> Result<Option<Life>, Q::Error> {
        loop {
            match self.walk(query, unequal) {
                Some(Step::Found(life)) => return Ok(Some(life)),
                Some(Step::Absent) => return Ok(None),
                None => spin(1),
                Some(Step::Compare(life, key)) => {
                    // Nothing is held here but references.
                    if query.is(&key)? {
                        return Ok(Some(life));
                    }
                    unequal.push(life);
                }
            }
        }
    }

    /// Walks the chain of a hash to the first entry that is, or may be, the key's.
    /// `None` means that something moved: walk again.
    #[inline]
    fn walk<T: Counted, Q: Query<T>>(&self, query: &Q, unequal: &[Life]) -> Option<Step<T>> {
        let hash = mix(query.hash());
        let tables = &self.shard(hash).tables;
        let Some(table) = tables.current() else { return Some(Step::Absent) };
        let mut index = table.head(hash);
        while index != NIL {
            let place = entry(&self.entries, index);
            let stamp = place.stamp();
            let found = place.hash();
            if stamp.is_free() || !table.is_home(found, hash) {
                return None;
            }
            let life = Life { index, stamp };
            if found == hash && stamp.is_live() && !unequal.contains(&life) {
                if place.is_surely(query.address(), query.by_hash()) {
                    return Some(Step::Found(life));
                }
                // SAFETY: words in our entries are of `T`s.
                return unsafe { place.key(stamp) }.map(|key| Step::Compare(life, key));
            }
            index = place.next(table.generation());
            if !place.lives_on(stamp) {
                return None;
            }
        }
        tables.is_current(table).then_some(Step::Absent)
    }
}

/// Spreads the hash over all bits, without losing any: equal results mean equal
/// hashes. CPython's hash of an int is the int. (Fibonacci hashing, and the upper
/// half of the product folded into the lower one.)
#[inline]
pub(super) fn mix(hash: u64) -> u64 {
    let product = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ (product >> 32)
}
