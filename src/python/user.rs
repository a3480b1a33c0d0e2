//! Calls into user code.
//!
//! Below CPython 3.14 a daemon thread that asks for the GIL while the
//! interpreter finalizes is ended by `pthread_exit`, whose forced unwinding
//! through Rust frames ends the process. Whatever may run Python code goes
//! through here: there the unwinding meets a guard whose drop never returns, so
//! the thread hangs instead, as CPython 3.14 itself does.

use std::ffi::c_int;

use pyo3::ffi;

/// Hangs the thread that unwinds through it.
#[cfg(not(Py_3_14))]
struct HangOnUnwind;

#[cfg(not(Py_3_14))]
impl Drop for HangOnUnwind {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

#[inline]
fn guarded<R>(call: impl FnOnce() -> R) -> R {
    #[cfg(not(Py_3_14))]
    let guard = HangOnUnwind;
    let result = call();
    #[cfg(not(Py_3_14))]
    std::mem::forget(guard);
    result
}

/// The functions that may run user code. pyo3-ffi declares them as "C", through
/// which nothing may unwind.
mod c {
    use super::{c_int, ffi::PyObject};

    unsafe extern "C-unwind" {
        pub(super) fn PyObject_CallOneArg(f: *mut PyObject, arg: *mut PyObject) -> *mut PyObject;
        pub(super) fn PySequence_Tuple(iterable: *mut PyObject) -> *mut PyObject;
        pub(super) fn PyNumber_Index(object: *mut PyObject) -> *mut PyObject;
        pub(super) fn PyObject_Repr(object: *mut PyObject) -> *mut PyObject;
        pub(super) fn PyObject_RichCompare(
            a: *mut PyObject,
            b: *mut PyObject,
            op: c_int,
        ) -> *mut PyObject;
        #[cfg(not(Py_3_14))]
        pub(super) fn Py_DecRef(object: *mut PyObject);
    }
}

/// Calls `f(arg)`; a new reference, or null with an exception set.
///
/// # Safety
/// The thread is attached; both are live objects.
pub(crate) unsafe fn call1(f: *mut ffi::PyObject, arg: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::PyObject_CallOneArg(f, arg) })
}

/// Calls `tuple(iterable)`; a new reference, or null with an exception set.
///
/// # Safety
/// The thread is attached; the object is alive.
pub(crate) unsafe fn tuple(iterable: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::PySequence_Tuple(iterable) })
}

/// Calls `object.__index__()`; a new reference to an int, or null with an exception set.
///
/// # Safety
/// The thread is attached; the object is alive.
pub(crate) unsafe fn index(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::PyNumber_Index(object) })
}

/// Calls `repr(object)`; a new reference, or null with an exception set.
///
/// # Safety
/// The thread is attached; the object is alive.
pub(crate) unsafe fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::PyObject_Repr(object) })
}

/// Compares `a` with `b`; a new reference, or null with an exception set.
///
/// # Safety
/// The thread is attached; both are live objects.
pub(crate) unsafe fn rich_compare(
    a: *mut ffi::PyObject,
    b: *mut ffi::PyObject,
    op: c_int,
) -> *mut ffi::PyObject {
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::PyObject_RichCompare(a, b, op) })
}

/// Gives up a reference, which may run a finalizer.
///
/// # Safety
/// The thread is attached and owns the reference.
#[inline]
pub(crate) unsafe fn decref(object: *mut ffi::PyObject) {
    #[cfg(Py_3_14)]
    // SAFETY: the caller's promises, passed on.
    unsafe {
        ffi::Py_DECREF(object);
    }
    #[cfg(not(Py_3_14))]
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::Py_DecRef(object) });
}
