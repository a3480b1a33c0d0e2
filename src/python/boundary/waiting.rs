//! The one loop in which a thread waits for a container.
//!
//! It waits detached from the interpreter, so that neither the GIL nor a
//! collection that stops the world waits for it, and with no item in hand: it is
//! woken to look again, not handed anything.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};

use super::convert::{double, truth};
use super::error::{Error, Result, shown, told_attached};
use super::object::Arg;
use super::owned::Owned;
use super::shared::Shared;
use super::task::TaskWaiter;
use super::{fork, user};
use crate::engine::{Event, Notice, Waiter};
use crate::shim;

/// How often a thread that waits looks whether its wish has come true before it
/// goes to sleep: some microseconds, less than falling asleep and waking takes.
const LOOKS: u32 = 200;

/// How often the main thread answers signals while it waits.
const SIGNALS: Duration = Duration::from_millis(50);

/// How long one who has caught up with those whom it takes from lets them get ahead: several times
/// what a cache line takes to come from another processor, and not so long that they put more than
/// `retention` retains.
const LINGER: Duration = Duration::from_micros(1);

/// How often at most one that lingered in vain does not linger after that.
const HASTE: u32 = 127;

/// How long to sleep where a moment lasts.
const SHORT: Duration = Duration::from_micros(200);

/// When one who waits for a [`Sought::Value`] looks again. Once is enough: a store that was
/// made before it enrolled has long arrived by then, and one made after finds it enrolled.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long a thread may be woken in vain before it is urgent.
pub(crate) const PATIENT: Duration = Duration::from_millis(5);

/// How many operations coroutines complete without suspending, before it is asked
/// which task they belong to: one that did the last two such runs gives way.
const RUN: u32 = 64;

/// Why a coroutine should not begin at once; `_async.py` has the same numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hold {
    Not = 0,
    /// Many have begun at once.
    Tired = 1,
    /// Somebody else is urgent.
    Urgent = 2,
}

/// Who waits.
#[derive(Clone, Debug)]
pub(crate) enum Sleeper {
    Thread(Shared<SleepingThread>),
    /// A [`TaskWaiter`].
    Task(Owned),
}

/// A thread that waits.
#[derive(Debug)]
pub(crate) struct SleepingThread {
    notice: Notice,
    thread: Thread,
}

impl Sleeper {
    fn this_thread() -> Result<Self> {
        let thread = thread::current();
        Ok(Self::Thread(Shared::new(SleepingThread { notice: Notice::default(), thread })?))
    }

    /// A coroutine, by its waiter.
    pub(crate) fn task(waiter: &Bound<'_, TaskWaiter>) -> Self {
        Self::Task(Owned::new(waiter.as_any().as_borrowed()))
    }

    /// Whether it is a coroutine that this thread ran. Calls nothing.
    pub(crate) fn may_be_of_this_loop(&self) -> bool {
        match self {
            Self::Thread(_) => false,
            Self::Task(waiter) => TaskWaiter::of(waiter).is_of_this_thread(),
        }
    }

    /// Whether it is a coroutine of the loop that runs in this thread.
    pub(crate) fn is_of_this_loop(&self) -> bool {
        match self {
            Self::Thread(_) => false,
            Self::Task(waiter) => told_attached(|py| TaskWaiter::of(waiter).is_of_this_loop(py)),
        }
    }

    /// For the garbage collector.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        match self {
            Self::Thread(_) => Ok(()),
            Self::Task(waiter) => visit.call(waiter.as_py()),
        }
    }
}

impl Waiter for Sleeper {
    fn notice(&self) -> &Notice {
        match self {
            Self::Thread(thread) => &thread.notice,
            Self::Task(waiter) => TaskWaiter::of(waiter).notice(),
        }
    }

    type Fault = Error;

    fn wake(&self) -> Result<bool> {
        match self {
            Self::Thread(thread) => {
                thread.thread.unpark();
                Ok(true)
            }
            Self::Task(waiter) => {
                told_attached(|py| TaskWaiter::wake(TaskWaiter::bound(waiter, py)))
            }
        }
    }

    fn join(first: Error, second: Error) -> Error {
        Error::join(Some(first), Some(second)).expect("there are two")
    }

    fn generation() -> u32 {
        fork::generation()
    }
}

/// What came of several notifications, all of which were made.
pub(crate) fn all<const N: usize>(notifications: [Result<()>; N]) -> Result<()> {
    let faults = notifications.into_iter().map(Result::err);
    faults.fold(None, Error::join).map_or(Ok(()), Err)
}

/// Whether a coroutine on this thread may begin at once.
pub(crate) fn hold(urgent: bool) -> Hold {
    thread_local! {
        static LEFT: Cell<u32> = const { Cell::new(RUN) };
    }
    LEFT.with(|left| {
        let tired = left.get() == 0;
        left.set(if tired { RUN } else { left.get() - 1 });
        match (urgent, tired) {
            (true, _) => Hold::Urgent,
            (_, true) => Hold::Tired,
            _ => Hold::Not,
        }
    })
}

/// How long a call may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    Until(Instant),
    Forever,
}

impl Patience {
    /// As `queue.Queue` has it: `timeout` is of no account if `block` is false.
    pub(crate) fn new(block: Option<Arg<'_, '_>>, timeout: Option<Arg<'_, '_>>) -> Result<Self> {
        match block.map(truth).transpose()? {
            Some(false) => Ok(Self::None),
            _ => Self::within(timeout),
        }
    }

    /// Whether it is for no wait at all.
    pub(crate) fn is_none(self) -> bool {
        matches!(self, Self::None)
    }

    /// `timeout` seconds from now; for ever, if it is `None`.
    pub(crate) fn within(timeout: Option<Arg<'_, '_>>) -> Result<Self> {
        let Some(timeout) = timeout.filter(|timeout| !timeout.is_none()) else {
            return Ok(Self::Forever);
        };
        let seconds = double(timeout)?;
        if seconds.is_nan() || seconds < 0.0 {
            return Err(Error::wrong_value(format_args!(
                "'timeout' must be a non-negative number, not {}",
                shown(&timeout)
            )));
        }
        if seconds == 0.0 {
            return Ok(Self::None);
        }
        let end =
            Duration::try_from_secs_f64(seconds).ok().and_then(|t| Instant::now().checked_add(t));
        // What no clock can show never comes.
        Ok(end.map_or(Self::Forever, Self::Until))
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sought {
    /// Something of which each goes to one: who waits may come too late every time.
    Share,
    /// Something that is true for all who look; nobody has to hurry.
    Truth,
    /// The same of a value that may be written by a relaxed store, which may miss one who
    /// enrols at the same moment.
    Value,
}

/// How an attempt to put or get ended.
pub(crate) enum Attempt<R> {
    Done(R),
    /// Not before somebody does something.
    Wait,
    /// In a moment, when another thread has finished what it is in the middle of.
    Moment,
}

/// Lets those whom this thread takes from get ahead a little, where it has just found nothing;
/// `ahead` says whether they did.
///
/// Who takes as quickly as they put runs at their heels otherwise: the line of the place that it
/// looks at is the one that they are about to write to, so that it goes to and fro for each item.
/// From a few items behind one line brings several places, and is left alone meanwhile. Where
/// nothing comes of it, as between threads that wait for each other's answers, it is soon tried but
/// once in a while.
#[cold]
pub(crate) fn linger(ahead: impl FnOnce() -> bool) {
    thread_local! {
        /// How often not to linger, and how often of that is left.
        static HASTY: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
    }
    if !PARALLEL.load(Relaxed) {
        return;
    }
    match HASTY.get() {
        (times, 0) => {
            let begin = Instant::now();
            while begin.elapsed() < LINGER {
                shim::spin(1);
            }
            let times = if ahead() { 0 } else { (2 * times + 1).min(HASTE) };
            HASTY.set((times, times));
        }
        (times, left) => HASTY.set((times, left - 1)),
    }
}

/// Makes attempts until one is done, waiting for `event` in between; `None` when
/// patience ends before. `hopeful` says, detached, whether an attempt is worth while.
///
/// # Errors
/// What a signal handler raised.
pub(crate) fn wait<R>(
    py: Python<'_>,
    event: &Event<Sleeper>,
    sought: Sought,
    patience: Patience,
    hopeful: impl Fn() -> bool + Sync,
    mut attempt: impl FnMut() -> Attempt<R>,
) -> Result<Option<R>> {
    let mut attempt = || persist(py, patience, &mut attempt);
    let end = match patience {
        Patience::None => return attempt(),
        Patience::Until(end) => Some(end),
        Patience::Forever => None,
    };
    if !event.is_urgent() {
        if let Some(done) = attempt()? {
            return Ok(Some(done));
        }
        look_often(py, &hopeful);
    }
    let nap = user::is_main_thread(py).then_some(SIGNALS);
    let waiter = Sleeper::this_thread()?;
    let again = (sought == Sought::Value).then_some(LOOK_AGAIN);
    let mut wait = Wait { py, event, sought, waiter, end, nap, again, urgent: false };
    let outcome = wait.until(attempt)?;
    in_hand(wait.calm());
    Ok(outcome)
}

/// What came of telling others is no reason to lose what the caller has in hand.
#[inline]
pub(crate) fn in_hand(told: Result<()>) {
    if let Err(error) = told {
        error.raise_later();
    }
}

/// Makes an attempt, and again as long as it is a matter of a moment, until patience ends.
///
/// # Errors
/// What a signal handler raised.
#[inline]
pub(crate) fn persist<R>(
    py: Python<'_>,
    patience: Patience,
    mut attempt: impl FnMut() -> Attempt<R>,
) -> Result<Option<R>> {
    match attempt() {
        Attempt::Done(done) => Ok(Some(done)),
        Attempt::Wait => Ok(None),
        Attempt::Moment => persist_long(py, patience, attempt),
    }
}

/// The rest of [`persist`]. The moment may last: a thread was suspended.
#[cold]
fn persist_long<R>(
    py: Python<'_>,
    patience: Patience,
    mut attempt: impl FnMut() -> Attempt<R>,
) -> Result<Option<R>> {
    let begin = Instant::now();
    let mut answered = user::is_main_thread(py).then_some(begin);
    loop {
        let long = begin.elapsed() > PATIENT;
        user::detached(py, || if long { thread::sleep(SHORT) } else { thread::yield_now() });
        match attempt() {
            Attempt::Done(done) => return Ok(Some(done)),
            Attempt::Wait => return Ok(None),
            Attempt::Moment => {}
        }
        if matches!(patience, Patience::Until(end) if Instant::now() >= end) {
            return Ok(None);
        }
        if answered.is_some_and(|last| last.elapsed() >= SIGNALS) {
            answered = Some(Instant::now());
            // SAFETY: the token proves the thread attached.
            if unsafe { user::check_signals() } != 0 {
                // Whoever waits leaves the list first, which may call into a loop.
                return Err(Error::pending().taken_off());
            }
        }
    }
}

/// Looks whether there is hope for some microseconds, where another thread can run
/// meanwhile that might fulfil it.
fn look_often(py: Python<'_>, hopeful: &(impl Fn() -> bool + Sync)) {
    if !cfg!(Py_GIL_DISABLED) || !(PARALLEL.load(Relaxed) || ask_for_processors()) {
        return;
    }
    let is_hopeful = user::detached(py, || {
        (0..LOOKS).any(|_| {
            let is_hopeful = hopeful();
            if !is_hopeful {
                shim::spin(1);
            }
            is_hopeful
        })
    });
    if !is_hopeful {
        ask_for_processors();
    }
}

/// Whether threads of this process can run at the same time, as the last one was told who asked.
static PARALLEL: AtomicBool = AtomicBool::new(false);

/// Asks anew whether they can, since they may be bound to others at any time: whoever is about to
/// go to sleep, which takes many times as long.
#[cold]
fn ask_for_processors() -> bool {
    let parallel = has_several_processors();
    PARALLEL.store(parallel, Relaxed);
    parallel
}

/// Whether this thread or the main one may run on several processors, or each on another one: a
/// thread that is bound to one of them is not told of those of others. (How much time a container
/// may use is not looked at: until it is used up they run at the same time.)
#[cfg(target_os = "linux")]
fn has_several_processors() -> bool {
    let Some(own) = processors_of(0) else { return true };
    // SAFETY: an initialized set.
    if unsafe { libc::CPU_COUNT(&own) } > 1 {
        return true;
    }
    // SAFETY: has no conditions.
    let process = unsafe { libc::getpid() };
    // SAFETY: two initialized sets.
    processors_of(process).is_none_or(|mains| unsafe { !libc::CPU_EQUAL(&own, &mains) })
}

/// On which processors a thread may run, 0 being this one, and the process's number the main one;
/// none if the system does not tell, as where there are more than are asked for.
#[cfg(target_os = "linux")]
fn processors_of(thread: libc::pid_t) -> Option<libc::cpu_set_t> {
    // SAFETY: a set of bits, of which all may be zero.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: a set to write to, with its size.
    let failed = unsafe { libc::sched_getaffinity(thread, size_of_val(&set), &raw mut set) };
    (failed == 0).then_some(set)
}

/// Whether there are several processors: elsewhere threads are not bound to one, or few are.
#[cfg(not(target_os = "linux"))]
fn has_several_processors() -> bool {
    thread::available_parallelism().is_ok_and(|count| count.get() > 1)
}

/// One thread's wait.
struct Wait<'a, 'py> {
    py: Python<'py>,
    event: &'a Event<Sleeper>,
    sought: Sought,
    waiter: Sleeper,
    end: Option<Instant>,
    /// How long to sleep at a time, for the thread that answers signals.
    nap: Option<Duration>,
    /// How long to sleep before it looks again once.
    again: Option<Duration>,
    urgent: bool,
}

/// Why a sleep ended.
enum Awake {
    Notified,
    /// It is time to look again, as anything may have happened.
    Disturbed,
    /// It is the end of patience.
    Late,
}

impl Wait<'_, '_> {
    fn until<R>(&mut self, mut attempt: impl FnMut() -> Result<Option<R>>) -> Result<Option<R>> {
        let begin = Instant::now();
        loop {
            self.event.enrol(&self.waiter)?;
            if self.urgent || !self.event.is_urgent() {
                let outcome = attempt();
                if !matches!(outcome, Ok(None)) {
                    let outcome = outcome.map_err(Error::taken_off);
                    in_hand(self.event.withdraw(&self.waiter).map(drop));
                    return outcome;
                }
            }
            match self.sleep()? {
                Awake::Late => {
                    // With a notification of the last moment, if there is one; and who
                    // held back for the urgent has not looked yet.
                    let _ = self.event.leave(&self.waiter);
                    return attempt();
                }
                // As one who comes anew, in its old place: the urgent go first.
                Awake::Disturbed => {}
                Awake::Notified => {
                    if let Some(done) = attempt()? {
                        return Ok(Some(done));
                    }
                    if begin.elapsed() > PATIENT {
                        self.hurry();
                    }
                }
            }
        }
    }

    /// Sleeps, with the thread's waiter on the list.
    fn sleep(&mut self) -> Result<Awake> {
        while !self.waiter.notice().is_given() {
            let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(Awake::Late);
            }
            let again = self.again.take();
            let time = [left, self.nap, again].into_iter().flatten().min();
            user::detached(self.py, || match time {
                Some(time) => thread::park_timeout(time),
                None => thread::park(),
            });
            if self.nap.is_some() {
                return self.answer_signals();
            }
            if again.is_some() {
                let notified = self.event.withdraw(&self.waiter)?;
                return Ok(if notified { Awake::Notified } else { Awake::Disturbed });
            }
        }
        Ok(Awake::Notified)
    }

    /// Runs signal handlers. They may raise, wait for the same event, take as long as
    /// they like, and fork: so this thread is off the list meanwhile, and the next
    /// one may look first.
    fn answer_signals(&mut self) -> Result<Awake> {
        let notified = self.event.withdraw(&self.waiter)?;
        self.calm()?;
        // SAFETY: the token proves the thread attached.
        match unsafe { user::check_signals() } {
            0 => Ok(if notified { Awake::Notified } else { Awake::Disturbed }),
            _ => Err(Error::pending()),
        }
    }

    fn hurry(&mut self) {
        if !self.urgent && self.sought == Sought::Share {
            self.urgent = true;
            self.event.hurry();
        }
    }

    fn calm(&mut self) -> Result<()> {
        if !self.urgent {
            return Ok(());
        }
        self.urgent = false;
        self.event.calm()
    }
}

impl Drop for Wait<'_, '_> {
    fn drop(&mut self) {
        if let Err(error) = self.calm() {
            error.raise_later();
        }
    }
}
