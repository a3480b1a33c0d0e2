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
        if cfg!(Py_GIL_DISABLED) && self.seen.load(Relaxed) {
            Owned::for_another(item)
        } else {
            Owned::new(item)
        }
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
