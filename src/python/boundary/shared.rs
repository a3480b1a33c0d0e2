//! A value that several own: an `Arc` whose making can fail.

use std::ops::Deref;
use std::ptr::NonNull;

use crate::engine::OutOfMemory;
use crate::engine::memory::growth::boxed;
use crate::shim::detached::AtomicU64;
use crate::shim::{Ordering::AcqRel, Ordering::Relaxed};

/// An owner of a value.
///
/// # Invariant
/// **S1** `owners` is how many there are; the last one frees both.
#[derive(Debug)]
pub(crate) struct Shared<T>(NonNull<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    owners: AtomicU64,
    value: T,
}

// SAFETY: as an `Arc`: owners on several threads share the value, and any of them may drop it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The first owner.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the value is dropped.
    pub(crate) fn new(value: T) -> Result<Self, OutOfMemory> {
        let inner = boxed(Inner { owners: AtomicU64::new(1), value })?;
        Ok(Self(NonNull::from(Box::leak(inner))))
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: S1: this owner keeps it.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        // Relaxed: this owner came by the value already.
        self.inner().owners.fetch_add(1, Relaxed);
        Self(self.0)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // AcqRel: what each owner did comes before the freeing.
        if self.inner().owners.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: S1: made from a box, and nobody else is left.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}
