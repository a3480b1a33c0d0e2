//! Arguments: Python objects to Rust values.

use std::ffi::c_int;

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyInt, PyString};

use super::error::{Error, Result, shown};
use super::object::{Arg, made, owned};
use super::user;

/// The value of an `int`, or of anything with `__index__`, in 64 bits.
#[inline]
pub(crate) fn int64(object: Arg<'_, '_>) -> Result<i64> {
    // SAFETY: a live object; the check calls nothing.
    if unsafe { ffi::PyLong_Check(object.as_ptr()) } == 0 {
        return index64(object);
    }
    int64_of(object, object)
}

/// The value of an `int` itself, if it has 64 bits. Runs no user code and leaves no
/// exception.
#[inline]
pub(crate) fn plain_int64(object: Arg<'_, '_>) -> Option<i64> {
    // SAFETY: a live object; the check calls nothing.
    if unsafe { ffi::PyLong_Check(object.as_ptr()) } == 0 {
        return None;
    }
    #[cfg(Py_3_12)]
    if let Some(value) = compact_int(object) {
        return Some(value);
    }
    let mut overflow: c_int = 0;
    // SAFETY: a live int, and the thread is attached (a `Borrowed` proves it).
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object.as_ptr(), &raw mut overflow) };
    (overflow == 0).then_some(value)
}

/// The value of an `int` of one digit. CPython's headers inline it
/// (`PyUnstable_Long_IsCompact`, `PyUnstable_Long_CompactValue`); from Rust it would be
/// two calls. These are their few lines, as they are from 3.12 to 3.15.
#[cfg(Py_3_12)]
#[inline]
fn compact_int(object: Arg<'_, '_>) -> Option<i64> {
    #[repr(C)]
    struct Int {
        object: ffi::PyObject,
        /// The number of digits, above three bits of which two are the sign: 0 is positive,
        /// 1 zero, 2 negative.
        tag: usize,
        digit: u32,
    }
    // SAFETY: the caller has an int, which never changes.
    let int = unsafe { &*object.as_ptr().cast::<Int>() };
    let sign = 1 - (int.tag & 3).cast_signed() as i64;
    (int.tag < 2 << 3).then(|| sign * i64::from(int.digit))
}

/// The value of a `bool`.
#[inline]
pub(crate) fn boolean(object: Arg<'_, '_>) -> Result<bool> {
    let flag = object.cast::<PyBool>().map(|flag| flag.is_true());
    flag.map_err(|_| Error::wrong_type(format_args!("expected a bool, not {}", shown(&object))))
}

/// The value of a `float`, or of anything with `__float__` or `__index__`.
#[inline]
pub(crate) fn float64(object: Arg<'_, '_>) -> Result<f64> {
    // SAFETY: a live object; the check calls nothing.
    if unsafe { ffi::PyFloat_Check(object.as_ptr()) } == 0 && !converts_to_float(object) {
        return Err(Error::wrong_type(format_args!("expected a float, not {}", shown(&object))));
    }
    double(object)
}

/// Whether the type of an object has `__float__` or `__index__`.
pub(crate) fn converts_to_float(object: Arg<'_, '_>) -> bool {
    // SAFETY: a live object.
    let class = unsafe { ffi::Py_TYPE(object.as_ptr()) };
    // SAFETY: the object's class, alive as long as it is.
    let numbers = unsafe { (*class).tp_as_number };
    // SAFETY: null, or part of the class.
    let numbers = unsafe { numbers.as_ref() };
    numbers.is_some_and(|numbers| numbers.nb_float.is_some() || numbers.nb_index.is_some())
}

/// The value of an argument `n`, a number of items.
pub(crate) fn count(object: Arg<'_, '_>) -> Result<usize> {
    let n = int64(object)?;
    usize::try_from(n)
        .map_err(|_| Error::wrong_value(format_args!("n must not be negative, but is {n}")))
}

/// The value of what is not an `int` itself.
#[cold]
fn index64(object: Arg<'_, '_>) -> Result<i64> {
    // SAFETY: a live object; the check calls nothing.
    if unsafe { ffi::PyIndex_Check(object.as_ptr()) } == 0 {
        return Err(Error::wrong_type(format_args!("expected an int, not {}", shown(&object))));
    }
    int64_of(index(object)?.as_borrowed(), object)
}

/// The `int` that an object with `__index__` stands for. Runs user code.
pub(crate) fn index<'py>(object: Arg<'_, 'py>) -> Result<Bound<'py, PyAny>> {
    // SAFETY: a live object, and the thread is attached (a `Borrowed` proves it).
    let int = unsafe { user::index(object.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_opt(object.py(), int) }.ok_or_else(Error::pending)
}

/// The value of `int`, which is what `given` stands for.
#[inline]
fn int64_of(int: Arg<'_, '_>, given: Arg<'_, '_>) -> Result<i64> {
    plain_int64(int).ok_or_else(|| too_wide(int, given))
}

/// An int too wide for a message (or for `str`) is shown by its width.
#[cold]
fn too_wide(int: Arg<'_, '_>, given: Arg<'_, '_>) -> Error {
    const WIDEST: u64 = 256;
    match bit_length(int) {
        Ok(bits) if bits > WIDEST => Error::too_wide(format_args!("an int of {bits} bits")),
        _ => Error::too_wide(format_args!("{}", shown(&given))),
    }
}

fn bit_length(int: Arg<'_, '_>) -> PyResult<u64> {
    let method = bit_length_method(int.py())?;
    // SAFETY: live objects, and the thread is attached (a `Borrowed` proves both).
    let bits = unsafe { user::call1(method.as_ptr(), int.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { owned(int.py(), bits) }?.extract()
}

/// `int`'s own method: a subclass may have another.
fn bit_length_method(py: Python<'_>) -> PyResult<&Py<PyAny>> {
    static METHOD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    METHOD.get_or_try_init(py, || Ok(py.get_type::<PyInt>().getattr("bit_length")?.unbind()))
}

/// Makes what could not be made once memory is short, and looks whether ints are laid out
/// as [`plain_int64`] thinks.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    for value in [0, 1, -1, 255, -6, (1 << 30) - 1, 1 << 30, -(1 << 30), i64::MAX, i64::MIN] {
        if plain_int64(made(py, value)?.as_borrowed()) != Some(value) {
            let text = "this Python's ints are laid out in a way that lockfree does not know";
            return Err(PyImportError::new_err(text));
        }
    }
    bit_length_method(py).map(drop)
}

/// An optional argument: unlike in an `Option`, `None` is an argument too.
#[derive(Debug, Default)]
pub(crate) struct Given<'py>(pub(crate) Option<Bound<'py, PyAny>>);

impl<'py> FromPyObject<'_, 'py> for Given<'py> {
    type Error = std::convert::Infallible;

    fn extract(object: Arg<'_, 'py>) -> std::result::Result<Self, Self::Error> {
        Ok(Self(Some(object.to_owned())))
    }
}

/// Whether an argument is true. Runs user code.
pub(crate) fn truth(object: Arg<'_, '_>) -> Result<bool> {
    // SAFETY: a live object, and the thread is attached (a `Borrowed` proves it).
    match unsafe { user::truth(object.as_ptr()) } {
        -1 => Err(Error::pending()),
        truth => Ok(truth != 0),
    }
}

/// The value of an argument as a float. Runs user code.
pub(crate) fn double(object: Arg<'_, '_>) -> Result<f64> {
    // SAFETY: a live object, and the thread is attached (a `Borrowed` proves it).
    let value = unsafe { user::double(object.as_ptr()) };
    // SAFETY: the thread is attached.
    if value < 0.0 && !unsafe { ffi::PyErr_Occurred() }.is_null() {
        return Err(Error::pending());
    }
    Ok(value)
}

/// A flag: anything, as in an `if`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth(pub(crate) bool);

impl FromPyObject<'_, '_> for Truth {
    type Error = PyErr;

    fn extract(object: Arg<'_, '_>) -> PyResult<Self> {
        Ok(Self(truth(object)?))
    }
}

/// `format(value, spec)`, where the value's class is the interpreter's own.
pub(crate) fn format<'py>(
    value: &Bound<'py, PyAny>,
    spec: &Bound<'py, PyAny>,
) -> Result<Bound<'py, PyAny>> {
    if !spec.is_instance_of::<PyString>() {
        let class = spec.get_type().name().map_err(Error::raised)?;
        let words = format_args!("format() argument 2 must be str, not {class}");
        return Err(Error::wrong_type(words));
    }
    // SAFETY: live objects, and the thread is attached (a `Bound` proves both).
    let text = unsafe { ffi::PyObject_Format(value.as_ptr(), spec.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { owned(value.py(), text) }
}

/// A function that may be None, given for the parameter `name`.
pub(crate) fn callable<'py>(
    name: &str,
    given: Option<Bound<'py, PyAny>>,
) -> Result<Option<Bound<'py, PyAny>>> {
    let Some(given) = given.filter(|given| !given.is_none()) else { return Ok(None) };
    if given.is_callable() {
        return Ok(Some(given));
    }
    let given = shown(&given);
    Err(Error::wrong_type(format_args!("{name} must be callable or None, not {given}")))
}
