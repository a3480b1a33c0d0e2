//! The engine beside its locked baseline: the same body runs on a structure of the engine and
//! on a plain one behind `parking_lot`'s mutex, on several threads at once, and has to come to
//! the same result. So what the benchmarks compare does the same work.
#![cfg(not(loom))]

#[path = "common/sought.rs"]
#[allow(dead_code)] // other tests use the rest
mod sought;
#[path = "common/threads.rs"]
#[allow(dead_code)] // as above
mod threads;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::fmt::Debug;
use std::mem;
use std::thread;

use lockfree::baseline::Number as Item;
use lockfree::engine::cache::Monotonic;
use lockfree::engine::{
    Cache, Flag, Float64, Guarded, Heap, Int64, Lifo, Number, Priority, Queue, Ranked, Reference,
    Stack, Striped, TryGet,
};
use lockfree::shim::Ordering::SeqCst;
use parking_lot::Mutex;
use sought::{FOREVER, Map, Numbered};
use threads::on_threads;

const THREADS: usize = 4;
/// What each thread does so often.
const ROUNDS: usize = if cfg!(miri) { 20 } else { 2000 };
const ALL: usize = THREADS * ROUNDS;

/// Runs the body on either, some times over: threads do not always meet.
fn agree<E: Default, L: Default, R: Debug + PartialEq>(
    engine: impl Fn(&E) -> R,
    locked: impl Fn(&L) -> R,
) {
    for _ in 0..5 {
        assert_eq!(engine(&E::default()), locked(&L::default()));
    }
}

/// What all threads got, in order: the same whoever got what.
fn sorted<T: Ord>(of_threads: Vec<Vec<T>>) -> Vec<T> {
    let mut all: Vec<_> = of_threads.into_iter().flatten().collect();
    all.sort_unstable();
    all
}

/// The number that no other thread has in this round.
fn own(thread: usize, round: usize) -> usize {
    round * THREADS + thread
}

// --- words -------------------------------------------------------------------------------

trait Integer: Default + Sync {
    fn add(&self, n: i64) -> i64;
    fn swap(&self, expected: i64, desired: i64) -> Result<i64, i64>;
}

impl Integer for Int64 {
    fn add(&self, n: i64) -> i64 {
        self.fetch_add(n, SeqCst).expect("far from the end")
    }

    fn swap(&self, expected: i64, desired: i64) -> Result<i64, i64> {
        self.compare_exchange(expected, desired, SeqCst, SeqCst)
    }
}

impl Integer for Mutex<i64> {
    fn add(&self, n: i64) -> i64 {
        let mut value = self.lock();
        let sum = *value + n;
        mem::replace(&mut value, sum)
    }

    fn swap(&self, expected: i64, desired: i64) -> Result<i64, i64> {
        let mut value = self.lock();
        if *value == expected { Ok(mem::replace(&mut value, desired)) } else { Err(*value) }
    }
}

/// Half by additions, half by a loop of comparing and exchanging: each old value is returned
/// to one thread.
fn count<I: Integer>(int: &I) -> (Vec<i64>, i64) {
    let step = |round: usize| {
        if round.is_multiple_of(2) {
            return int.add(1);
        }
        let mut seen = 0;
        while let Err(found) = int.swap(seen, seen + 1) {
            seen = found;
        }
        seen
    };
    let old = on_threads(THREADS, |_| (0..ROUNDS).map(step).collect());
    (sorted(old), int.add(0))
}

#[test]
fn a_counter_returns_each_value_once() {
    agree::<Int64, Mutex<i64>, _>(count, count);
}

trait Switch: Default + Sync {
    /// Sets it; says whether it was set.
    fn set(&self) -> bool;
    /// Turns it over; says what it was.
    fn turn(&self) -> bool;
}

/// An engine's flag that begins as false.
struct Unset(Flag);

impl Default for Unset {
    fn default() -> Self {
        Self(Flag::new(false))
    }
}

impl Switch for Unset {
    fn set(&self) -> bool {
        self.0.test_and_set(SeqCst)
    }

    fn turn(&self) -> bool {
        self.0.fetch_not(SeqCst)
    }
}

impl Switch for Mutex<bool> {
    fn set(&self) -> bool {
        mem::replace(&mut self.lock(), true)
    }

    fn turn(&self) -> bool {
        let mut value = self.lock();
        let other = !*value;
        mem::replace(&mut value, other)
    }
}

/// How many threads found it unset, of all that set it; and how often either value was found
/// by those who turned it over.
fn switch<S: Switch>(flag: &S) -> (usize, usize, bool) {
    let first = on_threads(THREADS, |_| usize::from(!flag.set())).into_iter().sum();
    let turned = on_threads(THREADS, |_| (0..ROUNDS).filter(|_| flag.turn()).count());
    (first, turned.into_iter().sum(), flag.turn())
}

#[test]
fn a_flag_is_set_by_one_thread() {
    agree::<Unset, Mutex<bool>, _>(switch, switch);
}

trait Real: Default + Sync {
    fn add(&self, n: f64) -> f64;
}

/// An engine's float that begins as 0.
struct Zero(Float64);

impl Default for Zero {
    fn default() -> Self {
        Self(Float64::new(0.0))
    }
}

impl Real for Zero {
    fn add(&self, n: f64) -> f64 {
        self.0.fetch_add(n, SeqCst)
    }
}

impl Real for Mutex<f64> {
    fn add(&self, n: f64) -> f64 {
        let mut value = self.lock();
        let sum = *value + n;
        mem::replace(&mut value, sum)
    }
}

/// Halves are exact; a positive float's bits are in its order.
fn sum_up<F: Real>(float: &F) -> (Vec<u64>, u64) {
    let old = on_threads(THREADS, |_| (0..ROUNDS).map(|_| float.add(0.5).to_bits()).collect());
    (sorted(old), float.add(0.0).to_bits())
}

#[test]
fn a_float_loses_no_addition() {
    agree::<Zero, Mutex<f64>, _>(sum_up, sum_up);
}

trait Holder: Default + Sync {
    fn exchange(&self, number: usize) -> usize;
}

/// An engine's reference that begins with a number that nobody puts there.
struct Held(Reference<Item>);

impl Default for Held {
    fn default() -> Self {
        Self(Reference::new(Item(ALL)))
    }
}

impl Holder for Held {
    fn exchange(&self, number: usize) -> usize {
        self.0.exchange(Item(number), SeqCst).0
    }
}

struct LockedHolder(Mutex<usize>);

impl Default for LockedHolder {
    fn default() -> Self {
        Self(Mutex::new(ALL))
    }
}

impl Holder for LockedHolder {
    fn exchange(&self, number: usize) -> usize {
        mem::replace(&mut self.0.lock(), number)
    }
}

/// All that was put there comes out once, the last one at the end.
fn exchange<H: Holder>(holder: &H) -> Vec<usize> {
    let step = |thread| (0..ROUNDS).map(|round| holder.exchange(own(thread, round))).collect();
    let mut old = on_threads(THREADS, step);
    old.push(vec![holder.exchange(ALL)]);
    sorted(old)
}

#[test]
fn a_reference_gives_each_value_to_one_thread() {
    agree::<Held, LockedHolder, _>(exchange, exchange);
}

trait Adder: Default + Sync {
    fn add(&self, n: i64);
    fn reset(&self) -> i128;
}

impl Adder for Striped<1> {
    fn add(&self, n: i64) {
        self.add(0, n);
    }

    fn reset(&self) -> i128 {
        self.reset(0)
    }
}

impl Adder for Mutex<i128> {
    fn add(&self, n: i64) {
        *self.lock() += i128::from(n);
    }

    fn reset(&self) -> i128 {
        mem::take(&mut self.lock())
    }
}

/// The additions are large enough for a cell to overflow. Resets take each of them once.
fn add_up<A: Adder>(counter: &A) -> i128 {
    let taken = on_threads(THREADS, |thread| {
        let step = |round: usize| {
            counter.add(i64::MAX / 100);
            if thread == 0 && round.is_multiple_of(10) { counter.reset() } else { 0 }
        };
        (0..ROUNDS).map(step).sum::<i128>()
    });
    taken.into_iter().sum::<i128>() + counter.reset()
}

#[test]
fn a_striped_counter_counts_each_addition_once() {
    agree::<Striped<1>, Mutex<i128>, _>(add_up, add_up);
}

// --- containers --------------------------------------------------------------------------

impl Numbered for Item {
    fn number(&self) -> usize {
        self.0
    }
}

/// What values go into and come out of, in whatever order.
trait Bag: Default + Sync {
    fn put(&self, number: usize);
    fn get(&self) -> Option<usize>;
}

impl Bag for Stack<usize> {
    fn put(&self, number: usize) {
        self.push(number).expect("there is memory");
    }

    fn get(&self) -> Option<usize> {
        self.pop()
    }
}

impl Bag for Mutex<Vec<usize>> {
    fn put(&self, number: usize) {
        self.lock().push(number);
    }

    fn get(&self) -> Option<usize> {
        self.lock().pop()
    }
}

impl Bag for Queue<Item> {
    fn put(&self, number: usize) {
        assert!(self.try_put(Item(number)).is_ok(), "there is memory");
    }

    fn get(&self) -> Option<usize> {
        loop {
            match self.try_get() {
                TryGet::Got(item) => return Some(item.0),
                TryGet::Unfilled => thread::yield_now(),
                TryGet::Empty | TryGet::Closed => return None,
            }
        }
    }
}

impl Bag for Mutex<VecDeque<usize>> {
    fn put(&self, number: usize) {
        self.lock().push_back(number);
    }

    fn get(&self) -> Option<usize> {
        self.lock().pop_front()
    }
}

impl Bag for Guarded<Lifo<usize>> {
    fn put(&self, number: usize) {
        assert!(self.try_put(number).is_ok(), "there is memory");
    }

    fn get(&self) -> Option<usize> {
        match self.try_get() {
            TryGet::Got(number) => Some(number),
            _ => None,
        }
    }
}

impl Bag for Guarded<Heap<usize>> {
    fn put(&self, number: usize) {
        let rank = i64::try_from(number).expect("a small number");
        let priority = Priority::new(Number::Int(rank), []).expect("no allocation");
        assert!(self.try_put(Ranked { priority, value: number }).is_ok(), "there is memory");
    }

    fn get(&self) -> Option<usize> {
        match self.try_get() {
            TryGet::Got(number) => Some(number),
            _ => None,
        }
    }
}

impl Bag for Mutex<BinaryHeap<Reverse<usize>>> {
    fn put(&self, number: usize) {
        self.lock().push(Reverse(number));
    }

    fn get(&self) -> Option<usize> {
        self.lock().pop().map(|number| number.0)
    }
}

/// Each thread puts two and gets one: what came out and what is left.
fn put_and_get<B: Bag>(bag: &B) -> (usize, Vec<usize>) {
    let mut got = on_threads(THREADS, |thread| {
        let step = |round: usize| {
            bag.put(own(thread, 2 * round));
            bag.put(own(thread, 2 * round + 1));
            bag.get()
        };
        (0..ROUNDS).map(|round| step(round).expect("more was put than got")).collect::<Vec<_>>()
    });
    let left: Vec<_> = std::iter::from_fn(|| bag.get()).collect();
    let count = left.len();
    got.push(left);
    (count, sorted(got))
}

/// What one thread finds, after many have put: the order that a container is for.
fn in_turn<B: Bag>(bag: &B) -> Vec<usize> {
    on_threads(THREADS, |thread| (0..ROUNDS).for_each(|round| bag.put(own(thread, round))));
    std::iter::from_fn(|| bag.get()).collect()
}

/// Whether each thread's numbers come in the order in which it put them; and how many there are.
fn first_in_first_out<B: Bag>(bag: &B) -> (bool, usize) {
    let all = in_turn(bag);
    let of = |thread| all.iter().filter(move |number| **number % THREADS == thread);
    ((0..THREADS).all(|thread| of(thread).is_sorted()), all.len())
}

fn last_in_first_out<B: Bag>(bag: &B) -> (bool, usize) {
    let all = in_turn(bag);
    let of = |thread| all.iter().rev().filter(move |number| **number % THREADS == thread);
    ((0..THREADS).all(|thread| of(thread).is_sorted()), all.len())
}

#[test]
fn a_stack_keeps_all_that_is_pushed() {
    agree::<Stack<usize>, Mutex<Vec<usize>>, _>(put_and_get, put_and_get);
    agree::<Stack<usize>, Mutex<Vec<usize>>, _>(last_in_first_out, last_in_first_out);
}

#[test]
fn a_queue_keeps_all_that_is_put() {
    agree::<Queue<Item>, Mutex<VecDeque<usize>>, _>(put_and_get, put_and_get);
    agree::<Queue<Item>, Mutex<VecDeque<usize>>, _>(first_in_first_out, first_in_first_out);
}

#[test]
fn a_guarded_stack_keeps_all_that_is_put() {
    agree::<Guarded<Lifo<usize>>, Mutex<Vec<usize>>, _>(put_and_get, put_and_get);
    agree::<Guarded<Lifo<usize>>, Mutex<Vec<usize>>, _>(last_in_first_out, last_in_first_out);
}

#[test]
fn a_heap_keeps_all_that_is_put_and_sorts_it() {
    agree::<Guarded<Heap<usize>>, Mutex<BinaryHeap<Reverse<usize>>>, _>(put_and_get, put_and_get);
    agree::<Guarded<Heap<usize>>, Mutex<BinaryHeap<Reverse<usize>>>, _>(in_turn, in_turn);
}

// --- the cache -----------------------------------------------------------------------------

trait Table: Default + Sync {
    fn put(&self, key: usize, value: usize);
    fn get(&self, key: usize) -> Option<usize>;
    /// What was there, or nothing if this value is there now.
    fn get_or_put(&self, key: usize, value: usize) -> Option<usize>;
    fn remove(&self, key: usize) -> Option<usize>;
    fn items(&self) -> Vec<(usize, usize)>;
}

/// A cache without a bound.
struct Unbounded(Map<Item, Monotonic, fn(usize) -> Item>);

impl Default for Unbounded {
    fn default() -> Self {
        // Two of three keys have another key's hash.
        let hash = |number: usize| (number as u64 / 3, false);
        let limit = lockfree::engine::cache::UNBOUNDED;
        Self(Map { cache: Cache::new(limit, false), make: Item, hash })
    }
}

impl Table for Unbounded {
    fn put(&self, key: usize, value: usize) {
        assert!(self.0.put(key, value).is_empty(), "there is room");
    }

    fn get(&self, key: usize) -> Option<usize> {
        self.0.get(key)
    }

    fn get_or_put(&self, key: usize, value: usize) -> Option<usize> {
        self.0.get_or_put(key, value, FOREVER)
    }

    fn remove(&self, key: usize) -> Option<usize> {
        self.0.remove(key)
    }

    fn items(&self) -> Vec<(usize, usize)> {
        self.0.items()
    }
}

impl Table for Mutex<HashMap<usize, usize>> {
    fn put(&self, key: usize, value: usize) {
        self.lock().insert(key, value);
    }

    fn get(&self, key: usize) -> Option<usize> {
        self.lock().get(&key).copied()
    }

    fn get_or_put(&self, key: usize, value: usize) -> Option<usize> {
        let mut map = self.lock();
        let found = map.get(&key).copied();
        map.entry(key).or_insert(value);
        found
    }

    fn remove(&self, key: usize) -> Option<usize> {
        self.lock().remove(&key)
    }

    fn items(&self) -> Vec<(usize, usize)> {
        let mut items: Vec<_> = self.lock().iter().map(|(key, value)| (*key, *value)).collect();
        items.sort_unstable();
        items
    }
}

/// Each thread changes keys of its own, and looks at those of the others.
fn change<T: Table>(table: &T) -> (bool, Vec<(usize, usize)>) {
    let step = |thread: usize, round: usize| {
        let key = own(thread, round);
        table.put(key, 0);
        let there = table.get(key) == Some(0) && table.get_or_put(key, 1) == Some(0);
        table.put(key, key);
        let others = own(thread + 1, round);
        let seen = table.get(others).is_none_or(|value| [0, others].contains(&value));
        there && seen && (round.is_multiple_of(2) || table.remove(key) == Some(key))
    };
    let right = on_threads(THREADS, |thread| (0..ROUNDS).all(|round| step(thread, round)));
    (right.into_iter().all(|each| each), table.items())
}

/// All threads want to be the first for each key: how many were, and whether the others found
/// what the first one put.
fn race<T: Table>(table: &T) -> (usize, bool) {
    let found = on_threads(THREADS, |thread| {
        (0..ROUNDS).map(|key| (key, table.get_or_put(key, thread))).collect::<Vec<_>>()
    });
    let all = sorted(found);
    let first = all.iter().filter(|(_, found)| found.is_none()).count();
    let values: BTreeSet<_> = all.into_iter().filter(|(_, found)| found.is_some()).collect();
    (first, values.into_iter().all(|(key, found)| found == table.get(key)))
}

/// All threads want to remove each key: one does.
fn take_away<T: Table>(table: &T) -> Vec<usize> {
    (0..ROUNDS).for_each(|key| table.put(key, key));
    sorted(on_threads(THREADS, |_| (0..ROUNDS).filter_map(|key| table.remove(key)).collect()))
}

#[test]
fn a_cache_is_changed_by_all_at_once() {
    type Locked = Mutex<HashMap<usize, usize>>;
    agree::<Unbounded, Locked, _>(change, change);
    agree::<Unbounded, Locked, _>(race, race);
    agree::<Unbounded, Locked, _>(take_away, take_away);
}
