//! Calls into user code.
//!
//! Below CPython 3.14 a daemon thread that asks for the GIL while the
//! interpreter finalizes is ended by `pthread_exit`, whose forced unwinding
//! through Rust frames ends the process. Whatever may run Python code goes
//! through here: there the unwinding meets a guard whose drop never returns, so
//! the thread hangs instead, as CPython 3.14 itself does.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pyo3::exceptions::PyAttributeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::names;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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

/// The thread that runs signal handlers, as `threading` names it; 0 until it is known.
///
/// Asking `threading` each time would run byte code, and lose what handlers raise in it.
static MAIN_THREAD: AtomicU64 = AtomicU64::new(0);

/// Whether this thread is the one that runs signal handlers.
pub(crate) fn is_main_thread(_py: Python<'_>) -> bool {
    MAIN_THREAD.load(Relaxed) == this_thread()
}

/// Learns which thread that is, as the module is loaded.
pub(crate) fn find_main_thread(py: Python<'_>) -> PyResult<()> {
    let threading = py.import("threading")?;
    let main = method(threading.as_any(), names::MAIN_THREAD.get(py), [])?;
    MAIN_THREAD.store(main.getattr("ident")?.extract()?, Relaxed);
    Ok(())
}

/// In a forked child it is the one that forked.
pub(super) fn forked() {
    MAIN_THREAD.store(this_thread(), Relaxed);
}

/// This thread, as `threading` names it.
pub(super) fn this_thread() -> u64 {
    // SAFETY: has no conditions.
    let thread = unsafe { ffi::PyThread_get_thread_ident() };
    #[allow(clippy::useless_conversion)] // on some systems it has 32 bits
    u64::from(thread)
}

/// Runs the handlers of pending signals, on the main thread; not 0 if one raised.
///
/// # Safety
/// The thread is attached.
pub(crate) unsafe fn check_signals() -> c_int {
    // SAFETY: the caller's promise, passed on.
    guarded(|| unsafe { c::PyErr_CheckSignals() })
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

/// The functions that may run user code. pyo3-ffi declares them as "C", through which nothing may
/// unwind; and of two declarations of a function the compiler takes the one that it meets first
/// for both, and leaves the guard out. So below CPython 3.14 they are called by pointers of which
/// it does not know where they lead.
mod c {
    use super::c_int;
    use pyo3::ffi::{Py_hash_t, PyObject, PyThreadState};

    macro_rules! functions {
        ($($(#[$when:meta])? fn $name:ident($($arg:ident: $kind:ty),*) $(-> $result:ty)?;)*) => {
            mod declared {
                use super::*;

                unsafe extern "C-unwind" {
                    $($(#[$when])? pub(super) fn $name($($arg: $kind),*) $(-> $result)?;)*
                }
            }
            $(
                $(#[$when])?
                #[inline(always)]
                #[allow(non_snake_case)] // CPython's names
                pub(super) unsafe fn $name($($arg: $kind),*) $(-> $result)? {
                    let function: unsafe extern "C-unwind" fn($($kind),*) $(-> $result)? =
                        declared::$name;
                    #[cfg(not(Py_3_14))]
                    let function = std::hint::black_box(function);
                    // SAFETY: the caller's promises, passed on.
                    unsafe { function($($arg),*) }
                }
            )*
        };
    }

    functions! {
        fn PyObject_CallOneArg(f: *mut PyObject, arg: *mut PyObject) -> *mut PyObject;
        fn PyObject_GetIter(iterable: *mut PyObject) -> *mut PyObject;
        fn PyIter_Next(iterator: *mut PyObject) -> *mut PyObject;
        fn PySequence_Tuple(iterable: *mut PyObject) -> *mut PyObject;
        fn PyNumber_Index(object: *mut PyObject) -> *mut PyObject;
        fn PyObject_Repr(object: *mut PyObject) -> *mut PyObject;
        fn PyObject_RichCompare(a: *mut PyObject, b: *mut PyObject, op: c_int) -> *mut PyObject;
        fn PyErr_CheckSignals() -> c_int;
        fn PyFloat_AsDouble(object: *mut PyObject) -> f64;
        fn PyObject_Hash(object: *mut PyObject) -> Py_hash_t;
        fn PyObject_Vectorcall(
            f: *mut PyObject,
            args: *const *mut PyObject,
            count: usize,
            names: *mut PyObject
        ) -> *mut PyObject;
        fn PyObject_VectorcallMethod(
            name: *mut PyObject,
            args: *const *mut PyObject,
            count: usize,
            names: *mut PyObject
        ) -> *mut PyObject;
        fn PyObject_IsTrue(object: *mut PyObject) -> c_int;
        fn PyErr_WriteUnraisable(object: *mut PyObject);
        fn PyObject_GetAttr(object: *mut PyObject, name: *mut PyObject) -> *mut PyObject;
        fn PyObject_SetAttr(
            object: *mut PyObject,
            name: *mut PyObject,
            value: *mut PyObject
        ) -> c_int;
        fn PyEval_RestoreThread(state: *mut PyThreadState);
        #[cfg(not(Py_3_14))]
        fn Py_DecRef(object: *mut PyObject);
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

/// `object.name(*args)`, for a few arguments.
pub(crate) fn method<'py, const N: usize>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    args: [&Bound<'py, PyAny>; N],
) -> PyResult<Bound<'py, PyAny>> {
    const MOST: usize = 3;
    let mut all = [std::ptr::null_mut(); MOST];
    all[0] = object.as_ptr();
    all[1..=N].iter_mut().zip(args).for_each(|(place, arg)| *place = arg.as_ptr());
    // SAFETY: live objects, and the thread is attached (a `Bound` proves both).
    let result = unsafe { call_method(name.as_ptr(), &all[..=N], std::ptr::null_mut()) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(object.py(), result) }
}

/// `f(*args)`.
pub(crate) fn function<'py, const N: usize>(
    f: &Bound<'py, PyAny>,
    args: [&Bound<'py, PyAny>; N],
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: live objects, and the thread is attached (a `Bound` proves both).
    let result = unsafe { call(f.as_ptr(), &args.map(Bound::as_ptr)) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(f.py(), result) }
}

/// `object.name`, if there is such an attribute.
pub(crate) fn attribute<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    // SAFETY: live objects, and the thread is attached (a `Bound` proves both).
    let value = guarded(|| unsafe { c::PyObject_GetAttr(object.as_ptr(), name.as_ptr()) });
    // SAFETY: a new reference, or null with an exception set.
    match unsafe { Bound::from_owned_ptr_or_err(py, value) } {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<PyAttributeError>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `object.name = value`
pub(crate) fn set_attribute(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let [object_, name, value] = [object.as_ptr(), name.as_ptr(), value.as_ptr()];
    // SAFETY: live objects, and the thread is attached (a `Bound` proves both).
    match guarded(|| unsafe { c::PyObject_SetAttr(object_, name, value) }) {
        0 => Ok(()),
        _ => Err(PyErr::fetch(object.py())),
    }
}

/// `bool(object)`
pub(crate) fn is_true(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: a live object, and the thread is attached (a `Bound` proves both).
    match unsafe { truth(object.as_ptr()) } {
        -1 => Err(PyErr::fetch(object.py())),
        true_ => Ok(true_ != 0),
    }
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
#[inline(never)] // so that what asks for it is small enough to be part of each method
pub(crate) unsafe fn hash(object: *mut ffi::PyObject) -> ffi::Py_hash_t {
    // SAFETY: the caller's promise.
    if unsafe { is_leaf(object) } {
        // SAFETY: the caller's promises, passed on.
        return guarded(|| unsafe { c::PyObject_Hash(object) });
    }
    // A `__hash__` that is `cached` comes back here with no Python function in between, which
    // would look how deep the stack is.
    // SAFETY: the thread is attached, and the text has an end.
    if unsafe { ffi::Py_EnterRecursiveCall(c" while hashing a key".as_ptr()) } != 0 {
        return -1;
    }
    // SAFETY: the caller's promises, passed on.
    let hash = guarded(|| unsafe { c::PyObject_Hash(object) });
    // SAFETY: entered above.
    unsafe { ffi::Py_LeaveRecursiveCall() };
    hash
}

/// Whether an object is hashed by its address, or as one of the plain classes whose hash calls
/// nothing.
///
/// # Safety
/// The thread is attached; the object is alive.
#[inline]
unsafe fn is_leaf(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the classes are alive: the caller's object's, and the interpreter's own.
    let hash = |class: *const ffi::PyTypeObject| unsafe { (*class).tp_hash }.map(|f| f as usize);
    let plain = [
        &raw const ffi::PyUnicode_Type,
        &raw const ffi::PyLong_Type,
        &raw const ffi::PyBaseObject_Type,
        &raw const ffi::PyBytes_Type,
        &raw const ffi::PyFloat_Type,
    ];
    // SAFETY: the caller's promise.
    let own = hash(unsafe { ffi::Py_TYPE(object) });
    plain.into_iter().any(|class| hash(class) == own)
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
