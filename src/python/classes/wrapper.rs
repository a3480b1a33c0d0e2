//! What the classes of decorated functions have in common.
//!
//! Calls come by the vectorcall protocol, which passes arguments as they lie on the
//! interpreter's stack. PyO3 has no word for that protocol, so [`prepare`] tells the type.

use std::ffi::c_ulong;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::PyClass;
use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyDict, PyTuple};

use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Error, Result, raise_panic};
use crate::python::boundary::object::{Arg, IntoObject, borrowed, dict, tuple};
use crate::python::boundary::owned::Owned;

/// A class whose instances are called by [`vectorcall`].
pub(super) trait Wrapper: PyClass<Frozen = True> + Sync {
    /// Whether it counts references.
    fn deferral(&self) -> &Deferral;

    /// What a call does.
    fn call(&self, call: &Call<'_, '_>) -> Result<Owned>;
}

/// Makes the type of `probe`, in whose `field` lies the function that is called, one whose
/// instances are called so. Call it once, at import, before anybody else sees the type.
pub(super) fn prepare<W: Wrapper>(
    probe: &Bound<'_, W>,
    field: &ffi::vectorcallfunc,
    flags: c_ulong,
) -> PyResult<()> {
    let offset = std::ptr::from_ref(field).addr() - probe.as_ptr().addr();
    let class = probe.py().get_type::<W>().as_type_ptr();
    // SAFETY: the type is alive, and nobody else has seen it yet.
    let class = unsafe { &mut *class };
    class.tp_vectorcall_offset = offset.cast_signed();
    class.tp_call = Some(ffi::PyVectorcall_Call);
    add_flag(class, ffi::Py_TPFLAGS_HAVE_VECTORCALL | flags);
    // SAFETY: a live object.
    let found = unsafe { ffi::PyVectorcall_Function(probe.as_ptr()) };
    if found.map(|found| found as usize) != Some(*field as usize) {
        let text = "this Python does not find the function by which a decorated one is called";
        return Err(PyImportError::new_err(text));
    }
    Ok(())
}

#[cfg(Py_GIL_DISABLED)]
fn add_flag(class: &ffi::PyTypeObject, flag: c_ulong) {
    class.tp_flags.fetch_or(flag, crate::shim::Ordering::Relaxed);
}

#[cfg(not(Py_GIL_DISABLED))]
fn add_flag(class: &mut ffi::PyTypeObject, flag: c_ulong) {
    class.tp_flags |= flag;
}

/// The function of the vectorcall protocol.
pub(super) unsafe extern "C" fn vectorcall<W: Wrapper>(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let run = || {
        // SAFETY: called by an attached thread.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: the caller of an object holds a reference to it.
        let slf = unsafe { borrowed(py, slf) };
        // SAFETY: only instances of the type have this function.
        let this = unsafe { slf.cast_unchecked::<W>() };
        this.get().deferral().touch(slf);
        // SAFETY: null or a tuple of strings, which lives during the call.
        let names = unsafe { Arg::from_ptr_or_opt(py, names) };
        // SAFETY: has no conditions.
        let count = unsafe { ffi::PyVectorcall_NARGS(count) };
        match this.get().call(&Call { py, args, count, names }) {
            Ok(value) => value.into_object(py),
            Err(error) => error.raise(),
        }
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| raise_panic(&*payload))
}

/// The arguments of a call: `count` positional ones, then those that have names.
pub(super) struct Call<'a, 'py> {
    pub(super) py: Python<'py>,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: Option<Arg<'a, 'py>>,
}

impl<'py> Call<'_, 'py> {
    /// Whether there are no arguments.
    #[inline]
    pub(super) fn is_bare(&self) -> bool {
        self.count == 0 && self.names.is_none()
    }

    /// Whether any has a name.
    #[inline]
    pub(super) fn has_names(&self) -> bool {
        self.names.is_some()
    }

    /// The only argument.
    #[inline]
    pub(super) fn only(&self) -> Option<Arg<'_, 'py>> {
        (self.count == 1 && self.names.is_none()).then(|| self.arg(0))
    }

    #[inline]
    fn arg(&self, place: ffi::Py_ssize_t) -> Arg<'_, 'py> {
        // SAFETY: there are as many as that.
        let arg = unsafe { self.args.offset(place) };
        // SAFETY: as above.
        let arg = unsafe { *arg };
        // SAFETY: arguments live during the call.
        unsafe { borrowed(self.py, arg) }
    }

    /// Those that have no names.
    #[inline]
    pub(super) fn items(&self) -> &[Arg<'_, 'py>] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: so many arguments, which live during the call; an `Arg` is an address.
        unsafe { std::slice::from_raw_parts(self.args.cast(), self.count.cast_unsigned()) }
    }

    /// The same, as a tuple.
    pub(super) fn positional(&self) -> Result<Owned> {
        tuple(
            (0..self.count.cast_unsigned()).map(|place| Owned::new(self.arg(place.cast_signed()))),
        )
    }

    /// The arguments as a function has them: `*args, **kwargs`.
    pub(super) fn spelled(&self) -> Result<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let args = self.positional()?;
        // SAFETY: made as a tuple.
        let args = unsafe { args.into_py().into_bound(self.py).cast_into_unchecked() };
        let kwargs = dict(self.py)?;
        if let Some(names) = self.names {
            // SAFETY: a tuple, by the protocol.
            let names = unsafe { names.cast_unchecked::<PyTuple>() };
            for (place, name) in (self.count..).zip(names.iter_borrowed()) {
                kwargs.set_item(name, self.arg(place)).map_err(Error::raised)?;
            }
        }
        Ok((args, kwargs))
    }
}

/// The methods of such a class: its own, and those that a function has.
macro_rules! wrapper_methods {
    ($class:ident; $($own:tt)*) => {
        #[pymethods]
        impl $class {
            $($own)*

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
            fn __deepcopy__<'py>(
                slf: Bound<'py, Self>,
                memo: &Bound<'py, PyAny>,
            ) -> Bound<'py, Self> {
                let _ = memo;
                slf
            }

            fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                slf.getattr($crate::python::boundary::names::QUALNAME.get(slf.py()))
            }
        }
    };
}
pub(super) use wrapper_methods;
