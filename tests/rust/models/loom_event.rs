//! The event count under loom; `loom_int.rs` says what that is.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --no-default-features --features loom --target-dir target/loom --test loom_event
//! ```
//!
//! What is waited for is a token. A lost wake-up leaves a thread asleep when all
//! others have ended, which loom reports as a deadlock.
#![cfg(loom)]

#[path = "../common/outcomes.rs"]
mod outcomes;

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use lockfree::engine::{Event, Notice, Waiter};
use lockfree::shim::{
    AtomicI64,
    Ordering::{Relaxed, SeqCst},
};
use loom::sync::{Condvar, Mutex};
use outcomes::outcomes;

/// A thread, and what it sleeps on.
#[derive(Default)]
struct Bed {
    notice: Notice,
    woken: Mutex<bool>,
    changed: Condvar,
}

/// A handle of one.
#[derive(Clone, Default)]
struct Sleeper(Arc<Bed>);

impl Sleeper {
    fn is_notified(&self) -> bool {
        self.0.notice.is_given()
    }

    fn sleep(&self) {
        while !self.is_notified() {
            let mut woken = self.0.woken.lock().unwrap();
            while !mem::take(&mut *woken) {
                woken = self.0.changed.wait(woken).unwrap();
            }
        }
    }
}

impl Waiter for Sleeper {
    fn notice(&self) -> &Notice {
        &self.0.notice
    }

    type Fault = ();

    fn join((): (), (): ()) {}

    fn wake(&self) -> Result<bool, ()> {
        *self.0.woken.lock().unwrap() = true;
        self.0.changed.notify_one();
        Ok(true)
    }
}

/// Tokens, and those who wait for one. The tokens order nothing themselves: only
/// the event can.
#[derive(Default)]
struct Tokens {
    count: AtomicI64,
    event: Event<Sleeper>,
}

impl Tokens {
    fn put(&self) {
        self.count.fetch_add(1, Relaxed);
        self.event.notify(1).unwrap();
    }

    fn try_take(&self) -> bool {
        let fewer = |count| (count > 0).then(|| count - 1);
        self.count.fetch_update(Relaxed, Relaxed, fewer).is_ok()
    }

    /// Takes a token, waiting for one; says how often it slept.
    fn take(&self) -> u32 {
        let waiter = Sleeper::default();
        for naps in 0.. {
            self.event.enrol(&waiter).unwrap();
            if self.try_take() {
                self.event.withdraw(&waiter).unwrap();
                return naps;
            }
            waiter.sleep();
        }
        unreachable!("it takes a token sometime")
    }

    /// How many tokens and waiters there are.
    fn left(&self) -> (i64, usize) {
        (self.count.load(Relaxed), self.event.len())
    }
}

/// What a thread does; says how often it slept.
type Run = fn(&Tokens) -> u32;

const PUT: Run = |tokens| {
    tokens.put();
    0
};

/// Runs the threads: whatever happens, no token and no waiter is left. Returns
/// how often the threads slept.
fn naps<const THREADS: usize>(threads: [Run; THREADS]) -> BTreeSet<[u32; THREADS]> {
    let seen = outcomes(Tokens::default, threads, Tokens::left);
    assert!(seen.iter().all(|(_, left)| *left == (0, 0)), "{seen:?}");
    seen.into_iter().map(|(naps, _)| naps).collect()
}

#[test]
fn a_change_is_seen_or_wakes() {
    assert_eq!(naps([Tokens::take, PUT]), [[0, 0], [1, 0]].into());
}

/// A value that is written and told of by nobody but its writer.
#[test]
fn a_write_is_seen_or_wakes() {
    let write: Run = |tokens| {
        tokens.count.store(1, SeqCst);
        tokens.event.changed().unwrap();
        0
    };
    assert_eq!(naps([Tokens::take, write]), [[0, 0], [1, 0]].into());
}

#[test]
fn two_notifications_wake_two() {
    let put_two: Run = |tokens| {
        tokens.put();
        tokens.put();
        0
    };
    assert!(naps([Tokens::take, Tokens::take, put_two]).contains(&[1, 1, 0]));
}

/// Tokens, and one who waits before all others.
type Awaited = (Tokens, Sleeper);

fn awaited() -> Awaited {
    let (tokens, waiter) = (Tokens::default(), Sleeper::default());
    tokens.event.enrol(&waiter).unwrap();
    (tokens, waiter)
}

/// The one who waits gives up just when the notification comes.
#[test]
fn a_notification_that_is_not_used_is_passed_on() {
    let take: fn(&Awaited) -> u32 = |(tokens, _)| tokens.take();
    let give_up: fn(&Awaited) -> u32 = |(tokens, waiter)| {
        tokens.event.withdraw(waiter).unwrap();
        0
    };
    let put: fn(&Awaited) -> u32 = |(tokens, _)| PUT(tokens);
    let seen = outcomes(awaited, [take, give_up, put], |(tokens, _)| tokens.left());
    assert_eq!(seen, [([0, 0, 0], (0, 0)), ([1, 0, 0], (0, 0))].into());
}

/// Whoever finds itself notified sees what the notifier did, also without having
/// slept.
#[test]
fn a_notification_publishes_what_came_before() {
    let look: fn(&Awaited) -> Option<i64> =
        |(tokens, waiter)| waiter.is_notified().then(|| tokens.count.load(Relaxed));
    let put: fn(&Awaited) -> Option<i64> = |(tokens, _)| {
        tokens.put();
        None
    };
    let seen = outcomes(awaited, [look, put], |_| ());
    assert_eq!(seen, [([None, None], ()), ([Some(1), None], ())].into());
}

/// Between the choice of one who is told before a change and the telling it is notified by
/// another thread. It looks when the one who told it is through: in the end.
#[test]
fn who_is_told_before_a_change_is_who_was_chosen() {
    let take: fn(&Awaited) -> u32 = |(tokens, _)| tokens.take();
    let put: fn(&Awaited) -> u32 = |(tokens, _)| PUT(tokens);
    let tell_and_put: fn(&Awaited) -> u32 = |(tokens, waiter)| {
        let is_it = |first: &Sleeper| std::ptr::eq(first.notice(), waiter.notice());
        let told = tokens.event.notify_before(is_it, |_| true).unwrap();
        tokens.count.fetch_add(1, Relaxed);
        if told.is_none() {
            tokens.event.notify(1).unwrap();
        }
        0
    };
    let end = |(tokens, waiter): &Awaited| (waiter.is_notified(), tokens.left());
    let seen = outcomes(awaited, [take, put, tell_and_put], end);
    let left = (true, (1, 0));
    assert_eq!(seen, [([0, 0, 0], left), ([1, 0, 0], left)].into());
}

/// One that was notified for nothing is back in its old place before the next one's turn.
#[test]
fn who_is_back_takes_nobody_s_notification() {
    type Two = (Event<Sleeper>, [Sleeper; 2]);
    let two = || {
        let (event, waiters) = Two::default();
        for waiter in &waiters {
            event.enrol(waiter).unwrap();
        }
        (event, waiters)
    };
    let come_back: fn(&Two) = |(event, [first, _])| {
        first.sleep();
        event.enrol(first).unwrap();
    };
    let sleep: fn(&Two) = |(_, [_, second])| second.sleep();
    let notify: fn(&Two) = |(event, _)| event.notify(2).unwrap();
    let seen = outcomes(two, [come_back, sleep, notify], |(event, _)| event.len());
    assert_eq!(seen, [([(), (), ()], 1)].into());
}

/// A newcomer that holds back sees the end of the urgency, or is woken by it.
#[test]
fn the_end_of_an_urgency_is_seen_or_wakes() {
    let urgent = || {
        let tokens = Tokens::default();
        tokens.event.hurry();
        tokens
    };
    let hold_back: Run = |tokens| {
        let waiter = Sleeper::default();
        tokens.event.enrol(&waiter).unwrap();
        let urgent = tokens.event.is_urgent();
        if urgent {
            waiter.sleep();
        }
        u32::from(urgent)
    };
    let calm: Run = |tokens| {
        tokens.event.calm().unwrap();
        0
    };
    let seen = outcomes(urgent, [hold_back, calm], |tokens| tokens.event.is_urgent());
    assert_eq!(seen, [([0, 0], false), ([1, 0], false)].into());
}
