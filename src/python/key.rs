//! Keys: hashed and compared as a `dict` does, outside of everything.

use pyo3::ffi;

use super::convert::Arg;
use super::error::{Error, Result};
use super::owned::Owned;
use super::user;
use crate::engine::cache::Query;

/// Ints below this are their own hashes, but for -1.
const MODULUS: i64 = if cfg!(target_pointer_width = "64") { (1 << 61) - 1 } else { (1 << 31) - 1 };

/// A key that is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a, 'py> {
    object: Arg<'a, 'py>,
    hash: u64,
    /// Whether it is an `int`, and its hash the number: then equal hashes of two such
    /// mean equal numbers.
    is_number: bool,
}

impl<'a, 'py> Key<'a, 'py> {
    /// Hashes a key, which may run user code.
    #[inline]
    pub(crate) fn new(object: Arg<'a, 'py>) -> Result<Self> {
        if let Some(number) = small_int(object) {
            return Ok(Self { object, hash: number.cast_unsigned(), is_number: true });
        }
        // SAFETY: a live object, and the thread is attached (a `Borrowed` proves both).
        match unsafe { user::hash(object.as_ptr()) } {
            -1 => Err(Error::pending()),
            hash => Ok(Self { object, hash: (hash as i64).cast_unsigned(), is_number: false }),
        }
    }
}

/// The number that is the hash of an `int`, if it is.
#[inline]
fn small_int(object: Arg<'_, '_>) -> Option<i64> {
    // SAFETY: a live object; the check calls nothing.
    if unsafe { ffi::PyLong_CheckExact(object.as_ptr()) } == 0 {
        return None;
    }
    let mut overflow = 0;
    // SAFETY: a live int, and the thread is attached (a `Borrowed` proves both).
    let number = unsafe { ffi::PyLong_AsLongLongAndOverflow(object.as_ptr(), &raw mut overflow) };
    // A C function returns -1 for an error, so that no hash is -1. (An overflow is one too.)
    (-MODULUS < number && number < MODULUS && number != -1).then_some(number)
}

impl Query<Owned> for Key<'_, '_> {
    type Error = Error;

    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn address(&self) -> usize {
        self.object.as_ptr().addr()
    }

    #[inline]
    fn by_hash(&self) -> bool {
        self.is_number
    }

    fn is(&self, key: &Owned) -> Result<bool> {
        let (ours, theirs) = (self.object.as_ptr(), key.as_ptr());
        // SAFETY: both are alive.
        if let Some(same) = unsafe { same_text(ours, theirs) } {
            return Ok(same);
        }
        // SAFETY: both are alive, and the thread is attached.
        match unsafe { user::equal(theirs, ours) } {
            -1 => Err(Error::pending()),
            equal => Ok(equal != 0),
        }
    }
}

/// Whether two objects are equal, if both are of `str` itself or both of `bytes`
/// itself: then no Python code is called.
///
/// # Safety
/// The thread is attached, and both are alive.
unsafe fn same_text(a: *mut ffi::PyObject, b: *mut ffi::PyObject) -> Option<bool> {
    // SAFETY: live objects, in all that follows; these calls run no code.
    unsafe {
        if ffi::PyUnicode_CheckExact(a) != 0 && ffi::PyUnicode_CheckExact(b) != 0 {
            return Some(ffi::PyUnicode_Compare(a, b) == 0);
        }
    }
    None
}
