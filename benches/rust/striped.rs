//! The striped counter beside one atomic integer that all threads add to. The
//! last part of a benchmark's name is the number of threads.
//!
//! ```sh
//! cargo bench --no-default-features --bench striped
//! ```

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lockfree::baseline;
use lockfree::engine::Striped;

/// Runs one contender with so many threads and iterations.
type Run = fn(usize, u64) -> Duration;

fn striped(threads: usize, iterations: u64) -> Duration {
    let counter = Striped::<1>::default();
    let time = timed(threads, iterations, || counter.add(0, 1));
    assert_eq!(u64::try_from(counter.sum(0)), Ok(threads as u64 * iterations));
    time
}

fn atomic(threads: usize, iterations: u64) -> Duration {
    let counter = AtomicI64::new(0);
    let time = timed(threads, iterations, || {
        counter.fetch_add(1, SeqCst);
    });
    assert_eq!(u64::try_from(counter.into_inner()), Ok(threads as u64 * iterations));
    time
}

fn timed(threads: usize, iterations: u64, operation: impl Fn() + Sync) -> Duration {
    Duration::from_secs_f64(baseline::timed(threads, iterations, operation))
}

fn add(criterion: &mut Criterion) {
    const CONTENDERS: [(&str, Run); 2] = [("Striped", striped), ("AtomicI64", atomic)];
    let mut group = criterion.benchmark_group("add");
    for threads in [1, 2] {
        group.throughput(Throughput::Elements(threads as u64));
        for (name, run) in CONTENDERS {
            group.bench_function(BenchmarkId::new(name, threads), |bencher| {
                bencher.iter_custom(|iterations| run(threads, iterations));
            });
        }
    }
}

/// With as many cells as threads ran before.
fn sum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sum");
    for threads in [1, 8] {
        let counter = Striped::<1>::default();
        baseline::timed(threads, 1000, || counter.add(0, 1));
        group.bench_function(BenchmarkId::new("Striped", threads), |bencher| {
            bencher.iter(|| counter.sum(0));
        });
    }
}

criterion_group!(benches, add, sum);
criterion_main!(benches);
