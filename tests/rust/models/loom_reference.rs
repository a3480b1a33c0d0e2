//! The shared reference under loom; `loom_int.rs` says what that is.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_reference
//! ```
#![cfg(loom)]

#[path = "../common/counted.rs"]
mod counted;
#[path = "../common/outcomes.rs"]
mod outcomes;

use std::collections::BTreeSet;

use counted::{Memory, Value};
use lockfree::engine::Reference;
use lockfree::shim::Ordering::{self, Relaxed, SeqCst};
use outcomes::outcomes;

struct Shared {
    /// Dropped first: its value lies in the memory.
    reference: Reference<Value>,
    memory: Memory<3>,
}

impl Shared {
    fn new() -> Self {
        let memory = Memory::default();
        Self { reference: Reference::new(memory.value(1)), memory }
    }

    fn load(&self, order: Ordering) -> usize {
        self.reference.load(order).number()
    }

    /// Replaces the value and returns the number of the old one. Even `Relaxed` publishes
    /// the value, and all other orderings are at least that.
    fn exchange(&self, number: usize) -> usize {
        self.reference.exchange(self.memory.value(number), Relaxed).number()
    }

    /// Replaces the value, as long as it is the one given.
    fn replace(&self, expected: &Value, number: usize) -> Result<usize, usize> {
        let desired = self.memory.value(number);
        let replaced =
            self.reference.compare_exchange(expected.address(), desired, Relaxed, Relaxed);
        replaced.map(|old| old.number()).map_err(|desired| desired.number())
    }

    /// Checks that of all values only the one in the word is left.
    fn end(&self) -> usize {
        assert_eq!(self.memory.live(), 1, "a value was lost, or lives on");
        self.load(SeqCst)
    }
}

fn race<R: Ord + Send + 'static>(threads: [fn(&Shared) -> R; 2]) -> BTreeSet<([R; 2], usize)> {
    outcomes(Shared::new, threads, Shared::end)
}

/// The first value's place gets a value that never is in the word.
fn replace_and_reuse(shared: &Shared) -> usize {
    let old = shared.exchange(2);
    let private = shared.memory.value(3);
    assert_eq!(private.number(), 3);
    old
}

#[test]
fn what_is_loaded_was_stored() {
    let seen = race([replace_and_reuse, |shared| shared.load(SeqCst)]);
    assert_eq!(seen, [([1, 1], 2), ([1, 2], 2)].into());
}

/// The first value's place gets a value that is in the word later.
#[test]
fn a_value_at_the_address_of_an_older_one_is_whole() {
    let seen = race([
        |shared| {
            shared.exchange(2);
            shared.exchange(3)
        },
        |shared| shared.load(Relaxed),
    ]);
    assert_eq!(seen, [([2, 1], 3), ([2, 2], 3), ([2, 3], 3)].into());
}

#[test]
fn one_exchange_takes_what_the_other_put() {
    let seen = race([|shared| shared.exchange(2), |shared| shared.exchange(3)]);
    assert_eq!(seen, [([1, 2], 3), ([3, 1], 2)].into());
}

#[test]
fn one_of_two_compare_exchanges_wins() {
    fn attempt(shared: &Shared, number: usize) -> Result<usize, usize> {
        let found = shared.reference.load(SeqCst);
        shared.replace(&found, number)
    }
    let seen = race([|shared| attempt(shared, 2), |shared| attempt(shared, 3)]);
    let wins = |first, second, left| (([first, second]), left);
    let one_after_the_other = [wins(Ok(1), Ok(2), 3), wins(Ok(3), Ok(1), 2)];
    let one_fails = [wins(Ok(1), Err(3), 2), wins(Err(2), Ok(1), 3)];
    assert_eq!(seen, one_after_the_other.into_iter().chain(one_fails).collect());
}

#[test]
fn a_compare_exchange_publishes_the_value() {
    let seen = race([
        |shared| shared.replace(&shared.reference.load(Relaxed), 2).unwrap(),
        |shared| shared.load(Relaxed),
    ]);
    assert_eq!(seen, [([1, 1], 2), ([1, 2], 2)].into());
}
