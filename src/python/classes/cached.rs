//! Class `_CachedFunction`: what the decorator `cached` returns.
//!
//! It makes the key of a call as `functools.lru_cache` does, asks the cache, and leaves
//! what is missing to `lockfree._cached`.
//!
//! Calls come by the vectorcall protocol, which passes arguments as they lie on the
//! interpreter's stack: the usual call has one, which is the key, and needs no tuple.
//! PyO3 has no word for that protocol, so [`prepare`] tells the type.

use std::ffi::c_ulong;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple};

use super::cache::Cache;
use crate::engine::memory::growth::room;
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Error, Result, raise_panic};
use crate::python::boundary::key::Key;
use crate::python::boundary::object::{Arg, IntoObject, borrowed, dict, tuple};
use crate::python::boundary::owned::Owned;
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
}

/// Makes the type one whose instances are called by [`vectorcall`]. Call it once, at
/// import, before there is an instance.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let cache = Py::new(py, Cache::uninitialized())?;
    let probe = CachedFunction::new(cache, py.None(), false, py.None(), None);
    let probe = Bound::new(py, probe)?;
    let field = std::ptr::from_ref(&probe.get().vectorcall).addr();
    let offset = (field - probe.as_ptr().addr()).cast_signed();
    let class = py.get_type::<CachedFunction>().as_type_ptr();
    // SAFETY: the type is alive, and nobody else has seen it yet.
    let class = unsafe { &mut *class };
    class.tp_vectorcall_offset = offset;
    class.tp_call = Some(ffi::PyVectorcall_Call);
    // A method descriptor: `obj.method()` passes `obj` as the first argument, and makes no
    // bound method.
    add_flag(class, ffi::Py_TPFLAGS_HAVE_VECTORCALL | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR);
    // SAFETY: a live object.
    let found = unsafe { ffi::PyVectorcall_Function(probe.as_ptr()) };
    if found.map(|found| found as usize) != Some(vectorcall as *const () as usize) {
        let text = "this Python does not find the function by which a cached one is called";
        return Err(PyImportError::new_err(text));
    }
    // How `lockfree._cached` finds the one that belongs to a cache; its twin has its own.
    py.get_type::<Cache>().setattr("_cached_function", py.get_type::<CachedFunction>())
}

#[cfg(Py_GIL_DISABLED)]
pub(super) fn add_flag(class: &ffi::PyTypeObject, flag: c_ulong) {
    class.tp_flags.fetch_or(flag, crate::shim::Ordering::Relaxed);
}

#[cfg(not(Py_GIL_DISABLED))]
pub(super) fn add_flag(class: &mut ffi::PyTypeObject, flag: c_ulong) {
    class.tp_flags |= flag;
}

/// The function of the vectorcall protocol.
unsafe extern "C" fn vectorcall(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let run = || {
        // SAFETY: called by an attached thread.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: the caller of an object holds a reference to it.
        let slf = unsafe { borrowed(py, slf) };
        // SAFETY: only instances of the type have this function.
        let this = unsafe { slf.cast_unchecked::<CachedFunction>() };
        this.get().deferral.touch(slf);
        // SAFETY: null or a tuple of strings, which lives during the call.
        let names = unsafe { Arg::from_ptr_or_opt(py, names) };
        // SAFETY: has no conditions.
        let count = unsafe { ffi::PyVectorcall_NARGS(count) };
        let call = Call { py, args, count, names };
        match this.get().call(&call) {
            Ok(value) => value.into_object(py),
            Err(error) => error.raise(),
        }
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| raise_panic(&*payload))
}

/// The arguments of a call: `count` positional ones, then those that have names.
struct Call<'a, 'py> {
    py: Python<'py>,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: Option<Arg<'a, 'py>>,
}

impl<'py> Call<'_, 'py> {
    /// The only argument, if it can be the key itself.
    #[inline]
    fn plain(&self) -> Option<Arg<'_, 'py>> {
        if self.count != 1 || self.names.is_some() {
            return None;
        }
        let only = self.arg(0);
        is_plain(only).then_some(only)
    }

    #[inline]
    fn arg(&self, place: ffi::Py_ssize_t) -> Arg<'_, 'py> {
        // SAFETY: there are as many as that.
        let arg = unsafe { self.args.offset(place) };
        // SAFETY: as above.
        let arg = unsafe { *arg };
        // SAFETY: arguments live during the call.
        unsafe { borrowed(self.py, arg) }
    }

    /// The arguments as a function has them: `*args, **kwargs`.
    fn spelled(&self) -> Result<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let args = tuple(
            (0..self.count.cast_unsigned()).map(|place| Owned::new(self.arg(place.cast_signed()))),
        )?;
        // SAFETY: made as a tuple.
        let args = unsafe { args.into_py().into_bound(self.py).cast_into_unchecked() };
        let kwargs = dict(self.py)?;
        if let Some(names) = self.names {
            // SAFETY: a tuple, by the protocol.
            let names = unsafe { names.cast_unchecked::<PyTuple>() };
            for (place, name) in (self.count..).zip(names.iter_borrowed()) {
                kwargs.set_item(name, self.arg(place)).map_err(Error::raised)?;
            }
        }
        Ok((args, kwargs))
    }
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

impl CachedFunction {
    #[inline]
    fn call(&self, call: &Call<'_, '_>) -> Result<Owned> {
        if !self.typed
            && self.maker.is_none()
            && let Some(key) = call.plain()
        {
            if let Some(value) = self.cache.get().look_up(&Key::new(key)?)? {
                return Ok(value);
            }
            let (args, kwargs) = call.spelled()?;
            return self.miss(key, &args, &kwargs);
        }
        self.call_with_key(call)
    }

    /// A call whose key must be made.
    #[inline(never)]
    fn call_with_key(&self, call: &Call<'_, '_>) -> Result<Owned> {
        let (args, kwargs) = call.spelled()?;
        let key = self.key(&args, &kwargs)?;
        let key = key.borrow(call.py);
        match self.cache.get().look_up(&Key::new(key)?)? {
            Some(value) => Ok(value),
            None => self.miss(key, &args, &kwargs),
        }
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
        if kwargs.is_empty() && !self.typed {
            return Ok(Owned::new(args.as_any().as_borrowed()));
        }
        let py = args.py();
        let (count, named) = (args.len() + 2 * kwargs.len(), args.len() + kwargs.len());
        let mut parts = room::<Owned>(count + 1 + named)?;
        let mut types = room(named)?;
        for part in args.iter_borrowed() {
            types.push(Owned::from(part.get_type().into_any()));
            parts.push(Owned::new(part));
        }
        if !kwargs.is_empty() {
            parts.push(Owned::new(mark(py).map_err(Error::raised)?.as_borrowed()));
        }
        for (name, value) in kwargs {
            types.push(value.get_type().into_any().into());
            parts.extend([name, value].map(Owned::from));
        }
        if self.typed {
            parts.append(&mut types);
        }
        tuple(parts)
    }
}

#[pymethods]
impl CachedFunction {
    #[new]
    #[pyo3(signature = (cache, function, typed, miss, maker, /))]
    fn new(
        cache: Py<Cache>,
        function: Py<PyAny>,
        typed: bool,
        miss: Py<PyAny>,
        maker: Option<Py<PyAny>>,
    ) -> Self {
        Self { vectorcall, cache, function, typed, miss, maker, deferral: Deferral::default() }
    }

    /// Return the key of a call.
    #[pyo3(signature = (args, kwargs, /))]
    fn _key(&self, args: &Bound<'_, PyTuple>, kwargs: &Bound<'_, PyDict>) -> Result<Py<PyAny>> {
        if let [only] = args.as_slice()
            && kwargs.is_empty()
            && !self.typed
            && self.maker.is_none()
            && is_plain(only.as_borrowed())
        {
            return Ok(only.clone().unbind());
        }
        Ok(self.key(args, kwargs)?.into_py())
    }

    /// For who asks for the attribute; a call does not come here.
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.call(args, kwargs)
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

    fn __copy__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (memo, /))]
    fn __deepcopy__<'py>(slf: Bound<'py, Self>, memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        let _ = memo;
        slf
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.getattr("__qualname__")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.cache)?;
        visit.call(&self.function)?;
        visit.call(&self.maker)?;
        visit.call(&self.miss)
    }
}
