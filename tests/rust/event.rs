//! The event count: who is notified, and when. That no wake-up is lost is for
//! loom to show.
#![cfg(not(loom))]

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};

use lockfree::engine::{Event, Notice, Waiter};

/// Waiters with this name or a later one may not get up.
const FROM_HERE_ON_ASLEEP: u8 = 100;

thread_local! {
    /// Who was woken by this thread, in order.
    static WOKEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static GENERATION: Cell<u32> = const { Cell::new(0) };
}

/// A waiter with a name, that may or may not get up.
#[derive(Clone)]
struct Named(Arc<(u8, Notice)>);

impl Named {
    fn new(name: u8) -> Self {
        Self(Arc::new((name, Notice::default())))
    }

    fn is_notified(&self) -> bool {
        self.notice().is_given()
    }
}

impl Waiter for Named {
    fn notice(&self) -> &Notice {
        &self.0.1
    }

    type Fault = ();

    fn join((): (), (): ()) {}

    fn wake(&self) -> Result<bool, ()> {
        WOKEN.with_borrow_mut(|woken| woken.push(self.0.0));
        if let Some(event) = COME_BACK_TO.get() {
            event.enrol(self).unwrap();
        }
        Ok(self.0.0 < FROM_HERE_ON_ASLEEP)
    }

    fn generation() -> u32 {
        GENERATION.get()
    }
}

thread_local! {
    /// Where those that are woken enrol again at once.
    static COME_BACK_TO: Cell<Option<&'static Event<Named>>> = const { Cell::new(None) };
}

/// Waiters enrolled in this order.
fn enrolled<const N: usize>(event: &Event<Named>) -> [Named; N] {
    std::array::from_fn(|i| {
        let waiter = Named::new(u8::try_from(i).expect("few"));
        event.enrol(&waiter).unwrap();
        waiter
    })
}

/// Who was woken since the last call.
fn woken() -> Vec<u8> {
    WOKEN.take()
}

#[test]
fn nobody_is_enrolled_at_first() {
    let event = Event::<Named>::default();
    assert_eq!((event.len(), event.is_empty(), event.is_urgent()), (0, true, false));
    event.notify(1).unwrap();
    let waiter = Named::new(0);
    assert!(!event.leave(&waiter));
    assert!(!waiter.is_notified());
}

#[test]
fn those_who_waited_longest_are_woken() {
    let event = Event::default();
    let waiters: [_; 4] = enrolled(&event);
    event.notify(1).unwrap();
    assert_eq!((woken(), event.len()), (vec![0], 3));
    event.notify(2).unwrap();
    assert_eq!((woken(), event.len()), (vec![1, 2], 1));
    assert_eq!(waiters.each_ref().map(Named::is_notified), [true, true, true, false]);
    event.notify(usize::MAX).unwrap();
    event.notify(1).unwrap();
    assert_eq!((woken(), event.is_empty()), (vec![3], true));
}

#[test]
fn a_notification_is_for_one_who_is_enrolled() {
    let event = Event::default();
    event.notify(5).unwrap();
    let _waiters: [_; 1] = enrolled(&event);
    assert_eq!((woken(), event.len()), (vec![], 1));
}

#[test]
fn one_who_leaves_learns_of_its_notification() {
    let event = Event::default();
    let [first, second, third] = enrolled(&event);
    assert!(!event.leave(&second));
    event.notify(1).unwrap();
    assert!(event.leave(&first));
    assert_eq!(woken(), [0]);
    // Passed on:
    event.notify(1).unwrap();
    assert_eq!((woken(), event.leave(&third)), (vec![2], true));
}

#[test]
fn one_who_comes_again_has_its_old_place() {
    let event = Event::default();
    let [first, second, _third] = enrolled(&event);
    event.notify(1).unwrap();
    event.enrol(&first).unwrap();
    assert!(!first.is_notified());
    // This one was not notified.
    assert!(!event.leave(&second));
    event.enrol(&second).unwrap();
    event.notify(usize::MAX).unwrap();
    assert_eq!(woken(), [0, 0, 1, 2]);
}

#[test]
fn one_who_comes_back_at_once_takes_nobody_s_notification() {
    let event: &Event<Named> = Box::leak(Box::default());
    let _waiters: [_; 3] = enrolled(event);
    COME_BACK_TO.set(Some(event));
    event.notify(2).unwrap();
    assert_eq!((woken(), event.len()), (vec![0, 1], 3));
    event.notify(usize::MAX).unwrap();
    assert_eq!((woken(), event.len()), (vec![0, 1, 2], 3));
    COME_BACK_TO.set(None);
    event.clear();
}

#[test]
fn the_last_urgency_to_end_wakes_all() {
    let event = Event::default();
    event.hurry();
    event.hurry();
    let _waiters: [_; 2] = enrolled(&event);
    event.calm().unwrap();
    assert_eq!((woken(), event.is_urgent()), (vec![], true));
    event.calm().unwrap();
    assert_eq!((woken(), event.is_urgent()), (vec![0, 1], false));
}

#[test]
fn another_process_s_waiters_are_forgotten() {
    /// What is forgotten is not freed; here are references for the leak checkers.
    static PARENTS: Mutex<Vec<Named>> = Mutex::new(Vec::new());
    let event = Event::default();
    event.hurry();
    let [mine, others] = enrolled(&event);
    PARENTS.lock().expect("nobody panicked").extend([mine.clone(), others]);
    GENERATION.set(1);
    event.notify(usize::MAX).unwrap();
    assert_eq!((woken(), event.len(), event.is_urgent()), (vec![], 0, false));
    // The thread that forked goes on in the child, and ends what it began.
    assert!(!event.leave(&mine));
    event.calm().unwrap();
    assert!(!event.is_urgent());
    event.enrol(&mine).unwrap();
    event.notify(1).unwrap();
    assert_eq!(woken(), [0]);
}

#[test]
fn where_one_may_not_get_up_the_next_is_woken_as_well() {
    let event = Event::default();
    for name in [100, 101, 1, 2] {
        event.enrol(&Named::new(name)).unwrap();
    }
    event.notify(1).unwrap();
    assert_eq!((woken(), event.len()), (vec![100, 101, 1], 1));
}

#[test]
fn one_who_is_meant_is_told_before_the_change() {
    let event = Event::default();
    assert!(matches!(event.notify_before(|_: &Named| true), Ok(None)));
    let [first, second] = enrolled(&event);
    assert!(matches!(event.notify_before(|_| false), Ok(None)));
    assert_eq!((woken(), event.len()), (vec![], 2));
    let told = event.notify_before(|waiter| waiter.0.0 == 0).unwrap().unwrap();
    assert!(std::ptr::eq(told.notice(), first.notice()));
    assert_eq!((woken(), event.len(), first.is_notified()), (vec![0], 1, true));
    // One who is gone when the caller has made up its mind is not told.
    assert!(matches!(event.notify_before(|_| !event.leave(&second)), Ok(None)));
    assert!(woken().is_empty() && !second.is_notified());
}

#[test]
fn one_who_may_not_get_up_is_not_counted_on() {
    let event = Event::default();
    let asleep = Named::new(FROM_HERE_ON_ASLEEP);
    event.enrol(&asleep).unwrap();
    assert!(matches!(event.notify_before(|_| true), Ok(None)));
    assert_eq!((woken(), asleep.is_notified()), (vec![FROM_HERE_ON_ASLEEP], true));
}
