//! Litmus tests: the smallest programs whose outcome tells a memory ordering from
//! another.
//!
//! A few threads each make one or two accesses to variables that are 0, and what
//! they read is the outcome. One that no interleaving of the accesses explains is
//! weak: the compiler or the processor let an access overtake another.
//!
//! It shows only if the threads are within some 100 ns of each other, which no
//! start of a thread is. So one batch runs the program on thousands of instances
//! of the variables, one after the other, as the tool litmus7 of the diy suite
//! does (J. Alglave, L. Maranget, S. Sarkar, P. Sewell, "Litmus: Running Tests
//! Against Hardware", TACAS 2011):
//!
//! - Each variable has a cache line of its own, last written by another thread: a
//!   store has to fetch it and waits in the store buffer, a load may overtake it.
//! - The instances are visited in an order that no prefetcher foresees.
//! - The threads meet every few instances, or they would drift apart.
//! - Each thread has a core of its own as far as there are enough: left to itself, the
//!   scheduler of a busy machine may run them in turns on one.
//! - What is read goes to memory of the thread's own, and is put together when all
//!   threads have ended: an outcome is never counted half-way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread;

use crossbeam_utils::CachePadded;

use crate::shim::spin;

/// The programs that [`run`] knows.
pub const TESTS: &[&str] =
    &["store_buffering", "message_passing", "load_buffering", "iriw", "coherence"];

/// The orderings that [`run`] knows.
pub const ORDERINGS: &[&str] = &["relaxed", "acq_rel", "seq_cst"];

/// How often each outcome was seen: the registers of the threads in a row.
pub type Counts = BTreeMap<Vec<u8>, u64>;

/// Runs a program once on each of so many instances of its variables, or `None` if
/// there is no such test or ordering. An instance takes 256 bytes.
///
/// # Panics
/// If the system has no thread to give.
pub fn run(test: &str, ordering: &str, instances: usize) -> Option<Counts> {
    let program = match ordering {
        "relaxed" => program::<Relaxed>(test),
        "acq_rel" => program::<AcqRel>(test),
        "seq_cst" => program::<SeqCst>(test),
        _ => None,
    }?;
    Some(count(&execute(&program, instances), instances))
}

/// What one thread does to one instance: it appends what it reads.
type Thread = fn(&Variables, &mut Vec<u8>);

/// The variables of one instance.
#[derive(Debug, Default)]
struct Variables {
    x: CachePadded<AtomicU8>,
    y: CachePadded<AtomicU8>,
}

/// An ordering for loads and stores, known when the program is compiled: given at
/// run time it would put branches between the accesses.
trait Strength {
    const LOAD: Ordering;
    const STORE: Ordering;

    fn load(variable: &AtomicU8) -> u8 {
        variable.load(Self::LOAD)
    }

    fn store(variable: &AtomicU8, value: u8) {
        variable.store(value, Self::STORE);
    }
}

enum Relaxed {}

impl Strength for Relaxed {
    const LOAD: Ordering = Ordering::Relaxed;
    const STORE: Ordering = Ordering::Relaxed;
}

enum AcqRel {}

impl Strength for AcqRel {
    const LOAD: Ordering = Ordering::Acquire;
    const STORE: Ordering = Ordering::Release;
}

enum SeqCst {}

impl Strength for SeqCst {
    const LOAD: Ordering = Ordering::SeqCst;
    const STORE: Ordering = Ordering::SeqCst;
}

/// The test's threads, or `None` if there is no such test.
fn program<S: Strength>(test: &str) -> Option<Vec<Thread>> {
    let store_x: Thread = |v, _| S::store(&v.x, 1);
    let store_y: Thread = |v, _| S::store(&v.y, 1);
    let load_x_y: Thread = |v, read| read.extend([S::load(&v.x), S::load(&v.y)]);
    let load_y_x: Thread = |v, read| read.extend([S::load(&v.y), S::load(&v.x)]);
    let threads: Vec<Thread> = match test {
        "store_buffering" => vec![
            |v, read| {
                S::store(&v.x, 1);
                read.push(S::load(&v.y));
            },
            |v, read| {
                S::store(&v.y, 1);
                read.push(S::load(&v.x));
            },
        ],
        "message_passing" => vec![
            |v, _| {
                S::store(&v.x, 1);
                S::store(&v.y, 1);
            },
            load_y_x,
        ],
        "load_buffering" => vec![
            |v, read| {
                read.push(S::load(&v.x));
                S::store(&v.y, 1);
            },
            |v, read| {
                read.push(S::load(&v.y));
                S::store(&v.x, 1);
            },
        ],
        "iriw" => vec![store_x, store_y, load_x_y, load_y_x],
        "coherence" => vec![
            |v, _| {
                S::store(&v.x, 1);
                S::store(&v.x, 2);
            },
            |v, read| read.extend([S::load(&v.x), S::load(&v.x)]),
        ],
        _ => return None,
    };
    Some(threads)
}

/// Runs the threads on all instances; what each of them read, one after the other.
fn execute(program: &[Thread], instances: usize) -> Vec<Vec<u8>> {
    let variables: Vec<_> = (0..instances).map(|_| Variables::default()).collect();
    let order: Vec<_> = scattered(instances).collect();
    let meeting = Meeting::of(program.len());
    let stretch = instances_per_meeting(program.len());
    let work = |number: usize, thread: Thread| {
        settle(number);
        let mut read = Vec::with_capacity(2 * instances);
        for part in order.chunks(stretch) {
            meeting.meet();
            for &index in part {
                thread(&variables[index], &mut read);
            }
        }
        read
    };
    thread::scope(|scope| {
        let threads = program.iter().enumerate();
        let threads: Vec<_> =
            threads.map(|(number, &each)| scope.spawn(move || work(number, each))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

/// Few, so that the threads stay close; not one, for then they would be too close
/// for a store to wait behind others. Threads that share a core cannot stay close,
/// and on a busy machine each meeting costs them a time slice.
fn instances_per_meeting(threads: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if threads <= cores { 32 } else { 4096 }
}

/// Puts this thread on a core, if the system lets it: the first thread on the first
/// of those it may run on, and so on.
#[cfg(all(target_os = "linux", not(miri)))]
fn settle(number: usize) {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: a set is an array of bits.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set has the size that is said.
    if unsafe { libc::sched_getaffinity(0, size, &raw mut allowed) } != 0 {
        return;
    }
    // SAFETY: a core's number is below the set's size in bits.
    let is_allowed = |&core: &usize| unsafe { libc::CPU_ISSET(core, &allowed) };
    let Some(core) = (0..8 * size).filter(is_allowed).cycle().nth(number) else { return };
    // SAFETY: as above.
    let mut chosen: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    unsafe { libc::CPU_SET(core, &mut chosen) };
    // SAFETY: as above. That it may fail does no harm.
    unsafe { libc::sched_setaffinity(0, size, &raw const chosen) };
}

#[cfg(any(not(target_os = "linux"), miri))]
fn settle(_number: usize) {}

/// The numbers below `end`, each once, far from one another.
fn scattered(end: usize) -> impl Iterator<Item = usize> {
    const STRIDE: usize = 1597; // odd, so that it goes round all of a power of two
    let round = end.next_power_of_two();
    (0..round).map(move |step| step.wrapping_mul(STRIDE) % round).filter(move |&index| index < end)
}

/// Where threads meet again and again. Nobody sleeps: who is woken is late.
struct Meeting {
    threads: usize,
    arrivals: CachePadded<AtomicUsize>,
}

impl Meeting {
    fn of(threads: usize) -> Self {
        Self { threads, arrivals: CachePadded::default() }
    }

    /// Waits for the others.
    fn meet(&self) {
        let earlier = self.arrivals.fetch_add(1, Ordering::AcqRel);
        let all = (earlier / self.threads + 1) * self.threads;
        for pauses in 1_u32.. {
            if self.arrivals.load(Ordering::Acquire) >= all {
                break;
            }
            if pauses.is_multiple_of(PATIENCE) {
                thread::yield_now(); // the one that is missing may need this core
            } else {
                spin(1);
            }
        }
    }
}

/// How many pauses a thread that waits for the others makes before it offers its core.
const PATIENCE: u32 = 256;

/// Puts together what the threads read from each instance, and counts.
fn count(read: &[Vec<u8>], instances: usize) -> Counts {
    let mut counts = Counts::new();
    for index in 0..instances {
        let mut outcome = Vec::new();
        for registers in read {
            let width = registers.len() / instances;
            outcome.extend(&registers[index * width..][..width]);
        }
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}
