//! Class `AtomicInt64`.
//!
//! The hot methods are raw slots, the rest plain PyO3 methods. The stub
//! `_native.pyi` holds the full documentation; the texts here are its first
//! paragraphs, which a test compares.

use std::ffi::c_int;

use pyo3::basic::CompareOp;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyTuple;

use super::atomic::{Comparable, Face, Waitable, view, waiting};
use super::convert::{Arg, Given, borrowed, int_object, int64};
use super::deferral::Deferral;
use super::error::{Error, Result, not_copyable};
use super::fastcall::{FastClass, Method, methods};
use super::isolated::Isolated;
use super::ordering::Orders;
use super::owned::Owned;
use super::user;
use super::watchers::Watchers;
use crate::engine::{Int64, Overflow};
use crate::shim::Ordering::{self, SeqCst};

/// A 64-bit signed integer that threads can share and change without a lock.
#[pyclass(frozen, weakref, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct AtomicInt64 {
    cell: Isolated<Int64>,
    watchers: Watchers,
    deferral: Deferral,
}

view! {
    AtomicInt64View, "_AtomicInt64View", of waitable AtomicInt64,
    methods &[int_methods::<Self>(), waiting::<Self>()]
}

/// Adds `n` and returns the old value.
#[inline]
fn plus(int: &Int64, n: i64, order: Ordering) -> Result<i64> {
    int.fetch_add(n, order).map_err(|Overflow { value }| Error::result_too_wide(value, '+', n))
}

/// Subtracts `n` and returns the old value.
#[inline]
fn minus(int: &Int64, n: i64, order: Ordering) -> Result<i64> {
    int.fetch_sub(n, order).map_err(|Overflow { value }| Error::result_too_wide(value, '-', n))
}

/// Replaces the value by `change(value)`; returns the old and the new one.
fn replace_by(int: &Int64, change: Arg<'_, '_>, orders: Orders) -> Result<(i64, i64)> {
    let mut value = int.load(orders.failing());
    loop {
        let next = called_with(change, value)?;
        match int.compare_exchange(value, next, orders.both(), orders.failing()) {
            Ok(_) => return Ok((value, next)),
            Err(found) => value = found,
        }
    }
}

/// What `change(value)` returns. Runs user code.
fn called_with(change: Arg<'_, '_>, value: i64) -> Result<i64> {
    let argument = int_object(change.py(), value);
    // SAFETY: the token proves the thread attached; both are alive.
    let result = unsafe { user::call1(change.as_ptr(), argument.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    let result = unsafe { Bound::from_owned_ptr_or_opt(change.py(), result) };
    let result = Owned::from(result.ok_or_else(Error::pending)?);
    // SAFETY: alive by this reference.
    int64(unsafe { borrowed(change.py(), result.as_ptr()) })
}

#[pymethods]
impl AtomicInt64 {
    #[new]
    #[pyo3(signature = (value = Given::default(), /), text_signature = "(value=0, /)")]
    fn new(value: Given<'_>) -> Result<Self> {
        let value = value.0.map_or(Ok(0), |value| int64(value.as_borrowed()))?;
        Ok(Self {
            cell: Isolated::new(Int64::new(value)),
            watchers: Watchers::default(),
            deferral: Deferral::default(),
        })
    }

    /// The value, as `load()` reads it. Read-only: write with `store()`.
    #[getter]
    fn value(&self) -> i64 {
        self.cell.load(SeqCst)
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
        plus(&self.cell, int64(n.as_borrowed())?, SeqCst).map(drop)
    }

    fn __isub__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        minus(&self.cell, int64(n.as_borrowed())?, SeqCst).map(drop)
    }

    fn __iand__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.cell.fetch_and(int64(n.as_borrowed())?, SeqCst);
        Ok(())
    }

    fn __ior__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.cell.fetch_or(int64(n.as_borrowed())?, SeqCst);
        Ok(())
    }

    fn __ixor__(&self, n: &Bound<'_, PyAny>) -> Result<()> {
        self.cell.fetch_xor(int64(n.as_borrowed())?, SeqCst);
        Ok(())
    }

    fn __int__(&self) -> i64 {
        self.cell.load(SeqCst)
    }

    fn __index__(&self) -> i64 {
        self.cell.load(SeqCst)
    }

    fn __bool__(&self) -> bool {
        self.cell.load(SeqCst) != 0
    }

    fn __repr__(&self) -> String {
        format!("AtomicInt64({})", self.cell.load(SeqCst))
    }

    fn __format__<'py>(&self, spec: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        int_object(spec.py(), self.cell.load(SeqCst)).call_method1("__format__", (spec,))
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
        let value = int_object(py, self.cell.load(SeqCst));
        // SAFETY: both are alive, and the token proves the thread attached.
        let result = unsafe { user::rich_compare(value.as_ptr(), other.as_ptr(), op as c_int) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(py, result) }
    }

    #[allow(clippy::unused_self)] // a method, to Python
    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("AtomicInt64", "it is shared state; copy its value, int(a)"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.watchers.traverse(&visit)
    }

    fn __clear__(&self) {
        self.watchers.clear();
    }
}

impl FastClass for AtomicInt64 {
    const METHODS: &'static [&'static [Method]] = &[int_methods::<Self>(), waiting::<Self>()];

    #[inline(always)]
    fn deferral(&self) -> Option<&Deferral> {
        Some(&self.deferral)
    }
}

impl Face for AtomicInt64 {
    type Cell = Int64;

    #[inline(always)]
    fn cell(&self) -> &Int64 {
        &self.cell
    }

    #[inline(always)]
    fn orders(&self) -> Orders {
        Orders::SEQ_CST
    }
}

impl Waitable for AtomicInt64 {
    fn watchers(&self) -> &Watchers {
        &self.watchers
    }
}

impl Comparable for Int64 {
    type Old = i64;

    fn old(value: Arg<'_, '_>) -> Result<i64> {
        int64(value)
    }

    fn differs(&self, old: &i64, order: Ordering) -> bool {
        self.load(order) != *old
    }
}

/// The methods of the atomic and of its views.
const fn int_methods<T: Face<Cell = Int64>>() -> &'static [Method] {
    methods! {
        for T: Face<Cell = Int64>;
        quick c"load" c"load($self, /)\n--\n\nReturn the value."
            |this| this.orders().loading().ok().map(|order| this.cell().load(order)),
            |this, _| Ok(this.cell().load(this.orders().loading()?));
        one c"store" c"store($self, value, /)\n--\n\nReplace the value."
            |this, _, value| {
                this.cell().store(int64(value)?, this.orders().storing()?);
                Ok(())
            };
        one c"exchange" c"exchange($self, value, /)\n--\n\nReplace the value and return the old one."
            |this, _, value| Ok(this.cell().exchange(int64(value)?, this.orders().both()));
        two c"compare_exchange"
            c"compare_exchange($self, expected, desired, /)\n--\n\n\
            Replace `expected` by `desired`; return whether that happened."
            |this, _, [expected, desired]| {
                let (expected, desired) = (int64(expected)?, int64(desired)?);
                let (order, failure) = (this.orders().both(), this.orders().failing());
                Ok(this.cell().compare_exchange(expected, desired, order, failure).is_ok())
            };
        one c"fetch_add" c"fetch_add($self, n, /)\n--\n\nAdd `n` and return the old value."
            |this, _, n| plus(this.cell(), int64(n)?, this.orders().both());
        one c"fetch_sub" c"fetch_sub($self, n, /)\n--\n\nSubtract `n` and return the old value."
            |this, _, n| minus(this.cell(), int64(n)?, this.orders().both());
        one c"fetch_and" c"fetch_and($self, n, /)\n--\n\nKeep the bits also set in `n`; return the old value."
            |this, _, n| Ok(this.cell().fetch_and(int64(n)?, this.orders().both()));
        one c"fetch_or" c"fetch_or($self, n, /)\n--\n\nSet the bits of `n`; return the old value."
            |this, _, n| Ok(this.cell().fetch_or(int64(n)?, this.orders().both()));
        one c"fetch_xor" c"fetch_xor($self, n, /)\n--\n\nFlip the bits of `n`; return the old value."
            |this, _, n| Ok(this.cell().fetch_xor(int64(n)?, this.orders().both()));
        one c"fetch_max" c"fetch_max($self, n, /)\n--\n\nRaise the value to at least `n`; return the old value."
            |this, _, n| Ok(this.cell().fetch_max(int64(n)?, this.orders().both()));
        one c"fetch_min" c"fetch_min($self, n, /)\n--\n\nLower the value to at most `n`; return the old value."
            |this, _, n| Ok(this.cell().fetch_min(int64(n)?, this.orders().both()));
        one c"add" c"add($self, n, /)\n--\n\nAdd `n` and return the new value."
            |this, _, n| {
                let n = int64(n)?;
                Ok(plus(this.cell(), n, this.orders().both())? + n)
            };
        one c"sub" c"sub($self, n, /)\n--\n\nSubtract `n` and return the new value."
            |this, _, n| {
                let n = int64(n)?;
                Ok(minus(this.cell(), n, this.orders().both())? - n)
            };
        quick c"increment" c"increment($self, /)\n--\n\nAdd 1 and return the new value."
            |this| this.cell().try_fetch_add(1, this.orders().both()).map(|old| old + 1),
            |this, _| Ok(plus(this.cell(), 1, this.orders().both())? + 1);
        quick c"decrement" c"decrement($self, /)\n--\n\nSubtract 1 and return the new value."
            |this| this.cell().try_fetch_add(-1, this.orders().both()).map(|old| old - 1),
            |this, _| Ok(minus(this.cell(), 1, this.orders().both())? - 1);
        one c"fetch_update"
            c"fetch_update($self, fn, /)\n--\n\nReplace the value by `fn(value)` and return the old one."
            |this, _, change| Ok(replace_by(this.cell(), change, this.orders())?.0);
        one c"update"
            c"update($self, fn, /)\n--\n\nReplace the value by `fn(value)` and return the new one."
            |this, _, change| Ok(replace_by(this.cell(), change, this.orders())?.1);
    }
}
