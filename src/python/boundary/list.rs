//! Lists of items, on their way into a container and out of it.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::error::{Error, Result};
use super::object::Arg;
use super::owned::Owned;
use super::user;
use crate::engine;

/// A new list whose items are still missing.
#[derive(Debug)]
pub(crate) struct Slots<'py> {
    list: Bound<'py, PyAny>,
    len: ffi::Py_ssize_t,
}

impl<'py> Slots<'py> {
    /// A list of `len` missing items. Allocating may run user code, on CPython
    /// 3.11.
    pub(crate) fn new(py: Python<'py>, len: usize) -> Result<Self> {
        let len = ffi::Py_ssize_t::try_from(len).map_err(|_| engine::OutOfMemory)?;
        // SAFETY: the token proves the thread attached.
        let list = unsafe { ffi::PyList_New(len) };
        // SAFETY: a new reference, or null with an exception set.
        let list = unsafe { Bound::from_owned_ptr_or_opt(py, list) };
        Ok(Self { list: list.ok_or_else(Error::pending)?, len })
    }

    /// How many places it has.
    pub(crate) fn len(&self) -> usize {
        self.len.cast_unsigned()
    }

    /// Puts an item into an empty place.
    #[inline]
    pub(crate) fn fill(&self, i: usize, item: Owned) {
        debug_assert!(i < self.len.cast_unsigned());
        // SAFETY: a list of `len` places that nobody else has seen.
        unsafe { ffi::PyList_SET_ITEM(self.list.as_ptr(), i.cast_signed(), item.into_raw()) };
    }

    /// The list of the first `count` items, which are all that were filled.
    pub(crate) fn finish(self, count: usize) -> Result<Bound<'py, PyList>> {
        let Self { list, len } = self;
        let count = count.cast_signed();
        if count < len {
            // SAFETY: a list, and a range of it, all empty.
            let failed =
                unsafe { ffi::PyList_SetSlice(list.as_ptr(), count, len, std::ptr::null_mut()) };
            if failed != 0 {
                return Err(Error::pending());
            }
        }
        // SAFETY: made as a list.
        Ok(unsafe { list.cast_into_unchecked() })
    }
}

/// A list of what there is already: between being made and being full nothing is
/// allocated, so that no finalizer finds it with items missing.
pub(crate) fn list_of(py: Python<'_>, items: Vec<Owned>) -> Result<Bound<'_, PyList>> {
    let (list, count) = (Slots::new(py, items.len())?, items.len());
    items.into_iter().enumerate().for_each(|(i, item)| list.fill(i, item));
    list.finish(count)
}

/// The items of an iterable, each by the reference that `take` makes. Runs user code.
pub(crate) fn collect(
    iterable: &Bound<'_, PyAny>,
    take: impl Fn(Arg<'_, '_>) -> Owned,
) -> Result<Vec<Owned>> {
    // A tuple cannot change while it is copied; of a list CPython makes one
    // under the list's own lock.
    // SAFETY: a live object, and the token proves the thread attached.
    let tuple = unsafe { user::tuple(iterable.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    let tuple = unsafe { Bound::from_owned_ptr_or_opt(iterable.py(), tuple) };
    let tuple = tuple.ok_or_else(Error::pending)?;
    // SAFETY: made as a tuple.
    let tuple = unsafe { tuple.cast_into_unchecked::<PyTuple>() };
    Ok(tuple.iter_borrowed().map(take).collect())
}
