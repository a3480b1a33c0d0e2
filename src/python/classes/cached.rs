//! Class `_CachedFunction`: what the decorator `cached` returns.
//!
//! It makes the key of a call as `functools.lru_cache` does, asks the cache, and leaves
//! what is missing to `lockfree._cached`.
//!
//! The usual call has one argument, which is the key, and needs no tuple.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple};

use super::cache::Cache;
use super::wrapper::{self, Call, Wrapper, wrapper_methods};
use crate::engine::memory::growth::{put, room};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Error, Result};
use crate::python::boundary::key::Key;
use crate::python::boundary::object::{Arg, tuple};
use crate::python::boundary::owned::Owned;
use crate::python::boundary::tuple_key::{self, TupleKey};
use crate::python::boundary::user;

unsafe extern "C" {
    // Missing in pyo3-ffi 0.30.
    fn PyMethod_New(function: *mut ffi::PyObject, slf: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// A function whose results are in a cache; `miss` is called with what is not.
#[pyclass(frozen, weakref, dict, module = "lockfree._native", name = "_CachedFunction")]
#[derive(Debug)]
#[repr(C)]
pub(crate) struct CachedFunction {
    /// Where the type says that it is.
    vectorcall: ffi::vectorcallfunc,
    deferral: Deferral,
    cache: Py<Cache>,
    function: Py<PyAny>,
    typed: bool,
    miss: Py<PyAny>,
    /// Makes the keys from arguments and keywords, if they are not made here.
    maker: Option<Py<PyAny>>,
    /// Whether the function is part of the keys that are made here.
    is_shared: bool,
    /// Whether an only argument can be the key.
    is_simple: bool,
}

/// Makes the type one whose instances are called by [`wrapper::vectorcall`]. Call it once, at
/// import, before there is an instance.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let cache = Py::new(py, Cache::uninitialized())?;
    let probe = CachedFunction::new(cache, py.None(), false, py.None(), None, false);
    let probe = Bound::new(py, probe)?;
    // A method descriptor: `obj.method()` passes `obj` as the first argument, and makes no
    // bound method.
    wrapper::prepare(&probe, &probe.get().vectorcall, ffi::Py_TPFLAGS_METHOD_DESCRIPTOR)?;
    mark(py)?;
    tuple_key::prepare(py)?;
    // How `lockfree._cached` finds the one that belongs to a cache; its twin has its own.
    py.get_type::<Cache>().setattr("_cached_function", py.get_type::<CachedFunction>())
}

/// Whether an only argument can be the key itself.
#[inline]
fn is_plain(only: Arg<'_, '_>) -> bool {
    only.is_exact_instance_of::<PyInt>()
        || only.is_exact_instance_of::<PyString>()
        || is_compared_by_identity(only)
}

/// Whether nothing but an object itself is equal to it, as with an instance whose class
/// says nothing about it: `self` of a method, most often. As a key it needs no tuple,
/// which would count its references, and be counted itself.
fn is_compared_by_identity(object: Arg<'_, '_>) -> bool {
    // SAFETY: a live object, whose type lives as long as it does.
    let class = unsafe { ffi::Py_TYPE(object.as_ptr()) };
    // SAFETY: as above.
    let class = unsafe { &*class };
    let plain = &raw const ffi::PyBaseObject_Type;
    // SAFETY: CPython's own, which is never changed.
    let plain = unsafe { &*plain };
    let hash = |class: &ffi::PyTypeObject| class.tp_hash.map(|slot| slot as usize);
    let compare = |class: &ffi::PyTypeObject| class.tp_richcompare.map(|slot| slot as usize);
    hash(class) == hash(plain) && compare(class) == compare(plain)
}

/// What separates positional arguments from the others, in a key.
fn mark(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static MARK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let mark = MARK.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("builtins")?.getattr("object")?.call0()?.unbind())
    });
    Ok(mark?.bind(py))
}

impl Wrapper for CachedFunction {
    #[inline]
    fn deferral(&self) -> &Deferral {
        &self.deferral
    }

    #[inline]
    fn call(&self, call: &Call<'_, '_>) -> Result<Owned> {
        match call.only() {
            Some(key) if self.is_simple && is_plain(key) => self.value(key, call),
            _ => self.call_with_key(call),
        }
    }
}

impl CachedFunction {
    /// A call whose key must be made.
    #[inline(never)]
    fn call_with_key(&self, call: &Call<'_, '_>) -> Result<Owned> {
        if self.typed || self.maker.is_some() || call.has_names() {
            let (args, kwargs) = call.spelled()?;
            let key = self.key(&args, &kwargs)?;
            let key = key.borrow(call.py);
            return match self.cache.get().look_up(&Key::new(key)?)? {
                Some(value) => Ok(value),
                None => self.miss(key, &args, &kwargs),
            };
        }
        if !self.is_shared {
            let key = TupleKey::new(call.py, call.items())?;
            if let Some(value) = self.cache.get().look_up(&key)? {
                return Ok(value);
            }
            let (args, kwargs) = call.spelled()?;
            return self.miss(args.as_any().as_borrowed(), &args, &kwargs);
        }
        let key = match call.only().filter(|only| is_plain(*only)) {
            Some(only) => Owned::new(only),
            None => call.positional()?,
        };
        self.value(self.with_function(call.py, key)?.borrow(call.py), call)
    }

    /// The value of a call's key.
    #[inline(always)]
    fn value(&self, key: Arg<'_, '_>, call: &Call<'_, '_>) -> Result<Owned> {
        if let Some(value) = self.cache.get().glance(key) {
            return Ok(value);
        }
        if let Some(value) = self.cache.get().look_up(&Key::new(key)?)? {
            return Ok(value);
        }
        let (args, kwargs) = call.spelled()?;
        self.miss(key, &args, &kwargs)
    }

    /// A key with the function beside it, if others keep their results in the same cache.
    fn with_function(&self, py: Python<'_>, key: Owned) -> Result<Owned> {
        if !self.is_shared {
            return Ok(key);
        }
        tuple([Owned::new(self.function.bind_borrowed(py)), key])
    }

    fn miss(
        &self,
        key: Arg<'_, '_>,
        args: &Bound<'_, PyTuple>,
        kwargs: &Bound<'_, PyDict>,
    ) -> Result<Owned> {
        let args = [key.as_ptr(), args.as_ptr(), kwargs.as_ptr()];
        // SAFETY: live objects, and the thread is attached (a `Borrowed` proves both).
        let value = unsafe { user::call(self.miss.as_ptr(), &args) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Owned::from_new(value) }.ok_or_else(Error::pending)
    }

    /// The key of a call with other than one plain argument.
    fn key(&self, args: &Bound<'_, PyTuple>, kwargs: &Bound<'_, PyDict>) -> Result<Owned> {
        if let Some(maker) = &self.maker {
            // SAFETY: live objects, and the thread is attached (a `Bound` proves both).
            let key = unsafe { user::call(maker.as_ptr(), &[args.as_ptr(), kwargs.as_ptr()]) };
            // SAFETY: a new reference, or null with an exception set.
            return unsafe { Owned::from_new(key) }.ok_or_else(Error::pending);
        }
        self.with_function(args.py(), self.key_of(args, kwargs)?)
    }

    /// The key without the function.
    fn key_of(&self, args: &Bound<'_, PyTuple>, kwargs: &Bound<'_, PyDict>) -> Result<Owned> {
        if kwargs.is_empty() && !self.typed {
            return Ok(match args.as_slice() {
                [only] if is_plain(only.as_borrowed()) => Owned::new(only.as_borrowed()),
                _ => Owned::new(args.as_any().as_borrowed()),
            });
        }
        let py = args.py();
        let (count, named) = (args.len() + 2 * kwargs.len(), args.len() + kwargs.len());
        let mut parts = room::<Owned>(count + 1 + named)?;
        let mut types = room(named)?;
        for part in args.iter_borrowed() {
            put(&mut types, Owned::from(part.get_type().into_any())); // room: above
            put(&mut parts, Owned::new(part)); // room: above
        }
        if !kwargs.is_empty() {
            let mark = mark(py).map_err(Error::raised)?;
            put(&mut parts, Owned::new(mark.as_borrowed())); // room: above
        }
        for (name, value) in kwargs {
            put(&mut types, value.get_type().into_any().into()); // room: above
            for part in [name, value] {
                put(&mut parts, part.into()); // room: above
            }
        }
        for class in types.into_iter().filter(|_| self.typed) {
            put(&mut parts, class); // room: above
        }
        tuple(parts)
    }
}

wrapper_methods! {
    CachedFunction;

    #[new]
    #[pyo3(signature = (cache, function, typed, miss, maker, is_shared, /))]
    fn new(
        cache: Py<Cache>,
        function: Py<PyAny>,
        typed: bool,
        miss: Py<PyAny>,
        maker: Option<Py<PyAny>>,
        is_shared: bool,
    ) -> Self {
        let is_simple = !(typed || is_shared || maker.is_some());
        let (vectorcall, deferral) = (wrapper::vectorcall::<Self>, Deferral::default());
        Self { vectorcall, deferral, cache, function, typed, miss, maker, is_shared, is_simple }
    }

    /// Return the key of a call.
    #[pyo3(signature = (args, kwargs, /))]
    fn _key(&self, args: &Bound<'_, PyTuple>, kwargs: &Bound<'_, PyDict>) -> Result<Py<PyAny>> {
        Ok(self.key(args, kwargs)?.into_py())
    }

    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: Option<&Bound<'py, PyAny>>,
        owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = owner;
        let Some(instance) = instance else { return Ok(slf.clone().into_any()) };
        // SAFETY: live objects, and the thread is attached.
        let method = unsafe { PyMethod_New(slf.as_ptr(), instance.as_ptr()) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(slf.py(), method) }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.cache)?;
        visit.call(&self.function)?;
        visit.call(&self.maker)?;
        visit.call(&self.miss)
    }
}
