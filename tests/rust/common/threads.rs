//! Threads that start together and are seen to overlap: what the tests of all
//! structures share.

use std::sync::Barrier;
use std::thread;

/// How often a thread must have met the work of another one.
const MEETINGS: usize = if cfg!(miri) { 1 } else { 20 };
const ROUNDS: usize = 100;

/// Threads that run one after the other would prove nothing, and on few cores
/// they often do: `round`, which counts their meetings, is repeated until there
/// were enough.
pub(crate) fn until_threads_meet(mut round: impl FnMut() -> usize) {
    let mut meetings = 0;
    let enough = (0..ROUNDS).any(|_| {
        meetings += round();
        meetings >= MEETINGS
    });
    assert!(enough, "only {meetings} meetings: the threads hardly overlapped");
}

/// Starts `work` on all threads at once, each with its number, and returns what
/// they return.
pub(crate) fn on_threads<R: Send>(threads: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let barrier = Barrier::new(threads);
    let work = |number| {
        barrier.wait();
        work(number)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|i| scope.spawn(move || work(i))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no work panics")).collect()
    })
}
