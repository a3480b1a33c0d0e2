//! The queue: each operation, its edges, and threads.
#![cfg(not(loom))]
#![allow(clippy::cast_possible_truncation)] // all numbers are small

#[path = "common/allocations.rs"]
mod allocations;
#[path = "common/cases.rs"]
mod cases;
#[path = "common/fifo.rs"]
mod fifo;
#[path = "common/threads.rs"]
mod threads;

use std::mem::ManuallyDrop;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::{iter, ptr, thread};

use allocations::allocations;
use fifo::Answer::{self, Closed, Empty, Full, Number, TooMany, Truth, Values};
use fifo::Op::{
    self, Close, Drain, Finish, ForcePut, Get, GetSome, Len, Put, PutSome, Shut, Unfinished,
};
use fifo::Plain;
use lockfree::engine::queue::Refusal;
use lockfree::engine::queue::segments::{SLOTS, START};
use lockfree::engine::{Pointer, Queue, TryGet};
use proptest::prelude::*;
use threads::{on_threads, until_threads_meet};

/// A number that passes for an address.
#[derive(Debug, PartialEq, Eq)]
struct Word(u32);

impl From<u32> for Word {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

impl From<Word> for u32 {
    fn from(word: Word) -> Self {
        word.0
    }
}

// SAFETY: one more than a number is not 0.
unsafe impl Pointer for Word {
    fn into_raw(self) -> usize {
        self.0 as usize + 1
    }

    unsafe fn from_raw(word: usize) -> Self {
        Self(u32::try_from(word - 1).expect("a number"))
    }

    unsafe fn peek<R>(word: usize, look: impl FnOnce(&Self) -> R) -> R {
        // SAFETY: the caller's promise.
        look(&unsafe { Self::from_raw(word) })
    }
}

/// A queue of so many; 0 is any number.
fn queue_of(limit: u64) -> Queue<Word> {
    let queue = Queue::new();
    queue.begin_with_limit(limit);
    queue
}

/// What operations return, one after the other.
fn answers<const N: usize>(queue: &Queue<Word>, ops: [Op; N]) -> [Answer; N] {
    ops.map(|op| op.run(queue))
}

fn got(values: impl IntoIterator<Item = u32>) -> Answer {
    Values(values.into_iter().collect())
}

const SEGMENT: usize = SLOTS as usize;
/// How many values the first segment is for.
const FIRST: usize = (SLOTS - START) as usize;

#[test]
fn starts_empty_and_without_a_limit() {
    let queue = Queue::<Word>::default();
    assert_eq!((queue.len(), queue.is_empty(), queue.is_full()), (0, true, false));
    assert_eq!((queue.bound(), queue.is_bounded(), queue.is_closed()), (0, false, false));
    assert_eq!(
        answers(&queue, [Get, GetSome(1), Drain, Unfinished]),
        [Empty, Empty, got([]), Number(0)]
    );
}

#[test]
fn the_first_in_is_the_first_out() {
    let queue = queue_of(0);
    answers(&queue, [Put(1), Put(2), PutSome(3, 3)]);
    assert_eq!(answers(&queue, [Get, GetSome(2), Len]), [got([1]), got([2, 3]), Number(2)]);
    answers(&queue, [Put(6)]);
    assert_eq!(answers(&queue, [Drain, Get]), [got([4, 5, 6]), Empty]);
}

#[test]
fn values_keep_their_order_across_segments() {
    let last = 3 * SLOTS as u32 + 1;
    let queue = queue_of(0);
    (0..=last).for_each(|value| assert_eq!(Put(value).run(&queue), Number(1)));
    assert_eq!(Len.run(&queue), Number(u64::from(last) + 1));
    (0..=last).for_each(|value| assert_eq!(Get.run(&queue), got([value])));
    assert_eq!(Get.run(&queue), Empty);
}

/// A step ends with its segment, wherever it begins.
#[test]
fn a_step_ends_with_its_segment() {
    for before in [0, 1, FIRST - 1, FIRST, SEGMENT - 1, SEGMENT, SEGMENT + FIRST] {
        let queue = queue_of(0);
        for value in 0..before as u32 {
            answers(&queue, [Put(value), Get]);
        }
        let room = SEGMENT - (START as usize + before) % SEGMENT;
        assert_eq!(PutSome(0, 2 * SEGMENT).run(&queue), Number(room as u64));
        assert_eq!(PutSome(room as u32, 3).run(&queue), Number(3));
        assert_eq!(Drain.run(&queue), got(0..room as u32 + 3));
    }
}

/// All threads want to make the first segment, or the second.
#[test]
fn threads_that_begin_a_segment_at_once_begin_the_same() {
    for before in [0, FIRST as u32 - 1, FIRST as u32] {
        for _ in 0..10 * ROUNDS {
            let queue = queue_of(0);
            (0..before).for_each(|_| drop(answers(&queue, [Put(0), Get])));
            on_threads(PRODUCERS, |i| assert_eq!(Put(i as u32).run(&queue), Number(1)));
            let Values(mut left) = Drain.run(&queue) else { unreachable!("it drains") };
            left.sort_unstable();
            assert_eq!(left, (0..PRODUCERS as u32).collect::<Vec<_>>());
        }
    }
}

/// A queue of a few values at a time is not worth a page.
#[test]
fn a_queue_with_a_few_values_takes_a_few_bytes() {
    let queue = queue_of(0);
    assert!(size_of_val(&queue) <= 320, "{} bytes", size_of_val(&queue));
    assert_eq!(queue.bytes(), 0);
    let bytes = (0..FIRST as u32).map(|value| {
        answers(&queue, [Put(value), Get]);
        queue.bytes()
    });
    assert!(bytes.max().is_some_and(|most| most <= 300));
    answers(&queue, [Put(0), Get]);
    assert!(queue.bytes() > SEGMENT * size_of::<usize>());
}

#[test]
fn what_a_step_did_not_put_is_left() {
    let queue = queue_of(3);
    let mut values = (1..=5).map(Word).collect::<Vec<_>>().into_iter();
    assert_eq!(queue.try_put_some(&mut values), Ok(3));
    assert_eq!(queue.try_put_some(&mut values), Err(Refusal::Full));
    assert_eq!(answers(&queue, [GetSome(2)]), [got([1, 2])]);
    assert_eq!(queue.try_put_some(&mut values), Ok(2));
    assert_eq!((values.next(), Drain.run(&queue)), (None, got([3, 4, 5])));
}

#[test]
fn the_limit_is_exact() {
    for limit in [1, 2, 3, SLOTS - 1, SLOTS, SLOTS + 1] {
        let queue = queue_of(limit);
        assert_eq!((queue.bound(), queue.is_bounded()), (limit, true));
        // Each lap begins at another offset.
        for _ in 0..5 {
            let values = 0..u32::try_from(limit).expect("small");
            assert!(!queue.is_full());
            values.clone().for_each(|value| assert_eq!(Put(value).run(&queue), Number(1)));
            assert_eq!((queue.len() as u64, queue.is_full()), (limit, true));
            assert_eq!(answers(&queue, [Put(7), PutSome(7, 2)]), [Full, Full]);
            assert_eq!(answers(&queue, [Get, Put(7), Put(7)]), [got([0]), Number(1), Full]);
            assert_eq!(Drain.run(&queue), got(values.skip(1).chain([7])));
        }
    }
}

#[test]
fn a_huge_limit_costs_nothing() {
    let queue = queue_of(u64::MAX >> 1);
    assert_eq!(allocations(|| assert_eq!(answers(&queue, [Len, Get]), [Number(0), Empty])), 0);
    assert_eq!(answers(&queue, [Put(1), ForcePut(2), Len]), [Number(1), got([]), Number(2)]);
    assert_eq!(answers(&queue, [Close, Put(3), Drain]), [Truth(true), Closed, got([1, 2])]);
}

#[test]
fn force_put_displaces_the_first_of_a_full_queue() {
    let queue = queue_of(2);
    let puts = [ForcePut(1), ForcePut(2), Unfinished, ForcePut(3), ForcePut(4), Unfinished];
    let displaced = [got([]), got([]), Number(2), got([1]), got([2]), Number(2)];
    assert_eq!(answers(&queue, puts), displaced);
    assert_eq!(answers(&queue, [Len, Drain, ForcePut(5)]), [Number(2), got([3, 4]), got([])]);
}

#[test]
fn a_closed_queue_can_be_emptied() {
    let queue = queue_of(2);
    answers(&queue, [Put(1), Put(2)]);
    assert_eq!(answers(&queue, [Close, Close]), [Truth(true), Truth(false)]);
    assert_eq!(answers(&queue, [Put(3), PutSome(3, 1), ForcePut(3)]), [Closed, Closed, Closed]);
    assert!(queue.is_closed());
    assert_eq!(answers(&queue, [Get, Len, GetSome(2)]), [got([1]), Number(1), got([2])]);
    assert_eq!(answers(&queue, [Get, GetSome(1), Put(3)]), [Closed, Closed, Closed]);
}

#[test]
fn a_shut_queue_gives_what_is_left_to_whoever_insists() {
    let queue = queue_of(0);
    answers(&queue, [Put(1), Put(2), Shut]);
    assert_eq!(
        answers(&queue, [Put(3), ForcePut(3), Get, GetSome(1)]),
        [Closed, Closed, Closed, Closed]
    );
    assert_eq!((queue.is_closed(), queue.close()), (true, false));
    assert_eq!(answers(&queue, [Len, Drain, Len]), [Number(2), got([1, 2]), Number(0)]);
}

#[test]
fn what_is_refused_comes_back() {
    let queue = queue_of(1);
    answers(&queue, [Put(1)]);
    assert_eq!(queue.try_put(Word(2)), Err((Word(2), Refusal::Full)));
    queue.close();
    assert_eq!(queue.try_put(Word(2)), Err((Word(2), Refusal::Closed)));
    assert_eq!(queue.force_put(Word(2)), Err((Word(2), Refusal::Closed)));
}

#[test]
fn what_was_put_is_unfinished_until_it_is_done() {
    let queue = queue_of(0);
    assert_eq!(answers(&queue, [Finish(1), Finish(0)]), [TooMany(0), Truth(true)]);
    answers(&queue, [PutSome(1, 3), Get]);
    assert_eq!(answers(&queue, [Unfinished, Finish(4)]), [Number(3), TooMany(3)]);
    assert_eq!(answers(&queue, [Finish(2), Finish(2)]), [Truth(false), TooMany(1)]);
    assert_eq!(
        answers(&queue, [Close, Unfinished, Finish(1)]),
        [Truth(true), Number(1), Truth(true)]
    );
}

#[test]
fn finish_up_to_finishes_what_there_is() {
    let queue = queue_of(0);
    answers(&queue, [PutSome(1, 3)]);
    for left in [1, 0, 0] {
        queue.finish_up_to(2);
        assert_eq!(Unfinished.run(&queue), Number(left));
    }
}

#[test]
fn clear_leaves_none() {
    let queue = queue_of(0);
    answers(&queue, [PutSome(0, SEGMENT), PutSome(0, SEGMENT)]);
    queue.clear();
    assert_eq!(answers(&queue, [Len, Get]), [Number(0), Empty]);
}

#[test]
fn traverse_visits_until_one_fails() {
    let visit_up_to = |queue: &Queue<Word>, last| {
        let mut visited = Vec::new();
        // SAFETY: there is no other thread.
        let result = unsafe {
            queue.traverse(|word| {
                visited.push(word.0);
                if word.0 == last { Err(last) } else { Ok(()) }
            })
        };
        (visited, result)
    };
    let queue = queue_of(0);
    assert_eq!(visit_up_to(&queue, 0), (vec![], Ok(())));
    let (first, all) = (FIRST as u32, (FIRST + SEGMENT) as u32);
    answers(&queue, [PutSome(0, FIRST), PutSome(first, SEGMENT)]);
    assert_eq!(visit_up_to(&queue, all), ((0..all).collect(), Ok(())));
    assert_eq!(visit_up_to(&queue, 2), (vec![0, 1, 2], Err(2)));
    // The head is at the end of a segment that it has not left.
    iter::repeat_with(|| Get.run(&queue)).take(FIRST).for_each(drop);
    queue.close();
    assert_eq!(visit_up_to(&queue, all), ((first..all).collect(), Ok(())));
}

fn put_and_get(queue: &Queue<Word>, count: u32) {
    for value in 0..count {
        assert_eq!(queue.try_put(Word(value)), Ok(()));
    }
    for value in 0..count {
        assert_eq!(queue.try_get(), TryGet::Got(Word(value)));
    }
}

/// Laps of several segments, at all offsets in them.
#[test]
fn a_queue_that_was_as_long_before_allocates_nothing() {
    const LONG: u32 = 5 * SLOTS as u32 + 1;
    const LAPS: usize = if cfg!(miri) { 2 } else { 2 * SEGMENT };
    let queue = queue_of(0);
    // The second lap touches one more segment than the first.
    (0..2).for_each(|_| put_and_get(&queue, LONG));
    assert_eq!(allocations(|| (0..LAPS).for_each(|_| put_and_get(&queue, LONG))), 0);
    assert_ne!(allocations(|| put_and_get(&queue, 4 * LONG)), 0);
}

#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(miri, ignore = "the system's memory is meant")]
fn an_emptied_queue_gives_its_memory_back() {
    const MANY: u32 = 16 << 20;
    const SLOTS_FOR_MANY: usize = MANY as usize * size_of::<usize>();
    let queue = queue_of(0);
    (0..MANY).for_each(|value| assert_eq!(queue.try_put(Word(value)), Ok(())));
    let full = resident();
    queue.clear();
    let given_back = full - resident();
    // Other tests take some meanwhile.
    assert!(given_back > SLOTS_FOR_MANY / 2, "{given_back} bytes");
}

/// How many bytes of memory this process has.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    const PAGE: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").expect("it is there");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * PAGE
}

/// Counts itself, in memory of its own.
#[allow(clippy::redundant_allocation)] // a second free is to be noticed
struct Counted<'a>(Box<&'a AtomicUsize>);

impl<'a> Counted<'a> {
    fn new(live: &'a AtomicUsize) -> Self {
        live.fetch_add(1, SeqCst);
        Self(Box::new(live))
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        assert_ne!(self.0.fetch_sub(1, SeqCst), 0, "dropped twice");
    }
}

// SAFETY: a box is an address, and never 0.
unsafe impl<'a> Pointer for Counted<'a> {
    fn into_raw(self) -> usize {
        let this = ManuallyDrop::new(self);
        // SAFETY: nobody else drops the box.
        let counted = unsafe { ptr::read(&raw const this.0) };
        Box::into_raw(counted).expose_provenance()
    }

    unsafe fn from_raw(word: usize) -> Self {
        let counted = ptr::with_exposed_provenance_mut::<&'a AtomicUsize>(word);
        // SAFETY: the caller's promise.
        Self(unsafe { Box::from_raw(counted) })
    }

    unsafe fn peek<R>(word: usize, look: impl FnOnce(&Self) -> R) -> R {
        // SAFETY: the caller's promise.
        let counted = ManuallyDrop::new(unsafe { Self::from_raw(word) });
        look(&counted)
    }
}

#[test]
fn every_value_is_dropped_once() {
    let live = AtomicUsize::new(0);
    let some = |count| iter::repeat_with(|| Counted::new(&live)).take(count).collect::<Vec<_>>();
    let assert_left = |count| assert_eq!(live.load(SeqCst), count);
    let queue = Queue::new();
    queue.set_limit(5);

    let mut values = some(6).into_iter();
    assert_eq!(queue.try_put_some(&mut values), Ok(5));
    assert_left(6);
    drop(values);
    assert_left(5);
    drop(queue.try_put(Counted::new(&live)));
    drop(queue.force_put(Counted::new(&live)));
    assert_left(5);
    drop(queue.try_get());
    assert_eq!(queue.try_get_some(2, drop), TryGet::Got(2));
    assert_left(2);
    queue.clear();
    assert_left(0);
    assert_eq!(queue.try_put_some(&mut some(3).into_iter()), Ok(3));
    drop(queue);
    assert_left(0);

    let long = Queue::new();
    for value in some(3 * SEGMENT) {
        assert!(long.try_put(value).is_ok());
    }
    drop(long);
    assert_left(0);
}

const PRODUCERS: usize = if cfg!(miri) { 2 } else { 4 };
const CONSUMERS: usize = PRODUCERS;
/// Values that each producer puts.
const VALUES: u32 = if cfg!(miri) { 60 } else { 50_000 };
const BATCH: usize = 10;
const ROUNDS: usize = 100;

/// The values that only this producer puts.
fn values_of(producer: usize) -> Range<u32> {
    let producer = u32::try_from(producer).expect("few");
    producer * VALUES..(producer + 1) * VALUES
}

fn producer_of(value: u32) -> usize {
    (value / VALUES) as usize
}

/// How often neighbours come from different producers.
fn changes(values: &[u32]) -> usize {
    values.windows(2).filter(|pair| producer_of(pair[0]) != producer_of(pair[1])).count()
}

fn assert_each_once(mut values: Vec<u32>) {
    values.sort_unstable();
    assert!(values.into_iter().eq(0..PRODUCERS as u32 * VALUES));
}

/// Each producer's values are in the order in which it put them.
fn assert_in_order(values: &[u32]) {
    for i in 0..PRODUCERS {
        let own = values.iter().filter(|value| producer_of(**value) == i);
        assert!(own.is_sorted(), "the values of producer {i} changed places");
    }
}

/// Puts values with `put`, which says how to put the first one or more of them,
/// as long as the queue is open. Returns those that it did not put.
fn put_all(queue: &Queue<Word>, mut values: Range<u32>, put: fn(Range<u32>) -> Op) -> Range<u32> {
    while !values.is_empty() {
        match put(values.clone()).run(queue) {
            Number(count) => values.start += u32::try_from(count).expect("few"),
            Full => thread::yield_now(),
            refused => {
                assert_eq!(refused, Closed);
                break;
            }
        }
    }
    values
}

/// Gets values until the queue is closed and empty.
fn get_all(queue: &Queue<Word>, get: Op) -> Vec<u32> {
    let mut all = Vec::new();
    loop {
        match get.run(queue) {
            Values(values) => all.extend(values),
            Empty => thread::yield_now(),
            nothing => {
                assert_eq!(nothing, Closed);
                return all;
            }
        }
    }
}

const PUT: fn(Range<u32>) -> Op = |values| Put(values.start);
const PUT_SOME: fn(Range<u32>) -> Op = |values| PutSome(values.start, values.len().min(BATCH));

#[test]
fn threads_pass_on_each_value_once_one_by_one() {
    pass_on(0, PUT, Get);
}

#[test]
fn threads_pass_on_each_value_once_in_batches() {
    pass_on(0, PUT_SOME, GetSome(BATCH));
}

#[test]
fn threads_pass_on_each_value_once_within_a_limit() {
    pass_on(3, PUT, Get);
    pass_on(3, PUT_SOME, GetSome(BATCH));
    pass_on(SLOTS, PUT, GetSome(BATCH));
}

/// Checks that each value is got once, and that no consumer gets one producer's
/// values in another order. Threads meet where a consumer gets values of two
/// producers in turn.
fn pass_on(limit: u64, put: fn(Range<u32>) -> Op, get: Op) {
    until_threads_meet(|| {
        let queue = queue_of(limit);
        let at_work = AtomicUsize::new(PRODUCERS);
        let work = |i| {
            if i >= PRODUCERS {
                return get_all(&queue, get);
            }
            assert!(put_all(&queue, values_of(i), put).is_empty());
            if at_work.fetch_sub(1, SeqCst) == 1 {
                queue.close();
            }
            Vec::new()
        };
        let got = on_threads(PRODUCERS + CONSUMERS, work);
        for values in &got {
            assert_in_order(values);
        }
        assert_each_once(got.concat());
        assert_eq!(queue.len(), 0);
        got.iter().map(|values| changes(values)).sum()
    });
}

/// Threads meet where values of two producers lie side by side.
#[test]
fn what_is_put_in_one_step_stays_together() {
    until_threads_meet(|| {
        let queue = queue_of(0);
        let steps = on_threads(PRODUCERS, |i| {
            let (mut values, mut steps) = (values_of(i), Vec::new());
            while !values.is_empty() {
                let Number(count) = PUT_SOME(values.clone()).run(&queue) else {
                    unreachable!("there is room")
                };
                let end = values.start + u32::try_from(count).expect("few");
                steps.push(values.start..end);
                values.start = end;
            }
            steps
        });
        let Values(all) = Drain.run(&queue) else { unreachable!("it drains") };
        assert_in_order(&all);
        assert_each_once(all.clone());
        let mut place = vec![0; all.len()];
        all.iter().enumerate().for_each(|(i, value)| place[*value as usize] = i);
        for step in steps.into_iter().flatten() {
            let first = place[step.start as usize];
            assert!(all[first..].iter().copied().take(step.len()).eq(step));
        }
        changes(&all)
    });
}

/// Threads meet where one displaces the value of another.
#[test]
fn threads_that_force_values_in_lose_none() {
    const LIMIT: u64 = 3;
    until_threads_meet(|| {
        let queue = queue_of(LIMIT);
        let force_all = |i| {
            let mut displaced = Vec::new();
            for value in values_of(i) {
                let Values(first) = ForcePut(value).run(&queue) else {
                    unreachable!("the queue is open")
                };
                displaced.extend(first);
                assert!(queue.len() as u64 <= LIMIT);
            }
            displaced
        };
        let at_work = AtomicUsize::new(PRODUCERS);
        let work = |i| {
            if i == PRODUCERS {
                return get_all(&queue, Get);
            }
            let displaced = force_all(i);
            if at_work.fetch_sub(1, SeqCst) == 1 {
                queue.close();
            }
            displaced
        };
        let got = on_threads(PRODUCERS + 1, work);
        assert_in_order(&got[PRODUCERS]);
        assert_each_once(got.concat());
        // The consumer says of nothing that it is done, a displaced value is.
        assert_eq!(queue.unfinished(), got[PRODUCERS].len() as u64);
        got[..PRODUCERS].iter().map(|values| changes(values)).sum()
    });
}

/// Threads meet where the end comes in the middle of a producer's work. The limit
/// keeps the producers from being done before.
#[test]
fn what_was_put_before_the_end_is_got_or_left() {
    for end in [Close, Shut] {
        until_threads_meet(|| {
            let queue = queue_of(SLOTS);
            let put = |i| values_of(i).start..put_all(&queue, values_of(i), PUT).start;
            let get = || {
                let mut got = Vec::new();
                while got.len() < VALUES as usize / 2 {
                    match Get.run(&queue) {
                        Values(values) => got.extend(values),
                        _ => thread::yield_now(),
                    }
                }
                end.run(&queue);
                got.extend(get_all(&queue, Get));
                got
            };
            let work = |i| if i < PRODUCERS { put(i).collect() } else { get() };
            let mut lists = on_threads(PRODUCERS + 1, work);
            let Values(left) = Drain.run(&queue) else { unreachable!("it drains") };
            let mut got = [lists.pop().unwrap_or_default(), left].concat();
            assert_in_order(&got);
            let mut put = lists.concat();
            got.sort_unstable();
            put.sort_unstable();
            assert!(put == got, "{} were put, {} got or left", put.len(), got.len());
            lists.iter().filter(|values| !values.is_empty()).count()
        });
    }
}

#[test]
fn one_thread_finishes_the_last_value() {
    for _ in 0..ROUNDS {
        let queue = queue_of(0);
        let all = PRODUCERS * BATCH;
        answers(&queue, [PutSome(0, FIRST.min(all)), PutSome(0, all - FIRST.min(all))]);
        let last = on_threads(PRODUCERS, |_| {
            let finished = iter::repeat_with(|| queue.finish(1)).take(BATCH);
            finished.filter(|finished| finished.expect("no more than were put")).count()
        });
        assert_eq!((last.iter().sum::<usize>(), queue.finish(1)), (1, Err(0)));
    }
}

fn operations() -> impl Strategy<Value = Op> {
    let number = any::<u32>;
    prop_oneof![
        4 => number().prop_map(Put),
        4 => (0..1_u32 << 20, 1..2 * SEGMENT).prop_map(|(first, count)| PutSome(first, count)),
        4 => number().prop_map(ForcePut),
        4 => Just(Get),
        4 => (1..=64_usize).prop_map(GetSome),
        1 => Just(Drain),
        1 => Just(Close),
        1 => Just(Shut),
        4 => Just(Len),
        2 => (0..100_u64).prop_map(Finish),
        2 => Just(Unfinished),
    ]
}

fn limits() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), 1..4_usize, SEGMENT - 1..=SEGMENT + 1]
}

proptest! {
    #![proptest_config(cases::cases())]

    #[test]
    fn behaves_as_a_plain_queue(
        limit in limits(),
        used in 0..2 * SEGMENT,
        steps in prop::collection::vec(operations(), 0..40),
    ) {
        let (queue, mut plain) = (queue_of(limit as u64), Plain::new(limit));
        for op in [Put(0), Get].into_iter().cycle().take(2 * used).chain(steps) {
            prop_assert_eq!(op.run(&queue), plain.apply(op), "{:?}", op);
            prop_assert_eq!(queue.len(), plain.len(), "after {:?}", op);
            prop_assert_eq!(queue.is_full(), plain.room() == 0, "after {:?}", op);
        }
    }
}

/// A value whose producer is suspended between claiming its slot and filling it.
struct Suspended(std::sync::Arc<std::sync::Barrier>);

// SAFETY: a word that is not 0, and holds nothing.
unsafe impl Pointer for Suspended {
    fn into_raw(self) -> usize {
        self.0.wait();
        self.0.wait();
        1
    }

    unsafe fn from_raw(_: usize) -> Self {
        Self(std::sync::Arc::new(std::sync::Barrier::new(1)))
    }

    unsafe fn peek<R>(_: usize, _: impl FnOnce(&Self) -> R) -> R {
        unreachable!("nobody looks")
    }
}

#[test]
fn what_is_claimed_and_not_filled_is_no_value_unless_one_behind_it_is() {
    let queue = lockfree::engine::Queue::<Suspended>::new();
    let (claimed, alone) = [2, 1].map(|n| std::sync::Arc::new(std::sync::Barrier::new(n))).into();
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(queue.try_put(Suspended(std::sync::Arc::clone(&claimed))).is_ok()));
        claimed.wait();
        assert!(matches!(queue.try_get(), TryGet::Unfilled));
        assert!(queue.is_unfilled());
        assert!(queue.try_put(Suspended(alone)).is_ok());
        assert!(matches!(queue.try_get(), TryGet::Unfilled));
        assert!(!queue.is_unfilled());
        claimed.wait();
    });
    assert!(matches!(queue.try_get(), TryGet::Got(_)));
    assert!(matches!(queue.try_get(), TryGet::Got(_)));
    assert!(matches!(queue.try_get(), TryGet::Empty));
}
