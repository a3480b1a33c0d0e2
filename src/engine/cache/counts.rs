//! A count for each key: the dictionary's table, whose entries hold the counts.
//!
//! # Idea and source
//! The count of a key is a word of its entry, its [`Cell`]. Whoever adds finds the entry as a
//! reader does, inside a guard, and adds there: no lock, and no reference is counted, for the cell
//! is handed out to nobody.
//!
//! | word | the cell |
//! |---|---|
//! | 0 | is closed: its count was taken away, and its key with it |
//! | odd | the count, who added last, and how often that changed ([`Plain`]) |
//! | even | where its stripes are, and how many |
//!
//! A cell that several threads use all the time is *striped*: its word becomes the address of several
//! counts, each on a cache line of its own, of which a thread uses one, by the number of its slot. The sum
//! is the count. That is D. Lea's `LongAdder` (`Striped64`, JDK 8), for each key that wants it. Two threads
//! may have the same stripe, so an addition there is a compare-and-swap as well.
//!
//! `LongAdder` spreads what threads *collide* for. But where they use many keys they hardly ever do so for
//! one of them, and still each addition fetches the line that another thread has written. So the word tells who
//! added last. If that is often another thread, and [quickly](QUICKLY) so, the key is striped; what is
//! handed over now and then is not, for stripes take several lines.
//!
//! What is rare goes to the *remainder* of the stripes, a wide number under a lock: additions to a stripe
//! that would overflow. So sums are exact, however large.
//!
//! # Invariants
//! Those of the table (C1, C2); and
//! - **K1** No entry is removed alone: all are detached at once, and their pages retired. So inside a
//!   guard an entry that was found is its key's as long as the guard lasts, and no life need be looked at.
//! - **K2** A cell is closed by one swap of its word, and each stripe by one of its own. So each addition, a
//!   compare-and-swap of what is not closed, is in what was taken, or finds the cell closed: then it looks for its
//!   key again. That was detached before, so that it finds none, or a new one.
//! - **K3** Stripes are retired by who closed the word, after that. Who has the address is inside a guard, from before
//!   he loaded the word until he has done with them; or holds the shard's lock, without which nothing is detached and so no
//!   word closed; or closed the word himself, and has not retired them yet.
//! - **K4** The remainder's lock is held by whoever takes, or reads, all stripes; so such passes follow one
//!   another. It is held by attached threads, for one pass that calls nothing.
//! - **K5** With a bound, keys come in and are counted under one lock, so that it is exact. It is taken
//!   after the lock of a shard.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Release` | an addition to a word or a stripe | `Acquire` in reading it | what was done before an addition is seen by whoever finds it in a sum |
//! | `Release` | the stripes, published | `Acquire` of the word | what they begin with |
//! | `AcqRel` | the word or a stripe, taken | the additions, before and after | as for a sum; whoever finds it closed finds no entry any more |
//!
//! # Progress
//! To add to a key that is there is lock-free, comparisons and what overflows a stripe aside: a retry means that another thread
//! added, or took. To read a striped count waits for whoever takes or reads it, for one pass. A new key locks one shard;
//! to take all counts locks all of them, for some instructions.

use std::alloc::Layout;
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::super::atomics::Striped;
use super::super::memory::arena::OutOfMemory;
use super::super::memory::epoch::{Alone, Block, Epochs, Header, Reclaim};
use super::super::memory::growth::{put, room};
use super::super::memory::pointer::Counted;
use super::super::memory::slots::Slot;
use super::super::shim::{
    AtomicI64, AtomicU8, AtomicU64, LINE, Mutex,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    mutant, ordering,
};
use super::entry::{Content, Entry};
use super::lookup::{Found, Known, Look, Query, Sought, mix};
use super::pages::{Detached, Entries};
use super::policy::{Admission, Policy};
use super::shard::{Locked, Namesake, Words, end_detached};
use super::update::own;
use super::{Cache, Core, UNBOUNDED, copy, dictionary::Never};
#[cfg(not(loom))]
use super::{Clock, Monotonic};

/// Only new keys lock a shard.
const SHARDS: usize = if cfg!(loom) { 1 } else { 4 };

/// So many are taken out before they are dropped.
const AT_ONCE: usize = 64;

/// The word of a closed cell, and what a closed stripe holds.
const CLOSED: u64 = 0;
const CLOSED_STRIPE: i64 = i64::MIN;

/// So many hand-overs stripe a cell, if they are quick: so many of them follow one another between two ticks
/// of [`tick`], about a millisecond. What is handed over less often loses a thousandth of a processor by that.
const HANDOVERS: u64 = if cfg!(loom) { 2 } else { 64 };
const QUICKLY: u64 = if cfg!(loom) { 1 } else { 16 };

/// The time; it comes round after a quarter of a second. (By chance, what is handed over slowly passes for quick, but
/// hardly four times in a row.)
#[cfg(not(loom))]
#[allow(clippy::cast_possible_truncation)] // so
fn tick() -> u8 {
    (Monotonic.now() >> 20) as u8
}

#[cfg(loom)]
fn tick() -> u8 {
    0
}

/// How many stripes a cell gets: a power of two, at least 2 and at most 64.
fn stripes() -> usize {
    static STRIPES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    if LINE < ENTRY {
        return 2; // threads do not run at the same time, or it is a model
    }
    *STRIPES.get_or_init(|| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // Twice as many: threads' numbers are not those of processors.
        (2 * processors).next_power_of_two().clamp(4, 64)
    })
}

/// The word of a count that is not striped: from the top, 48 bits of the count, 7 that count hand-overs, 8 of the
/// slot of who added last, and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plain(u64);

const ONE: i64 = 1 << 16;
const HANDOVER: u64 = 1 << 9;
const HANDED: u64 = (1 << 16) - HANDOVER;
/// Who was last, and the mark of such a word.
const LAST: u64 = HANDOVER - 1;

/// Of a thread whose additions these are.
#[inline(always)]
fn last(slot: Slot) -> u64 {
    (u64::from(slot.number()) << 1 | 1) & LAST
}

impl Plain {
    /// If there is room for it.
    fn new(count: i64, slot: Slot) -> Option<Self> {
        Self(last(slot)).plus(count)
    }

    fn count(self) -> i64 {
        self.0.cast_signed() >> ONE.ilog2()
    }

    /// With the count 0.
    fn zero(self) -> Self {
        Self(self.0 & (HANDED | LAST))
    }

    /// The sum, if there is room for it.
    #[inline(always)]
    fn plus(self, n: i64) -> Option<Self> {
        let sum = self.0.cast_signed().checked_add(n.checked_mul(ONE)?)?;
        Some(Self(sum.cast_unsigned()))
    }

    /// The same, added to by that thread last.
    fn handed_to(self, slot: Slot, since: &AtomicU8) -> Self {
        if self.0 & LAST == last(slot) {
            return self;
        }
        let mut handed = (self.0 & HANDED) / HANDOVER + 1;
        if handed.is_multiple_of(QUICKLY) {
            let now = tick();
            // Relaxed: it protects nothing.
            let before = since.load(Relaxed);
            since.store(now, Relaxed);
            if now.wrapping_sub(before) > 1 {
                handed = 0;
            }
        }
        let others = self.0 & !(HANDED | LAST);
        Self(others | (handed.min(HANDOVERS) * HANDOVER) | last(slot))
    }

    /// Whether the cell should be striped.
    fn is_shared(self) -> bool {
        self.0 & HANDED == HANDOVERS * HANDOVER
    }
}

/// What a word says.
enum State<'a> {
    Closed,
    Plain(Plain),
    Striped(Stripes<'a>),
}

/// A wide number. Aligned to 8 bytes, which is all that allocators promise where pointers have 32
/// bits.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(8))]
struct Wide(i128);

/// A part of a count, on a line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Stripe(AtomicI64);

/// What stripes begin with; they follow.
#[derive(Debug)]
#[repr(C, align(64))]
struct Head {
    header: Header,
    /// `None` once the cell is closed.
    remainder: Mutex<Option<Wide>>,
}

/// The stripes of a cell, which are there as long as `'a` lasts (K3).
#[derive(Clone, Copy, Debug)]
struct Stripes<'a> {
    head: NonNull<Head>,
    /// One less than their number.
    mask: usize,
    _there: PhantomData<&'a Head>,
}

impl<'a> Stripes<'a> {
    /// Stripes that add up to a count.
    fn new(count: i64) -> Result<Self, OutOfMemory> {
        let len = stripes();
        let size = size_of::<Head>() + len * size_of::<Stripe>();
        let layout = Layout::from_size_align(size, align_of::<Head>()).ok();
        let block = layout.and_then(Block::new).ok_or(OutOfMemory)?;
        let made = Self { head: block.0.cast(), mask: len - 1, _there: PhantomData };
        // SAFETY: a place in the new block.
        let place = unsafe { &raw mut (*made.head.as_ptr()).remainder };
        // SAFETY: as above.
        unsafe { place.write(Mutex::new(Some(Wide(count.into())))) };
        // Zeros are stripes; loom's types need constructing.
        #[cfg(loom)]
        for number in 0..len {
            // SAFETY: as above.
            unsafe { made.place(number).write(Stripe(AtomicI64::new(0))) };
        }
        Ok(made)
    }

    /// # Safety
    /// The word of a cell that is striped, and whose stripes are there as long as `'a` lasts.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // an address, and a few bits
    unsafe fn at(word: u64) -> Self {
        // Of the mask the last bit is always 1, and that of the word is not.
        let mask = (word as usize % align_of::<Head>()) | 1;
        let address = word as usize & !(align_of::<Head>() - 1);
        let head = std::ptr::with_exposed_provenance_mut(address);
        // SAFETY: the caller's promise.
        let head = unsafe { NonNull::new_unchecked(head) };
        let stripes = Self { head, mask, _there: PhantomData };
        stripes.known().header.check();
        stripes
    }

    fn word(self) -> u64 {
        (self.head.as_ptr().expose_provenance() | self.mask & !1) as u64
    }

    fn bytes(self) -> usize {
        self.known().header.size()
    }

    #[inline(always)]
    fn known(self) -> &'a Head {
        // SAFETY: it is there.
        unsafe { self.head.as_ref() }
    }

    #[inline(always)]
    fn place(self, number: usize) -> *mut Stripe {
        // SAFETY: the stripes begin where the head ends, in the same block.
        let first = unsafe { self.head.add(1) }.cast::<Stripe>().as_ptr();
        // SAFETY: callers stay below their number.
        unsafe { first.add(number) }
    }

    #[inline(always)]
    fn stripe(self, number: usize) -> &'a AtomicI64 {
        // SAFETY: the mask keeps it in bounds; zeros are a stripe, and the block is there.
        unsafe { &(*self.place(number & self.mask)).0 }
    }

    fn all(self) -> impl Iterator<Item = &'a AtomicI64> {
        (0..=self.mask).map(move |number| self.stripe(number))
    }

    /// Adds to the stripe of a slot; false if it is closed.
    #[inline(always)]
    fn add(self, n: i64, slot: Slot) -> bool {
        let stripe = self.stripe(slot.number() as usize);
        // Acquire: if it is closed, that the entry was detached.
        let mut count = stripe.load(Acquire);
        while count != CLOSED_STRIPE || mutant!("counts.stripe.closed_is_open") {
            let next = count.checked_add(n).filter(|next| *next != CLOSED_STRIPE);
            let Some(next) = next else { return self.add_to_remainder(n) };
            // Release: what came before the addition. (No model can miss it, nor the other half: to
            // loom a guard is a fence.)
            match stripe.compare_exchange_weak(count, next, Release, Acquire) {
                Ok(_) => return true,
                Err(found) => count = found,
            }
        }
        false
    }

    #[cold]
    fn add_to_remainder(self, n: i64) -> bool {
        let mut remainder = self.known().remainder.lock();
        let Some(wide) = &mut *remainder else {
            return mutant!("counts.remainder.closed_is_open");
        };
        wide.0 += i128::from(n);
        true
    }

    /// The sum, unless it is closed.
    fn sum(self) -> Option<i128> {
        let remainder = self.known().remainder.lock();
        let Wide(rest) = (*remainder)?;
        // Acquire: what came before the additions.
        let counts = self.all().map(|stripe| stripe.load(Acquire));
        Some(counts.map(i128::from).sum::<i128>() + rest)
    }

    /// Leaves this in the remainder and in each stripe, and returns the sum so far, unless it was
    /// closed (K2).
    fn replace(self, rest: Option<Wide>, count: i64) -> Option<i128> {
        let mut remainder = self.known().remainder.lock();
        let Wide(before) = (*remainder)?; // what is closed stays closed
        *remainder = rest;
        let take = |stripe: &AtomicI64| {
            if mutant!("counts.stripe.taken_in_two_steps") {
                let before = stripe.load(Acquire);
                stripe.store(count, Relaxed);
                return before;
            }
            // As a word.
            stripe.swap(count, AcqRel)
        };
        Some(self.all().map(take).map(i128::from).sum::<i128>() + before)
    }
}

/// The count of a key.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    /// What the word says.
    ///
    /// # Safety
    /// It is this cell's, and the caller one of those whom K3 names, as long as the state lasts.
    #[allow(clippy::unused_self)] // stripes live as long as it
    #[inline(always)]
    unsafe fn read(&self, word: u64) -> State<'_> {
        match word {
            CLOSED => State::Closed,
            odd if odd & 1 == 1 => State::Plain(Plain(odd)),
            // SAFETY: the caller's promise.
            even => State::Striped(unsafe { Stripes::at(even) }),
        }
    }

    #[inline(always)]
    fn load(&self) -> u64 {
        // Acquire: the stripes, or what came before the additions.
        self.0.load(ordering!(Acquire, "counts.word.load"))
    }

    /// Adds; false if it is closed. `since` and `beside` are as for [`Plain::handed_to`] and [`Self::publish`].
    ///
    /// # Errors
    /// [`OutOfMemory`], if there is no room without stripes.
    #[inline(always)]
    fn add(
        &self,
        n: i64,
        slot: Slot,
        since: &AtomicU8,
        beside: &Beside,
    ) -> Result<bool, OutOfMemory> {
        let word = self.load();
        if word & LAST == last(slot) {
            if let Some(next) = Plain(word).plus(n)
                && self.count(word, next).is_ok()
            {
                return Ok(true);
            }
        // SAFETY: K3: callers are inside a guard.
        } else if let State::Striped(stripes) = unsafe { self.read(word) } {
            return Ok(stripes.add(n, slot));
        }
        self.add_on(n, slot, since, beside)
    }

    /// One addition to a count that is not striped.
    #[inline(always)]
    fn count(&self, word: u64, next: Plain) -> Result<u64, u64> {
        // Release: what came before the addition; as in a stripe. Acquire: the stripes.
        self.0.compare_exchange(word, next.0, Release, Acquire)
    }

    /// The rest of [`Self::add`]: another thread is there, or there is no room in the word.
    #[inline(never)]
    fn add_on(
        &self,
        n: i64,
        slot: Slot,
        since: &AtomicU8,
        beside: &Beside,
    ) -> Result<bool, OutOfMemory> {
        let mut word = self.load();
        loop {
            // SAFETY: K3: callers are inside a guard.
            let plain = match unsafe { self.read(word) } {
                State::Closed if mutant!("counts.word.closed_is_open") => return Ok(true),
                State::Closed => return Ok(false),
                State::Striped(stripes) => return Ok(stripes.add(n, slot)),
                State::Plain(plain) => plain.handed_to(slot, since),
            };
            let next = plain.plus(n);
            if (plain.is_shared() || next.is_none())
                && let Ok(stripes) = Stripes::new(plain.count())
            {
                word = self.publish(word, stripes, beside);
                continue;
            }
            match self.count(word, next.ok_or(OutOfMemory)?) {
                Ok(_) => return Ok(true),
                Err(found) => word = found,
            }
        }
    }

    /// Stripes the cell, if it still has that word; returns the word that it has then.
    fn publish(&self, word: u64, stripes: Stripes<'_>, beside: &Beside) -> u64 {
        // Release: what they begin with.
        let release = ordering!(Release, "counts.stripes.publish");
        match self.0.compare_exchange(word, stripes.word(), release, Acquire) {
            Ok(_) => {
                beside.has(stripes);
                stripes.word()
            }
            Err(found) => {
                // SAFETY: made by the caller, and no other thread has seen them.
                unsafe { Block(stripes.head.cast()).free() };
                found
            }
        }
    }

    /// The count, unless it is closed.
    fn sum(&self) -> Option<i128> {
        // SAFETY: K3: callers are inside a guard, or hold the shard's lock.
        match unsafe { self.read(self.load()) } {
            State::Closed => None,
            State::Plain(plain) => Some(plain.count().into()),
            State::Striped(stripes) => stripes.sum(),
        }
    }

    /// Starts again at 0; returns the count so far, unless it is closed.
    fn reset(&self) -> Option<i128> {
        let mut word = self.load();
        loop {
            // SAFETY: K3: callers are inside a guard.
            match unsafe { self.read(word) } {
                State::Closed => return None,
                State::Striped(stripes) => return stripes.replace(Some(Wide(0)), 0),
                State::Plain(plain) => {
                    match self.0.compare_exchange(word, plain.zero().0, AcqRel, Acquire) {
                        Ok(_) => return Some(plain.count().into()),
                        Err(found) => word = found,
                    }
                }
            }
        }
    }

    /// Closes it, and returns the count (K2). The stripes are retired by `R`.
    fn close<R: Reclaim>(&self, beside: &Beside) -> i128 {
        let word = if mutant!("counts.word.closed_in_two_steps") {
            let word = self.load();
            self.0.store(CLOSED, Relaxed);
            word
        } else {
            // Acquire: as for a sum. Release: that the entry was detached, so that who finds it closed looks
            // elsewhere. (No model can miss that: they would look again.)
            self.0.swap(CLOSED, AcqRel)
        };
        // SAFETY: K3: closed just now, and retired below.
        match unsafe { self.read(word) } {
            State::Closed => 0,
            State::Plain(plain) => plain.count().into(),
            State::Striped(stripes) => {
                beside.has_no_more(stripes);
                let sum = stripes.replace(None, CLOSED_STRIPE);
                let block = Block(stripes.head.cast());
                if mutant!("counts.stripes.freed_at_once") {
                    // SAFETY: none, that is the fault.
                    unsafe { block.free() };
                } else {
                    // SAFETY: K3.
                    unsafe { R::retire(block) };
                }
                sum.expect("only who closed the word closes the stripes")
            }
        }
    }
}

/// The bytes that all stripes take. (Whoever closes a cell may be there before who striped it.)
#[derive(Debug, Default)]
struct Beside(AtomicI64);

impl Beside {
    fn has(&self, stripes: Stripes<'_>) {
        self.0.fetch_add(stripes.bytes().cast_signed() as i64, Relaxed);
    }

    fn has_no_more(&self, stripes: Stripes<'_>) {
        self.0.fetch_sub(stripes.bytes().cast_signed() as i64, Relaxed);
    }

    fn bytes(&self) -> usize {
        usize::try_from(self.0.load(Relaxed)).unwrap_or_default()
    }
}

/// The word that a new key's cell begins with.
struct Begun<'a>(u64, &'a Beside);

impl<'a> Begun<'a> {
    fn new(n: i64, slot: Slot, beside: &'a Beside) -> Result<Self, OutOfMemory> {
        if let Some(Plain(word)) = Plain::new(n, slot) {
            return Ok(Self(word, beside));
        }
        let stripes = Stripes::new(n)?;
        beside.has(stripes);
        Ok(Self(stripes.word(), beside))
    }

    /// The word, which owns its stripes.
    fn into_word(self) -> u64 {
        std::mem::ManuallyDrop::new(self).0
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        Cell(AtomicU64::new(self.0)).close::<Alone>(self.1);
    }
}

/// What an entry has for its count.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Note {
    cell: Cell,
    _rest: Rest,
}

/// Fills an entry up to a line, on which it begins then, as its page does: two keys of which each is one
/// thread's are apart, though nobody could see that they need to be.
type Rest = [u8; if LINE < ENTRY { 0 } else { ENTRY - BEFORE - size_of::<Cell>() }];
const ENTRY: usize = 64;
/// What comes before the note.
const BEFORE: usize = 2 * size_of::<usize>() + 24;

const _: () = assert!(LINE < ENTRY || size_of::<Entry<Counting>>() == ENTRY, "an entry is a line");

/// No key is evicted. An entry has its count, and what a search needs.
#[derive(Debug, Default)]
pub(super) struct Counting {
    len: usize,
}

impl Policy for Counting {
    /// When hand-overs were looked at last.
    type Uses = AtomicU8;
    type Note = Note;

    #[cfg(loom)]
    fn zeroed() -> (AtomicU8, Note) {
        (AtomicU8::new(0), Note { cell: Cell(AtomicU64::new(CLOSED)), _rest: [] })
    }

    /// What the item weighs is the word that its cell begins with.
    fn begin(entry: &Entry<Self>, content: &Content) {
        // Relaxed: it comes with the stamp.
        entry.note.cell.0.store(content.weight, Relaxed);
    }

    fn len(&self) -> usize {
        self.len
    }

    fn admit(&mut self, _: &Entries<Self>, _: u32, _: &Entry<Self>, _: &Admission) {
        self.len += 1;
    }

    fn remove(&mut self, _: &Entries<Self>, _: &Entry<Self>) {
        debug_assert!(false, "K1: no entry is removed alone");
    }
}

/// The counts.
#[derive(Debug)]
pub struct Counts<T: Counted, G: Reclaim = Epochs> {
    table: Cache<T, Never, G, Counting>,
    /// How many keys there may be, and how many there are (K5).
    most: Option<u64>,
    keys: Mutex<u64>,
    /// What was added to keys for which there was no room.
    other: Striped<1>,
    beside: Beside,
}

impl<T: Counted, G: Reclaim> Counts<T, G> {
    /// No counts yet, and at most so many.
    pub fn new(most: Option<u64>) -> Self {
        let table = Cache::with(UNBOUNDED, SHARDS, Never);
        let (other, beside) = (Striped::default(), Beside::default());
        Self { table, most, keys: Mutex::new(0), other, beside }
    }

    /// How many keys there may be.
    pub fn most(&self) -> Option<u64> {
        self.most
    }

    /// Adds to the count of a key, which begins at 0, for the running thread, which has this slot. `key`
    /// makes references to the key, and is called only if need be.
    ///
    /// # Errors
    /// As [`Query::is`], or [`OutOfMemory`]; then nothing was added.
    #[inline]
    pub fn add<Q: Query<T>>(
        &self,
        query: &Q,
        n: i64,
        slot: Slot,
        key: impl Fn() -> T,
    ) -> Result<(), Q::Error> {
        match self.table.find(query, |found| self.look_and_add(found, n, slot), |_| ())? {
            Some(added) => Ok(added?),
            None => self.begin(self.table.core_or_new(1)?, query, n, slot, key),
        }
    }

    /// Adds to what was added to keys for which there was no room.
    pub fn add_other(&self, n: i64, slot: Slot) {
        if !self.other.try_add(slot, 0, n) {
            self.other.add_slowly(slot, 0, n);
        }
    }

    /// The rest of [`Self::add`]: the key was not there.
    #[cold]
    #[inline(never)]
    fn begin<Q: Query<T>>(
        &self,
        core: &Core<Counting>,
        query: &Q,
        n: i64,
        slot: Slot,
        key: impl Fn() -> T,
    ) -> Result<(), Q::Error> {
        let hash = mix(query.hash());
        let mut known = Known::default();
        loop {
            let look = |found: Found<'_, Counting>| self.look_and_add(found, n, slot);
            let sought = core.look_up::<T, G, Q, _>(query, &mut known, &look)?;
            if let Sought::Found(added, _) = sought {
                return Ok(added?);
            }
            // What is not used is dropped once the lock is released: it is declared later.
            let begun = Begun::new(n, slot, &self.beside)?;
            let (name, again) = (key(), key());
            if core.is_shared.load(Relaxed) {
                name.share();
            }
            let mut locked = core.lock::<G>(hash);
            if !matches!(locked.namesake(query, &known), Namesake::Absent) {
                continue;
            }
            locked.reserve(0)?;
            let mut keys = self.most.map(|most| (most, self.keys.lock()));
            if let Some((most, keys)) = &mut keys {
                if **keys >= *most && !mutant!("counts.bound.unchecked") {
                    break;
                }
                **keys += 1;
            }
            let content = Content {
                key: name.into_raw(),
                // The table wants a value: a key has no other.
                value: again.into_raw(),
                hash,
                by_hash: query.by_hash(),
                deadline: 0,
                weight: begun.into_word(),
            };
            locked.insert(&content, &Admission { returns: false, room: 0 });
            drop(keys);
            drop(locked);
            G::tidy();
            return Ok(());
        }
        self.add_other(n, slot);
        Ok(())
    }

    /// Adds to a key's cell.
    #[inline(always)]
    fn look_and_add<R>(
        &self,
        found: Found<'_, Counting>,
        n: i64,
        slot: Slot,
    ) -> Look<R, Result<(), OutOfMemory>> {
        let Entry { uses, note, .. } = found.place;
        match note.cell.add(n, slot, uses, &self.beside) {
            Ok(true) => Look::Found(Ok(())),
            Ok(false) => Look::Gone(None),
            Err(error) => Look::Found(Err(error)),
        }
    }

    /// The count of a key; 0 if there is none.
    ///
    /// # Errors
    /// As [`Query::is`].
    pub fn get<Q: Query<T>>(&self, query: &Q) -> Result<i128, Q::Error> {
        self.look(query, Cell::sum)
    }

    /// Has the count of a key start again at 0; returns what it was. The key stays.
    ///
    /// # Errors
    /// As [`Query::is`].
    pub fn reset<Q: Query<T>>(&self, query: &Q) -> Result<i128, Q::Error> {
        self.look(query, Cell::reset)
    }

    fn look<Q: Query<T>>(
        &self,
        query: &Q,
        look: impl Fn(&Cell) -> Option<i128>,
    ) -> Result<i128, Q::Error> {
        let look = |found: Found<'_, Counting>| {
            look(&found.place.note.cell).map_or(Look::Gone(None), Look::Found)
        };
        Ok(self.table.find(query, look, |_| ())?.unwrap_or(0))
    }

    /// What was added to keys for which there was no room.
    pub fn other(&self) -> i128 {
        self.other.sum(0)
    }

    /// Whether a key is there.
    ///
    /// # Errors
    /// As [`Query::is`].
    pub fn contains<Q: Query<T>>(&self, query: &Q) -> Result<bool, Q::Error> {
        self.table.contains(query, |_| ())
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        // K5: exact, beside a reset, too.
        let keys = self.most.map(|_| *self.keys.lock());
        keys.map_or_else(|| self.table.len(), |keys| usize::try_from(keys).unwrap_or(usize::MAX))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The bytes that it has allocated.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.other.bytes() + self.beside.bytes()
    }

    /// The keys and counts, shard by shard.
    ///
    /// # Errors
    /// [`OutOfMemory`], or what `between` returned.
    pub fn items<E: From<OutOfMemory>>(
        &self,
        between: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<(T, i128)>, E> {
        // Under the lock, so that it is not closed.
        let item = |place: &Entry<Counting>| {
            (copy(place.words().0), place.note.cell.sum().unwrap_or_default())
        };
        self.table.snapshot(item, between)
    }

    /// Takes all keys and counts away, as of one moment; calls `step` for each, with nothing held.
    ///
    /// # Errors
    /// [`OutOfMemory`]; then all are still there.
    pub fn take(&self, step: impl FnMut()) -> Result<Vec<(T, i128)>, OutOfMemory> {
        let Some(core) = self.table.core() else { return Ok(Vec::new()) };
        // Always in the same order, so that two who take do not wait for each other.
        let mut locked: [_; SHARDS] = std::array::from_fn(|shard| core.shards[shard].lock::<G>());
        let len = locked.iter().map(|locked| locked.state.policy.len()).sum();
        let mut taken = room(len)?;
        let detached = locked.each_mut().map(Locked::detach);
        *self.keys.lock() = 0;
        drop(locked);
        // Room: above.
        self.end::<G>(detached, |key, count| put(&mut taken, (key, count)), step);
        Ok(taken)
    }

    /// Forgets everything; calls `step` for each key, with nothing held.
    pub fn clear(&self, step: impl FnMut()) {
        self.clear_by::<G>(step);
    }

    fn clear_by<R: Reclaim>(&self, mut step: impl FnMut()) {
        for shard in self.table.core().into_iter().flat_map(|core| &core.shards) {
            let mut locked = shard.lock::<R>();
            *self.keys.lock() -=
                if self.most.is_some() { locked.state.policy.len as u64 } else { 0 };
            let detached = locked.detach();
            drop(locked);
            self.end::<R>([detached], |_, _| (), &mut step);
        }
    }

    /// Ends what was detached: closes the cells, and hands keys and counts to `sink`.
    fn end<R: Reclaim>(
        &self,
        detached: impl IntoIterator<Item = Detached<Counting>>,
        mut sink: impl FnMut(T, i128),
        mut step: impl FnMut(),
    ) {
        for mut detached in detached {
            let mut more = true;
            while more {
                let mut some: [Option<(Words, i128)>; AT_ONCE] = [const { None }; AT_ONCE];
                let mut places = some.iter_mut();
                more = detached.next::<R>(AT_ONCE, |place| {
                    if let Some(words) = end_detached(place) {
                        let next = places.next().expect("so many at once");
                        *next = Some((words, place.note.cell.close::<R>(&self.beside)));
                    }
                });
                for (words, count) in some.iter().flatten() {
                    let (key, again) = own::<T>(words);
                    sink(key, *count);
                    drop(again);
                    step();
                }
            }
            R::tidy();
        }
    }

    /// Calls `visit` with each key until it fails, for each reference to it; for a garbage
    /// collector.
    ///
    /// # Safety
    /// No other thread is inside an operation on these counts.
    ///
    /// # Errors
    /// The first error of `visit`.
    pub unsafe fn traverse<E>(&self, visit: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        // SAFETY: the caller's promise.
        unsafe { self.table.traverse(visit) }
    }
}

impl<T: Counted, G: Reclaim> Drop for Counts<T, G> {
    fn drop(&mut self) {
        // For the stripes: of those the table knows nothing.
        self.clear_by::<Alone>(|| ());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Block, CLOSED_STRIPE, Stripes, Wide};

    /// By threads that found the stripes before they were closed: loom would need three of them, and
    /// minutes.
    #[test]
    fn what_is_closed_stays_closed() {
        let stripes = Stripes::new(5).expect("memory");
        assert_eq!(stripes.replace(None, CLOSED_STRIPE), Some(5));
        for _ in 0..2 {
            assert_eq!(stripes.replace(Some(Wide(0)), 0), None);
            assert_eq!(stripes.sum(), None);
        }
        // SAFETY: nobody else has them.
        unsafe { Block(stripes.head.cast()).free() };
    }
}
