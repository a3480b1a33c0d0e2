//! `lockfree._native`: the Python classes, and what they share.
//!
//! | folder | what it holds |
//! |---|---|
//! | [`classes`] | one file per class |
//! | [`boundary`] | what no class may do for itself: calls, conversions, errors, reference counts, waiting |
//! | [`demonstrations`] | what the laboratory and the benchmark call |

mod boundary;
mod classes;
#[allow(clippy::disallowed_methods, clippy::disallowed_macros)] // programs that measure
mod demonstrations;

use pyo3::prelude::*;

/// Native atomics and lock-free containers.
#[pymodule(gil_used = false)]
mod _native {
    use super::boundary::arguments;
    use super::boundary::convert;
    use super::boundary::counting;
    use super::boundary::deferral;
    use super::boundary::error;
    use super::boundary::fastcall::{self, PanicProbe};
    use super::boundary::fork;
    use super::boundary::glimpse;
    use super::boundary::key;
    use super::boundary::names;
    use super::boundary::spare;
    use super::boundary::unsupported;
    use super::boundary::user;
    use super::classes::atomic::{atomic_int, atomic_ref, ordering};
    use super::classes::{cached, once};
    use pyo3::exceptions::PyImportError;
    use pyo3::ffi;
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::boundary::docs::document;
    #[pymodule_export]
    use super::boundary::door::{Call, DoorOfLoop, Reader};
    #[pymodule_export]
    use super::boundary::task::TaskWaiter;
    #[pymodule_export]
    use super::classes::atomic::atomic_bool::{AtomicBool, AtomicBoolView};
    #[pymodule_export]
    use super::classes::atomic::atomic_float::{AtomicFloat64, AtomicFloat64View};
    #[pymodule_export]
    use super::classes::atomic::atomic_int::{AtomicInt64, AtomicInt64View};
    #[pymodule_export]
    use super::classes::atomic::atomic_ref::{AtomicRef, AtomicRefView};
    #[pymodule_export]
    use super::classes::atomic::atomic_stamped_ref::{AtomicStampedRef, AtomicStampedRefView};
    #[pymodule_export]
    use super::classes::atomic::ordering::fence;
    #[pymodule_export]
    use super::classes::cache::Cache;
    #[pymodule_export]
    use super::classes::cached::CachedFunction;
    #[pymodule_export]
    use super::classes::concurrent_dict::{ConcurrentDict, Removal};
    #[pymodule_export]
    use super::classes::defer_refcount::defer_refcount;
    #[pymodule_export]
    use super::classes::keyed_counter::KeyedCounter;
    #[pymodule_export]
    use super::classes::lifo_queue::LifoQueue;
    #[pymodule_export]
    use super::classes::once::OnceFunction;
    #[pymodule_export]
    use super::classes::priority_queue::PriorityQueue;
    #[pymodule_export]
    use super::classes::queue::{Queue, QueueIterator};
    #[pymodule_export]
    use super::classes::queue_engine::Entry;
    #[pymodule_export]
    use super::classes::snapshot::Snapshot;
    #[pymodule_export]
    use super::classes::stack::Stack;
    #[pymodule_export]
    use super::classes::striped_counter::StripedCounter;
    #[pymodule_export]
    use super::classes::ticket::Ticket;
    #[pymodule_export]
    use super::demonstrations::baseline::baseline;
    #[pymodule_export]
    use super::demonstrations::lab::InterruptibleStack;
    #[pymodule_export]
    use super::demonstrations::litmus::litmus;

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
        names::prepare(py);
        arguments::guard(module)?;
        fastcall::install::<AtomicBool>(py)?;
        fastcall::install::<AtomicBoolView>(py)?;
        unsupported::install::<AtomicBool>(py)?;
        unsupported::install::<AtomicFloat64>(py)?;
        unsupported::install::<AtomicInt64>(py)?;
        unsupported::install::<StripedCounter>(py)?;
        fastcall::install::<AtomicFloat64>(py)?;
        fastcall::install::<AtomicFloat64View>(py)?;
        fastcall::install::<AtomicInt64>(py)?;
        atomic_int::prepare(py)?;
        fastcall::install::<AtomicInt64View>(py)?;
        fastcall::install::<AtomicRef>(py)?;
        atomic_ref::prepare(py)?;
        fastcall::install::<AtomicRefView>(py)?;
        fastcall::install::<AtomicStampedRef>(py)?;
        fastcall::install::<AtomicStampedRefView>(py)?;
        deferral::prepare();
        error::prepare(py)?;
        convert::prepare(py)?;
        counting::prepare(py)?;
        key::prepare(py)?;
        glimpse::prepare(py)?;
        spare::prepare(py)?;
        ordering::prepare(py)?;
        user::find_main_thread(py)?;
        fork::watch();
        cached::prepare(py)?;
        once::prepare(py)?;
        fastcall::install::<Cache>(py)?;
        fastcall::install::<ConcurrentDict>(py)?;
        fastcall::install::<KeyedCounter>(py)?;
        fastcall::install::<Queue>(py)?;
        fastcall::install::<Stack>(py)?;
        fastcall::install::<StripedCounter>(py)?;
        fastcall::install::<PanicProbe>(py)?;
        module.add("_PanicProbe", py.get_type::<PanicProbe>())
    }
}
