//! The face of an interpreter with a GIL: nobody pays for atomics.
//!
//! # Idea
//! There an operation of the engine runs attached, and while it runs no other
//! thread of the interpreter does. A read-modify-write is then a load and a store,
//! and a fence keeps only the compiler from reordering. Loads and stores stay
//! relaxed atomics, so that nothing is undefined whatever a program does.
//!
//! # Why it is enough
//! - **G1** An operation begins and ends attached, and in between gives the interpreter up at no
//!   point that lies inside a method of this file: those call nothing. (An operation
//!   may let others run *between* two of its steps, where it calls into Python. It
//!   finds then what any thread finds that lost a race, which is what the
//!   algorithm is made for.) On CPython 3.11 an object's allocation may collect, and
//!   so run finalizers that use the same container: between two steps again.
//! - **G2** A thread gives the GIL up by a mutex, and takes it by one. So whatever it
//!   did before happens before all that the next one does, with any ordering. That holds on
//!   CPython 3.11 to 3.15, for forced switches (`sys.setswitchinterval`: the eval
//!   loop looks between byte codes, never inside a C function) as for voluntary ones.
//! - **G3** Signal handlers of Python's and finalizers run where byte code runs, so not
//!   inside a method of this file. C handlers of CPython's only set flags.
//! - **G4** A fork copies one thread, which is between two byte codes, or in a C
//!   function that forks; not here.
//! - **G5** What a detached thread may touch is declared with the types of
//!   [`detached`](super::detached): notices, numbers of threads.
//! - **G6** An interpreter of its own has a GIL of its own, so objects that two
//!   interpreters share would be touched by two threads at once: the import refuses
//!   subinterpreters. A free-threaded build that runs with `PYTHON_GIL=1` is another
//!   build, and has the face [`threads`](super::threads).

use std::sync::atomic;

pub use super::threads::{Mutex, MutexGuard, Ordering, UnsafeCell, spin, yield_now};
use Ordering::Relaxed;

use std::ops::{Deref, DerefMut};

/// Whether the threads that use a container run at the same time.
pub const PARALLEL: bool = false;

/// Threads do not run at the same time: any words may be neighbours.
pub const LINE: usize = align_of::<u64>();

/// Keeps the compiler from moving a load before the read-modify-write.
#[inline(always)]
pub fn full_fence_after_rmw() {
    full_fence();
}

/// Keeps the compiler from moving anything across.
#[inline(always)]
pub fn full_fence() {
    light_fence();
}

/// The same.
#[inline(always)]
pub fn light_fence() {
    atomic::compiler_fence(Ordering::SeqCst);
}

/// The same for a weaker ordering.
#[inline(always)]
pub fn fence(order: Ordering) {
    atomic::compiler_fence(order);
}

/// What all words have. The orderings of the caller are those of the algorithm
/// between threads (G2).
macro_rules! word {
    ($(#[$doc:meta])* $name:ident$(<$generic:ident>)?, $value:ty) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name$(<$generic>)?(atomic::$name$(<$generic>)?);

        impl$(<$generic>)? $name$(<$generic>)? {
            /// A word with that value.
            pub const fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            /// Reads it.
            #[inline(always)]
            pub fn load(&self, _order: Ordering) -> $value {
                self.0.load(Relaxed)
            }

            /// Writes it.
            #[inline(always)]
            pub fn store(&self, value: $value, _order: Ordering) {
                self.0.store(value, Relaxed);
            }

            /// Replaces it and returns the old value.
            #[inline(always)]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.replaced(order, |_| value)
            }

            /// Replaces `expected` by `desired`.
            ///
            /// # Errors
            /// What else was there.
            #[inline(always)]
            pub fn compare_exchange(
                &self,
                expected: $value,
                desired: $value,
                order: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.fetch_update(order, failure, |found| (found == expected).then_some(desired))
            }

            /// The same: it never fails spuriously.
            ///
            /// # Errors
            /// What else was there.
            #[inline(always)]
            pub fn compare_exchange_weak(
                &self,
                expected: $value,
                desired: $value,
                order: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(expected, desired, order, failure)
            }

            /// Replaces the value by what `next` makes of it, once, and returns the old one.
            ///
            /// # Errors
            /// The value, if there is no next.
            #[inline(always)]
            pub fn fetch_update(
                &self,
                _order: Ordering,
                _failure: Ordering,
                next: impl FnOnce($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let found = self.0.load(Relaxed);
                let next = next(found).ok_or(found)?;
                self.0.store(next, Relaxed);
                Ok(found)
            }

            #[inline(always)]
            fn replaced(&self, _order: Ordering, next: impl FnOnce($value) -> $value) -> $value {
                let found = self.0.load(Relaxed);
                self.0.store(next(found), Relaxed);
                found
            }
        }
    };
}

/// What integers have beside.
macro_rules! integer {
    ($(#[$doc:meta])* $name:ident, $value:ty) => {
        word! { $(#[$doc])* $name, $value }

        #[allow(missing_docs)] // as std's
        impl $name {
            #[inline(always)]
            pub fn fetch_add(&self, n: $value, order: Ordering) -> $value {
                self.replaced(order, |found| found.wrapping_add(n))
            }

            #[inline(always)]
            pub fn fetch_sub(&self, n: $value, order: Ordering) -> $value {
                self.replaced(order, |found| found.wrapping_sub(n))
            }

            #[inline(always)]
            pub fn fetch_and(&self, n: $value, order: Ordering) -> $value {
                self.replaced(order, |found| found & n)
            }

            #[inline(always)]
            pub fn fetch_or(&self, n: $value, order: Ordering) -> $value {
                self.replaced(order, |found| found | n)
            }

            #[inline(always)]
            pub fn fetch_xor(&self, n: $value, order: Ordering) -> $value {
                self.replaced(order, |found| found ^ n)
            }

            #[inline(always)]
            pub fn fetch_max(&self, n: $value, order: Ordering) -> $value {
                self.replaced(order, |found| found.max(n))
            }

            #[inline(always)]
            pub fn fetch_min(&self, n: $value, order: Ordering) -> $value {
                self.replaced(order, |found| found.min(n))
            }
        }
    };
}

word! {
    /// A flag.
    AtomicBool, bool
}
word! {
    /// An address.
    AtomicPtr<T>, *mut T
}
integer! {
    /// A signed integer.
    AtomicI64, i64
}
integer! {
    /// A byte.
    AtomicU8, u8
}
integer! {
    /// An integer of 16 bits.
    AtomicU16, u16
}
integer! {
    /// An integer of 32 bits.
    AtomicU32, u32
}
integer! {
    /// An integer of 64 bits.
    AtomicU64, u64
}
integer! {
    /// An integer as wide as an address.
    AtomicUsize, usize
}

/// A lock that only attached threads take, and whose holder stays attached and calls nothing (G1):
/// so nobody ever finds it taken, and it is no lock.
///
/// What it protects follows it, as in the other faces.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Lock<T> {
    /// Looked at all the same: what two hold at once would be undefined.
    is_taken: AtomicBool,
    value: std::cell::UnsafeCell<T>,
}

// SAFETY: one thread at a time gets at the value, `is_taken` sees to it, and each sees what the one
// before has done (G2).
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// Takes it.
    ///
    /// # Panics
    /// If it is taken, which is a bug.
    #[inline(always)]
    pub fn lock(&self) -> LockGuard<'_, T> {
        assert!(!self.is_taken.load(Relaxed), "a lock of attached threads was found taken");
        self.is_taken.store(true, Relaxed);
        LockGuard(self)
    }
}

/// A [`Lock`] that is taken.
#[derive(Debug)]
pub struct LockGuard<'a, T>(&'a Lock<T>);

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: this is the only guard.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, borrowed mutably.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for LockGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.is_taken.store(false, Relaxed);
    }
}

/// The same.
pub type Latch = Lock<()>;
/// Holds it.
pub type LatchGuard<'a> = LockGuard<'a, ()>;

#[allow(missing_docs)] // as std's
impl AtomicBool {
    #[inline(always)]
    pub fn fetch_xor(&self, flag: bool, order: Ordering) -> bool {
        self.replaced(order, |found| found ^ flag)
    }
}
