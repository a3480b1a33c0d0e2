//! The key of a call with several arguments.

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::error::{Error, Result};
use super::key::{equal_text, small_int};
use super::object::{Arg, borrowed, tuple};
use super::owned::Owned;
use super::user;
use crate::engine::cache::Query;

/// A tuple that is looked for and need not be made, which would count references to its items:
/// to `self`, of a method that many threads call.
pub(crate) struct TupleKey<'a, 'py> {
    items: &'a [Arg<'a, 'py>],
    hash: u64,
    py: Python<'py>,
}

impl<'a, 'py> TupleKey<'a, 'py> {
    /// Hashes the items, which may run user code.
    pub(crate) fn new(py: Python<'py>, items: &'a [Arg<'a, 'py>]) -> Result<Self> {
        Ok(Self { items, hash: (hash_of_tuple(items)? as i64).cast_unsigned(), py })
    }

    fn made(&self) -> Result<Owned> {
        tuple(self.items.iter().map(|item| Owned::new(*item)))
    }
}

impl Query<Owned> for TupleKey<'_, '_> {
    type Error = Error;

    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }

    /// No object's.
    #[inline]
    fn address(&self) -> usize {
        self.items.as_ptr().addr()
    }

    #[inline]
    fn by_hash(&self) -> bool {
        false
    }

    #[inline]
    fn is_plainly(&self, key: &Owned) -> Option<bool> {
        let key = key.borrow(self.py).cast_exact::<PyTuple>().ok()?;
        let is_equal = key.len() == self.items.len()
            && key.iter_borrowed().zip(self.items).all(|(a, b)| is_plainly_equal(a, *b));
        is_equal.then_some(true)
    }

    fn is(&self, key: &Owned) -> Result<bool> {
        let made = self.made()?;
        // SAFETY: both are alive, and the thread is attached (the token proves it).
        match unsafe { user::equal(key.as_ptr(), made.as_ptr()) } {
            -1 => Err(Error::pending()),
            equal => Ok(equal != 0),
        }
    }
}

/// Whether two objects are known to be equal without a call into Python.
#[inline]
fn is_plainly_equal(a: Arg<'_, '_>, b: Arg<'_, '_>) -> bool {
    a.as_ptr() == b.as_ptr()
        || equal_text(a, b) == Some(true)
        || small_int(a).is_some_and(|number| small_int(b) == Some(number))
}

/// The hash of a tuple of these, from CPython 3.8 on (after Y. Collet's xxHash).
fn hash_of_tuple(items: &[Arg<'_, '_>]) -> Result<isize> {
    #[cfg(target_pointer_width = "64")]
    const PRIMES: [usize; 3] =
        [0x9E37_79B1_85EB_CA87, 0xC2B2_AE3D_27D4_EB4F, 0x27D4_EB2F_1656_67C5];
    #[cfg(not(target_pointer_width = "64"))]
    const PRIMES: [usize; 3] = [0x9E37_79B1, 0x85EB_CA77, 0x1656_67B1];
    const TURN: u32 = if cfg!(target_pointer_width = "64") { 31 } else { 13 };
    let mut sum = PRIMES[2];
    for item in items {
        let hash = match small_int(*item) {
            #[allow(clippy::cast_possible_truncation)] // no more than a hash has
            Some(number) => number as isize,
            // SAFETY: a live object, and the thread is attached (a `Borrowed` proves both).
            None => unsafe { user::hash(item.as_ptr()) },
        };
        if hash == -1 {
            return Err(Error::pending());
        }
        sum = sum.wrapping_add(hash.cast_unsigned().wrapping_mul(PRIMES[1]));
        sum = sum.rotate_left(TURN).wrapping_mul(PRIMES[0]);
    }
    let sum = sum.wrapping_add(items.len() ^ PRIMES[2] ^ 0x35_D373).cast_signed();
    Ok(if sum == -1 { 1_546_275_796 } else { sum })
}

/// Looks whether tuples have the hashes that these lines give them.
///
/// # Errors
/// An `ImportError`: no [`TupleKey`] may be used.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let known = || {
        // SAFETY: has no conditions.
        let none = unsafe { ffi::Py_None() };
        // SAFETY: it is immortal, or as good as.
        let items = [unsafe { borrowed(py, none) }; 3];
        (0..=items.len()).try_fold(true, |known, count| {
            let key = TupleKey::new(py, &items[..count])?;
            let made = key.made()?;
            // SAFETY: a live object, and the token proves the thread attached.
            let hash = unsafe { user::hash(made.as_ptr()) };
            Ok::<_, Error>(known && (hash as i64).cast_unsigned() == key.hash)
        })
    };
    if known()? {
        return Ok(());
    }
    let text = "this Python hashes tuples in a way that lockfree does not know";
    Err(PyImportError::new_err(text))
}
