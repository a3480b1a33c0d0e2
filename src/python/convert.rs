//! Arguments: Python objects to Rust values, and back.

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::error::{Error, Result, shown};

/// A borrowed argument of a raw slot.
pub(crate) type Arg<'a, 'py> = Borrowed<'a, 'py, PyAny>;

/// Borrows what CPython passes to a C function.
///
/// # Safety
/// `object` points to an object that lives at least as long as `'a`.
#[inline(always)]
pub(crate) unsafe fn borrowed<'a>(py: Python<'_>, object: *mut ffi::PyObject) -> Arg<'a, '_> {
    // SAFETY: a pointer to an object is not null; PyO3 would check it again.
    unsafe { std::hint::assert_unchecked(!object.is_null()) };
    // SAFETY: the caller's promise.
    unsafe { Borrowed::from_ptr(py, object) }
}

/// The value of an `int`, or of anything with `__index__`, in 64 bits.
#[inline]
pub(crate) fn int64(object: Arg<'_, '_>) -> Result<i64> {
    let mut overflow: c_int = 0;
    // SAFETY: the argument is a live object and the thread is attached (a
    // `Borrowed` proves both).
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object.as_ptr(), &raw mut overflow) };
    if value == -1 { int64_slow(object, overflow) } else { Ok(value) }
}

/// The value of an argument `n`, a number of items.
pub(crate) fn count(object: Arg<'_, '_>) -> Result<usize> {
    let n = int64(object)?;
    usize::try_from(n)
        .map_err(|_| Error::wrong_value(format!("n must not be negative, but is {n}")))
}

/// Minus one, or one of three errors.
#[cold]
fn int64_slow(object: Arg<'_, '_>, overflow: c_int) -> Result<i64> {
    if overflow != 0 {
        return Err(Error::too_wide(&shown_int(object)));
    }
    // SAFETY: the thread is attached.
    if unsafe { ffi::PyErr_Occurred() }.is_null() {
        return Ok(-1);
    }
    // SAFETY: the argument is a live object.
    if unsafe { ffi::PyIndex_Check(object.as_ptr()) } == 0 {
        // SAFETY: the thread is attached.
        unsafe { ffi::PyErr_Clear() };
        return Err(Error::wrong_type(format!("expected an int, not {}", shown(&object))));
    }
    Err(Error::pending())
}

/// An int too wide for a message (or for `str`) is shown by its width.
fn shown_int(object: Arg<'_, '_>) -> String {
    const WIDEST: u64 = 256;
    let int = object.call_method0("__index__");
    let bits = int.and_then(|int| int.call_method0("bit_length")).and_then(|n| n.extract::<u64>());
    match bits {
        Ok(bits) if bits > WIDEST => format!("an int of {bits} bits"),
        _ => shown(&object),
    }
}

/// What a raw slot can return.
pub(crate) trait IntoObject {
    /// A new reference, or null with an exception set.
    fn into_object(self, py: Python<'_>) -> *mut ffi::PyObject;
}

impl IntoObject for i64 {
    #[inline]
    fn into_object(self, _py: Python<'_>) -> *mut ffi::PyObject {
        // SAFETY: the thread is attached, as the token proves.
        unsafe { ffi::PyLong_FromLongLong(self) }
    }
}

impl IntoObject for bool {
    #[inline]
    fn into_object(self, py: Python<'_>) -> *mut ffi::PyObject {
        pyo3::types::PyBool::new(py, self).to_owned().into_ptr()
    }
}

impl<T> IntoObject for Bound<'_, T> {
    #[inline]
    fn into_object(self, _py: Python<'_>) -> *mut ffi::PyObject {
        self.into_ptr()
    }
}

impl IntoObject for () {
    #[inline]
    fn into_object(self, py: Python<'_>) -> *mut ffi::PyObject {
        py.None().into_ptr()
    }
}

/// A Python int.
pub(crate) fn int_object(py: Python<'_>, value: i64) -> Bound<'_, PyInt> {
    PyInt::new(py, value)
}
