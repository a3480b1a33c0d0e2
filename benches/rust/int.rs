//! The integer beside a plain one behind a mutex and beside std's atomic, whose
//! sum wraps around: the difference to the latter is what the check costs. The
//! last part of a benchmark's name is the number of threads.
//!
//! ```sh
//! cargo bench --no-default-features --bench int
//! ```

use std::mem;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lockfree::baseline;
use lockfree::engine::Int64;
use parking_lot::Mutex;

/// What is compared; an integer starts at zero.
trait Integer: Default + Sync {
    fn fetch_add(&self, n: i64) -> i64;
    fn load(&self) -> i64;
    fn compare_exchange(&self, expected: i64, desired: i64) -> Result<i64, i64>;
}

impl Integer for Int64 {
    fn fetch_add(&self, n: i64) -> i64 {
        self.fetch_add(n, Ordering::SeqCst).expect("far from the end")
    }

    fn load(&self) -> i64 {
        self.load(Ordering::SeqCst)
    }

    fn compare_exchange(&self, expected: i64, desired: i64) -> Result<i64, i64> {
        self.compare_exchange(expected, desired, Ordering::SeqCst, Ordering::SeqCst)
    }
}

impl Integer for Mutex<i64> {
    fn fetch_add(&self, n: i64) -> i64 {
        let mut value = self.lock();
        let sum = value.checked_add(n).expect("far from the end");
        mem::replace(&mut value, sum)
    }

    fn load(&self) -> i64 {
        *self.lock()
    }

    fn compare_exchange(&self, expected: i64, desired: i64) -> Result<i64, i64> {
        let mut value = self.lock();
        if *value == expected { Ok(mem::replace(&mut value, desired)) } else { Err(*value) }
    }
}

impl Integer for AtomicI64 {
    fn fetch_add(&self, n: i64) -> i64 {
        self.fetch_add(n, Ordering::SeqCst)
    }

    fn load(&self) -> i64 {
        self.load(Ordering::SeqCst)
    }

    fn compare_exchange(&self, expected: i64, desired: i64) -> Result<i64, i64> {
        self.compare_exchange(expected, desired, Ordering::SeqCst, Ordering::SeqCst)
    }
}

fn fetch_add<I: Integer>(threads: usize, iterations: u64) -> Duration {
    let int = I::default();
    let time = timed(threads, iterations, || {
        int.fetch_add(1);
    });
    assert_eq!(u64::try_from(int.load()), Ok(threads as u64 * iterations));
    time
}

fn load<I: Integer>(threads: usize, iterations: u64) -> Duration {
    let int = I::default();
    timed(threads, iterations, || assert_eq!(int.load(), 0))
}

fn compare_exchange<I: Integer>(threads: usize, iterations: u64) -> Duration {
    let int = I::default();
    timed(threads, iterations, || assert_eq!(int.compare_exchange(0, 0), Ok(0)))
}

fn timed(threads: usize, iterations: u64, operation: impl Fn() + Sync) -> Duration {
    Duration::from_secs_f64(baseline::timed(threads, iterations, operation))
}

/// Runs one contender with so many threads and iterations.
type Run = fn(usize, u64) -> Duration;

fn compare(criterion: &mut Criterion, operation: &str, contenders: [(&str, Run); 3]) {
    let mut group = criterion.benchmark_group(operation);
    for threads in [1, 2] {
        group.throughput(Throughput::Elements(threads as u64));
        for (name, run) in contenders {
            group.bench_function(BenchmarkId::new(name, threads), |bencher| {
                bencher.iter_custom(|iterations| run(threads, iterations));
            });
        }
    }
}

fn int(criterion: &mut Criterion) {
    compare(
        criterion,
        "fetch_add",
        [
            ("Int64", fetch_add::<Int64>),
            ("Mutex", fetch_add::<Mutex<i64>>),
            ("AtomicI64", fetch_add::<AtomicI64>),
        ],
    );
    compare(
        criterion,
        "load",
        [("Int64", load::<Int64>), ("Mutex", load::<Mutex<i64>>), ("AtomicI64", load::<AtomicI64>)],
    );
    compare(
        criterion,
        "compare_exchange",
        [
            ("Int64", compare_exchange::<Int64>),
            ("Mutex", compare_exchange::<Mutex<i64>>),
            ("AtomicI64", compare_exchange::<AtomicI64>),
        ],
    );
}

criterion_group!(benches, int);
criterion_main!(benches);
