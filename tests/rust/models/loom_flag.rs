//! The boolean under loom, which runs every interleaving of a small model.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_flag
//! ```
//!
//! See `loom_int.rs` for what these models show and what they cannot.
#![cfg(loom)]

#[path = "../common/messages.rs"]
mod messages;
#[path = "../common/outcomes.rs"]
mod outcomes;

use std::collections::BTreeSet;

use lockfree::engine::Flag;
use lockfree::shim::Ordering::SeqCst;
use messages::assert_message_passes;
use outcomes::outcomes;

/// The outcomes of two operations, each on a thread of its own.
fn race<R>(start: bool, operations: [fn(&Flag) -> R; 2]) -> BTreeSet<([R; 2], bool)>
where
    R: Ord + Send + 'static,
{
    outcomes(move || Flag::new(start), operations, |flag| flag.load(SeqCst))
}

#[test]
fn one_thread_is_the_first() {
    let seen = race(false, [|flag| flag.test_and_set(SeqCst); 2]);
    assert_eq!(seen, [([false, true], true), ([true, false], true)].into());
}

#[test]
fn one_exchange_takes_what_the_other_put() {
    let seen =
        race(false, [|flag| flag.exchange(true, SeqCst), |flag| flag.exchange(false, SeqCst)]);
    assert_eq!(seen, [([false, true], false), ([false, false], true)].into());
}

#[test]
fn one_of_two_compare_exchanges_wins() {
    let seen = race(false, [|flag| flag.compare_exchange(false, true, SeqCst, SeqCst); 2]);
    assert_eq!(seen, [([Ok(false), Err(true)], true), ([Err(true), Ok(false)], true)].into());
}

#[test]
fn no_reversal_is_lost() {
    let seen = race(false, [|flag| flag.fetch_not(SeqCst); 2]);
    assert_eq!(seen, [([false, true], false), ([true, false], false)].into());
}

type Publish = fn(&Flag);
type Receive = fn(&Flag) -> bool;

/// Every way to make it true.
const PUBLISHERS: [(&str, Publish); 5] = [
    ("store", |flag| flag.store(true, SeqCst)),
    ("exchange", |flag| assert!(!flag.exchange(true, SeqCst))),
    ("compare_exchange", |flag| {
        assert_eq!(flag.compare_exchange(false, true, SeqCst, SeqCst), Ok(false));
    }),
    ("test_and_set", |flag| assert!(!flag.test_and_set(SeqCst))),
    ("fetch_not", |flag| assert!(!flag.fetch_not(SeqCst))),
];

/// Every way to find that it is.
const RECEIVERS: [(&str, Receive); 6] = [
    ("load", |flag| flag.load(SeqCst)),
    ("exchange", |flag| flag.exchange(true, SeqCst)),
    ("compare_exchange", |flag| flag.compare_exchange(true, false, SeqCst, SeqCst).is_ok()),
    ("failing compare_exchange", |flag| {
        flag.compare_exchange(false, false, SeqCst, SeqCst).is_err()
    }),
    ("test_and_set", |flag| flag.test_and_set(SeqCst)),
    ("fetch_not", |flag| flag.fetch_not(SeqCst)),
];

#[test]
fn every_write_publishes_what_came_before() {
    for (name, publish) in PUBLISHERS {
        assert_message_passes(name, Flag::new, false, publish, |flag| flag.load(SeqCst));
    }
}

#[test]
fn every_read_receives_what_was_published() {
    for (name, receive) in RECEIVERS {
        assert_message_passes(name, Flag::new, false, |flag| flag.store(true, SeqCst), receive);
    }
}
