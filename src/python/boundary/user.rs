//! Calls into user code.
//!
//! Below CPython 3.14 a daemon thread that asks for the GIL while the
//! interpreter finalizes is ended by `pthread_exit`, whose forced unwinding
//! through Rust frames ends the process. Whatever may run Python code goes
//! through here: there the unwinding meets a guard whose drop never returns, so
//! the thread hangs instead, as CPython 3.14 itself does.

use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pyo3::ffi;
use pyo3::prelude::*;

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

/// Runs `f` detached from the interpreter: the GIL is free meanwhile, and nothing
/// that stops the world waits for this thread.
pub(crate) fn detached<R>(_py: Python<'_>, f: impl FnOnce() -> R) -> R {
    // SAFETY: the token proves the thread attached.
    let state = unsafe { ffi::PyEval_SaveThread() };
    let result = catch_unwind(AssertUnwindSafe(f));
    // SAFETY: detached just above.
    guarded(|| unsafe { c::PyEval_RestoreThread(state) });
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

/// Whether this thread is the one that runs signal handlers, or may be: while the
/// interpreter finalizes nobody can tell.
pub(crate) fn is_main_thread(py: Python<'_>) -> bool {
    main_thread(py).is_none_or(|main| {
        // SAFETY: has no conditions.
        let here = unsafe { ffi::PyThread_get_thread_ident() };
        #[allow(clippy::useless_conversion)] // on some systems it has 32 bits
        let here = u64::from(here);
        here == main
    })
}

/// The main thread's identity. It is asked for each time: in a forked child it is
/// another one.
fn main_thread(py: Python<'_>) -> Option<u64> {
    let owned = |object| {
        // SAFETY: a new reference, or null with an exception set.
        let object = unsafe { Bound::from_owned_ptr_or_opt(py, object) };
        if object.is_none() {
            // SAFETY: the token proves the thread attached.
            unsafe { ffi::PyErr_Clear() };
        }
        object
    };
    // SAFETY: the token proves the thread attached.
    let threading = owned(guarded(|| unsafe { c::PyImport_ImportModule(c"threading".as_ptr()) }))?;
    let main = owned(attribute(&threading, c"main_thread"))?;
    // SAFETY: as above, with a live object.
    let main = owned(guarded(|| unsafe { c::PyObject_CallNoArgs(main.as_ptr()) }))?;
    owned(attribute(&main, c"ident"))?.extract().ok()
}

/// Runs the handlers of pending signals, on the main thread; not 0 if one raised.
///
/// # Safety
/// The thread is attached.
pub(crate) unsafe fn check_signals() -> c_int {
    // SAFETY: the caller's promise, passed on.
    guarded(|| unsafe { c::PyErr_CheckSignals() })
}

fn attribute(object: &Bound<'_, PyAny>, name: &CStr) -> *mut ffi::PyObject {
    // SAFETY: a live object, and the thread is attached (a `Bound` proves both).
    guarded(|| unsafe { c::PyObject_GetAttrString(object.as_ptr(), name.as_ptr()) })
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
/// which nothing may unwind; and of two declarations of a function the compiler takes
/// the one that it meets first for both. So nothing else here may use the methods of
/// PyO3 that compare or hash, which would bring theirs.
mod c {
    use super::{c_char, c_int};
    use pyo3::ffi::{Py_hash_t, PyObject, PyThreadState};

    unsafe extern "C-unwind" {
        pub(super) fn PyObject_CallOneArg(f: *mut PyObject, arg: *mut PyObject) -> *mut PyObject;
        pub(super) fn PyObject_GetIter(iterable: *mut PyObject) -> *mut PyObject;
        pub(super) fn PyIter_Next(iterator: *mut PyObject) -> *mut PyObject;
        pub(super) fn PySequence_Tuple(iterable: *mut PyObject) -> *mut PyObject;
        pub(super) fn PyNumber_Index(object: *mut PyObject) -> *mut PyObject;
        pub(super) fn PyObject_Repr(object: *mut PyObject) -> *mut PyObject;
        pub(super) fn PyObject_RichCompare(
            a: *mut PyObject,
            b: *mut PyObject,
            op: c_int,
        ) -> *mut PyObject;
        pub(super) fn PyImport_ImportModule(name: *const c_char) -> *mut PyObject;
        pub(super) fn PyErr_CheckSignals() -> c_int;
        pub(super) fn PyFloat_AsDouble(object: *mut PyObject) -> f64;
        pub(super) fn PyObject_Hash(object: *mut PyObject) -> Py_hash_t;
        pub(super) fn PyObject_Vectorcall(
            f: *mut PyObject,
            args: *const *mut PyObject,
            count: usize,
            names: *mut PyObject,
        ) -> *mut PyObject;
        pub(super) fn PyObject_VectorcallMethod(
            name: *mut PyObject,
            args: *const *mut PyObject,
            count: usize,
            names: *mut PyObject,
        ) -> *mut PyObject;
        pub(super) fn PyObject_IsTrue(object: *mut PyObject) -> c_int;
        pub(super) fn PyErr_WriteUnraisable(object: *mut PyObject);
        pub(super) fn PyObject_CallNoArgs(f: *mut PyObject) -> *mut PyObject;
        pub(super) fn PyObject_GetAttrString(
            object: *mut PyObject,
            name: *const c_char,
        ) -> *mut PyObject;
        pub(super) fn PyEval_RestoreThread(state: *mut PyThreadState);
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

/// Calls `f(*args)`; a new reference, or null with an exception set.
///
/// # Safety
/// The thread is attached; all are live objects.
pub(crate) unsafe fn call(
    f: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
) -> *mut ffi::PyObject {
    let none = std::ptr::null_mut();
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::PyObject_Vectorcall(f, args.as_ptr(), args.len(), none) })
}

/// Writes the exception that is set to `sys.unraisablehook`. The thread is attached.
pub(crate) fn write_unraisable() {
    // SAFETY: attached, with an exception set.
    guarded(|| unsafe { c::PyErr_WriteUnraisable(std::ptr::null_mut()) });
}

/// Calls `f(*args)`; what it raises is written to `sys.unraisablehook`.
///
/// # Safety
/// The thread is attached, with no exception set; all are live objects.
pub(crate) unsafe fn tell(f: *mut ffi::PyObject, args: &[*mut ffi::PyObject]) {
    // SAFETY: the caller's promises, passed on.
    let answer = unsafe { call(f, args) };
    if answer.is_null() {
        // SAFETY: attached, with an exception set.
        guarded(|| unsafe { c::PyErr_WriteUnraisable(f) });
    } else {
        // SAFETY: a new reference, given up.
        unsafe { decref(answer) };
    }
}

/// Calls `args[0].name(*args[1:])`, of which the last are keywords with these names, if
/// there are any; a new reference, or null with an exception set.
///
/// # Safety
/// The thread is attached; all are live objects, `names` a tuple or null.
pub(crate) unsafe fn call_method(
    name: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let keywords = if names.is_null() {
        0
    } else {
        // SAFETY: a live tuple, says the caller.
        usize::try_from(unsafe { ffi::PyTuple_Size(names) }).unwrap_or(0)
    };
    let count = args.len() - keywords;
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::PyObject_VectorcallMethod(name, args.as_ptr(), count, names) })
}

/// The value of `float(object)`; -1 with an exception set, if it raised.
///
/// # Safety
/// The thread is attached; the object is alive.
pub(crate) unsafe fn double(object: *mut ffi::PyObject) -> f64 {
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::PyFloat_AsDouble(object) })
}

/// Whether `bool(object)`: 0 or 1, or -1 with an exception set.
///
/// # Safety
/// The thread is attached; the object is alive.
pub(crate) unsafe fn truth(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::PyObject_IsTrue(object) })
}

/// Calls `iter(iterable)`; a new reference, or null with an exception set.
///
/// # Safety
/// The thread is attached; the object is alive.
pub(crate) unsafe fn iterate(iterable: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::PyObject_GetIter(iterable) })
}

/// Calls `next(iterator)`; a new reference, or null, with an exception set unless it is
/// the end.
///
/// # Safety
/// The thread is attached; the object is a live iterator.
#[inline]
pub(crate) unsafe fn next(iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::PyIter_Next(iterator) })
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

/// Whether `a == b`: 0 or 1, or -1 with an exception set.
///
/// # Safety
/// The thread is attached; both are live objects.
pub(crate) unsafe fn equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject) -> c_int {
    // SAFETY: the caller's promises, passed on.
    let answer = unsafe { rich_compare(a, b, ffi::Py_EQ) };
    if answer.is_null() {
        return -1;
    }
    // SAFETY: attached, and a new reference.
    let equal = unsafe { truth(answer) };
    // SAFETY: given up.
    unsafe { decref(answer) };
    equal
}

/// The value of `hash(object)`; -1 with an exception set, if it raised.
///
/// # Safety
/// The thread is attached; the object is alive.
#[inline]
pub(crate) unsafe fn hash(object: *mut ffi::PyObject) -> ffi::Py_hash_t {
    // SAFETY: the caller's promises, passed on.
    guarded(|| unsafe { c::PyObject_Hash(object) })
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
