//! A coroutine that waits: what its task awaits.
//!
//! # Idea
//! asyncio's own `Future` is done before it calls `loop.call_soon` for its task. That is byte
//! code: a signal handler may raise in it, and the task is never woken, for a future that is
//! done cannot be made so again. So tasks await a [`TaskWaiter`], which has what a task asks
//! of a future, and keeps the task's own callback. What is scheduled is the waiter itself: it
//! calls the callback once, however often it is called; so an attempt to schedule it that an
//! exception ended may be repeated.
//!
//! It serves one wait, in which its task may fall asleep several times.

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use super::door::{Door, insist};
use super::error::{Error, Result};
use super::names;
use super::object::{made, tuple};
use super::owned::Owned;
use super::shared::Shared;
use super::user;
use crate::engine::Notice;
use crate::shim::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering::Relaxed};

/// A coroutine that waits for an event of its owner.
#[pyclass(frozen, weakref, module = "lockfree._native", name = "_Waiter")]
#[derive(Debug)]
pub(crate) struct TaskWaiter {
    notice: Notice,
    owner: Owned,
    event: usize,
    event_loop: Owned,
    door: Shared<Door>,
    /// The thread in which its loop was seen to run.
    thread: AtomicU64,
    /// Whether it is in the door's list; under the door's lock.
    pub(super) queued: AtomicBool,
    /// asyncio's sign of a future that is awaited.
    blocking: AtomicBool,
    /// Whether the task was given it, to sleep on.
    given: AtomicBool,
    /// Locked by attached threads, for a few instructions that call nothing.
    sleep: Mutex<Sleep>,
}

#[derive(Debug, Default)]
struct Sleep {
    /// What wakes the task, and in which context.
    callback: Option<(Owned, Option<Owned>)>,
    /// With what message it was cancelled.
    #[allow(clippy::option_option)] // cancelled or not; and a message or none
    cancelled: Option<Option<Owned>>,
}

/// What is needed of asyncio.
#[derive(Debug)]
struct Asyncio {
    running_loop: Py<PyAny>,
    /// Tells the task that runs in a loop, or `None`.
    task_in: Py<PyAny>,
    cancelled: Py<PyAny>,
}

impl Asyncio {
    fn get(py: Python<'_>) -> PyResult<&Self> {
        static ASYNCIO: PyOnceLock<Asyncio> = PyOnceLock::new();
        ASYNCIO.get_or_try_init(py, || {
            let asyncio = py.import(names::ASYNCIO.get(py))?;
            // Written in C, on each version.
            let task_in = if cfg!(Py_3_12) {
                asyncio.getattr(names::CURRENT_TASK.get(py))?
            } else {
                py.import(names::ASYNCIO_TASKS.get(py))?
                    .getattr(names::CURRENT_TASKS.get(py))?
                    .getattr(names::GET.get(py))?
            };
            Ok(Self {
                running_loop: asyncio.getattr(names::GET_RUNNING_LOOP.get(py))?.unbind(),
                task_in: task_in.unbind(),
                cancelled: asyncio.getattr(names::CANCELLED_ERROR.get(py))?.unbind(),
            })
        })
    }
}

impl TaskWaiter {
    pub(super) fn notice(&self) -> &Notice {
        &self.notice
    }

    /// What a waiter's object holds.
    pub(super) fn of(waiter: &Owned) -> &Self {
        // SAFETY: who has one as `Owned` made it from one.
        let waiter: &Py<Self> = unsafe { &*std::ptr::from_ref(waiter.as_py()).cast() };
        waiter.get()
    }

    /// A waiter's object.
    pub(super) fn bound<'a, 'py>(waiter: &'a Owned, py: Python<'py>) -> &'a Bound<'py, Self> {
        // SAFETY: as above.
        let waiter: &Py<Self> = unsafe { &*std::ptr::from_ref(waiter.as_py()).cast() };
        waiter.bind(py)
    }

    pub(super) fn event_loop<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.event_loop.as_py().bind(py)
    }

    /// Wakes the task, from any thread. Says whether it surely gets up.
    ///
    /// # Errors
    /// What signal handlers raised meanwhile; it is woken nevertheless.
    pub(super) fn wake(slf: &Bound<'_, Self>) -> Result<bool> {
        let this = slf.get();
        let here = this.runs_here(slf.py());
        if let Ok(true) = here {
            let (resumed, fault) = this.resume(slf);
            if resumed {
                return fault.map_or(Ok(true), Err);
            }
            return match Door::wake(&this.door, slf) {
                Ok(gets_up) => fault.map_or(Ok(gets_up), Err),
                Err(second) => Err(Error::join(fault, Some(second)).expect("there are two")),
            };
        }
        let woken = Door::wake(&this.door, slf);
        match (here, woken) {
            (Err(first), Err(second)) => {
                Err(Error::join(Some(first), Some(second)).expect("there are two"))
            }
            (Err(error), _) => Err(error),
            (_, woken) => woken,
        }
    }

    /// The same, where it does no harm to be told that it is not so.
    pub(super) fn is_of_this_loop(&self, py: Python<'_>) -> bool {
        self.runs_here(py).unwrap_or(false)
    }

    /// Whether a task of its loop runs on this thread. Else this is outside, as is a signal
    /// handler or finalizer that interrupts the loop itself as it falls asleep.
    fn runs_here(&self, py: Python<'_>) -> Result<bool> {
        if self.thread.load(Relaxed) != user::this_thread() {
            return Ok(false);
        }
        let event_loop = self.event_loop(py);
        let asked = Asyncio::get(py).and_then(|asyncio| {
            Ok(user::function(asyncio.running_loop.bind(py), [])?.is(event_loop)
                && !user::function(asyncio.task_in.bind(py), [event_loop])?.is_none())
        });
        asked.map_err(|error| Error::raised(error).taken_off())
    }

    /// Schedules the task's callback, on its loop's own thread. Says whether that was done at
    /// last, and what signal handlers raised meanwhile.
    #[allow(clippy::similar_names)] // PyO3's name for the object of `self`
    pub(super) fn resume(&self, slf: &Bound<'_, Self>) -> (bool, Option<Error>) {
        let py = slf.py();
        let context = match &self.sleep().callback {
            // It is awake, and looks before it falls asleep.
            None => return (true, None),
            Some((_, context)) => context.clone(),
        };
        insist(|| call_soon(self.event_loop(py), slf, context.as_ref()))
    }

    /// Gives the news that it was to be woken for to the next one.
    pub(super) fn pass_on(&self, py: Python<'_>) {
        let owner = self.owner.as_py().bind(py);
        let event = made(py, self.event);
        let told = event.and_then(|event| {
            user::method(owner, names::NOTIFY.get(py), [&event]).map_err(Error::raised)
        });
        if let Err(error) = told {
            error.raise_later();
        }
    }

    fn sleep(&self) -> MutexGuard<'_, Sleep> {
        self.sleep.lock()
    }

    fn is_done(&self, sleep: &Sleep) -> bool {
        self.notice.is_given() || sleep.cancelled.is_some()
    }
}

/// `event_loop.call_soon(callback, context=context)`
fn call_soon(
    event_loop: &Bound<'_, PyAny>,
    callback: &Bound<'_, TaskWaiter>,
    context: Option<&Owned>,
) -> PyResult<()> {
    static NAMES: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
    let py = event_loop.py();
    let names = NAMES.get_or_try_init(py, || {
        let name = names::CONTEXT.get(py);
        let names = tuple([Owned::new(name.as_any().as_borrowed())])?;
        // SAFETY: made as a tuple.
        PyResult::Ok(
            unsafe { names.into_py().into_bound(py).cast_into_unchecked::<PyTuple>() }.unbind(),
        )
    })?;
    let (name, event_loop) = (names::CALL_SOON.get(py).as_ptr(), event_loop.as_ptr());
    let none = std::ptr::null_mut();
    let result = match context {
        // SAFETY: the token proves the thread attached; all are alive.
        Some(context) => unsafe {
            let args = [event_loop, callback.as_ptr(), context.as_ptr()];
            user::call_method(name, &args, names.as_ptr())
        },
        // SAFETY: as above.
        None => unsafe { user::call_method(name, &[event_loop, callback.as_ptr()], none) },
    };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, result) }.map(drop)
}

#[pymethods]
impl TaskWaiter {
    #[new]
    #[pyo3(signature = (owner, event, event_loop, /))]
    fn new(
        owner: &Bound<'_, PyAny>,
        event: usize,
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let door = Door::of(event_loop)?;
        door.admit()?;
        Ok(Self {
            notice: Notice::default(),
            owner: Owned::new(owner.as_borrowed()),
            event,
            event_loop: Owned::new(event_loop.as_borrowed()),
            door,
            thread: AtomicU64::new(user::this_thread()),
            queued: AtomicBool::new(false),
            blocking: AtomicBool::new(false),
            given: AtomicBool::new(false),
            sleep: Mutex::default(),
        })
    }

    /// The loop in which it is awaited.
    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop(py).clone().unbind()
    }

    #[getter(_asyncio_future_blocking)]
    fn is_blocking(&self) -> bool {
        self.blocking.load(Relaxed)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, blocking: bool) {
        self.blocking.store(blocking, Relaxed);
    }

    fn __await__(slf: Py<Self>) -> Py<Self> {
        let this = slf.get();
        this.given.store(false, Relaxed);
        this.thread.store(user::this_thread(), Relaxed);
        slf
    }

    /// Gives itself to the task, unless it is woken already.
    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<Self>>> {
        let this = slf.get();
        if this.done() {
            this.result(slf.py())?;
            return Ok(None);
        }
        if this.given.swap(true, Relaxed) {
            return Err(Error::misused("await wasn't used with future").into());
        }
        this.blocking.store(true, Relaxed);
        Ok(Some(slf.clone().unbind()))
    }

    /// What the task asks for when it falls asleep.
    #[pyo3(signature = (callback, /, *, context = None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
    ) {
        let this = slf.get();
        let context = context.map(|context| Owned::new(context.as_borrowed()));
        let callback = Owned::new(callback.as_borrowed());
        let mut sleep = this.sleep();
        let before = sleep.callback.replace((callback, context));
        let done = this.is_done(&sleep);
        drop(sleep);
        drop(before);
        if done {
            // Woken in this moment, by another thread, which may have found no callback.
            Door::put_again(&this.door, slf);
        }
    }

    /// Wakes the task with a `CancelledError`, unless it is woken already.
    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<&Bound<'_, PyAny>>) -> Result<bool> {
        let this = slf.get();
        let msg = msg.map(|msg| Owned::new(msg.as_borrowed()));
        let mut sleep = this.sleep();
        if this.is_done(&sleep) {
            drop(sleep);
            return Ok(false);
        }
        sleep.cancelled = Some(msg);
        drop(sleep);
        let (resumed, fault) = this.resume(slf);
        if !resumed {
            Door::put_again(&this.door, slf);
        }
        fault.map_or(Ok(true), Err)
    }

    /// Wakes the task, whoever else waits.
    fn rouse(slf: &Bound<'_, Self>) -> Result<()> {
        slf.get().notice.give();
        Self::wake(slf).map(drop)
    }

    fn done(&self) -> bool {
        self.is_done(&self.sleep())
    }

    fn cancelled(&self) -> bool {
        self.sleep().cancelled.is_some()
    }

    fn result(&self, py: Python<'_>) -> PyResult<()> {
        let Some(msg) = self.sleep().cancelled.clone() else { return Ok(()) };
        let class = Asyncio::get(py)?.cancelled.bind(py);
        let error = match &msg {
            Some(msg) => user::function(class, [msg.as_py().bind(py)]),
            None => user::function(class, []),
        };
        Err(PyErr::from_value(error?))
    }

    /// Wakes the task, if it sleeps and is to be woken.
    fn __call__(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        let mut sleep = this.sleep();
        let callback = if this.is_done(&sleep) { sleep.callback.take() } else { None };
        drop(sleep);
        let Some((callback, _)) = callback else { return Ok(()) };
        // SAFETY: the thread is attached, says `slf`; both are alive.
        let result = unsafe { user::call1(callback.as_ptr(), slf.as_ptr()) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(slf.py(), result) }.map(drop)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(self.owner.as_py())?;
        visit.call(self.event_loop.as_py())?;
        let Some(sleep) = self.sleep.try_lock() else { return Ok(()) };
        if let Some((callback, context)) = &sleep.callback {
            visit.call(callback.as_py())?;
            context.as_ref().map_or(Ok(()), |context| visit.call(context.as_py()))?;
        }
        match &sleep.cancelled {
            Some(Some(msg)) => visit.call(msg.as_py()),
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        let sleep = std::mem::take(&mut *self.sleep());
        drop(sleep);
    }
}

impl Drop for TaskWaiter {
    fn drop(&mut self) {
        self.door.dismiss();
    }
}
