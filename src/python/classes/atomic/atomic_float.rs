//! Class `AtomicFloat64`.
//!
//! The hot methods are raw slots, the rest plain PyO3 methods. The stub
//! `_native.pyi` holds the full documentation; the texts here are its first
//! paragraphs, which a test compares.

use pyo3::basic::CompareOp;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyTuple;

use super::ordering::Orders;
use super::{Face, Word, changed, compared, faces, word, word_methods};
use crate::engine::Float64;
use crate::python::boundary::convert::{Given, float64, format};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Result, not_copyable};
use crate::python::boundary::fastcall::{FastClass, Method, methods, used};
use crate::python::boundary::isolated::Isolated;
use crate::python::boundary::list::repr;
use crate::python::boundary::object::{Arg, Made, made, named, owned};
use crate::shim::Ordering::{self, SeqCst};

/// A 64-bit floating-point number that threads can share and change without a lock.
#[pyclass(frozen, weakref, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct AtomicFloat64 {
    cell: Isolated<Float64>,
    deferral: Deferral,
}

word! { Float64 of f64, from float64 }

faces! {
    AtomicFloat64, AtomicFloat64View "_AtomicFloat64View", of cell: Float64,
    methods &[word_methods::<Self>(), additions::<Self>()]
}

impl AtomicFloat64 {
    /// The value as Python has it.
    fn object<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        made(py, self.cell.load(SeqCst))
    }
}

#[pymethods]
impl AtomicFloat64 {
    #[new]
    #[pyo3(signature = (value = Given::default(), /), text_signature = "(value=0.0, /)")]
    fn new(value: Given<'_>) -> Result<Self> {
        let value = value.0.map_or(Ok(0.0), |value| float64(value.as_borrowed()))?;
        Ok(Self { cell: Isolated::new(Float64::new(value)), deferral: Deferral::default() })
    }

    /// The value, as `load()` reads it. Read-only: write with `store()`.
    #[getter]
    fn value(slf: &Bound<'_, Self>) -> Made<f64> {
        Made(used(slf).cell.load(SeqCst))
    }

    /// Return a view whose methods work at another memory ordering.
    #[pyo3(signature = (ordering, /, failure=None))]
    fn at(
        slf: Py<Self>,
        ordering: &Bound<'_, PyAny>,
        failure: Option<&Bound<'_, PyAny>>,
    ) -> Result<AtomicFloat64View> {
        AtomicFloat64View::new(slf, ordering, failure)
    }

    fn __iadd__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.cell.fetch_add(float64(n.as_borrowed())?, SeqCst);
        Ok(())
    }

    fn __isub__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.cell.fetch_add(-float64(n.as_borrowed())?, SeqCst);
        Ok(())
    }

    fn __float__(&self) -> Made<f64> {
        Made(self.cell.load(SeqCst))
    }

    /// As the float does: NaN and infinities are no integers.
    fn __int__<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        let value = self.object(py)?;
        // SAFETY: a live float, and the token proves the thread attached.
        let int = unsafe { ffi::PyNumber_Long(value.as_ptr()) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { owned(py, int) }
    }

    fn __bool__(&self) -> bool {
        self.cell.load(SeqCst) != 0.0
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyAny>> {
        named(slf.as_any(), &repr(&slf.get().object(slf.py())?)?)
    }

    fn __format__<'py>(&self, spec: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
        format(&self.object(spec.py())?, spec)
    }

    fn __richcmp__<'py>(
        &self,
        other: &Bound<'py, PyAny>,
        op: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        compared(&self.object(other.py())?, other, op)
    }

    #[allow(clippy::unused_self)] // a method, to Python
    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("AtomicFloat64", "it is shared state; copy its value, float(a)"))
    }

    /// It refers to nothing; but only what the garbage collector knows of can stop
    /// being reference counted.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)] // the collector's protocol
    fn __traverse__(&self, _visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        Ok(())
    }
}

/// The methods that are the number's own.
const fn additions<T: Face<Cell = Float64>>() -> &'static [Method] {
    methods! {
        for T: Face<Cell = Float64>;
        one c"fetch_add" c"fetch_add($self, n, /)\n--\n\nAdd `n` and return the old value."
            |this, _, n| {
                let n = float64(n)?;
                changed(|| this.cell().fetch_add(n, this.orders().both()))
            };
        one c"add" c"add($self, n, /)\n--\n\nAdd `n` and return the new value."
            |this, _, n| {
                let n = float64(n)?;
                changed(|| this.cell().fetch_add(n, this.orders().both()) + n)
            };
    }
}
