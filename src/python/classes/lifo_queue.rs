//! Class `LifoQueue`: a `Queue` over another engine.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::queue::Queue;
use super::queue_engine::{Engine, no_force_put};
use crate::engine::Guarded;
use crate::python::boundary::convert::Given;
use crate::python::boundary::error::Result;

/// A queue from which the item that was put last comes out first.
#[pyclass(frozen, subclass, extends = Queue, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct LifoQueue;

#[pymethods]
impl LifoQueue {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=0)")]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Result<PyClassInitializer<Self>> {
        let queue = Queue::over(Engine::Lifo(Guarded::default()))?;
        Ok(PyClassInitializer::from(queue).add_subclass(Self))
    }

    #[pyo3(signature = (maxsize = Given::default()))]
    fn __init__(slf: &Bound<'_, Self>, maxsize: Given<'_>) -> Result<()> {
        slf.as_super().get().begin(maxsize)
    }

    /// Absent: only a `Queue` has it.
    #[getter]
    #[allow(clippy::unused_self)] // a property, to Python
    fn force_put(&self) -> Result<()> {
        Err(no_force_put())
    }
}
