//! The queues under a lock, under loom; `loom_int.rs` says what that is.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_guarded
//! ```
#![cfg(loom)]

#[path = "../common/outcomes.rs"]
mod outcomes;

use std::collections::BTreeSet;

use lockfree::engine::{Guarded, Lifo, TryGet};
use outcomes::outcomes;

type Queue = Guarded<Lifo<u32>>;

fn of_one() -> Queue {
    let queue = Queue::default();
    queue.set_limit(1);
    queue
}

fn puts(queue: &Queue) -> bool {
    queue.try_put(1).is_ok()
}

#[test]
fn two_puts_and_room_for_one() {
    let seen = outcomes(of_one, [puts, puts], Queue::len);
    assert_eq!(seen, BTreeSet::from([([true, false], 1), ([false, true], 1)]));
}

#[test]
fn a_put_beside_the_end() {
    // Once it is closed nothing comes in any more.
    let ends = |queue: &Queue| {
        queue.close();
        queue.try_get() == TryGet::Got(1)
    };
    let threads: [fn(&Queue) -> bool; 2] = [puts, ends];
    let seen = outcomes(of_one, threads, Queue::len);
    assert_eq!(seen, BTreeSet::from([([true, true], 0), ([false, false], 0)]));
}
