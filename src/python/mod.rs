//! `lockfree._native`: one file per Python class, and what they share.
//!
//! | file | what it holds |
//! |---|---|
//! | `atomic` | what the atomics have in common |
//! | `atomic_bool` | class `AtomicBool` |
//! | `atomic_float` | class `AtomicFloat64` |
//! | `atomic_int` | class `AtomicInt64` |
//! | `atomic_ref` | class `AtomicRef` |
//! | `atomic_stamped_ref` | class `AtomicStampedRef` |
//! | `baseline` | the benchmark's loops without an interpreter |
//! | `cache` | class `Cache` |
//! | `cached` | class `_CachedFunction`, of the decorator `cached` |
//! | `convert` | arguments: Python objects to Rust values |
//! | `counting` | reference counts |
//! | `deferral` | when an atomic stops being reference counted |
//! | `error` | every error, its text, and how it is raised |
//! | `fastcall` | the raw method slots of the hot methods |
//! | `fork` | what a forked child must know |
//! | `identity` | which thread is running |
//! | `isolated` | a value on cache lines of its own |
//! | `key` | keys, hashed and compared |
//! | `lab` | class `_InterruptibleStack`, for the laboratory |
//! | `list` | lists of items, on their way in and out |
//! | `litmus` | the litmus tests' batches |
//! | `nesting` | containers nested in one another, freed without recursion |
//! | `ordering` | memory orderings, and function `fence` |
//! | `owned` | the element of every container |
//! | `queue` | class `Queue` |
//! | `stack` | class `Stack` |
//! | `striped_counter` | class `StripedCounter` |
//! | `user` | calls into user code |
//! | `waiting` | the one loop in which a thread waits |
//! | `watchers` | those who wait for an atomic to change |

mod atomic;
mod atomic_bool;
mod atomic_float;
mod atomic_int;
mod atomic_ref;
mod atomic_stamped_ref;
mod baseline;
mod cache;
mod cached;
mod convert;
mod counting;
mod deferral;
mod error;
mod fastcall;
mod fork;
#[cfg(Py_GIL_DISABLED)]
mod identity;
mod isolated;
mod key;
mod lab;
mod list;
mod litmus;
mod nesting;
mod ordering;
mod owned;
mod queue;
mod stack;
mod striped_counter;
mod user;
mod waiting;
mod watchers;

use pyo3::prelude::*;

/// Native atomics and lock-free containers.
#[pymodule(gil_used = false)]
mod _native {
    use super::cached;
    use super::error;
    use super::fastcall::{self, PanicProbe};
    use super::fork;
    use pyo3::exceptions::PyImportError;
    use pyo3::ffi;
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::atomic_bool::{AtomicBool, AtomicBoolView};
    #[pymodule_export]
    use super::atomic_float::{AtomicFloat64, AtomicFloat64View};
    #[pymodule_export]
    use super::atomic_int::{AtomicInt64, AtomicInt64View};
    #[pymodule_export]
    use super::atomic_ref::{AtomicRef, AtomicRefView};
    #[pymodule_export]
    use super::atomic_stamped_ref::{AtomicStampedRef, AtomicStampedRefView};
    #[pymodule_export]
    use super::baseline::baseline;
    #[pymodule_export]
    use super::cache::Cache;
    #[pymodule_export]
    use super::cached::CachedFunction;
    #[pymodule_export]
    use super::lab::InterruptibleStack;
    #[pymodule_export]
    use super::litmus::litmus;
    #[pymodule_export]
    use super::ordering::fence;
    #[pymodule_export]
    use super::queue::{Queue, QueueIterator};
    #[pymodule_export]
    use super::stack::Stack;
    #[pymodule_export]
    use super::striped_counter::StripedCounter;
    #[pymodule_export]
    use super::waiting::TaskWaiter;

    /// Classes are shared by all interpreters of a process, and objects of one
    /// must not meet another. CPython itself refuses where it has the slot for
    /// it and the interpreter is isolated: not below 3.12, not a legacy one.
    fn only_in_the_main_interpreter() -> PyResult<()> {
        // SAFETY: the thread is attached, so it has an interpreter.
        let here = unsafe { ffi::PyInterpreterState_Get() };
        // SAFETY: there is a main interpreter as long as there is any.
        let main = unsafe { ffi::PyInterpreterState_Main() };
        if here == main {
            return Ok(());
        }
        Err(PyImportError::new_err("subinterpreters are not supported"))
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        only_in_the_main_interpreter()?;
        fastcall::install::<AtomicBool>(py)?;
        fastcall::install::<AtomicBoolView>(py)?;
        fastcall::install::<AtomicFloat64>(py)?;
        fastcall::install::<AtomicFloat64View>(py)?;
        fastcall::install::<AtomicInt64>(py)?;
        fastcall::install::<AtomicInt64View>(py)?;
        fastcall::install::<AtomicRef>(py)?;
        fastcall::install::<AtomicRefView>(py)?;
        fastcall::install::<AtomicStampedRef>(py)?;
        fastcall::install::<AtomicStampedRefView>(py)?;
        error::prepare(py)?;
        fork::watch();
        cached::prepare(py)?;
        fastcall::install::<Cache>(py)?;
        fastcall::install::<Queue>(py)?;
        fastcall::install::<Stack>(py)?;
        fastcall::install::<StripedCounter>(py)?;
        fastcall::install::<PanicProbe>(py)?;
        module.add("_PanicProbe", py.get_type::<PanicProbe>())
    }
}
