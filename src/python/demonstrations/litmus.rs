//! The litmus tests without an interpreter, a batch a call.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::litmus::{Counts, ORDERINGS, TESTS, run};
use crate::python::boundary::user;

/// Run a litmus test on so many instances; return how often each outcome was seen.
#[pyfunction]
#[pyo3(name = "_litmus", signature = (test, ordering, instances, /))]
pub(crate) fn litmus(
    py: Python<'_>,
    test: &str,
    ordering: &str,
    instances: usize,
) -> PyResult<Counts> {
    user::detached(py, || run(test, ordering, instances)).ok_or_else(|| {
        let (tests, orderings) = (TESTS.join(", "), ORDERINGS.join(", "));
        PyValueError::new_err(format!(
            "no test {test:?} at {ordering:?}; there are {tests}, at {orderings}"
        ))
    })
}
