//! What `lockfree._loading` keeps with a mapping: its loads that are under way.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};

use crate::engine::memory::growth::boxed;
use crate::python::boundary::error::Result;
use crate::python::boundary::fork;
use crate::python::boundary::object::dict;
use crate::python::boundary::owned::Owned;

/// The loads, in a dict for each process that has loaded.
///
/// A forked child finds the end of the list, and goes on there with a dict of its own. Those before
/// it it does not touch: a thread of the parent may have locked one, and is not there to unlock it.
#[derive(Debug, Default)]
pub(crate) struct Flights(OnceLock<Box<Table>>);

#[derive(Debug)]
struct Table {
    process: u32,
    /// Of the process that made it, by this module's count.
    generation: u32,
    loads: Owned,
    later: Flights,
}

impl Flights {
    /// The dict of a process, which is made when it is first asked for.
    pub(crate) fn table(&self, py: Python<'_>, process: u32) -> Result<Py<PyAny>> {
        let mut place = self;
        loop {
            match place.0.get() {
                Some(table) if table.process == process => {
                    return Ok(table.loads.clone().into_py());
                }
                Some(table) => place = &table.later,
                None => {
                    // Not inside the initialization: on CPython 3.11 making a dict may run user code.
                    let loads = dict(py)?.into_any().into();
                    let generation = fork::generation();
                    let table = Table { process, generation, loads, later: Self::default() };
                    // If another thread was quicker its dict is found, and this one dropped.
                    drop(place.0.set(boxed(table)?));
                }
            }
        }
    }

    /// For the garbage collector: it would lock a dict that it clears. So those of a child's
    /// parents are held from outside, as far as it knows.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        let mut place = self;
        while let Some(table) = place.0.get() {
            if table.generation == fork::generation() {
                visit.call(table.loads.as_py())?;
            }
            place = &table.later;
        }
        Ok(())
    }
}
