//! Class `AtomicFloat64`.
//!
//! The hot methods are raw slots, the rest plain PyO3 methods. What
//! `help` shows is the stub's text (`boundary/docs.rs`); those here are for who reads Rust.

use pyo3::basic::CompareOp;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyTuple;

use super::ordering::Orders;
use super::watchers::Watched;
use super::{
    Comparable, Face, Waitable, Word, changed, compared, faces, waiting, word, word_methods,
};
use crate::engine::{Event, Float64};
use crate::python::boundary::convert::{Given, float64, format};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Result, not_copyable};
use crate::python::boundary::fastcall::{FastClass, Method, methods, used};
use crate::python::boundary::isolated::Isolated;
use crate::python::boundary::list::repr;
use crate::python::boundary::object::{Arg, Made, made, named, owned};
use crate::python::boundary::spare::Answer;
use crate::python::boundary::unsupported::Unsupported;
use crate::python::boundary::waiting::Sleeper;
use crate::shim::Ordering::{self, SeqCst};

/// A 64-bit floating-point number that threads can share and change without a lock.
#[pyclass(frozen, weakref, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct AtomicFloat64 {
    cell: Isolated<Watched<Float64>>,
    deferral: Deferral,
}

impl Unsupported for AtomicFloat64 {
    const INSTEAD: &'static str = "its value, .load()";
}

word! { waitable Float64 of f64, from float64, differing by |a, b| a.to_bits() != b.to_bits() }

faces! {
    AtomicFloat64, AtomicFloat64View "_AtomicFloat64View", of waitable cell: Float64,
    methods &[word_methods::<Self>(), arithmetic::<Self>(), waiting::<Self>()]
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
    #[pyo3(signature = (value = Given::default()), text_signature = "(value=0.0)")]
    fn new(value: Given<'_>) -> Result<Self> {
        let value = value.0.map_or(Ok(0.0), |value| float64(value.as_borrowed()))?;
        Ok(Self {
            cell: Isolated::new(Watched::new(Float64::new(value))),
            deferral: Deferral::default(),
        })
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
        self.tell()
    }

    fn __isub__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.cell.fetch_add(-float64(n.as_borrowed())?, SeqCst);
        self.tell()
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

    fn __str__<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        repr(&self.object(py)?)
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

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.cell.traverse(&visit)
    }

    fn __clear__(&self) {
        self.cell.clear();
    }
}

/// Does with an operand what returns the old value.
#[inline(always)]
fn with(n: Arg<'_, '_>, change: impl FnOnce(f64) -> f64) -> Result<Answer<f64>> {
    let n = float64(n)?;
    changed(|| change(n))
}

/// The methods that are the number's own.
const fn arithmetic<T: Face<Cell = Float64>>() -> &'static [Method] {
    methods! {
        for T: Face<Cell = Float64>;
        one c"fetch_add" c"fetch_add($self, n, /)\n--\n\nAdd `n` and return the old value."
            |this, _, n| this.told(with(n, |n| this.cell().fetch_add(n, this.orders().both()))?);
        one c"fetch_sub" c"fetch_sub($self, n, /)\n--\n\nSubtract `n` and return the old value."
            |this, _, n| this.told(with(n, |n| this.cell().fetch_add(-n, this.orders().both()))?);
        one c"fetch_max" c"fetch_max($self, n, /)\n--\n\nRaise the value to at least `n`; return the old value."
            |this, _, n| this.told(with(n, |n| this.cell().fetch_max(n, this.orders().both()))?);
        one c"fetch_min" c"fetch_min($self, n, /)\n--\n\nLower the value to at most `n`; return the old value."
            |this, _, n| this.told(with(n, |n| this.cell().fetch_min(n, this.orders().both()))?);
        one c"add" c"add($self, n, /)\n--\n\nAdd `n` and return the new value."
            |this, _, n| {
                this.told(with(n, |n| this.cell().fetch_add(n, this.orders().both()) + n)?)
            };
        one c"sub" c"sub($self, n, /)\n--\n\nSubtract `n` and return the new value."
            |this, _, n| {
                // Of a NaN, `- n` would have another sign than what was stored.
                this.told(with(n, |n| this.cell().fetch_add(-n, this.orders().both()) + -n)?)
            };
    }
}
