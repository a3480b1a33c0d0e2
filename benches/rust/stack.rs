//! The stack beside a vector behind a mutex. The last part of a benchmark's name
//! is the number of threads; a batch is pushed and popped in one step each.
//!
//! ```sh
//! cargo bench --no-default-features --bench stack
//! ```

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lockfree::baseline;
use lockfree::engine::Stack;
use parking_lot::Mutex;

/// What is compared.
trait Lifo: Default + Sync {
    fn push(&self, value: u64);
    fn pop(&self) -> Option<u64>;
    fn push_many(&self, values: Vec<u64>);
    fn pop_many(&self, limit: usize) -> Vec<u64>;
}

impl Lifo for Stack<u64> {
    fn push(&self, value: u64) {
        self.push(value).expect("there is memory");
    }

    fn pop(&self) -> Option<u64> {
        self.pop()
    }

    fn push_many(&self, values: Vec<u64>) {
        assert!(self.push_many(values.into_iter()).is_ok(), "there is memory");
    }

    fn pop_many(&self, limit: usize) -> Vec<u64> {
        let mut popped = Vec::with_capacity(limit);
        let count = self.pop_many(limit, limit, |value| popped.push(value));
        assert_eq!(count, Ok(popped.len()));
        popped
    }
}

impl Lifo for Mutex<Vec<u64>> {
    fn push(&self, value: u64) {
        self.lock().push(value);
    }

    fn pop(&self) -> Option<u64> {
        self.lock().pop()
    }

    fn push_many(&self, values: Vec<u64>) {
        self.lock().extend(values);
    }

    fn pop_many(&self, limit: usize) -> Vec<u64> {
        let mut popped = Vec::with_capacity(limit);
        let mut values = self.lock();
        let rest = values.len().saturating_sub(limit);
        popped.extend(values.drain(rest..).rev());
        popped
    }
}

fn push_pop<L: Lifo>(threads: usize, iterations: u64) -> Duration {
    let stack = L::default();
    let time = timed(threads, iterations, || {
        stack.push(1);
        black_box(stack.pop().expect("no more pops than pushes"));
    });
    assert_eq!(stack.pop(), None);
    time
}

const BATCH: usize = 100;

fn batch<L: Lifo>(threads: usize, iterations: u64) -> Duration {
    let stack = L::default();
    let time = timed(threads, iterations, || {
        stack.push_many(vec![1; BATCH]);
        assert_eq!(stack.pop_many(BATCH).len(), BATCH);
    });
    assert_eq!(stack.pop(), None);
    time
}

fn timed(threads: usize, iterations: u64, operation: impl Fn() + Sync) -> Duration {
    Duration::from_secs_f64(baseline::timed(threads, iterations, operation))
}

/// Runs one contender with so many threads and iterations.
type Run = fn(usize, u64) -> Duration;

/// The throughput counts the values that are pushed and popped.
fn compare(criterion: &mut Criterion, name: &str, values: usize, contenders: [(&str, Run); 2]) {
    let mut group = criterion.benchmark_group(name);
    for threads in [1, 2, 4] {
        group.throughput(Throughput::Elements((threads * values) as u64));
        for (name, run) in contenders {
            group.bench_function(BenchmarkId::new(name, threads), |bencher| {
                bencher.iter_custom(|iterations| run(threads, iterations));
            });
        }
    }
}

fn stack(criterion: &mut Criterion) {
    compare(
        criterion,
        "push_pop",
        1,
        [("Stack", push_pop::<Stack<u64>>), ("Mutex", push_pop::<Mutex<Vec<u64>>>)],
    );
    compare(
        criterion,
        "batch",
        BATCH,
        [("Stack", batch::<Stack<u64>>), ("Mutex", batch::<Mutex<Vec<u64>>>)],
    );
}

criterion_group!(benches, stack);
criterion_main!(benches);
