//! Striped counters and the threads' numbers: their edges, and threads.
#![cfg(not(loom))]

#[path = "common/cases.rs"]
mod cases;
#[path = "common/threads.rs"]
mod threads;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;
use std::{iter, thread};

use lockfree::engine::memory::slots::{SLOTS, current, take_current};
use lockfree::engine::{Slot, Slots, Striped};
use proptest::prelude::*;
use proptest::sample::select;
use threads::{on_threads, until_threads_meet};

const MIN: i64 = i64::MIN;
const MAX: i64 = i64::MAX;
const THREADS: usize = if cfg!(miri) { 3 } else { 8 };
const COUNTS: i64 = if cfg!(miri) { 50 } else { 250_000 };

// --- numbers -------------------------------------------------------------------

#[test]
fn the_smallest_free_number_is_taken() {
    let slots = Slots::default();
    let taken = [(); 130].map(|()| slots.take());
    assert!(taken.iter().map(|slot| slot.number()).eq(1..=130));
    for returned in [3, 70, 128] {
        slots.give_back(taken[returned]);
    }
    let again = [(); 4].map(|()| slots.take().number());
    assert_eq!(again, [4, 71, 129, 131]);
}

#[test]
fn without_a_free_number_there_is_none() {
    let slots = Slots::default();
    let taken: BTreeSet<_> = (0..SLOTS).map(|_| slots.take()).collect();
    assert_eq!(taken.len(), SLOTS);
    assert!(!taken.contains(&Slot::NONE));
    assert_eq!(slots.take(), Slot::NONE);
    slots.give_back(Slot::NONE);
    assert_eq!(slots.take(), Slot::NONE);
}

#[test]
fn after_a_fork_one_number_is_held() {
    let slots = Slots::default();
    let taken = [(); 100].map(|()| slots.take());
    slots.keep_only(taken[69]);
    let free = [(); 70].map(|()| slots.take().number());
    assert!(free.into_iter().eq((1..=69).chain([71])));
    slots.keep_only(Slot::NONE);
    assert_eq!(slots.take().number(), 1);
}

#[test]
fn threads_hold_different_numbers() {
    let numbers = on_threads(THREADS, |_| {
        assert_eq!(current(), Slot::NONE);
        let slot = take_current();
        assert_eq!((current(), take_current()), (slot, slot));
        thread::sleep(Duration::from_millis(50));
        slot
    });
    assert!(!numbers.contains(&Slot::NONE));
    assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>().len(), THREADS);
}

static COUNTER: LazyLock<Striped<1>> = LazyLock::new(Striped::default);
/// Whether the threads had a number at their very end.
static NUMBERED: Mutex<BTreeSet<bool>> = Mutex::new(BTreeSet::new());

/// Counts in its thread's destructors.
struct Late;

impl Drop for Late {
    fn drop(&mut self) {
        COUNTER.add(0, 1);
        NUMBERED.lock().unwrap().insert(current() != Slot::NONE);
    }
}

/// Before its number is given back and after: which of two destructors runs first
/// depends on which object was used first.
#[test]
fn a_thread_counts_until_its_very_end() {
    thread_local!(static LATE: Late = const { Late });
    let number_first = || {
        COUNTER.add(0, 1);
        LATE.with(|_| ());
    };
    let number_last = || {
        LATE.with(|_| ());
        COUNTER.add(0, 1);
    };
    thread::spawn(number_first).join().unwrap();
    thread::spawn(number_last).join().unwrap();
    assert_eq!(COUNTER.sum(0), 4);
    assert_eq!(*NUMBERED.lock().unwrap(), [false, true].into());
}

#[test]
fn threads_that_end_leave_their_counts_and_no_growth() {
    const THREADS: i128 = if cfg!(miri) { 20 } else { 10_000 };
    let counter = Striped::<1>::default();
    for _ in 0..THREADS {
        thread::scope(|scope| {
            scope.spawn(|| counter.add(0, 1));
        });
    }
    assert_eq!(counter.sum(0), THREADS);
    // Other tests' threads hold numbers as well.
    assert!(counter.capacity() < 128, "{}", counter.capacity());
}

// --- counters ------------------------------------------------------------------

#[test]
fn starts_at_zero_without_memory() {
    let counter = Striped::<2>::default();
    assert_eq!((counter.sum(0), counter.sum(1), counter.capacity()), (0, 0, 0));
    assert_eq!((counter.reset(0), counter.capacity()), (0, 0));
}

#[test]
fn no_value_is_too_large() {
    let counter = Striped::<1>::default();
    let [max, min] = [MAX, MIN].map(i128::from);
    (0..5).for_each(|_| counter.add(0, MAX));
    assert_eq!(counter.sum(0), 5 * max);
    (0..9).for_each(|_| counter.add(0, MIN));
    assert_eq!(counter.reset(0), 5 * max + 9 * min);
    counter.add(0, -1);
    assert_eq!(counter.reset(0), -1);
    assert_eq!(counter.sum(0), 0);
}

#[test]
fn threads_count_exactly() {
    until_threads_meet(count_once);
}

/// Each thread counts, and sums now and then; returns how often a sum showed the
/// counts of others.
fn count_once() -> usize {
    let counter = Striped::<2>::default();
    let meetings = on_threads(THREADS, |_| {
        let mut others = 0;
        let mut meetings = 0;
        for count in 1..=COUNTS {
            counter.add(0, 1);
            counter.add(1, -2);
            if count % 16 == 0 {
                let seen = counter.sum(0) - i128::from(count);
                assert!(seen >= others, "a sum never goes back");
                meetings += usize::from(seen != others);
                others = seen;
            }
        }
        meetings
    });
    let total = i128::try_from(THREADS).unwrap() * i128::from(COUNTS);
    assert_eq!((counter.sum(0), counter.sum(1)), (total, -2 * total));
    meetings.into_iter().sum()
}

#[test]
fn each_addition_is_in_one_reset_or_in_what_remains() {
    until_threads_meet(|| {
        let counter = Striped::<1>::default();
        let running = AtomicUsize::new(THREADS);
        let resets = on_threads(THREADS + 2, |number| {
            if number < THREADS {
                (0..COUNTS).for_each(|_| counter.add(0, 1));
                running.fetch_sub(1, Relaxed);
                return vec![];
            }
            let still_running = || running.load(Relaxed) > 0;
            let resets = iter::from_fn(|| still_running().then(|| counter.reset(0)));
            resets.filter(|sum| *sum > 0).collect()
        });
        let resets = resets.concat();
        let total = i128::try_from(THREADS).unwrap() * i128::from(COUNTS);
        assert_eq!(resets.iter().sum::<i128>() + counter.sum(0), total);
        resets.len()
    });
}

/// A thread that may have a number or not, a counter, and what is done to it:
/// an addition, or a reset.
fn steps() -> impl Strategy<Value = (usize, usize, Option<i64>)> {
    let numbers = prop_oneof![select(&[MIN, MIN + 1, MAX]), -2_i64..=2, any::<i64>()];
    (0..6_usize, 0..3_usize, prop::option::weighted(0.9, numbers))
}

proptest! {
    #![proptest_config(cases::cases())]

    #[test]
    fn behaves_as_plain_numbers(steps in prop::collection::vec(steps(), 0..60)) {
        let numbers = Slots::default();
        let slots: Vec<_> =
            iter::once(Slot::NONE).chain((1..6).map(|_| numbers.take())).collect();
        let counters = Striped::<3>::default();
        let mut values = [0_i128; 3];
        for (slot, which, n) in steps {
            match n {
                Some(n) if counters.try_add(slots[slot], which, n) => values[which] += i128::from(n),
                Some(n) => {
                    counters.add_slowly(slots[slot], which, n);
                    values[which] += i128::from(n);
                }
                None => prop_assert_eq!(counters.reset(which), std::mem::take(&mut values[which])),
            }
            prop_assert_eq!([0, 1, 2].map(|which| counters.sum(which)), values);
        }
    }
}
