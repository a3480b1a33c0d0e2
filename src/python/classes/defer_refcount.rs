//! Function `defer_refcount`.

use pyo3::prelude::*;

use crate::python::boundary::deferral::defer;
use crate::python::boundary::error::{Error, Result, shown};

/// Stop counting references to an object that many threads name; return it.
#[pyfunction]
#[pyo3(signature = (obj, /))]
pub(crate) fn defer_refcount(obj: Bound<'_, PyAny>) -> Result<Bound<'_, PyAny>> {
    if defer(obj.as_borrowed()) {
        return Ok(obj);
    }
    let text = format!(
        "the garbage collector must track the object and free it by itself, which it does not for {}",
        shown(&obj)
    );
    Err(Error::wrong_type(text))
}
