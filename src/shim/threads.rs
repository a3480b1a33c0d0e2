//! The face of an ordinary build: std's atomics.

pub use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
    Ordering,
};

// The lock where there is one: a byte, const, and nothing to unwrap. It is taken by attached threads
// only, and its holder neither detaches nor calls anything of Python's: so nobody holds it, or waits
// for it, when the interpreter forks, and the table of waiting threads that all such locks share is
// empty in the child. (What is waited for detached sleeps by `std::thread::park`.)
//
// Not `PyMutex`, which detaches to wait: a collection could begin in the middle of an operation.
// And not std's: with it, on CPython 3.14t and two processors, `cache.write` takes 7 % more by one
// thread and by two, `ordered.priority` 6 % more by one and as much by two, `queue.wakeup` as much
// (`benches/ab`, 9 rounds).
pub use parking_lot::{Mutex, MutexGuard};

// The same, where it is certain that the holder stays attached and calls nothing: with a GIL it is none.
pub use parking_lot::{Mutex as Lock, MutexGuard as LockGuard};

/// A lock of one byte, 0 while it is free, for what takes some instructions and is seldom met: to
/// give it up takes no atomic read-modify-write, and who finds it taken does not sleep. (Where it is used the
/// holder of a `Lock` may wait for it; its own holder waits for nobody.)
///
/// Loom cannot run what spins: in a model it is loom's mutex. So its two orderings, a lock's, have no
/// mutant.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Latch(AtomicBool);

/// Holds a [`Latch`].
#[derive(Debug)]
pub struct LatchGuard<'a>(&'a AtomicBool);

impl Latch {
    /// Takes it.
    #[inline(always)]
    pub fn lock(&self) -> LatchGuard<'_> {
        // Acquire: what was done under it before.
        while self.0.swap(true, Ordering::Acquire) {
            self.wait();
        }
        LatchGuard(&self.0)
    }

    /// Waits until it may be free: for some microseconds at first, as its holder calls nothing; after
    /// that, whoever it is needs the processor.
    #[cold]
    fn wait(&self) {
        for doublings in 0..8 {
            if !self.0.load(Ordering::Relaxed) {
                return;
            }
            spin(1 << doublings);
        }
        std::thread::yield_now();
    }
}

impl Drop for LatchGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: what was done under it.
        self.0.store(false, Ordering::Release);
    }
}

/// Whether the threads that use a container run at the same time.
pub const PARALLEL: bool = true;

/// How far apart words must lie that different threads write, in bytes.
pub const LINE: usize = align_of::<crossbeam_utils::CachePadded<u8>>();

/// A cell with loom's closure interface over std's pointer one.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with a pointer to read through.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Calls `f` with a pointer to write through.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Orders an atomic read-modify-write before all later loads: the half of a
/// store-load handshake. On x86-64 the read-modify-write itself does so, and
/// only the compiler has to be told.
#[inline(always)]
#[allow(clippy::disallowed_methods)] // this is the replacement
pub fn full_fence_after_rmw() {
    if cfg!(all(target_arch = "x86_64", not(miri))) {
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        std::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// Keeps the compiler from moving anything past it. Together with a fence that the system
/// makes all threads execute, that is a full fence.
#[inline(always)]
pub fn light_fence() {
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// Orders everything before it before everything after it.
#[allow(clippy::disallowed_methods)] // this is the replacement
pub fn full_fence() {
    std::sync::atomic::fence(Ordering::SeqCst);
}

/// A fence of that ordering.
#[inline(always)]
#[allow(clippy::disallowed_methods)] // this is the replacement
pub fn fence(order: Ordering) {
    std::sync::atomic::fence(order);
}

/// Lets another thread have the processor.
pub use std::thread::yield_now;

/// Spins for `pauses` of the processor's pause instructions.
#[inline]
#[allow(clippy::disallowed_methods)] // this is the replacement
pub fn spin(pauses: u32) {
    for _ in 0..pauses {
        std::hint::spin_loop();
    }
}
