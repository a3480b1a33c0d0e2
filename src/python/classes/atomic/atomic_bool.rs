//! Class `AtomicBool`.
//!
//! The hot methods are raw slots, the rest plain PyO3 methods. What
//! `help` shows is the stub's text (`boundary/docs.rs`); those here are for who reads Rust.

use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyBool, PyTuple};

use super::ordering::Orders;
use super::watchers::Watched;
use super::{Comparable, Face, Waitable, Word, compared, faces, waiting, word, word_methods};
use crate::engine::{Event, Flag};
use crate::python::boundary::convert::{Given, boolean, format};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Result, not_copyable};
use crate::python::boundary::fastcall::{FastClass, Method, methods, used};
use crate::python::boundary::isolated::Isolated;
use crate::python::boundary::object::{Arg, Made};
use crate::python::boundary::unsupported::Unsupported;
use crate::python::boundary::waiting::Sleeper;
use crate::shim::Ordering::{self, SeqCst};

/// A boolean that threads can share and change without a lock.
#[pyclass(frozen, weakref, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct AtomicBool {
    cell: Isolated<Watched<Flag>>,
    deferral: Deferral,
}

impl Unsupported for AtomicBool {
    const INSTEAD: &'static str = "its value, .load()";
}

word! { waitable Flag of bool, from boolean, differing by |a, b| a != b }

faces! {
    AtomicBool, AtomicBoolView "_AtomicBoolView", of waitable cell: Flag,
    methods &[word_methods::<Self>(), flag_methods::<Self>(), waiting::<Self>()]
}

impl AtomicBool {
    /// The value as Python has it.
    fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        PyBool::new(py, self.cell.load(SeqCst)).to_owned().into_any()
    }
}

#[pymethods]
impl AtomicBool {
    #[new]
    #[pyo3(signature = (value = Given::default()), text_signature = "(value=False)")]
    fn new(value: Given<'_>) -> Result<Self> {
        let value = value.0.map_or(Ok(false), |value| boolean(value.as_borrowed()))?;
        Ok(Self {
            cell: Isolated::new(Watched::new(Flag::new(value))),
            deferral: Deferral::default(),
        })
    }

    /// The value, as `load()` reads it. Read-only: write with `store()`.
    #[getter]
    fn value(slf: &Bound<'_, Self>) -> bool {
        used(slf).cell.load(SeqCst)
    }

    /// Return a view whose methods work at another memory ordering.
    #[pyo3(signature = (ordering, /, failure=None))]
    fn at(
        slf: Py<Self>,
        ordering: &Bound<'_, PyAny>,
        failure: Option<&Bound<'_, PyAny>>,
    ) -> Result<AtomicBoolView> {
        AtomicBoolView::new(slf, ordering, failure)
    }

    fn __bool__(&self) -> bool {
        self.cell.load(SeqCst)
    }

    fn __int__(&self) -> Made<i64> {
        Made(self.cell.load(SeqCst).into())
    }

    fn __index__(&self) -> Made<i64> {
        Made(self.cell.load(SeqCst).into())
    }

    fn __repr__(&self) -> Made<&'static str> {
        Made(if self.cell.load(SeqCst) { "AtomicBool(True)" } else { "AtomicBool(False)" })
    }

    fn __str__(&self) -> Made<&'static str> {
        Made(if self.cell.load(SeqCst) { "True" } else { "False" })
    }

    fn __format__<'py>(&self, spec: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
        format(&self.object(spec.py()), spec)
    }

    fn __richcmp__<'py>(
        &self,
        other: &Bound<'py, PyAny>,
        op: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        compared(&self.object(other.py()), other, op)
    }

    #[allow(clippy::unused_self)] // a method, to Python
    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("AtomicBool", "it is shared state; copy its value, bool(a)"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.cell.traverse(&visit)
    }

    fn __clear__(&self) {
        self.cell.clear();
    }
}

/// The methods that are the boolean's own.
const fn flag_methods<T: Face<Cell = Flag>>() -> &'static [Method] {
    methods! {
        for T: Face<Cell = Flag>;
        quick c"test_and_set" c"test_and_set($self, /)\n--\n\nMake it true and return the old value."
            |this| Some(this.told_quickly(this.cell().test_and_set(this.orders().both()))),
            |this, _| this.told(this.cell().test_and_set(this.orders().both()));
        quick c"toggle" c"toggle($self, /)\n--\n\nMake it the opposite and return the new value."
            |this| Some(this.told_quickly(!this.cell().fetch_not(this.orders().both()))),
            |this, _| this.told(!this.cell().fetch_not(this.orders().both()));
    }
}
