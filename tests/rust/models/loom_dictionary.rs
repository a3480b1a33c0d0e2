//! The dictionary's own updates under loom; `loom_cache.rs` has the table, `loom_int.rs` says
//! what loom is.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_dictionary
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
use lockfree::engine::{Dictionary, Pointer};
use outcomes::{PREEMPTIONS, outcomes_of};

/// A dictionary of one key, and a reference to the value that it has at first, which is expected.
struct Model {
    map: Dictionary<Value>,
    first: usize,
    memory: Memory<5>,
}

impl Model {
    fn new() -> Self {
        let (map, memory) = (Dictionary::with(1), Memory::default());
        map.put(&KEY, memory.value(1), memory.value(10)).unwrap();
        let Ok(Some(first)) = map.get(&KEY) else { panic!("it was put") };
        Self { map, first: first.into_raw(), memory }
    }

    fn get(&self) -> Option<usize> {
        let value = self.map.get(&KEY).unwrap();
        value.map(|value| value.number())
    }

    /// What was there, if it was the expected value, and was replaced.
    fn replace(&self, value: usize) -> Option<usize> {
        let expected = Some(self.first);
        let replaced = self.map.replace(&KEY, expected, self.memory.value(value)).unwrap();
        replaced.ok().map(|old| old.number())
    }

    fn remove(&self) -> Option<usize> {
        let removed = self.map.remove(&KEY, Some(self.first)).unwrap();
        removed.map(|(_, value)| value.number())
    }
}

type Act = fn(&Model) -> Option<usize>;

fn seen(acts: [Act; 2]) -> BTreeSet<([Option<usize>; 2], Option<usize>)> {
    outcomes_of(Some(PREEMPTIONS), Model::new, acts, Model::get)
}

#[test]
fn of_two_replacements_of_one_value_one_succeeds() {
    let seen = seen([|model| model.replace(20), |model| model.replace(30)]);
    let expected = [([Some(10), None], Some(20)), ([None, Some(10)], Some(30))];
    assert_eq!(seen, BTreeSet::from(expected));
}

#[test]
fn what_was_replaced_is_not_removed() {
    let seen = seen([|model| model.replace(20), Model::remove]);
    let expected = [([Some(10), None], Some(20)), ([None, Some(10)], None)];
    assert_eq!(seen, BTreeSet::from(expected));
}

/// A reader finds the one value or the other.
#[test]
fn a_replacement_is_seen_whole_or_not_at_all() {
    let seen = seen([|model| model.replace(20), Model::get]);
    let expected = [([Some(10), Some(10)], Some(20)), ([Some(10), Some(20)], Some(20))];
    assert_eq!(seen, BTreeSet::from(expected));
}
