//! When an object of ours stops being reference counted.
//!
//! On free-threaded CPython the contended cache line of a shared object is its
//! *reference count*: loading a global or an attribute costs two atomic
//! read-modify-writes on it, more than most operations of ours. CPython can
//! defer the counting of an object (`PyUnstable_Object_EnableDeferredRefcount`,
//! 3.14), after which only the cyclic collector frees it, and what it holds with
//! it. So an object must earn it: a [`Deferral`] sits in each and notices threads
//! that keep alternating on it.
//!
//! Each operation compares one word, beside the object's header, with the
//! identity of the running thread. Where they differ, the *object* changed hands,
//! whichever of its ends the threads use: what they contend for is its name. Every
//! [`HANDOVERS`] hand-overs the clock is read: if they took at most [`WINDOW`], the
//! object is contended. (A count over a time, and not of quick ones in a row: one slow
//! hand-over proves nothing.) An object used by one thread, or
//! handed on now and then, or used by many threads for a moment, or by
//! a sequence of short-lived threads, keeps its prompt free. Below that rate the two
//! read-modify-writes would cost some percent at most.
//!
//! While the collector is disabled nothing is deferred by itself: nobody would free
//! it. A program says by [`defer`] that it wants no waiting, and no such care.
//!
//! All accesses of the counts are `Relaxed`: a lost update delays the decision, no more.

#[cfg(all(Py_GIL_DISABLED, Py_3_14))]
pub(crate) use adaptive::{Deferral, defer, prepare};
#[cfg(not(all(Py_GIL_DISABLED, Py_3_14)))]
pub(crate) use never::{Deferral, defer, prepare};

#[cfg(not(all(Py_GIL_DISABLED, Py_3_14)))]
mod never {
    use crate::python::boundary::error::Result;
    use crate::python::boundary::object::Arg;

    /// With a GIL there is nothing to prepare.
    pub(crate) fn prepare() {}

    /// With a GIL there is nothing to defer, and nothing that cannot be.
    pub(crate) fn defer(_object: Arg<'_, '_>) -> bool {
        true
    }

    /// With a GIL nothing is contended: no word, no check.
    #[derive(Debug, Default)]
    pub(crate) struct Deferral(());

    impl Deferral {
        #[inline(always)]
        #[allow(clippy::unused_self)] // the other one needs it
        pub(crate) fn settled(&self) -> bool {
            true
        }

        #[inline(always)]
        #[allow(clippy::unused_self)] // the other one needs it
        pub(crate) fn touch(&self, _owner: Arg<'_, '_>) {}

        #[allow(clippy::unused_self, clippy::unnecessary_wraps)] // the other one needs both
        pub(crate) fn take_along(&self, _other: Arg<'_, '_>) -> Result<()> {
            Ok(())
        }
    }
}

#[cfg(all(Py_GIL_DISABLED, Py_3_14))]
mod adaptive {
    use std::ptr::null_mut;
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    use pyo3::ffi;
    use pyo3::prelude::*;
    use pyo3::types::{PyTuple, PyWeakrefMethods, PyWeakrefReference};

    use crate::python::boundary::error::{Error, Result};
    use crate::python::boundary::identity::thread_identity;
    use crate::python::boundary::object::Arg;
    use crate::python::boundary::owned::Owned;
    use crate::shim::{
        AtomicPtr, AtomicU32, AtomicUsize,
        Ordering::{AcqRel, Relaxed},
    };

    /// Hand-overs between two looks at the clock.
    const HANDOVERS: u32 = 10_000;
    /// The longest time in which so many make an object contended.
    const WINDOW: Duration = Duration::from_millis(500);
    /// `last_user` of an object that is deferred: no thread has this identity.
    const DEFERRED: usize = 1;
    /// How often [`defer`] asks: CPython gives up where another thread changes
    /// another flag of the object at the same time.
    const TRIES: u32 = 8;

    unsafe extern "C" {
        // Missing in pyo3-ffi 0.30.
        fn PyUnstable_Object_EnableDeferredRefcount(object: *mut ffi::PyObject) -> std::ffi::c_int;
    }

    /// Watches who uses the object it lies in.
    #[derive(Debug, Default)]
    pub(crate) struct Deferral {
        /// Identity of the thread that used the object last, or [`DEFERRED`].
        last_user: AtomicUsize,
        /// Hand-overs since the last look at the clock.
        handovers: AtomicU32,
        /// Milliseconds at the last look at the clock; at first, at the import.
        since: AtomicU32,
        /// What is taken along: null, or a weak reference, which this word owns.
        companion: AtomicPtr<ffi::PyObject>,
    }

    impl Deferral {
        /// Whether there is nothing to note: the running thread used the object
        /// last, or it is deferred.
        #[inline(always)]
        pub(crate) fn settled(&self) -> bool {
            let last = self.last_user.load(Relaxed);
            last == thread_identity() || last == DEFERRED
        }

        /// Notes that the running thread uses `owner`.
        #[inline(always)]
        pub(crate) fn touch(&self, owner: Arg<'_, '_>) {
            if !self.settled() {
                self.handed_over(owner);
            }
        }

        /// Defers another object, by which threads name this one, as soon as this one
        /// is deferred, which it may be already; of several the last.
        pub(crate) fn take_along(&self, other: Arg<'_, '_>) -> Result<()> {
            let weak = PyWeakrefReference::new(&other).map_err(Error::raised)?;
            self.keep(Owned::from(weak.into_any()).into_raw());
            if self.last_user.load(Relaxed) == DEFERRED && collector_is_enabled() {
                self.defer_companion(other.py());
            }
            Ok(())
        }

        fn keep(&self, weak: *mut ffi::PyObject) {
            let before = self.companion.swap(weak, AcqRel);
            // SAFETY: null, or a reference that was given to this word; attached, as
            // whoever uses or frees an object is.
            drop(unsafe { Owned::from_new(before) });
        }

        #[cold]
        #[inline(never)]
        fn handed_over(&self, owner: Arg<'_, '_>) {
            let last = self.last_user.load(Relaxed);
            // Not by a store, which could hide from all that it is deferred by now.
            let noted = self.last_user.compare_exchange(last, thread_identity(), Relaxed, Relaxed);
            if last == DEFERRED || noted.is_err() {
                return;
            }
            let count = self.handovers.load(Relaxed) + 1;
            if count < HANDOVERS {
                self.handovers.store(count, Relaxed);
                return;
            }
            let now = milliseconds();
            let took = now.wrapping_sub(self.since.load(Relaxed));
            self.handovers.store(0, Relaxed);
            self.since.store(now, Relaxed);
            if u128::from(took) <= WINDOW.as_millis() && collector_is_enabled() {
                self.last_user.store(DEFERRED, Relaxed);
                defer(owner);
                self.defer_companion(owner.py());
            }
        }

        fn defer_companion(&self, py: Python<'_>) {
            let weak = self.companion.swap(null_mut(), AcqRel);
            // SAFETY: as in `keep`.
            let Some(weak) = (unsafe { Owned::from_new(weak) }) else { return };
            // SAFETY: made as a weak reference.
            let weak = unsafe { weak.borrow(py).cast_unchecked::<PyWeakrefReference>() };
            if let Some(other) = weak.upgrade() {
                let other = Owned::from(other);
                defer(other.borrow(py));
            }
        }
    }

    impl Drop for Deferral {
        fn drop(&mut self) {
            self.keep(null_mut());
        }
    }

    fn collector_is_enabled() -> bool {
        // SAFETY: the thread is attached: it uses an object.
        unsafe { ffi::PyGC_IsEnabled() != 0 }
    }

    /// Stops counting references to an object, for ever; false where that cannot be.
    pub(crate) fn defer(object: Arg<'_, '_>) -> bool {
        // A collection stops tracking a tuple of what is not tracked itself: CPython 3.14
        // never frees a deferred one then.
        if object.is_exact_instance_of::<PyTuple>() || !is_tracked(object) {
            return false;
        }
        // 0 says nothing: also an object that is deferred already is refused.
        // SAFETY: the thread is attached and the object alive; the call is made
        // for objects that other threads use at the same time.
        let enable = |_| unsafe { PyUnstable_Object_EnableDeferredRefcount(object.as_ptr()) != 0 };
        let _ = (0..TRIES).any(enable);
        true
    }

    /// Whether the collector knows an object.
    fn is_tracked(object: Arg<'_, '_>) -> bool {
        // SAFETY: the thread is attached and the object alive.
        unsafe { ffi::PyObject_GC_IsTracked(object.as_ptr()) != 0 }
    }

    fn start() -> Instant {
        static START: OnceLock<Instant> = OnceLock::new();
        *START.get_or_init(Instant::now)
    }

    /// Starts the clock. Call it at import, before there is an object.
    pub(crate) fn prepare() {
        start();
    }

    /// Milliseconds since then, which start again after seven weeks.
    #[allow(clippy::cast_possible_truncation)] // as the text says
    fn milliseconds() -> u32 {
        start().elapsed().as_millis() as u32
    }
}
