//! Class `Queue`.
//!
//! A call tries the engine first; what cannot be done at once goes to the
//! waiting loop. The engine is entered attached and left with no item in hand, so
//! that the collector finds each item in the queue or with a thread.
#![allow(clippy::unused_self)] // what refuses something is a method to Python

use std::mem::ManuallyDrop;
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyDict, PyList, PyTuple};

use super::queue_engine::{
    Engine, Pressed, all_ranked, limit, no_force_put, press_sorted, putting, refused,
};
use crate::engine::memory::growth::{boxed, put, room_for_one};
use crate::engine::{self, Event, Refusal, TryGet, Waiter};
use crate::python::boundary::convert::{Given, Truth, count};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Error, QueueError, Result, not_copyable};
use crate::python::boundary::fastcall::{Arguments, fast_methods, used};
use crate::python::boundary::handover::Handover;
use crate::python::boundary::list::{Slots, collect};
use crate::python::boundary::nesting::drop_contents;
use crate::python::boundary::object::{Arg, Made, made, size_with};
use crate::python::boundary::owned::Owned;
use crate::python::boundary::pauses::{Pauses, SharedPauses};
use crate::python::boundary::task::{TaskWaiter, may_wait_here};
use crate::python::boundary::user;
use crate::python::boundary::waiting::{
    Attempt, PATIENT, Patience, Sleeper, Sought, all, hold, in_hand, linger, persist, wait,
};

/// How long one who does not wait believes that a place is being filled: much longer than
/// it takes a store to arrive, so that a put that has returned is seen.
const FILLING: Duration = Duration::from_micros(50);

/// A first-in, first-out queue for any number of producers and consumers.
#[pyclass(frozen, weakref, subclass, generic, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct Queue {
    inner: ManuallyDrop<Box<Inner>>,
    deferral: Deferral,
}

/// In this order: what lies beside another allocation, on both sides of it, is read seldom or
/// written seldom.
#[derive(Debug)]
#[repr(C)]
struct Inner {
    all_done: Event<Sleeper>,
    not_full: Event<Sleeper>,
    not_empty: Event<Sleeper>,
    handover: Handover,
    engine: Engine,
}

impl Queue {
    /// An empty queue.
    pub(crate) fn over(engine: Engine) -> Result<Self> {
        let inner = Inner {
            engine,
            handover: Handover::default(),
            not_empty: Event::default(),
            not_full: Event::default(),
            all_done: Event::default(),
        };
        Ok(Self { inner: ManuallyDrop::new(boxed(inner)?), deferral: Deferral::default() })
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// Sets up a queue as its class is called.
    pub(crate) fn begin(&self, maxsize: Given<'_>) -> Result<()> {
        let limit = maxsize.0.map_or(Ok(0), |maxsize| limit(maxsize.as_borrowed()))?;
        self.inner.engine.begin_with_limit(limit);
        Ok(())
    }

    /// `put` without other arguments, to an engine under a lock.
    #[inline(never)]
    fn put_in_order(&self, py: Python<'_>, item: Owned) -> Result<()> {
        if self.inner.not_full.is_urgent() {
            return self.put_patiently(py, item, Patience::Forever);
        }
        match self.inner.engine.try_put(item) {
            Ok(()) => self.inner.not_empty.notify(1),
            Err(item) => self.put_patiently(py, item, Patience::Forever),
        }
    }

    /// `get` without arguments, from an engine under a lock.
    #[inline(never)]
    fn get_in_order(&self, py: Python<'_>) -> Result<Owned> {
        if !self.inner.not_empty.is_urgent()
            && self.asks_nobody_in()
            && let TryGet::Got(item) = self.inner.engine.try_get()
        {
            self.made_room(1);
            return Ok(self.inner.handover.end(item));
        }
        self.get_patiently(py, Patience::Forever)
    }

    /// Puts an item that could not be put at once, or must not be.
    #[cold]
    #[inline(never)]
    fn put_patiently(&self, py: Python<'_>, item: Owned, patience: Patience) -> Result<()> {
        let put = self
            .inner
            .engine
            .put_by(py, item, |attempt| self.wait_for_room(py, patience, attempt))??;
        put.unwrap_or_else(|| Err(Error::queue(QueueError::Full)))?;
        self.inner.not_empty.notify(1)
    }

    /// Puts entries in their order, waiting for room; says how many went in.
    fn put_all<E>(
        &self,
        py: Python<'_>,
        patience: Patience,
        entries: Vec<E>,
        put: impl Fn(&mut std::vec::IntoIter<E>) -> std::result::Result<usize, Refusal>,
    ) -> Result<usize> {
        let mut entries = entries.into_iter();
        let all = entries.len();
        let mut pauses = Pauses::new(py);
        while entries.len() > 0 {
            let attempt = || match put(&mut entries) {
                Ok(count) => Attempt::Done(Ok(count)),
                Err(refusal) => refused(refusal),
            };
            let put = self.wait_for_room(py, patience, attempt)?;
            match put.unwrap_or_else(|| Err(Error::queue(QueueError::Full))) {
                Ok(count) => {
                    self.inner.not_empty.notify(count)?;
                    (0..count).try_for_each(|_| pauses.step())?;
                }
                Err(error) if entries.len() == all => return Err(error),
                Err(error) => {
                    error.discard();
                    break;
                }
            }
        }
        Ok(all - entries.len())
    }

    fn wait_for_room<R>(
        &self,
        py: Python<'_>,
        patience: Patience,
        attempt: impl FnMut() -> Attempt<R>,
    ) -> Result<Option<R>> {
        let Inner { engine, not_full, .. } = &**self.inner;
        wait(py, not_full, Sought::Share, patience, || !engine.is_full(), attempt)
    }

    /// Gets an item that could not be got at once, or must not be.
    #[cold]
    #[inline(never)]
    fn get_patiently(&self, py: Python<'_>, patience: Patience) -> Result<Owned> {
        let asked = self.ask_in(1)?;
        let item = self.wait_for_item(py, patience, || self.getting())?;
        let item = item.unwrap_or_else(|| Err(Error::queue(QueueError::Empty)))?;
        self.made_room(1 - asked.coming());
        Ok(item)
    }

    /// Before up to `count` items are taken, wakes as many coroutines of this thread's loop
    /// that wait for room. That runs byte code: what a signal handler raises in it must not
    /// cost an item. They cannot look before the caller is through.
    #[inline]
    fn ask_in(&self, count: usize) -> Result<Asked> {
        if self.asks_nobody_in() { Ok(Asked::default()) } else { self.ask_in_some(count) }
    }

    #[inline]
    fn asks_nobody_in(&self) -> bool {
        !self.inner.engine.is_bounded() || self.inner.not_full.is_empty() || !may_wait_here()
    }

    #[cold]
    fn ask_in_some(&self, count: usize) -> Result<Asked> {
        let mut asked = Asked::default();
        for _ in 0..count.min(self.inner.engine.len()) {
            room_for_one(&mut asked.0)?;
            match self
                .inner
                .not_full
                .notify_before(Sleeper::may_be_of_this_loop, Sleeper::is_of_this_loop)?
            {
                Some(sleeper) => put(&mut asked.0, sleeper), // room: above
                None => break,
            }
        }
        Ok(asked)
    }

    /// An attempt to get an item.
    #[inline]
    fn getting(&self) -> Attempt<Result<Owned>> {
        match self.inner.engine.try_get() {
            TryGet::Got(item) => Attempt::Done(Ok(self.inner.handover.end(item))),
            nothing => nothing_got(&nothing),
        }
    }

    fn wait_for_item<R>(
        &self,
        py: Python<'_>,
        patience: Patience,
        mut attempt: impl FnMut() -> Attempt<R>,
    ) -> Result<Option<R>> {
        let Inner { engine, not_empty, .. } = &**self.inner;
        // For one who does not wait, places that are only claimed are no items.
        let begin = Instant::now();
        let none = || patience.is_none() && begin.elapsed() > FILLING && engine.is_unfilled();
        let attempt = || match attempt() {
            Attempt::Moment if none() => Attempt::Wait,
            outcome => outcome,
        };
        // The place first: who looked at the tail all the time would slow down those who put.
        let hopeful = || engine.first_is_there() && !engine.is_empty();
        wait(py, not_empty, Sought::Share, patience, hopeful, attempt)
    }

    /// After items were taken, which are in hand.
    #[inline]
    fn made_room(&self, count: usize) {
        // The limit is read after the taking, as all accesses to both are `SeqCst`: who waits
        // for room has seen a limit, and either it is seen here too or the room there.
        if self.inner.engine.is_bounded() {
            in_hand(self.inner.not_full.notify(count));
        }
    }

    /// A list of up to `n` items that are there, and why there are no more.
    ///
    /// The list is made first: allocating may run user code, or fail. Nobody finds it until
    /// it is finished, for it has empty places.
    fn take_list<'py>(
        &self,
        py: Python<'py>,
        n: usize,
    ) -> Result<(Bound<'py, PyList>, TryGet<usize>)> {
        let engine = &self.inner.engine;
        let asked = self.ask_in(n)?;
        let list = Slots::hidden(py, n.min(engine.len().max(1)))?;
        let mut pauses = Pauses::new(py);
        let mut filled = 0;
        let mut outcome = TryGet::Got(0);
        while filled < list.len() && matches!(outcome, TryGet::Got(_)) {
            let before = filled;
            outcome = engine.try_get_some(list.len() - filled, |item| {
                list.fill(filled, self.inner.handover.end(item));
                filled += 1;
            });
            (before..filled).for_each(|_| pauses.step_on());
        }
        let list = list.finish(filled)?;
        self.made_room(filled.saturating_sub(asked.coming()));
        in_hand(pauses.end());
        Ok((list, outcome))
    }

    /// Gets up to `n` items into a list, waiting for the first.
    fn get_list<'py>(
        &self,
        py: Python<'py>,
        n: usize,
        patience: Patience,
    ) -> Result<Bound<'py, PyList>> {
        let engine = &self.inner.engine;
        loop {
            let (list, outcome) = self.take_list(py, n)?;
            if !list.is_empty() {
                return Ok(list);
            }
            if let Attempt::Done(Err(error)) = nothing_got::<_, ()>(&outcome) {
                return Err(error);
            }
            let look = || match (engine.is_empty(), engine.is_closed()) {
                (true, false) => Attempt::Wait,
                (true, true) => Attempt::Done(()),
                _ if engine.first_is_there() => Attempt::Done(()),
                _ => Attempt::Moment,
            };
            self.wait_for_item(py, patience, look)?
                .ok_or_else(|| Error::queue(QueueError::Empty))?;
        }
    }

    /// Drops what is left after the end; says how many there were.
    fn drop_all(&self, py: Python<'_>, pauses: &mut Pauses<'_>) -> (u64, Result<()>) {
        let mut dropped = 0;
        let attempt = || match self.inner.engine.get_some(usize::MAX, drop) {
            TryGet::Got(count) => Attempt::Done(count),
            TryGet::Unfilled => Attempt::Moment,
            TryGet::Empty | TryGet::Closed => Attempt::Wait,
        };
        // What a handler raises ends the waiting for a place that a suspended producer has
        // claimed, but not at once, and not the dropping.
        let (mut patience, mut fault) = (Patience::Forever, None);
        loop {
            match persist(py, patience, attempt) {
                Ok(Some(count)) => {
                    dropped += count as u64;
                    (0..count).for_each(|_| pauses.step_on());
                }
                Ok(None) => return (dropped, fault.map_or(Ok(()), Err)),
                Err(error) => {
                    fault = Error::join(fault, Some(error));
                    patience = Patience::Until(Instant::now() + PATIENT);
                }
            }
        }
    }

    /// [`Self::put_patiently`] with the arguments of a call.
    #[cold]
    fn put_with(&self, py: Python<'_>, args: Arguments<'_, '_>) -> Result<()> {
        let [item, block, timeout] = args.bind(3, ["item", "block", "timeout"])?;
        let item = args.required(item, "item")?;
        if self.inner.engine.is_closed() {
            return Err(Error::queue(QueueError::ShutDown));
        }
        // Without a bound nobody waits, and `queue.Queue` looks at no timeout.
        let bounded = self.inner.engine.is_bounded();
        let patience = if bounded { Patience::new(block, timeout)? } else { Patience::Forever };
        self.put_patiently(py, self.inner.handover.begin(item), patience)
    }

    /// [`Self::get_patiently`] with the arguments of a call.
    #[cold]
    fn get_with(&self, py: Python<'_>, args: Arguments<'_, '_>) -> Result<Owned> {
        let [block, timeout] = args.bind(2, ["block", "timeout"])?;
        if self.inner.engine.is_closed() && self.inner.engine.is_empty() {
            return Err(Error::queue(QueueError::ShutDown));
        }
        self.get_patiently(py, Patience::new(block, timeout)?)
    }

    /// One attempt to get, for a coroutine.
    #[inline]
    fn grab(&self) -> Result<Option<Owned>> {
        let asked = self.ask_in(1)?;
        let item = match self.getting() {
            Attempt::Done(item) => Some(item?),
            // The coroutine asks whether there is something to come.
            Attempt::Wait | Attempt::Moment => None,
        };
        if item.is_some() {
            self.made_room(1 - asked.coming());
        }
        Ok(item)
    }

    /// One attempt to put, for a coroutine.
    #[inline]
    fn press(&self, py: Python<'_>, item: Arg<'_, '_>) -> Result<Pressed> {
        let begin = || self.inner.handover.begin(item);
        let pressed = match &self.inner.engine {
            Engine::Sorted { engine, key } => press_sorted(py, engine, key, item, begin)?,
            engine => {
                let put = engine
                    .put_by(py, begin(), |attempt| persist(py, Patience::None, attempt))??;
                put.transpose()?.map_or(Pressed::Full, |()| Pressed::Done)
            }
        };
        if matches!(pressed, Pressed::Done) {
            self.inner.not_empty.notify(1)?;
        }
        Ok(pressed)
    }

    /// Getters are 0, putters 1, joiners 2.
    fn event(&self, number: usize) -> Result<&Event<Sleeper>> {
        let Inner { not_empty, not_full, all_done, .. } = &**self.inner;
        let event = [not_empty, not_full, all_done].get(number).copied();
        event.ok_or_else(|| Error::empty("no such event"))
    }

    /// After items were put or taken for done.
    fn notice_done(&self) -> Result<()> {
        if self.inner.engine.unfinished() == 0 {
            self.inner.all_done.notify(usize::MAX)
        } else {
            Ok(())
        }
    }
}

/// The coroutines that were asked in before there was room.
#[derive(Debug, Default)]
struct Asked(Vec<Sleeper>);

impl Asked {
    /// How many of them did not look too early: none can, unless a loop runs in a loop.
    fn coming(&self) -> usize {
        self.0.iter().filter(|sleeper| sleeper.notice().is_given()).count()
    }
}

/// What `queue.Queue` has a lock for.
fn absent(name: &str, instead: &str) -> Result<()> {
    Err(Error::absent(format_args!("Queue has no attribute '{name}': {instead}")))
}

/// What to do about getting nothing.
fn nothing_got<T, R>(nothing: &TryGet<T>) -> Attempt<Result<R>> {
    match nothing {
        TryGet::Unfilled => Attempt::Moment,
        TryGet::Closed => Attempt::Done(Err(Error::queue(QueueError::ShutDown))),
        TryGet::Got(_) | TryGet::Empty => Attempt::Wait,
    }
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=0)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Result<Self> {
        Self::over(Engine::Fifo(engine::Queue::new()))
    }

    #[pyo3(signature = (maxsize = Given::default()))]
    fn __init__(&self, maxsize: Given<'_>) -> Result<()> {
        self.begin(maxsize)
    }

    /// Put an item without waiting.
    fn put_nowait(slf: &Bound<'_, Self>, item: &Bound<'_, PyAny>) -> Result<()> {
        let this = used(slf);
        let item = this.inner.handover.begin(item.as_borrowed());
        this.put_patiently(slf.py(), item, Patience::None)
    }

    /// Remove and return the first item without waiting.
    fn get_nowait(slf: &Bound<'_, Self>) -> Result<Py<PyAny>> {
        used(slf).get_patiently(slf.py(), Patience::None).map(Owned::into_py)
    }

    /// Put the items of `iterable` in their order; return how many went in.
    #[pyo3(signature = (iterable, /, timeout = None))]
    fn put_many(
        slf: &Bound<'_, Self>,
        iterable: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> Result<Made<usize>> {
        let (this, py) = (used(slf), slf.py());
        let patience = Patience::within(timeout.map(Bound::as_borrowed))?;
        let items = collect(iterable, |item| this.inner.handover.begin(item))?;
        let put = match &this.inner.engine {
            Engine::Fifo(engine) => {
                this.put_all(py, patience, items, |items| engine.try_put_some(items))
            }
            Engine::Lifo(engine) => {
                this.put_all(py, patience, items, |items| engine.try_put_some(items))
            }
            Engine::Sorted { engine, key } => {
                let items = all_ranked(py, engine, key, items)?;
                this.put_all(py, patience, items, |items| engine.try_put_some(items))
            }
        };
        put.map(Made)
    }

    /// Remove and return up to `n` items, waiting for the first.
    #[pyo3(signature = (n, /, timeout = None))]
    fn get_many<'py>(
        slf: &Bound<'py, Self>,
        n: &Bound<'py, PyAny>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> Result<Bound<'py, PyList>> {
        let patience = Patience::within(timeout.map(Bound::as_borrowed))?;
        match count(n.as_borrowed())? {
            0 => Slots::new(n.py(), 0)?.finish(0),
            n_items => used(slf).get_list(n.py(), n_items, patience),
        }
    }

    /// One attempt to get up to `n` items, for a coroutine; else `nothing`.
    #[pyo3(signature = (n, nothing, /))]
    fn _some<'py>(
        &self,
        n: &Bound<'py, PyAny>,
        nothing: Bound<'py, PyAny>,
    ) -> Result<Bound<'py, PyAny>> {
        let n_items = count(n.as_borrowed())?;
        let (list, outcome) = self.take_list(n.py(), n_items)?;
        match outcome {
            TryGet::Closed if list.is_empty() => Err(Error::queue(QueueError::ShutDown)),
            TryGet::Empty | TryGet::Unfilled if list.is_empty() => Ok(nothing),
            _ => Ok(list.into_any()),
        }
    }

    /// Remove and return all items.
    fn drain<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyList>> {
        // No more than there are now: busy producers shall not keep it here.
        let limit = self.inner.engine.len();
        let (list, mut outcome) = self.take_list(py, limit)?;
        let begin = Instant::now();
        // Nor shall a suspended one.
        while outcome == TryGet::Unfilled && list.len() < limit && begin.elapsed() < PATIENT {
            user::detached(py, thread::yield_now);
            let more;
            (more, outcome) = self.take_list(py, limit - list.len())?;
            let end = list.len();
            list.set_slice(end, end, more.as_any()).map_err(Error::raised)?;
        }
        Ok(list)
    }

    /// Put an item, and if the queue is full take the first one out for it.
    #[pyo3(signature = (item, /, *, default = None))]
    fn force_put(
        &self,
        item: &Bound<'_, PyAny>,
        default: Option<Py<PyAny>>,
    ) -> Result<Option<Py<PyAny>>> {
        let py = item.py();
        let Engine::Fifo(engine) = &self.inner.engine else {
            return Err(no_force_put());
        };
        let item = self.inner.handover.begin(item.as_borrowed());
        let attempt = putting(item, |item| engine.force_put(item));
        let put = persist(py, Patience::Forever, attempt)?;
        let displaced = put.expect("a full queue is no reason to wait")?;
        let told = self.inner.not_empty.notify(1);
        let Some(displaced) = displaced else { return told.map(|()| default) };
        in_hand(all([told, self.notice_done()]));
        Ok(Some(displaced.into_py()))
    }

    /// Say that `n` items that were got are done.
    #[pyo3(signature = (n = Given::default()), text_signature = "($self, n=1)")]
    fn task_done(slf: &Bound<'_, Self>, n: Given<'_>) -> Result<()> {
        let inner = &used(slf).inner;
        let n = n.0.map_or(Ok(1), |n| count(n.as_borrowed()))?;
        match inner.engine.finish(n as u64) {
            Ok(false) => Ok(()),
            Ok(true) => inner.all_done.notify(usize::MAX),
            Err(_) => Err(Error::wrong_value(format_args!("task_done() called too many times"))),
        }
    }

    /// Wait until all items that were put are done.
    fn join(&self, py: Python<'_>) -> Result<()> {
        let Inner { engine, all_done, .. } = &**self.inner;
        let all_are_done = || engine.unfinished() == 0;
        let attempt = || if all_are_done() { Attempt::Done(()) } else { Attempt::Wait };
        wait(py, all_done, Sought::Truth, Patience::Forever, all_are_done, attempt).map(drop)
    }

    /// Refuse further items; with `immediate`, drop those that are in the queue.
    #[pyo3(signature = (immediate = Truth(false)), text_signature = "($self, immediate=False)")]
    fn shutdown(&self, py: Python<'_>, immediate: Truth) -> Result<()> {
        let mut pauses = Pauses::new(py);
        let Inner { engine, not_empty, not_full, all_done, .. } = &**self.inner;
        let done = if immediate.0 {
            engine.shut();
            let (dropped, outcome) = self.drop_all(py, &mut pauses);
            engine.finish_up_to(dropped);
            all([outcome, all_done.notify(usize::MAX)])
        } else {
            engine.close();
            Ok(())
        };
        all([done, not_empty.notify(usize::MAX), not_full.notify(usize::MAX), pauses.end()])
    }

    /// Return how many items there are.
    fn qsize(slf: &Bound<'_, Self>) -> Made<usize> {
        Made(used(slf).inner.engine.len())
    }

    /// Return whether there is no item.
    fn empty(slf: &Bound<'_, Self>) -> bool {
        used(slf).inner.engine.is_empty()
    }

    /// Return whether there is no room.
    fn full(slf: &Bound<'_, Self>) -> bool {
        used(slf).inner.engine.is_full()
    }

    /// How many items there may be; 0 is any number.
    #[getter]
    fn maxsize(&self) -> Made<u64> {
        Made(self.inner.engine.bound())
    }

    #[setter]
    fn set_maxsize(&self, maxsize: &Bound<'_, PyAny>) -> Result<()> {
        self.inner.engine.set_limit(limit(maxsize.as_borrowed())?);
        self.inner.not_full.notify(usize::MAX)
    }

    /// Refused.
    #[deleter(maxsize)]
    fn delete_maxsize(slf: &Bound<'_, Self>) -> Result<()> {
        Err(Error::no_deleter(slf.as_any(), "maxsize"))
    }

    /// How many items were put and are not done.
    #[getter]
    fn unfinished_tasks(&self) -> Made<u64> {
        Made(self.inner.engine.unfinished())
    }

    /// Whether the queue was shut down.
    #[getter]
    fn is_shutdown(&self) -> bool {
        self.inner.engine.is_closed()
    }

    /// Enrol a coroutine.
    #[pyo3(signature = (event, waiter, /))]
    fn _enrol(&self, event: usize, waiter: &Bound<'_, TaskWaiter>) -> Result<()> {
        Ok(self.event(event)?.enrol(&Sleeper::task(waiter))?)
    }

    /// Take a coroutine off the list; pass on a notification that it does not use.
    #[pyo3(signature = (event, waiter, /))]
    fn _leave(&self, event: usize, waiter: &Bound<'_, TaskWaiter>) -> PyResult<()> {
        self.event(event)?.withdraw(&Sleeper::task(waiter))?;
        Ok(())
    }

    /// Defer the counting of references to `other` as well, once this queue's is.
    #[pyo3(signature = (other, /))]
    fn _take_along(&self, other: &Bound<'_, PyAny>) -> Result<()> {
        self.deferral.take_along(other.as_borrowed())
    }

    /// Wake the next one.
    #[pyo3(signature = (event, /))]
    fn _notify(&self, event: usize) -> PyResult<()> {
        self.event(event)?.notify(1)?;
        Ok(())
    }

    /// Absent: there is no lock; each method is atomic by itself.
    #[getter]
    fn mutex(&self) -> Result<()> {
        absent("mutex", "there is no lock; each method is atomic by itself")
    }

    /// Absent: use `qsize()` or `drain()`.
    #[getter]
    fn queue(&self) -> Result<()> {
        absent("queue", "use `qsize()` or `drain()`")
    }

    /// Absent: use `get()`.
    #[getter]
    fn not_empty(&self) -> Result<()> {
        absent("not_empty", "use `get()`")
    }

    /// Absent: use `put()`.
    #[getter]
    fn not_full(&self) -> Result<()> {
        absent("not_full", "use `put()`")
    }

    /// Absent: use `join()`.
    #[getter]
    fn all_tasks_done(&self) -> Result<()> {
        absent("all_tasks_done", "use `join()`")
    }

    fn __iter__(slf: Py<Self>) -> QueueIterator {
        QueueIterator { queue: slf, pauses: SharedPauses::default() }
    }

    fn __contains__(&self, _item: &Bound<'_, PyAny>) -> Result<bool> {
        Err(Error::wrong_type(format_args!("argument of type 'Queue' is not a container")))
    }

    fn __sizeof__(slf: &Bound<'_, Self>) -> Made<usize> {
        let inner = &**slf.get().inner;
        Made(size_with(slf.as_any(), size_of_val(inner) + inner.engine.bytes()))
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyAny>> {
        let engine = &slf.get().inner.engine;
        let name = slf.get_type().name().map_err(Error::raised)?;
        let state = if engine.is_closed() { ", shut down" } else { "" };
        let (bound, len) = (engine.bound(), engine.len());
        made(slf.py(), format_args!("<{name} maxsize={bound} qsize={len}{state}>"))
    }

    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("Queue", "it is shared state; move its items, q.drain()"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.inner.engine.traverse(&visit)?;
        let Inner { not_empty, not_full, all_done, .. } = &**self.inner;
        [not_empty, not_full, all_done]
            .into_iter()
            .try_for_each(|event| event.traverse(|sleeper| sleeper.traverse(&visit)))
    }

    fn __clear__(&self, py: Python<'_>) {
        let Inner { engine, not_empty, not_full, all_done, .. } = &**self.inner;
        engine.clear(py);
        [not_empty, not_full, all_done].into_iter().for_each(Event::clear);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: this is the drop; the field is not used again.
        drop_contents(unsafe { ManuallyDrop::take(&mut self.inner) });
    }
}

/// Gets items until the queue is shut down.
#[pyclass(frozen, module = "lockfree._native", name = "_QueueIterator")]
#[derive(Debug)]
pub(crate) struct QueueIterator {
    queue: Py<Queue>,
    pauses: SharedPauses,
}

#[pymethods]
impl QueueIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Result<Option<Py<PyAny>>> {
        self.pauses.step(py)?;
        match self.queue.get().get_patiently(py, Patience::Forever) {
            Ok(item) => Ok(Some(item.into_py())),
            Err(error) if error.is_shutdown() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.queue)
    }
}

fast_methods! {
    Queue;
    keywords c"put"
        c"put($self, item, block=True, timeout=None)\n--\n\nPut an item, waiting for room."
        |this, py, args| {
            let Some(item) = args.lone() else { return this.put_with(py, args) };
            let item = this.inner.handover.begin(item);
            // One question which engine it is, and not one for each step.
            let Engine::Fifo(engine) = &this.inner.engine else {
                return this.put_in_order(py, item);
            };
            if this.inner.not_full.is_urgent() {
                return this.put_patiently(py, item, Patience::Forever);
            }
            match engine.try_put(item) {
                Ok(()) => this.inner.not_empty.notify(1),
                Err((item, _)) => this.put_patiently(py, item, Patience::Forever),
            }
        };
    keywords c"get"
        c"get($self, block=True, timeout=None)\n--\n\nRemove and return the first item, waiting for one."
        |this, py, args| {
            if !args.is_empty() {
                return this.get_with(py, args);
            }
            let Engine::Fifo(engine) = &this.inner.engine else {
                return this.get_in_order(py);
            };
            if !this.inner.not_empty.is_urgent()
                && (!engine.is_bounded() || this.inner.not_full.is_empty() || !may_wait_here())
            {
                match engine.try_get() {
                    TryGet::Got(item) => {
                        // The limit is read after the taking: see `made_room`.
                        if engine.is_bounded() {
                            in_hand(this.inner.not_full.notify(1));
                        }
                        return Ok(this.inner.handover.end(item));
                    }
                    // Who put one before it gets one, as others do, never finds nothing.
                    TryGet::Empty => linger(|| engine.len() > 1),
                    _ => {}
                }
            }
            this.get_patiently(py, Patience::Forever)
        };
    one c"_hold" c"_hold($self, event, /)\n--\n\nWhy a coroutine should not begin at once; 0 if it may."
        |this, _, event| {
            let event = this.event(event.extract().map_err(Error::raised)?)?;
            Ok(hold(event.is_urgent()) as i64)
        };
    one c"_grab" c"_grab($self, nothing, /)\n--\n\nGet an item, or `nothing`."
        |this, _, nothing| Ok(this.grab()?.unwrap_or_else(|| Owned::new(nothing)));
    one c"_press" c"_press($self, item, /)\n--\n\nPut an item; else what to press next, or False if that is the item."
        |this, py, item| this.press(py, item);
}
