//! The integer: each operation, its edges, and threads.
#![cfg(not(loom))]

#[path = "common/cases.rs"]
mod cases;
#[path = "common/threads.rs"]
mod threads;

use std::iter;

use lockfree::engine::{Int64, Overflow};
use lockfree::shim::Ordering::SeqCst;
use proptest::prelude::*;
use proptest::sample::select;
use threads::{on_threads, until_threads_meet};

const MIN: i64 = i64::MIN;
const MAX: i64 = i64::MAX;

/// Runs `operation` on a new integer; returns its result and what it left.
fn on<R>(start: i64, operation: impl FnOnce(&Int64) -> R) -> (R, i64) {
    let int = Int64::new(start);
    (operation(&int), int.load(SeqCst))
}

/// [`Int64::try_fetch_add`] until it succeeds: the processor may fail a weak
/// compare-and-swap that nobody raced, and Miri often does.
fn insist_fetch_add(int: &Int64, n: i64) -> i64 {
    iter::repeat_with(|| int.try_fetch_add(n, SeqCst))
        .flatten()
        .next()
        .expect("the iterator is endless")
}

#[test]
fn starts_at_the_value_given_or_at_zero() {
    assert_eq!(Int64::new(MIN).load(SeqCst), MIN);
    assert_eq!(Int64::default().load(SeqCst), 0);
}

#[test]
fn store_and_exchange_replace_the_value() {
    assert_eq!(on(7, |int| int.store(MAX, SeqCst)), ((), MAX));
    assert_eq!(on(7, |int| int.exchange(MIN, SeqCst)), (7, MIN));
}

#[test]
fn compare_exchange_replaces_the_expected_value_only() {
    assert_eq!(on(7, |int| int.compare_exchange(7, 8, SeqCst, SeqCst)), (Ok(7), 8));
    assert_eq!(on(7, |int| int.compare_exchange(7, 7, SeqCst, SeqCst)), (Ok(7), 7));
    assert_eq!(on(7, |int| int.compare_exchange(8, 9, SeqCst, SeqCst)), (Err(7), 7));
    assert_eq!(on(MIN, |int| int.compare_exchange(MIN, MAX, SeqCst, SeqCst)), (Ok(MIN), MAX));
    assert_eq!(on(MIN, |int| int.compare_exchange(MAX, 0, SeqCst, SeqCst)), (Err(MIN), MIN));
}

#[test]
fn arithmetic_returns_the_value_before() {
    assert_eq!(on(7, |int| int.fetch_add(3, SeqCst)), (Ok(7), 10));
    assert_eq!(on(7, |int| int.fetch_sub(3, SeqCst)), (Ok(7), 4));
    assert_eq!(on(7, |int| int.fetch_add(-8, SeqCst)), (Ok(7), -1));
    assert_eq!(on(7, |int| int.fetch_sub(-8, SeqCst)), (Ok(7), 15));
    assert_eq!(on(7, |int| insist_fetch_add(int, 3)), (7, 10));
}

#[test]
fn arithmetic_reaches_both_ends() {
    assert_eq!(on(MAX - 1, |int| int.fetch_add(1, SeqCst)), (Ok(MAX - 1), MAX));
    assert_eq!(on(MIN + 1, |int| int.fetch_sub(1, SeqCst)), (Ok(MIN + 1), MIN));
    assert_eq!(on(0, |int| int.fetch_add(MIN, SeqCst)), (Ok(0), MIN));
    assert_eq!(on(-1, |int| int.fetch_sub(MIN, SeqCst)), (Ok(-1), MAX));
    assert_eq!(on(MAX, |int| int.fetch_add(MIN, SeqCst)), (Ok(MAX), -1));
    assert_eq!(on(MAX - 1, |int| insist_fetch_add(int, 1)), (MAX - 1, MAX));
}

#[test]
fn overflow_leaves_the_value_and_tells_it() {
    assert_eq!(on(MAX, |int| int.fetch_add(1, SeqCst)), (Err(Overflow { value: MAX }), MAX));
    assert_eq!(on(MIN, |int| int.fetch_sub(1, SeqCst)), (Err(Overflow { value: MIN }), MIN));
    assert_eq!(on(-1, |int| int.fetch_add(MIN, SeqCst)), (Err(Overflow { value: -1 }), -1));
    assert_eq!(on(0, |int| int.fetch_sub(MIN, SeqCst)), (Err(Overflow { value: 0 }), 0));
    assert_eq!(on(MAX, |int| int.try_fetch_add(1, SeqCst)), (None, MAX));
    assert_eq!(on(MIN, |int| int.try_fetch_add(-1, SeqCst)), (None, MIN));
}

#[test]
fn bit_operations_return_the_value_before() {
    assert_eq!(on(0b1100, |int| int.fetch_and(0b1010, SeqCst)), (0b1100, 0b1000));
    assert_eq!(on(0b1100, |int| int.fetch_or(0b1010, SeqCst)), (0b1100, 0b1110));
    assert_eq!(on(0b1100, |int| int.fetch_xor(0b1010, SeqCst)), (0b1100, 0b0110));
    assert_eq!(on(MIN, |int| int.fetch_and(MAX, SeqCst)), (MIN, 0));
    assert_eq!(on(MIN, |int| int.fetch_or(MAX, SeqCst)), (MIN, -1));
    assert_eq!(on(MAX, |int| int.fetch_xor(-1, SeqCst)), (MAX, MIN));
}

#[test]
fn minimum_and_maximum_compare_signed() {
    assert_eq!(on(-1, |int| int.fetch_max(1, SeqCst)), (-1, 1));
    assert_eq!(on(-1, |int| int.fetch_min(1, SeqCst)), (-1, -1));
    assert_eq!(on(0, |int| int.fetch_max(MIN, SeqCst)), (0, 0));
    assert_eq!(on(0, |int| int.fetch_min(MIN, SeqCst)), (0, MIN));
}

const THREADS: usize = if cfg!(miri) { 3 } else { 8 };
const INCREMENTS: usize = if cfg!(miri) { 50 } else { 250_000 };

#[test]
fn threads_count_exactly_with_fetch_add() {
    count_exactly(|int| int.fetch_add(1, SeqCst).expect("far from the end"));
}

#[test]
fn threads_count_exactly_with_try_fetch_add() {
    count_exactly(|int| insist_fetch_add(int, 1));
}

#[test]
fn threads_count_exactly_with_compare_exchange() {
    count_exactly(|int| {
        let mut value = int.load(SeqCst);
        while let Err(found) = int.compare_exchange(value, value + 1, SeqCst, SeqCst) {
            value = found;
        }
        value
    });
}

fn count_exactly(increment: fn(&Int64) -> i64) {
    until_threads_meet(|| count_once(increment));
}

/// Checks that each number was returned exactly once; returns how often a thread
/// found that others had counted since its last number.
fn count_once(increment: fn(&Int64) -> i64) -> usize {
    let int = Int64::new(0);
    let count = |_| (0..INCREMENTS).map(|_| increment(&int)).collect::<Vec<_>>();
    let counts = on_threads(THREADS, count);

    let mut all = counts.concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..int.load(SeqCst)));
    assert_eq!(usize::try_from(int.load(SeqCst)), Ok(THREADS * INCREMENTS));
    let pairs = counts.iter().flat_map(|numbers| numbers.windows(2));
    pairs.filter(|pair| pair[1] != pair[0] + 1).count()
}

/// An operation's name; how it is run, with the value before as its result, or
/// as its error if it refuses to write; and what it means for a plain integer:
/// the next value, or `None` if it refuses.
type Operation = (&'static str, fn(&Int64, i64) -> Result<i64, i64>, fn(i64, i64) -> Option<i64>);

/// Stores `n` and returns the value before, as all others do.
fn store(int: &Int64, n: i64) -> i64 {
    let before = int.load(SeqCst);
    int.store(n, SeqCst);
    before
}

const OPERATIONS: [Operation; 10] = [
    ("store", |int, n| Ok(store(int, n)), |_, n| Some(n)),
    ("exchange", |int, n| Ok(int.exchange(n, SeqCst)), |_, n| Some(n)),
    (
        "compare_exchange",
        |int, n| int.compare_exchange(n, !n, SeqCst, SeqCst),
        |value, n| (value == n).then_some(!n),
    ),
    ("fetch_add", |int, n| int.fetch_add(n, SeqCst).map_err(|e| e.value), i64::checked_add),
    ("fetch_sub", |int, n| int.fetch_sub(n, SeqCst).map_err(|e| e.value), i64::checked_sub),
    ("fetch_and", |int, n| Ok(int.fetch_and(n, SeqCst)), |value, n| Some(value & n)),
    ("fetch_or", |int, n| Ok(int.fetch_or(n, SeqCst)), |value, n| Some(value | n)),
    ("fetch_xor", |int, n| Ok(int.fetch_xor(n, SeqCst)), |value, n| Some(value ^ n)),
    ("fetch_max", |int, n| Ok(int.fetch_max(n, SeqCst)), |value, n| Some(value.max(n))),
    ("fetch_min", |int, n| Ok(int.fetch_min(n, SeqCst)), |value, n| Some(value.min(n))),
];

fn numbers() -> impl Strategy<Value = i64> {
    prop_oneof![select(&[MIN, MIN + 1, MAX - 1, MAX]), -2_i64..=2, any::<i64>()]
}

proptest! {
    #![proptest_config(cases::cases())]

    #[test]
    fn behaves_as_a_plain_integer(
        start in numbers(),
        steps in prop::collection::vec((select(&OPERATIONS), numbers()), 0..40),
    ) {
        let int = Int64::new(start);
        let mut value = start;
        for ((name, run, meaning), n) in steps {
            let next = meaning(value, n);
            prop_assert_eq!(run(&int, n), next.map(|_| value).ok_or(value), "{}({})", name, n);
            value = next.unwrap_or(value);
            prop_assert_eq!(int.load(SeqCst), value, "after {}({})", name, n);
        }
    }
}
