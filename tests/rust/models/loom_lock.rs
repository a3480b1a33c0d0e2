//! The lock of a few instructions under loom, which runs every interleaving of a small model.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_lock
//! ```
//!
//! See `loom_int.rs` for what these models show and what they cannot. Loom's cells tell of two threads
//! that use the value at once, and of one that does not see what the other has done.
#![cfg(loom)]

#[allow(dead_code)] // other tests use the rest
#[path = "../common/outcomes.rs"]
mod outcomes;

use lockfree::engine::memory::lock::Lock;
use outcomes::outcomes;

fn increment(lock: &Lock<u32>) -> u32 {
    let mut value = lock.lock();
    *value += 1;
    *value
}

#[test]
fn one_thread_after_the_other_uses_the_value() {
    let seen = outcomes(Lock::default, [increment, increment], |lock| *lock.lock());
    assert_eq!(seen, [([1, 2], 2), ([2, 1], 2)].into());
}
