//! Items on their way from one thread to another.

use super::object::Arg;
use super::owned::Owned;
use crate::shim::{AtomicBool, Ordering::Relaxed};

/// Whether the items of a container have been seen to go from thread to thread; once
/// they have, each goes in with a reference that is cheap to drop elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    seen: AtomicBool,
}

impl Handover {
    /// A reference to an item that goes in.
    #[inline]
    pub(crate) fn begin(&self, item: Arg<'_, '_>) -> Owned {
        if cfg!(Py_GIL_DISABLED) && self.seen.load(Relaxed) { send(item) } else { Owned::new(item) }
    }

    /// Looks at an item that came out.
    #[inline]
    pub(crate) fn end(&self, item: Owned) -> Owned {
        if !self.seen.load(Relaxed) && item.is_anothers() {
            self.seen.store(true, Relaxed);
        }
        item
    }
}

/// With a GIL objects are nobody's.
#[cfg(not(Py_GIL_DISABLED))]
fn send(item: Arg<'_, '_>) -> Owned {
    Owned::new(item)
}

#[cfg(Py_GIL_DISABLED)]
use without_gil::send;

#[cfg(Py_GIL_DISABLED)]
mod without_gil {
    use pyo3::ffi;

    use super::{Arg, Owned};
    use crate::python::boundary::{counting, retention};

    /// Of a longer tuple the other items are left as they are.
    const MOST_ITEMS: ffi::Py_ssize_t = 16;

    /// A reference that another thread is to drop; and it is to drop what a tuple that was
    /// made for this holds.
    #[inline]
    pub(super) fn send(item: Arg<'_, '_>) -> Owned {
        retention::retain(item);
        let (owned, first) = Owned::for_another(item);
        // SAFETY: a live object; the check calls nothing.
        if first && unsafe { ffi::PyTuple_CheckExact(item.as_ptr()) } != 0 {
            share_items(item);
        }
        owned
    }

    /// Moves the references that a tuple holds to objects of this thread's own into their
    /// shared counts.
    fn share_items(tuple: Arg<'_, '_>) {
        // SAFETY: a live tuple.
        let len = unsafe { ffi::PyTuple_GET_SIZE(tuple.as_ptr()) };
        for i in 0..len.min(MOST_ITEMS) {
            // SAFETY: it has so many.
            let item = unsafe { ffi::PyTuple_GET_ITEM(tuple.as_ptr(), i) };
            // SAFETY: a tuple's items live as long as it does.
            unsafe { counting::move_to_shared(item) };
        }
    }
}
