//! Calls into user code.
//!
//! Below CPython 3.14 a daemon thread that asks for the GIL while the
//! interpreter finalizes is ended by `pthread_exit`, whose forced unwinding
//! through Rust frames ends the process. Whatever may run Python code goes
//! through here: there the unwinding meets a guard whose drop never returns, so
//! the thread hangs instead, as CPython 3.14 itself does.

use pyo3::ffi;

#[cfg(not(Py_3_14))]
mod guarded {
    use super::ffi;

    /// Hangs the thread that unwinds through it.
    struct HangOnUnwind;

    impl Drop for HangOnUnwind {
        fn drop(&mut self) {
            loop {
                std::thread::park();
            }
        }
    }

    fn guarded<R>(call: impl FnOnce() -> R) -> R {
        let guard = HangOnUnwind;
        let result = call();
        std::mem::forget(guard);
        result
    }

    // pyo3-ffi declares these as "C", through which nothing may unwind.
    unsafe extern "C-unwind" {
        #[link_name = "PyObject_CallOneArg"]
        fn call_one_arg(f: *mut ffi::PyObject, arg: *mut ffi::PyObject) -> *mut ffi::PyObject;
        #[link_name = "Py_DecRef"]
        fn dec_ref(object: *mut ffi::PyObject);
    }

    pub(crate) unsafe fn decref(object: *mut ffi::PyObject) {
        // SAFETY: the caller's promises are the ones of `Py_DecRef`.
        guarded(|| unsafe { dec_ref(object) });
    }

    pub(crate) unsafe fn call1(
        f: *mut ffi::PyObject,
        arg: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promises are the ones of `PyObject_CallOneArg`.
        guarded(|| unsafe { call_one_arg(f, arg) })
    }
}

/// Calls `f(arg)`; a new reference, or null with an exception set.
///
/// # Safety
/// The thread is attached; both are live objects.
pub(crate) unsafe fn call1(f: *mut ffi::PyObject, arg: *mut ffi::PyObject) -> *mut ffi::PyObject {
    #[cfg(not(Py_3_14))]
    // SAFETY: the caller's promises, passed on.
    return unsafe { guarded::call1(f, arg) };
    #[cfg(Py_3_14)]
    // SAFETY: the caller's promises, passed on.
    return unsafe { ffi::PyObject_CallOneArg(f, arg) };
}

/// Gives up a reference, which may run a finalizer.
///
/// # Safety
/// The thread is attached and owns the reference.
#[inline]
pub(crate) unsafe fn decref(object: *mut ffi::PyObject) {
    #[cfg(not(Py_3_14))]
    // SAFETY: the caller's promises, passed on.
    unsafe {
        guarded::decref(object);
    }
    #[cfg(Py_3_14)]
    // SAFETY: the caller's promises, passed on.
    unsafe {
        ffi::Py_DECREF(object);
    }
}
