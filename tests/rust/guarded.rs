//! The queues under a lock: their orders, their edges, and threads.
#![cfg(not(loom))]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // the reference's own

#[path = "common/threads.rs"]
mod threads;

use std::cmp::Ordering;

use lockfree::engine::queue::guarded::Shelf;
use lockfree::engine::{Guarded, Heap, Lifo, Number, Priority, Ranked, Refusal, TryGet};
use proptest::prelude::*;
use threads::{on_threads, until_threads_meet};

type Stacked = Guarded<Lifo<u32>>;
type Sorted = Guarded<Heap<u32>>;

fn ranked(priority: i64, value: u32) -> Ranked<u32> {
    let priority = Priority::new(Number::Int(priority), []).expect("memory");
    Ranked { priority, value }
}

fn float(value: f64) -> Number {
    Number::from_f64(value).expect("memory").expect("a number")
}

fn int(value: i128) -> Number {
    let magnitude = value.unsigned_abs();
    let words = vec![magnitude as u64, (magnitude >> 64) as u64];
    Number::from_words(value < 0, words).expect("memory")
}

fn all<S: Shelf<Value = u32>>(queue: &Guarded<S>) -> Vec<u32> {
    let mut values = Vec::new();
    while let TryGet::Got(_) = queue.get_some(usize::MAX, |value| values.push(value)) {}
    values
}

#[test]
fn last_in_first_out() {
    let queue = Stacked::default();
    assert_eq!(queue.try_get(), TryGet::Empty);
    assert_eq!(queue.try_put_some(&mut vec![1, 2, 3].into_iter()), Ok(3));
    assert_eq!(queue.try_get(), TryGet::Got(3));
    assert_eq!(queue.try_put(4), Ok(()));
    assert_eq!((queue.len(), queue.unfinished()), (3, 4));
    assert_eq!(all(&queue), [4, 2, 1]);
}

#[test]
fn smallest_first_and_among_equals_first_in_first_out() {
    let queue = Sorted::default();
    for (priority, value) in [(2, 0), (1, 1), (2, 2), (0, 3), (1, 4), (2, 5)] {
        assert!(queue.try_put(ranked(priority, value)).is_ok());
    }
    assert_eq!(all(&queue), [3, 1, 4, 0, 2, 5]);
}

/// How many bytes it has with so many values in it, on their way up and down again.
fn bytes_of<S: Shelf<Value = u32>>(entry: impl Fn(u32) -> S::Entry) -> [usize; 4] {
    const MANY: u32 = if cfg!(miri) { 500 } else { 50_000 };
    let queue = Guarded::<S>::default();
    for value in 0..MANY {
        assert!(queue.try_put(entry(value)).is_ok());
    }
    let full = queue.bytes();
    let get = |count| {
        let mut got: Vec<u32> = Vec::new();
        while got.len() < count {
            let TryGet::Got(value) = queue.try_get() else { panic!("there are more") };
            got.push(value);
        }
        got.sort_unstable();
        got.dedup();
        assert_eq!(got.len(), count);
        queue.bytes()
    };
    let most = MANY as usize;
    [full, get(most / 2), get(most / 2 - 10), get(10)]
}

#[test]
fn memory_comes_back() {
    let heap = bytes_of::<Heap<u32>>(|value| ranked(i64::from(value % 7), value));
    let lifo = bytes_of::<Lifo<u32>>(|value| value);
    for [full, half, little, empty] in [heap, lifo] {
        assert_eq!(half, full, "a quarter is in use");
        assert!(little * 5 < full, "{little} of {full}");
        assert_eq!(empty, little, "what is kept");
        assert!(empty > 0);
    }
}

#[test]
fn holds_to_its_limit_and_to_being_closed() {
    let queue = Stacked::default();
    queue.set_limit(2);
    assert_eq!(queue.try_put_some(&mut vec![1, 2, 3].into_iter()), Ok(2));
    assert_eq!(queue.try_put(4), Err((4, Refusal::Full)));
    queue.set_limit(1);
    assert_eq!((queue.len(), queue.bound(), queue.is_full()), (2, 1, true));
    queue.set_limit(0);
    assert_eq!((queue.try_put(5), queue.bound(), queue.is_bounded()), (Ok(()), 0, false));
    assert!(queue.close());
    assert!(!queue.close());
    assert_eq!(queue.try_put(6), Err((6, Refusal::Closed)));
    assert_eq!(queue.try_get(), TryGet::Got(5));
    queue.shut();
    assert_eq!(queue.try_get(), TryGet::Closed);
    assert_eq!(all(&queue), [2, 1]);
    assert_eq!((queue.finish(4), queue.finish(3)), (Err(3), Ok(true)));
}

#[test]
fn threads_get_each_value_once() {
    until_threads_meet(|| {
        let queue = Sorted::default();
        let work = |thread: usize| {
            let put_and_get = |i| {
                let value = thread as u32 * 1000 + i;
                assert!(queue.try_put(ranked(i64::from(value % 7), value)).is_ok());
                std::thread::yield_now(); // so that others come in between
                if let TryGet::Got(value) = queue.try_get() { Some(value) } else { None }
            };
            (0..500).filter_map(put_and_get).collect::<Vec<_>>()
        };
        let got = on_threads(4, work);
        let others = |(thread, values): (usize, &Vec<u32>)| {
            values.iter().filter(|value| **value as usize / 1000 != thread).count()
        };
        let meetings = got.iter().enumerate().map(others).sum();
        let mut got: Vec<u32> = got.into_iter().flatten().chain(all(&queue)).collect();
        got.sort_unstable();
        let put: Vec<u32> = (0..4).flat_map(|i| i * 1000..i * 1000 + 500).collect();
        assert_eq!(got, put);
        meetings
    });
}

#[test]
fn each_number_has_one_representation() {
    let two_to_63 = 9_223_372_036_854_775_808.0;
    assert_eq!(float(3.0), Number::Int(3));
    assert_eq!(float(-0.0), Number::Int(0));
    assert_eq!(float(-two_to_63), Number::Int(i64::MIN));
    assert_eq!(float(two_to_63), int(1 << 63));
    assert_eq!(float(two_to_63 * two_to_63), int(1 << 126));
    assert_eq!(int(i128::from(i64::MIN)), Number::Int(i64::MIN));
    assert_eq!(Number::from_f64(f64::NAN), Ok(None));
}

#[test]
fn numbers_are_in_order() {
    let line = [
        float(f64::NEG_INFINITY),
        float(f64::MIN),
        int(-(1 << 100)),
        int(i128::from(i64::MIN) - 1),
        int(i128::from(i64::MIN)),
        int(-(1 << 53) - 1),
        float(-0.5),
        float(f64::from_bits(1)),
        float(0.5),
        Number::Int(1),
        int((1 << 53) + 1),
        float(9_007_199_254_740_994.0),
        int(i128::from(i64::MAX)),
        float(9_223_372_036_854_775_808.0),
        int((1 << 63) + 1),
        float(f64::MAX),
        float(f64::INFINITY),
    ];
    for (i, a) in line.iter().enumerate() {
        for (j, b) in line.iter().enumerate() {
            assert_eq!(a.cmp(b), i.cmp(&j), "{a:?} {b:?}");
        }
    }
}

#[test]
fn a_run_comes_after_its_beginning() {
    let run = |numbers: &[i64]| {
        let mut numbers = numbers.iter().copied().map(Number::Int);
        Priority::new(numbers.next().expect("a first one"), numbers).expect("memory")
    };
    assert!(run(&[1]) < run(&[1, i64::MIN]));
    assert!(run(&[1, 5, 9]) < run(&[1, 6]));
    assert!(run(&[1, 6]) < run(&[2]));
}

/// An integer that a float also is exactly, or a float of a small absolute value.
fn exact(value: f64) -> (Number, i128) {
    (float(value), (value * 4.0) as i128)
}

proptest! {
    #[test]
    fn integers_and_floats_compare_exactly(a in any::<i64>(), b in -(1_i64 << 50)..1 << 50) {
        let (quarter, scaled) = exact(b as f64 / 4.0);
        let expected = (i128::from(a) * 4).cmp(&scaled);
        prop_assert_eq!(int(i128::from(a)).cmp(&quarter), expected);
        prop_assert_eq!(quarter.cmp(&int(i128::from(a))), expected.reverse());
    }

    #[test]
    fn wide_integers_compare_as_integers(a in any::<i128>(), b in any::<i128>()) {
        prop_assert_eq!(int(a).cmp(&int(b)), a.cmp(&b));
        prop_assert_eq!(int(a).cmp(&int(a)), Ordering::Equal);
    }

    #[test]
    fn wide_floats_are_their_integers(a in any::<f64>()) {
        // Below 2^126 an i128 says what integer a float is.
        let scaled = a.abs() % 2.0_f64.powi(126);
        prop_assume!(scaled.is_finite() && scaled.fract() == 0.0);
        prop_assert_eq!(float(scaled), int(scaled as i128));
    }
}
