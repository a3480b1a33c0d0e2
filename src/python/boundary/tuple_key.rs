//! The key of a call with several arguments.

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::error::{Error, Result};
use super::key::{Hashed, Sought, small_int};
use super::object::{Arg, borrowed, tuple};
use super::owned::Owned;
use super::{glimpse, user};
use crate::engine::cache::{Glimpse, Query};

/// The items of a tuple that is looked for and need not be made, which would count references to
/// them: to `self`, of a method that many threads call.
pub(crate) struct Items<'a, 'py> {
    items: &'a [Arg<'a, 'py>],
    py: Python<'py>,
}

/// A tuple that is looked for and need not be made.
pub(crate) type TupleKey<'a, 'py> = Hashed<Items<'a, 'py>>;

impl<'a, 'py> TupleKey<'a, 'py> {
    /// Hashes the items, which may run user code.
    pub(crate) fn new(py: Python<'py>, items: &'a [Arg<'a, 'py>]) -> Result<Self> {
        Ok(Self::by(Items { items, py }, hash_of_tuple(items)? as i64))
    }
}

impl Items<'_, '_> {
    fn made(&self) -> Result<Owned> {
        tuple(self.items.iter().map(|item| Owned::new(*item)))
    }
}

impl Sought for Items<'_, '_> {
    /// No object's.
    #[inline]
    fn address(&self) -> usize {
        self.items.as_ptr().addr()
    }

    #[inline]
    unsafe fn is_plainly(&self, key: &Glimpse<'_>) -> bool {
        // SAFETY: the caller's promise.
        unsafe { glimpse::equal_tuple(self.py, self.items, key) }
    }

    fn is(&self, key: &Owned) -> Result<bool> {
        let made = self.made()?;
        Sought::is(&made.borrow(self.py), key)
    }
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
            let made = key.sought().made()?;
            // SAFETY: a live object, and the token proves the thread attached.
            let hash = unsafe { user::hash(made.as_ptr()) };
            Ok::<_, Error>(known && (hash as i64).cast_unsigned() == key.hash())
        })
    };
    if known()? {
        return Ok(());
    }
    let text = "this Python hashes tuples in a way that lockfree does not know";
    Err(PyImportError::new_err(text))
}
