//! What time it is.

use std::sync::OnceLock;
use std::time::Instant;

/// Tells deadlines from what is still good.
pub trait Clock: Send + Sync {
    /// Nanoseconds since some moment; it never goes back.
    fn now(&self) -> u64;
}

/// The system's monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        // 64 bits of nanoseconds are 584 years.
        u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
