//! The benchmark's loops without an interpreter.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::baseline::{CELLS, Ran, run};

/// Run a cell's loop on Rust threads; return the seconds, what it returned, what is left.
///
/// Each thread runs it within the context manager that `around(index)` returns.
#[pyfunction]
#[pyo3(name = "_baseline", signature = (cell, threads, iterations, around, /))]
pub(crate) fn baseline(
    py: Python<'_>,
    cell: &str,
    threads: usize,
    iterations: u64,
    around: &Bound<'_, PyAny>,
) -> PyResult<(f64, u64, u64)> {
    let around = around.as_unbound();
    let within = |index: usize, work: &mut dyn FnMut()| {
        let entered = Python::attach(|py| report(py, enter(around.bind(py), index)));
        work(); // in any case: the others wait for it
        if let Some(manager) = entered {
            Python::attach(|py| report(py, leave(manager.bind(py))));
        }
    };
    let ran = py.detach(|| run(cell, threads, iterations, &within));
    ran.map(|Ran { seconds, sum, left }| (seconds, sum, left)).ok_or_else(|| {
        PyValueError::new_err(format!("no cell {cell:?}; there are {}", CELLS.join(", ")))
    })
}

fn enter(around: &Bound<'_, PyAny>, index: usize) -> PyResult<Py<PyAny>> {
    let manager = around.call1((index,))?;
    manager.call_method0("__enter__")?;
    Ok(manager.unbind())
}

fn leave(manager: &Bound<'_, PyAny>) -> PyResult<()> {
    let none = manager.py().None();
    manager.call_method1("__exit__", (&none, &none, &none)).map(drop)
}

/// What goes wrong in a thread of its own nobody can catch.
fn report<T>(py: Python<'_>, result: PyResult<T>) -> Option<T> {
    result.map_err(|error| error.write_unraisable(py, None)).ok()
}
