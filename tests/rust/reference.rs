//! The shared reference: each operation, and threads.
#![cfg(not(loom))]

#[path = "common/counted.rs"]
mod counted;
#[path = "common/threads.rs"]
mod threads;

use counted::{Memory, Value};
use lockfree::engine::Reference;
use lockfree::shim::Ordering::{Relaxed, SeqCst};
use threads::{on_threads, until_threads_meet};

#[test]
fn it_holds_one_reference_to_one_value() {
    let memory = Memory::<3>::default();
    let reference = Reference::new(memory.value(1));
    assert_eq!(reference.load(SeqCst).number(), 1);
    assert_eq!(reference.exchange(memory.value(2), SeqCst).number(), 1);
    assert_eq!(memory.live(), 1);
    drop(reference);
    assert_eq!(memory.live(), 0);
}

#[test]
fn compare_exchange_compares_identity() {
    let memory = Memory::<3>::default();
    let reference = Reference::new(memory.value(1));
    let equal = memory.value(1);
    let refused = reference.compare_exchange(equal.address(), memory.value(2), SeqCst, SeqCst);
    assert_eq!(refused.map_err(|desired| desired.number()).map(drop), Err(2));
    drop(equal);

    let same = reference.load(SeqCst);
    let replaced = reference.compare_exchange(same.address(), memory.value(3), SeqCst, SeqCst);
    assert_eq!(replaced.map(|old| old.number()).map_err(drop), Ok(1));
    drop(same);
    assert_eq!((reference.load(Relaxed).number(), memory.live()), (3, 1));
}

const THREADS: usize = 4;
const ROUNDS: usize = if cfg!(miri) { 20 } else { 100_000 };

/// Each thread replaces values and reads them. A value is its thread's number, and
/// one that nobody stored would have another.
#[test]
fn threads_read_only_what_was_stored() {
    until_threads_meet(|| {
        let memory = Memory::<{ 3 * THREADS + 1 }>::default();
        let reference = Reference::<Value>::new(memory.value(THREADS));
        let foreign = on_threads(THREADS, |thread| {
            let work = |_| {
                reference.exchange(memory.value(thread + 1), SeqCst);
                let number = reference.load(SeqCst).number();
                assert!((1..=THREADS).contains(&number), "{number} was not stored");
                usize::from(number != thread + 1)
            };
            (0..ROUNDS).map(work).sum::<usize>()
        });
        assert_eq!(memory.live(), 1);
        foreign.into_iter().sum()
    });
}
