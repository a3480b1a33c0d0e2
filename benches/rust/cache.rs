//! The cache beside a map behind a mutex, and beside one whose readers hold crossbeam-epoch's
//! guard: a table of fixed size that never evicts, the least that a map without a lock must do.
//! The group `guard` has what of that the guard costs. The last part of a benchmark's name is
//! the number of threads.
//!
//! ```sh
//! cargo bench --no-default-features --bench cache
//! ```

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_epoch::{Atomic, Owned};
use lockfree::baseline::{self, Number};
use lockfree::engine::Cache;
use lockfree::engine::cache::{Item, Removed};
use parking_lot::Mutex;

/// How many keys there are; each iteration uses all.
const KEYS: usize = 1000;

/// What is compared: a map from numbers to numbers, with all keys from the beginning.
trait Map: Sync {
    fn new() -> Self;
    fn get(&self, key: usize) -> Option<usize>;
    fn put(&self, key: usize, value: usize);
}

impl Map for Cache<Number> {
    fn new() -> Self {
        let cache = Self::new(10 * KEYS as u64, false);
        (0..KEYS).for_each(|key| Map::put(&cache, key, key));
        cache
    }

    fn get(&self, key: usize) -> Option<usize> {
        let value = self.get(&Number(key), drop).expect("there is memory");
        value.map(|value| value.0)
    }

    fn put(&self, key: usize, value: usize) {
        let item = Item { key: Number(key), value: Number(value), weight: 1, deadline: 0 };
        let put = self.put(&Number(key), item, &mut Removed::default());
        assert!(put.is_ok(), "there is memory");
    }
}

impl Map for Mutex<HashMap<usize, usize>> {
    fn new() -> Self {
        Self::new((0..KEYS).map(|key| (key, key)).collect())
    }

    fn get(&self, key: usize) -> Option<usize> {
        self.lock().get(&key).copied()
    }

    fn put(&self, key: usize, value: usize) {
        self.lock().insert(key, value);
    }
}

/// A key's place: what it leads to is replaced as a whole.
struct Guarded(Vec<Atomic<(usize, usize)>>);

impl Guarded {
    fn place(&self, key: usize) -> &Atomic<(usize, usize)> {
        &self.0[key % self.0.len()]
    }
}

impl Map for Guarded {
    fn new() -> Self {
        Self((0..KEYS).map(|key| Atomic::new((key, key))).collect())
    }

    fn get(&self, key: usize) -> Option<usize> {
        let guard = crossbeam_epoch::pin();
        let item = self.place(key).load(Acquire, &guard);
        // SAFETY: what was in the place lives at least as long as the guard.
        let item = unsafe { item.as_ref() };
        item.filter(|(its, _)| *its == key).map(|(_, value)| *value)
    }

    fn put(&self, key: usize, value: usize) {
        let guard = crossbeam_epoch::pin();
        let old = self.place(key).swap(Owned::new((key, value)), AcqRel, &guard);
        // SAFETY: it was in the place, which alone led to it, and is no more.
        unsafe { guard.defer_destroy(old) };
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        for place in self.0.drain(..) {
            // SAFETY: it is owned by its place, and nobody else is left.
            drop(unsafe { place.into_owned() });
        }
    }
}

fn hit<M: Map>(threads: usize, iterations: u64) -> Duration {
    let map = M::new();
    timed(threads, iterations, || {
        for key in 0..KEYS {
            assert_eq!(map.get(black_box(key)), Some(key));
        }
    })
}

fn replace<M: Map>(threads: usize, iterations: u64) -> Duration {
    let map = M::new();
    let time = timed(threads, iterations, || {
        for key in 0..KEYS {
            map.put(black_box(key), key + 1);
        }
    });
    assert!((0..KEYS).all(|key| map.get(key) == Some(key + usize::from(iterations > 0))));
    time
}

fn guard(threads: usize, iterations: u64) -> Duration {
    timed(threads, iterations, || {
        for _ in 0..KEYS {
            drop(black_box(crossbeam_epoch::pin()));
        }
    })
}

fn timed(threads: usize, iterations: u64, operation: impl Fn() + Sync) -> Duration {
    Duration::from_secs_f64(baseline::timed(threads, iterations, operation))
}

/// Runs one contender with so many threads and iterations.
type Run = fn(usize, u64) -> Duration;

/// The throughput counts the operations.
fn compare<const N: usize>(criterion: &mut Criterion, name: &str, contenders: [(&str, Run); N]) {
    let mut group = criterion.benchmark_group(name);
    for threads in [1, 2] {
        group.throughput(Throughput::Elements((threads * KEYS) as u64));
        for (name, run) in contenders {
            group.bench_function(BenchmarkId::new(name, threads), |bencher| {
                bencher.iter_custom(|iterations| run(threads, iterations));
            });
        }
    }
}

fn cache(criterion: &mut Criterion) {
    compare(criterion, "guard", [("crossbeam-epoch", guard)]);
    let hits: [(_, Run); 3] = [
        ("Cache", hit::<Cache<Number>>),
        ("Mutex", hit::<Mutex<HashMap<usize, usize>>>),
        ("crossbeam-epoch, with its guard", hit::<Guarded>),
    ];
    compare(criterion, "hit", hits);
    let replacements: [(_, Run); 3] = [
        ("Cache", replace::<Cache<Number>>),
        ("Mutex", replace::<Mutex<HashMap<usize, usize>>>),
        ("crossbeam-epoch, with its guard", replace::<Guarded>),
    ];
    compare(criterion, "replace", replacements);
}

criterion_group!(benches, cache);
criterion_main!(benches);
