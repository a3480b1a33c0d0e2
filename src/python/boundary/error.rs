//! Every error the extension reports: its text, its exception, its raising.
//!
//! `lockfree.locked` words its errors the same; a test compares the two.

use std::any::Any;

use pyo3::exceptions::{
    PyIndexError, PyKeyError, PyMemoryError, PyOverflowError, PyTypeError, PyValueError,
};
use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::owned::Owned;
use super::user;
use crate::engine::OutOfMemory;

/// What went wrong, before it is a Python exception. One word, so that the hot
/// paths return it in registers.
#[derive(Debug)]
pub(crate) struct Error(Box<Kind>);

#[derive(Debug)]
enum Kind {
    Type(String),
    Value(String),
    Index(&'static str),
    Key(Owned),
    Queue(&'static str),
    Memory,
    Overflow(String),
    /// A call into Python left an exception set.
    Pending,
    /// An exception that was set.
    Raised(PyErr),
}

/// What the glue's functions return.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A `TypeError`.
    #[cold]
    pub(crate) fn wrong_type(text: String) -> Self {
        Self(Box::new(Kind::Type(text)))
    }

    /// A `ValueError`.
    #[cold]
    pub(crate) fn wrong_value(text: String) -> Self {
        Self(Box::new(Kind::Value(text)))
    }

    /// An `IndexError`: there is nothing to take.
    #[cold]
    pub(crate) fn empty(text: &'static str) -> Self {
        Self(Box::new(Kind::Index(text)))
    }

    /// A `KeyError`: the key, or what else is shown in its place, is missing.
    #[cold]
    pub(crate) fn missing(key: Owned) -> Self {
        Self(Box::new(Kind::Key(key)))
    }

    /// An `OverflowError`: what `text` names does not fit.
    #[cold]
    pub(crate) fn too_wide(text: &str) -> Self {
        Self(Box::new(Kind::Overflow(format!("{text} does not fit in 64 bits"))))
    }

    /// An `OverflowError`: the result of `value operator operand` does not fit.
    #[cold]
    pub(crate) fn result_too_wide(value: i64, operator: char, operand: i64) -> Self {
        Self::too_wide(&format!("{value} {operator} {operand}"))
    }

    /// The exception that a call into Python left set.
    #[cold]
    pub(crate) fn pending() -> Self {
        Self(Box::new(Kind::Pending))
    }

    /// An exception that a call through PyO3 has taken off.
    #[cold]
    pub(crate) fn raised(error: PyErr) -> Self {
        told_attached(|py| error.restore(py));
        Self::pending()
    }

    /// The same error, with no exception set: user code may run before it is raised.
    #[cold]
    pub(crate) fn taken_off(self) -> Self {
        match *self.0 {
            Kind::Pending => Self(Box::new(Kind::Raised(told_attached(PyErr::fetch)))),
            _ => self,
        }
    }

    /// What is left of two errors that were taken off: the second, raised in the context of
    /// the first.
    #[cold]
    pub(crate) fn join(first: Option<Self>, second: Option<Self>) -> Option<Self> {
        let (Some(earlier), Some(later)) = (&first, &second) else { return first.or(second) };
        if let (Kind::Raised(earlier), Kind::Raised(later)) = (&*earlier.0, &*later.0) {
            told_attached(|py| {
                let context = earlier.value(py).clone().into_ptr();
                // SAFETY: both are live exceptions; the reference to the second is given up.
                unsafe { ffi::PyException_SetContext(later.value(py).as_ptr(), context) };
            });
        }
        second
    }

    /// Writes it to `sys.unraisablehook`.
    #[cold]
    pub(crate) fn write(self) {
        told_attached(|py| PyErr::from(self).write_unraisable(py, None));
    }

    /// An exception of the standard library's `queue`, or our own stand-in for it.
    #[cold]
    pub(crate) fn queue(name: &'static str) -> Self {
        Self(Box::new(Kind::Queue(name)))
    }

    /// Whether it tells that a queue was shut down.
    pub(crate) fn is_shutdown(&self) -> bool {
        matches!(*self.0, Kind::Queue("ShutDown"))
    }

    /// Sets the exception and returns what a slot then returns.
    ///
    #[cold]
    pub(crate) fn raise(self) -> *mut ffi::PyObject {
        if !matches!(*self.0, Kind::Pending) {
            told_attached(|py| PyErr::from(self).restore(py));
        }
        std::ptr::null_mut()
    }
}

/// Runs `f` where PyO3 knows that the thread is attached.
///
/// Slots do not go through PyO3's entry code, so that it would queue decrements;
/// `attach` tells it, for the cost of a counter. Late in the interpreter's end
/// `attach` panics, although finalizers still run: there decrements may be queued.
pub(super) fn told_attached<R>(f: impl FnOnce(Python<'_>) -> R) -> R {
    // SAFETY: has no conditions.
    if unsafe { ffi::Py_IsInitialized() } != 0 {
        return Python::attach(f);
    }
    // SAFETY: errors are raised by attached threads.
    f(unsafe { Python::assume_attached() })
}

/// The classes of `lockfree._errors`. They are kept, because late in the interpreter's
/// end nothing can be imported.
fn queue_class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static CLASSES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let classes = CLASSES.get_or_try_init(py, || {
        let classes = PyDict::new(py);
        for name in ["Empty", "Full", "ShutDown"] {
            classes.set_item(name, py.import("lockfree._errors")?.getattr(name)?)?;
        }
        PyResult::Ok(classes.unbind())
    });
    classes?.bind(py).as_any().get_item(name)
}

/// Gets ready to raise what may have to be raised at the interpreter's end.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    queue_class(py, "Empty").map(drop)
}

impl From<OutOfMemory> for Error {
    #[cold]
    fn from(_: OutOfMemory) -> Self {
        Self(Box::new(Kind::Memory))
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match *error.0 {
            Kind::Type(text) => PyTypeError::new_err(text),
            Kind::Value(text) => PyValueError::new_err(text),
            Kind::Index(text) => PyIndexError::new_err(text),
            Kind::Key(key) => PyKeyError::new_err((key.into_py(),)),
            Kind::Queue(name) => told_attached(|py| match queue_class(py, name) {
                Ok(class) => class.call0().map_or_else(|error| error, PyErr::from_value),
                Err(error) => error,
            }),
            Kind::Memory => PyMemoryError::new_err(()),
            Kind::Overflow(text) => PyOverflowError::new_err(text),
            Kind::Pending => told_attached(PyErr::fetch),
            Kind::Raised(error) => error,
        }
    }
}

/// Turns a caught panic into the exception that PyO3 raises for one.
#[cold]
pub(crate) fn raise_panic(payload: &(dyn Any + Send)) -> *mut ffi::PyObject {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("panic in native code")
        .to_owned();
    told_attached(|py| PanicException::new_err(text).restore(py));
    std::ptr::null_mut()
}

/// How messages show a value: its `repr`, shortened; never an error itself.
#[cold]
pub(crate) fn shown(value: &Bound<'_, PyAny>) -> String {
    const LONGEST: usize = 80;
    // SAFETY: a live object, and the thread is attached (a `Bound` proves both).
    let text = unsafe { user::repr(value.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    let text = unsafe { Bound::from_owned_ptr_or_err(value.py(), text) };
    let Ok(text) = text.and_then(|text| text.extract::<String>()) else {
        return format!("<{} object>", value.get_type());
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// A copy would not be shared: copying and pickling are refused.
#[cold]
pub(crate) fn not_copyable(class: &str, instead: &str) -> PyErr {
    PyTypeError::new_err(format!("cannot copy or pickle '{class}' object: {instead}"))
}
