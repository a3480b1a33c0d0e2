//! Those who wait for an atomic to change.
//!
//! An atomic that nobody waits on pays a word or two for it, and no time: the
//! list is made by the first who waits, and a change wakes nobody by itself.

use std::sync::OnceLock;

use pyo3::pyclass::{PyTraverseError, PyVisit};

use crate::engine::Event;
use crate::python::boundary::error;
use crate::python::boundary::waiting::Sleeper;
use crate::shim;

/// The list of an atomic's waiters, if there ever were any.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    event: OnceLock<Box<Event<Sleeper>>>,
}

impl Watchers {
    /// The list, to wait in it.
    pub(crate) fn event(&self) -> &Event<Sleeper> {
        self.event.get_or_init(Box::default)
    }

    /// Wakes up to `count` of those who wait.
    pub(crate) fn notify(&self, count: usize) -> error::Result<()> {
        // The caller changed the atomic before, perhaps by a plain store: the event's
        // invariant E2.
        shim::full_fence();
        self.event.get().map_or(Ok(()), |event| event.notify(count))
    }

    /// For the garbage collector.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event.get().map_or(Ok(()), |event| event.traverse(|sleeper| sleeper.traverse(visit)))
    }

    /// Forgets all who wait.
    pub(crate) fn clear(&self) {
        if let Some(event) = self.event.get() {
            event.clear();
        }
    }
}
