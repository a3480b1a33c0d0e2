//! The cache under loom; `loom_int.rs` says what that is.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --target-dir target/loom --test loom_cache
//! ```
//!
//! Under loom the first table has one bucket, so that all keys share a chain until
//! the second item doubles it, and the arena's first segment two entries.
#![cfg(loom)]

mod counted;
mod outcomes;
mod sought;

use std::array;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counted::{Memory, Value};
use lockfree::engine::cache::{Cache, Monotonic, UNBOUNDED};
use outcomes::{PREEMPTIONS, outcomes_of};
use sought::{FOREVER, Map, Numbered};

/// A `Value`'s number is never 0.
impl Numbered for Value {
    fn number(&self) -> usize {
        self.number() - 1
    }
}

type Values = Map<Value, Monotonic, Box<dyn Fn(usize) -> Value + Send + Sync>>;

/// What a thread does, with keys and values.
#[derive(Clone, Copy, Debug)]
enum Op {
    Get(usize),
    Put(usize, usize),
    GetOrPut(usize, usize),
    Remove(usize),
}
use Op::{Get, GetOrPut, Put, Remove};

impl Op {
    fn run(self, map: &Values) -> Option<usize> {
        match self {
            Get(key) => map.get(key),
            Put(key, value) => {
                map.put(key, value);
                None
            }
            GetOrPut(key, value) => map.get_or_put(key, value, FOREVER),
            Remove(key) => map.remove(key),
        }
    }

    fn meaning(self, map: &mut BTreeMap<usize, usize>) -> Option<usize> {
        match self {
            Get(key) => map.get(&key).copied(),
            Put(key, value) => {
                map.insert(key, value);
                None
            }
            GetOrPut(key, value) => {
                let found = map.get(&key).copied();
                map.entry(key).or_insert(value);
                found
            }
            Remove(key) => map.remove(&key),
        }
    }
}

/// What each operation of each thread returned, and what was left.
type Outcome<const THREADS: usize> = ([Vec<Option<usize>>; THREADS], Vec<(usize, usize)>);

/// How a model's keys are compared.
type Hash = fn(usize) -> (u64, bool);

/// Each key has its own hash, and that is what counts.
fn by_hash(key: usize) -> (u64, bool) {
    (key as u64, true)
}

/// All keys have one hash, and are compared.
fn by_comparison(_: usize) -> (u64, bool) {
    (0, false)
}

fn run<const THREADS: usize>(
    limit: u64,
    hash: Hash,
    start: &'static [Op],
    threads: [&'static [Op]; THREADS],
) -> BTreeSet<Outcome<THREADS>> {
    let map = move || {
        let memory = Arc::new(Memory::<12>::default());
        let values = Arc::clone(&memory);
        let make = Box::new(move |number: usize| values.value(number + 1)) as Box<_>;
        let map = Map { cache: Cache::with(limit, 1, Monotonic), make, hash };
        for op in start {
            op.run(&map);
        }
        (map, memory)
    };
    let run = |ops: &'static [Op]| {
        move |(map, _): &(Values, Arc<Memory<12>>)| ops.iter().map(|op| op.run(map)).collect()
    };
    let end = |(map, memory): &(Values, Arc<Memory<12>>)| {
        let left = map.items();
        map.cache.clear();
        assert_eq!(memory.live(), 0, "a reference was lost, or dropped twice");
        left
    };
    outcomes_of(Some(PREEMPTIONS), map, threads.map(run), end)
}

/// The outcomes are those of the operations one at a time, in every order.
fn assert_atomic<const THREADS: usize>(
    hash: Hash,
    start: &'static [Op],
    threads: [&'static [Op]; THREADS],
) {
    let seen = run(UNBOUNDED, hash, start, threads);
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
    assert_atomic(by_hash, &[], [&[Put(0, 1)], &[Put(0, 2)]]);
}

#[test]
fn an_insertion_is_seen_whole_or_not_at_all() {
    assert_atomic(by_hash, &[], [&[Put(0, 1)], &[Get(0)]]);
    assert_atomic(by_comparison, &[Put(0, 1), Remove(0)], [&[Put(0, 2)], &[Get(0), Get(0)]]);
}

#[test]
fn a_replacement_is_seen_whole_or_not_at_all() {
    assert_atomic(by_hash, &[Put(0, 1)], [&[Put(0, 2)], &[Get(0)]]);
    // The place of the first value is used for the third.
    assert_atomic(by_hash, &[Put(0, 1)], [&[Put(0, 2), Put(0, 3)], &[Get(0)]]);
}

#[test]
fn what_is_removed_is_removed_once() {
    assert_atomic(by_hash, &[Put(0, 1)], [&[Remove(0)], &[Remove(0)]]);
    assert_atomic(by_comparison, &[Put(0, 1)], [&[Remove(0)], &[Put(0, 2)]]);
}

/// The entry that a reader stands on is used anew: for its own key, for another one.
#[test]
fn an_entry_may_be_used_anew_under_a_reader() {
    assert_atomic(by_hash, &[Put(0, 1)], [&[Remove(0), Put(1, 2)], &[Get(0)]]);
    assert_atomic(by_hash, &[Put(0, 1)], [&[Remove(0), Put(1, 2)], &[Get(1)]]);
    assert_atomic(by_comparison, &[Put(0, 1)], [&[Remove(0), Put(1, 2)], &[Get(0)]]);
}

/// The reader passes an entry that is taken out, or moves to another chain.
#[test]
fn what_is_there_all_the_while_is_found() {
    assert_atomic(by_hash, &[Put(0, 1), Put(1, 2)], [&[Remove(1)], &[Get(0)]]);
    assert_atomic(by_hash, &[Put(0, 1), Put(2, 2)], [&[Remove(2), Put(1, 3)], &[Get(0)]]);
}

#[test]
fn the_table_grows_under_a_reader() {
    assert_atomic(by_hash, &[Put(0, 1)], [&[Put(1, 2)], &[Get(0)]]);
    assert_atomic(by_hash, &[Put(0, 1), Put(1, 2)], [&[Put(2, 3)], &[Get(0), Get(1)]]);
}

#[test]
fn one_of_two_insertions_finds_the_other() {
    assert_atomic(by_comparison, &[], [&[GetOrPut(0, 1)], &[GetOrPut(0, 2)]]);
}
