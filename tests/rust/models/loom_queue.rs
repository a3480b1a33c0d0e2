//! The queue under loom; `loom_int.rs` says what that is.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_queue
//! ```
//!
//! Under loom a segment has two slots, so that small models cross its boundary,
//! and a step gets at most two values. Loom itself reports a value that is read
//! where no ordering keeps it apart from its making.
#![cfg(loom)]

#[path = "../common/fifo.rs"]
mod fifo;
#[path = "../common/outcomes.rs"]
mod outcomes;

use std::array;
use std::cell::RefCell;
use std::collections::BTreeSet;

use fifo::Answer::{self, Closed};
use fifo::Op::{
    self, Close, Drain, Finish, ForcePut, Get, GetSome, Len, Put, PutSome, Shut, Unfinished,
};
use fifo::Plain;
use lockfree::engine::{Pointer, Queue};
use lockfree::shim::{AtomicI64, Ordering::Relaxed, UnsafeCell};
use outcomes::{PREEMPTIONS, outcomes, outcomes_of};

thread_local! {
    /// Where the values are that are in a queue; loom runs a model's threads on
    /// one of the system's.
    static QUEUED: RefCell<BTreeSet<usize>> = const { RefCell::new(BTreeSet::new()) };
}

/// What is got in place of a value that was got before: no model expects it.
const TWICE: u32 = u32::MAX;

/// A number in memory of its own.
struct Value(Box<UnsafeCell<u32>>);

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self(Box::new(UnsafeCell::new(number)))
    }
}

impl From<Value> for u32 {
    fn from(value: Value) -> Self {
        // SAFETY: the value is this thread's, or loom will say so.
        value.0.with_mut(|number| unsafe { *number })
    }
}

// SAFETY: a box is an address, and never 0.
unsafe impl Pointer for Value {
    fn into_raw(self) -> usize {
        let word = Box::into_raw(self.0) as usize;
        QUEUED.with_borrow_mut(|queued| queued.insert(word));
        word
    }

    unsafe fn from_raw(word: usize) -> Self {
        let queued = QUEUED.with_borrow_mut(|queued| queued.remove(&word));
        if !queued {
            return Self::from(TWICE);
        }
        // SAFETY: it was queued.
        Self(unsafe { Box::from_raw(word as *mut _) })
    }

    unsafe fn peek<R>(_: usize, _: impl FnOnce(&Self) -> R) -> R {
        unreachable!("nobody looks")
    }
}

/// What each operation of each thread returned, and what was left.
type Outcome<const THREADS: usize> = ([Vec<Answer>; THREADS], Answer);

/// Runs a thread for each list of operations, on a queue of so many prepared by
/// `start`: the outcomes are those of the operations one at a time, in every
/// order.
fn assert_atomic<const THREADS: usize>(
    limit: usize,
    start: &'static [Op],
    threads: [&'static [Op]; THREADS],
) {
    let mut plain = Plain::new(limit);
    for op in start {
        plain.apply(*op);
    }
    let expected = one_at_a_time(&plain, threads, array::from_fn(|_| Vec::new()));

    let queue = move || {
        let queue = Queue::<Value>::new();
        queue.begin_with_limit(limit as u64);
        for op in start {
            op.run(&queue);
        }
        queue
    };
    let run = |ops: &'static [Op]| {
        move |queue: &Queue<Value>| ops.iter().map(|op| op.run(queue)).collect()
    };
    let seen = outcomes(queue, threads.map(run), |queue| {
        let left = Drain.run(queue);
        QUEUED.with_borrow(|queued| assert!(queued.is_empty(), "values were lost"));
        left
    });

    let wrong: Vec<_> = seen.difference(&expected).collect();
    let missing: Vec<_> = expected.difference(&seen).collect();
    let verdict = (wrong.as_slice(), missing.as_slice());
    assert_eq!(verdict, (&[][..], &[][..]), "wrong, missing in {start:?} {threads:?}");
}

/// The outcomes of all orders in which operations may follow on those that made
/// `queue` what it is, and `returned` what they did.
fn one_at_a_time<const THREADS: usize>(
    queue: &Plain,
    threads: [&[Op]; THREADS],
    returned: [Vec<Answer>; THREADS],
) -> BTreeSet<Outcome<THREADS>> {
    let mut outcomes = BTreeSet::new();
    for (i, ops) in threads.iter().enumerate() {
        let Some((op, rest)) = ops.split_first() else { continue };
        let (mut queue, mut threads, mut returned) = (queue.clone(), threads, returned.clone());
        threads[i] = rest;
        returned[i].push(queue.apply(*op));
        outcomes.append(&mut one_at_a_time(&queue, threads, returned));
    }
    if outcomes.is_empty() {
        outcomes.insert((returned, queue.clone().apply(Drain)));
    }
    outcomes
}

/// No limit.
const ANY: usize = 0;

/// A thread that does nothing. As a third one it has the search of the others
/// bounded, where every interleaving would be too many.
const IDLE: &[Op] = &[];

/// Leaves the queue empty, at a segment's end, with a spare page.
const RECYCLED: &[Op] = &[PutSome(91, 2), GetSome(2), PutSome(93, 2), GetSome(2)];

/// Leaves the queue with four idle pages and a segment about to be retired; the
/// pages in use were idle before, each above the next one.
const REUSED: &[Op] = &[
    PutSome(71, 2),
    PutSome(73, 2),
    PutSome(75, 2),
    PutSome(77, 2),
    GetSome(2),
    GetSome(2),
    GetSome(2),
    GetSome(2),
    PutSome(81, 2),
    PutSome(83, 2),
    PutSome(85, 2),
    PutSome(87, 2),
    GetSome(2),
    GetSome(2),
    GetSome(2),
];

#[test]
fn put_against_put() {
    assert_atomic(ANY, &[Put(1)], [&[Put(2)], &[Put(3)]]);
    assert_atomic(ANY, &[], [&[Put(1)], &[Put(2)], IDLE]);
}

#[test]
fn put_against_get() {
    assert_atomic(ANY, &[], [&[Put(1)], &[Get]]);
    assert_atomic(ANY, &[Put(1)], [&[Put(2)], &[Get, Get]]);
}

#[test]
fn get_against_get() {
    assert_atomic(ANY, &[Put(1)], [&[Get], &[Get]]);
    assert_atomic(ANY, &[Put(1), Put(2)], [&[Get], &[Get]]);
}

#[test]
fn several_are_put_in_one_step() {
    assert_atomic(ANY, &[], [&[PutSome(1, 2)], &[Get, Get]]);
    assert_atomic(ANY, RECYCLED, [&[PutSome(1, 2)], &[PutSome(3, 2)], IDLE]);
    assert_atomic(2, &[Put(1)], [&[PutSome(2, 2)], &[Get]]);
}

#[test]
fn several_are_got_in_one_step() {
    assert_atomic(ANY, &[PutSome(1, 2)], [&[GetSome(2)], &[Get]]);
    assert_atomic(ANY, &[PutSome(1, 2)], [&[GetSome(2)], &[GetSome(2)]]);
    assert_atomic(ANY, &[Put(1)], [&[GetSome(2)], &[Put(2)]]);
}

/// Both append the same segment: one gives its page back.
#[test]
fn append_against_append() {
    assert_atomic(ANY, RECYCLED, [&[Put(1)], &[Put(2)], IDLE]);
    assert_atomic(ANY, RECYCLED, [&[Put(1), Put(2)], &[Put(3)], IDLE]);
}

/// Both move to the next segment: one retires the one before.
#[test]
fn retire_against_retire() {
    assert_atomic(ANY, &[PutSome(1, 2), PutSome(3, 2), GetSome(2)], [&[Get], &[Get]]);
    assert_atomic(ANY, &[PutSome(1, 2), Put(3), Get], [&[Get], &[Get]]);
}

#[test]
fn append_against_retire() {
    assert_atomic(ANY, &[PutSome(1, 2), GetSome(2)], [&[Put(3)], &[Get]]);
    assert_atomic(ANY, &[PutSome(1, 2), Get], [&[Put(3)], &[Get, Get]]);
}

/// The first thread looks into a segment that the second retires, and whose page
/// comes into use again.
#[test]
fn a_retired_page_is_not_taken_for_the_one_read() {
    const LAP: &[Op] = &[GetSome(2), Get, PutSome(4, 2), Put(6)];
    assert_atomic(ANY, &[PutSome(1, 2), Put(3)], [&[Get], LAP, IDLE]);
}

/// The third thread empties the page to which the first has written last, and
/// has met the first nowhere else.
#[test]
fn a_spare_page_is_emptied_after_its_former_life() {
    assert_atomic(ANY, &[Put(1)], [&[Put(2)], &[GetSome(2), Get], &[PutSome(3, 2), Put(5)]]);
}

/// The second thread takes a page from the idle list that the first has just put
/// there, and needs the link that came with it.
#[test]
fn an_idle_page_comes_with_its_link() {
    assert_atomic(ANY, REUSED, [&[Get], &[PutSome(1, 2), PutSome(3, 2), Put(5)]]);
}

#[test]
fn there_is_room_for_one_of_two() {
    assert_atomic(1, &[Put(1), Get], [&[Put(2)], &[Put(3)]]);
    assert_atomic(2, &[Put(1)], [&[Put(2)], &[Put(3)]]);
    assert_atomic(2, &[Put(1)], [&[Put(2)], &[Get, Put(3)]]);
    assert_atomic(2, RECYCLED, [&[PutSome(1, 2)], &[Put(3)], IDLE]);
}

#[test]
fn full_and_empty_are_true() {
    assert_atomic(1, &[Put(1)], [&[Put(2)], &[Get]]);
    assert_atomic(1, &[Put(1)], [&[Put(2), Get], &[Get]]);
    assert_atomic(1, &[Put(1)], [&[Put(2)], &[Get, Put(3)]]);
    assert_atomic(1, RECYCLED, [&[Put(1), Put(2)], &[Get, Get]]);
}

#[test]
fn force_put_displaces_or_finds_room() {
    assert_atomic(1, &[Put(1)], [&[ForcePut(2)], &[Get]]);
    assert_atomic(1, &[Put(1)], [&[ForcePut(2)], &[Put(3)]]);
    assert_atomic(1, &[Put(1)], [&[ForcePut(2)], &[Get, Put(3)]]);
    assert_atomic(1, &[Put(1)], [&[ForcePut(2), Get], &[Get]]);
    assert_atomic(2, &[PutSome(1, 2)], [&[ForcePut(3)], &[GetSome(2)]]);
}

#[test]
fn force_put_against_force_put() {
    assert_atomic(1, &[Put(1)], [&[ForcePut(2)], &[ForcePut(3)]]);
    assert_atomic(2, &[Put(1)], [&[ForcePut(2)], &[ForcePut(3)]]);
    assert_atomic(1, &[Put(1)], [&[ForcePut(2)], &[ForcePut(3)], &[Get]]);
}

#[test]
fn nothing_is_put_after_the_close() {
    assert_atomic(ANY, &[], [&[Put(1)], &[Close, Get]]);
    assert_atomic(ANY, &[Put(1)], [&[Close], &[Close]]);
    assert_atomic(ANY, &[Put(1)], [&[Get, Get], &[Close]]);
    assert_atomic(1, &[Put(1)], [&[ForcePut(2)], &[Close]]);
}

/// What is drained step by step is not overtaken by a value that is got.
#[test]
fn nothing_is_got_from_a_shut_queue() {
    const TWO_SEGMENTS: &[Op] = &[PutSome(1, 2), Put(3), Get];
    assert_atomic(ANY, TWO_SEGMENTS, [&[Get], &[Shut, Drain]]);
    assert_atomic(ANY, TWO_SEGMENTS, [&[GetSome(2)], &[Shut, Drain]]);
    assert_atomic(ANY, &[Put(1)], [&[Get], &[Shut, Drain], &[Put(2)]]);
}

/// Whoever finds the queue shut sees what was done before that.
#[test]
fn a_shut_publishes_what_came_before() {
    type Shared = (AtomicI64, Queue<Value>);
    let shared = || (AtomicI64::new(0), Queue::new());
    let shut: fn(&Shared) -> Option<i64> = |(payload, queue)| {
        payload.store(1, Relaxed);
        queue.shut();
        None
    };
    let get: fn(&Shared) -> Option<i64> =
        |(payload, queue)| (Get.run(queue) == Closed).then(|| payload.load(Relaxed));
    let seen = outcomes(shared, [shut, get], |_| ());
    assert_eq!(seen, [([None, None], ()), ([None, Some(1)], ())].into());
}

#[test]
fn the_length_is_of_one_moment() {
    assert_atomic(ANY, &[Put(1)], [&[Len], &[Put(2), Get]]);
    assert_atomic(ANY, &[Put(1)], [&[Len], &[Get, Put(2)]]);
    assert_atomic(1, &[Put(1)], [&[Len, Len], &[ForcePut(2)]]);
}

#[test]
fn the_unfinished_are_of_one_moment() {
    assert_atomic(ANY, &[Put(1)], [&[Unfinished], &[Finish(1), Put(2)]]);
    assert_atomic(ANY, &[Put(1)], [&[Finish(2)], &[Put(2)]]);
    assert_atomic(ANY, &[Put(1)], [&[Finish(1)], &[Finish(1)]]);
    assert_atomic(ANY, &[PutSome(1, 2)], [&[Finish(1)], &[Finish(1)]]);
}

/// Whose own put has returned never hears that nothing is there, wherever the other one is.
#[test]
fn what_was_put_is_not_unfilled() {
    let put: fn(&Queue<Value>) -> bool = |queue| queue.try_put(Value::from(1)).is_err();
    let put_and_look: fn(&Queue<Value>) -> bool = |queue| {
        assert!(queue.try_put(Value::from(2)).is_ok());
        queue.is_unfilled()
    };
    let seen = outcomes_of(Some(PREEMPTIONS), Queue::new, [put, put_and_look], Queue::len);
    assert_eq!(seen, [([false, false], 2)].into());
}
