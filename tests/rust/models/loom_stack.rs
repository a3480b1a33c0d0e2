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

#[path = "../common/counted.rs"]
mod counted;
#[path = "../common/lifo.rs"]
mod lifo;
#[path = "../common/outcomes.rs"]
mod outcomes;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::{array, iter};

use lifo::Op::{self, Len, Peek, Pop, PopAll, PopMany, Push, PushMany, Snapshot, Trim};
use lockfree::engine::stack::{Hook, Word};
use lockfree::engine::{Slot, Slots, Stack};
use outcomes::{PREEMPTIONS, outcomes, outcomes_of};

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
    assert_atomic_of((THREADS > 2).then_some(PREEMPTIONS), start, threads);
}

/// The same, where threads are suspended so often at most.
fn assert_atomic_of<const THREADS: usize>(
    preemptions: Option<usize>,
    start: &'static [Op],
    threads: [&'static [Op]; THREADS],
) {
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
    let seen = outcomes_of(preemptions, stack, threads.map(run), end);

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

/// Words of values, of which the places in memory are reused.
struct Words {
    /// Dropped first: its values lie in the memory.
    stack: Stack<counted::Value, (), Word<counted::Value>>,
    memory: counted::Memory<5>,
}

impl Words {
    /// With so many values, 1 and up.
    fn new(memory: counted::Memory<5>, count: usize) -> Self {
        let stack = Stack::default();
        for number in 1..=count {
            assert!(stack.push(memory.value(number)).is_ok(), "there is memory");
        }
        Self { stack, memory }
    }

    fn peek(&self) -> Vec<usize> {
        self.stack.peek().map(|value| value.number()).into_iter().collect()
    }

    fn pop(&self) -> Vec<usize> {
        self.stack.pop().map(|value| value.number()).into_iter().collect()
    }

    /// Takes all, and checks that no other value is left.
    fn end(&self) -> Vec<usize> {
        let left = iter::from_fn(|| self.stack.pop().map(|value| value.number())).collect();
        assert_eq!(self.memory.live(), 0, "a value was lost, or lives on");
        left
    }
}

/// The place of the popped value gets a value that is never in the stack.
#[test]
fn a_glance_finds_no_value_that_is_not_in_the_stack() {
    let pop_and_reuse = |words: &Words| {
        let popped = words.pop();
        assert_eq!(words.memory.value(3).number(), 3);
        popped
    };
    let threads: [fn(&Words) -> Vec<usize>; 2] = [Words::peek, pop_and_reuse];
    let seen = outcomes(|| Words::new(counted::Memory::default(), 2), threads, Words::end);
    let expected = [[vec![1], vec![2]], [vec![2], vec![2]]].map(|returned| (returned, vec![1]));
    assert_eq!(seen, expected.into());
}

/// The node that was on top comes to lie below another one, with a value that was made
/// before.
#[test]
fn a_glance_finds_no_value_that_is_not_on_top() {
    let turn_over = |words: &Words| {
        let made = [3, 4].map(|number| words.memory.value(number));
        let popped = [words.pop(), words.pop()].concat();
        assert!(words.stack.push_many(made.into_iter()).is_ok(), "there is memory");
        popped
    };
    let threads: [fn(&Words) -> Vec<usize>; 2] = [Words::peek, turn_over];
    let seen = outcomes(|| Words::new(counted::Memory::default(), 2), threads, Words::end);
    let peeked = [vec![], vec![1], vec![2], vec![4]];
    let expected = peeked.map(|peeked| ([peeked, vec![2, 1]], vec![4, 3]));
    assert_eq!(seen, expected.into());
}

/// The same, where one thread removes the node, and another one, which does not follow on the
/// first but by the list of free nodes, fills it.
#[test]
fn a_glance_finds_no_value_that_another_thread_put_below() {
    let fill = |words: &Words| {
        let made = [3, 4].map(|number| words.memory.value(number));
        let is_empty = words.stack.is_empty();
        assert!(!is_empty || words.stack.push_many(made.into_iter()).is_ok(), "there is memory");
        vec![]
    };
    let pop_both = |words: &Words| [words.pop(), words.pop()].concat();
    let threads: [fn(&Words) -> Vec<usize>; 3] = [Words::peek, pop_both, fill];
    let seen = outcomes(|| Words::new(counted::Memory::default(), 2), threads, Words::end);
    assert!(seen.iter().all(|(returned, _)| returned[0] != [3]), "{seen:?}");
    assert!(seen.iter().any(|(returned, _)| returned[0] == [4]), "{seen:?}");
}

/// The first reader shares the value, and others may be popping it.
#[test]
fn a_glance_shares_the_value() {
    let threads: [fn(&Words) -> Vec<usize>; 2] = [Words::peek, Words::peek];
    let stack = || Words::new(counted::Memory::of_unshared(), 1);
    assert_eq!(outcomes(stack, threads, Words::end), [([vec![1], vec![1]], vec![1])].into());
    let threads: [fn(&Words) -> Vec<usize>; 2] = [Words::peek, Words::pop];
    let expected = [[vec![], vec![1]], [vec![1], vec![1]]].map(|returned| (returned, vec![]));
    assert_eq!(outcomes(stack, threads, Words::end), expected.into());
}

/// Gives each thread a number of its own.
#[derive(Default)]
struct Numbered(Slots);

loom::thread_local! {
    static NUMBER: Cell<Option<Slot>> = Cell::new(None);
}

impl Hook for Numbered {
    fn between(&self) {}

    fn thread(&self) -> Slot {
        NUMBER.with(|number| {
            let slot = number.get().unwrap_or_else(|| self.0.take());
            number.set(Some(slot));
            slot
        })
    }
}

type Numbers = Stack<Value, Numbered>;

fn exchange(stack: &Numbers, new: u32) -> u32 {
    let popped = stack.pop().expect("no more pops than pushes");
    assert!(stack.push(Value::from(new)).is_ok(), "there is memory");
    popped.into()
}

/// The node that a thread gave back is its own until it pushes again.
#[test]
fn spares_are_their_threads_own() {
    let stack = || {
        let stack = Numbers::default();
        assert!(stack.push(Value::from(1)).is_ok() && stack.push(Value::from(2)).is_ok());
        stack
    };
    let threads: [fn(&Numbers) -> u32; 2] =
        [|stack| exchange(stack, 3), |stack| exchange(stack, 4)];
    let end = |stack: &Numbers| iter::from_fn(|| stack.pop().map(u32::from)).collect::<Vec<_>>();
    for (popped, left) in outcomes(stack, threads, end) {
        let all: BTreeSet<_> = popped.iter().chain(&left).copied().collect();
        assert_eq!((all, left.len()), ((1..=4).collect(), 2));
    }
}

/// Trimming takes many steps: too many to suspend it at all of them and another thread, too.
fn assert_trimmed(start: &'static [Op], threads: [&'static [Op]; 2]) {
    assert_atomic_of(Some(PREEMPTIONS + 1), start, threads);
}

/// Of the first three nodes the third is the first of what counts as large. It is given
/// back, and used again.
#[test]
fn what_is_given_back_is_used_again() {
    let start = &[PushMany(1, 3), PopAll];
    assert_trimmed(start, [&[Trim], &[Push(4), Push(5), Push(6)]]);
    assert_trimmed(start, [&[Trim], &[PushMany(4, 3), Pop]]);
    assert_trimmed(start, [&[Trim, PushMany(4, 3)], &[PushMany(7, 3)]]);
}

/// Another thread than the one that gives a node back has emptied it.
#[test]
fn what_is_given_back_was_emptied_before() {
    assert_trimmed(&[PushMany(1, 3)], [&[PopAll, Trim], &[PushMany(4, 3)]]);
    assert_trimmed(&[PushMany(1, 3)], [&[PopAll, Trim], &[Trim, PushMany(4, 3)]]);
    assert_trimmed(&[PushMany(1, 3)], [&[PopAll], &[Trim, PushMany(4, 3)]]);
}

/// Free nodes that lie side by side are taken as one run, but not after one of them went.
#[test]
fn a_run_that_was_cut_is_none() {
    assert_trimmed(&[PushMany(1, 4), PopAll], [&[Trim, PushMany(5, 3), PushMany(8, 2)], &[]]);
    let start = &[Push(1), PushMany(2, 2), PopMany(2), Pop];
    assert_trimmed(start, [&[Trim, PushMany(4, 2), Push(6)], &[]]);
    assert_trimmed(&[PushMany(1, 3), PopAll], [&[PushMany(4, 3), PopMany(2)], &[PushMany(7, 3)]]);
}

/// The second thread to trim finds what the first one has given back.
#[test]
fn what_was_given_back_is_trimmed_again() {
    let start = &[PushMany(1, 3), PopAll, Push(4)];
    assert_trimmed(start, [&[Trim], &[Pop, Trim, PushMany(5, 3)]]);
}

/// A thread stands on a node whose memory is given back.
#[test]
fn what_was_given_back_may_be_read() {
    assert_trimmed(&[PushMany(1, 4)], [&[PopMany(2)], &[PopAll, Trim]]);
    assert_trimmed(&[PushMany(1, 3), Pop], [&[Len], &[PopAll, Trim]]);
    assert_trimmed(&[PushMany(1, 4)], [&[PopMany(3)], &[PopAll, Trim, PushMany(5, 3)]]);
}

/// One of two large nodes holds a value: none is given back.
#[test]
fn what_holds_a_value_is_not_given_back() {
    assert_trimmed(&[PushMany(1, 4), PopMany(3)], [&[Trim, PushMany(5, 3)], &[Push(9)]]);
    assert_trimmed(&[PushMany(1, 4)], [&[PopMany(3), Trim], &[Trim, Pop]]);
}
