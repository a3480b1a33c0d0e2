//! The cache under loom; `loom_int.rs` says what that is.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_cache
//! ```
//!
//! Under loom the first table has one bucket, so that all keys share a chain until
//! the second item doubles it, and the arena's first segment two entries.
#![cfg(loom)]

#[path = "../common/counted.rs"]
mod counted;
#[allow(dead_code)] // other tests use the rest
#[path = "../common/outcomes.rs"]
mod outcomes;
#[allow(dead_code)] // other tests use the rest
#[path = "../common/sought.rs"]
mod sought;

use std::array;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counted::Value;
use lockfree::engine::cache::{Cache, Item, Monotonic, Removed, UNBOUNDED};
use lockfree::engine::{Counted, Pointer};
use lockfree::shim::{AtomicBool, Ordering::SeqCst};
use outcomes::{PREEMPTIONS, outcomes_of};
use sought::{FOREVER, KEYS, Map, Numbered, PLAIN};

/// A counted value, or a key of those that are compared by a look; or another key, which is always
/// there: that saves most of a model's steps, and what a key's references go through, a value's do too.
#[derive(Debug)]
enum Thing {
    Key(usize),
    Counted(Value),
}

impl Numbered for Thing {
    fn number(&self) -> usize {
        match self {
            Self::Key(number) => *number,
            Self::Counted(value) => value.number(),
        }
    }
}

// SAFETY: an address is not 0, nor odd; `from_raw` is the inverse.
unsafe impl Pointer for Thing {
    fn into_raw(self) -> usize {
        match self {
            Self::Key(number) => 2 * number + 1,
            Self::Counted(value) => value.into_raw(),
        }
    }

    unsafe fn from_raw(word: usize) -> Self {
        if word % 2 == 1 {
            return Self::Key(word / 2);
        }
        // SAFETY: the caller's promise.
        Self::Counted(unsafe { Value::from_raw(word) })
    }

    unsafe fn peek<R>(word: usize, look: impl FnOnce(&Self) -> R) -> R {
        // SAFETY: the caller's promise.
        let thing = unsafe { Self::from_raw(word) };
        look(&std::mem::ManuallyDrop::new(thing))
    }
}

// SAFETY: keys do not die, and values are counted.
unsafe impl Counted for Thing {
    fn share(&self) {
        if let Self::Counted(value) = self {
            value.share();
        }
    }

    unsafe fn try_acquire(word: usize) -> Option<Self> {
        if word % 2 == 1 {
            return Some(Self::Key(word / 2));
        }
        // SAFETY: the caller's promise.
        unsafe { Value::try_acquire(word) }.map(Self::Counted)
    }
}

type Memory = counted::Memory<9>;
type Things = Map<Thing, Monotonic, Box<dyn Fn(usize) -> Thing + Send + Sync>>;

/// What a thread does, with keys and values.
#[derive(Clone, Copy, Debug)]
enum Op {
    Get(usize),
    Glance(usize),
    Put(usize, usize),
    /// What has expired already.
    PutExpired(usize, usize),
    GetOrPut(usize, usize),
    Remove(usize),
    Clear,
}
use Op::{Clear, Get, GetOrPut, Glance, Put, PutExpired, Remove};

impl Op {
    fn run(self, map: &Things) -> Option<usize> {
        match self {
            Get(key) => map.get(key),
            Glance(key) => map.glance(key),
            Put(key, value) => {
                map.put(key, value);
                None
            }
            PutExpired(key, value) => {
                map.put_weighed(key, value, 1, 1);
                None
            }
            GetOrPut(key, value) => map.get_or_put(key, value, FOREVER),
            Remove(key) => map.remove(key),
            Clear => {
                map.cache.clear(|| ());
                None
            }
        }
    }

    fn meaning(self, map: &mut BTreeMap<usize, usize>) -> Option<usize> {
        match self {
            Get(key) | Glance(key) => map.get(&key).copied(),
            Put(key, value) => {
                map.insert(key, value);
                None
            }
            PutExpired(key, _) => {
                map.remove(&key);
                None
            }
            GetOrPut(key, value) => {
                let found = map.get(&key).copied();
                map.entry(key).or_insert(value);
                found
            }
            Remove(key) => map.remove(&key),
            Clear => {
                map.clear();
                None
            }
        }
    }
}

/// What each operation of each thread returned, and what was left.
type Outcome<const THREADS: usize> = ([Vec<Option<usize>>; THREADS], Vec<(usize, usize)>);

/// How a model's keys are compared.
type Hash = fn(usize) -> (u64, bool);

/// Each key has its own hash, and that is what counts. The cache mixes hashes, by a
/// multiplication among others; this undoes it, so that the key is the mixed hash,
/// and its lower bits are the bucket's number.
fn by_hash(key: usize) -> (u64, bool) {
    const INVERSE: u64 = inverse(0x9E37_79B9_7F4A_7C15);
    ((key as u64).wrapping_mul(INVERSE), true)
}

/// What times `odd` is 1: each step of Newton's doubles the bits that are right.
const fn inverse(odd: u64) -> u64 {
    let (mut x, mut steps) = (odd, 0);
    while steps < 5 {
        x = x.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(x)));
        steps += 1;
    }
    x
}

/// All keys have one hash, and are compared.
fn by_comparison(_: usize) -> (u64, bool) {
    (0, false)
}

fn run<const THREADS: usize>(
    preemptions: usize,
    limit: u64,
    hash: Hash,
    start: &'static [Op],
    threads: [&'static [Op]; THREADS],
) -> BTreeSet<Outcome<THREADS>> {
    let map = move || {
        let memory = Arc::new(Memory::of_unshared());
        let values = Arc::clone(&memory);
        let make = move |number| match number {
            number if KEYS.contains(&number) => Thing::Key(number),
            _ => Thing::Counted(values.value(number)),
        };
        let make = Box::new(make) as Box<_>;
        let map = Map { cache: Cache::with(limit, 1, Monotonic), make, hash };
        for op in start {
            op.run(&map);
        }
        (map, memory)
    };
    let run = |ops: &'static [Op]| {
        move |(map, _): &(Things, Arc<Memory>)| ops.iter().map(|op| op.run(map)).collect()
    };
    let end = |(map, memory): &(Things, Arc<Memory>)| {
        let left = map.items();
        map.cache.clear(|| ());
        assert_eq!(memory.live(), 0, "a reference was lost, or dropped twice");
        left
    };
    outcomes_of(Some(preemptions), map, threads.map(run), end)
}

/// The outcomes are those of the operations one at a time, in every order.
fn assert_atomic<const THREADS: usize>(
    hash: Hash,
    start: &'static [Op],
    threads: [&'static [Op]; THREADS],
) {
    assert_atomic_within(PREEMPTIONS, hash, start, threads);
}

/// The same, with so many preemptions.
fn assert_atomic_within<const THREADS: usize>(
    preemptions: usize,
    hash: Hash,
    start: &'static [Op],
    threads: [&'static [Op]; THREADS],
) {
    let seen = run(preemptions, UNBOUNDED, hash, start, threads);
    let mut items = BTreeMap::new();
    for op in start {
        op.meaning(&mut items);
    }
    let expected = one_at_a_time(&items, threads, array::from_fn(|_| Vec::new()));
    let wrong: Vec<_> = seen.difference(&expected).collect();
    let missing: Vec<_> = expected.difference(&seen).collect();
    let verdict = (wrong.as_slice(), missing.as_slice());
    assert_eq!(verdict, (&[][..], &[][..]), "wrong, missing in {start:?} {threads:?}");
}

/// The outcomes of all orders in which operations may follow on `items`, and on what
/// the threads have `returned`.
fn one_at_a_time<const THREADS: usize>(
    items: &BTreeMap<usize, usize>,
    threads: [&[Op]; THREADS],
    returned: [Vec<Option<usize>>; THREADS],
) -> BTreeSet<Outcome<THREADS>> {
    let mut outcomes = BTreeSet::new();
    for (i, ops) in threads.iter().enumerate() {
        let Some((op, rest)) = ops.split_first() else { continue };
        let (mut items, mut threads, mut returned) = (items.clone(), threads, returned.clone());
        threads[i] = rest;
        returned[i].push(op.meaning(&mut items));
        outcomes.append(&mut one_at_a_time(&items, threads, returned));
    }
    if outcomes.is_empty() {
        outcomes.insert((returned, items.clone().into_iter().collect()));
    }
    outcomes
}

/// Both make what a cache has from its first insertion on.
#[test]
fn the_first_insertions() {
    assert_atomic(by_hash, &[], [&[Put(0, 10)], &[Put(0, 20)]]);
}

/// A map without a limit, in one shard, whose values are counted by nobody.
fn uncounted() -> Things {
    let make = Box::new(Thing::Key) as Box<_>;
    Map { cache: Cache::with(UNBOUNDED, 1, Monotonic), make, hash: by_hash as Hash }
}

/// A map, and whether what is put may go in.
type Guarded = (Things, AtomicBool);

fn put_if(map: &Things, value: usize, admit: impl Fn() -> bool) {
    let (key, value) = (Thing::Key(0), Thing::Key(value));
    let item = Item { key, value, weight: 1, deadline: FOREVER };
    map.cache.put_if(&map.sought(0), item, &mut Removed::default(), admit).unwrap();
}

/// Whoever forbids an insertion, and settles, finds what went in; nothing comes later.
#[test]
fn what_is_no_longer_admitted_does_not_come_later() {
    let cache = || {
        let map = uncounted();
        map.put(1, 1);
        (map, AtomicBool::new(true))
    };
    let insert = |(map, is_admitted): &Guarded| {
        put_if(map, 2, || is_admitted.load(SeqCst));
        None
    };
    let forbid = |(map, is_admitted): &Guarded| {
        is_admitted.store(false, SeqCst);
        map.cache.settle(map.sought(0).hash);
        map.get(0)
    };
    let threads: [fn(&Guarded) -> Option<usize>; 2] = [insert, forbid];
    let seen = outcomes_of(Some(PREEMPTIONS), cache, threads, |(map, _)| map.get(0));
    assert_eq!(seen, BTreeSet::from([([None, None], None), ([None, Some(2)], Some(2))]));
}

/// Who begins to load a key beside a writer, who takes his admission away under the lock, finds what was written, or
/// puts it never, or before.
#[test]
fn a_load_that_begins_as_its_key_is_written_is_not_kept() {
    let cache = || (uncounted(), AtomicBool::new(false));
    let write = |(map, is_admitted): &Guarded| {
        put_if(map, 1, || {
            is_admitted.store(false, SeqCst);
            true
        });
        None
    };
    let load = |(map, is_admitted): &Guarded| {
        is_admitted.store(true, SeqCst);
        map.cache.catch_up(map.sought(0).hash);
        let found = map.get(0);
        if found.is_none() {
            put_if(map, 2, || is_admitted.load(SeqCst));
        }
        found
    };
    let threads: [fn(&Guarded) -> Option<usize>; 2] = [write, load];
    let seen = outcomes_of(Some(PREEMPTIONS), cache, threads, |(map, _)| map.get(0));
    assert_eq!(seen, BTreeSet::from([([None, None], Some(1)), ([None, Some(1)], Some(1))]));
}

/// Who sets the limit counts what went in before, and who puts later keeps to it.
#[test]
fn the_limit_is_set_while_an_item_goes_in() {
    let cache = || {
        let map = uncounted();
        map.put(0, 0);
        map
    };
    let insert = |map: &Things| drop(map.put(1, 1));
    let bound = |map: &Things| map.cache.set_limit(1, drop).expect("there is memory");
    let threads: [fn(&Things); 2] = [insert, bound];
    let seen = outcomes_of(Some(PREEMPTIONS), cache, threads, |map| {
        let len = map.cache.len();
        map.put(2, 2);
        (len, map.cache.len())
    });
    assert_eq!(seen, BTreeSet::from([([(), ()], (1, 1))]));
}

#[test]
fn an_insertion_is_seen_whole_or_not_at_all() {
    assert_atomic(by_hash, &[], [&[Put(0, 10)], &[Get(0)]]);
    assert_atomic(by_comparison, &[Put(0, 10), Remove(0)], [&[Put(0, 20)], &[Get(0), Get(0)]]);
}

/// The memory of the first value is used for the third.
#[test]
fn a_replacement_is_seen_whole_or_not_at_all() {
    assert_atomic(by_hash, &[Put(0, 10)], [&[Put(0, 20), Put(0, 30)], &[Get(0)]]);
}

#[test]
fn what_is_removed_is_removed_once() {
    assert_atomic(by_hash, &[Put(0, 10)], [&[Remove(0)], &[Remove(0)]]);
    assert_atomic(by_comparison, &[Put(0, 10)], [&[Remove(0)], &[Put(0, 20)]]);
}

/// The entry that a reader stands on is used anew for another key.
#[test]
fn an_entry_may_be_used_anew_under_a_reader() {
    assert_atomic(by_hash, &[Put(0, 10)], [&[Remove(0), Put(1, 20)], &[Get(0)]]);
    assert_atomic(by_hash, &[Put(0, 10)], [&[Remove(0), Put(1, 20)], &[Get(1)]]);
    assert_atomic(by_comparison, &[Put(0, 10)], [&[Remove(0), Put(1, 20)], &[Get(1)]]);
}

/// The first in the chain is taken out, and put into another chain.
#[test]
fn what_is_there_all_the_while_is_found() {
    assert_atomic(by_hash, &[Put(0, 10), Put(2, 20)], [&[Remove(2), Put(1, 30)], &[Get(0)]]);
}

/// The last in the chain is taken out, and used anew at the head. A reader who took it for what it
/// was before would find the end of the chain behind it.
#[test]
fn an_entry_used_anew_at_the_head_hides_nothing() {
    assert_atomic(by_hash, &[Put(0, 1), Put(2, 2)], [&[Remove(0), Put(4, 3)], &[Get(2)]]);
}

/// Room for a third item is made in the entry of the first in the chain, and that goes to another. A
/// reader who took it for what it was before would find the end of that chain behind it. (The use
/// saves the last.)
#[test]
fn an_entry_used_anew_in_another_chain_hides_nothing() {
    let start = &[Put(0, 10), Put(2, 20), Get(0)];
    let seen = run(PREEMPTIONS, 2, by_hash, start, [&[Put(1, 30)], &[Get(0)]]);
    let only = ([vec![None], vec![Some(10)]], vec![(0, 10), (1, 30)]);
    assert_eq!(seen, BTreeSet::from([only]));
}

/// The values are always there, as small integers of Python's are: to take a reference to one
/// orders nothing, and that the life has changed is seen by what was filled in alone. (By another
/// thread than ended that life, whose fence would order its own stores, too: E8. No thread need be
/// preempted for that: what is read is old.)
#[test]
fn the_fill_of_the_next_life_is_not_this_ones() {
    let (end, anew) = (&[Remove(0)][..], &[Put(1, 2)][..]);
    assert_atomic_within(0, by_hash, &[Put(0, 1)], [end, anew, &[Get(0)]]);
    assert_atomic_within(0, by_hash, &[Put(0, 1)], [end, anew, &[Get(1)]]);
    assert_atomic_within(0, by_comparison, &[Put(0, 1)], [end, anew, &[Get(1)]]);
}

/// What has expired is not found, whatever deadline the entry gets in its next life.
#[test]
fn the_deadline_of_the_next_life_is_not_this_ones() {
    let (end, anew) = (&[Remove(0)][..], &[Put(1, 2)][..]);
    assert_atomic_within(0, by_hash, &[PutExpired(0, 1)], [end, anew, &[Get(0)]]);
}

#[test]
fn the_table_grows_under_a_reader() {
    assert_atomic(by_hash, &[Put(0, 10)], [&[Put(1, 20)], &[Get(0)]]);
    // Twice, so that the links of the first generation are written anew.
    let five = [&[Put(1, 10), Put(2, 10), Put(3, 10)][..], &[Get(0)]];
    assert_atomic(by_hash, &[Put(0, 10), Put(4, 10)], five);
}

/// The entry that a removal makes the first in its chain lies in memory that the
/// reader has never seen.
#[test]
fn an_entry_uncovered_by_a_removal_is_whole() {
    let start = &[Put(0, 10), Put(1, 10), Put(2, 10), Put(3, 10), Put(4, 10), Put(5, 10)];
    assert_atomic(by_hash, start, [&[Put(8, 20), Put(16, 20), Remove(16)], &[Get(8)]]);
}

/// The first page has two entries, and is given back when both are free and a third, on
/// another page, was freed later.
#[test]
fn a_page_goes_under_a_reader() {
    let start = &[Put(0, 10), Put(1, 10), Put(2, 10)];
    assert_atomic(by_hash, start, [&[Remove(0), Remove(1), Remove(2)], &[Get(0)]]);
}

/// The second page, of four, is full, so that the first one comes back.
#[test]
fn a_page_comes_back_under_a_reader() {
    let start = &[Put(0, 10), Put(1, 10), Put(2, 10), Put(3, 10), Put(4, 10), Put(5, 10)];
    let threads = [&[Remove(0), Remove(1), Remove(2), Put(6, 20), Put(7, 20)][..], &[Get(0)]];
    assert_atomic(by_hash, start, threads);
}

/// A second reader has shared what is there, so that a look may do.
#[test]
fn a_glance_finds_what_a_search_finds() {
    let there = &[Put(0, 10), Get(0)];
    assert_atomic(by_hash, there, [&[Put(0, 20)], &[Glance(0)]]);
    assert_atomic(by_hash, there, [&[Remove(0), Put(1, 20)], &[Glance(1)]]);
    assert_atomic(by_comparison, there, [&[Remove(0)], &[Glance(0)]]);
}

/// A key is compared by a look, and goes meanwhile; a value, or another key, comes in its place.
#[test]
fn a_key_goes_under_a_look() {
    const { assert!(PLAIN.start == 100) };
    let there = &[Put(100, 1), Get(100)];
    assert_atomic_within(1, by_comparison, there, [&[Remove(100), Put(0, 20)], &[Get(100)]]);
    assert_atomic_within(1, by_comparison, there, [&[Remove(100), Put(101, 1)], &[Get(101)]]);
}

#[test]
fn a_page_goes_under_a_glance() {
    let start = &[Put(0, 10), Put(1, 10), Put(2, 10), Get(0)];
    assert_atomic(by_hash, start, [&[Remove(0), Remove(1), Remove(2)], &[Glance(0)]]);
}

#[test]
fn what_is_cleared_is_cleared_under_a_reader() {
    assert_atomic(by_hash, &[Put(0, 10)], [&[Clear], &[Get(0)]]);
}

#[test]
fn what_is_put_is_cleared_or_not() {
    assert_atomic(by_hash, &[Put(0, 10)], [&[Clear], &[Put(0, 20)]]);
}

/// The table is another one, with the chain the other way round, when the reader comes back
/// from a comparison.
#[test]
fn the_table_grows_while_keys_are_compared() {
    assert_atomic(by_comparison, &[Put(0, 10), Put(1, 10)], [&[Put(2, 20)], &[Get(0)]]);
}

#[test]
fn one_of_two_insertions_finds_the_other() {
    assert_atomic(by_comparison, &[], [&[GetOrPut(0, 10)], &[GetOrPut(0, 20)]]);
}

/// Room for a third item is made by the one that was not used, if the other one's use
/// comes in time. (Among so few one is enough.)
#[test]
fn what_was_used_is_not_evicted() {
    let start = &[Put(0, 10), Put(1, 20)];
    let seen = run(1, 2, by_hash, start, [&[Get(0)], &[Put(2, 30)]]);
    let outcome = |gets: &[Option<usize>], left| ([gets.to_vec(), vec![None]], left);
    let without = |gets| outcome(gets, vec![(1, 20), (2, 30)]);
    let expected = BTreeSet::from([
        outcome(&[Some(10)], vec![(0, 10), (2, 30)]),
        without(&[Some(10)]),
        without(&[None]),
    ]);
    assert_eq!(seen, expected);
}

/// An entry that is used anew does not remember how often it was used for another item.
#[test]
fn uses_end_with_the_item() {
    let start = &[Put(0, 10), Put(1, 20), Get(0), Get(0), Remove(0)];
    let seen = run(1, 2, by_hash, start, [&[Put(2, 30), Put(3, 40)], &[Get(0)]]);
    let left: BTreeSet<_> = seen.into_iter().map(|(_, left)| left).collect();
    assert_eq!(left, BTreeSet::from([vec![(1, 20), (3, 40)]]));
}
