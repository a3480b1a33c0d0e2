//! Every error the extension reports: its text, its exception, its raising.
//!
//! `lockfree.locked` words its errors the same; a test compares the two.
//!
//! Where there is no memory for an exception or its text, a `MemoryError` is raised in its
//! place. PyO3's own exceptions are made when they are raised, and panic there; so
//! those that the classes raise are made here.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::iter::successors;

use pyo3::exceptions::{
    PyAttributeError, PyBaseException, PyException, PyIndexError, PyOverflowError, PyRuntimeError,
    PyTypeError, PyValueError,
};
use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::type_object::PyTypeInfo;
use pyo3::types::PyString;

use super::object::{self, IntoObject};
use super::owned::Owned;
use super::user;
use crate::engine::OutOfMemory;
use crate::engine::memory::growth::{boxed, text};

/// What went wrong, before it is a Python exception. One word, so that the hot
/// paths return it in registers; without a box, an exception is set.
#[derive(Debug)]
pub(crate) struct Error(Option<Box<Kind>>);

#[derive(Debug)]
enum Kind {
    Type(String),
    Value(String),
    Index(&'static str),
    Runtime(&'static str),
    Key(Owned),
    Queue(QueueError),
    Attribute(String),
    Overflow(String),
    /// An exception that was set.
    Raised(PyErr),
}

/// The exceptions of the standard library's `queue`, or our own stand-ins for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueError {
    Empty,
    Full,
    ShutDown,
}

/// What the glue's functions return.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn of(kind: Kind) -> Self {
        boxed(kind).map_or_else(Self::from, |kind| Self(Some(kind)))
    }

    fn worded(kind: fn(String) -> Kind, words: fmt::Arguments<'_>) -> Self {
        text(words).map_or_else(Self::from, |text| Self::of(kind(text)))
    }

    /// A `TypeError`.
    #[cold]
    pub(crate) fn wrong_type(words: fmt::Arguments<'_>) -> Self {
        Self::worded(Kind::Type, words)
    }

    /// A `ValueError`.
    #[cold]
    pub(crate) fn wrong_value(words: fmt::Arguments<'_>) -> Self {
        Self::worded(Kind::Value, words)
    }

    /// An `AttributeError`.
    #[cold]
    pub(crate) fn absent(words: fmt::Arguments<'_>) -> Self {
        Self::worded(Kind::Attribute, words)
    }

    /// An `AttributeError`: a property cannot be deleted. PyO3's own words do not say which.
    #[cold]
    pub(crate) fn no_deleter(object: &Bound<'_, PyAny>, property: &str) -> Self {
        object.get_type().name().map_or_else(Self::raised, |class| {
            let words = format_args!("property '{property}' of '{class}' object has no deleter");
            Self::absent(words)
        })
    }

    /// An `IndexError`: there is nothing to take.
    #[cold]
    pub(crate) fn empty(text: &'static str) -> Self {
        Self::of(Kind::Index(text))
    }

    /// A `RuntimeError`: it is not used as it must be.
    #[cold]
    pub(crate) fn misused(text: &'static str) -> Self {
        Self::of(Kind::Runtime(text))
    }

    /// A `KeyError`: the key, or what else is shown in its place, is missing.
    #[cold]
    pub(crate) fn missing(key: Owned) -> Self {
        Self::of(Kind::Key(key))
    }

    /// An `OverflowError`: what `text` names does not fit.
    #[cold]
    pub(crate) fn too_wide(what: fmt::Arguments<'_>) -> Self {
        Self::worded(Kind::Overflow, format_args!("{what} does not fit in 64 bits"))
    }

    /// An `OverflowError`: the result of `value operator operand` does not fit.
    #[cold]
    pub(crate) fn result_too_wide(value: i64, operator: char, operand: i64) -> Self {
        Self::too_wide(format_args!("{value} {operator} {operand}"))
    }

    /// The exception that a call into Python left set.
    #[cold]
    pub(crate) fn pending() -> Self {
        Self(None)
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
        match self.0 {
            None => Self::of(Kind::Raised(told_attached(PyErr::fetch))),
            some => Self(some),
        }
    }

    /// Forgets it, and the exception that may be set.
    #[cold]
    pub(crate) fn discard(self) {
        if self.0.is_none() {
            // SAFETY: errors are made and given up by attached threads.
            unsafe { ffi::PyErr_Clear() };
        }
    }

    /// Whether it is an `Exception`, once it was taken off: `KeyboardInterrupt` is none.
    pub(crate) fn is_ordinary(&self, py: Python<'_>) -> bool {
        match self.0.as_deref() {
            Some(Kind::Raised(error)) => error.is_instance_of::<PyException>(py),
            _ => true,
        }
    }

    /// What is left of two errors that were taken off: the second, raised in the context of
    /// the first, unless it has a context already, or is in that one's: a chain of contexts must
    /// end.
    #[cold]
    pub(crate) fn join(first: Option<Self>, second: Option<Self>) -> Option<Self> {
        let (Some(earlier), Some(later)) = (&first, &second) else { return first.or(second) };
        if let (Some(Kind::Raised(earlier)), Some(Kind::Raised(later))) =
            (earlier.0.as_deref(), later.0.as_deref())
        {
            told_attached(|py| {
                let (earlier, later) = (earlier.value(py), later.value(py));
                let chain = || successors(Some(earlier.clone()), context_of);
                if context_of(later).is_some() || chain().any(|error| error.is(later)) {
                    return;
                }
                let context = earlier.clone().into_ptr();
                // SAFETY: both are live exceptions; the reference to the second is given up.
                unsafe { ffi::PyException_SetContext(later.as_ptr(), context) };
            });
        }
        second
    }

    /// Writes it to `sys.unraisablehook`.
    #[cold]
    pub(crate) fn write(self) {
        self.raise();
        user::write_unraisable();
    }

    /// Raises it a moment later, between two instructions of the main thread, where the
    /// exceptions of signal handlers come from anyway: for a call that has something in hand,
    /// which would be lost. On another thread it is written.
    #[cold]
    pub(crate) fn raise_later(self) {
        let error = PyErr::from(self);
        told_attached(|py| {
            let exception = error.into_value(py).into_ptr();
            let is_queued = user::is_main_thread(py)
                // SAFETY: the function takes the reference over.
                && unsafe { ffi::Py_AddPendingCall(Some(raise_now), exception.cast()) } == 0;
            if !is_queued {
                raise_now(exception.cast());
                user::write_unraisable();
            }
        });
    }

    /// An exception of the standard library's `queue`, or our own stand-in for it.
    #[cold]
    pub(crate) fn queue(which: QueueError) -> Self {
        Self::of(Kind::Queue(which))
    }

    /// Whether it tells that a queue was shut down.
    pub(crate) fn is_shutdown(&self) -> bool {
        matches!(self.0.as_deref(), Some(Kind::Queue(QueueError::ShutDown)))
    }

    /// Sets the exception and returns what a slot then returns.
    #[cold]
    pub(crate) fn raise(self) -> *mut ffi::PyObject {
        let Some(kind) = self.0 else { return std::ptr::null_mut() };
        match *kind {
            Kind::Type(text) => set::<PyTypeError>(&text),
            Kind::Attribute(text) => set::<PyAttributeError>(&text),
            Kind::Value(text) => set::<PyValueError>(&text),
            Kind::Index(text) => set::<PyIndexError>(text),
            Kind::Runtime(text) => set::<PyRuntimeError>(text),
            Kind::Overflow(text) => set::<PyOverflowError>(&text),
            Kind::Key(key) => set_key_error(key),
            Kind::Queue(which) => set_queue_error(which),
            Kind::Raised(error) => told_attached(|py| error.restore(py)),
        }
        std::ptr::null_mut()
    }
}

/// Sets an exception, of which it is given a reference.
extern "C" fn raise_now(exception: *mut c_void) -> c_int {
    // SAFETY: pending calls are made by attached threads.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: a live exception, with the reference that was taken for this.
    let exception = unsafe { Bound::from_owned_ptr(py, exception.cast()) };
    PyErr::from_value(exception).restore(py);
    -1
}

/// Sets an exception with a text.
#[cold]
fn set<E: PyTypeInfo>(text: &str) {
    // SAFETY: errors are raised by attached threads.
    let py = unsafe { Python::assume_attached() };
    let class = E::type_object_raw(py).cast();
    // SAFETY: a new reference, or null with an exception set.
    if let Some(text) = unsafe { Owned::from_new(text.into_object(py)) } {
        // SAFETY: attached, with a live class and string.
        unsafe { ffi::PyErr_SetObject(class, text.as_ptr()) };
    }
}

/// In which other one an exception was raised.
fn context_of<'py>(error: &Bound<'py, PyBaseException>) -> Option<Bound<'py, PyBaseException>> {
    // SAFETY: a live exception; a new reference, or null.
    let context = unsafe { ffi::PyException_GetContext(error.as_ptr()) };
    // SAFETY: as it says.
    let context = unsafe { Bound::from_owned_ptr_or_opt(error.py(), context) }?;
    // SAFETY: a context is an exception.
    Some(unsafe { context.cast_into_unchecked() })
}

#[cold]
fn set_key_error(key: Owned) {
    // In a tuple: CPython would take one that is the key for the arguments.
    if let Ok(args) = object::tuple([key]) {
        // SAFETY: has no conditions.
        let class = unsafe { ffi::PyExc_KeyError };
        // SAFETY: attached, with a live class and tuple.
        unsafe { ffi::PyErr_SetObject(class, args.as_ptr()) };
    }
}

#[cold]
fn set_queue_error(which: QueueError) {
    told_attached(|py| match queue_classes(py) {
        // SAFETY: attached, with a live class.
        Ok(classes) => unsafe { ffi::PyErr_SetNone(classes[which as usize].as_ptr()) },
        Err(error) => error.restore(py),
    });
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
fn queue_classes(py: Python<'_>) -> PyResult<&[Py<PyAny>; 3]> {
    static CLASSES: PyOnceLock<[Py<PyAny>; 3]> = PyOnceLock::new();
    CLASSES.get_or_try_init(py, || {
        let module = py.import("lockfree._errors")?;
        let class = |name| module.getattr(name).map(Bound::unbind);
        PyResult::Ok([class("Empty")?, class("Full")?, class("ShutDown")?])
    })
}

/// Gets ready to raise what may have to be raised at the interpreter's end.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    // PyO3 asks for it whenever it takes an exception off, and would make it then.
    PanicException::type_object_raw(py);
    queue_classes(py).map(drop)
}

impl From<OutOfMemory> for Error {
    #[cold]
    fn from(_: OutOfMemory) -> Self {
        // SAFETY: errors are made by attached threads. CPython keeps some of these ready.
        unsafe { ffi::PyErr_NoMemory() };
        Self::pending()
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        error.raise();
        told_attached(PyErr::fetch)
    }
}

/// Turns a caught panic into the exception that PyO3 raises for one.
#[cold]
pub(crate) fn raise_panic(payload: &(dyn Any + Send)) -> *mut ffi::PyObject {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("panic in native code");
    set::<PanicException>(text);
    std::ptr::null_mut()
}

/// How messages show a value: its `repr`, shortened; never an error itself.
#[cold]
pub(crate) fn shown<'py>(value: &Bound<'py, PyAny>) -> Shown<'py> {
    // SAFETY: a live object, and the thread is attached (a `Bound` proves both).
    if let Some(text) = string(value.py(), unsafe { user::repr(value.as_ptr()) }) {
        return Shown::Text(text);
    }
    // SAFETY: as above: a class lives as long as its instances.
    let class = unsafe { ffi::Py_TYPE(value.as_ptr()) };
    // SAFETY: as above.
    Shown::Object(string(value.py(), unsafe { ffi::PyObject_Str(class.cast()) }))
}

/// What stands in a message for a value.
pub(crate) enum Shown<'py> {
    Text(Bound<'py, PyString>),
    /// Of the class that has this text, if any.
    Object(Option<Bound<'py, PyString>>),
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 80;
        match self {
            Self::Text(text) => {
                let text = utf8(text).unwrap_or_default();
                match text.char_indices().nth(LONGEST) {
                    Some((end, _)) => write!(f, "{}...", &text[..end]),
                    None => f.write_str(text),
                }
            }
            Self::Object(class) => {
                let class = class.as_ref().and_then(utf8);
                write!(f, "<{} object>", class.unwrap_or("unprintable"))
            }
        }
    }
}

/// The string that a call returned, a new reference; `None` if it raised, or has no UTF-8.
fn string(py: Python<'_>, string: *mut ffi::PyObject) -> Option<Bound<'_, PyString>> {
    // SAFETY: a new reference, or null with an exception set.
    let string = unsafe { Bound::from_owned_ptr_or_err(py, string) }.ok()?;
    let string = string.cast_into().ok()?;
    utf8(&string).is_some().then_some(string)
}

/// Its text; once it was asked for, asking again takes no memory.
fn utf8<'a>(string: &'a Bound<'_, PyString>) -> Option<&'a str> {
    string.to_str().ok()
}

/// A copy would not be shared: copying and pickling are refused.
#[cold]
pub(crate) fn not_copyable(class: &str, instead: &str) -> PyErr {
    Error::wrong_type(format_args!("cannot copy or pickle '{class}' object: {instead}")).into()
}
