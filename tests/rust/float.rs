//! The floating-point number: each operation, its edges, and threads.
#![cfg(not(loom))]

#[path = "common/cases.rs"]
mod cases;
#[path = "common/threads.rs"]
mod threads;

use std::cmp::Ordering;

use lockfree::engine::Float64;
use lockfree::shim::Ordering::SeqCst;
use proptest::prelude::*;
use proptest::sample::select;
use threads::{on_threads, until_threads_meet};

const INF: f64 = f64::INFINITY;

/// Bits, which tell -0.0 from 0.0, and find NaN equal to itself.
fn bits(values: [f64; 2]) -> [u64; 2] {
    values.map(f64::to_bits)
}

/// The bits that `operation` on a new number returns, and of what it left.
fn on(start: f64, operation: impl FnOnce(&Float64) -> f64) -> [u64; 2] {
    let float = Float64::new(start);
    let returned = operation(&float);
    bits([returned, float.load(SeqCst)])
}

#[test]
fn starts_at_the_value_given_or_at_zero() {
    for value in [1.5, -0.0, -INF, f64::NAN, f64::MIN_POSITIVE / 2.0] {
        assert_eq!(Float64::new(value).load(SeqCst).to_bits(), value.to_bits());
    }
    assert_eq!(Float64::default().load(SeqCst).to_bits(), 0);
}

#[test]
fn an_exchange_replaces_the_value() {
    assert_eq!(on(1.5, |float| float.exchange(-0.0, SeqCst)), bits([1.5, -0.0]));
}

#[test]
fn compare_exchange_compares_bits() {
    /// Whether it wrote, having found what it says it found.
    fn writes(start: f64, expected: f64) -> bool {
        let float = Float64::new(start);
        let result = float.compare_exchange(expected, 7.0, SeqCst, SeqCst);
        let found = result.unwrap_or_else(|found| found);
        assert_eq!(found.to_bits(), start.to_bits());
        assert_eq!(float.load(SeqCst).to_bits() == 7.0_f64.to_bits(), result.is_ok());
        result.is_ok()
    }
    let other_nan = f64::from_bits(f64::NAN.to_bits() ^ 1);
    assert!(writes(1.5, 1.5));
    assert!(!writes(1.5, 1.25));
    assert!(writes(f64::NAN, f64::NAN));
    assert!(!writes(f64::NAN, other_nan));
    assert!(!writes(0.0, -0.0));
    assert!(!writes(-0.0, 0.0));
}

#[test]
fn additions_follow_ieee_754() {
    assert_eq!(on(1.5, |float| float.fetch_add(0.25, SeqCst)), bits([1.5, 1.75]));
    assert_eq!(on(f64::MAX, |float| float.fetch_add(f64::MAX, SeqCst)), bits([f64::MAX, INF]));
    assert_eq!(on(-0.0, |float| float.fetch_add(-0.0, SeqCst)), bits([-0.0, -0.0]));
    assert_eq!(on(1e16, |float| float.fetch_add(1.0, SeqCst)), bits([1e16, 1e16]));
    assert!(f64::from_bits(on(INF, |float| float.fetch_add(-INF, SeqCst))[1]).is_nan());
}

const THREADS: usize = if cfg!(miri) { 3 } else { 8 };
const ADDITIONS: u32 = if cfg!(miri) { 50 } else { 100_000 };

/// Whole numbers this small are added exactly, in whatever order.
#[test]
fn threads_count_exactly() {
    until_threads_meet(|| {
        let float = Float64::default();
        let count = |_| (0..ADDITIONS).map(|_| float.fetch_add(1.0, SeqCst)).collect::<Vec<_>>();
        let counts = on_threads(THREADS, count);

        let mut all = counts.concat();
        all.sort_unstable_by(f64::total_cmp);
        assert!(
            all.into_iter()
                .map(f64::to_bits)
                .eq((0..).map(f64::from).map(f64::to_bits).take(THREADS * ADDITIONS as usize))
        );
        let pairs = counts.iter().flat_map(|numbers| numbers.windows(2));
        pairs.filter(|pair| pair[1].to_bits() != (pair[0] + 1.0).to_bits()).count()
    });
}

fn numbers() -> impl Strategy<Value = f64> {
    const EDGES: [f64; 8] = [0.0, -0.0, 1.0, INF, -INF, f64::MAX, f64::MIN_POSITIVE, f64::EPSILON];
    prop_oneof![select(&EDGES), any::<f64>(), any::<u64>().prop_map(f64::from_bits)]
}

/// The last of two in an order, or the one that is a number.
fn extreme(a: f64, b: f64, order: impl Fn(&f64, &f64) -> Ordering) -> f64 {
    let numbers = [a, b].into_iter().filter(|each| !each.is_nan());
    numbers.max_by(order).unwrap_or(a)
}

proptest! {
    #![proptest_config(cases::cases())]

    #[test]
    fn behaves_as_a_plain_number(
        start in numbers(),
        steps in prop::collection::vec((0..6, numbers()), 0..40),
    ) {
        let float = Float64::new(start);
        let mut value = start;
        for (operation, n) in steps {
            let (returned, next) = match operation {
                0 => { float.store(n, SeqCst); (value, n) }
                1 => (float.exchange(n, SeqCst), n),
                2 => {
                    let found = float.compare_exchange(n, -n, SeqCst, SeqCst);
                    let next = if n.to_bits() == value.to_bits() { -n } else { value };
                    prop_assert_eq!(found.is_ok(), n.to_bits() == value.to_bits());
                    (found.unwrap_or_else(|found| found), next)
                }
                3 => (float.fetch_max(n, SeqCst), extreme(value, n, f64::total_cmp)),
                4 => (float.fetch_min(n, SeqCst), extreme(value, n, |a, b| b.total_cmp(a))),
                _ => (float.fetch_add(n, SeqCst), value + n),
            };
            prop_assert_eq!(returned.to_bits(), value.to_bits());
            // Which NaN a sum is, nobody promises.
            let end = float.load(SeqCst);
            prop_assert!(end.to_bits() == next.to_bits() || end.is_nan() && next.is_nan());
            value = end;
        }
    }
}
