//! What takes long lets other threads run, and answers signals, every now and then.
//!
//! With a GIL a native loop keeps all other threads standing still, without one whoever
//! wants to stop the world; and Ctrl-C waits for its end. So a loop over any number of
//! items takes a step for each. Between two steps anything may happen, as between two
//! byte codes: nothing may be half done then.

use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::error::{Error, Result};
use super::user;
use crate::shim::{AtomicU32, Mutex, Ordering::Relaxed};

/// Steps between two looks at the clock: some microseconds.
const STEPS: u32 = 256;

/// How long a loop may run at a stretch.
const LONG: Duration = Duration::from_millis(if cfg!(Py_GIL_DISABLED) { 1 } else { 4 });

/// With a GIL whoever gives it up and wants it back at once gets it: the one who waits for
/// it is still waking up. So it is left alone for as short as the system can sleep.
const REST: Option<Duration> =
    if cfg!(Py_GIL_DISABLED) { None } else { Some(Duration::from_micros(1)) };

/// The pauses of an iterator, which threads may share, and who calls it from a native loop.
#[derive(Debug, Default)]
pub(crate) struct SharedPauses {
    steps: AtomicU32,
    last: Mutex<Option<Instant>>,
}

impl SharedPauses {
    /// To be called for each item, before it is in hand.
    ///
    /// # Errors
    /// What a signal handler raised.
    #[inline]
    pub(crate) fn step(&self, py: Python<'_>) -> Result<()> {
        // Two threads may count one step: it matters to none.
        let steps = self.steps.load(Relaxed).wrapping_add(1);
        self.steps.store(steps, Relaxed);
        if steps.is_multiple_of(STEPS) { self.look(py) } else { Ok(()) }
    }

    #[cold]
    fn look(&self, py: Python<'_>) -> Result<()> {
        let last = *self.last.lock();
        let mut pauses = Pauses { last, ..Pauses::new(py) };
        let looked = pauses.look(); // detaches, so not under the lock
        *self.last.lock() = pauses.last;
        looked
    }
}

/// The pauses of a loop.
pub(crate) struct Pauses<'py> {
    py: Python<'py>,
    steps: u32,
    /// When the last one ended; short loops do not ask.
    last: Option<Instant>,
    /// What a signal handler raised in a loop that could not stop.
    raised: Option<Error>,
}

impl<'py> Pauses<'py> {
    /// Of a loop that begins.
    pub(crate) fn new(py: Python<'py>) -> Self {
        Self { py, steps: STEPS, last: None, raised: None }
    }

    /// To be called for each item.
    ///
    /// # Errors
    /// What a signal handler raised.
    #[inline(always)]
    pub(crate) fn step(&mut self) -> Result<()> {
        self.steps -= 1;
        if self.steps == 0 { self.look() } else { Ok(()) }
    }

    /// To be called where so much was done that it is time to look.
    ///
    /// # Errors
    /// What a signal handler raised.
    pub(crate) fn rest(&mut self) -> Result<()> {
        self.look()
    }

    /// The same in a loop that must come to its end, such as one that drops what was
    /// removed: [`Self::end`] tells what a signal handler raised.
    #[inline(always)]
    pub(crate) fn step_on(&mut self) {
        self.steps -= 1;
        if self.steps == 0
            && let Err(error) = self.look()
        {
            // A later one: of two only one can be raised.
            self.raised = Some(error.taken_off());
        }
    }

    /// The end of such a loop.
    pub(crate) fn end(self) -> Result<()> {
        self.raised.map_or(Ok(()), Err)
    }

    #[cold]
    fn look(&mut self) -> Result<()> {
        self.steps = STEPS;
        let now = Instant::now();
        if now.duration_since(*self.last.get_or_insert(now)) < LONG {
            return Ok(());
        }
        user::detached(self.py, || REST.map(thread::sleep));
        // SAFETY: the token proves the thread attached.
        let answered = unsafe { user::check_signals() };
        self.last = Some(Instant::now());
        if answered == 0 { Ok(()) } else { Err(Error::pending()) }
    }
}
