//! The one place that decides whose atomics the engine uses.
//!
//! An ordinary build takes std's; `RUSTFLAGS="--cfg loom"` takes loom's, whose
//! tests run every interleaving of a small model. Both sides have loom's
//! spelling, so an algorithm is written once.
//!
//! A loom test that cannot fail proves nothing. [`mutant!`], [`ordering!`]
//! and [`weakened!`] plant faults that exist in loom builds only and are chosen at run time by
//! `LOCKFREE_MUTANT`; `tests/mutants` demands that the models fail on each.

#[cfg(not(loom))]
mod imp {
    pub use std::sync::atomic::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
        Ordering,
    };

    pub use std::sync::{Mutex, MutexGuard};

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

    /// Spins for `pauses` of the processor's pause instructions.
    #[inline]
    #[allow(clippy::disallowed_methods)] // this is the replacement
    pub fn spin(pauses: u32) {
        for _ in 0..pauses {
            std::hint::spin_loop();
        }
    }
}

#[cfg(loom)]
mod imp {
    pub use loom::cell::UnsafeCell;
    pub use loom::sync::atomic::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
        Ordering, fence,
    };

    pub use loom::sync::{Mutex, MutexGuard};

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

    /// A spinning thread waits for another one: loom must run that one.
    pub fn spin(_pauses: u32) {
        loom::thread::yield_now();
    }

    /// Whether `LOCKFREE_MUTANT` names this fault.
    pub(crate) fn is_planted(name: &str) -> bool {
        static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        CHOSEN.get_or_init(|| std::env::var("LOCKFREE_MUTANT").unwrap_or_default()) == name
    }
}

pub use imp::*;

/// `mutant!("name")`: true in a loom run that asks for this fault, else a
/// constant false.
macro_rules! mutant {
    ($name:literal) => {{
        #[cfg(loom)]
        let chosen = $crate::shim::is_planted($name);
        #[cfg(not(loom))]
        let chosen = false;
        chosen
    }};
}

/// `ordering!(Acquire, "name")`: the ordering, or `Relaxed` in a loom run that
/// asks for this fault.
macro_rules! ordering {
    ($ordering:ident, $name:literal) => {
        if $crate::shim::mutant!($name) {
            $crate::shim::Ordering::Relaxed
        } else {
            $crate::shim::Ordering::$ordering
        }
    };
}

/// `weakened!(order, "name")`: the ordering that a caller chose, or `Relaxed` in
/// a loom run that asks for this fault.
macro_rules! weakened {
    ($order:ident, $name:literal) => {
        if $crate::shim::mutant!($name) { $crate::shim::Ordering::Relaxed } else { $order }
    };
}

pub(crate) use {mutant, ordering, weakened};
