//! Class `_InterruptibleStack`, for the laboratory (`lockfree.lab`).
//!
//! It is the product's engine with a [`Hook`] that is not the product's: a
//! thread can be made to call Python half-way through a pop, and may stay there
//! as long as it likes. Elsewhere user code never runs inside the engine. Here it
//! may: between reading the head and swinging it a pop holds nothing, and the
//! items are integers, so there is no object for a collector to miss.

use std::cell::Cell;

use pyo3::prelude::*;

use crate::engine;
use crate::engine::stack::Hook;
use crate::python::boundary::error::{Error, Result};
use crate::python::boundary::user;

thread_local! {
    /// The callback of this thread's interrupted pop, and the stack it is given:
    /// the engine passes a hook no arguments.
    static INTERRUPTION: Cell<Option<(Py<PyAny>, Py<InterruptibleStack>)>> =
        const { Cell::new(None) };
}

/// Calls the callback of the thread that comes by, once.
#[derive(Debug, Default)]
struct Interrupt;

impl Hook for Interrupt {
    fn between(&self) {
        if let Some((callback, stack)) = INTERRUPTION.take() {
            Python::attach(|py| {
                // SAFETY: two live objects, and the token proves the thread attached.
                let result = unsafe { user::call1(callback.as_ptr(), stack.as_ptr()) };
                // SAFETY: a new reference, or null with an exception set.
                let result = unsafe { Bound::from_owned_ptr_or_err(py, result) };
                if let Err(error) = result {
                    error.write_unraisable(py, Some(callback.bind(py)));
                }
            });
        }
    }
}

/// A stack of integers whose `pop` can be interrupted half-way; for the laboratory.
#[pyclass(frozen, module = "lockfree._native", name = "_InterruptibleStack")]
#[derive(Debug)]
pub(crate) struct InterruptibleStack {
    /// Boxed: its parts want cache lines of their own.
    engine: Box<engine::Stack<i64, Interrupt>>,
}

#[pymethods]
impl InterruptibleStack {
    #[new]
    fn new() -> Self {
        Self { engine: Box::default() }
    }

    /// Put `item` on top.
    #[pyo3(signature = (item, /))]
    fn push(&self, item: i64) -> Result<()> {
        self.engine.push(item).map_err(|(_, error)| error.into())
    }

    /// Remove the top item and return it.
    fn pop(&self) -> Result<i64> {
        self.engine.pop().ok_or_else(|| Error::empty("pop from an empty Stack"))
    }

    /// Pop, and call `between(self)` after reading the head, before swinging it.
    #[pyo3(signature = (between, /))]
    fn interrupted_pop(slf: &Bound<'_, Self>, between: Py<PyAny>) -> Result<i64> {
        INTERRUPTION.set(Some((between, slf.clone().unbind())));
        let item = slf.get().pop();
        // Of an empty stack no head is swung: the callback is still there.
        drop(INTERRUPTION.take());
        item
    }

    fn __len__(&self) -> usize {
        self.engine.len()
    }
}
