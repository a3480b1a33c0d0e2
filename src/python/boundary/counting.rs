//! Reference counts.
//!
//! With a GIL a count is a number. Without one an object has two: one for the thread
//! that made it, which changes it without an atomic instruction, and a shared one
//! (S. Gross, PEP 703, "biased reference counting"). CPython's headers inline the
//! first case, pyo3-ffi 0.30 calls a function for either; here are the headers' few
//! lines, as they are in 3.14 and 3.15.

#[cfg(Py_GIL_DISABLED)]
use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
#[cfg(Py_GIL_DISABLED)]
use pyo3::types::PyList;

#[cfg(Py_GIL_DISABLED)]
use super::identity;

#[cfg(not(Py_GIL_DISABLED))]
pub(crate) use with_gil::{share, try_incref, try_incref as incref_own};
#[cfg(Py_GIL_DISABLED)]
pub(crate) use without_gil::{incref, incref_own, share, try_incref};

#[cfg(not(Py_GIL_DISABLED))]
pub(crate) use ffi::Py_INCREF as incref;

/// Looks whether counts are where these lines think they are.
///
/// # Errors
/// An `ImportError`: nothing here may be used.
#[cfg(not(Py_GIL_DISABLED))]
pub(crate) fn prepare(_py: Python<'_>) -> PyResult<()> {
    Ok(())
}

/// Looks whether counts are where these lines think they are: that of a thread's own object, and
/// that of an immortal one.
///
/// # Errors
/// An `ImportError`: nothing here may be used.
#[cfg(Py_GIL_DISABLED)]
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let own = PyList::empty(py);
    // SAFETY: a live object.
    let before = unsafe { ffi::Py_REFCNT(own.as_ptr()) };
    // SAFETY: a live object, and the token proves the thread attached.
    let taken = unsafe { incref_own(own.as_ptr()) };
    // SAFETY: as above.
    let counted = unsafe { ffi::Py_REFCNT(own.as_ptr()) } - before;
    if taken {
        // SAFETY: the reference taken above is given up.
        drop(unsafe { Bound::from_owned_ptr(py, own.as_ptr()) });
    }
    // SAFETY: as above; nothing is counted.
    let immortal = unsafe { incref_own(py.None().as_ptr()) };
    let known = taken && counted == 1 && immortal;
    if known || !identity::IS_CPYTHONS {
        return Ok(());
    }
    let text = "this Python counts references in a way that lockfree does not know";
    Err(PyImportError::new_err(text))
}

#[cfg(not(Py_GIL_DISABLED))]
mod with_gil {
    use super::ffi;

    /// With a GIL there is nothing to enable.
    ///
    /// # Safety
    /// None needed.
    #[inline(always)]
    pub(crate) unsafe fn share(_object: *mut ffi::PyObject) {}

    /// With a GIL nothing dies meanwhile.
    ///
    /// # Safety
    /// The thread is attached, and a place that only attached threads change refers to
    /// the object.
    #[inline(always)]
    pub(crate) unsafe fn try_incref(object: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise: it is alive.
        unsafe { ffi::Py_INCREF(object) };
        true
    }
}

#[cfg(Py_GIL_DISABLED)]
mod without_gil {
    use std::ffi::c_int;
    use std::ptr::from_ref;

    use super::ffi;
    use crate::python::boundary::identity::{IS_CPYTHONS, thread_identity};
    use crate::shim::{AtomicUsize, Ordering::Relaxed};

    unsafe extern "C" {
        // Missing in pyo3-ffi 0.30.
        fn PyUnstable_EnableTryIncRef(object: *mut ffi::PyObject);
        fn PyUnstable_TryIncRef(object: *mut ffi::PyObject) -> c_int;
    }

    /// Takes a reference.
    ///
    /// # Safety
    /// The thread is attached, and the object is alive.
    #[inline]
    pub(crate) unsafe fn incref(object: *mut ffi::PyObject) {
        // SAFETY: the caller's promise.
        if !unsafe { incref_own(object) } {
            // SAFETY: as above.
            unsafe { ffi::Py_INCREF(object) };
        }
    }

    /// Makes [`try_incref`] work for all threads.
    ///
    /// # Safety
    /// The thread is attached, and the object is alive.
    #[inline]
    pub(crate) unsafe fn share(object: *mut ffi::PyObject) {
        // SAFETY: the caller's promise.
        unsafe { PyUnstable_EnableTryIncRef(object) };
    }

    /// Takes a reference, unless the object is dead.
    ///
    /// # Safety
    /// The address is that of an object that was alive and [`share`]d a moment ago, and
    /// the thread has been attached since.
    #[inline]
    pub(crate) unsafe fn try_incref(object: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise. What is a thread's own does not die but by
        // that thread, and what is dead is nobody's own.
        if unsafe { incref_own(object) } {
            return true;
        }
        // SAFETY: the caller's promise.
        unsafe { PyUnstable_TryIncRef(object) != 0 }
    }

    /// Takes a reference if that needs no atomic instruction: the object is the
    /// thread's own, or immortal.
    ///
    /// # Safety
    /// The memory is an object's, or was a moment ago.
    #[inline(always)]
    pub(crate) unsafe fn incref_own(object: *mut ffi::PyObject) -> bool {
        if !IS_CPYTHONS {
            return false;
        }
        // SAFETY: the caller's promise; the word is read as CPython does.
        let local = unsafe { &(*object).ob_ref_local };
        let count = local.load(Relaxed);
        if count == u32::MAX {
            return true; // immortal
        }
        // SAFETY: as above.
        let owner = unsafe { &(*object).ob_tid };
        // SAFETY: other threads write to it, but atomically.
        let owner = unsafe { &*from_ref(owner).cast::<AtomicUsize>() };
        if owner.load(Relaxed) != thread_identity() {
            return false;
        }
        local.store(count + 1, Relaxed);
        true
    }
}
