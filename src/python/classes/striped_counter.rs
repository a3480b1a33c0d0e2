//! Class `StripedCounter`.
//!
//! What `help` shows is the stub's text (`boundary/docs.rs`); those here are for who reads Rust.
//!
//! Nothing is different with a GIL, where one cell would do: the additions are as
//! quick there, and a second way would have to be tested as this one is.

use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::atomic::compared;
use crate::engine::Striped;
use crate::engine::memory::slots;
use crate::python::boundary::convert::{Given, format, int64, plain_int64};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Result, not_copyable};
use crate::python::boundary::fastcall::{FastClass, Method, methods};
use crate::python::boundary::object::{Made, made, size_with};
use crate::python::boundary::spare;
use crate::python::boundary::unsupported::Unsupported;

/// A counter for many threads that add and few that look.
#[pyclass(frozen, weakref, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct StripedCounter {
    counter: Striped<1>,
    deferral: Deferral,
}

impl Unsupported for StripedCounter {
    const INSTEAD: &'static str = "its sum, .sum()";
}

impl StripedCounter {
    /// Adds `n` if the thread has a cell, which nearly always is so.
    #[inline(always)]
    fn try_add(&self, n: i64) -> Option<()> {
        self.counter.try_add(slots::current(), 0, n).then_some(())
    }
}

#[pymethods]
impl StripedCounter {
    #[new]
    #[pyo3(signature = (value = Given::default()), text_signature = "(value=0)")]
    fn new(value: Given<'_>) -> Result<Self> {
        let value = value.0.map_or(Ok(0), |value| int64(value.as_borrowed()))?;
        Ok(Self { counter: Striped::new([value]), deferral: Deferral::default() })
    }

    fn __int__(&self) -> Made<i128> {
        Made(self.counter.sum(0))
    }

    fn __sizeof__(slf: &Bound<'_, Self>) -> Made<usize> {
        Made(size_with(slf.as_any(), slf.get().counter.bytes()))
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        made(py, format_args!("StripedCounter({})", self.counter.sum(0)))
    }

    fn __str__<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        made(py, format_args!("{}", self.counter.sum(0)))
    }

    fn __format__<'py>(&self, spec: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
        format(&made(spec.py(), self.counter.sum(0))?, spec)
    }

    fn __bool__(&self) -> bool {
        self.counter.sum(0) != 0
    }

    fn __richcmp__<'py>(
        &self,
        other: &Bound<'py, PyAny>,
        op: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        compared(&made(other.py(), self.counter.sum(0))?, other, op)
    }

    #[allow(clippy::unused_self)] // a method, to Python
    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("StripedCounter", "it is shared state; copy its sum, int(c)"))
    }
}

impl FastClass for StripedCounter {
    const METHODS: &'static [&'static [Method]] = &[methods! {
        StripedCounter;

        quick_optional c"add" c"add($self, n=1, /)\n--\n\nAdd `n`."
            |this, n| this.try_add(n.map_or(Some(1), plain_int64)?),
            |this, _, n| {
                this.counter.add(0, n.map_or(Ok(1), int64)?);
                Ok(())
            };
        quick c"increment" c"increment($self, /)\n--\n\nAdd 1."
            |this| this.try_add(1),
            |this, _| {
                this.counter.add(0, 1);
                Ok(())
            };
        quick c"decrement" c"decrement($self, /)\n--\n\nSubtract 1."
            |this| this.try_add(-1),
            |this, _| {
                this.counter.add(0, -1);
                Ok(())
            };
        noargs c"sum" c"sum($self, /)\n--\n\nReturn the sum of all that was added."
            |this, _| Ok(this.counter.sum(0));
        noargs c"reset" c"reset($self, /)\n--\n\nStart again at 0 and return the sum so far."
            |this, py| {
                // Made before: what is not returned would be lost.
                let int = spare::Int::new(py)?;
                let sum = this.counter.reset(0);
                Ok(int.finish(py, sum))
            };
    }];

    #[inline(always)]
    fn deferral(&self) -> &Deferral {
        &self.deferral
    }
}
