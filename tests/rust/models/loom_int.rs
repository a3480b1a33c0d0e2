//! The integer under loom, which runs every interleaving of a small model and,
//! where the orderings allow it, lets a load return an older value.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_int
//! ```
//!
//! A model must yield exactly the expected set of outcomes: one too many is a
//! fault of the integer, one too few means that loom did not look everywhere.
//! `tests/mutants` shows that the models fail when an ordering or an atomic
//! step is taken away. Loom treats `SeqCst` as `AcqRel`, so that nothing here
//! shows that the operations on several integers have one order.
#![cfg(loom)]

#[path = "../common/messages.rs"]
mod messages;
#[path = "../common/outcomes.rs"]
mod outcomes;

use std::collections::BTreeSet;

use lockfree::engine::Int64;
use lockfree::shim::{
    AtomicI64,
    Ordering::{self, SeqCst},
};
use messages::{PAYLOAD, assert_message_passes};
use outcomes::outcomes;

const MIN: i64 = i64::MIN;
const MAX: i64 = i64::MAX;

/// The outcomes of two operations, each on a thread of its own.
fn race<R>(start: i64, operations: [fn(&Int64) -> R; 2]) -> BTreeSet<([R; 2], i64)>
where
    R: Ord + Send + 'static,
{
    outcomes(move || Int64::new(start), operations, |int| int.load(SeqCst))
}

fn add(int: &Int64, n: i64) -> Result<i64, i64> {
    int.fetch_add(n, SeqCst).map_err(|overflow| overflow.value)
}

fn sub(int: &Int64, n: i64) -> Result<i64, i64> {
    int.fetch_sub(n, SeqCst).map_err(|overflow| overflow.value)
}

#[test]
fn additions_are_never_lost() {
    let seen = race(0, [|int| add(int, 1), |int| add(int, 10)]);
    assert_eq!(seen, [([Ok(0), Ok(1)], 11), ([Ok(10), Ok(0)], 11)].into());
    let seen = race(0, [|int| sub(int, 1), |int| sub(int, 10)]);
    assert_eq!(seen, [([Ok(0), Ok(-1)], -11), ([Ok(-10), Ok(0)], -11)].into());
    let seen = race(0, [|int| add(int, 1), |int| sub(int, 10)]);
    assert_eq!(seen, [([Ok(0), Ok(1)], -9), ([Ok(-10), Ok(0)], -9)].into());
}

#[test]
fn a_single_attempt_fails_only_if_another_succeeds() {
    let seen = race(0, [|int| int.try_fetch_add(1, SeqCst), |int| int.try_fetch_add(10, SeqCst)]);
    let one_after_the_other = [([Some(0), Some(1)], 11), ([Some(10), Some(0)], 11)];
    let one_fails = [([Some(0), None], 1), ([None, Some(0)], 10)];
    assert_eq!(seen, one_after_the_other.into_iter().chain(one_fails).collect());
}

#[test]
fn one_of_two_steps_fits_and_nobody_sees_a_wrapped_value() {
    let seen = race(MAX - 1, [|int| (add(int, 1), int.load(SeqCst)); 2]);
    let (fits, overflows) = ((Ok(MAX - 1), MAX), (Err(MAX), MAX));
    assert_eq!(seen, [([fits, overflows], MAX), ([overflows, fits], MAX)].into());

    let seen = race(MIN + 1, [|int| (sub(int, 1), int.load(SeqCst)); 2]);
    let (fits, overflows) = ((Ok(MIN + 1), MIN), (Err(MIN), MIN));
    assert_eq!(seen, [([fits, overflows], MIN), ([overflows, fits], MIN)].into());
}

#[test]
fn one_exchange_takes_what_the_other_put() {
    let seen = race(0, [|int| int.exchange(1, SeqCst), |int| int.exchange(2, SeqCst)]);
    assert_eq!(seen, [([0, 1], 2), ([2, 0], 1)].into());
}

#[test]
fn one_of_two_compare_exchanges_wins() {
    let seen = race(
        0,
        [
            |int| int.compare_exchange(0, 1, SeqCst, SeqCst),
            |int| int.compare_exchange(0, 2, SeqCst, SeqCst),
        ],
    );
    assert_eq!(seen, [([Ok(0), Err(1)], 1), ([Err(2), Ok(0)], 2)].into());
}

#[test]
fn bit_operations_are_never_lost() {
    let seen = race(3, [|int| int.fetch_and(!1, SeqCst), |int| int.fetch_and(!2, SeqCst)]);
    assert_eq!(seen, [([3, 2], 0), ([1, 3], 0)].into());
    let seen = race(0, [|int| int.fetch_or(1, SeqCst), |int| int.fetch_or(2, SeqCst)]);
    assert_eq!(seen, [([0, 1], 3), ([2, 0], 3)].into());
    let seen = race(1, [|int| int.fetch_xor(1, SeqCst), |int| int.fetch_xor(2, SeqCst)]);
    assert_eq!(seen, [([1, 0], 2), ([3, 1], 2)].into());
}

#[test]
fn the_largest_and_the_smallest_stay() {
    let seen = race(0, [|int| int.fetch_max(1, SeqCst), |int| int.fetch_max(2, SeqCst)]);
    assert_eq!(seen, [([0, 1], 2), ([2, 0], 2)].into());
    let seen = race(0, [|int| int.fetch_min(-1, SeqCst), |int| int.fetch_min(-2, SeqCst)]);
    assert_eq!(seen, [([0, -1], -2), ([-2, 0], -2)].into());
}

/// What every publisher replaces. A receiver that finds anything else has got
/// the message.
const NOTHING: i64 = 1;

type Publish = fn(&Int64);
type Receive = fn(&Int64) -> i64;

/// Every way to replace [`NOTHING`].
const PUBLISHERS: [(&str, Publish); 11] = [
    ("store", |int| int.store(2, SeqCst)),
    ("exchange", |int| assert_eq!(int.exchange(2, SeqCst), NOTHING)),
    ("compare_exchange", |int| {
        assert_eq!(int.compare_exchange(NOTHING, 2, SeqCst, SeqCst), Ok(NOTHING));
    }),
    ("fetch_add", |int| assert_eq!(int.fetch_add(1, SeqCst), Ok(NOTHING))),
    ("try_fetch_add", |int| assert_eq!(int.try_fetch_add(1, SeqCst), Some(NOTHING))),
    ("fetch_sub", |int| assert_eq!(int.fetch_sub(1, SeqCst), Ok(NOTHING))),
    ("fetch_and", |int| assert_eq!(int.fetch_and(0, SeqCst), NOTHING)),
    ("fetch_or", |int| assert_eq!(int.fetch_or(2, SeqCst), NOTHING)),
    ("fetch_xor", |int| assert_eq!(int.fetch_xor(2, SeqCst), NOTHING)),
    ("fetch_max", |int| assert_eq!(int.fetch_max(2, SeqCst), NOTHING)),
    ("fetch_min", |int| assert_eq!(int.fetch_min(0, SeqCst), NOTHING)),
];

/// Every way to find a value.
const RECEIVERS: [(&str, Receive); 13] = [
    ("load", |int| int.load(SeqCst)),
    ("exchange", |int| int.exchange(3, SeqCst)),
    ("compare_exchange", |int| {
        int.compare_exchange(2, 3, SeqCst, SeqCst).unwrap_or_else(|found| found)
    }),
    ("failing compare_exchange", |int| int.compare_exchange(0, 3, SeqCst, SeqCst).unwrap_err()),
    ("fetch_add", |int| int.fetch_add(1, SeqCst).unwrap()),
    ("overflowing fetch_add", |int| int.fetch_add(MAX, SeqCst).unwrap_err().value),
    ("try_fetch_add", |int| int.try_fetch_add(1, SeqCst).unwrap_or(NOTHING)),
    ("fetch_sub", |int| int.fetch_sub(1, SeqCst).unwrap()),
    ("fetch_and", |int| int.fetch_and(3, SeqCst)),
    ("fetch_or", |int| int.fetch_or(4, SeqCst)),
    ("fetch_xor", |int| int.fetch_xor(4, SeqCst)),
    ("fetch_max", |int| int.fetch_max(3, SeqCst)),
    ("fetch_min", |int| int.fetch_min(0, SeqCst)),
];

#[test]
fn every_write_publishes_what_came_before() {
    for (name, publish) in PUBLISHERS {
        assert_message_passes(name, Int64::new, NOTHING, publish, |int| int.load(SeqCst));
    }
}

#[test]
fn every_read_receives_what_was_published() {
    for (name, receive) in RECEIVERS {
        assert_message_passes(name, Int64::new, NOTHING, |int| int.store(2, SeqCst), receive);
    }
}

/// An addition may find the value that it loaded, yet written anew by then. An
/// exchange that returned the value from before the addition came first, and
/// what it published must be seen.
#[test]
fn an_addition_receives_what_came_with_an_equal_value() {
    type Shared = (AtomicI64, Int64);
    let exchange = |(payload, int): &Shared| {
        payload.store(PAYLOAD, Ordering::Relaxed);
        int.exchange(NOTHING, SeqCst)
    };
    let addition = |(payload, int): &Shared| {
        int.fetch_add(1, SeqCst).unwrap();
        payload.load(Ordering::Relaxed)
    };
    let shared = || (AtomicI64::new(0), Int64::new(NOTHING));
    let seen = outcomes(shared, [exchange, addition], |(_, int)| int.load(SeqCst));

    let exchange_first = [([NOTHING, PAYLOAD], NOTHING + 1)];
    let addition_first = [0, PAYLOAD].map(|found| ([NOTHING + 1, found], NOTHING));
    assert_eq!(seen, exchange_first.into_iter().chain(addition_first).collect());
}
