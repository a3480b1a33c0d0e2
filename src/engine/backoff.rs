//! What a thread does after it lost a compare-and-swap.
//!
//! Retrying at once makes the contended cache line bounce on every attempt,
//! the losers' included. A loser that pauses lets the winner run a burst of
//! operations on a line it holds; each loser's pause doubles up to
//! [`LONGEST`], which bounds how long an attached thread can keep a
//! stop-the-world waiting (some tens of microseconds).

use super::shim;

/// Pauses after the first failure.
const FIRST: u32 = 256;
/// Pauses at most.
const LONGEST: u32 = 1024;

/// Truncated exponential backoff; one value per operation.
#[derive(Debug)]
pub struct Backoff {
    pauses: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// Starts at the shortest pause.
    #[inline]
    pub const fn new() -> Self {
        Self { pauses: FIRST }
    }

    /// The same for something that another thread is about to do: if it has not after the longest
    /// pause, the processor may be what it lacks.
    #[cold]
    pub fn wait_for_another(&mut self) {
        if self.pauses < LONGEST {
            self.wait();
        } else {
            shim::yield_now();
        }
    }

    /// Pauses, and doubles the next pause.
    #[cold]
    pub fn wait(&mut self) {
        shim::spin(self.pauses);
        self.pauses = (self.pauses * 2).min(LONGEST);
    }
}
