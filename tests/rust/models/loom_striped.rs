//! Striped counters and the threads' numbers under loom; `loom_int.rs` says what
//! that is.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_striped
//! ```
#![cfg(loom)]

#[path = "../common/outcomes.rs"]
mod outcomes;

use std::collections::BTreeSet;

use lockfree::engine::{Slot, Slots, Striped};
use lockfree::shim::{AtomicI64, Ordering::Relaxed};
use outcomes::outcomes;

/// Two counters, of which the second is used, and the threads' numbers.
#[derive(Default)]
struct Shared {
    counters: Striped<2>,
    slots: Slots,
}

impl Shared {
    fn add(&self, slot: Slot, n: i64) {
        if !self.counters.try_add(slot, 1, n) {
            self.counters.add_slowly(slot, 1, n);
        }
    }

    /// As a thread that ends after `counts` additions of 1.
    fn live(&self, counts: usize) -> i128 {
        let slot = self.slots.take();
        for _ in 0..counts {
            self.add(slot, 1);
        }
        self.slots.give_back(slot);
        0
    }

    fn reset(&self) -> i128 {
        self.counters.reset(1)
    }

    fn sum(&self) -> i128 {
        self.counters.sum(1)
    }
}

/// What a thread does; what it returns.
type Run = fn(&Shared) -> i128;

/// What the threads return, and the sum at the end.
fn seen<const THREADS: usize>(
    shared: fn() -> Shared,
    threads: [Run; THREADS],
) -> BTreeSet<([i128; THREADS], i128)> {
    outcomes(shared, threads, Shared::sum)
}

#[test]
fn a_number_is_held_by_one_thread_at_a_time() {
    let take: Run = |shared| shared.slots.take().number().into();
    let pass: Run = |shared| {
        let slot = shared.slots.take();
        shared.slots.give_back(slot);
        slot.number().into()
    };
    assert_eq!(seen(Shared::default, [take, take]), [([1, 2], 0), ([2, 1], 0)].into());
    let one_after_the_other = [([1, 1], 0), ([2, 1], 0), ([1, 2], 0)];
    assert_eq!(seen(Shared::default, [take, pass]), one_after_the_other.into());
}

/// Whether both threads have a cell each, or one goes on in the other's.
#[test]
fn no_addition_is_lost() {
    let live: Run = |shared| shared.live(1);
    assert_eq!(seen(Shared::default, [live, live]), [([0, 0], 2)].into());
}

/// The numbers 2 and 3 have their cells in the same segment.
#[test]
fn a_cell_made_by_another_thread_is_found_empty() {
    let first_held = || {
        let shared = Shared::default();
        shared.slots.take();
        shared
    };
    let live: Run = |shared| shared.live(1);
    assert_eq!(seen(first_held, [live, live]), [([0, 0], 2)].into());
}

#[test]
fn each_addition_is_in_one_reset_or_in_what_remains() {
    let live: Run = |shared| shared.live(2);
    let seen = seen(Shared::default, [live, Shared::reset, Shared::reset]);
    assert!(seen.iter().all(|([_, a, b], rest)| a + b + rest == 2), "{seen:?}");
    assert!(seen.iter().flat_map(|([_, a, b], rest)| [a, b, rest]).all(|n| *n >= 0), "{seen:?}");
    let kinds: BTreeSet<_> = seen.into_iter().map(|([_, a, b], rest)| (a.max(b), rest)).collect();
    assert_eq!(kinds, [(0, 2), (1, 1), (2, 0), (1, 0)].into());
}

/// A thread without a number adds to the remainder.
#[test]
fn an_addition_without_a_cell_is_counted_once() {
    let add: Run = |shared| {
        shared.add(Slot::NONE, 1);
        0
    };
    let seen = seen(Shared::default, [add, add, Shared::reset]);
    let resets = [0, 1, 2].map(|reset| ([0, 0, reset], 2 - reset));
    assert_eq!(seen, resets.into());
}

/// A cell that would overflow is left alone: half of the counts are elsewhere.
#[test]
fn a_full_cell_overflows_into_the_remainder() {
    let full = || {
        let shared = Shared::default();
        let slot = shared.slots.take();
        shared.add(slot, i64::MAX);
        shared.slots.give_back(slot);
        shared
    };
    let live: Run = |shared| shared.live(2);
    let seen = seen(full, [live, Shared::reset]);
    let max = i128::from(i64::MAX);
    let resets = [0, 1, 2].map(|reset| ([0, max + reset], 2 - reset));
    assert_eq!(seen, resets.into());
}

#[test]
fn a_sum_counts_what_was_added_before() {
    let add_and_sum: Run = |shared| {
        let slot = shared.slots.take();
        shared.add(slot, 1);
        shared.sum()
    };
    let seen = seen(Shared::default, [add_and_sum, add_and_sum]);
    assert_eq!(seen, [([1, 2], 2), ([2, 1], 2), ([2, 2], 2)].into());
}

#[test]
fn an_addition_publishes_what_came_before() {
    const PAYLOAD: i64 = 5;
    type Channel = (AtomicI64, Shared);
    let channel = || (AtomicI64::new(0), Shared::default());
    let send: fn(&Channel) -> Option<i64> = |(payload, shared)| {
        let slot = shared.slots.take();
        shared.add(slot, 1); // the first one takes the lock or makes the cell
        payload.store(PAYLOAD, Relaxed);
        shared.add(slot, 1);
        None
    };
    let receive: fn(&Channel) -> Option<i64> =
        |(payload, shared)| (shared.sum() == 2).then(|| payload.load(Relaxed));
    let seen = outcomes(channel, [send, receive], |_| ());
    assert_eq!(seen, [([None, None], ()), ([None, Some(PAYLOAD)], ())].into());
}
