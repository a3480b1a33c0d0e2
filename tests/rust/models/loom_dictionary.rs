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
use keys::sought::Sought;
use lockfree::engine::{Dictionary, OutOfMemory, Pointer};
use outcomes::{PREEMPTIONS, outcomes_of};

const OTHER: Sought = Sought { number: 2, hash: 2, by_hash: true };

/// A dictionary of one key, and a reference to the value that it has at first, which is expected.
struct Model {
    map: Dictionary<Value>,
    first: usize,
    memory: Memory<7>,
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

    /// What was there.
    fn overwrite(&self, value: usize) -> Option<usize> {
        let old = self.map.overwrite(&KEY, self.memory.value(value));
        old.ok().map(|old| old.number())
    }

    /// As who knows nothing of the key.
    fn put(&self, value: usize) -> Option<usize> {
        let (key, value) = (self.memory.value(1), self.memory.value(value));
        self.map.put(&KEY, key, value).unwrap();
        None
    }

    fn remove_any(&self) -> Option<usize> {
        self.map.remove_any().map(|(_, value)| value.number())
    }

    fn clear(&self) -> Option<usize> {
        self.map.clear(|| ());
        None
    }

    fn copy(&self) -> Option<usize> {
        let items = self.map.items(|| Ok::<_, OutOfMemory>(())).unwrap();
        items.first().map(|(_, value)| value.number())
    }

    /// The value of the key, and how many values there are.
    fn end(&self) -> (Option<usize>, usize) {
        (self.get(), self.memory.live())
    }
}

type Act = fn(&Model) -> Option<usize>;

fn seen(acts: [Act; 2]) -> BTreeSet<([Option<usize>; 2], Option<usize>)> {
    outcomes_of(Some(PREEMPTIONS), Model::new, acts, Model::get)
}

/// What is there in the end, and how many values are left: the key, the expected value, and that.
type End = (Option<usize>, usize);

/// The same with the end.
fn ends(acts: [Act; 2]) -> BTreeSet<([Option<usize>; 2], End)> {
    outcomes_of(Some(PREEMPTIONS), Model::new, acts, Model::end)
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

/// Writers of one key, without a lock: each gets what the other one put, or what was there.
#[test]
fn who_writes_gets_what_was_there() {
    let ends = ends([|model| model.overwrite(20), |model| model.overwrite(30)]);
    let expected = [([Some(10), Some(20)], (Some(30), 3)), ([Some(30), Some(10)], (Some(20), 3))];
    assert_eq!(ends, BTreeSet::from(expected));
}

/// It is removed with the value that it has then, by whoever removes.
#[test]
fn what_is_removed_is_written_before_or_not_at_all() {
    let removals: [Act; 2] = [Model::remove_any, |model| {
        let removed = model.map.remove(&KEY, None).unwrap();
        removed.map(|(_, value)| value.number())
    }];
    for remove in removals {
        let ends = ends([|model| model.overwrite(20), remove]);
        let expected = [([Some(10), Some(20)], (None, 1)), ([None, Some(10)], (None, 1))];
        assert_eq!(ends, BTreeSet::from(expected));
    }
}

#[test]
fn what_is_cleared_is_written_before_or_not_at_all() {
    let ends = ends([|model| model.overwrite(20), Model::clear]);
    let expected = [([Some(10), None], (None, 1)), ([None, None], (None, 1))];
    assert_eq!(ends, BTreeSet::from(expected));
}

/// The entry has another key's item by then.
#[test]
fn who_is_late_writes_to_no_other_key() {
    let reuse: Act = |model| {
        drop(model.map.remove(&KEY, None).unwrap());
        model.map.put(&OTHER, model.memory.value(2), model.memory.value(30)).unwrap();
        let other = model.map.get(&OTHER).unwrap();
        other.map(|value| value.number())
    };
    let seen = seen([|model| model.overwrite(20), reuse]);
    let expected = [([Some(10), Some(30)], None), ([None, Some(30)], None)];
    assert_eq!(seen, BTreeSet::from(expected));
}

/// Under the lock, and without it.
#[test]
fn of_two_that_are_put_one_replaces_the_other() {
    let ends = ends([|model| model.overwrite(20), |model| model.put(40)]);
    let expected = [([Some(10), None], (Some(40), 3)), ([Some(40), None], (Some(20), 3))];
    assert_eq!(ends, BTreeSet::from(expected));
}

#[test]
fn what_is_copied_is_there() {
    let ends = ends([|model| model.overwrite(20), Model::copy]);
    let expected = [([Some(10), Some(10)], (Some(20), 3)), ([Some(10), Some(20)], (Some(20), 3))];
    assert_eq!(ends, BTreeSet::from(expected));
}
