//! The floating-point number under loom, which runs every interleaving of a small
//! model.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_float
//! ```
//!
//! See `loom_int.rs` for what these models show and what they cannot.
#![cfg(loom)]

#[path = "../common/messages.rs"]
mod messages;
#[path = "../common/outcomes.rs"]
mod outcomes;

use std::collections::BTreeSet;

use lockfree::engine::Float64;
use lockfree::shim::{
    AtomicI64,
    Ordering::{self, SeqCst},
};
use messages::{PAYLOAD, assert_message_passes};
use outcomes::outcomes;

type Publish = fn(&Float64);
type Operation = fn(&Float64) -> f64;

/// The outcomes of two operations, each on a thread of its own, in bits, which have an
/// order.
fn race(start: f64, operations: [Operation; 2]) -> BTreeSet<([u64; 2], u64)> {
    type Shared = (Float64, [Operation; 2]);
    let shared = move || (Float64::new(start), operations);
    let first = |(float, [run, _]): &Shared| run(float).to_bits();
    let second = |(float, [_, run]): &Shared| run(float).to_bits();
    outcomes(shared, [first, second], |(float, _)| float.load(SeqCst).to_bits())
}

fn bits<const N: usize>(outcomes: [([f64; 2], f64); N]) -> BTreeSet<([u64; 2], u64)> {
    let bits = |(returned, end): ([f64; 2], f64)| (returned.map(f64::to_bits), end.to_bits());
    outcomes.map(bits).into()
}

#[test]
fn additions_are_never_lost() {
    let seen =
        race(0.0, [|float| float.fetch_add(0.5, SeqCst), |float| float.fetch_add(4.0, SeqCst)]);
    assert_eq!(seen, bits([([0.0, 0.5], 4.5), ([4.0, 0.0], 4.5)]));
}

#[test]
fn the_larger_and_the_smaller_are_never_lost() {
    let seen =
        race(0.0, [|float| float.fetch_max(0.5, SeqCst), |float| float.fetch_max(4.0, SeqCst)]);
    assert_eq!(seen, bits([([0.0, 0.5], 4.0), ([4.0, 0.0], 4.0)]));
    let seen =
        race(8.0, [|float| float.fetch_min(0.5, SeqCst), |float| float.fetch_min(4.0, SeqCst)]);
    assert_eq!(seen, bits([([8.0, 0.5], 0.5), ([4.0, 8.0], 0.5)]));
}

#[test]
fn the_order_decides_how_a_sum_is_rounded() {
    let seen =
        race(1e16, [|float| float.fetch_add(1.0, SeqCst), |float| float.fetch_add(-1e16, SeqCst)]);
    assert_eq!(seen, bits([([1e16, 1e16], 0.0), ([0.0, 1e16], 1.0)]));
}

#[test]
fn additions_to_nan_come_to_an_end() {
    let seen = race(f64::NAN, [|float| float.fetch_add(1.0, SeqCst); 2]);
    for (returned, end) in seen {
        assert!(returned.into_iter().chain([end]).all(|bits| f64::from_bits(bits).is_nan()));
    }
}

#[test]
fn one_exchange_takes_what_the_other_put() {
    let seen =
        race(0.0, [|float| float.exchange(1.0, SeqCst), |float| float.exchange(2.0, SeqCst)]);
    assert_eq!(seen, bits([([0.0, 1.0], 2.0), ([2.0, 0.0], 1.0)]));
}

#[test]
fn one_of_two_compare_exchanges_wins() {
    /// The value found, whether it was the expected one or not.
    fn swap(float: &Float64, desired: f64) -> f64 {
        let found = float.compare_exchange(0.0, desired, SeqCst, SeqCst);
        found.unwrap_or_else(|found| found)
    }
    let seen = race(0.0, [|float| swap(float, 1.0), |float| swap(float, 2.0)]);
    assert_eq!(seen, bits([([0.0, 1.0], 1.0), ([2.0, 0.0], 2.0)]));
}

/// What every publisher replaces. A receiver that finds anything else has got
/// the message.
const NOTHING: f64 = 1.0;

/// Every way to replace [`NOTHING`].
const PUBLISHERS: [(&str, Publish); 4] = [
    ("store", |float| float.store(2.0, SeqCst)),
    ("exchange", |float| assert!(float.exchange(2.0, SeqCst) == NOTHING)),
    ("compare_exchange", |float| {
        assert_eq!(float.compare_exchange(NOTHING, 2.0, SeqCst, SeqCst), Ok(NOTHING));
    }),
    ("fetch_add", |float| assert!(float.fetch_add(1.0, SeqCst) == NOTHING)),
];

/// Every way to find a value.
const RECEIVERS: [(&str, Operation); 5] = [
    ("load", |float| float.load(SeqCst)),
    ("exchange", |float| float.exchange(3.0, SeqCst)),
    ("compare_exchange", |float| {
        float.compare_exchange(2.0, 3.0, SeqCst, SeqCst).unwrap_or_else(|found| found)
    }),
    ("failing compare_exchange", |float| {
        float.compare_exchange(0.0, 3.0, SeqCst, SeqCst).unwrap_err()
    }),
    ("fetch_add", |float| float.fetch_add(1.0, SeqCst)),
];

#[test]
fn every_write_publishes_what_came_before() {
    for (name, publish) in PUBLISHERS {
        assert_message_passes(name, Float64::new, NOTHING, publish, |float| float.load(SeqCst));
    }
}

#[test]
fn every_read_receives_what_was_published() {
    for (name, receive) in RECEIVERS {
        let publish = |float: &Float64| float.store(2.0, SeqCst);
        assert_message_passes(name, Float64::new, NOTHING, publish, receive);
    }
}

/// An addition may find the bits that it loaded, yet written anew by then: as in
/// `loom_int.rs`.
#[test]
fn an_addition_receives_what_came_with_an_equal_value() {
    type Shared = (AtomicI64, Float64);
    let exchange = |(payload, float): &Shared| {
        payload.store(PAYLOAD, Ordering::Relaxed);
        (float.exchange(NOTHING, SeqCst).to_bits(), PAYLOAD)
    };
    let addition = |(payload, float): &Shared| {
        let found = float.fetch_add(1.0, SeqCst);
        (found.to_bits(), payload.load(Ordering::Relaxed))
    };
    let shared = || (AtomicI64::new(0), Float64::new(NOTHING));
    let seen = outcomes(shared, [exchange, addition], |(_, float)| float.load(SeqCst).to_bits());

    let [one, two] = [NOTHING, NOTHING + 1.0].map(f64::to_bits);
    let exchange_first = [([(one, PAYLOAD), (one, PAYLOAD)], two)];
    let addition_first = [0, PAYLOAD].map(|found| ([(two, PAYLOAD), (one, found)], one));
    assert_eq!(seen, exchange_first.into_iter().chain(addition_first).collect());
}
