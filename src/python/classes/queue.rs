//! Class `Queue`.
//!
//! A call tries the engine first; what cannot be done at once goes to the
//! waiting loop. The engine is entered attached and left with no item in hand, so
//! that the collector finds each item in the queue or with a thread.
#![allow(clippy::unused_self)] // what refuses something is a method to Python

use std::mem::ManuallyDrop;
use std::thread;

use pyo3::exceptions::{PyAttributeError, PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

use crate::engine::{self, Event, Refusal, TryGet};
use crate::python::boundary::convert::{Given, Truth, count, int64};
use crate::python::boundary::deferral::defer;
use crate::python::boundary::error::{Error, Result, not_copyable};
use crate::python::boundary::fastcall::{Arguments, fast_methods};
use crate::python::boundary::list::{Slots, collect};
use crate::python::boundary::nesting::drop_contents;
use crate::python::boundary::object::{Arg, size_with};
use crate::python::boundary::owned::Owned;
use crate::python::boundary::user;
use crate::python::boundary::waiting::{
    Attempt, Patience, Sleeper, Sought, TaskWaiter, hold, persist, wait,
};

/// A first-in, first-out queue for any number of producers and consumers.
#[pyclass(frozen, weakref, subclass, generic, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct Queue {
    inner: ManuallyDrop<Box<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    engine: engine::Queue<Owned>,
    not_empty: Event<Sleeper>,
    not_full: Event<Sleeper>,
    all_done: Event<Sleeper>,
}

impl Queue {
    /// Puts an item that could not be put at once, or must not be.
    #[cold]
    #[inline(never)]
    fn put_patiently(&self, py: Python<'_>, item: Owned, patience: Patience) -> Result<()> {
        let attempt = putting(item, |item| self.inner.engine.try_put(item));
        self.wait_for_room(py, patience, attempt)?.unwrap_or_else(|| Err(Error::queue("Full")))?;
        self.inner.not_empty.notify(1);
        Ok(())
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
        let item = self.wait_for_item(py, patience, || self.getting())?;
        let item = item.unwrap_or_else(|| Err(Error::queue("Empty")))?;
        self.made_room(1);
        Ok(item)
    }

    /// An attempt to get an item.
    #[inline]
    fn getting(&self) -> Attempt<Result<Owned>> {
        match self.inner.engine.try_get() {
            TryGet::Got(item) => Attempt::Done(Ok(item)),
            nothing => nothing_got(&nothing),
        }
    }

    fn wait_for_item<R>(
        &self,
        py: Python<'_>,
        patience: Patience,
        attempt: impl FnMut() -> Attempt<R>,
    ) -> Result<Option<R>> {
        let Inner { engine, not_empty, .. } = &**self.inner;
        wait(py, not_empty, Sought::Share, patience, || !engine.is_empty(), attempt)
    }

    /// After items were taken.
    #[inline]
    fn made_room(&self, count: usize) {
        if self.inner.engine.is_bounded() {
            self.inner.not_full.notify(count);
        }
    }

    /// A list of up to `n` items that are there, and why there are no more.
    ///
    /// The list is made first: allocating may run user code, or fail. Nothing else
    /// runs until it is finished, for others can find it, and it has empty places.
    fn take_list<'py>(
        &self,
        py: Python<'py>,
        n: usize,
    ) -> Result<(Bound<'py, PyList>, TryGet<usize>)> {
        let engine = &self.inner.engine;
        let list = Slots::new(py, n.min(engine.len().max(1)))?;
        let mut filled = 0;
        let mut outcome = TryGet::Got(0);
        while filled < list.len() && matches!(outcome, TryGet::Got(_)) {
            outcome = engine.try_get_some(list.len() - filled, |item| {
                list.fill(filled, item);
                filled += 1;
            });
        }
        self.made_room(filled);
        Ok((list.finish(filled)?, outcome))
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
                _ => Attempt::Done(()),
            };
            self.wait_for_item(py, patience, look)?.ok_or_else(|| Error::queue("Empty"))?;
        }
    }

    /// Drops what is left after the end; says how many there were.
    fn drop_all(&self, py: Python<'_>) -> u64 {
        let mut dropped = 0;
        let attempt = || match self.inner.engine.get_some(usize::MAX, drop) {
            TryGet::Got(count) => Attempt::Done(count),
            TryGet::Unfilled => Attempt::Moment,
            TryGet::Empty | TryGet::Closed => Attempt::Wait,
        };
        while let Some(count) = persist(py, attempt) {
            dropped += count as u64;
        }
        dropped
    }

    /// [`Self::put_patiently`] with the arguments of a call.
    #[cold]
    fn put_with(&self, py: Python<'_>, args: Arguments<'_, '_>) -> Result<()> {
        let [item, block, timeout] = args.bind(3, ["item", "block", "timeout"])?;
        let item = args.required(item, "item")?;
        if self.inner.engine.is_closed() {
            return Err(Error::queue("ShutDown"));
        }
        // Without a bound nobody waits, and `queue.Queue` looks at no timeout.
        let bounded = self.inner.engine.is_bounded();
        let patience = if bounded { Patience::new(block, timeout)? } else { Patience::Forever };
        self.put_patiently(py, Owned::new(item), patience)
    }

    /// [`Self::get_patiently`] with the arguments of a call.
    #[cold]
    fn get_with(&self, py: Python<'_>, args: Arguments<'_, '_>) -> Result<Owned> {
        let [block, timeout] = args.bind(2, ["block", "timeout"])?;
        if self.inner.engine.is_closed() && self.inner.engine.is_empty() {
            return Err(Error::queue("ShutDown"));
        }
        self.get_patiently(py, Patience::new(block, timeout)?)
    }

    /// One attempt to get, for a coroutine.
    #[inline]
    fn grab(&self, py: Python<'_>) -> Result<Option<Owned>> {
        let item = persist(py, || self.getting()).transpose()?;
        if item.is_some() {
            self.made_room(1);
        }
        Ok(item)
    }

    /// One attempt to put, for a coroutine.
    #[inline]
    fn press(&self, py: Python<'_>, item: Arg<'_, '_>) -> Result<bool> {
        let attempt = putting(Owned::new(item), |item| self.inner.engine.try_put(item));
        let put = persist(py, attempt).transpose()?.is_some();
        if put {
            self.inner.not_empty.notify(1);
        }
        Ok(put)
    }

    /// Getters are 0, putters 1, joiners 2.
    fn event(&self, number: usize) -> PyResult<&Event<Sleeper>> {
        let Inner { not_empty, not_full, all_done, .. } = &**self.inner;
        let event = [not_empty, not_full, all_done].get(number).copied();
        event.ok_or_else(|| PyIndexError::new_err("no such event"))
    }

    /// After items were put or taken for done.
    fn notice_done(&self) {
        if self.inner.engine.unfinished() == 0 {
            self.inner.all_done.notify(usize::MAX);
        }
    }
}

/// What `queue.Queue` has a lock for.
fn absent(name: &str, instead: &str) -> PyResult<()> {
    Err(PyAttributeError::new_err(format!("Queue has no attribute '{name}': {instead}")))
}

/// Attempts to put an item, which comes back where it is refused.
#[inline]
fn putting<R>(
    item: Owned,
    mut put: impl FnMut(Owned) -> std::result::Result<R, (Owned, Refusal)>,
) -> impl FnMut() -> Attempt<Result<R>> {
    let mut item = Some(item);
    move || match put(item.take().expect("not put yet")) {
        Ok(done) => Attempt::Done(Ok(done)),
        Err((back, refusal)) => {
            item = Some(back);
            refused(refusal)
        }
    }
}

/// What to do about a refusal.
fn refused<R>(refusal: Refusal) -> Attempt<Result<R>> {
    match refusal {
        Refusal::Full => Attempt::Wait,
        Refusal::Unfilled => Attempt::Moment,
        Refusal::Closed => Attempt::Done(Err(Error::queue("ShutDown"))),
        Refusal::OutOfMemory => Attempt::Done(Err(engine::OutOfMemory.into())),
    }
}

/// What to do about getting nothing.
fn nothing_got<T, R>(nothing: &TryGet<T>) -> Attempt<Result<R>> {
    match nothing {
        TryGet::Unfilled => Attempt::Moment,
        TryGet::Closed => Attempt::Done(Err(Error::queue("ShutDown"))),
        TryGet::Got(_) | TryGet::Empty => Attempt::Wait,
    }
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=0, *, shared=False)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { inner: ManuallyDrop::default() }
    }

    #[pyo3(signature = (maxsize = Given::default(), *, shared = Truth(false)))]
    fn __init__(slf: &Bound<'_, Self>, maxsize: Given<'_>, shared: Truth) -> Result<()> {
        let maxsize = maxsize.0.map_or(Ok(0), |maxsize| int64(maxsize.as_borrowed()))?;
        if !slf.get().inner.engine.set_limit(u64::try_from(maxsize).unwrap_or(0)) {
            let text = format!("the queue is in use: maxsize cannot be changed to {maxsize}");
            return Err(Error::wrong_value(text));
        }
        if shared.0 {
            defer(slf.as_any().as_borrowed());
        }
        Ok(())
    }

    /// Put an item without waiting.
    fn put_nowait(&self, item: &Bound<'_, PyAny>) -> Result<()> {
        self.put_patiently(item.py(), Owned::new(item.as_borrowed()), Patience::None)
    }

    /// Remove and return the first item without waiting.
    fn get_nowait(&self, py: Python<'_>) -> Result<Py<PyAny>> {
        self.get_patiently(py, Patience::None).map(Owned::into_py)
    }

    /// Put the items of `iterable` in their order; return how many went in.
    #[pyo3(signature = (iterable, /, timeout = None))]
    fn put_many(
        &self,
        iterable: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> Result<usize> {
        let py = iterable.py();
        let patience = Patience::within(timeout.map(Bound::as_borrowed))?;
        let mut items = collect(iterable)?.into_iter();
        let all = items.len();
        while items.len() > 0 {
            let attempt = || match self.inner.engine.try_put_some(&mut items) {
                Ok(count) => Attempt::Done(Ok(count)),
                Err(refusal) => refused(refusal),
            };
            let put = self.wait_for_room(py, patience, attempt)?;
            match put.unwrap_or_else(|| Err(Error::queue("Full"))) {
                Ok(count) => self.inner.not_empty.notify(count),
                Err(error) if items.len() == all => return Err(error),
                Err(_) => break,
            }
        }
        Ok(all - items.len())
    }

    /// Remove and return up to `n` items, waiting for the first.
    #[pyo3(signature = (n, /, timeout = None))]
    fn get_many<'py>(
        &self,
        n: &Bound<'py, PyAny>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> Result<Bound<'py, PyList>> {
        let patience = Patience::within(timeout.map(Bound::as_borrowed))?;
        match count(n.as_borrowed())? {
            0 => Slots::new(n.py(), 0)?.finish(0),
            n_items => self.get_list(n.py(), n_items, patience),
        }
    }

    /// Remove and return all items.
    fn drain<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyList>> {
        // No more than there are now: busy producers shall not keep it here.
        let limit = self.inner.engine.len();
        let (list, mut outcome) = self.take_list(py, limit)?;
        while outcome == TryGet::Unfilled && list.len() < limit {
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
        let item = Owned::new(item.as_borrowed());
        let put = persist(py, putting(item, |item| self.inner.engine.force_put(item)));
        let displaced = put.expect("a full queue is no reason to wait")?;
        self.inner.not_empty.notify(1);
        let Some(displaced) = displaced else { return Ok(default) };
        self.notice_done();
        Ok(Some(displaced.into_py()))
    }

    /// Say that `n` items that were got are done.
    #[pyo3(signature = (n = Given::default()), text_signature = "($self, n=1)")]
    fn task_done(&self, n: Given<'_>) -> Result<()> {
        let n = n.0.map_or(Ok(1), |n| count(n.as_borrowed()))?;
        match self.inner.engine.finish(n as u64) {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.inner.all_done.notify(usize::MAX);
                Ok(())
            }
            Err(_) => Err(Error::wrong_value("task_done() called too many times".to_owned())),
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
    fn shutdown(&self, py: Python<'_>, immediate: Truth) {
        let Inner { engine, not_empty, not_full, all_done } = &**self.inner;
        if immediate.0 {
            engine.shut();
            engine.finish_up_to(self.drop_all(py));
            all_done.notify(usize::MAX);
        } else {
            engine.close();
        }
        not_empty.notify(usize::MAX);
        not_full.notify(usize::MAX);
    }

    /// Return how many items there are.
    fn qsize(&self) -> usize {
        self.inner.engine.len()
    }

    /// Return whether there is no item.
    fn empty(&self) -> bool {
        self.inner.engine.is_empty()
    }

    /// Return whether there is no room.
    fn full(&self) -> bool {
        self.inner.engine.is_full()
    }

    /// How many items there may be; 0 is any number.
    #[getter]
    fn maxsize(&self) -> u64 {
        self.inner.engine.bound()
    }

    /// How many items were put and are not done.
    #[getter]
    fn unfinished_tasks(&self) -> u64 {
        self.inner.engine.unfinished()
    }

    /// Whether the queue was shut down.
    #[getter]
    fn is_shutdown(&self) -> bool {
        self.inner.engine.is_closed()
    }

    /// Enrol a coroutine.
    #[pyo3(signature = (event, waiter, /))]
    fn _enrol(&self, event: usize, waiter: &Bound<'_, TaskWaiter>) -> PyResult<()> {
        self.event(event)?.enrol(&Sleeper::task(waiter));
        Ok(())
    }

    /// Take a coroutine off the list; pass on a notification that it does not use.
    #[pyo3(signature = (event, waiter, /))]
    fn _leave(&self, event: usize, waiter: &Bound<'_, TaskWaiter>) -> PyResult<()> {
        self.event(event)?.withdraw(&Sleeper::task(waiter));
        Ok(())
    }

    /// Wake the next one.
    #[pyo3(signature = (event, /))]
    fn _notify(&self, event: usize) -> PyResult<()> {
        self.event(event)?.notify(1);
        Ok(())
    }

    /// Absent: there is no lock; each method is atomic by itself.
    #[getter]
    fn mutex(&self) -> PyResult<()> {
        absent("mutex", "there is no lock; each method is atomic by itself")
    }

    /// Absent: use `qsize()` or `drain()`.
    #[getter]
    fn queue(&self) -> PyResult<()> {
        absent("queue", "use `qsize()` or `drain()`")
    }

    /// Absent: use `get()`.
    #[getter]
    fn not_empty(&self) -> PyResult<()> {
        absent("not_empty", "use `get()`")
    }

    /// Absent: use `put()`.
    #[getter]
    fn not_full(&self) -> PyResult<()> {
        absent("not_full", "use `put()`")
    }

    /// Absent: use `join()`.
    #[getter]
    fn all_tasks_done(&self) -> PyResult<()> {
        absent("all_tasks_done", "use `join()`")
    }

    fn __iter__(slf: Py<Self>) -> QueueIterator {
        QueueIterator { queue: slf }
    }

    fn __contains__(&self, _item: &Bound<'_, PyAny>) -> PyResult<bool> {
        Err(PyTypeError::new_err("argument of type 'Queue' is not a container"))
    }

    fn __sizeof__(slf: &Bound<'_, Self>) -> usize {
        let inner = &**slf.get().inner;
        size_with(slf.as_any(), size_of_val(inner) + inner.engine.bytes())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let engine = &slf.get().inner.engine;
        let name = slf.get_type().name()?;
        let state = if engine.is_closed() { ", shut down" } else { "" };
        Ok(format!("<{name} maxsize={} qsize={}{state}>", engine.bound(), engine.len()))
    }

    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("Queue", "it is shared state; move its items, q.drain()"))
    }

    /// A subclass that overrides a hook of `queue.Queue` would wait in vain for
    /// its being called.
    #[classmethod]
    #[pyo3(signature = (**kwargs))]
    fn __init_subclass__(
        cls: &Bound<'_, PyType>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        if kwargs.is_some_and(|kwargs| !kwargs.is_empty()) {
            return Err(PyTypeError::new_err(
                "Queue.__init_subclass__() takes no keyword arguments",
            ));
        }
        let namespace = cls.getattr("__dict__")?;
        for hook in ["_init", "_put", "_get", "_qsize"] {
            if namespace.contains(hook)? {
                let name = cls.name()?;
                return Err(PyTypeError::new_err(format!(
                    "'{name}' overrides {hook}(), which Queue does not call: it has no lock to call it under"
                )));
            }
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        // SAFETY: the collector runs with all other threads stopped, and no
        // thread can be stopped inside the engine: it calls nothing.
        unsafe { self.inner.engine.traverse(|item| visit.call(item.as_py())) }?;
        let Inner { not_empty, not_full, all_done, .. } = &**self.inner;
        [not_empty, not_full, all_done]
            .into_iter()
            .try_for_each(|event| event.traverse(|sleeper| sleeper.traverse(&visit)))
    }

    fn __clear__(&self) {
        let Inner { engine, not_empty, not_full, all_done } = &**self.inner;
        engine.clear();
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
}

#[pymethods]
impl QueueIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Result<Option<Py<PyAny>>> {
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
            if !this.inner.not_full.is_urgent() {
                return match this.inner.engine.try_put(Owned::new(item)) {
                    Ok(()) => {
                        this.inner.not_empty.notify(1);
                        Ok(())
                    }
                    Err((item, _)) => this.put_patiently(py, item, Patience::Forever),
                };
            }
            this.put_patiently(py, Owned::new(item), Patience::Forever)
        };
    keywords c"get"
        c"get($self, block=True, timeout=None)\n--\n\nRemove and return the first item, waiting for one."
        |this, py, args| {
            if !args.is_empty() {
                return this.get_with(py, args);
            }
            if !this.inner.not_empty.is_urgent()
                && let TryGet::Got(item) = this.inner.engine.try_get()
            {
                this.made_room(1);
                return Ok(item);
            }
            this.get_patiently(py, Patience::Forever)
        };
    one c"_hold" c"_hold($self, event, /)\n--\n\nWhy a coroutine should not begin at once; 0 if it may."
        |this, _, event| {
            let event = event.extract().and_then(|event| this.event(event)).map_err(Error::raised)?;
            Ok(hold(event.is_urgent()) as i64)
        };
    one c"_grab" c"_grab($self, nothing, /)\n--\n\nGet an item, or `nothing`."
        |this, py, nothing| Ok(this.grab(py)?.unwrap_or_else(|| Owned::new(nothing)));
    one c"_press" c"_press($self, item, /)\n--\n\nPut an item; False if there is no room."
        |this, py, item| this.press(py, item);
}
