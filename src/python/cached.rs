//! Class `_CachedFunction`: what the decorator `cached` returns.
//!
//! It makes the key of a call as `functools.lru_cache` does, asks the cache, and leaves
//! what is missing to `lockfree._cached`.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple};

use super::cache::Cache;
use super::key::Key;

unsafe extern "C" {
    // Missing in pyo3-ffi 0.30.
    fn PyMethod_New(function: *mut ffi::PyObject, slf: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// A function whose results are in a cache; `miss` is called with what is not.
#[pyclass(frozen, weakref, dict, module = "lockfree._native", name = "_CachedFunction")]
#[derive(Debug)]
pub(crate) struct CachedFunction {
    cache: Py<Cache>,
    function: Py<PyAny>,
    typed: bool,
    miss: Py<PyAny>,
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
    /// The key of a call.
    fn key<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
        if kwargs.is_some() || self.typed {
            return self.long_key(args, kwargs);
        }
        if args.len() == 1 {
            let only = args.get_item(0)?;
            if only.is_exact_instance_of::<PyInt>() || only.is_exact_instance_of::<PyString>() {
                return Ok(only);
            }
        }
        Ok(args.clone().into_any())
    }

    /// The key of a call with keywords, or where the types count.
    #[cold]
    fn long_key<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let mut parts: Vec<Bound<'py, PyAny>> = args.iter().collect();
        let mut types: Vec<_> = parts.iter().map(|part| part.get_type().into_any()).collect();
        if let Some(kwargs) = kwargs {
            parts.push(mark(py)?.clone());
            for (name, value) in kwargs {
                types.push(value.get_type().into_any());
                parts.extend([name, value]);
            }
        }
        if self.typed {
            parts.append(&mut types);
        }
        Ok(PyTuple::new(py, parts)?.into_any())
    }
}

#[pymethods]
impl CachedFunction {
    #[new]
    #[pyo3(signature = (cache, function, typed, miss, /))]
    fn new(cache: Py<Cache>, function: Py<PyAny>, typed: bool, miss: Py<PyAny>) -> Self {
        Self { cache, function, typed, miss }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let key = self.key(args, kwargs)?;
        let found = Key::new(key.as_borrowed()).and_then(|key| self.cache.get().look_up(&key));
        if let Some(value) = found? {
            return Ok(value.into_py().into_bound(py));
        }
        let kwargs = kwargs.map_or_else(|| PyDict::new(py), Clone::clone);
        self.miss.bind(py).call1((key, args, kwargs))
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
        visit.call(&self.miss)
    }
}
