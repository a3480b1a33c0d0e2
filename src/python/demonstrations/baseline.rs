//! The benchmark's loops without an interpreter.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::baseline::{CELLS, run};

/// Run a cell's loop on Rust threads and return the seconds it took.
#[pyfunction]
#[pyo3(name = "_baseline", signature = (cell, threads, iterations, /))]
pub(crate) fn baseline(
    py: Python<'_>,
    cell: &str,
    threads: usize,
    iterations: u64,
) -> PyResult<f64> {
    py.detach(|| run(cell, threads, iterations)).ok_or_else(|| {
        PyValueError::new_err(format!("no cell {cell:?}; there are {}", CELLS.join(", ")))
    })
}
