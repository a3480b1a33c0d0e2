//! The face that models are run with: loom's.

use std::sync::PoisonError;

pub use loom::cell::UnsafeCell;
pub use loom::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
    Ordering, fence,
};

pub use Mutex as Lock;

/// Loom's mutex: it cannot run what spins.
pub type Latch = Mutex<()>;
/// Holds it.
pub type LatchGuard<'a> = MutexGuard<'a, ()>;
pub use loom::sync::{MutexGuard, MutexGuard as LockGuard};

/// loom's mutex, spelt as in an ordinary build.
#[derive(Debug, Default)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A free one.
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    /// Takes it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes it if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// See the std side.
pub const PARALLEL: bool = true;

/// Models have no cache lines.
pub const LINE: usize = align_of::<u64>();

/// See the std side; loom has no stronger read-modify-writes.
pub fn full_fence_after_rmw() {
    full_fence();
}

/// See the std side; there are no other threads to be fenced.
pub fn light_fence() {
    full_fence();
}

/// See the std side.
pub fn full_fence() {
    fence(Ordering::SeqCst);
}

/// Lets another thread run.
pub use loom::thread::yield_now;

/// A spinning thread waits for another one: loom must run that one.
pub fn spin(_pauses: u32) {
    yield_now();
}

/// Whether `LOCKFREE_MUTANT` names this fault.
pub(crate) fn is_planted(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("LOCKFREE_MUTANT").unwrap_or_default()) == name
}
