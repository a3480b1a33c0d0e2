//! Class `Stack`.
//!
//! What may run user code (iterating an argument, allocating on CPython 3.11,
//! dropping an item) happens outside the engine; the engine itself calls nothing
//! but `Py_INCREF`. So the cyclic collector, which runs between such calls or
//! with all threads stopped, finds each item either in the stack or in the hands
//! of a thread.

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyDict, PyList, PyTuple};

use super::snapshot::snapshot;
use crate::engine;
use crate::python::boundary::convert::{Given, count};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Error, Result, not_copyable};
use crate::python::boundary::fastcall::{fast_methods, used};
use crate::python::boundary::lazy::Lazy;
use crate::python::boundary::list::{PIECE, Slots, collect, joined, repr};
use crate::python::boundary::nesting::{drop_contents, repr_of};
use crate::python::boundary::object::{Arg, Made, borrowed, formatted, made, size_with};
use crate::python::boundary::owned::Owned;
use crate::python::boundary::pauses::Pauses;

type Engine = engine::Stack<Owned, (), engine::stack::Word<Owned>>;

/// A last-in, first-out stack that threads can share without a lock.
#[pyclass(frozen, weakref, subclass, generic, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct Stack {
    /// Boxed: its parts want cache lines of their own, and Python's allocator
    /// aligns to 16 bytes.
    engine: Lazy<Engine>,
    deferral: Deferral,
}

impl Stack {
    fn put_all(&self, iterable: &Bound<'_, PyAny>) -> Result<()> {
        let engine = self.engine.made().map_err(Error::from)?;
        if let Ok(tuple) = iterable.cast_exact::<PyTuple>()
            && tuple.len() <= PIECE
        {
            // From where they lie: taking a reference runs no user code.
            let items = tuple.as_slice().iter().map(|item| Owned::new(item.as_borrowed()));
            return engine.push_many(items).map_err(|(_, error)| error.into());
        }
        let items = collect(iterable, Owned::new)?.into_iter();
        engine.push_many(items).map_err(|(items, error)| {
            drop(items);
            error.into()
        })
    }

    /// Pops up to `limit` items into a new list.
    ///
    /// The list is made first: allocating may run user code, or fail, and must
    /// find the items in the stack. If the stack has grown beyond it meanwhile,
    /// a longer one is made.
    fn pop_list<'py>(&self, py: Python<'py>, limit: usize) -> Result<Bound<'py, PyList>> {
        let Some(engine) = self.engine.get() else { return Slots::new(py, 0)?.finish(0) };
        let mut room = limit.min(engine.len());
        loop {
            let list = Slots::new(py, room)?;
            match engine.pop_many(limit, room, list.filler()) {
                Ok(count) => return list.finish(count),
                Err(wanted) => room = wanted.saturating_add(wanted / 8).min(limit),
            }
        }
    }

    /// The items, the uppermost first.
    fn snapshot(&self) -> std::result::Result<Vec<Owned>, engine::OutOfMemory> {
        self.engine.get().map_or_else(|| Ok(Vec::new()), engine::Stack::snapshot)
    }
}

#[pymethods]
impl Stack {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(iterable=())")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { engine: Lazy::default(), deferral: Deferral::default() }
    }

    #[pyo3(signature = (iterable = Given::default()))]
    fn __init__(&self, iterable: Given<'_>) -> Result<()> {
        self.__clear__();
        iterable.0.map_or(Ok(()), |iterable| self.put_all(&iterable))
    }

    /// Push the items of `iterable` in one step, the last one uppermost.
    #[pyo3(signature = (iterable, /))]
    fn push_many(slf: &Bound<'_, Self>, iterable: &Bound<'_, PyAny>) -> Result<()> {
        used(slf).put_all(iterable)
    }

    /// Remove up to `n` items in one step and return them, the uppermost first.
    #[pyo3(signature = (n, /))]
    fn pop_many<'py>(slf: &Bound<'py, Self>, n: &Bound<'py, PyAny>) -> Result<Bound<'py, PyList>> {
        used(slf).pop_list(n.py(), count(n.as_borrowed())?)
    }

    /// Remove all items in one step and return them, the uppermost first.
    fn pop_all<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyList>> {
        used(slf).pop_list(slf.py(), usize::MAX)
    }

    /// Remove all items in one step.
    fn clear(&self, py: Python<'_>) -> Result<()> {
        let mut pauses = Pauses::new(py);
        let drop_one = |item| {
            drop::<Owned>(item);
            pauses.step_on();
        };
        if let Some(engine) = self.engine.get() {
            let taken = engine.pop_many(usize::MAX, usize::MAX, drop_one);
            debug_assert!(taken.is_ok(), "there is room for any number");
        }
        pauses.end()
    }

    fn __len__(slf: &Bound<'_, Self>) -> usize {
        used(slf).engine.get().map_or(0, engine::Stack::len)
    }

    fn __sizeof__(slf: &Bound<'_, Self>) -> Made<usize> {
        let size = |engine: &Engine| size_of_val(engine) + engine.bytes();
        Made(size_with(slf.as_any(), slf.get().engine.get().map_or(0, size)))
    }

    fn __bool__(slf: &Bound<'_, Self>) -> bool {
        used(slf).engine.get().is_some_and(|engine| !engine.is_empty())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let items = self.snapshot().map_err(Error::from)?;
        Ok(snapshot(py, items)?.try_iter()?.into_any())
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyAny>> {
        repr_of(slf.as_any(), || {
            let py = slf.py();
            let items = slf.get().snapshot()?;
            // As of a list, the uppermost last.
            let items = joined(py, items.into_iter().rev(), |item| {
                // SAFETY: alive by this reference.
                let item = unsafe { borrowed(py, item.as_ptr()) };
                repr(&item)
            })?;
            // SAFETY: two strings.
            unsafe { formatted(c"[%U%U]", &items, &made(py, "")?) }
        })
    }

    #[allow(clippy::unused_self)] // a method, to Python
    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("Stack", "it is shared state; copy its items, list(s)"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        let Some(engine) = self.engine.get() else { return Ok(()) };
        // SAFETY: the collector runs with all other threads stopped, and no
        // thread can be stopped inside the engine: it calls nothing.
        unsafe { engine.traverse(|item| visit.call(item.as_py())) }
    }

    fn __clear__(&self) {
        if let Some(engine) = self.engine.get() {
            engine.clear();
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            drop_contents(engine);
        }
    }
}

fast_methods! {
    Stack;
    one c"push" c"push($self, item, /)\n--\n\nPut `item` on top."
        |this, _, item: Arg<'_, '_>| {
            let engine = this.engine.made().map_err(Error::from)?;
            engine.push(Owned::new(item)).map_err(|(item, error)| {
                drop(item);
                error.into()
            })
        };
    keywords c"pop"
        c"pop($self, /, *, default=...)\n--\n\nRemove the top item and return it."
        |this, _, args| match (args.bind(0, ["default"])?, this.engine.get().and_then(engine::Stack::pop)) {
            (_, Some(item)) => Ok(item),
            ([Some(default)], None) => Ok(Owned::new(default)),
            ([None], None) => Err(Error::empty("pop from an empty Stack")),
        };
    keywords c"peek"
        c"peek($self, /, *, default=...)\n--\n\nReturn the top item and leave it there."
        |this, _, args| match (args.bind(0, ["default"])?, this.engine.get().and_then(Engine::peek)) {
            (_, Some(item)) => Ok(item),
            ([Some(default)], None) => Ok(Owned::new(default)),
            ([None], None) => Err(Error::empty("peek at an empty Stack")),
        };
}
