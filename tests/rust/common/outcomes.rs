//! What loom finds: the helper that the `loom_*` tests share.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use lockfree::shim::{AtomicI64, Ordering};
use loom::model::Builder;
use loom::thread;

/// How often a run of more than two threads may suspend one that could go on.
/// Two are run in every interleaving; of three there are too many.
pub(crate) const PREEMPTIONS: usize = 2;

/// How many steps one execution may take; more mean that it hangs.
const STEPS: usize = 3000;

/// All that threads sharing one object may return, each with what `end` then
/// reads, over all executions.
///
/// All operations under test run in spawned threads, which first touch one
/// common atomic: that makes loom start them in every order. It would miss some
/// otherwise, because a load hides an earlier load of the same atomic from its
/// search for conflicts with a later write (tokio-rs/loom#392).
pub(crate) fn outcomes<S, R, E, const THREADS: usize>(
    object: impl Fn() -> S + Send + Sync + 'static,
    threads: [impl Fn(&S) -> R + Copy + Send + Sync + 'static; THREADS],
    end: fn(&S) -> E,
) -> BTreeSet<([R; THREADS], E)>
where
    S: Send + Sync + 'static,
    R: Ord + Send + 'static,
    E: Ord + Send + 'static,
{
    outcomes_of((THREADS > 2).then_some(PREEMPTIONS), object, threads, end)
}

/// The same, where threads are suspended so often at most.
pub(crate) fn outcomes_of<S, R, E, const THREADS: usize>(
    preemptions: Option<usize>,
    object: impl Fn() -> S + Send + Sync + 'static,
    threads: [impl Fn(&S) -> R + Copy + Send + Sync + 'static; THREADS],
    end: fn(&S) -> E,
) -> BTreeSet<([R; THREADS], E)>
where
    S: Send + Sync + 'static,
    R: Ord + Send + 'static,
    E: Ord + Send + 'static,
{
    let outcomes = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&outcomes);
    let mut model = Builder::new();
    model.max_branches = STEPS;
    model.preemption_bound = preemptions;
    model.check(move || {
        let shared = Arc::new((AtomicI64::new(0), object()));
        let running = threads.map(|run| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.0.fetch_add(1, Ordering::Relaxed);
                run(&shared.1)
            })
        });
        let returned = running.map(|thread| thread.join().unwrap());
        seen.lock().unwrap().insert((returned, end(&shared.1)));
    });
    std::mem::take(&mut outcomes.lock().unwrap())
}
