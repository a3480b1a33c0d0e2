//! Python objects as raw slots pass them: borrowed on the way in, owned on the way out.
//!
//! PyO3's own conversions panic where there is no memory for the object; those here
//! leave CPython's `MemoryError` set. A method that PyO3 generates returns a [`Made`].

use std::ffi::CStr;
use std::fmt;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::error::{Error, Result};
use super::owned::Owned;
use super::spare;
use crate::engine::memory::growth::text;

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
        match i64::try_from(self) {
            Ok(value) => value.into_object(py),
            Err(_) => {
                spare::Int::new(py).map_or_else(Error::raise, |int| int.finish(py, self).into_raw())
            }
        }
    }
}

impl IntoObject for u64 {
    fn into_object(self, _py: Python<'_>) -> *mut ffi::PyObject {
        // SAFETY: the thread is attached, as the token proves.
        unsafe { ffi::PyLong_FromUnsignedLongLong(self) }
    }
}

impl IntoObject for usize {
    fn into_object(self, _py: Python<'_>) -> *mut ffi::PyObject {
        // SAFETY: the thread is attached, as the token proves.
        unsafe { ffi::PyLong_FromSize_t(self) }
    }
}

impl IntoObject for &str {
    fn into_object(self, _py: Python<'_>) -> *mut ffi::PyObject {
        let len = self.len().cast_signed();
        // SAFETY: attached, as the token proves; so many bytes of UTF-8.
        unsafe { ffi::PyUnicode_FromStringAndSize(self.as_ptr().cast(), len) }
    }
}

impl IntoObject for fmt::Arguments<'_> {
    fn into_object(self, py: Python<'_>) -> *mut ffi::PyObject {
        match text(self) {
            Ok(text) => text.as_str().into_object(py),
            Err(error) => Error::from(error).raise(),
        }
    }
}

impl<T: IntoObject> IntoObject for Option<T> {
    fn into_object(self, py: Python<'_>) -> *mut ffi::PyObject {
        self.map_or_else(|| Owned::none(py).into_raw(), |value| value.into_object(py))
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

/// What a method that PyO3 generates returns, or an exception.
#[derive(Debug)]
pub(crate) struct Made<T>(pub(crate) T);

impl<'py, T: IntoObject> IntoPyObject<'py> for Made<T> {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        Ok(made(py, self.0)?)
    }
}

/// The object of a value.
pub(crate) fn made(py: Python<'_>, value: impl IntoObject) -> Result<Bound<'_, PyAny>> {
    // SAFETY: a new reference, or null with an exception set.
    unsafe { owned(py, value.into_object(py)) }
}

/// What a call into Python returned.
///
/// # Safety
/// A new reference, or null with an exception set.
pub(crate) unsafe fn owned(py: Python<'_>, object: *mut ffi::PyObject) -> Result<Bound<'_, PyAny>> {
    // SAFETY: the caller's promise.
    unsafe { Bound::from_owned_ptr_or_opt(py, object) }.ok_or_else(Error::pending)
}

/// A tuple.
pub(crate) fn tuple(
    items: impl IntoIterator<Item = Owned, IntoIter: ExactSizeIterator>,
) -> Result<Owned> {
    let items = items.into_iter();
    // SAFETY: whoever holds an `Owned` is attached.
    let tuple = unsafe { ffi::PyTuple_New(items.len().cast_signed()) };
    // SAFETY: a new reference, or null with an exception set.
    let tuple = unsafe { Owned::from_new(tuple) }.ok_or_else(Error::pending)?;
    for (place, item) in (0..).zip(items) {
        // SAFETY: a tuple of so many places, which nobody else has seen.
        unsafe { ffi::PyTuple_SET_ITEM(tuple.as_ptr(), place, item.into_raw()) };
    }
    Ok(tuple)
}

/// An empty dict.
pub(crate) fn dict(py: Python<'_>) -> Result<Bound<'_, PyDict>> {
    // SAFETY: the token proves the thread attached.
    let dict = unsafe { ffi::PyDict_New() };
    // SAFETY: a new reference, or null with an exception set.
    let dict = unsafe { owned(py, dict) }?;
    // SAFETY: made as a dict.
    Ok(unsafe { dict.cast_into_unchecked() })
}

/// The text that CPython's `format` makes of two objects.
///
/// # Safety
/// The format has two places, each `%U` for a string, or `%S` for anything of which the
/// interpreter's own code makes one.
pub(crate) unsafe fn formatted<'py>(
    format: &CStr,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
) -> Result<Bound<'py, PyAny>> {
    // SAFETY: the caller's promise; the objects are alive, and the thread is attached.
    let text = unsafe { ffi::PyUnicode_FromFormat(format.as_ptr(), a.as_ptr(), b.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { owned(a.py(), text) }
}

/// The `repr` of an object that has contents: `Class(contents)`.
pub(crate) fn named<'py>(
    object: &Bound<'py, PyAny>,
    contents: &Bound<'py, PyAny>,
) -> Result<Bound<'py, PyAny>> {
    let name = object.get_type().name().map_err(Error::raised)?;
    // SAFETY: two strings.
    unsafe { formatted(c"%U(%U)", &name, contents) }
}
