//! Function `defer_refcount`.

use pyo3::prelude::*;

use crate::python::boundary::deferral::defer;
use crate::python::boundary::error::{Error, Result, shown};

#[allow(clippy::doc_markdown, clippy::doc_link_with_quotes)] // Python's markup
#[doc = include_str!(concat!(env!("OUT_DIR"), "/defer_refcount.txt"))]
#[pyfunction]
#[pyo3(signature = (obj, /))]
pub(crate) fn defer_refcount(obj: Bound<'_, PyAny>) -> Result<Bound<'_, PyAny>> {
    if defer(obj.as_borrowed()) {
        return Ok(obj);
    }
    Err(Error::wrong_type(format_args!(
        "the garbage collector must track the object and free it by itself, which it does not for {}",
        shown(&obj)
    )))
}
