//! Those who wait for an atomic to change.
//!
//! A write wakes them. Where nobody waits that costs it one load, of a word that lies
//! beside the value and that only those write who wait; their list is made by the first.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::ffi;
use pyo3::pyclass::{PyTraverseError, PyVisit};

use crate::engine::Event;
use crate::python::boundary::error::{self, raise_panic};
use crate::python::boundary::object::IntoObject;
use crate::python::boundary::waiting::{Sleeper, in_hand};
use crate::shim;

/// A cell, and those who wait for it to change.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Watched<C> {
    cell: C,
    event: Event<Sleeper>,
}

impl<C> Watched<C> {
    pub(crate) fn new(cell: C) -> Self {
        Self { cell, event: Event::default() }
    }

    /// Their list.
    pub(crate) fn event(&self) -> &Event<Sleeper> {
        &self.event
    }

    /// For the garbage collector.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event.traverse(|sleeper| sleeper.traverse(visit))
    }

    /// Forgets all who wait.
    pub(crate) fn clear(&self) {
        self.event.clear();
    }
}

impl<C> Deref for Watched<C> {
    type Target = C;

    #[inline(always)]
    fn deref(&self) -> &C {
        &self.cell
    }
}

/// Wakes up to `count` of those who wait, whatever was written, and how.
pub(crate) fn notify(event: &Event<Sleeper>, count: usize) -> error::Result<()> {
    // The write may have been a plain store: the event's invariant E2.
    shim::full_fence();
    event.notify(count)
}

/// The result of a write of which those who wait were told.
#[derive(Debug)]
pub(crate) enum Told<R> {
    Result(R),
    /// Telling them panicked; an exception is set.
    Raised,
}

impl<R> Told<R> {
    /// Tells those who wait, where nothing catches a panic.
    #[inline(always)]
    pub(crate) fn after(result: R, event: Option<&Event<Sleeper>>) -> Self {
        match event {
            Some(event) if event.is_awaited() => Self::slowly(result, event),
            _ => Self::Result(result),
        }
    }

    #[cold]
    #[inline(never)]
    fn slowly(result: R, event: &Event<Sleeper>) -> Self {
        match catch_unwind(AssertUnwindSafe(|| in_hand(event.changed()))) {
            Ok(()) => Self::Result(result),
            Err(payload) => {
                raise_panic(&*payload);
                Self::Raised
            }
        }
    }
}

impl<R: IntoObject> IntoObject for Told<R> {
    #[inline(always)]
    fn into_object(self, py: pyo3::Python<'_>) -> *mut ffi::PyObject {
        match self {
            Self::Result(result) => result.into_object(py),
            Self::Raised => std::ptr::null_mut(),
        }
    }
}
