//! When an atomic stops being reference counted.
//!
//! On free-threaded CPython the contended cache line of a shared object is its
//! *reference count*: loading a global or an attribute costs two atomic
//! read-modify-writes on it, more than the atomic's own operation. CPython can
//! defer the counting of an object (`PyUnstable_Object_EnableDeferredRefcount`,
//! 3.14), after which only the cyclic collector frees it. So an object must
//! earn it: a [`Deferral`] sits in each atomic and notices threads that keep
//! alternating on it.
//!
//! Each operation compares one word, beside the object's header, with the
//! identity of the running thread. Where they differ, the object changed hands.
//! [`HANDOVERS`] hand-overs in a row, none later than [`QUICK`] after the one
//! before, make it contended; one slow hand-over starts the count again. An object used by one thread, or handed on now and then, or
//! by a sequence of short-lived threads, keeps its prompt free. Below that rate
//! of use the two read-modify-writes would cost about one percent.
//!
//! Containers are deferred on request only (`shared=True`): with them all that
//! they hold would wait for the collector.
//!
//! All accesses are `Relaxed`: a lost update delays the decision, no more.

#[cfg(all(Py_GIL_DISABLED, Py_3_14))]
pub(crate) use adaptive::{Deferral, defer};
#[cfg(not(all(Py_GIL_DISABLED, Py_3_14)))]
pub(crate) use never::{Deferral, defer};

#[cfg(not(all(Py_GIL_DISABLED, Py_3_14)))]
mod never {
    use crate::python::boundary::object::Arg;

    /// With a GIL there is nothing to defer.
    pub(crate) fn defer(_object: Arg<'_, '_>) {}

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
    }
}

#[cfg(all(Py_GIL_DISABLED, Py_3_14))]
mod adaptive {
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    use pyo3::ffi;

    use crate::python::boundary::identity::thread_identity;
    use crate::python::boundary::object::Arg;
    use crate::shim::{AtomicU64, AtomicUsize, Ordering::Relaxed};

    /// Hand-overs in a row that make an object contended.
    const HANDOVERS: u64 = 64;
    /// The longest time between two of them.
    const QUICK: Duration = Duration::from_micros(20);
    /// `last_user` of an object that is deferred: no thread has this identity.
    const DEFERRED: usize = 1;
    /// The low bits of `streak` count hand-overs, the others hold the time.
    const COUNT_BITS: u32 = 8;

    unsafe extern "C" {
        // Missing in pyo3-ffi 0.30.
        fn PyUnstable_Object_EnableDeferredRefcount(object: *mut ffi::PyObject) -> std::ffi::c_int;
    }

    /// Watches who uses the object it lies in.
    #[derive(Debug, Default)]
    pub(crate) struct Deferral {
        /// Identity of the thread that used the object last, or [`DEFERRED`].
        last_user: AtomicUsize,
        /// Nanoseconds at the last hand-over, and how many came in a row.
        streak: AtomicU64,
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
                self.handed_over(owner, thread_identity());
            }
        }

        #[cold]
        fn handed_over(&self, owner: Arg<'_, '_>, me: usize) {
            self.last_user.store(me, Relaxed);
            let now = nanoseconds();
            let streak = self.streak.load(Relaxed);
            let (then, count) = (streak >> COUNT_BITS, streak & ((1 << COUNT_BITS) - 1));
            let quick = u128::from(now.saturating_sub(then)) <= QUICK.as_nanos();
            let count = if quick { count + 1 } else { 0 };
            if count < HANDOVERS {
                self.streak.store(now << COUNT_BITS | count, Relaxed);
                return;
            }
            self.last_user.store(DEFERRED, Relaxed);
            defer(owner);
        }
    }

    /// Stops counting references to an object, for ever.
    pub(crate) fn defer(object: Arg<'_, '_>) {
        // SAFETY: the thread is attached and the object alive; the call is made
        // for objects that other threads use at the same time.
        unsafe { PyUnstable_Object_EnableDeferredRefcount(object.as_ptr()) };
    }

    /// Nanoseconds since the first call.
    fn nanoseconds() -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        // 56 bits of nanoseconds are two years.
        u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(0)
    }
}
