//! Class `_OnceFunction`: what the decorator `once` returns.
//!
//! A call loads the reference in which the value lies. While there is none, an object of a
//! certain class lies there, and `lockfree._once` does the rest.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyDict, PyTuple};

use super::atomic::atomic_ref::AtomicRef;
use super::cached::add_flag;
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Error, Result, raise_panic};
use crate::python::boundary::object::{IntoObject, borrowed};
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

/// Makes the type one whose instances are called by [`vectorcall`]. Call it once, at
/// import, before there is an instance.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let cell = py.get_type::<AtomicRef>().call0()?.cast_into::<AtomicRef>()?.unbind();
    let probe = Bound::new(py, OnceFunction::new(cell, py.None(), py.None()))?;
    let field = std::ptr::from_ref(&probe.get().vectorcall).addr();
    let offset = (field - probe.as_ptr().addr()).cast_signed();
    let class = py.get_type::<OnceFunction>().as_type_ptr();
    // SAFETY: the type is alive, and nobody else has seen it yet.
    let class = unsafe { &mut *class };
    class.tp_vectorcall_offset = offset;
    class.tp_call = Some(ffi::PyVectorcall_Call);
    add_flag(class, ffi::Py_TPFLAGS_HAVE_VECTORCALL);
    Ok(())
}

/// The function of the vectorcall protocol.
unsafe extern "C" fn vectorcall(
    slf: *mut ffi::PyObject,
    _args: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let run = || {
        // SAFETY: called by an attached thread.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: the caller of an object holds a reference to it.
        let slf = unsafe { borrowed(py, slf) };
        // SAFETY: only instances of the type have this function.
        let this = unsafe { slf.cast_unchecked::<OnceFunction>() };
        this.get().deferral.touch(slf);
        // SAFETY: has no conditions.
        let count = unsafe { ffi::PyVectorcall_NARGS(count) };
        match this.get().call(count == 0 && names.is_null()) {
            Ok(value) => value.into_object(py),
            Err(error) => error.raise(),
        }
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| raise_panic(&*payload))
}

impl OnceFunction {
    #[inline]
    fn call(&self, is_bare: bool) -> Result<Owned> {
        if !is_bare {
            return Err(Error::wrong_type("a function of once() takes no arguments".to_owned()));
        }
        let value = self.cell.get().object(Acquire);
        // SAFETY: alive by this reference.
        let class = unsafe { ffi::Py_TYPE(value.as_ptr()) };
        if class.cast() == self.unset.as_ptr() { self.miss() } else { Ok(value) }
    }

    #[cold]
    fn miss(&self) -> Result<Owned> {
        // SAFETY: a live object, and the thread is attached, as in every call.
        let value = unsafe { user::call(self.miss.as_ptr(), &[]) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Owned::from_new(value) }.ok_or_else(Error::pending)
    }
}

#[pymethods]
impl OnceFunction {
    #[new]
    #[pyo3(signature = (cell, unset, miss, /))]
    fn new(cell: Py<AtomicRef>, unset: Py<PyAny>, miss: Py<PyAny>) -> Self {
        Self { vectorcall, deferral: Deferral::default(), cell, unset, miss }
    }

    /// For who asks for the attribute; a call does not come here.
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.call(args, kwargs)
    }

    fn __copy__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (memo, /))]
    fn __deepcopy__<'py>(slf: Bound<'py, Self>, memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        let _ = memo;
        slf
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.getattr("__qualname__")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.cell)?;
        visit.call(&self.unset)?;
        visit.call(&self.miss)
    }
}
