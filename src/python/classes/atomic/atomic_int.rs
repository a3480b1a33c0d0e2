//! Class `AtomicInt64`.
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
use crate::engine::{Event, Int64, Overflow};
use crate::python::boundary::convert::{Given, format, int64};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Error, Result, not_copyable};
use crate::python::boundary::fastcall::{
    FastClass, Method, enter_inplace, install_inplace, methods, used,
};
use crate::python::boundary::isolated::Isolated;
use crate::python::boundary::object::{Arg, Made, made};
use crate::python::boundary::spare::{self, Answer};
use crate::python::boundary::unsupported::Unsupported;
use crate::python::boundary::waiting::Sleeper;
use crate::shim::Ordering::{self, SeqCst};

/// A 64-bit signed integer that threads can share and change without a lock.
#[pyclass(frozen, weakref, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct AtomicInt64 {
    cell: Isolated<Watched<Int64>>,
    deferral: Deferral,
}

impl Unsupported for AtomicInt64 {
    const INSTEAD: &'static str = "its value, .load()";
}

word! { waitable Int64 of i64, from int64, differing by |a, b| a != b }

faces! {
    AtomicInt64, AtomicInt64View "_AtomicInt64View", of waitable cell: Int64,
    methods &[word_methods::<Self>(), arithmetic::<Self>(), waiting::<Self>()]
}

/// Adds `n` and returns the old value.
#[inline]
fn plus(int: &Int64, n: i64, order: Ordering) -> Result<i64> {
    spare::ready()?;
    int.fetch_add(n, order).map_err(|Overflow { value }| Error::result_too_wide(value, '+', n))
}

/// Subtracts `n` and returns the old value.
#[inline]
fn minus(int: &Int64, n: i64, order: Ordering) -> Result<i64> {
    spare::ready()?;
    int.fetch_sub(n, order).map_err(|Overflow { value }| Error::result_too_wide(value, '-', n))
}

/// Does with an operand what cannot overflow.
#[inline(always)]
fn bits(n: Arg<'_, '_>, change: impl FnOnce(i64) -> i64) -> Result<Answer<i64>> {
    let n = int64(n)?;
    changed(|| change(n))
}

/// Makes `+=` and `-=` raw slots. Call it once, at import.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    install_inplace::<AtomicInt64>(py, inplace_add, inplace_subtract)
}

unsafe extern "C" fn inplace_add(
    slf: *mut ffi::PyObject,
    n: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let body = |this: &AtomicInt64, n: Arg<'_, '_>| {
        this.told(plus(&this.cell, int64(n)?, SeqCst)?).map(drop)
    };
    // SAFETY: a slot of the class, whose caller keeps both alive.
    unsafe { enter_inplace(slf, n, body) }
}

unsafe extern "C" fn inplace_subtract(
    slf: *mut ffi::PyObject,
    n: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let body = |this: &AtomicInt64, n: Arg<'_, '_>| {
        this.told(minus(&this.cell, int64(n)?, SeqCst)?).map(drop)
    };
    // SAFETY: as above.
    unsafe { enter_inplace(slf, n, body) }
}

#[pymethods]
impl AtomicInt64 {
    #[new]
    #[pyo3(signature = (value = Given::default()), text_signature = "(value=0)")]
    fn new(value: Given<'_>) -> Result<Self> {
        let value = value.0.map_or(Ok(0), |value| int64(value.as_borrowed()))?;
        Ok(Self {
            cell: Isolated::new(Watched::new(Int64::new(value))),
            deferral: Deferral::default(),
        })
    }

    /// The value, as `load()` reads it. Read-only: write with `store()`.
    #[getter]
    fn value(slf: &Bound<'_, Self>) -> Made<i64> {
        Made(used(slf).cell.load(SeqCst))
    }

    /// Return a view whose methods work at another memory ordering.
    #[pyo3(signature = (ordering, /, failure=None))]
    fn at(
        slf: Py<Self>,
        ordering: &Bound<'_, PyAny>,
        failure: Option<&Bound<'_, PyAny>>,
    ) -> Result<AtomicInt64View> {
        AtomicInt64View::new(slf, ordering, failure)
    }

    fn __iadd__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        plus(&self.cell, int64(n.as_borrowed())?, SeqCst)?;
        self.tell()
    }

    fn __isub__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        minus(&self.cell, int64(n.as_borrowed())?, SeqCst)?;
        self.tell()
    }

    fn __iand__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.cell.fetch_and(int64(n.as_borrowed())?, SeqCst);
        self.tell()
    }

    fn __ior__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.cell.fetch_or(int64(n.as_borrowed())?, SeqCst);
        self.tell()
    }

    fn __ixor__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.cell.fetch_xor(int64(n.as_borrowed())?, SeqCst);
        self.tell()
    }

    fn __int__(&self) -> Made<i64> {
        Made(self.cell.load(SeqCst))
    }

    fn __index__(&self) -> Made<i64> {
        Made(self.cell.load(SeqCst))
    }

    fn __bool__(&self) -> bool {
        self.cell.load(SeqCst) != 0
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        made(py, format_args!("AtomicInt64({})", self.cell.load(SeqCst)))
    }

    fn __str__<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        made(py, format_args!("{}", self.cell.load(SeqCst)))
    }

    fn __format__<'py>(&self, spec: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
        format(&made(spec.py(), self.cell.load(SeqCst))?, spec)
    }

    fn __richcmp__<'py>(
        &self,
        other: &Bound<'py, PyAny>,
        op: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        compared(&made(other.py(), self.cell.load(SeqCst))?, other, op)
    }

    #[allow(clippy::unused_self)] // a method, to Python
    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("AtomicInt64", "it is shared state; copy its value, int(a)"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.cell.traverse(&visit)
    }

    fn __clear__(&self) {
        self.cell.clear();
    }
}

/// Adds `n` in a single attempt and returns the new value.
#[inline(always)]
fn try_plus<T: Face<Cell = Int64>>(this: &T, n: i64) -> Option<Answer<i64>> {
    if !spare::is_full() {
        return None;
    }
    this.cell().try_fetch_add(n, this.orders().both()).map(|old| Answer(old + n))
}

/// The methods that are the integer's own.
const fn arithmetic<T: Face<Cell = Int64>>() -> &'static [Method] {
    methods! {
        for T: Face<Cell = Int64>;
        one c"fetch_add" c"fetch_add($self, n, /)\n--\n\nAdd `n` and return the old value."
            |this, _, n| this.told(Answer(plus(this.cell(), int64(n)?, this.orders().both())?));
        one c"fetch_sub" c"fetch_sub($self, n, /)\n--\n\nSubtract `n` and return the old value."
            |this, _, n| this.told(Answer(minus(this.cell(), int64(n)?, this.orders().both())?));
        one c"fetch_and" c"fetch_and($self, n, /)\n--\n\nKeep the bits also set in `n`; return the old value."
            |this, _, n| this.told(bits(n, |n| this.cell().fetch_and(n, this.orders().both()))?);
        one c"fetch_or" c"fetch_or($self, n, /)\n--\n\nSet the bits of `n`; return the old value."
            |this, _, n| this.told(bits(n, |n| this.cell().fetch_or(n, this.orders().both()))?);
        one c"fetch_xor" c"fetch_xor($self, n, /)\n--\n\nFlip the bits of `n`; return the old value."
            |this, _, n| this.told(bits(n, |n| this.cell().fetch_xor(n, this.orders().both()))?);
        one c"fetch_max" c"fetch_max($self, n, /)\n--\n\nRaise the value to at least `n`; return the old value."
            |this, _, n| this.told(bits(n, |n| this.cell().fetch_max(n, this.orders().both()))?);
        one c"fetch_min" c"fetch_min($self, n, /)\n--\n\nLower the value to at most `n`; return the old value."
            |this, _, n| this.told(bits(n, |n| this.cell().fetch_min(n, this.orders().both()))?);
        one c"add" c"add($self, n, /)\n--\n\nAdd `n` and return the new value."
            |this, _, n| {
                let n = int64(n)?;
                this.told(Answer(plus(this.cell(), n, this.orders().both())? + n))
            };
        one c"sub" c"sub($self, n, /)\n--\n\nSubtract `n` and return the new value."
            |this, _, n| {
                let n = int64(n)?;
                this.told(Answer(minus(this.cell(), n, this.orders().both())? - n))
            };
        quick c"increment" c"increment($self, /)\n--\n\nAdd 1 and return the new value."
            |this| try_plus(this, 1).map(|answer| this.told_quickly(answer)),
            |this, _| this.told(Answer(plus(this.cell(), 1, this.orders().both())? + 1));
        quick c"decrement" c"decrement($self, /)\n--\n\nSubtract 1 and return the new value."
            |this| try_plus(this, -1).map(|answer| this.told_quickly(answer)),
            |this, _| this.told(Answer(minus(this.cell(), 1, this.orders().both())? - 1));
    }
}
