//! The way into an event loop from outside: from another thread, or from a signal handler
//! that interrupts the loop as it falls asleep.
//!
//! # Idea
//! `loop.call_soon_threadsafe` is byte code, between whose instructions signal handlers run
//! and raise; a waiter would be off its list, and its loop never told. So a loop has a
//! *door*: a list of those who are to be woken, and a descriptor that the loop watches. To
//! put a waiter on the list and to write to the descriptor runs no byte code and cannot
//! fail half-way.
//!
//! A loop may have no way to watch a descriptor, or only seem to, as loops made for tests
//! do. So until the descriptor was seen to work the loop is called, too.
//!
//! # Invariants
//! - **D1** A waiter is in the list at most once ([`TaskWaiter::queued`]), and the list has
//!   room for every waiter that there is: putting one there allocates nothing.
//! - **D2** While the list is not empty and the door is open, the descriptor is readable, or
//!   a call into the loop is on its way, or the next one who puts somebody there makes one.
//! - **D3** The callback that watches the descriptor, a [`Reader`], is held by the loop alone.
//!   The loop drops it when it is closed, or dies: that closes the door, and the news for
//!   those who are in the list goes to others.
//! - **D4** The lock is held by attached threads, for a few instructions and a system call
//!   that does not wait: so no one holds it when the interpreter forks or collects.

use std::collections::VecDeque;

use pyo3::exceptions::{PyAttributeError, PyNotImplementedError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyString;

use super::descriptor::Descriptor;
use super::error::{Error, Result};
use super::fork;
use super::names;
use super::object::made;
use super::owned::Owned;
use super::shared::Shared;
use super::task::TaskWaiter;
use super::user;
use crate::engine::OutOfMemory;
use crate::shim::{AtomicBool, Mutex, MutexGuard, Ordering::Relaxed};

/// How often a call of Python's is made that the exceptions of signal handlers end.
pub(super) const ATTEMPTS: usize = 8;

/// The door of one event loop.
#[derive(Debug)]
pub(super) struct Door {
    /// The process in which it was made: in a forked child it is closed.
    generation: u32,
    inside: Mutex<Inside>,
}

#[allow(clippy::struct_excessive_bools)] // four facts, of which any may be so
#[derive(Debug, Default)]
struct Inside {
    closed: bool,
    descriptor: Option<Descriptor>,
    /// Whether the loop was seen to watch the descriptor.
    works: bool,
    /// Whether the descriptor is readable.
    rung: bool,
    /// Whether a call into the loop is on its way.
    called: bool,
    /// How many waiters there are (D1).
    waiters: usize,
    woken: VecDeque<Owned>,
}

/// What there is to do for one who was put on the list.
enum Then {
    Nothing,
    Call,
    /// It was not put there: the loop is gone.
    Closed,
}

impl Door {
    /// The door of a loop, which keeps it.
    ///
    /// # Errors
    /// What a signal handler raised.
    pub(super) fn of(event_loop: &Bound<'_, PyAny>) -> PyResult<Shared<Self>> {
        let name = names::DOOR.get(event_loop.py());
        if let Some(kept) = user::attribute(event_loop, name)?
            && let Ok(kept) = kept.cast::<DoorOfLoop>()
            && kept.get().0.is_open()
        {
            return Ok(kept.get().0.clone());
        }
        Self::install(event_loop, name)
    }

    #[cold]
    fn install(
        event_loop: &Bound<'_, PyAny>,
        name: &Bound<'_, PyString>,
    ) -> PyResult<Shared<Self>> {
        let py = event_loop.py();
        let (generation, inside) = (fork::generation(), Mutex::default());
        let door = Shared::new(Self { generation, inside }).map_err(Error::from)?;
        let kept = Bound::new(py, DoorOfLoop(door.clone()))?;
        match user::set_attribute(event_loop, name, kept.as_any()) {
            Ok(()) => Self::watch(&door, event_loop)?,
            // Then each wait makes one, which had better have no descriptor.
            Err(error) if error.is_instance_of::<PyAttributeError>(py) => {}
            Err(error) => return Err(error),
        }
        Ok(door)
    }

    /// Has the loop watch a descriptor, if it can.
    fn watch(door: &Shared<Self>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        let Some(descriptor) = Descriptor::new() else { return Ok(()) };
        let number = descriptor.number();
        door.lock().descriptor = Some(descriptor);
        let reader = Reader { door: door.clone(), watches: AtomicBool::new(true) };
        let reader = Bound::new(py, reader)?;
        let number = made(py, i64::from(number))?;
        let watched =
            user::method(event_loop, names::ADD_READER.get(py), [&number, reader.as_any()]);
        match watched {
            // That the loop reads this will show that it works.
            Ok(_) if is_shared(&reader) => door.lock().ring(),
            // It only seems to.
            Ok(_) => door.watch_none(reader.get()),
            Err(error)
                if error.is_instance_of::<PyNotImplementedError>(py)
                    || error.is_instance_of::<PyAttributeError>(py) =>
            {
                door.watch_none(reader.get());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn watch_none(&self, reader: &Reader) {
        reader.watches.store(false, Relaxed);
        let descriptor = self.lock().descriptor.take();
        drop(descriptor);
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock()
    }

    fn is_open(&self) -> bool {
        self.generation == fork::generation() && !self.lock().closed
    }

    /// Makes room for one more waiter (D1).
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn admit(&self) -> Result<()> {
        let mut inside = self.lock();
        let missing = (inside.waiters + 1).saturating_sub(inside.woken.len());
        let made = inside.woken.try_reserve(missing);
        inside.waiters += usize::from(made.is_ok());
        drop(inside);
        Ok(made.map_err(|_| OutOfMemory)?)
    }

    /// One whom it was made for is no more.
    pub(super) fn dismiss(&self) {
        self.lock().waiters -= 1;
    }

    /// Has a waiter woken on its loop's own thread. Says whether it surely gets up.
    ///
    /// # Errors
    /// What signal handlers raised meanwhile; it is in the list nevertheless.
    pub(super) fn wake(door: &Shared<Self>, waiter: &Bound<'_, TaskWaiter>) -> Result<bool> {
        let py = waiter.py();
        match door.put(waiter) {
            Then::Closed => return Ok(false),
            Then::Nothing => {}
            Then::Call => Self::call(door, waiter)?,
        }
        // One that was stopped may never run again.
        let (attribute, method) = (names::THREAD_ID.get(py), names::IS_RUNNING.get(py));
        is_so(waiter.get().event_loop(py), attribute, method)
    }

    /// Has a waiter woken, after the direct way failed.
    pub(super) fn put_again(door: &Shared<Self>, waiter: &Bound<'_, TaskWaiter>) {
        if let Then::Call = door.put(waiter)
            && let Err(error) = Self::call(door, waiter)
        {
            error.raise_later();
        }
    }

    /// Puts a waiter on the list, and makes the descriptor readable.
    fn put(&self, waiter: &Bound<'_, TaskWaiter>) -> Then {
        let mut inside = self.lock();
        if inside.closed || self.generation != fork::generation() {
            return Then::Closed;
        }
        if !waiter.get().queued.swap(true, Relaxed) {
            #[allow(clippy::disallowed_methods)] // room: D1
            inside.woken.push_back(Owned::new(waiter.as_any().as_borrowed()));
        }
        inside.ring();
        if inside.works || inside.called {
            return Then::Nothing;
        }
        inside.called = true;
        Then::Call
    }

    /// Calls into the loop.
    fn call(door: &Shared<Self>, waiter: &Bound<'_, TaskWaiter>) -> Result<()> {
        let py = waiter.py();
        let event_loop = waiter.get().event_loop(py);
        let call = Bound::new(py, Call::new(door, event_loop)).map_err(|error| {
            door.lock().called = false;
            Error::raised(error).taken_off()
        })?;
        let (made, fault) = insist(|| {
            let name = names::CALL_SOON_THREADSAFE.get(py);
            let made = user::method(event_loop, name, [call.as_any()]);
            if made.is_err() && is_closed(event_loop) {
                // No error of whoever notifies: the news is for others.
                door.close(py);
                return Ok(());
            }
            made.map(drop)
        });
        if !made {
            // So that the next one who puts somebody on the list makes one.
            door.lock().called = false;
        }
        fault.map_or(Ok(()), Err)
    }

    /// Has all who are in the list woken; called on the loop's thread.
    ///
    /// # Errors
    /// What signal handlers raised meanwhile.
    fn answer(&self, py: Python<'_>) -> PyResult<()> {
        let mut fault = None;
        while let Some(first) = self.first() {
            let waiter = TaskWaiter::bound(&first, py);
            let (resumed, error) = waiter.get().resume(waiter);
            fault = Error::join(fault, error);
            if !resumed {
                self.lock().ring();
                break;
            }
            self.remove(&first);
        }
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }

    fn first(&self) -> Option<Owned> {
        self.lock().woken.front().cloned()
    }

    /// Takes the first waiter off the list, if it is still this one.
    fn remove(&self, first: &Owned) {
        let mut inside = self.lock();
        let same = inside.woken.front().is_some_and(|it| it.as_ptr() == first.as_ptr());
        let removed = if same { inside.woken.pop_front() } else { None };
        if let Some(removed) = &removed {
            TaskWaiter::of(removed).queued.store(false, Relaxed);
        }
        drop(inside);
        drop(removed);
    }

    /// Closes the door (D3).
    fn close(&self, py: Python<'_>) {
        let mut inside = self.lock();
        inside.closed = true;
        let descriptor = inside.descriptor.take();
        let woken = std::mem::take(&mut inside.woken);
        drop(inside);
        drop(descriptor);
        // Whoever waited in the parent of a forked child is forgotten.
        if self.generation == fork::generation() {
            for waiter in &woken {
                TaskWaiter::of(waiter).pass_on(py);
            }
        }
    }
}

impl Inside {
    /// Makes the descriptor readable, if there is one.
    fn ring(&mut self) {
        if let Some(descriptor) = self.descriptor.as_ref().filter(|_| !self.rung) {
            descriptor.write();
            self.rung = true;
        }
    }
}

/// Whether others have references to an object.
fn is_shared<T>(object: &Bound<'_, T>) -> bool {
    // SAFETY: a live object.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) > 1 }
}

/// Makes a call of byte code, again if a signal handler raises. Says whether it returned at
/// last, and what was raised.
pub(super) fn insist(mut call: impl FnMut() -> PyResult<()>) -> (bool, Option<Error>) {
    let mut fault = None;
    for _ in 0..ATTEMPTS {
        match call() {
            Ok(()) => return (true, fault),
            Err(error) => fault = Error::join(fault, Some(Error::raised(error).taken_off())),
        }
    }
    (false, fault)
}

/// What a method of a loop says. For asyncio's own an attribute says the same, and reading
/// it runs no byte code.
fn is_so(
    event_loop: &Bound<'_, PyAny>,
    attribute: &Bound<'_, PyString>,
    method: &Bound<'_, PyString>,
) -> Result<bool> {
    let said = user::attribute(event_loop, attribute).and_then(|value| match value {
        Some(value) => user::is_true(&value),
        None => user::is_true(&user::method(event_loop, method, [])?),
    });
    said.map_err(|error| Error::raised(error).taken_off())
}

/// Whether a loop is closed, or cannot say.
fn is_closed(event_loop: &Bound<'_, PyAny>) -> bool {
    let py = event_loop.py();
    is_so(event_loop, names::CLOSED.get(py), names::IS_CLOSED.get(py)).unwrap_or(true)
}

/// A loop's hold of its door: the next wait finds it there, and the collector those who are
/// in the list.
#[pyclass(frozen, module = "lockfree._native", name = "_Door")]
#[derive(Debug)]
pub(crate) struct DoorOfLoop(Shared<Door>);

#[pymethods]
impl DoorOfLoop {
    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        // D4: the lock is free.
        let Some(inside) = self.0.inside.try_lock() else { return Ok(()) };
        inside.woken.iter().try_for_each(|waiter| visit.call(waiter.as_py()))
    }
}

/// What a loop calls when the descriptor is readable.
#[pyclass(frozen, module = "lockfree._native", name = "_Reader")]
#[derive(Debug)]
pub(crate) struct Reader {
    door: Shared<Door>,
    /// Whether its end is that of the loop.
    watches: AtomicBool,
}

#[pymethods]
impl Reader {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let mut inside = self.door.lock();
        inside.works = true;
        // Before the list is looked at: who comes after that makes it readable again.
        if let Some(descriptor) = &inside.descriptor {
            descriptor.read();
        }
        inside.rung = false;
        drop(inside);
        self.door.answer(py)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.watches.load(Relaxed) {
            finalizing(|py| self.door.close(py));
        }
    }
}

/// What a loop calls that was asked to. If it is closed before, it drops it.
#[pyclass(frozen, module = "lockfree._native", name = "_Call")]
#[derive(Debug)]
pub(crate) struct Call {
    door: Shared<Door>,
    event_loop: Owned,
    came: AtomicBool,
}

impl Call {
    fn new(door: &Shared<Door>, event_loop: &Bound<'_, PyAny>) -> Self {
        Self {
            door: door.clone(),
            event_loop: Owned::new(event_loop.as_borrowed()),
            came: AtomicBool::new(false),
        }
    }
}

#[pymethods]
impl Call {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        self.came.store(true, Relaxed);
        // Before the list is looked at: who comes after that makes another call.
        self.door.lock().called = false;
        self.door.answer(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(self.event_loop.as_py())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.came.load(Relaxed) {
            finalizing(|py| {
                // A loop that lives drops none, but for those that could not be made.
                if is_closed(&self.event_loop.borrow(py)) {
                    self.door.close(py);
                }
            });
        }
    }
}

/// Does what belongs to the end of an object, during which an exception may be set.
fn finalizing(f: impl FnOnce(Python<'_>)) {
    // SAFETY: objects are freed by attached threads.
    let py = unsafe { Python::assume_attached() };
    let raised = PyErr::take(py);
    f(py);
    if let Some(raised) = raised {
        raised.restore(py);
    }
}
