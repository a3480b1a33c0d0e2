//! The boolean: each operation, and threads.
#![cfg(not(loom))]

#[path = "common/threads.rs"]
mod threads;

use lockfree::engine::Flag;
use lockfree::shim::Ordering::SeqCst;
use threads::{on_threads, until_threads_meet};

/// Runs `operation` on a new flag; returns its result and what it left.
fn on<R>(start: bool, operation: impl FnOnce(&Flag) -> R) -> (R, bool) {
    let flag = Flag::new(start);
    (operation(&flag), flag.load(SeqCst))
}

#[test]
fn starts_at_the_value_given_or_at_false() {
    assert!(Flag::new(true).load(SeqCst));
    assert!(!Flag::new(false).load(SeqCst));
    assert!(!Flag::default().load(SeqCst));
}

#[test]
fn each_operation_on_each_value() {
    for old in [false, true] {
        for new in [false, true] {
            assert_eq!(on(old, |flag| flag.store(new, SeqCst)), ((), new));
            assert_eq!(on(old, |flag| flag.exchange(new, SeqCst)), (old, new));
            let swap = |flag: &Flag| flag.compare_exchange(old, new, SeqCst, SeqCst);
            assert_eq!(on(old, swap), (Ok(old), new));
            assert_eq!(on(!old, swap), (Err(!old), !old));
        }
        assert_eq!(on(old, |flag| flag.test_and_set(SeqCst)), (old, true));
        assert_eq!(on(old, |flag| flag.fetch_not(SeqCst)), (old, !old));
    }
}

const THREADS: usize = if cfg!(miri) { 3 } else { 8 };
const ROUNDS: usize = if cfg!(miri) { 50 } else { 20_000 };

/// As a lock, the flag lets one thread at a time read and write a plain number.
#[test]
fn who_sets_it_first_is_alone() {
    until_threads_meet(|| {
        let (flag, inside) = (Flag::default(), Flag::default());
        let refused =
            on_threads(THREADS, |_| (0..ROUNDS).filter(|_| !enter(&flag, &inside)).count());
        refused.into_iter().sum()
    });
}

/// Enters and leaves unless somebody is inside.
fn enter(flag: &Flag, inside: &Flag) -> bool {
    if flag.test_and_set(SeqCst) {
        return false;
    }
    assert!(!inside.exchange(true, SeqCst), "two are inside");
    inside.store(false, SeqCst);
    flag.store(false, SeqCst);
    true
}

/// Of an even number of reversals half found each value.
#[test]
fn no_reversal_is_lost() {
    until_threads_meet(|| {
        let flag = Flag::default();
        let reverse = |_| (0..ROUNDS).map(|_| flag.fetch_not(SeqCst)).collect::<Vec<_>>();
        let found = on_threads(THREADS, reverse);
        let set = found.iter().flatten().filter(|found| **found).count();
        assert_eq!(set, THREADS * ROUNDS / 2);
        assert_eq!(flag.load(SeqCst), THREADS * ROUNDS % 2 == 1);
        // A thread that is alone finds the values alternate.
        let pairs = found.iter().flat_map(|found| found.windows(2));
        pairs.filter(|pair| pair[0] == pair[1]).count()
    });
}
