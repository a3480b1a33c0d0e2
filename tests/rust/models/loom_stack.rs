//! The stack under loom; `loom_int.rs` says what that is.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_stack
//! ```
//!
//! Under loom the tag has 2 bits, so that four removals bring a word back, and
//! the arena's first segment two nodes. Models stay below the one and exceed
//! the other. Loom itself reports two accesses to a value that no ordering keeps
//! apart: a reader's copy, say, and the removal of the original.
#![cfg(loom)]

#[path = "../common/lifo.rs"]
mod lifo;
#[path = "../common/outcomes.rs"]
mod outcomes;

use std::array;
use std::cell::Cell;
use std::collections::BTreeSet;

use lifo::Op::{self, Len, Peek, Pop, PopAll, PopMany, Push, PushMany, Snapshot};
use lockfree::engine::Stack;
use outcomes::outcomes;

thread_local! {
    /// How many values there are; loom runs a model's threads on one of the
    /// system's.
    static LIVE: Cell<i32> = const { Cell::new(0) };
}

/// A number that is counted.
struct Value(u32);

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        LIVE.set(LIVE.get() + 1);
        Self(number)
    }
}

impl From<Value> for u32 {
    fn from(value: Value) -> Self {
        value.0
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        Self::from(self.0)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        LIVE.set(LIVE.get() - 1);
    }
}

/// What each operation of each thread returned, and what was left.
type Outcome<const THREADS: usize> = ([Vec<Vec<u32>>; THREADS], Vec<u32>);

/// Runs a thread for each list of operations, on a stack prepared by `start`:
/// the outcomes are those of the operations one at a time, in every order.
fn assert_atomic<const THREADS: usize>(start: &'static [Op], threads: [&'static [Op]; THREADS]) {
    let stack = move || {
        let stack = Stack::<Value>::new();
        for op in start {
            op.run(&stack);
        }
        stack
    };
    let run = |ops: &'static [Op]| {
        move |stack: &Stack<Value>| ops.iter().map(|op| op.run(stack)).collect()
    };
    let end = |stack: &Stack<Value>| {
        let left = PopAll.run(stack);
        assert_eq!(LIVE.get(), 0, "values were lost, or dropped twice");
        left
    };
    let seen = outcomes(stack, threads.map(run), end);

    let mut values = Vec::new();
    for op in start {
        op.meaning(&mut values);
    }
    let expected = one_at_a_time(&values, threads, array::from_fn(|_| Vec::new()));
    let wrong: Vec<_> = seen.difference(&expected).collect();
    let missing: Vec<_> = expected.difference(&seen).collect();
    let verdict = (wrong.as_slice(), missing.as_slice());
    assert_eq!(verdict, (&[][..], &[][..]), "wrong, missing in {start:?} {threads:?}");
}

/// The outcomes of all orders in which operations may follow on `values`, and
/// on what the threads have `returned`.
fn one_at_a_time<const THREADS: usize>(
    values: &[u32],
    threads: [&[Op]; THREADS],
    returned: [Vec<Vec<u32>>; THREADS],
) -> BTreeSet<Outcome<THREADS>> {
    let mut outcomes = BTreeSet::new();
    for (i, ops) in threads.iter().enumerate() {
        let Some((op, rest)) = ops.split_first() else { continue };
        let (mut values, mut threads, mut returned) = (values.to_vec(), threads, returned.clone());
        threads[i] = rest;
        returned[i].push(op.meaning(&mut values));
        outcomes.append(&mut one_at_a_time(&values, threads, returned));
    }
    if outcomes.is_empty() {
        outcomes.insert((returned, values.iter().rev().copied().collect()));
    }
    outcomes
}

#[test]
fn push_against_push() {
    assert_atomic(&[Push(1)], [&[Push(2)], &[Push(3)]]);
    // Both take a node from the free list.
    assert_atomic(&[PushMany(8, 2), PopAll], [&[Push(1)], &[Push(2)]]);
}

/// Both need the same segment of the arena: one thread's is thrown away.
#[test]
fn growth_against_growth() {
    assert_atomic(&[], [&[Push(1)], &[Push(2)]]);
    assert_atomic(&[], [&[PushMany(1, 2)], &[Push(3)]]);
}

#[test]
fn push_against_pop() {
    assert_atomic(&[], [&[Push(1)], &[Pop]]);
    assert_atomic(&[Push(1)], [&[Push(2)], &[Pop]]);
}

#[test]
fn pop_against_pop() {
    assert_atomic(&[Push(1)], [&[Pop], &[Pop]]);
    assert_atomic(&[PushMany(1, 2)], [&[Pop], &[Pop]]);
}

#[test]
fn push_many_is_one_step() {
    assert_atomic(&[], [&[PushMany(1, 2)], &[PushMany(3, 2)]]);
    assert_atomic(&[Push(1)], [&[PushMany(2, 2)], &[Pop]]);
    assert_atomic(&[Push(1)], [&[PushMany(2, 2)], &[PopAll]]);
}

#[test]
fn pop_many_is_one_step() {
    assert_atomic(&[PushMany(1, 2)], [&[PopAll], &[Push(3)]]);
    assert_atomic(&[PushMany(1, 2)], [&[PopAll], &[Pop]]);
    assert_atomic(&[PushMany(1, 2)], [&[PopAll], &[PopAll]]);
    assert_atomic(&[PushMany(1, 3)], [&[PopMany(2)], &[Pop]]);
    assert_atomic(&[PushMany(1, 3)], [&[PopMany(2)], &[Push(4)]]);
}

/// ABA: the first thread has read the top node and the one below it. The second
/// removes both and puts the top one back, over another or over none.
#[test]
fn a_node_put_back_on_the_stack_is_not_taken_for_the_one_read() {
    assert_atomic(&[PushMany(1, 2)], [&[Pop], &[PopAll, Push(3)]]);
    assert_atomic(&[PushMany(1, 2)], [&[Pop], &[Pop, Pop, Push(3)]]);
    assert_atomic(&[PushMany(1, 3)], [&[PopMany(2)], &[PopMany(2), Push(4)]]);
}

/// The same in the list of free nodes: the second thread takes both that there
/// are and gives the first back.
#[test]
fn a_node_given_back_is_not_taken_for_the_one_read() {
    assert_atomic(&[PushMany(8, 2), PopAll], [&[Push(1)], &[PushMany(2, 2), Pop]]);
}

/// The first thread follows links that the second changes meanwhile, to a node
/// in a segment that the first has never seen.
#[test]
fn a_stale_link_may_be_followed() {
    assert_atomic(&[PushMany(8, 2), PopAll], [&[PushMany(1, 3)], &[PushMany(4, 3)]]);
}

#[test]
fn readers_see_one_moment() {
    assert_atomic(&[Push(1)], [&[Peek], &[Push(2)]]);
    assert_atomic(&[Push(1)], [&[Peek], &[Pop]]);
    assert_atomic(&[PushMany(1, 2)], [&[Snapshot], &[Pop]]);
    assert_atomic(&[PushMany(1, 2)], [&[Snapshot], &[PopAll]]);
    assert_atomic(&[PushMany(1, 2)], [&[Snapshot], &[PushMany(3, 2)]]);
}

/// The popped node is not written to while a reader may look at it.
#[test]
fn a_node_is_recycled_after_its_readers_have_left() {
    assert_atomic(&[PushMany(1, 2)], [&[Peek], &[Pop, Push(3)]]);
    assert_atomic(&[PushMany(1, 2)], [&[Snapshot], &[PopAll, PushMany(3, 2)]]);
}

#[test]
fn the_last_reader_out_takes_all_that_is_in_limbo() {
    assert_atomic(&[PushMany(1, 2)], [&[Snapshot], &[Pop, Pop]]);
    assert_atomic(&[PushMany(1, 2)], [&[Snapshot], &[Pop], &[Pop]]);
    assert_atomic(&[Push(1)], [&[Peek], &[Peek], &[Pop]]);
}

#[test]
fn the_length_is_of_one_moment() {
    assert_atomic(&[Push(1)], [&[Len], &[PushMany(2, 2)]]);
    assert_atomic(&[PushMany(1, 2)], [&[Len], &[Pop]]);
    assert_atomic(&[PushMany(1, 2)], [&[Len], &[PopAll]]);
}

/// The node whose depth is read may have come into the stack anew, at another
/// depth, put there by the thread that popped it or by a third one; or it may
/// lie in limbo, where the depth is a link.
#[test]
fn the_length_is_not_of_a_later_life_of_the_node() {
    assert_atomic(&[Push(1)], [&[Len, Len], &[Pop, PushMany(2, 2)]]);
    assert_atomic(&[Push(1)], [&[Len, Len], &[Pop], &[PushMany(2, 2)]]);
    assert_atomic(&[PushMany(1, 2)], [&[Len], &[Peek], &[Pop]]);
}
