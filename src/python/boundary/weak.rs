//! Weak references.

use pyo3::ffi;
use pyo3::prelude::*;

use super::error::{Error, Result};
use super::object::Arg;
use super::owned::Owned;

/// A weak reference to an object, at whose end `callback` is called with it, if there is one.
pub(crate) fn reference(object: Arg<'_, '_>, callback: Option<Arg<'_, '_>>) -> Result<Owned> {
    let callback = callback.as_deref().map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: live objects, and the thread is attached (a `Borrowed` proves both).
    let made = unsafe { ffi::PyWeakref_NewRef(object.as_ptr(), callback) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Owned::from_new(made) }.ok_or_else(Error::pending)
}

/// What a weak reference refers to, if that is alive.
///
/// By nothing but the interpreter's own look: an address alone could bring back what the
/// collector has condemned already.
pub(crate) fn referent(py: Python<'_>, reference: &Owned) -> Option<Owned> {
    let reference = reference.borrow(py);
    let mut object = std::ptr::null_mut();
    // SAFETY: a live weak reference, and the thread is attached (a `Borrowed` proves both).
    let found = unsafe { ffi::compat::PyWeakref_GetRef(reference.as_ptr(), &raw mut object) };
    debug_assert!(found >= 0, "it is a weak reference");
    // SAFETY: a new reference, or null.
    unsafe { Owned::from_new(object) }
}
