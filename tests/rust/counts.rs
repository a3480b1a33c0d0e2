//! The counts of keys: what they do beside the cache, whose table they have.
#![cfg(not(loom))]

#[path = "common/keys.rs"]
mod keys;
#[allow(dead_code)] // other tests use the rest
#[path = "common/threads.rs"]
mod threads;

use std::collections::BTreeMap;
use std::time::Duration;

use keys::counted::{Memory, Value};
use keys::sought;
use keys::sought::Numbered;
use lockfree::engine::memory::slots;
use lockfree::engine::{Counts, OutOfMemory, Slots};
use proptest::prelude::*;
use threads::on_threads;

fn add<const N: usize>(counts: &Counts<Value>, values: &Memory<N>, key: usize, n: i64) {
    let (slot, name) = (slots::take_current(), || values.value(key + 1));
    counts.add(&sought(key), n, slot, name).unwrap();
}

fn get(counts: &Counts<Value>, key: usize) -> i128 {
    counts.get(&sought(key)).unwrap()
}

fn reset(counts: &Counts<Value>, key: usize) -> i128 {
    counts.reset(&sought(key)).unwrap()
}

fn numbered(items: Vec<(Value, i128)>) -> BTreeMap<usize, i128> {
    items.into_iter().map(|(key, count)| (Numbered::number(&key), count)).collect()
}

fn items(counts: &Counts<Value>) -> BTreeMap<usize, i128> {
    numbered(counts.items(|| Ok::<_, OutOfMemory>(())).unwrap())
}

#[test]
fn a_count_is_exact_however_large() {
    let (values, counts) = (Memory::<8>::default(), Counts::new(None));
    // The first is more than a word has room for beside its mark; then the stripe is full.
    for key in [0, 1] {
        let step = if key == 0 { i64::MAX } else { i64::MIN };
        for steps in 1..5 {
            add(&counts, &values, key, step);
            assert_eq!(get(&counts, key), i128::from(step) * steps);
        }
        assert_eq!(reset(&counts, key), i128::from(step) * 4);
        add(&counts, &values, key, 7);
        assert_eq!(get(&counts, key), 7);
    }
    let before = counts.bytes();
    add(&counts, &values, 2, i64::MAX / 2 + 1);
    assert!(counts.bytes() > before, "its stripes count");
    assert_eq!(numbered(counts.take(|| ()).unwrap()), [(0, 7), (1, 7), (2, 1 << 62)].into());
    assert_eq!((counts.len(), values.live()), (0, 0));
}

#[test]
fn a_bound_is_exact_and_the_rest_is_counted_together() {
    let (values, counts) = (Memory::<64>::default(), Counts::new(Some(5)));
    on_threads(4, |thread| {
        for key in 0..12 {
            add(&counts, &values, (key + 3 * thread) % 12, 1);
        }
    });
    assert_eq!((counts.len(), counts.is_empty(), counts.most()), (5, false, Some(5)));
    let kept = items(&counts);
    assert_eq!(kept.values().sum::<i128>() + counts.other(), 48);
    assert!(counts.contains(&sought(*kept.keys().next().unwrap())).unwrap());
    // What is taken away makes room, and what is counted together stays.
    let other = counts.other();
    assert_eq!(numbered(counts.take(|| ()).unwrap()), kept);
    (0..6).for_each(|key| add(&counts, &values, key, 1));
    assert_eq!((counts.len(), counts.other()), (5, other + 1));
    counts.clear(|| ());
    add(&counts, &values, 11, 1);
    assert_eq!((get(&counts, 11), counts.other()), (1, other + 1));
    let none = Counts::new(Some(0));
    add(&none, &values, 1, 3);
    assert_eq!((none.len(), none.other()), (0, 3));
}

#[test]
fn each_addition_is_in_one_reset_or_in_what_remains() {
    const TIMES: usize = if cfg!(miri) { 20 } else { 5000 };
    let (values, counts) = (Memory::<64>::default(), Counts::new(None));
    let taken = on_threads(4, |thread| {
        let mut taken = 0;
        for time in 0..TIMES {
            match (thread, time % 50) {
                (0..3, _) => add(&counts, &values, time % 2, 1),
                (_, 0) => taken += numbered(counts.take(|| ()).unwrap()).values().sum::<i128>(),
                _ => taken += reset(&counts, time % 2),
            }
        }
        taken
    });
    let left: i128 = items(&counts).values().sum();
    assert_eq!(taken.into_iter().sum::<i128>() + left, 3 * TIMES as i128);
    drop(counts);
    assert_eq!(values.live(), 0);
}

/// A key's stripes are there once it changed hands often and quickly.
#[test]
fn what_threads_share_all_the_time_is_striped() {
    let (values, slots) = (Memory::<8>::default(), Slots::default());
    let slots = [slots.take(), slots.take()];
    let growth = |pause: Duration, handovers: usize, by: fn(usize) -> usize| {
        let counts = Counts::new(None);
        let add = |time| {
            counts.add(&sought(1), 1, slots[by(time)], || values.value(2)).unwrap();
            counts.bytes()
        };
        let before = add(0);
        let grown = (1..handovers).any(|time| {
            if time % 8 == 0 && !pause.is_zero() {
                std::thread::sleep(pause);
            }
            add(time) > before
        });
        let count = get(&counts, 1);
        assert!(grown && count > 64 || count == handovers as i128);
        grown
    };
    const MANY: usize = 100_000;
    assert!(growth(Duration::ZERO, MANY, |time| time % 2), "shared");
    assert!(!growth(Duration::ZERO, MANY, |_| 0), "one thread's");
    assert!(!growth(Duration::ZERO, MANY, |time| time / (MANY / 50) % 2), "now and then");
    if !cfg!(miri) {
        // It takes 64 that follow one another quickly.
        assert!(!growth(Duration::from_millis(2), 160, |time| time % 2), "too slow to matter");
    }
}

/// One cache line of a key's own, and room that doubles.
#[test]
fn an_entry_has_its_count_and_nothing_of_a_policy() {
    let (values, counts) = (Memory::<4100>::default(), Counts::<Value>::new(None));
    for key in 0..2000 {
        add(&counts, &values, key, 1);
    }
    // 64 for the entry, on pages that double, and at most 16 for the table.
    assert!(counts.bytes() < 2000 * 144 + 4096, "{}", counts.bytes());
}

#[derive(Clone, Debug)]
enum Op {
    Add(usize, i64),
    Reset(usize),
    Take,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..9_usize;
    let n = prop_oneof![-3..9_i64, Just(i64::MAX), Just(i64::MIN), Just(i64::MAX / 2)];
    prop_oneof![
        8 => (key.clone(), n).prop_map(|(key, n)| Op::Add(key, n)),
        2 => key.prop_map(Op::Reset),
        1 => Just(Op::Take),
        1 => Just(Op::Clear),
    ]
}

proptest! {
    #[test]
    fn does_what_a_map_does(ops in prop::collection::vec(op(), 0..60)) {
        let (values, counts) = (Memory::<64>::default(), Counts::new(None));
        let mut model = BTreeMap::new();
        for op in ops {
            match op {
                Op::Add(key, n) => {
                    add(&counts, &values, key, n);
                    *model.entry(key).or_default() += i128::from(n);
                }
                Op::Reset(key) => {
                    let before = model.get_mut(&key).map(std::mem::take);
                    prop_assert_eq!(reset(&counts, key), before.unwrap_or_default());
                }
                Op::Take => {
                    let taken = numbered(counts.take(|| ()).unwrap());
                    prop_assert_eq!(taken, std::mem::take(&mut model));
                }
                Op::Clear => {
                    counts.clear(|| ());
                    model.clear();
                }
            }
            prop_assert_eq!(items(&counts), model.clone());
            prop_assert_eq!(counts.len(), model.len());
            for key in 0..9 {
                prop_assert_eq!(get(&counts, key), model.get(&key).copied().unwrap_or_default());
            }
        }
        drop(counts);
        prop_assert_eq!(values.live(), 0);
    }
}
