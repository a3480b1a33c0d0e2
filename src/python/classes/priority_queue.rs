//! Class `PriorityQueue`: a `Queue` over another engine.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::queue::Queue;
use super::queue_engine::{Engine, Key, no_force_put};
use crate::engine::Guarded;
use crate::python::boundary::convert::{Given, callable};
use crate::python::boundary::error::Result;

/// A queue from which the smallest item comes out first.
#[pyclass(frozen, subclass, extends = Queue, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct PriorityQueue;

#[pymethods]
impl PriorityQueue {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(maxsize=0, *, key=None)"
    )]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Result<PyClassInitializer<Self>> {
        let engine = Engine::Sorted { engine: Guarded::default(), key: Key::default() };
        Ok(PyClassInitializer::from(Queue::over(engine)?).add_subclass(Self))
    }

    #[pyo3(signature = (maxsize = Given::default(), *, key = None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        maxsize: Given<'_>,
        key: Option<Bound<'_, PyAny>>,
    ) -> Result<()> {
        let queue = slf.as_super().get();
        queue.begin(maxsize)?;
        if let Some(given) = callable("key", key)?
            && let Engine::Sorted { key, .. } = queue.engine()
        {
            key.give(given.as_borrowed());
        }
        Ok(())
    }

    /// Absent: only a `Queue` has it.
    #[getter]
    #[allow(clippy::unused_self)] // a property, to Python
    fn force_put(&self) -> Result<()> {
        Err(no_force_put())
    }
}
