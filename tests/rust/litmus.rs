//! The litmus tests: every outcome is counted once, and what no ordering allows is
//! not among them.

#![cfg(not(loom))]

use lockfree::litmus::{Counts, ORDERINGS, TESTS, run};

const INSTANCES: usize = if cfg!(miri) { 8 } else { 4096 };
const BATCHES: usize = if cfg!(miri) { 1 } else { 20 };

fn counts(test: &str, ordering: &str) -> Counts {
    let mut counts = Counts::new();
    for _ in 0..BATCHES {
        for (outcome, count) in run(test, ordering, INSTANCES).unwrap() {
            *counts.entry(outcome).or_default() += count;
        }
    }
    counts
}

/// Whether the language's memory model forbids the outcome.
fn is_forbidden(test: &str, ordering: &str, outcome: &[u8]) -> bool {
    match (test, outcome) {
        ("store_buffering", [0, 0]) | ("iriw", [1, 0, 1, 0]) => ordering == "seq_cst",
        ("message_passing", [1, 0]) | ("load_buffering", [1, 1]) => ordering != "relaxed",
        ("coherence", [first, second]) => first > second,
        _ => false,
    }
}

#[test]
fn no_outcome_is_one_that_the_model_forbids() {
    for test in TESTS {
        for ordering in ORDERINGS {
            let counts = counts(test, ordering);
            assert_eq!(counts.values().sum::<u64>(), (BATCHES * INSTANCES) as u64);
            for outcome in counts.keys() {
                assert!(!is_forbidden(test, ordering, outcome), "{test} {ordering} {outcome:?}");
            }
        }
    }
}

#[test]
fn an_outcome_has_the_registers_of_all_threads() {
    for test in TESTS {
        let registers = if *test == "iriw" { 4 } else { 2 };
        assert!(counts(test, "relaxed").keys().all(|outcome| outcome.len() == registers), "{test}");
    }
}

/// A batch that shows no store overtaken by a load could not tell `SeqCst` from less.
#[test]
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn less_than_seq_cst_lets_a_load_overtake_a_store() {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        for ordering in ["relaxed", "acq_rel"] {
            let shown =
                (0..10).any(|_| counts("store_buffering", ordering).contains_key(&vec![0, 0]));
            assert!(shown, "{ordering}");
        }
    }
}

#[test]
fn any_number_of_instances_is_run_and_each_once() {
    for instances in [0, 1, 2, 3, 31, 33, 1000, 1597] {
        let counts = run("coherence", "relaxed", instances).unwrap();
        assert_eq!(counts.values().sum::<u64>(), instances as u64);
    }
}

#[test]
fn what_is_not_known_is_not_run() {
    assert!(run("coherence", "acquire", 1).is_none());
    assert!(run("dekker", "relaxed", 1).is_none());
}
