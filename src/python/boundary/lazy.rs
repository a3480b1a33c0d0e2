//! What a container is made of, made by the first who needs it: one that nobody has used yet
//! takes no memory for it.

use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};

use crate::engine::OutOfMemory;
use crate::engine::memory::growth::boxed;
use crate::shim::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire},
};

/// A value in a box, or none yet. Once it is there it stays.
#[derive(Debug)]
pub(crate) struct Lazy<T> {
    place: AtomicPtr<T>,
    owns: PhantomData<Box<T>>,
}

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self { place: AtomicPtr::new(null_mut()), owns: PhantomData }
    }
}

impl<T: Default> Lazy<T> {
    /// The value, if it was made.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&T> {
        // Acquire: the value as it was made.
        // SAFETY: null, or a box that is this object's until it is dropped.
        unsafe { self.place.load(Acquire).as_ref() }
    }

    /// The value.
    #[inline(always)]
    pub(crate) fn made(&self) -> Result<&T, OutOfMemory> {
        self.get().map_or_else(|| self.make(), Ok)
    }

    #[cold]
    #[inline(never)]
    fn make(&self) -> Result<&T, OutOfMemory> {
        let made = Box::into_raw(boxed(T::default())?);
        // Release: the value. Acquire: that of whoever was quicker.
        let placed = self.place.compare_exchange(null_mut(), made, AcqRel, Acquire);
        let place = placed.map_or_else(
            |other| {
                // SAFETY: made above, and no other thread has seen it.
                drop(unsafe { Box::from_raw(made) });
                other
            },
            |_| made,
        );
        // SAFETY: as in `get`.
        Ok(unsafe { &*place })
    }

    /// Takes the value out.
    pub(crate) fn take(&mut self) -> Option<Box<T>> {
        let taken = NonNull::new(self.place.swap(null_mut(), AcqRel))?;
        // SAFETY: a box of this object's, to which nothing leads any more.
        Some(unsafe { Box::from_raw(taken.as_ptr()) })
    }
}
