//! Python objects as raw slots pass them: borrowed on the way in, owned on the way out.

use pyo3::ffi;
use pyo3::prelude::*;

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

/// What `__sizeof__` says of an object that has so many bytes beside its own.
pub(crate) fn size_with(object: &Bound<'_, PyAny>, beside: usize) -> usize {
    // SAFETY: the type of a live object, which does not change here.
    let own = unsafe { (*object.get_type_ptr()).tp_basicsize };
    own.cast_unsigned() + beside
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

impl IntoObject for i128 {
    #[inline]
    fn into_object(self, py: Python<'_>) -> *mut ffi::PyObject {
        match self.into_pyobject(py) {
            Ok(int) => int.into_ptr(),
            Err(never) => match never {},
        }
    }
}

impl IntoObject for f64 {
    #[inline]
    fn into_object(self, _py: Python<'_>) -> *mut ffi::PyObject {
        // SAFETY: the thread is attached, as the token proves.
        unsafe { ffi::PyFloat_FromDouble(self) }
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
