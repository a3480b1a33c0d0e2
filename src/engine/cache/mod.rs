//! A cache: a bounded hash table whose readers take no lock and leave no trace.
//!
//! # Idea and source
//! - *Values are not waited for.* A reference to the value is taken as CPython takes one to
//!   the value in a `dict`: try, and look again ([`pointer`](super::memory::pointer)). When an
//!   item is removed its reference is gone, whoever is reading.
//! - *What values lie in is.* Entries lie on [pages], which come and go, as tables do. A reader is inside a
//!   guard ([`epoch`](super::memory::epoch)), two stores to a word of its own, and what
//!   was unlinked is given back when those have left who were inside. An entry alone is used anew at once: its
//!   [stamp](entry) tells.
//! - *What one thread uses is shared with none.* Taking references from other threads
//!   has to be made possible first, by an atomic operation on the value's count
//!   ([`Counted::share`]), and another when it dies. A reader who finds that this was
//!   not done does it, under the lock, and notes that there are others: whatever is put
//!   from then on is shared at once. (CPython does so with the values of a dict.)
//! - *A hit moves nothing*: the [policy] is S3-FIFO, whose memory of a use is a
//!   two-bit count beside the item. Once that is full a hit writes to no shared
//!   memory but the value's reference count.
//! - *Writers share a lock per shard*, held for some instructions. The bound is one
//!   for all shards ([`Budget`]), so that a cache for a thousand items holds a
//!   thousand, however their keys are spread.
//! - *Keys are compared with nothing held.* The cache compares hashes, addresses,
//!   and keys that are equal if their hashes are ([`Query::by_hash`]), or at which a look tells
//!   ([`Query::is_plainly`]): for that no reference is taken, which would be counted in one word
//!   by all who bring equal keys of their own. For any other
//!   comparison it takes a reference to the key, lets go of everything, the guard included,
//!   and asks ([`Query::is`]); afterwards it looks, by numbers, whether that life of the entry goes on.
//! - *Most lookups are over at once.* [`Cache::glance`] is the same walk, and the same look at what it
//!   finds, without a second try: what is not decided then is searched for.
//!
//! | file | what it holds |
//! |---|---|
//! | `entry` | where an item lies, and the lives of that place |
//! | `pages` | where entries lie, and how that comes back |
//! | `table` | the chains, and why a miss is one |
//! | `lookup` | the search for a key, with nothing held |
//! | `policy` | what decides who is evicted, and what it needs in an entry |
//! | `s3fifo`, `ghost` | the cache's |
//! | `dictionary` | the table without a bound |
//! | `counts` | the same with a count for each key |
//! | `timers`, `clock` | what expires |
//! | `shard` | what a lock protects |
//! | `update` | the operations that change the cache |
//! | `removed` | what they removed without being asked |
//!
//! # Invariants
//! Beside those of the files:
//! - **C1** An item is in the cache while its entry's stamp says that it is live
//!   (E1). That one word is where insertion and removal take effect.
//! - **C2** No two live entries have equal keys: whoever inserts holds the lock, and
//!   has compared its key with each live entry of the same hash.
//! - **C3** The weights of all items, and of those about to be inserted, add up to
//!   what the budget has given out, which is never more than the limit, unless that has become
//!   less just now; without a limit nobody counts, and who sets one adds up (`Cache::set_limit`).
//! - **C4** What a reader returns was the value of a live entry with its key at the
//!   moment of its second look at the value (E3, E4).
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Release` | a step of a stamp | `Acquire` of the stamp | the entry's content |
//! | `Release` | filling an entry | `Acquire` of hash, key and way to compare | E3: that the stamp has grown |
//! | `Release` | a link or a head, set | `Acquire` of the link or head | the entry that it names; T2: that the table has changed |
//! | `Release` | the value, replaced | `Acquire` of the value | the value behind the address |
//! | `Release` fence | before a reference that was in an entry is given up | the two below | E8: whoever reads what comes in its place sees that it is gone |
//! | `Acquire` fence | after what was read of a key | that fence | E6: the look behind it is no older than what was read |
//! | `Acquire` fence | after taking a reference | that fence | C4: the second look is no older than what was taken |
//! | `Release` | the table, published | `Acquire` of the table | the chains |
//! | `Release` | a page or a directory, published | `Acquire` of its address | the zeroed entries |
//! | `Release` | the core, published | `Acquire` of the core | all of it |
//! | `AcqRel` | finding that there is no core yet, as a load begins | `Acquire` in its publication | that whoever puts sees the load's ticket |
//! | `Relaxed` | whether the cache is shared | | nothing: a reader who finds an item that is not shares it |
//! | `Relaxed` | the use count | | nothing: a lost use is one less |
//! | `Relaxed` | the budget, the limit | itself; the locks of all shards | nothing but the sum |
//!
//! # Progress
//! A hit, a miss and `contains` are lock-free, comparisons aside: starting again
//! means that another thread removed, inserted or replaced something. (Once for each
//! item that was put before a second thread read anything, its first reader there
//! locks the shard.) All that
//! changes the cache locks one shard; an insertion that finds too little there, others as well, one at a time,
//! after it has released the first: what it has made room for so far is its own, so it ends, however many others put. Setting the limit locks all, in their order,
//! which nobody else does who holds one.
//!
//! # Many writers
//! How many do is argued, for the machines at hand have two processors. How two do is measured: on one of these (AMD
//! EPYC, two cores under KVM), with CPython 3.14.9t. Times are those of both together, nanoseconds an operation.
//! - *Two that put.* In a plain loop, `c[key] = key`, a put takes 38 by one thread, 63 by two (that is 126 for each),
//!   and 20 by two with a cache each; in `benches/ab`, cell `cache.write`, 51 by one and 71 by two. Of the 88 that each waits
//!   longer in the loop, 15 are references that either may drop, as one thread shows in a cache that is known to be shared.
//!   Most of the rest are the lines that they pass to one another, but fewer of them save little: that a put into a full
//!   cache writes to one line of its shard, the lock's, where it was four, and not to the entry behind its victim, saves
//!   a twentieth where the threads' keys differ, and nothing that shows where they are equal. Prefetching lines for
//!   writing, before the lock is taken or under it, saves nothing. Half as many shards take 1.15 times as long, and
//!   1.3 times if who finds a lock taken pauses before he sleeps: whoever is not disturbed puts several in a row.
//! - *Two that miss* (cell `cache.zipf`: a cache of 1,000, and 20 of 100 look-ups put what they miss). One takes 48 a look-up,
//!   both 41, or 113 in the minutes in which a line takes 195 from one processor to the other, and not 40. Counting
//!   references to values that the other has put is an eighth of what is too much, or a third. The rest is what puts write:
//!   in such minutes it was 118, and as much without the count of uses, but 170 if references were not handed over,
//!   158 in one shard, 126 in two and 115 in eight.
//! - *Shards.* Who puts holds a lock for a third to a half of the time that it takes. So 16 of them
//!   are enough for about as many threads that do nothing else; of 64, on average one or two
//!   wait for each, and together they put as fast as 16 locks change hands, each with the two or three
//!   cache lines that it protects: some hundred millions a second, and each thread a quarter of
//!   what it would alone. More shards would help them, and cost all others: a small cache its
//!   memory, and the policy its view of what is rare. Who reads locks none.
//! - *The budget* is one word. A full cache only reads it: what is evicted makes room for what
//!   comes. Each insertion into one that is not full adds to it, and so do removals; then the threads
//!   share that line, and 64 of them put no faster than it travels, until the cache is full.
//! - *Weights.* Where not all weigh the same, what goes for an item may weigh more, and what is left over is
//!   whoever's comes next: shares of the limit drift apart, until one shard has a single item. So one
//!   with less than half of its share takes from those with more. A put into a cache of 1,000 items as light as the first
//!   takes 66 by one thread, 130 by two and 111 by eight, if it is one shard; in four 66, 70 and 73.
//!   But how many will fit is known when they are there, and to divide it then would mean that readers
//!   miss what is between two shards; the first one's weight is a guess, with [`CAUTION`]. What goes elsewhere for a heavy
//!   item is kept for it until it is enough, so that it comes in although others put light ones all the while; and one
//!   thread at a time takes room from other shards (`Budget::gathering`), lest two wait for what the other one keeps.
//! - *Entries* are the shard's own, and are handed out under its lock. The arena in which
//!   statistics are counted is asked for a cell once in a thread's life.
//!
//! # What another thread will drop
//! A reference that the thread which made an object takes in its own count, and another drops,
//! sends the object to its maker to be freed: more than the rest of a put. Who first drops what is
//! another's notes that the cache is shared, and from then on references go in where any thread may
//! drop them ([`Counted::hand_over`]).

mod clock;
mod counts;
mod dictionary;
mod entry;
mod ghost;
mod lookup;
mod pages;
mod policy;
mod removed;
mod s3fifo;
mod shard;
mod table;
mod timers;
mod update;

use std::marker::PhantomData;

use super::memory::arena::{NIL, OutOfMemory};
use super::memory::epoch::{Epochs, Reclaim};
use super::memory::growth::{boxed, boxed_slice, put, room_for_one};
use super::memory::pointer::Counted;
use super::shim::{
    AtomicBool, AtomicPtr, AtomicU64, Lock, Ordering::Relaxed, PARALLEL, mutant, ordering,
};
use entry::{Entry, Taken};
use lookup::{Found, Known, Look, Sought, Step, Stop};
use policy::Policy;
use s3fifo::S3Fifo;
use shard::{Locked, Shard};
use table::Place;

pub use clock::{Clock, Monotonic};
pub use counts::Counts;
pub use dictionary::Dictionary;
pub use entry::Glimpse;
pub use lookup::Query;
pub use removed::{Evicted, Reason, Removed};
pub use update::{Item, Put};

/// A limit that is none.
pub const UNBOUNDED: u64 = u64::MAX;

/// So many items that weigh nothing there may be in any case; as many as the limit says, if that
/// is more.
pub const FEWEST_WEIGHTLESS: u64 = 10_000;

/// So many items there are in each part of a divided cache, on average and when it is full: with
/// fewer, how often a loop hits is a matter of luck.
const FEWEST_IN_SHARD: u64 = 250;
const MOST_SHARDS: usize = 16;
/// What the first item of a weighed cache weighs tells how many will fit: so many times as many as are
/// counted on, for it may be a light one.
const CAUTION: u64 = 16;
/// Caches for so many are divided into eight at least, however few processors there are: a
/// table that grows is filled under the lock, and at a stretch.
const MANY: u64 = 1 << 18;
const FEWEST_OF_MANY: usize = 8;
/// So many items are copied at a time.
const PIECE: usize = if cfg!(loom) { 1 } else { 1024 };
/// The bits of a hash that choose the shard start here.
const SHARD_SHIFT: u32 = 60;

/// On a cache line of its own. (Not on two, as `CachePadded` has it, for the sake of small
/// caches, of which there may be many.)
#[derive(Debug)]
#[repr(align(64))]
struct Apart<T>(T);

impl<T> std::ops::Deref for Apart<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// What a first look tells of a key.
#[derive(Debug)]
pub enum Glance<T> {
    /// Its value.
    Found(T),
    /// It is not there.
    Absent,
    /// Nothing: it is to be searched for.
    Unknown,
}

impl<T> Glance<T> {
    /// The value, if there is one.
    #[inline(always)]
    pub fn found(self) -> Option<T> {
        if let Self::Found(value) = self { Some(value) } else { None }
    }
}

/// What all items may weigh together, and how much of it is given out (C3); without a limit
/// nobody keeps that up to date. It changes under the lock of one of the shards, so that who holds
/// them all may set it right.
#[derive(Debug)]
struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
    /// What was taken out of one shard, for an item that will go into another, and is part of
    /// what is used.
    in_flight: AtomicU64,
    /// Held by who takes room from other shards than his own; he takes their locks, one at a time, under it.
    gathering: Lock<()>,
}

impl Budget {
    fn new(limit: u64) -> Self {
        let [limit, used, in_flight] = [limit, 0, 0].map(AtomicU64::new);
        Self { limit, used, in_flight, gathering: Lock::default() }
    }

    #[inline]
    fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// Whether an item may weigh that, if there is nothing else.
    fn allows(&self, weight: u64) -> bool {
        let limit = self.limit();
        weight <= limit && limit != 0
    }

    /// Gives out `weight`, unless that is too much. A full budget is not written to.
    fn reserve(&self, weight: u64) -> bool {
        let limit = self.limit();
        if weight == 0 || limit == UNBOUNDED {
            return true;
        }
        let fits = |used: u64| used.checked_add(weight).filter(|used| *used <= limit);
        self.used.fetch_update(Relaxed, Relaxed, fits).is_ok()
    }

    /// Makes a share that is given out already the whole `weight`, if that is not too much.
    fn complete(&self, share: &mut u64, weight: u64) -> bool {
        let fits = self.reserve(weight.saturating_sub(*share));
        if fits {
            self.release(share.saturating_sub(weight));
            *share = weight;
        }
        fits
    }

    /// Whether nothing goes in that weighs so much, unless what weighs as much goes out.
    #[inline(always)]
    fn is_full(&self, weight: u64) -> bool {
        let (limit, used) = (self.limit(), self.used.load(Relaxed));
        limit != UNBOUNDED && limit.checked_sub(used).is_some_and(|free| free < weight)
    }

    fn release(&self, weight: u64) {
        if weight > 0 && self.limit() != UNBOUNDED {
            self.used.fetch_sub(weight, Relaxed);
        }
    }

    /// Whether more is given out than the limit, since that became less.
    fn is_exceeded(&self) -> bool {
        let limit = self.limit();
        limit != UNBOUNDED && self.used.load(Relaxed) > limit
    }
}

/// What a cache has from its first insertion on.
#[derive(Debug)]
struct Core<P: Policy> {
    /// A power of two of them.
    shards: Box<[Shard<P>]>,
    /// Whether more threads than one are known to read: what is put is shared with them
    /// at once.
    is_shared: AtomicBool,
    budget: Apart<Budget>,
}

impl<P: Policy> Core<P> {
    fn new(shards: usize, limit: u64) -> Result<Self, OutOfMemory> {
        Ok(Self {
            shards: boxed_slice((0..shards).map(|_| Shard::new()))?,
            is_shared: AtomicBool::new(false),
            budget: Apart(Budget::new(limit)),
        })
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Shard<P> {
        // SAFETY: a power of two, so that the mask keeps it in bounds.
        unsafe { self.shards.get_unchecked(self.number(hash)) }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // four bits
    fn number(&self, hash: u64) -> usize {
        (hash >> SHARD_SHIFT) as usize & (self.shards.len() - 1)
    }

    fn lock<G: Reclaim>(&self, hash: u64) -> Locked<'_, G, P> {
        self.shard(hash).lock()
    }

    /// A shard's share of the limit.
    fn room(&self) -> u64 {
        // (There is a power of two of them.)
        self.budget.limit() >> self.shards.len().trailing_zeros()
    }

    /// How many items that weigh nothing a shard may hold.
    fn room_for_weightless(&self) -> u64 {
        self.budget.limit().max(FEWEST_WEIGHTLESS) / self.shards.len() as u64
    }
}

/// The cache.
#[derive(Debug)]
pub struct Cache<T: Counted, C: Clock = Monotonic, G: Reclaim = Epochs, P: Policy = S3Fifo> {
    /// Null before the first insertion.
    core: AtomicPtr<Core<P>>,
    /// It changes while all shards are locked.
    limit: AtomicU64,
    shards: usize,
    /// Whether there are fewer shards if the first item is heavy.
    is_weighed: bool,
    clock: C,
    /// How long an item stays after its time, for [`Cache::stale`] alone.
    grace: u64,
    _owns: PhantomData<(T, G)>,
}

// SAFETY: its words are values, which may be used by all threads and dropped by
// any; the core is made of atomics, and of what locks protect.
unsafe impl<T: Counted, C: Clock, G: Reclaim, P: Policy> Send for Cache<T, C, G, P> {}
// SAFETY: as above.
unsafe impl<T: Counted, C: Clock, G: Reclaim, P: Policy> Sync for Cache<T, C, G, P> {}

impl<T: Counted, G: Reclaim> Cache<T, Monotonic, G> {
    /// An empty cache for items that weigh at most `limit` together. It has
    /// allocated nothing.
    ///
    /// `weighed` tells that weights are not all 1. Of others a shard holds [`FEWEST_IN_SHARD`] at
    /// least, when it is full; of these too, if none weighs more than [`CAUTION`] times what the first one does.
    /// If the first one was a light one among heavy ones, a shard holds few of these, and who goes is
    /// the next of a shard, which may be younger than most others. Only parallel writers are worth that.
    pub fn new(limit: u64, weighed: bool) -> Self {
        let items = match weighed {
            true if PARALLEL => limit / CAUTION,
            true => 0,
            false => limit,
        };
        let mut cache = Self::with(limit, shards_for(items), Monotonic);
        cache.is_weighed = weighed;
        cache
    }
}

/// How many shards a cache for so many items may have, each of which holds [`FEWEST_IN_SHARD`] at least.
fn most_shards(items: u64) -> usize {
    let parts = items / FEWEST_IN_SHARD;
    parts.min(MOST_SHARDS as u64).checked_ilog2().map_or(1, |log| 1 << log)
}

/// How many shards a cache has for so many items.
fn shards_for(items: u64) -> usize {
    let most = most_shards(items);
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = if most > 1 { 2 * processors().next_power_of_two() } else { 1 };
    let fewest = if items >= MANY { FEWEST_OF_MANY.min(most) } else { 1 };
    wanted.clamp(fewest, most)
}

impl<T: Counted, C: Clock, G: Reclaim, P: Policy> Cache<T, C, G, P> {
    /// A cache with so many shards, a power of two of up to 16, and its own clock.
    ///
    /// # Panics
    /// With another number of shards.
    pub fn with(limit: u64, shards: usize, clock: C) -> Self {
        assert!(shards.is_power_of_two() && shards <= MOST_SHARDS, "not {shards} shards");
        let core = AtomicPtr::new(std::ptr::null_mut());
        let limit = AtomicU64::new(limit);
        Self { core, limit, shards, is_weighed: false, clock, grace: 0, _owns: PhantomData }
    }

    /// The same, whose items stay so long after their time.
    #[must_use]
    pub fn with_grace(mut self, grace: u64) -> Self {
        self.grace = grace;
        self
    }

    /// What all items may weigh together.
    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// The time, for deadlines.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// The value of a key, which is noted as used. If its time is over, and its grace, it is
    /// removed and handed to `expired`.
    ///
    /// # Errors
    /// As [`Query::is`].
    #[inline]
    pub fn get<Q: Query<T>>(
        &self,
        query: &Q,
        expired: impl FnMut(Evicted<T>),
    ) -> Result<Option<T>, Q::Error> {
        self.find(query, |found| self.look_and_mark(found), expired)
    }

    /// The value of a key, as [`Self::get`], if the first look tells. No key is compared but
    /// [plainly](Query::is_plainly).
    ///
    /// Most lookups end here, and are as fast as what this leaves out lets them be.
    #[inline(always)]
    pub fn glance<Q: Query<T>>(&self, query: &Q) -> Glance<T> {
        let Some(core) = self.core() else { return Glance::Absent };
        // What was taken in vain is dropped out here.
        let mut in_vain = None;
        let guard = if mutant!("cache.glance.guard") {
            None
        } else {
            let Some(guard) = G::enter_again() else { return Glance::Unknown };
            Some(guard)
        };
        let answer = match core.walk(&guard, query) {
            Step::Found(found) => match self.look_and_mark(found) {
                Look::Found(value) => Glance::Found(value),
                Look::Expired(taken) | Look::Gone(taken) => {
                    in_vain = taken;
                    Glance::Unknown
                }
                Look::Unshared => Glance::Unknown,
            },
            Step::Absent => Glance::Absent,
            Step::Compare(_, key, _) => {
                in_vain = Some(key);
                Glance::Unknown
            }
            Step::Lost(taken) => {
                in_vain = taken;
                Glance::Unknown
            }
            Step::Unshared(_) => Glance::Unknown,
        };
        drop(guard);
        drop(in_vain);
        answer
    }

    /// The value of a key, as [`Self::get`], but not noted.
    ///
    /// # Errors
    /// As [`Query::is`].
    pub fn peek<Q: Query<T>>(
        &self,
        query: &Q,
        expired: impl FnMut(Evicted<T>),
    ) -> Result<Option<T>, Q::Error> {
        self.find(query, |found| self.look(found), expired)
    }

    /// The value of a key whose time is over, and its grace not yet. It is noted as used.
    ///
    /// # Errors
    /// As [`Query::is`].
    pub fn stale<Q: Query<T>>(
        &self,
        query: &Q,
        expired: impl FnMut(Evicted<T>),
    ) -> Result<Option<T>, Q::Error> {
        let found = self.find(query, |found| self.look_past(found), expired)?;
        Ok(found.and_then(|(value, is_stale)| is_stale.then_some(value)))
    }

    /// Whether a key is there.
    ///
    /// # Errors
    /// As [`Query::is`].
    pub fn contains<Q: Query<T>>(
        &self,
        query: &Q,
        expired: impl FnMut(Evicted<T>),
    ) -> Result<bool, Q::Error> {
        let look = |found: Found<'_, P>| {
            let deadline = found.place.deadline();
            if !found.place.is_still(found.stamp) {
                return Look::Gone(None);
            }
            if self.has_passed(deadline, 0) { Look::Expired(None) } else { Look::Found(()) }
        };
        Ok(self.find(query, look, expired)?.is_some())
    }

    /// How many items there are, expired ones included.
    pub fn len(&self) -> usize {
        self.each_shard(|locked| locked.state.policy.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are whose time is not over, once [`Self::expire`] was called.
    ///
    /// # Errors
    /// What `between` returned, which is called now and then, with nothing held.
    pub fn fresh<E: From<OutOfMemory>>(
        &self,
        between: impl FnMut() -> Result<(), E>,
    ) -> Result<usize, E> {
        if self.grace == 0 {
            return Ok(self.len());
        }
        // Nothing takes no memory, however often.
        Ok(self.snapshot(|_| (), between)?.len())
    }

    /// What all items weigh together.
    pub fn weight(&self) -> u128 {
        self.each_shard(|locked| locked.state.policy.weight()).sum()
    }

    /// The bytes that it has allocated.
    pub fn bytes(&self) -> usize {
        let Some(core) = self.core() else { return 0 };
        let shards = size_of_val(&*core.shards);
        size_of::<Core<P>>() + shards + self.each_shard(|locked| locked.bytes()).sum::<usize>()
    }

    /// The keys, some at a time, as of one moment each.
    ///
    /// # Errors
    /// [`OutOfMemory`], or what `between` returned.
    pub fn keys<E: From<OutOfMemory>>(
        &self,
        between: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<T>, E> {
        self.snapshot(|place| copy(place.words().0), between)
    }

    /// The items, likewise.
    ///
    /// # Errors
    /// As [`Self::keys`].
    pub fn items<E: From<OutOfMemory>>(
        &self,
        between: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<(T, T)>, E> {
        let pair = |(key, value)| (copy(key), copy(value));
        self.snapshot(|place| pair(place.words()), between)
    }

    /// The items with their weights and deadlines, likewise.
    ///
    /// # Errors
    /// As [`Self::keys`].
    pub fn whole_items<E: From<OutOfMemory>>(
        &self,
        between: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<Item<T>>, E> {
        let item = |place: &Entry<P>| {
            let (key, value) = place.words();
            let (weight, deadline) = (P::weight_of(place), place.deadline());
            Item { key: copy(key), value: copy(value), weight, deadline }
        };
        self.snapshot(item, between)
    }

    /// A copy of each item that is there all the while, and at most one of others. References
    /// are taken under the lock, which may be done; `between` is called between two pieces,
    /// with nothing held.
    fn snapshot<R, E: From<OutOfMemory>>(
        &self,
        copy: impl Fn(&Entry<P>) -> R,
        mut between: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<R>, E> {
        let now = self.now();
        let mut copies = Vec::new();
        for shard in self.core().into_iter().flat_map(|core| &core.shards) {
            let mut from = Some(Place::default());
            while let Some(place) = from {
                let mut grown = Ok(());
                from = shard.lock::<G>().some(place, PIECE, |place| {
                    if is_good(place, now) {
                        grown = grown.and_then(|()| room_for_one(&mut copies));
                        if grown.is_ok() {
                            let is_claimed = !mutant!("dictionary.copy.unclaimed");
                            let _claim = if is_claimed { place.claim() } else { None };
                            put(&mut copies, copy(place)); // room: above
                        }
                    }
                });
                grown?;
                between()?;
            }
        }
        Ok(copies)
    }

    /// Calls `visit` with each key and value until it fails; for a garbage collector.
    ///
    /// # Safety
    /// No other thread is inside an operation on this cache.
    ///
    /// # Errors
    /// The first error of `visit`.
    pub unsafe fn traverse<E>(&self, mut visit: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        let Some(core) = self.core() else { return Ok(()) };
        for entries in core.shards.iter().map(|shard| &shard.entries) {
            let mut last = NIL;
            // Page by page: along the chains each entry, and most often what it refers to, would have
            // to come from memory, which takes nearly four times as long.
            while let Some((index, place)) = entries.next_live(last) {
                last = index;
                let (key, value) = place.words();
                // SAFETY: nothing is in flight, so what is live has its item (C1, E4).
                unsafe { T::peek(key, &mut visit) }?;
                // SAFETY: as above.
                unsafe { T::peek(value, &mut visit) }?;
            }
        }
        Ok(())
    }

    #[inline]
    fn core(&self) -> Option<&Core<P>> {
        // Acquire: all of it.
        let core = self.core.load(ordering!(Acquire, "cache.core.load"));
        // SAFETY: null, or made by `new_core`; it stays until the cache is dropped.
        unsafe { core.as_ref() }
    }

    /// The core as of now: if there is none, whoever makes it sees what the caller did before.
    fn core_so_far(&self) -> Option<&Core<P>> {
        self.core().or_else(|| {
            // (Not a load: as it writes, the core's publication comes before it, or after it and
            // acquires from it.)
            let null = std::ptr::null_mut();
            let announce = ordering!(AcqRel, "cache.core.announce");
            match self.core.compare_exchange(null, null, announce, Relaxed) {
                Ok(_) => None,
                // Relaxed: it is there by now, and loaded once more.
                Err(_) => self.core(),
            }
        })
    }

    /// `weight` is that of the item that comes, if there is one, and it weighs anything.
    #[inline]
    fn core_or_new(&self, weight: u64) -> Result<&Core<P>, OutOfMemory> {
        self.core().map_or_else(|| self.new_core(weight), Ok)
    }

    #[cold]
    fn new_core(&self, weight: u64) -> Result<&Core<P>, OutOfMemory> {
        let shards = if self.is_weighed {
            // Without such an item nothing is known, and it is not divided.
            let items = self.limit().checked_div(weight).unwrap_or(0) / CAUTION;
            self.shards.min(most_shards(items))
        } else {
            self.shards
        };
        let made = Box::into_raw(boxed(Core::new(shards, self.limit())?)?);
        let publish = ordering!(AcqRel, "cache.core.publish");
        let lost = ordering!(Acquire, "cache.core.lost");
        let core = match self.core.compare_exchange(std::ptr::null_mut(), made, publish, lost) {
            Ok(_) => made,
            Err(others) => {
                // SAFETY: made above, and no other thread has seen it.
                drop(unsafe { Box::from_raw(made) });
                others
            }
        };
        // SAFETY: as in `core`.
        Ok(unsafe { &*core })
    }

    /// Searches for a key until `look` has found what it looks for in its entry, or
    /// there is none. Who comes upon an item whose time and grace are over removes it.
    #[inline(always)]
    fn find<Q: Query<T>, R>(
        &self,
        query: &Q,
        look: impl Fn(Found<'_, P>) -> Look<T, R>,
        expired: impl FnMut(Evicted<T>),
    ) -> Result<Option<R>, Q::Error> {
        let Some(core) = self.core() else { return Ok(None) };
        let mut known = Known::default();
        match core.visit::<T, G, Q, R>(query, &look) {
            Stop::Looked(Look::Found(found), _) => return Ok(Some(found)),
            Stop::Absent => return Ok(None),
            Stop::Compare(life, key, generation) => {
                let equal = query.is(&key)?;
                drop(key);
                if equal && let Some(found) = core.revisit::<T, G, R>(query.hash(), life, &look) {
                    return Ok(Some(found));
                }
                known.note(life, generation, equal)?;
            }
            Stop::Lost(in_vain) | Stop::Looked(Look::Gone(in_vain) | Look::Expired(in_vain), _) => {
                drop(in_vain);
            }
            Stop::Unshared(life) | Stop::Looked(Look::Unshared, life) => {
                core.share::<T>(query.hash(), life);
            }
        }
        self.find_on(core, query, known, &look, expired)
    }

    /// The rest of [`Self::find`].
    #[inline(never)]
    fn find_on<Q: Query<T>, R>(
        &self,
        core: &Core<P>,
        query: &Q,
        mut known: Known,
        look: &impl Fn(Found<'_, P>) -> Look<T, R>,
        mut expired: impl FnMut(Evicted<T>),
    ) -> Result<Option<R>, Q::Error> {
        match core.search_on::<T, G, Q, R>(query, &mut known, look)? {
            Sought::Found(found, _) => Ok(Some(found)),
            Sought::Absent => Ok(None),
            Sought::Expired(life) => {
                if let Some(item) = self.drop_expired(core, query, life, self.grace) {
                    G::tidy();
                    expired(item);
                }
                Ok(None)
            }
        }
    }

    /// Looks at the value of an entry.
    #[inline(always)]
    fn look(&self, found: Found<'_, P>) -> Look<T, T> {
        // SAFETY: words in our entries are of `T`s.
        match unsafe { found.place.value(found.stamp) } {
            Taken::Value(value, deadline) if self.has_passed(deadline, 0) => {
                Look::Expired(Some(value))
            }
            Taken::Value(value, _) => Look::Found(value),
            Taken::Unshared => Look::Unshared,
            Taken::Gone(in_vain) => Look::Gone(in_vain),
        }
    }

    /// The same, and notes that it was used.
    #[inline(always)]
    fn look_and_mark(&self, found: Found<'_, P>) -> Look<T, T> {
        let look = self.look(found);
        if let Look::Found(_) = look {
            found.place.mark();
        }
        look
    }

    /// Looks at the value of an entry whose grace is not over; tells whether its time is.
    fn look_past(&self, found: Found<'_, P>) -> Look<T, (T, bool)> {
        // SAFETY: words in our entries are of `T`s.
        match unsafe { found.place.value(found.stamp) } {
            Taken::Value(value, deadline) if self.has_passed(deadline, self.grace) => {
                Look::Expired(Some(value))
            }
            Taken::Value(value, deadline) => {
                found.place.mark();
                Look::Found((value, self.has_passed(deadline, 0)))
            }
            Taken::Unshared => Look::Unshared,
            Taken::Gone(in_vain) => Look::Gone(in_vain),
        }
    }

    /// Whether a deadline has passed, and so much time after it. The clock is asked only if
    /// there is one.
    #[inline(always)]
    fn has_passed(&self, deadline: u64, grace: u64) -> bool {
        deadline != 0 && self.is_past(deadline.saturating_add(grace))
    }

    #[inline(never)]
    fn is_past(&self, deadline: u64) -> bool {
        deadline <= self.clock.now()
    }

    /// Calls `look` with each shard, locked.
    fn each_shard<R>(&self, look: impl Fn(Locked<'_, G, P>) -> R) -> impl Iterator<Item = R> {
        let shards = self.core().into_iter().flat_map(|core| &core.shards);
        shards.map(move |shard| look(shard.lock()))
    }
}

impl<T: Counted, C: Clock, G: Reclaim, P: Policy> Drop for Cache<T, C, G, P> {
    fn drop(&mut self) {
        self.clear_alone();
        let core = self.core.load(Relaxed);
        if !core.is_null() {
            // SAFETY: made by `new_core`; nobody else is left.
            drop(unsafe { Box::from_raw(core) });
        }
    }
}

/// Whether the time of an item is not over.
fn is_good<P: Policy>(place: &Entry<P>, now: u64) -> bool {
    !(1..=now).contains(&place.deadline())
}

/// Lets all threads take references to what a word owns. The shard's lock is held, and a value's entry claimed.
fn share<T: Counted>(word: usize) {
    // SAFETY: E4, E7, and the lock: the word's own reference stays.
    unsafe { T::peek(word, T::share) };
}

/// A reference beside the one that a word owns. The shard's lock is held, and a value's entry claimed.
fn copy<T: Counted>(word: usize) -> T {
    share::<T>(word);
    // SAFETY: E4, E7, and the lock: the word's own reference stays.
    let copy = unsafe { T::try_acquire(word) };
    copy.expect("what is in the cache is not dead, and was shared")
}
