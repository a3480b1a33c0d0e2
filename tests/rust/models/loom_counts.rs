//! The counts of keys under loom; `loom_cache.rs` has the table, `loom_int.rs` says what loom is.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_counts
//! ```
#![cfg(loom)]

#[path = "../common/keys.rs"]
mod keys;
#[allow(dead_code)] // other tests use the rest
#[path = "../common/outcomes.rs"]
mod outcomes;

use std::collections::BTreeSet;

use keys::KEY;
use keys::counted::{Memory, Value};
use keys::sought::Sought;
use lockfree::engine::{Counts, Slot, Slots};
use lockfree::shim::{AtomicI64, Ordering::Relaxed};
use outcomes::{PREEMPTIONS, outcomes_of};

const ANOTHER: Sought = Sought { number: 2, hash: 2, by_hash: true };

/// Counts, and the slots of two threads, which have different stripes.
struct Model {
    counts: Counts<Value>,
    slots: [Slot; 2],
    memory: Memory<8>,
    payload: AtomicI64,
}

impl Model {
    /// Of one key, which counts 1.
    fn new() -> Self {
        let model = Self::bounded(None);
        model.add(0, 1);
        model
    }

    /// The same, which whoever has the first slot stripes.
    fn handed_over() -> Self {
        let model = Self::new();
        model.add(1, 0);
        model
    }

    /// The same, striped.
    fn striped() -> Self {
        let model = Self::bounded(None);
        model.add(0, 1 << 62);
        model.add(0, 1 - (1 << 62));
        model
    }

    /// The same, whose next addition leaves 64 bits.
    fn full() -> Self {
        let model = Self::striped();
        // The remainder has what it began with, the stripe the rest.
        model.add(0, i64::MAX);
        model.add(0, (1 << 62) - 1);
        model
    }

    fn bounded(most: Option<u64>) -> Self {
        let slots = Slots::default();
        let payload = AtomicI64::new(0);
        let slots = [slots.take(), slots.take()];
        Self { counts: Counts::new(most), slots, memory: Memory::default(), payload }
    }

    fn add_to(&self, key: &Sought, thread: usize, n: i64) {
        let (slot, name) = (self.slots[thread], || self.memory.value(key.number));
        self.counts.add(key, n, slot, name).unwrap();
    }

    fn add(&self, thread: usize, n: i64) -> i128 {
        self.add_to(&KEY, thread, n);
        0
    }

    fn get(&self) -> i128 {
        self.counts.get(&KEY).unwrap()
    }

    fn reset(&self) -> i128 {
        self.counts.reset(&KEY).unwrap()
    }

    fn take(&self) -> i128 {
        self.counts.take(|| ()).unwrap().into_iter().map(|(_, count)| count).sum()
    }

    fn sizes(&self) -> (usize, i128) {
        (self.counts.len(), self.counts.other())
    }
}

type Act = fn(&Model) -> i128;

/// What the threads return, and the count in the end.
fn seen<const THREADS: usize>(
    model: fn() -> Model,
    acts: [Act; THREADS],
) -> BTreeSet<([i128; THREADS], i128)> {
    seen_of(PREEMPTIONS, model, acts)
}

/// The same, where threads are suspended so often at most.
fn seen_of<const THREADS: usize>(
    preemptions: usize,
    model: fn() -> Model,
    acts: [Act; THREADS],
) -> BTreeSet<([i128; THREADS], i128)> {
    outcomes_of(Some(preemptions), model, acts, Model::get)
}

const FIRST: Act = |model| model.add(0, 10);
const SECOND: Act = |model| model.add(1, 20);

/// Between two threads the cell changes hands, until one of them stripes it.
#[test]
fn no_addition_is_lost() {
    for model in [Model::new, Model::handed_over] {
        assert_eq!(seen(model, [FIRST, SECOND]), [([0, 0], 31)].into());
    }
}

#[test]
fn of_two_who_bring_a_key_both_are_counted() {
    let empty = || Model::bounded(None);
    assert_eq!(seen(empty, [FIRST, SECOND]), [([0, 0], 30)].into());
}

/// Each addition is in one reset or in what remains. (Once is enough to come between two steps, and who then
/// has to bring its key again takes many.)
fn is_shared_out(model: fn() -> Model, before: i128, reset: Act) {
    let seen = seen_of(1, model, [FIRST, reset]);
    let expected = [([0, before], 10), ([0, before + 10], 0)];
    assert_eq!(seen, BTreeSet::from(expected));
}

#[test]
fn an_addition_to_a_word_is_in_a_reset_or_remains() {
    is_shared_out(Model::new, 1, Model::reset);
}

#[test]
fn an_addition_to_a_word_is_taken_with_it_or_remains() {
    is_shared_out(Model::new, 1, Model::take);
}

#[test]
fn an_addition_to_a_stripe_is_in_a_reset_or_remains() {
    is_shared_out(Model::striped, 1, Model::reset);
}

#[test]
fn an_addition_to_a_stripe_is_taken_with_it_or_remains() {
    is_shared_out(Model::striped, 1, Model::take);
}

#[test]
fn an_addition_to_a_remainder_is_taken_with_it_or_remains() {
    is_shared_out(Model::full, i128::from(i64::MAX) + (1 << 62), Model::take);
}

#[test]
fn an_addition_that_stripes_a_cell_is_in_a_reset_or_remains() {
    is_shared_out(Model::handed_over, 1, Model::reset);
}

#[test]
fn an_addition_that_stripes_a_cell_is_taken_with_it_or_remains() {
    is_shared_out(Model::handed_over, 1, Model::take);
}

#[test]
fn of_two_who_take_each_gets_what_the_other_does_not() {
    let seen = seen(Model::striped, [Model::take, Model::reset]);
    assert_eq!(seen, [([1, 0], 0), ([0, 1], 0)].into());
}

#[test]
fn a_sum_counts_what_was_added_before() {
    let add_and_get: Act = |model| {
        model.add(0, 10);
        model.get()
    };
    for model in [Model::new, Model::striped] {
        let seen = seen(model, [add_and_get, SECOND]);
        assert_eq!(seen, [([11, 0], 31), ([31, 0], 31)].into());
    }
}

/// Whoever finds an addition in a count sees what was done before.
fn publishes(model: fn() -> Model) {
    let send: Act = |model| {
        model.payload.store(5, Relaxed);
        model.add(0, 10)
    };
    let receive: Act =
        |model| if model.get() == 11 { model.payload.load(Relaxed).into() } else { -1 };
    let returned: BTreeSet<_> =
        seen(model, [send, receive]).into_iter().map(|([_, seen], _)| seen).collect();
    assert_eq!(returned, [-1, 5].into());
}

#[test]
fn an_addition_to_a_word_publishes_what_came_before() {
    publishes(Model::new);
}

#[test]
fn an_addition_to_a_stripe_publishes_what_came_before() {
    publishes(Model::striped);
}

/// Of two keys one finds room, and what is added to the other is counted all the same.
#[test]
fn a_bound_is_exact() {
    let acts: [Act; 2] = [FIRST, |model| {
        model.add_to(&ANOTHER, 1, 20);
        0
    }];
    let seen = outcomes_of(Some(PREEMPTIONS), || Model::bounded(Some(1)), acts, Model::sizes);
    assert_eq!(seen, [([0, 0], (1, 10)), ([0, 0], (1, 20))].into());
}
