//! Keys: hashed and compared as a `dict` does, outside of everything.

use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::convert::plain_int64;
use super::error::{Error, Result};
use super::object::{Arg, made};
use super::owned::Owned;
use super::{glimpse, user};
use crate::engine::cache::{Glimpse, Query};

/// Ints below this are their own hashes, but for -1.
const MODULUS: i64 = if cfg!(target_pointer_width = "64") { (1 << 61) - 1 } else { (1 << 31) - 1 };

/// A key that is looked for, hashed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashed<S> {
    sought: S,
    hash: u64,
    /// Whether it is an `int`, and its hash the number: then equal hashes of two such
    /// mean equal numbers.
    is_number: bool,
}

/// What a key may be that is looked for.
pub(super) trait Sought {
    /// The address of the object, if it is one.
    fn address(&self) -> usize;

    /// As [`Query::is_plainly`].
    ///
    /// # Safety
    /// The key is an object.
    unsafe fn is_plainly(&self, key: &Glimpse<'_>) -> bool;

    /// As [`Query::is`].
    fn is(&self, key: &Owned) -> Result<bool>;
}

impl<S> Hashed<S> {
    #[inline(always)]
    pub(super) fn by(sought: S, hash: i64) -> Self {
        Self { sought, hash: hash.cast_unsigned(), is_number: false }
    }

    #[inline(always)]
    pub(super) fn sought(&self) -> &S {
        &self.sought
    }
}

impl<S: Sought> Query<Owned> for Hashed<S> {
    type Error = Error;

    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn address(&self) -> usize {
        self.sought.address()
    }

    #[inline]
    fn by_hash(&self) -> bool {
        self.is_number
    }

    #[inline]
    unsafe fn is_plainly(&self, key: &Glimpse<'_>) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.sought.is_plainly(key) }
    }

    fn is(&self, key: &Owned) -> Result<bool> {
        self.sought.is(key)
    }
}

/// An object that is looked for.
pub(crate) type Key<'a, 'py> = Hashed<Arg<'a, 'py>>;

impl<'a, 'py> Key<'a, 'py> {
    /// A key whose hash is known, and that is compared without a call into Python.
    #[inline(always)]
    pub(crate) fn plain(object: Arg<'a, 'py>) -> Option<Self> {
        if let Some(number) = small_int(object) {
            return Some(Self { is_number: true, ..Self::by(object, number) });
        }
        Some(Self::by(object, known_hash(object)?))
    }

    /// Hashes a key, which may run user code.
    #[inline]
    pub(crate) fn new(object: Arg<'a, 'py>) -> Result<Self> {
        if let Some(key) = Self::plain(object) {
            return Ok(key);
        }
        // SAFETY: a live object, and the thread is attached (a `Borrowed` proves both).
        match unsafe { user::hash(object.as_ptr()) } {
            -1 => Err(Error::pending()),
            hash => Ok(Self::by(object, hash as i64)),
        }
    }
}

/// The number that is the hash of an `int`, if it is.
#[inline]
pub(super) fn small_int(object: Arg<'_, '_>) -> Option<i64> {
    // SAFETY: a live object; the check calls nothing.
    if unsafe { ffi::PyLong_CheckExact(object.as_ptr()) } == 0 {
        return None;
    }
    // A C function returns -1 for an error, so that no hash is -1.
    plain_int64(object).filter(|number| -MODULUS < *number && *number < MODULUS && *number != -1)
}

/// The hash of a `str` that was hashed before. (CPython keeps it in the object.)
#[inline(always)]
fn known_hash(object: Arg<'_, '_>) -> Option<i64> {
    // SAFETY: a live object; the check calls nothing.
    if unsafe { ffi::PyUnicode_CheckExact(object.as_ptr()) } == 0 {
        return None;
    }
    let text = object.as_ptr().cast::<ffi::PyASCIIObject>();
    // SAFETY: a live string, which begins so.
    let hash = unsafe { &raw mut (*text).hash };
    // SAFETY: other threads write to it, but atomically.
    let hash = unsafe { AtomicIsize::from_ptr(hash) }.load(Relaxed);
    (hash != -1).then_some(hash as i64)
}

/// Looks whether strings keep their hashes where these lines think they do.
///
/// # Errors
/// An `ImportError`: no key may be used.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let text = made(py, "lockfree")?;
    let before = known_hash(text.as_borrowed());
    // SAFETY: a live object, and the token proves the thread attached.
    let hash = unsafe { user::hash(text.as_ptr()) } as i64;
    if before.is_none_or(|before| before == hash) && known_hash(text.as_borrowed()) == Some(hash) {
        return Ok(());
    }
    let text = "this Python's strings are laid out in a way that lockfree does not know";
    Err(PyImportError::new_err(text))
}

impl Sought for Arg<'_, '_> {
    #[inline]
    fn address(&self) -> usize {
        self.as_ptr().addr()
    }

    #[inline]
    unsafe fn is_plainly(&self, key: &Glimpse<'_>) -> bool {
        // SAFETY: the caller's promise.
        unsafe { glimpse::equal(*self, key) }
    }

    fn is(&self, key: &Owned) -> Result<bool> {
        let key = key.borrow(self.py());
        if let Some(equal) = equal_text(*self, key) {
            return Ok(equal);
        }
        // SAFETY: both are alive, and the thread is attached (a `Borrowed` proves it).
        match unsafe { user::equal(key.as_ptr(), self.as_ptr()) } {
            -1 => Err(Error::pending()),
            equal => Ok(equal != 0),
        }
    }
}

/// Whether two objects are equal, if both are of `str` itself or both of `bytes`
/// itself: that takes no call into Python.
pub(super) fn equal_text(a: Arg<'_, '_>, b: Arg<'_, '_>) -> Option<bool> {
    if let (Ok(a), Ok(b)) = (a.cast_exact::<PyString>(), b.cast_exact::<PyString>()) {
        // SAFETY: two live strings, and the thread is attached (a `Borrowed` proves it).
        #[cfg(Py_3_14)]
        return Some(unsafe { ffi::PyUnicode_Equal(a.as_ptr(), b.as_ptr()) } == 1);
        // SAFETY: as above.
        #[cfg(not(Py_3_14))]
        return Some(unsafe { ffi::PyUnicode_Compare(a.as_ptr(), b.as_ptr()) } == 0);
    }
    if let (Ok(a), Ok(b)) = (a.cast_exact::<PyBytes>(), b.cast_exact::<PyBytes>()) {
        return Some(a.as_bytes() == b.as_bytes());
    }
    None
}
