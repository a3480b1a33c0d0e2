//! The engine driven by plain Rust threads, with no interpreter in sight.
//!
//! The benchmark shows it beside the Python contenders as the ceiling: what is
//! left above it is the cost of calling from Python.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use engine::cache::{Cache, Item, Query, Removed};
use engine::{Counted, Int64, OutOfMemory, Pointer, Queue, Stack, Striped, TryGet};
use shim::Ordering::SeqCst;

#[cfg(any(not(feature = "python"), Py_GIL_DISABLED))]
use crate::{engine, shim};

// The crate's engine has the atomics of attached threads where there is a GIL, and
// these threads have none: so it is built once more, with those of std.
#[cfg(all(feature = "python", not(Py_GIL_DISABLED)))]
#[allow(dead_code, unreachable_pub, unused_imports)] // the loops below need part of it
#[allow(clippy::duplicate_mod)] // on purpose
#[path = "engine/mod.rs"]
mod engine;
#[cfg(all(feature = "python", not(Py_GIL_DISABLED)))]
mod shim {
    pub(super) use crate::shim::threads::*;
    pub(super) use crate::shim::{detached, mutant, ordering, weakened};
}

/// To be called in a forked child: these threads' epochs, which with a GIL are the only ones.
#[cfg(feature = "python")]
pub(crate) use engine::memory::epoch::forked;

/// The loops that [`run`] knows, by the name of the benchmark's cell.
pub const CELLS: &[&str] =
    &["increment", "load", "cas", "striped", "stack.pushpop", "queue.putget", "cache.hit"];

/// How many keys an iteration of `cache.hit` looks up.
const KEYS: usize = 100;

/// What surrounds the work of each thread, which it is told the number of. It must do the work.
pub type Around<'a> = &'a (dyn Fn(usize, &mut dyn FnMut()) + Sync);

/// What came of a loop.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// The seconds from the common start of the threads to the end of the slowest.
    pub seconds: f64,
    /// The sum of all that the operations returned; what is not there counts nothing.
    pub sum: u64,
    /// What is left in the object: its value, or how many there are.
    pub left: u64,
}

/// Runs the cell's loop `iterations` times on each of `threads` threads that
/// share one object; `None` if there is no such cell.
pub fn run(cell: &str, threads: usize, iterations: u64, around: Around<'_>) -> Option<Ran> {
    let timed = Timed { threads, iterations, around };
    let int = Int64::new(1);
    let value = || int.load(SeqCst);
    match cell {
        "increment" => {
            let old = || int.fetch_add(1, SeqCst).map_or(0, i64::cast_unsigned);
            Some(timed.run(old).leaving(value().cast_unsigned()))
        }
        "load" => Some(timed.run(|| value().cast_unsigned()).leaving(value().cast_unsigned())),
        "cas" => {
            let exchanged = || int.compare_exchange(1, 1, SeqCst, SeqCst).map_or(0, |_| 1);
            Some(timed.run(exchanged).leaving(value().cast_unsigned()))
        }
        "striped" => {
            let striped = Striped::<1>::default();
            let ran = timed.run(|| {
                striped.add(0, black_box(1));
                0
            });
            Some(ran.leaving(u64::try_from(striped.sum(0)).unwrap_or(0)))
        }
        "stack.pushpop" => {
            let stack = Stack::new();
            let ran = timed.run(|| {
                let _ = black_box(stack.push(1_u64));
                stack.pop().unwrap_or(0)
            });
            Some(ran.leaving(stack.len() as u64))
        }
        "queue.putget" => {
            let queue = Queue::new();
            let ran = timed.run(|| {
                let _ = black_box(queue.try_put(Number(1)));
                // What another thread is about to fill is left there.
                if let TryGet::Got(number) = queue.try_get() { number.0 as u64 } else { 0 }
            });
            Some(ran.leaving(queue.len() as u64))
        }
        "cache.hit" => {
            let cache = full_cache();
            let ran = timed.run(|| {
                let hit = |key| {
                    let value = cache.get(&Number(black_box(key)), drop);
                    value.ok().flatten().map_or(0, |value| value.0 as u64)
                };
                (0..KEYS).map(hit).sum()
            });
            Some(ran.leaving(cache.len() as u64))
        }
        _ => None,
    }
}

/// A cache that has all keys.
fn full_cache() -> Cache<Number> {
    let cache = Cache::new(10 * KEYS as u64, false);
    for key in 0..KEYS {
        let item = Item { key: Number(key), value: Number(key), weight: 1, deadline: 0 };
        cache.put(&Number(key), item, &mut Removed::default()).expect("there is memory");
    }
    cache
}

/// An item, a key or a value: its address is its number.
#[derive(Debug)]
pub struct Number(pub usize);

// SAFETY: an address is not 0, and `from_raw` is the inverse.
unsafe impl Pointer for Number {
    fn into_raw(self) -> usize {
        self.0 + 1
    }

    unsafe fn from_raw(word: usize) -> Self {
        Self(word - 1)
    }

    unsafe fn peek<R>(word: usize, look: impl FnOnce(&Self) -> R) -> R {
        look(&Self(word - 1))
    }
}

// SAFETY: numbers do not die.
unsafe impl Counted for Number {
    fn share(&self) {}

    unsafe fn try_acquire(word: usize) -> Option<Self> {
        Some(Self(word - 1))
    }
}

impl Query<Self> for Number {
    type Error = OutOfMemory;

    fn hash(&self) -> u64 {
        self.0 as u64
    }

    fn address(&self) -> usize {
        self.0 + 1
    }

    fn by_hash(&self) -> bool {
        true
    }

    fn is(&self, key: &Self) -> Result<bool, OutOfMemory> {
        Ok(self.0 == key.0)
    }
}

/// Runs `operation` `iterations` times on each of `threads` threads; the seconds
/// from their common start to the end of the slowest.
///
/// # Panics
/// If `operation` does.
pub fn timed(threads: usize, iterations: u64, operation: impl Fn() + Sync) -> f64 {
    let operation = || {
        operation();
        0
    };
    Timed { threads, iterations, around: &|_, work| work() }.run(operation).seconds
}

/// How a loop is run.
#[derive(Clone, Copy)]
struct Timed<'a> {
    threads: usize,
    iterations: u64,
    around: Around<'a>,
}

impl Ran {
    fn leaving(self, left: u64) -> Self {
        Self { left, ..self }
    }
}

impl Timed<'_> {
    fn run(self, operation: impl Fn() -> u64 + Sync) -> Ran {
        let barrier = Barrier::new(self.threads);
        let work = || {
            barrier.wait();
            let start = Instant::now();
            let mut sum = 0_u64;
            for _ in 0..self.iterations {
                sum = sum.wrapping_add(black_box(operation()));
            }
            (start, Instant::now(), sum)
        };
        let thread = |index| {
            let mut span = None;
            (self.around)(index, &mut || span = Some(work()));
            span.expect("the work is done")
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..self.threads).map(|index| scope.spawn(move || thread(index))).collect();
            let spans = workers
                .into_iter()
                .map(|worker| worker.join().expect("the operation cannot panic"));
            let widest = spans.reduce(|(s, e, sum), (start, end, more)| {
                (s.min(start), e.max(end), sum.wrapping_add(more))
            });
            let (seconds, sum) = widest.map_or((0.0, 0), |(start, end, sum)| {
                (end.duration_since(start).as_secs_f64(), sum)
            });
            Ran { seconds, sum, left: 0 }
        })
    }
}
