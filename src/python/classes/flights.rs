//! What `lockfree._loading` keeps with a mapping: its loads that are under way.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};

use crate::python::boundary::error::Result;
use crate::python::boundary::object::dict;
use crate::python::boundary::owned::Owned;

/// The loads, by process, in a dict that is made when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Flights(OnceLock<Owned>);

impl Flights {
    /// The dict.
    pub(crate) fn table(&self, py: Python<'_>) -> Result<Py<PyAny>> {
        if let Some(table) = self.0.get() {
            return Ok(table.clone().into_py());
        }
        // Not inside the initialization: on CPython 3.11 making a dict may run user code.
        let table = dict(py)?.into_any().into();
        Ok(self.0.get_or_init(|| table).clone().into_py())
    }

    /// For the garbage collector.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.0.get().map_or(Ok(()), |table| visit.call(table.as_py()))
    }
}
