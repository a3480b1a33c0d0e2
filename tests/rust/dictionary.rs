//! The dictionary: what it does beside the cache, whose table it has.
#![cfg(not(loom))]

#[path = "common/keys.rs"]
mod keys;
#[allow(dead_code)] // other tests use the rest
#[path = "common/threads.rs"]
mod threads;

use std::collections::BTreeMap;

use keys::counted::{Memory, Value};
use keys::sought;
use keys::sought::Numbered;
use lockfree::engine::{Dictionary, OutOfMemory};
use proptest::prelude::*;
use threads::on_threads;

type Values = Memory<64>;

fn number(value: Option<Value>) -> Option<usize> {
    value.map(|value| Numbered::number(&value))
}

fn put(map: &Dictionary<Value>, values: &Values, key: usize, value: usize) {
    let (name, value) = (values.value(key + 1), values.value(value + 1));
    map.put(&sought(key), name, value).unwrap();
}

fn get(map: &Dictionary<Value>, key: usize) -> Option<usize> {
    let value = map.get(&sought(key)).unwrap();
    number(value)
}

#[test]
fn a_value_is_replaced_if_it_is_the_expected_one() {
    let (values, map) = (Values::default(), Dictionary::with(1));
    let missing = map.replace(&sought(1), None, values.value(5)).unwrap();
    assert_eq!(missing.map_err(|value| value.number()).unwrap_err(), 5, "it is given back");
    put(&map, &values, 1, 10);
    let Ok(Some(ten)) = map.get(&sought(1)) else { panic!("it was put") };
    // An equal one, elsewhere.
    let equal = values.value(11);
    let refused = map.replace(&sought(1), Some(equal.address()), values.value(21)).unwrap();
    assert_eq!(refused.unwrap_err().number(), 21, "it is given back");
    assert_eq!(get(&map, 1), Some(10));
    let replaced = map.replace(&sought(1), Some(ten.address()), values.value(21)).unwrap();
    assert_eq!(replaced.unwrap().address(), ten.address());
    let replaced = map.replace(&sought(1), None, values.value(31)).unwrap();
    assert_eq!(number(replaced.ok()), Some(20));
    let None = map.remove(&sought(1), Some(ten.address())).unwrap() else {
        panic!("it was replaced")
    };
    assert_eq!((map.len(), get(&map, 1)), (1, Some(30)));
    drop((ten, equal, map));
    assert_eq!(values.live(), 0);
}

#[test]
fn whatever_is_there_is_removed_in_some_order() {
    let (values, map) = (Memory::<600>::default(), Dictionary::<Value>::with(4));
    let mut left: BTreeMap<_, _> = (0..200).map(|key| (key, 2 * key)).collect();
    for (key, value) in &left {
        let (name, value) = (values.value(key + 1), values.value(value + 1));
        map.put(&sought(*key), name, value).unwrap();
    }
    while let Some((key, value)) = map.remove_any() {
        let (key, value) = (Numbered::number(&key), Numbered::number(&value));
        assert_eq!(left.remove(&key), Some(value));
        // What is put meanwhile is found as well.
        if key == 100 {
            left.insert(0, 7);
            let (name, value) = (values.value(1), values.value(8));
            map.put(&sought(0), name, value).unwrap();
        }
    }
    assert!(left.is_empty() && map.is_empty());
    assert_eq!(values.live(), 0);
}

/// An entry takes less room than a cache's.
#[test]
fn an_entry_has_nothing_of_a_policy() {
    let (values, map) = (Memory::<4100>::default(), Dictionary::<Value>::with(1));
    let before = map.bytes();
    for key in 0..2000 {
        let (name, value) = (values.value(key + 1), values.value(key + 1));
        map.put(&sought(key), name, value).unwrap();
    }
    // 40 for the entry, on pages that double, and at most 16 for the table.
    assert!(map.bytes() - before < 2000 * 100, "{}", map.bytes() - before);
}

#[test]
fn of_several_threads_one_replaces_a_value() {
    let (values, map) = (Memory::<64>::default(), Dictionary::with(1));
    put(&map, &values, 1, 0);
    let added = on_threads(4, |_| {
        let mut added = 0;
        while added < 500 {
            let Ok(Some(old)) = map.get(&sought(1)) else { panic!("it stays") };
            let next = values.value(old.number() + 1);
            let replaced = map.replace(&sought(1), Some(old.address()), next).unwrap();
            added += usize::from(replaced.is_ok());
        }
        added
    });
    assert_eq!(get(&map, 1), Some(added.into_iter().sum()));
}

#[derive(Clone, Debug)]
enum Op {
    Put(usize, usize),
    GetOrPut(usize, usize),
    Replace(usize, usize),
    Remove(usize),
    RemoveAny,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let (key, value) = (0..9_usize, 0..5_usize);
    prop_oneof![
        4 => (key.clone(), value.clone()).prop_map(|(key, value)| Op::Put(key, value)),
        2 => (key.clone(), value.clone()).prop_map(|(key, value)| Op::GetOrPut(key, value)),
        2 => (key.clone(), value).prop_map(|(key, value)| Op::Replace(key, value)),
        3 => key.prop_map(Op::Remove),
        2 => Just(Op::RemoveAny),
        1 => Just(Op::Clear),
    ]
}

proptest! {
    #[test]
    fn does_what_a_map_does(ops in prop::collection::vec(op(), 0..60)) {
        let (values, map) = (Values::default(), Dictionary::with(2));
        let mut model = BTreeMap::new();
        for op in ops {
            match op {
                Op::Put(key, value) => {
                    put(&map, &values, key, value);
                    model.insert(key, value);
                }
                Op::GetOrPut(key, value) => {
                    let (name, new) = (values.value(key + 1), values.value(value + 1));
                    let found = map.get_or_put(&sought(key), name, new, || true).unwrap();
                    prop_assert_eq!(number(found), model.get(&key).copied());
                    model.entry(key).or_insert(value);
                }
                Op::Replace(key, value) => {
                    let replaced = map.replace(&sought(key), None, values.value(value + 1)).unwrap();
                    let before = model.get_mut(&key).map(|old| std::mem::replace(old, value));
                    prop_assert_eq!(number(replaced.ok()), before);
                }
                Op::Remove(key) => {
                    let removed = map.remove(&sought(key), None).unwrap();
                    prop_assert_eq!(number(removed.map(|(_, value)| value)), model.remove(&key));
                }
                Op::RemoveAny => {
                    let removed = map.remove_any();
                    prop_assert_eq!(removed.is_some(), !model.is_empty());
                    if let Some((key, value)) = removed {
                        let before = model.remove(&Numbered::number(&key));
                        prop_assert_eq!(number(Some(value)), before);
                    }
                }
                Op::Clear => {
                    map.clear(|| ());
                    model.clear();
                }
            }
            let items = map.items(|| Ok::<_, OutOfMemory>(())).unwrap().into_iter();
            let items = items.map(|(key, value)| {
                (Numbered::number(&key), Numbered::number(&value))
            });
            prop_assert_eq!(items.collect::<BTreeMap<_, _>>(), model.clone());
            prop_assert_eq!(map.len(), model.len());
        }
        drop(map);
        prop_assert_eq!(values.live(), 0);
    }
}
