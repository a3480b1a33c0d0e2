//! The lock of a few instructions: one thread at a time, whoever waits.
#![cfg(not(loom))]

#[allow(dead_code)] // other tests use the rest
#[path = "common/threads.rs"]
mod threads;

use lockfree::engine::memory::lock::Lock;
use threads::on_threads;

const ROUNDS: usize = if cfg!(miri) { 20 } else { 20_000 };

#[test]
fn no_addition_is_lost() {
    let lock = Lock::<usize>::default();
    on_threads(4, |_| {
        for _ in 0..ROUNDS {
            *lock.lock() += 1;
        }
    });
    assert_eq!(*lock.lock(), 4 * ROUNDS);
}

/// Longer than anybody looks without sleeping.
#[test]
fn who_waits_for_one_that_is_suspended_gets_it_in_the_end() {
    let lock = Lock::<usize>::default();
    let mut taken = lock.lock();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| *lock.lock());
        std::thread::sleep(std::time::Duration::from_millis(2));
        *taken = 1;
        drop(taken);
        assert_eq!(waiting.join().expect("no panic"), 1);
    });
}
