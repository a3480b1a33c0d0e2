//! The queue beside crossbeam's and beside a deque behind a mutex. The last part
//! of a benchmark's name is the number of threads; a batch is put and got in as
//! few steps as each has.
//!
//! ```sh
//! cargo bench --no-default-features --bench queue
//! ```

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_queue::{ArrayQueue, SegQueue};
use lockfree::baseline;
use lockfree::engine::{Pointer, Queue, TryGet};
use parking_lot::Mutex;

/// What is queued.
struct Word(usize);

// SAFETY: no word here is 0.
unsafe impl Pointer for Word {
    fn into_raw(self) -> usize {
        self.0
    }

    unsafe fn from_raw(word: usize) -> Self {
        Self(word)
    }

    unsafe fn peek<R>(word: usize, look: impl FnOnce(&Self) -> R) -> R {
        look(&Self(word))
    }
}

const BATCH: usize = 100;

/// The limit of those that have one.
const LIMIT: usize = 1024;

/// What is compared.
trait Fifo: Sync {
    fn new() -> Self;

    /// Says whether there was room.
    fn put(&self, word: usize) -> bool;

    fn get(&self) -> Option<usize>;

    fn put_batch(&self) {
        (0..BATCH).for_each(|_| assert!(self.put(1)));
    }

    fn get_batch(&self) {
        (0..BATCH).for_each(|_| assert_eq!(self.get(), Some(1)));
    }
}

impl Fifo for Queue<Word> {
    fn new() -> Self {
        Self::new()
    }

    fn put(&self, word: usize) -> bool {
        self.try_put(Word(word)).is_ok()
    }

    fn get(&self) -> Option<usize> {
        match self.try_get() {
            TryGet::Got(word) => Some(word.0),
            _ => None,
        }
    }

    fn put_batch(&self) {
        let mut words = (0..BATCH).map(|_| Word(1)).collect::<Vec<_>>().into_iter();
        while words.len() > 0 {
            self.try_put_some(&mut words).expect("there is room");
        }
    }

    fn get_batch(&self) {
        let mut count = 0;
        while count < BATCH {
            if let TryGet::Got(some) = self.try_get_some(BATCH - count, drop) {
                count += some;
            }
        }
    }
}

/// The queue with a limit.
struct Bounded(Queue<Word>);

impl Fifo for Bounded {
    fn new() -> Self {
        let queue = Queue::new();
        queue.begin_with_limit(LIMIT as u64);
        Self(queue)
    }

    fn put(&self, word: usize) -> bool {
        self.0.put(word)
    }

    fn get(&self) -> Option<usize> {
        Fifo::get(&self.0)
    }
}

impl Fifo for SegQueue<usize> {
    fn new() -> Self {
        Self::new()
    }

    fn put(&self, word: usize) -> bool {
        self.push(word);
        true
    }

    fn get(&self) -> Option<usize> {
        self.pop()
    }
}

impl Fifo for ArrayQueue<usize> {
    fn new() -> Self {
        Self::new(LIMIT)
    }

    fn put(&self, word: usize) -> bool {
        self.push(word).is_ok()
    }

    fn get(&self) -> Option<usize> {
        self.pop()
    }
}

impl Fifo for Mutex<VecDeque<usize>> {
    fn new() -> Self {
        Self::default()
    }

    fn put(&self, word: usize) -> bool {
        self.lock().push_back(word);
        true
    }

    fn get(&self) -> Option<usize> {
        self.lock().pop_front()
    }

    fn put_batch(&self) {
        self.lock().extend([1; BATCH]);
    }

    fn get_batch(&self) {
        assert_eq!(self.lock().drain(..BATCH).len(), BATCH);
    }
}

fn put_get<Q: Fifo>(threads: usize, iterations: u64) -> Duration {
    let queue = Q::new();
    let time = timed(threads, iterations, || {
        assert!(queue.put(1));
        // Another thread's value may be claimed and not there yet.
        while black_box(queue.get()).is_none() {}
    });
    assert_eq!(queue.get(), None);
    time
}

fn batch<Q: Fifo>(threads: usize, iterations: u64) -> Duration {
    let queue = Q::new();
    let time = timed(threads, iterations, || {
        queue.put_batch();
        queue.get_batch();
    });
    assert_eq!(queue.get(), None);
    time
}

/// Half the threads put, the others get.
fn pass_on<Q: Fifo>(threads: usize, iterations: u64) -> Duration {
    let queue = Q::new();
    let barrier = Barrier::new(threads + 1);
    let put = || {
        barrier.wait();
        (0..iterations).for_each(|_| {
            while !queue.put(1) {
                thread::yield_now();
            }
        });
    };
    let get = || {
        barrier.wait();
        (0..iterations).for_each(|_| {
            while queue.get().is_none() {
                thread::yield_now();
            }
        });
    };
    let start = thread::scope(|scope| {
        for _ in 0..threads / 2 {
            scope.spawn(put);
            scope.spawn(get);
        }
        barrier.wait();
        Instant::now()
    });
    start.elapsed()
}

fn timed(threads: usize, iterations: u64, operation: impl Fn() + Sync) -> Duration {
    Duration::from_secs_f64(baseline::timed(threads, iterations, operation))
}

/// Runs one contender with so many threads and iterations.
type Run = fn(usize, u64) -> Duration;

/// The throughput counts the values that are put and got in one iteration.
fn compare<const N: usize>(
    criterion: &mut Criterion,
    name: &str,
    threads: &[usize],
    values: fn(usize) -> usize,
    contenders: [(&str, Run); N],
) {
    let mut group = criterion.benchmark_group(name);
    for &threads in threads {
        group.throughput(Throughput::Elements(values(threads) as u64));
        for (name, run) in contenders {
            group.bench_function(BenchmarkId::new(name, threads), |bencher| {
                bencher.iter_custom(|iterations| run(threads, iterations));
            });
        }
    }
}

type Locked = Mutex<VecDeque<usize>>;

fn queue(criterion: &mut Criterion) {
    let unbounded: [(_, Run); 3] = [
        ("Queue", put_get::<Queue<Word>>),
        ("SegQueue", put_get::<SegQueue<usize>>),
        ("Mutex", put_get::<Locked>),
    ];
    compare(criterion, "put_get", &[1, 2, 4], |threads| threads, unbounded);
    let bounded: [(_, Run); 2] =
        [("Queue", put_get::<Bounded>), ("ArrayQueue", put_get::<ArrayQueue<usize>>)];
    compare(criterion, "bounded", &[1, 2, 4], |threads| threads, bounded);
    let passed_on: [(_, Run); 5] = [
        ("Queue", pass_on::<Queue<Word>>),
        ("Queue, bounded", pass_on::<Bounded>),
        ("SegQueue", pass_on::<SegQueue<usize>>),
        ("ArrayQueue", pass_on::<ArrayQueue<usize>>),
        ("Mutex", pass_on::<Locked>),
    ];
    compare(criterion, "pass_on", &[2], |threads| threads / 2, passed_on);
    let batched: [(_, Run); 3] = [
        ("Queue", batch::<Queue<Word>>),
        ("SegQueue", batch::<SegQueue<usize>>),
        ("Mutex", batch::<Locked>),
    ];
    compare(criterion, "batch", &[1, 2, 4], |threads| threads * BATCH, batched);
}

criterion_group!(benches, queue);
criterion_main!(benches);
