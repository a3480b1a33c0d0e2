//! Class `_OnceFunction`: what the decorator `once` returns.
//!
//! A call loads the reference in which the value lies. While there is none, an object of a
//! certain class lies there, and `lockfree._once` does the rest.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyDict, PyTuple};

use super::atomic::atomic_ref::AtomicRef;
use super::wrapper::{self, Call, Wrapper, wrapper_methods};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Error, Result};
use crate::python::boundary::owned::Owned;
use crate::python::boundary::user;
use crate::shim::Ordering::Acquire;

/// A function with a value; `miss` is called while there is none.
#[pyclass(frozen, weakref, dict, module = "lockfree._native", name = "_OnceFunction")]
#[derive(Debug)]
#[repr(C)]
pub(crate) struct OnceFunction {
    /// Where the type says that it is.
    vectorcall: ffi::vectorcallfunc,
    deferral: Deferral,
    cell: Py<AtomicRef>,
    /// The class of what lies there instead of a value.
    unset: Py<PyAny>,
    miss: Py<PyAny>,
}

/// Makes the type one whose instances are called by [`wrapper::vectorcall`]. Call it once, at
/// import, before there is an instance.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let cell = py.get_type::<AtomicRef>().call0()?.cast_into::<AtomicRef>()?.unbind();
    let probe = Bound::new(py, OnceFunction::new(cell, py.None(), py.None()))?;
    wrapper::prepare(&probe, &probe.get().vectorcall, 0)
}

impl Wrapper for OnceFunction {
    #[inline]
    fn deferral(&self) -> &Deferral {
        &self.deferral
    }

    #[inline]
    fn call(&self, call: &Call<'_, '_>) -> Result<Owned> {
        if !call.is_bare() {
            return Err(Error::wrong_type(format_args!("a function of once() takes no arguments")));
        }
        let value = self.cell.get().object(Acquire);
        // SAFETY: alive by this reference.
        let class = unsafe { ffi::Py_TYPE(value.as_ptr()) };
        if class.cast() == self.unset.as_ptr() { self.miss() } else { Ok(value) }
    }
}

impl OnceFunction {
    #[cold]
    fn miss(&self) -> Result<Owned> {
        // SAFETY: a live object, and the thread is attached, as in every call.
        let value = unsafe { user::call(self.miss.as_ptr(), &[]) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Owned::from_new(value) }.ok_or_else(Error::pending)
    }
}

wrapper_methods! {
    OnceFunction;

    #[new]
    #[pyo3(signature = (cell, unset, miss, /))]
    fn new(cell: Py<AtomicRef>, unset: Py<PyAny>, miss: Py<PyAny>) -> Self {
        let vectorcall = wrapper::vectorcall::<Self>;
        Self { vectorcall, deferral: Deferral::default(), cell, unset, miss }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.cell)?;
        visit.call(&self.unset)?;
        visit.call(&self.miss)
    }
}
