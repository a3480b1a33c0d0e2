//! The search for a key: with no lock, and nothing held while keys are compared.
//!
//! A walk is inside a guard, as long as it lasts, which is as long as nothing of the
//! user's is called. To compare keys, or to drop anything, it leaves, and takes along
//! numbers: which [`Life`] it was compared with, and in a table of which generation. Entries
//! and tables may be gone when it comes back; by the numbers it finds out.
//!
//! `table.rs` has the argument why what the walk does not find is not there;
//! `entry.rs` has the invariants that start with E.

use super::super::memory::arena::{NIL, OutOfMemory};
use super::super::memory::epoch::Reclaim;
use super::super::memory::growth::{put, room_for_one};
use super::super::memory::pointer::Counted;
use super::super::shim::{Ordering::Relaxed, mutant, spin};
use super::entry::{Entry, Glimpse, Life, Stamp, Taken};
use super::pages::View;
use super::policy::Policy;
use super::table::{Table, Tables};
use super::{Core, share};

/// A key that is looked for.
pub trait Query<T> {
    /// What a comparison, or the search, may fail with.
    type Error: From<OutOfMemory>;

    /// The key's hash.
    fn hash(&self) -> u64;

    /// The key's address, which is not 0: that is what an emptied entry has.
    fn address(&self) -> usize;

    /// Whether the key is equal to any other such one that has the same hash.
    fn by_hash(&self) -> bool;

    /// Whether the key is known to be equal to one of the same hash by a mere look at it: it is
    /// called inside a guard, or with a lock held, and calls nothing, waits for nobody and takes no
    /// reference. It says so only if the [`Glimpse`] held after all that it has read.
    ///
    /// # Safety
    /// The glimpse is of a `T`.
    #[inline(always)]
    unsafe fn is_plainly(&self, _key: &Glimpse<'_>) -> bool {
        false
    }

    /// Compares with a key of the same hash. It is called with nothing held, and
    /// may use the cache.
    ///
    /// # Errors
    /// The comparison's own.
    fn is(&self, key: &T) -> Result<bool, Self::Error>;
}

/// A key's entry, if its life goes on, for someone inside a guard.
#[derive(Debug)]
pub(super) struct Found<'a, P: Policy> {
    pub(super) place: &'a Entry<P>,
    pub(super) index: u32,
    /// Of the live state.
    pub(super) stamp: Stamp,
}

impl<P: Policy> Clone for Found<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Policy> Copy for Found<'_, P> {}

impl<P: Policy> Found<'_, P> {
    /// Whether the item weighs so much and never expires, and is not to either.
    #[inline(always)]
    pub(super) fn is_plain(&self, weight: u64, deadline: u64) -> bool {
        deadline | self.place.deadline() == 0 && P::weight_of(self.place) == weight
    }

    /// By what it is found again.
    pub(super) fn life(&self) -> Life {
        self.place.life(self.index, self.stamp)
    }
}

/// What came of comparing a key with those of its hash.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) equal: Option<Life>,
    pub(super) unequal: Vec<Life>,
    rest: Option<Rest>,
}

/// Where a walk went outside.
#[derive(Clone, Copy, Debug)]
struct Rest {
    life: Life,
    /// Of the table.
    generation: u64,
    /// So many were unequal when the walk began: it meets none of the later ones again, and
    /// need not look for them.
    before: usize,
}

impl Known {
    /// Nothing.
    pub(super) const NOTHING: Self = Self { equal: None, unequal: Vec::new(), rest: None };

    /// Notes whether a key was equal.
    ///
    /// # Errors
    /// [`OutOfMemory`]; it must be compared again.
    pub(super) fn note(
        &mut self,
        life: Life,
        generation: u64,
        equal: bool,
    ) -> Result<(), OutOfMemory> {
        if !equal {
            room_for_one(&mut self.unequal)?;
        }
        let before = self.rest.map_or(self.unequal.len(), |rest| rest.before);
        self.rest = Some(Rest { life, generation, before });
        if equal {
            self.equal = Some(life);
        } else {
            put(&mut self.unequal, life); // room: above
        }
        Ok(())
    }

    /// The walk starts again.
    fn start_again(&mut self) {
        self.rest = None;
    }
}

/// What a walk came to.
pub(super) enum Step<'a, T, P: Policy> {
    /// The key's entry.
    Found(Found<'a, P>),
    /// It has the same hash; only a comparison can tell. The generation is that of the walk's
    /// table.
    Compare(Life, T, u64),
    /// The key is not in the cache.
    Absent,
    /// It has the same hash, but cannot be compared yet.
    Unshared(Life),
    /// Something moved: walk again. This was taken in vain.
    Lost(Option<T>),
}

/// What came of looking at an entry that a search found.
pub(super) enum Look<T, R> {
    Found(R),
    /// Its time is over: it is absent. This was taken in vain.
    Expired(Option<T>),
    /// It was removed meanwhile. This was taken in vain.
    Gone(Option<T>),
    /// It was put before the cache was known to be shared.
    Unshared,
}

/// What a search found.
pub(super) enum Sought<R> {
    Found(R, Life),
    /// It is absent, for its time is over.
    Expired(Life),
    Absent,
}

/// What a visit came to, with nothing held.
pub(super) enum Stop<T, R> {
    Looked(Look<T, R>, Life),
    Absent,
    /// As a [`Step`].
    Compare(Life, T, u64),
    Unshared(Life),
    Lost(Option<T>),
}

impl<P: Policy> Core<P> {
    /// Walks to the key's entry, and looks at it.
    #[inline(always)]
    pub(super) fn visit<T: Counted, G: Reclaim, Q: Query<T>, R>(
        &self,
        query: &Q,
        look: &impl Fn(Found<'_, P>) -> Look<T, R>,
    ) -> Stop<T, R> {
        let guard = (!mutant!("cache.guard")).then(G::enter);
        stop(self.walk(&guard, query), look)
    }

    /// Looks at an entry once more, of which the key has turned out to be equal; `None` if
    /// that needs more than a look.
    #[inline(always)]
    pub(super) fn revisit<T: Counted, G: Reclaim, R>(
        &self,
        hash: u64,
        life: Life,
        look: &impl Fn(Found<'_, P>) -> Look<T, R>,
    ) -> Option<R> {
        let guard = G::enter();
        let place = self.shard(mix(hash)).entries.view(&guard).find(life.index)?;
        if !place.has(life) {
            return None;
        }
        let looked = look(Found { place, index: life.index, stamp: life.stamp });
        drop(guard);
        // What was taken in vain is dropped only here.
        if let Look::Found(found) = looked { Some(found) } else { None }
    }

    /// Searches, from where the key was compared last if that is possible, until it comes to an
    /// entry at which `look` finds something.
    #[inline(never)]
    pub(super) fn search_on<T: Counted, G: Reclaim, Q: Query<T>, R>(
        &self,
        query: &Q,
        known: &mut Known,
        look: &impl Fn(Found<'_, P>) -> Look<T, R>,
    ) -> Result<Sought<R>, Q::Error> {
        loop {
            let at = {
                let guard = G::enter();
                stop(self.walk_on(&guard, query, known), look)
            };
            // Nothing is held here but references.
            match at {
                Stop::Looked(Look::Found(found), life) => return Ok(Sought::Found(found, life)),
                Stop::Looked(Look::Expired(in_vain), life) => {
                    drop(in_vain);
                    return Ok(Sought::Expired(life));
                }
                Stop::Absent => return Ok(Sought::Absent),
                Stop::Lost(in_vain) | Stop::Looked(Look::Gone(in_vain), _) => {
                    drop(in_vain);
                    spin(1);
                    known.start_again();
                }
                Stop::Unshared(life) | Stop::Looked(Look::Unshared, life) => {
                    self.share::<T>(query.hash(), life);
                    known.start_again();
                }
                Stop::Compare(life, key, generation) => {
                    let equal = query.is(&key)?;
                    known.note(life, generation, equal)?;
                }
            }
        }
    }

    /// Searches for a key that is known not to be among some, until `look` finds something
    /// in its entry.
    pub(super) fn look_up<T: Counted, G: Reclaim, Q: Query<T>, R>(
        &self,
        query: &Q,
        known: &mut Known,
        look: &impl Fn(Found<'_, P>) -> Look<T, R>,
    ) -> Result<Sought<R>, Q::Error> {
        known.start_again();
        self.search_on::<T, G, Q, R>(query, known, look)
    }

    /// The life of the entry that has the key, if there is one.
    pub(super) fn search<T: Counted, G: Reclaim, Q: Query<T>>(
        &self,
        query: &Q,
        known: &mut Known,
    ) -> Result<Option<Life>, Q::Error> {
        match self.look_up::<T, G, Q, ()>(query, known, &|_| Look::Found(()))? {
            Sought::Found((), life) => Ok(Some(life)),
            Sought::Expired(_) | Sought::Absent => Ok(None),
        }
    }

    /// Shares what an entry has, if its life goes on, and whatever is put from now on.
    #[cold]
    pub(super) fn share<T: Counted>(&self, hash: u64, life: Life) {
        self.is_shared.store(true, Relaxed);
        let shard = self.shard(mix(hash));
        let _state = shard.lock_state();
        let place = shard.entries.held().find(life.index);
        let Some(place) = place else { return };
        if place.has(life) || mutant!("cache.share.gone") {
            let _claim = place.claim();
            let (key, value) = place.words();
            share::<T>(key);
            share::<T>(value);
        }
    }

    /// Walks the chain of a hash to the first entry that is, or may be, the key's.
    #[inline(always)]
    pub(super) fn walk<'a, T: Counted, Q: Query<T>, G>(
        &self,
        guard: &'a G,
        query: &Q,
    ) -> Step<'a, T, P> {
        let hash = mix(query.hash());
        let shard = self.shard(hash);
        let Some(table) = shard.tables.current(guard) else { return Step::Absent };
        let (entries, tables) = (shard.entries.view(guard), &shard.tables);
        let walk = Walk { table, tables, entries, query, hash };
        walk.from(table.head(hash), &Known::NOTHING, &[])
    }

    /// The same for someone who has compared keys, and walks on from where he went outside,
    /// if that is possible.
    fn walk_on<'a, T: Counted, Q: Query<T>, G>(
        &self,
        guard: &'a G,
        query: &Q,
        known: &Known,
    ) -> Step<'a, T, P> {
        let hash = mix(query.hash());
        let shard = self.shard(hash);
        let Some(table) = shard.tables.current(guard) else { return Step::Absent };
        let (entries, tables) = (shard.entries.view(guard), &shard.tables);
        let walk = Walk { table, tables, entries, query, hash };
        match known.rest {
            None => walk.from(table.head(hash), known, &known.unequal),
            Some(rest) => walk.after(rest, known),
        }
    }
}

/// What a walk came to, and what there is to see there.
#[inline(always)]
fn stop<T, R, P: Policy>(
    step: Step<'_, T, P>,
    look: &impl Fn(Found<'_, P>) -> Look<T, R>,
) -> Stop<T, R> {
    match step {
        Step::Found(found) => Stop::Looked(look(found), found.life()),
        Step::Absent => Stop::Absent,
        Step::Compare(life, key, generation) => Stop::Compare(life, key, generation),
        Step::Unshared(life) => Stop::Unshared(life),
        Step::Lost(in_vain) => Stop::Lost(in_vain),
    }
}

/// A walk, inside a guard.
struct Walk<'a, 'q, Q, P: Policy> {
    table: Table<'a>,
    tables: &'q Tables,
    entries: View<'a, P>,
    query: &'q Q,
    /// Of the key, mixed.
    hash: u64,
}

impl<'a, Q, P: Policy> Walk<'a, '_, Q, P> {
    /// Walks on behind an entry. However long the walk has rested there, that is as good as if
    /// it had just come, if the life and the table are the same.
    fn after<T: Counted>(&self, rest: Rest, known: &Known) -> Step<'a, T, P>
    where
        Q: Query<T>,
    {
        let Some(place) = self.entries.find(rest.life.index) else { return Step::Lost(None) };
        let found = Found { place, index: rest.life.index, stamp: rest.life.stamp };
        let is_same = self.table.generation() == rest.generation || mutant!("cache.rest.table");
        if !is_same || !place.has(rest.life) {
            return Step::Lost(None);
        }
        if known.equal == Some(rest.life) {
            return Step::Found(found);
        }
        match self.next(found) {
            Some(next) => self.from(next, known, &known.unequal[..rest.before]),
            None => Step::Lost(None),
        }
    }

    /// The next entry in the chain, if this life goes on.
    #[inline(always)]
    fn next(&self, found: Found<'_, P>) -> Option<u32> {
        let next = found.place.next(self.table.generation());
        found.place.lives_on(found.stamp).then_some(next)
    }

    /// The walk from one of its entries on.
    #[inline(always)]
    fn from<T: Counted>(&self, mut index: u32, known: &Known, unequal: &[Life]) -> Step<'a, T, P>
    where
        Q: Query<T>,
    {
        while index != NIL {
            let Some(place) = self.entries.find(index) else { return Step::Lost(None) };
            let stamp = place.stamp();
            let hash_here = place.hash();
            if stamp.is_free() || !self.table.is_home(hash_here, self.hash) {
                return Step::Lost(None);
            }
            let found = Found { place, index, stamp };
            if hash_here == self.hash && stamp.is_live() {
                if place.is_surely(self.query.address(), self.query.by_hash()) {
                    return Step::Found(found);
                }
                let life = found.life();
                if known.equal == Some(life) {
                    return Step::Found(found);
                }
                if !unequal.contains(&life) {
                    let Some(glimpse) = place.glimpse(stamp) else { return Step::Lost(None) };
                    // SAFETY: words in our entries are of `T`s.
                    if unsafe { self.query.is_plainly(&glimpse) } {
                        return Step::Found(found);
                    }
                    // SAFETY: as above.
                    return match unsafe { place.key(stamp) } {
                        Taken::Value(key, _) => Step::Compare(life, key, self.table.generation()),
                        Taken::Unshared => Step::Unshared(life),
                        Taken::Gone(in_vain) => Step::Lost(in_vain),
                    };
                }
            }
            let Some(next) = self.next(found) else { return Step::Lost(None) };
            index = next;
        }
        // At its end it has missed nothing if the table is still the current one.
        if self.tables.is_current(self.table) { Step::Absent } else { Step::Lost(None) }
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
