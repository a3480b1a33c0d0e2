//! Operators that the class of a number does not have, with an error that says what to do.
//!
//! `a + 1` of an atomic would be a number that may be out of date, so that one has to say
//! what one means; but CPython's own "unsupported operand type(s)" does not say how. The
//! slots are put on the type behind PyO3's back, which would want two methods for each of
//! them, and they have no place in `dir()`.

use std::ffi::{CStr, c_void};
use std::panic::catch_unwind;

use pyo3::PyTypeInfo;
use pyo3::ffi;
use pyo3::prelude::*;

use super::arguments::replaced;
use super::error::{Error, raise_panic};

/// A class whose operators are refused.
pub(crate) trait Unsupported: PyTypeInfo {
    /// What to use instead, as in "use its value".
    const INSTEAD: &'static str;
}

/// Operators, as CPython's messages name them.
const NAMES: [&str; 17] = [
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "divmod()",
    "<<",
    ">>",
    "&",
    "|",
    "^",
    "** or pow()",
    "unary -",
    "unary +",
    "abs()",
    "unary ~",
];

/// Refuses all operators that the type does not have. Call it once, at import.
///
/// # Errors
/// An `ImportError`: these are not the slots that the interpreter reads.
pub(crate) fn install<T: Unsupported>(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<T>();
    // SAFETY: a live class.
    let slots = unsafe { (*class.as_type_ptr()).tp_as_number };
    macro_rules! refuse {
        ($($member:ident $slot:ident $function:expr;)*) => {$(
            // SAFETY: part of the class, as in all that are made at run time; nobody uses it yet.
            unsafe { (*slots).$member = Some($function) };
            replaced(&class, ffi::$slot, &[], None, $function as *mut c_void)?;
        )*};
    }
    refuse! {
        nb_add Py_nb_add binary::<T, 0>;
        nb_subtract Py_nb_subtract binary::<T, 1>;
        nb_multiply Py_nb_multiply binary::<T, 2>;
        nb_true_divide Py_nb_true_divide binary::<T, 3>;
        nb_floor_divide Py_nb_floor_divide binary::<T, 4>;
        nb_remainder Py_nb_remainder binary::<T, 5>;
        nb_divmod Py_nb_divmod binary::<T, 6>;
        nb_lshift Py_nb_lshift binary::<T, 7>;
        nb_rshift Py_nb_rshift binary::<T, 8>;
        nb_and Py_nb_and binary::<T, 9>;
        nb_or Py_nb_or binary::<T, 10>;
        nb_xor Py_nb_xor binary::<T, 11>;
        nb_power Py_nb_power power::<T>;
        nb_negative Py_nb_negative unary::<T, 13>;
        nb_positive Py_nb_positive unary::<T, 14>;
        nb_absolute Py_nb_absolute unary::<T, 15>;
        nb_invert Py_nb_invert unary::<T, 16>;
    }
    Ok(())
}

unsafe extern "C" fn binary<T: Unsupported, const OPERATOR: usize>(
    a: *mut ffi::PyObject,
    b: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called as a slot of `T` is, with two live objects.
    guarded(|| unsafe { refuse::<T>(OPERATOR, a, b) })
}

unsafe extern "C" fn power<T: Unsupported>(
    a: *mut ffi::PyObject,
    b: *mut ffi::PyObject,
    _modulus: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as above.
    guarded(|| unsafe { refuse::<T>(12, a, b) })
}

unsafe extern "C" fn unary<T: Unsupported, const OPERATOR: usize>(
    a: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guarded(|| {
        // SAFETY: called as a slot of `T` is, with a live object.
        let class = unsafe { class_of(a) };
        let name = NAMES[OPERATOR];
        let instead = T::INSTEAD;
        let words = format_args!("bad operand type for {name}: '{class}'; use {instead}");
        Error::wrong_type(words).raise()
    })
}

fn guarded(
    body: impl FnOnce() -> *mut ffi::PyObject + std::panic::UnwindSafe,
) -> *mut ffi::PyObject {
    catch_unwind(body).unwrap_or_else(|payload| raise_panic(&*payload))
}

/// Raises the error where both operands are numbers; lets others try, which may know the
/// class: `[0] * a` is a list.
///
/// # Safety
/// The thread is attached, and both are alive; one is an instance of `T`.
#[cold]
unsafe fn refuse<T: Unsupported>(
    operator: usize,
    a: *mut ffi::PyObject,
    b: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    let py = unsafe { Python::assume_attached() };
    let class = T::type_object_raw(py);
    // SAFETY: the caller's promise.
    let classes = [unsafe { ffi::Py_TYPE(a) }, unsafe { ffi::Py_TYPE(b) }];
    if !classes.into_iter().all(|other| other == class || is_plain(other)) {
        return py.NotImplemented().into_ptr();
    }
    // SAFETY: as above.
    let left = unsafe { class_of(a) };
    // SAFETY: as above.
    let right = unsafe { class_of(b) };
    let (name, instead) = (NAMES[operator], T::INSTEAD);
    Error::wrong_type(format_args!(
        "unsupported operand type(s) for {name}: '{left}' and '{right}'; use {instead}"
    ))
    .raise()
}

/// Whether it is one of the numbers that know nothing of the classes here.
fn is_plain(class: *mut ffi::PyTypeObject) -> bool {
    let int = &raw mut ffi::PyLong_Type;
    [int, &raw mut ffi::PyFloat_Type, &raw mut ffi::PyBool_Type, &raw mut ffi::PyComplex_Type]
        .contains(&class)
}

/// The name of an object's class.
///
/// # Safety
/// A live object.
unsafe fn class_of<'a>(object: *mut ffi::PyObject) -> &'a str {
    // SAFETY: the caller's promise.
    let class = unsafe { ffi::Py_TYPE(object) };
    // SAFETY: a class lives as long as its instances.
    let name = unsafe { (*class).tp_name };
    // SAFETY: a string of C, which lives as long as the class.
    let name = unsafe { CStr::from_ptr(name) };
    let name = name.to_bytes().rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    std::str::from_utf8(name).unwrap_or("?")
}
