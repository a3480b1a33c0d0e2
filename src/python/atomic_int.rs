//! Class `AtomicInt64`.
//!
//! The hot methods are raw slots, the rest plain PyO3 methods. The stub
//! `_native.pyi` holds the full documentation; the texts here are its first
//! paragraphs, which a test compares.

use std::ffi::c_int;

use pyo3::basic::CompareOp;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::convert::{Given, int_object, int64};
use super::deferral::Deferral;
use super::error::{Error, Result, not_copyable};
use super::fastcall::fast_methods;
use super::isolated::Isolated;
use super::user;
use crate::engine::{Int64, Overflow};

/// A 64-bit signed integer that threads can share and change without a lock.
#[pyclass(frozen, weakref, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct AtomicInt64 {
    cell: Isolated<Int64>,
    deferral: Deferral,
}

impl AtomicInt64 {
    /// Adds `n` and returns the old value.
    #[inline]
    fn plus(&self, n: i64) -> Result<i64> {
        self.cell.fetch_add(n).map_err(|Overflow { value }| Error::result_too_wide(value, '+', n))
    }

    /// Subtracts `n` and returns the old value.
    #[inline]
    fn minus(&self, n: i64) -> Result<i64> {
        self.cell.fetch_sub(n).map_err(|Overflow { value }| Error::result_too_wide(value, '-', n))
    }

    /// Replaces the value by `change(value)`; returns the old and the new one.
    fn replace_by(&self, change: &Bound<'_, PyAny>) -> PyResult<(i64, i64)> {
        let py = change.py();
        let mut value = self.cell.load();
        loop {
            let argument = int_object(py, value);
            // SAFETY: the token proves the thread attached; both are alive.
            let result = unsafe { user::call1(change.as_ptr(), argument.as_ptr()) };
            // SAFETY: a new reference, or null with an exception set.
            let result = unsafe { Bound::from_owned_ptr_or_err(py, result) }?;
            let next = int64(result.as_borrowed());
            // SAFETY: the token proves the thread attached; the reference is ours.
            unsafe { user::decref(result.into_ptr()) };
            let next = next?;
            match self.cell.compare_exchange(value, next) {
                Ok(_) => return Ok((value, next)),
                Err(found) => value = found,
            }
        }
    }
}

#[pymethods]
impl AtomicInt64 {
    #[new]
    #[pyo3(signature = (value = Given::default(), /), text_signature = "(value=0, /)")]
    fn new(value: Given<'_>) -> Result<Self> {
        let value = value.0.map_or(Ok(0), |value| int64(value.as_borrowed()))?;
        Ok(Self { cell: Isolated::new(Int64::new(value)), deferral: Deferral::default() })
    }

    /// The value, as `load()` reads it. Read-only: write with `store()`.
    #[getter]
    fn value(&self) -> i64 {
        self.cell.load()
    }

    /// Replace the value by `fn(value)` and return the old one.
    #[pyo3(signature = (r#fn, /), text_signature = "($self, fn, /)")]
    fn fetch_update(&self, r#fn: &Bound<'_, PyAny>) -> PyResult<i64> {
        self.replace_by(r#fn).map(|(old, _)| old)
    }

    /// Replace the value by `fn(value)` and return the new one.
    #[pyo3(signature = (r#fn, /), text_signature = "($self, fn, /)")]
    fn update(&self, r#fn: &Bound<'_, PyAny>) -> PyResult<i64> {
        self.replace_by(r#fn).map(|(_, new)| new)
    }

    fn __iadd__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.plus(int64(n.as_borrowed())?).map(drop)
    }

    fn __isub__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.minus(int64(n.as_borrowed())?).map(drop)
    }

    fn __iand__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.cell.fetch_and(int64(n.as_borrowed())?);
        Ok(())
    }

    fn __ior__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.cell.fetch_or(int64(n.as_borrowed())?);
        Ok(())
    }

    fn __ixor__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.cell.fetch_xor(int64(n.as_borrowed())?);
        Ok(())
    }

    fn __int__(&self) -> i64 {
        self.cell.load()
    }

    fn __index__(&self) -> i64 {
        self.cell.load()
    }

    fn __bool__(&self) -> bool {
        self.cell.load() != 0
    }

    fn __repr__(&self) -> String {
        format!("AtomicInt64({})", self.cell.load())
    }

    fn __format__<'py>(&self, spec: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        int_object(spec.py(), self.cell.load()).call_method1("__format__", (spec,))
    }

    /// By value, with numbers: the integer's own comparison decides.
    fn __richcmp__<'py>(
        &self,
        other: &Bound<'py, PyAny>,
        op: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = other.py();
        // SAFETY: a live object; the check calls nothing.
        if unsafe { ffi::PyNumber_Check(other.as_ptr()) } == 0 {
            return Ok(py.NotImplemented().into_bound(py));
        }
        let value = int_object(py, self.cell.load());
        // SAFETY: both are alive, and the token proves the thread attached.
        let result = unsafe { user::rich_compare(value.as_ptr(), other.as_ptr(), op as c_int) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(py, result) }
    }

    #[allow(clippy::unused_self)] // a method, to Python
    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("AtomicInt64", "it is shared state; copy its value, int(a)"))
    }
}

fast_methods! {
    AtomicInt64, watched by deferral;

    quick c"load" c"load($self, /)\n--\n\nReturn the value."
        |this| Some(this.cell.load()),
        |this, _| Ok(this.cell.load());
    one c"store" c"store($self, value, /)\n--\n\nReplace the value."
        |this, _, value| {
            this.cell.store(int64(value)?);
            Ok(())
        };
    one c"exchange" c"exchange($self, value, /)\n--\n\nReplace the value and return the old one."
        |this, _, value| Ok(this.cell.exchange(int64(value)?));
    two c"compare_exchange"
        c"compare_exchange($self, expected, desired, /)\n--\n\n\
        Replace `expected` by `desired`; return whether that happened."
        |this, _, [expected, desired]| {
            let (expected, desired) = (int64(expected)?, int64(desired)?);
            Ok(this.cell.compare_exchange(expected, desired).is_ok())
        };
    one c"fetch_add" c"fetch_add($self, n, /)\n--\n\nAdd `n` and return the old value."
        |this, _, n| this.plus(int64(n)?);
    one c"fetch_sub" c"fetch_sub($self, n, /)\n--\n\nSubtract `n` and return the old value."
        |this, _, n| this.minus(int64(n)?);
    one c"fetch_and" c"fetch_and($self, n, /)\n--\n\nKeep the bits also set in `n`; return the old value."
        |this, _, n| Ok(this.cell.fetch_and(int64(n)?));
    one c"fetch_or" c"fetch_or($self, n, /)\n--\n\nSet the bits of `n`; return the old value."
        |this, _, n| Ok(this.cell.fetch_or(int64(n)?));
    one c"fetch_xor" c"fetch_xor($self, n, /)\n--\n\nFlip the bits of `n`; return the old value."
        |this, _, n| Ok(this.cell.fetch_xor(int64(n)?));
    one c"fetch_max" c"fetch_max($self, n, /)\n--\n\nRaise the value to at least `n`; return the old value."
        |this, _, n| Ok(this.cell.fetch_max(int64(n)?));
    one c"fetch_min" c"fetch_min($self, n, /)\n--\n\nLower the value to at most `n`; return the old value."
        |this, _, n| Ok(this.cell.fetch_min(int64(n)?));
    one c"add" c"add($self, n, /)\n--\n\nAdd `n` and return the new value."
        |this, _, n| int64(n).and_then(|n| Ok(this.plus(n)? + n));
    one c"sub" c"sub($self, n, /)\n--\n\nSubtract `n` and return the new value."
        |this, _, n| int64(n).and_then(|n| Ok(this.minus(n)? - n));
    quick c"increment" c"increment($self, /)\n--\n\nAdd 1 and return the new value."
        |this| this.cell.try_fetch_add(1).map(|old| old + 1),
        |this, _| Ok(this.plus(1)? + 1);
    quick c"decrement" c"decrement($self, /)\n--\n\nSubtract 1 and return the new value."
        |this| this.cell.try_fetch_add(-1).map(|old| old - 1),
        |this, _| Ok(this.minus(1)? - 1);
}
