//! Iteration over what was in a container.
//!
//! A short snapshot is a list. A long one hands out its items one by one: who makes a list or
//! a dict of them does that in a native loop, which would keep all other threads standing
//! still, as would dropping all the pairs of keys and values at once.

use std::vec::IntoIter;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};

use crate::engine::memory::growth::{put, room};
use crate::python::boundary::error::{Error, Result};
use crate::python::boundary::list::list_of;
use crate::python::boundary::object::tuple;
use crate::python::boundary::owned::Owned;
use crate::python::boundary::pauses::{Pauses, SharedPauses};
use crate::shim::{Mutex, MutexGuard};

/// So many items are handed out at a stretch.
const SHORT: usize = 1 << 14;

/// What is handed out: objects, or pairs of them.
pub(crate) trait Handed: Sized {
    fn object(self) -> Result<Owned>;

    /// Whether it cannot be part of a cycle.
    fn is_leaf(&self) -> bool;

    fn rest(items: IntoIter<Self>) -> Rest;
}

impl Handed for Owned {
    fn object(self) -> Result<Owned> {
        Ok(self)
    }

    fn is_leaf(&self) -> bool {
        // SAFETY: a live object.
        let class = unsafe { ffi::Py_TYPE(self.as_ptr()) };
        // SAFETY: its class.
        unsafe { ffi::PyType_IS_GC(class) == 0 }
    }

    fn rest(items: IntoIter<Self>) -> Rest {
        Rest::Objects(items)
    }
}

impl Handed for (Owned, Owned) {
    fn object(self) -> Result<Owned> {
        let is_leaf = self.is_leaf();
        let pair = tuple([self.0, self.1])?;
        if is_leaf {
            // As CPython's own from 3.14 on, and before as soon as the collector has seen one.
            untrack(pair.as_py());
        }
        Ok(pair)
    }

    fn is_leaf(&self) -> bool {
        self.0.is_leaf() && self.1.is_leaf()
    }

    fn rest(items: IntoIter<Self>) -> Rest {
        Rest::Pairs(items)
    }
}

/// Spares the collector a new object of which nothing leads on.
fn untrack(object: &Py<PyAny>) {
    // SAFETY: a live object of a class that is collected, which nobody else has seen.
    unsafe { ffi::PyObject_GC_UnTrack(object.as_ptr().cast()) };
}

/// What was not handed out yet.
#[derive(Debug)]
pub(crate) enum Rest {
    Objects(IntoIter<Owned>),
    Pairs(IntoIter<(Owned, Owned)>),
}

impl Rest {
    fn len(&self) -> usize {
        match self {
            Self::Objects(items) => items.len(),
            Self::Pairs(items) => items.len(),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        match self {
            Self::Objects(items) => {
                items.as_slice().iter().try_for_each(|item| visit.call(item.as_py()))
            }
            Self::Pairs(items) => items.as_slice().iter().try_for_each(|(key, value)| {
                visit.call(key.as_py())?;
                visit.call(value.as_py())
            }),
        }
    }
}

/// An iterable of the items, which has a length hint.
pub(crate) fn snapshot<T: Handed>(py: Python<'_>, items: Vec<T>) -> Result<Bound<'_, PyAny>> {
    if items.len() > SHORT {
        // The collector, which is called as tuples are made of them, would go through all at a
        // stretch.
        let are_leaves = are_leaves(py, &items)?;
        let rest = Mutex::new(T::rest(items.into_iter()));
        let snapshot = Snapshot { rest, pauses: SharedPauses::default() };
        let snapshot = Bound::new(py, snapshot).map_err(Error::raised)?.into_any();
        if are_leaves {
            untrack(snapshot.as_unbound());
        }
        return Ok(snapshot);
    }
    let mut objects = room(items.len())?;
    for item in items {
        put(&mut objects, item.object()?); // room: above
    }
    list_of(py, objects).map(Bound::into_any)
}

fn are_leaves<T: Handed>(py: Python<'_>, items: &[T]) -> Result<bool> {
    let mut pauses = Pauses::new(py);
    for item in items {
        if !item.is_leaf() {
            return Ok(false);
        }
        pauses.step()?;
    }
    Ok(true)
}

/// Hands out a long snapshot.
#[pyclass(frozen, module = "lockfree._native", name = "_Snapshot")]
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Locked by attached threads, for a few instructions that call nothing.
    rest: Mutex<Rest>,
    pauses: SharedPauses,
}

impl Snapshot {
    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock()
    }
}

#[pymethods]
impl Snapshot {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Result<Option<Py<PyAny>>> {
        self.pauses.step(py)?;
        let mut rest = self.rest();
        let next = match &mut *rest {
            Rest::Objects(items) => items.next().map(|item| (item, None)),
            Rest::Pairs(items) => items.next().map(|(key, value)| (key, Some(value))),
        };
        drop(rest);
        Ok(match next {
            None => None,
            Some((item, None)) => Some(item.into_py()),
            Some((key, Some(value))) => Some((key, value).object()?.into_py()),
        })
    }

    fn __length_hint__(&self) -> usize {
        self.rest().len()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        let Some(rest) = self.rest.try_lock() else { return Ok(()) };
        rest.visit(&visit)
    }

    fn __clear__(&self) {
        let rest = std::mem::replace(&mut *self.rest(), Rest::Objects(Vec::new().into_iter()));
        drop(rest);
    }
}
