//! The stack: each operation, its edges, and threads.
#![cfg(not(loom))]

#[path = "common/allocations.rs"]
mod allocations;
#[path = "common/cases.rs"]
mod cases;
#[path = "common/lifo.rs"]
mod lifo;
#[path = "common/threads.rs"]
mod threads;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::{array, iter, thread};

use allocations::allocations;
use lifo::{Op, pop_many, push, push_many};
use lockfree::engine::{OutOfMemory, Stack};
use proptest::prelude::*;
use threads::{on_threads, until_threads_meet};

/// A stack of these values, the last one uppermost.
fn stack_of<T: Clone>(values: impl IntoIterator<Item = T>) -> Stack<T> {
    let stack = Stack::new();
    for value in values {
        push(&stack, value);
    }
    stack
}

#[test]
fn starts_empty() {
    let stack = Stack::<u8>::default();
    assert_eq!((stack.len(), stack.is_empty()), (0, true));
    assert_eq!((stack.pop(), stack.peek()), (None, None));
    assert_eq!((stack.snapshot().unwrap(), pop_many(&stack, 1)), (vec![], vec![]));
}

#[test]
fn the_last_in_is_the_first_out() {
    let stack = stack_of([1, 2]);
    assert_eq!(stack.pop(), Some(2));
    push(&stack, 3);
    assert_eq!([stack.pop(), stack.pop(), stack.pop()], [Some(3), Some(1), None]);
}

#[test]
fn push_many_puts_the_last_uppermost() {
    let stack = stack_of([1]);
    push_many(&stack, vec![2, 3, 4]);
    push_many(&stack, vec![]);
    assert_eq!(stack.snapshot().unwrap(), [4, 3, 2, 1]);
}

#[test]
fn pop_many_takes_the_uppermost() {
    let stack = stack_of(0..6);
    assert!(pop_many(&stack, 0).is_empty());
    assert_eq!(pop_many(&stack, 2), [5, 4]);
    assert_eq!(stack.snapshot().unwrap(), [3, 2, 1, 0]);
    assert_eq!(pop_many(&stack, 4), [3, 2, 1, 0]);
    push_many(&stack, vec![7, 8]);
    assert_eq!(pop_many(&stack, 3), [8, 7]);
    push_many(&stack, vec![7, 8]);
    assert_eq!(pop_many(&stack, usize::MAX), [8, 7]);
}

#[test]
fn pop_many_takes_nothing_for_which_there_is_no_room() {
    let stack = stack_of(0..6);
    let refuse = |_| panic!("there is no room");
    assert_eq!(stack.pop_many(4, 3, refuse), Err(4));
    assert_eq!(stack.pop_many(usize::MAX, 0, refuse), Err(6));
    assert_eq!(stack.snapshot().unwrap(), [5, 4, 3, 2, 1, 0]);
    assert_eq!(stack.pop_many(9, 6, drop), Ok(6));
    assert_eq!(stack.pop_many(9, 0, refuse), Ok(0));
}

#[test]
fn reading_leaves_the_values() {
    let stack = stack_of(["a", "b"]);
    for _ in 0..2 {
        assert_eq!(stack.peek(), Some("b"));
        assert_eq!(stack.snapshot().unwrap(), ["b", "a"]);
        assert_eq!((stack.len(), stack.is_empty()), (2, false));
    }
    assert_eq!(format!("{stack:?}"), "Stack { len: 2, .. }");
}

#[test]
fn clear_leaves_none() {
    let stack = stack_of(["a", "b"]);
    stack.clear();
    assert_eq!((stack.len(), stack.pop()), (0, None));
}

#[test]
fn traverse_visits_until_one_fails() {
    let stack = stack_of(0..5);
    let visit_down_to = |lowest| {
        let mut visited = Vec::new();
        // SAFETY: there is no other thread.
        let result = unsafe {
            stack.traverse(|&value| {
                visited.push(value);
                if value == lowest { Err(value) } else { Ok(()) }
            })
        };
        (visited, result)
    };
    assert_eq!(visit_down_to(2), (vec![4, 3, 2], Err(2)));
    assert_eq!(visit_down_to(-1), (vec![4, 3, 2, 1, 0], Ok(())));
}

#[test]
fn values_may_have_any_size_and_alignment() {
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(128))]
    struct Aligned(u8);

    fn assert_returns<T: Clone + PartialEq + std::fmt::Debug>(value: T) {
        let stack = stack_of(iter::repeat_n(value.clone(), 100));
        assert_eq!(stack.peek().as_ref(), Some(&value));
        assert_eq!(pop_many(&stack, 100), vec![value; 100]);
    }
    assert_returns(());
    assert_returns(Aligned(7));
    assert_returns([7_u8; 1000]);
    assert_returns(Some(Box::new(7)));
}

/// Enough for several segments of an arena.
const DEEP: usize = 1000;
const TIMES: usize = if cfg!(miri) { 3 } else { 100 };

#[test]
fn a_stack_that_was_as_deep_before_allocates_nothing() {
    let stack = stack_of(0..DEEP);
    stack.clear();
    let work = || {
        for _ in 0..TIMES {
            (0..DEEP).for_each(|value| push(&stack, value));
            (DEEP / 2..DEEP).rev().for_each(|value| assert_eq!(stack.pop(), Some(value)));
            assert_eq!(stack.pop_many(DEEP, DEEP, |_| ()), Ok(DEEP / 2));
        }
    };
    assert_eq!(allocations(work), 0);
}

#[test]
#[cfg_attr(miri, ignore = "it would count them one by one")]
fn what_finds_no_memory_is_given_back() {
    /// More than an arena numbers, more than a count holds, and of no size.
    const TOO_MANY: [usize; 2] = [1 << 30, 1 << 32];
    let stack = stack_of([(); DEEP]);
    let work = || {
        for count in TOO_MANY.into_iter().cycle().take(6) {
            assert_eq!(pop_many(&stack, DEEP - 1).len(), DEEP - 1);
            let (values, OutOfMemory) =
                stack.push_many(vec![(); count].into_iter()).expect_err("too many");
            assert_eq!((values.len(), stack.len()), (count, 1));
            push_many(&stack, vec![(); DEEP - 1]);
        }
    };
    assert_eq!(allocations(work), 0);
}

/// Counts its copies and itself. There must be one to copy or to drop: an `Arc`
/// could not tell.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(copies: &'a AtomicUsize) -> Self {
        copies.fetch_add(1, SeqCst);
        Self(copies)
    }
}

impl Clone for Counted<'_> {
    fn clone(&self) -> Self {
        assert_ne!(self.0.fetch_add(1, SeqCst), 0, "copied after the last was dropped");
        Self(self.0)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        assert_ne!(self.0.fetch_sub(1, SeqCst), 0, "dropped twice");
    }
}

fn loads<const N: usize>(copies: &[AtomicUsize; N]) -> [usize; N] {
    array::from_fn(|i| copies[i].load(SeqCst))
}

#[test]
fn every_value_is_dropped_once() {
    let copies: [_; 6] = Default::default();
    let stack = Stack::new();
    push_many(&stack, copies.iter().map(Counted::new).collect());
    drop(stack.pop());
    assert_eq!(loads(&copies), [1, 1, 1, 1, 1, 0]);
    drop(pop_many(&stack, 2));
    assert_eq!(loads(&copies), [1, 1, 1, 0, 0, 0]);
    let read = (stack.peek(), stack.snapshot().unwrap());
    assert_eq!(loads(&copies), [2, 2, 3, 0, 0, 0]);
    drop(read);
    stack.clear();
    assert_eq!(loads(&copies), [0; 6]);

    push_many(&stack, copies.iter().map(Counted::new).collect());
    drop(stack);
    assert_eq!(loads(&copies), [0; 6]);
}

/// Where the first copy of a value waits: at `barrier`, twice.
struct Pause {
    due: AtomicBool,
    barrier: Barrier,
}

/// A value whose first copy takes a while.
struct Slow<'a> {
    counted: Counted<'a>,
    pause: &'a Pause,
}

impl Clone for Slow<'_> {
    fn clone(&self) -> Self {
        if self.pause.due.swap(false, SeqCst) {
            self.pause.barrier.wait();
            self.pause.barrier.wait();
        }
        Self { counted: self.counted.clone(), pause: self.pause }
    }
}

/// Starts `read` in a thread of its own, runs `meanwhile` in the middle of the
/// first copy that it makes, and returns what it read.
fn interrupt<'a, R: Send>(
    pause: &'a Pause,
    read: impl FnOnce() -> R + Send,
    meanwhile: impl FnOnce() + 'a,
) -> R {
    thread::scope(|scope| {
        let reader = scope.spawn(read);
        pause.barrier.wait();
        meanwhile();
        pause.barrier.wait();
        reader.join().expect("a value was copied that was no longer there")
    })
}

#[test]
fn what_is_popped_from_under_a_reader_stays_until_it_leaves() {
    let copies: [_; 4] = Default::default();
    let pause = Pause { due: AtomicBool::new(true), barrier: Barrier::new(2) };
    let slow = |i: usize| Slow { counted: Counted::new(&copies[i]), pause: &pause };
    let stack = stack_of([0, 1, 2].map(slow));

    let mut during = [0; 4];
    let pop_all = || {
        drop(stack.pop());
        push(&stack, slow(3));
        stack.clear();
        during = loads(&copies);
    };
    let read = interrupt(&pause, || stack.snapshot().unwrap(), pop_all);
    assert_eq!(during, [1, 1, 1, 1], "the originals are in limbo");
    let expected = [2, 1, 0].map(|i| &raw const copies[i]);
    assert!(read.iter().map(|slow| &raw const *slow.counted.0).eq(expected));
    assert_eq!(loads(&copies), [1, 1, 1, 0], "the limbo is empty");
    drop(read);
    assert_eq!(loads(&copies), [0; 4]);
}

#[test]
fn nodes_return_from_the_limbo() {
    let copies = AtomicUsize::new(0);
    let pause = Pause { due: AtomicBool::new(true), barrier: Barrier::new(2) };
    let stack = Stack::new();
    let fill = || {
        for _ in 0..DEEP {
            push(&stack, Slow { counted: Counted::new(&copies), pause: &pause });
        }
    };
    fill();
    for _ in 0..3 {
        pause.due.store(true, SeqCst);
        drop(interrupt(&pause, || stack.peek(), || stack.clear()));
        assert_eq!(allocations(fill), 0);
    }
}

const THREADS: usize = if cfg!(miri) { 3 } else { 8 };
/// Values that each thread pushes.
const VALUES: usize = if cfg!(miri) { 60 } else { 200_000 };
const BATCH: usize = 10;

/// The values that only this thread pushes.
fn values_of(thread: usize) -> impl Iterator<Item = usize> {
    thread * VALUES..(thread + 1) * VALUES
}

#[test]
fn threads_pass_on_each_value_once_one_by_one() {
    pass_on(|stack, batch| {
        for &value in batch {
            push(stack, value);
        }
        batch.iter().map(|_| stack.pop().expect("no more pops than pushes")).collect()
    });
}

#[test]
fn threads_pass_on_each_value_once_in_batches() {
    pass_on(|stack, batch| {
        push_many(stack, batch.to_vec());
        pop_many(stack, batch.len())
    });
}

#[test]
fn threads_pass_on_each_value_once_all_at_once() {
    pass_on(|stack, batch| {
        push_many(stack, batch.to_vec());
        pop_many(stack, usize::MAX)
    });
}

/// Puts some values on a stack and takes some from it.
type Exchange = fn(&Stack<usize>, &[usize]) -> Vec<usize>;

/// Checks that each value of each thread is popped once. Threads meet where one
/// pops the value of another.
fn pass_on(exchange: Exchange) {
    until_threads_meet(|| {
        let stack = Stack::new();
        let popped = on_threads(THREADS, |i| {
            let values: Vec<_> = values_of(i).collect();
            values.chunks(BATCH).flat_map(|batch| exchange(&stack, batch)).collect::<Vec<_>>()
        });

        let mut all = [popped.concat(), pop_many(&stack, usize::MAX)].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..THREADS * VALUES));
        assert_eq!((stack.len(), stack.pop()), (0, None));
        let foreign = |(i, values): (usize, &Vec<usize>)| {
            values.iter().filter(|&value| value / VALUES != i).count()
        };
        popped.iter().enumerate().map(foreign).sum()
    });
}

/// Threads meet where a value lies on that of another thread.
#[test]
fn each_threads_values_stay_in_order() {
    until_threads_meet(|| {
        let stack = Stack::new();
        on_threads(THREADS, |i| values_of(i).for_each(|value| push(&stack, value)));
        let popped: Vec<_> = iter::from_fn(|| stack.pop()).collect();
        for i in 0..THREADS {
            let own = popped.iter().copied().filter(|value| value / VALUES == i);
            assert!(own.eq(values_of(i).collect::<Vec<_>>().into_iter().rev()));
        }
        popped.windows(2).filter(|pair| pair[0] / VALUES != pair[1] / VALUES).count()
    });
}

/// Values beyond what a stack always keeps the memory of.
const LARGE: usize = if cfg!(miri) { 70_000 } else { 200_000 };

#[test]
fn memory_that_was_given_back_is_used_again() {
    let stack = Stack::new();
    let fill = || (0..LARGE).for_each(|value| push(&stack, value));
    fill();
    for _ in 0..2 {
        let popped = iter::from_fn(|| stack.pop());
        assert!(popped.eq((0..LARGE).rev()));
        assert!(stack.trim() && !stack.trim(), "once, and then there is nothing left");
        assert_eq!(allocations(fill), 0);
    }
    assert!(pop_many(&stack, usize::MAX).into_iter().eq((0..LARGE).rev()));
}

/// What lies below stays, and where.
#[test]
fn a_stack_that_is_not_empty_gives_memory_back() {
    let stack = stack_of(0..LARGE);
    for left in [LARGE / 2, 100, 1, 0] {
        drop(pop_many(&stack, stack.len() - left));
        stack.trim();
        push_many(&stack, vec![1, 2, 3]);
        assert_eq!(pop_many(&stack, 3), [3, 2, 1]);
        assert!(stack.snapshot().unwrap().into_iter().eq((0..left).rev()));
    }
}

/// Threads that fill and empty one stack, and have it give back what is free just then.
#[test]
#[cfg_attr(miri, ignore = "takes its time")]
fn threads_find_their_values_beside_those_that_trim() {
    const ROUNDS: usize = 8;
    let stack = Stack::new();
    let popped = on_threads(4, |i| {
        let mut sum = 0;
        for _ in 0..ROUNDS {
            push_many(&stack, vec![i; LARGE / 4]);
            (0..LARGE / 4).for_each(|_| push(&stack, i));
            sum += iter::from_fn(|| stack.pop()).take(LARGE / 4).sum::<usize>();
            sum += pop_many(&stack, LARGE / 4).into_iter().sum::<usize>();
            stack.trim();
        }
        sum
    });
    let left: usize = pop_many(&stack, usize::MAX).into_iter().sum();
    assert_eq!(popped.iter().sum::<usize>() + left, (1 + 2 + 3) * ROUNDS * (LARGE / 2));
}

/// Tells readers to stop, when dropped: also by a panic.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Threads meet where a popped value has copies: a reader's, or the original in
/// limbo.
#[test]
fn readers_find_only_live_values() {
    let round = || {
        let copies: Vec<_> = iter::repeat_with(AtomicUsize::default).take(VALUES).collect();
        let (stack, done) = (Stack::new(), AtomicBool::new(false));
        let next = AtomicUsize::new(0);
        let pass_on = || {
            let _done = Done(&done);
            let values = iter::from_fn(|| copies.get(next.fetch_add(1, SeqCst)));
            let popped = values.map(|copies| {
                push(&stack, Counted::new(copies));
                stack.pop().expect("no more pops than pushes").0.load(SeqCst)
            });
            popped.filter(|&copies| copies > 1).count()
        };
        let read = || {
            while !done.load(SeqCst) {
                drop((stack.peek(), stack.snapshot().unwrap()));
            }
            0
        };
        let meetings = on_threads(THREADS, |i| if i % 2 == 0 { pass_on() } else { read() });
        assert!(copies.iter().all(|copies| copies.load(SeqCst) == 0));
        meetings.into_iter().sum()
    };
    until_threads_meet(round);
}

/// Were the limbo not emptied while there is always some reader, all that was
/// popped would be in it. A reader that the system suspends inside keeps what
/// the popping thread leaves in that time.
#[test]
#[cfg_attr(miri, ignore = "the system's threads are meant")]
fn readers_do_not_keep_the_limbo() {
    const READERS: usize = 3;
    const PAIRS: usize = 3_000_000;
    let (live, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let stack = stack_of([Counted::new(&live)]);
    let work = || {
        let _done = Done(&done);
        let mut most = 0;
        for _ in 0..PAIRS {
            push(&stack, Counted::new(&live));
            drop(stack.pop());
            most = most.max(live.load(SeqCst));
        }
        most
    };
    let read = || {
        while !done.load(SeqCst) {
            drop(stack.peek());
        }
        0
    };
    let most: usize =
        on_threads(1 + READERS, |i| if i == 0 { work() } else { read() }).iter().sum();
    assert!(most < PAIRS / 2, "{most} values at a time");
    assert_eq!(live.load(SeqCst), 1);
}

fn operations() -> impl Strategy<Value = Op> {
    prop_oneof![
        any::<u32>().prop_map(Op::Push),
        (0..1_u32 << 20, 0..200_u32).prop_map(|(first, count)| Op::PushMany(first, count)),
        Just(Op::Pop),
        (0..200_usize).prop_map(Op::PopMany),
        Just(Op::PopAll),
        Just(Op::Peek),
        Just(Op::Snapshot),
        Just(Op::Len),
        Just(Op::Trim),
    ]
}

proptest! {
    #![proptest_config(cases::cases())]

    #[test]
    fn behaves_as_a_plain_vector(steps in prop::collection::vec(operations(), 0..40)) {
        let (stack, mut values) = (Stack::<u32>::new(), Vec::new());
        for op in steps {
            prop_assert_eq!(op.run(&stack), op.meaning(&mut values), "{:?}", op);
            let upwards = stack.snapshot().unwrap().into_iter().rev();
            prop_assert_eq!(upwards.collect::<Vec<_>>(), &values[..], "after {:?}", op);
        }
    }
}
