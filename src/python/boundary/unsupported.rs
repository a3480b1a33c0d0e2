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

/// An operator.
trait Operator {
    /// As CPython's messages name it.
    const NAME: &'static str;
}

/// Refuses all operators that the type does not have. Call it once, at import.
///
/// # Errors
/// An `ImportError`: these are not the slots that the interpreter reads.
pub(crate) fn install<T: Unsupported>(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<T>();
    // SAFETY: a live class.
    let slots = unsafe { (*class.as_type_ptr()).tp_as_number };
    macro_rules! refuse {
        ($($member:ident $slot:ident $function:ident $name:literal;)*) => {$({
            struct This;
            impl Operator for This {
                const NAME: &'static str = $name;
            }
            // SAFETY: part of the class, as in all that are made at run time; nobody uses it yet.
            unsafe { (*slots).$member = Some($function::<T, This>) };
            replaced(&class, ffi::$slot, &[], None, $function::<T, This> as *mut c_void)?;
        })*};
    }
    refuse! {
        nb_add Py_nb_add binary "+";
        nb_subtract Py_nb_subtract binary "-";
        nb_multiply Py_nb_multiply binary "*";
        nb_true_divide Py_nb_true_divide binary "/";
        nb_floor_divide Py_nb_floor_divide binary "//";
        nb_remainder Py_nb_remainder binary "%";
        nb_divmod Py_nb_divmod binary "divmod()";
        nb_lshift Py_nb_lshift binary "<<";
        nb_rshift Py_nb_rshift binary ">>";
        nb_and Py_nb_and binary "&";
        nb_or Py_nb_or binary "|";
        nb_xor Py_nb_xor binary "^";
        nb_power Py_nb_power power "** or pow()";
        nb_negative Py_nb_negative unary "unary -";
        nb_positive Py_nb_positive unary "unary +";
        nb_absolute Py_nb_absolute unary "abs()";
        nb_invert Py_nb_invert unary "unary ~";
    }
    Ok(())
}

unsafe extern "C" fn binary<T: Unsupported, O: Operator>(
    a: *mut ffi::PyObject,
    b: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called as a slot of `T` is, with two live objects.
    guarded(|| unsafe { refuse::<T>(O::NAME, a, b) })
}

unsafe extern "C" fn power<T: Unsupported, O: Operator>(
    a: *mut ffi::PyObject,
    b: *mut ffi::PyObject,
    _modulus: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as above.
    guarded(|| unsafe { refuse::<T>(O::NAME, a, b) })
}

unsafe extern "C" fn unary<T: Unsupported, O: Operator>(
    a: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guarded(|| {
        // SAFETY: called as a slot of `T` is, with a live object.
        let class = unsafe { class_of(a) };
        let (name, instead) = (O::NAME, T::INSTEAD);
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
    name: &str,
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
    let instead = T::INSTEAD;
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
