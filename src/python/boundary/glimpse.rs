//! Keys at which a reader merely looks: he takes no reference to compare them.
//!
//! # Why
//! Threads that bring equal keys of their own to a container would each count a reference to the
//! *stored* key, and give it up again: two atomic instructions on one word that all of them want. What
//! is equal by its bytes alone needs none: an exact `str`, `bytes` or `int`, and a tuple of these, or of
//! the very same objects, as the key of a cached method's call is.
//!
//! # How
//! With a GIL nothing dies while a thread is attached and calls nothing. Without one, as readers of a
//! sequence lock do (H. Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?",
//! MSPC 2012): words are read, and afterwards a look tells whether they were the key's
//! ([`Glimpse::holds`]).
//!
//! # Invariants
//! - **L1** What was an object when its address was read stays memory of objects, in blocks of the same
//!   size, until this thread is between two instructions of Python's, or detached: CPython gives pages of objects to something
//!   else only when all threads have been there since (`page_use_qsbr` in `Python/pystate.c`,
//!   `Python/qsbr.c`). Its own readers of lists and dicts rely on it when they try to take a reference, as ours
//!   do ([`Counted`](crate::engine::Counted)). From the engine's reading of the key's word until here ends, nothing is called.
//!   So who reads inside the block reads bytes, be they of the dead or of another object.
//! - **L2** Nothing that was read is followed before a look said that it was the key's: not an address, and not a
//!   class or a length, which say how large the block is. What is to be read is known from the object that was
//!   brought, which is alive, and to which the key was found equal so far.
//! - **L3** An item of a tuple that is a key was alive at the look behind its address. Then L1 and L2 hold for it, by
//!   the same looks.
//! - **L4** Objects of these classes do not change once they are shared; of what may change beside (a hash, whether
//!   it is interned), nothing is read.
//! - **L5** Two are said to be equal only after a look behind all that was read.
//!
//! Who looks is inside a guard, so what is long, or has many items, is compared otherwise.

use pyo3::prelude::*;

use super::object::Arg;
use crate::engine::cache::Glimpse;

#[cfg(not(Py_GIL_DISABLED))]
use with_gil as face;
#[cfg(Py_GIL_DISABLED)]
use without_gil as face;

/// Whether an object is known to be equal to a key.
///
/// # Safety
/// The key's word is the address of an object.
#[inline(never)] // most hits are by the same object, and do without
pub(super) unsafe fn equal(object: Arg<'_, '_>, key: &Glimpse<'_>) -> bool {
    // SAFETY: the caller's promise.
    unsafe { face::equal(object, key.word(), &|| key.holds()) }
}

/// Whether a tuple of these is known to be equal to a key.
///
/// # Safety
/// The key's word is the address of an object.
#[inline(never)] // as above
pub(super) unsafe fn equal_tuple(py: Python<'_>, items: &[Arg<'_, '_>], key: &Glimpse<'_>) -> bool {
    // SAFETY: the caller's promise.
    unsafe { face::equal_tuple(py, items, key.word(), &|| key.holds()) }
}

/// Looks whether objects are laid out as these lines think.
///
/// # Errors
/// An `ImportError`: no key may be looked at.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    face::prepare(py)
}

/// The items of an exact tuple.
#[inline]
fn items<'a, 'py>(object: Arg<'a, 'py>) -> Option<&'a [Arg<'a, 'py>]> {
    use pyo3::ffi;
    // SAFETY: a live object; the check calls nothing.
    if unsafe { ffi::PyTuple_CheckExact(object.as_ptr()) } == 0 {
        return None;
    }
    // SAFETY: a live tuple.
    let len = unsafe { ffi::PyTuple_GET_SIZE(object.as_ptr()) };
    let tuple = object.as_ptr().cast::<ffi::PyTupleObject>();
    // SAFETY: as above.
    let first = unsafe { &raw const (*tuple).ob_item };
    // SAFETY: so many items, which live as long as the tuple; an `Arg` is an address.
    Some(unsafe { std::slice::from_raw_parts(first.cast(), len.cast_unsigned()) })
}

#[cfg(not(Py_GIL_DISABLED))]
mod with_gil {
    use pyo3::prelude::*;

    use super::items;
    use crate::python::boundary::key::{equal_text, small_int};
    use crate::python::boundary::object::{Arg, borrowed};

    /// # Safety
    /// The address is that of an object to which a container refers.
    pub(super) unsafe fn equal(object: Arg<'_, '_>, at: usize, _: &impl Fn() -> bool) -> bool {
        let key = std::ptr::with_exposed_provenance_mut(at);
        // SAFETY: the caller's promise; the thread is attached, and calls nothing by which it might die.
        let key = unsafe { borrowed(object.py(), key) };
        equal_leaf(object, key) || items(object).is_some_and(|items| equal_items(items, key))
    }

    /// # Safety
    /// As above.
    pub(super) unsafe fn equal_tuple(
        py: Python<'_>,
        items: &[Arg<'_, '_>],
        at: usize,
        _: &impl Fn() -> bool,
    ) -> bool {
        let key = std::ptr::with_exposed_provenance_mut(at);
        // SAFETY: as above.
        equal_items(items, unsafe { borrowed(py, key) })
    }

    fn equal_items(brought: &[Arg<'_, '_>], key: Arg<'_, '_>) -> bool {
        items(key).is_some_and(|stored| {
            let mut pairs = brought.iter().zip(stored);
            brought.len() == stored.len()
                && pairs.all(|(a, b)| a.as_ptr() == b.as_ptr() || equal_leaf(*a, *b))
        })
    }

    /// By C functions that neither call nor wait.
    fn equal_leaf(a: Arg<'_, '_>, b: Arg<'_, '_>) -> bool {
        equal_text(a, b) == Some(true)
            || small_int(a).is_some_and(|number| small_int(b) == Some(number))
    }

    /// There is nothing to know.
    #[allow(clippy::unnecessary_wraps)] // as without a GIL
    pub(super) fn prepare(_py: Python<'_>) -> PyResult<()> {
        Ok(())
    }
}

#[cfg(Py_GIL_DISABLED)]
mod without_gil {
    use std::mem::offset_of;
    use std::ptr::with_exposed_provenance_mut;
    use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed};

    use pyo3::exceptions::PyImportError;
    use pyo3::ffi;
    use pyo3::prelude::*;

    use super::items;
    use crate::engine::memory::growth::{put, room};
    use crate::python::boundary::error::{Error, Result};
    use crate::python::boundary::object::{Arg, made, tuple};
    use crate::python::boundary::owned::Owned;

    /// What is longer is compared with a reference.
    const MOST_BYTES: usize = 1 << 10;
    const MOST_ITEMS: usize = 16;

    const CLASS: usize = offset_of!(ffi::PyObject, ob_type);
    /// The first word behind the header: a length, or an `int`'s tag.
    const FIRST: usize = size_of::<ffi::PyObject>();
    /// Where the bytes are.
    const OF_BYTES: usize = offset_of!(ffi::PyBytesObject, ob_sval);
    const OF_INT: usize = FIRST + size_of::<usize>();
    const OF_TUPLE: usize = offset_of!(ffi::PyTupleObject, ob_item);
    const OF_ASCII: usize = size_of::<ffi::PyASCIIObject>();
    const OF_TEXT: usize = size_of::<ffi::PyCompactUnicodeObject>();

    /// An `int`'s tag: the number of digits above the sign, and between them whether it is one of those
    /// that are always there.
    const SMALL: usize = 4;
    const DIGITS_SHIFT: u32 = 3;

    /// What a `str` says of its characters: their width, in bits that have a place of their own where a byte
    /// before them says whether it is interned. (Where C lays bits out otherwise, texts are compared
    /// with a reference.)
    const STATE: usize = offset_of!(ffi::PyASCIIObject, state);
    const KNOWS_STATE: bool = cfg!(all(target_endian = "little", not(target_env = "msvc")));
    const WIDTH_SHIFT: u32 = 8;
    const WIDTH: u32 = 7 << WIDTH_SHIFT;
    const IS_COMPACT: u32 = 1 << 11;
    const IS_ASCII: u32 = 1 << 12;

    /// # Safety
    /// Inside an object, or what was one (L1); so for all here that read at an address.
    #[inline(always)]
    unsafe fn word(address: usize) -> usize {
        // SAFETY: the caller's promise; others may write there, and this load is atomic.
        unsafe { AtomicUsize::from_ptr(with_exposed_provenance_mut(address)) }.load(Relaxed)
    }

    #[inline(always)]
    unsafe fn half(address: usize) -> u32 {
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(with_exposed_provenance_mut(address)) }.load(Relaxed)
    }

    #[inline(always)]
    unsafe fn byte(address: usize) -> u8 {
        // SAFETY: as above.
        unsafe { AtomicU8::from_ptr(with_exposed_provenance_mut(address)) }.load(Relaxed)
    }

    /// A word of each of two objects.
    #[inline(always)]
    unsafe fn words(a: usize, b: usize, offset: usize) -> [usize; 2] {
        // SAFETY: as above.
        let first = unsafe { word(a + offset) };
        // SAFETY: as above.
        [first, unsafe { word(b + offset) }]
    }

    /// Whether so many bytes are the same; both addresses are aligned as words are.
    unsafe fn equal_bytes(a: usize, b: usize, len: usize) -> bool {
        let whole = len & !(size_of::<usize>() - 1);
        for offset in (0..whole).step_by(size_of::<usize>()) {
            // SAFETY: as above.
            let [a, b] = unsafe { words(a, b, offset) };
            if a != b {
                return false;
            }
        }
        (whole..len).all(|offset| {
            // SAFETY: as above.
            let a = unsafe { byte(a + offset) };
            // SAFETY: as above.
            a == unsafe { byte(b + offset) }
        })
    }

    /// # Safety
    /// The address was that of an object when the thread was last between two instructions, or since
    /// (L1), and `holds` tells whether it still was.
    pub(super) unsafe fn equal(object: Arg<'_, '_>, at: usize, holds: &impl Fn() -> bool) -> bool {
        match items(object) {
            // SAFETY: the caller's promise.
            Some(items) => unsafe { equal_tuple(object.py(), items, at, holds) },
            // SAFETY: as above.
            None => unsafe { equal_leaf(object, at, holds) },
        }
    }

    /// # Safety
    /// As above.
    pub(super) unsafe fn equal_tuple(
        _: Python<'_>,
        items: &[Arg<'_, '_>],
        at: usize,
        holds: &impl Fn() -> bool,
    ) -> bool {
        let mut stored = [0; MOST_ITEMS];
        let Some(stored) = stored.get_mut(..items.len()) else { return false };
        // SAFETY: L1.
        let class = unsafe { word(at + CLASS) };
        if class != (&raw const ffi::PyTuple_Type).addr() || !holds() {
            return false;
        }
        // SAFETY: L2: a tuple, which has that many items.
        if unsafe { word(at + FIRST) } != items.len() || !holds() {
            return false;
        }
        for (place, item) in (at + OF_TUPLE..).step_by(size_of::<usize>()).zip(stored.iter_mut()) {
            // SAFETY: L2: so many.
            *item = unsafe { word(place) };
        }
        // SAFETY: L3.
        let equal =
            |a: Arg<'_, '_>, b| a.as_ptr().addr() == b || unsafe { equal_leaf(a, b, holds) };
        holds() && items.iter().zip(stored).all(|(a, b)| equal(*a, *b))
    }

    /// # Safety
    /// As above.
    unsafe fn equal_leaf(object: Arg<'_, '_>, at: usize, holds: &impl Fn() -> bool) -> bool {
        let alive = object.as_ptr().addr();
        // SAFETY: L1, and a live object.
        let [class, other] = unsafe { words(alive, at, CLASS) };
        if class != other || !holds() {
            return false;
        }
        // SAFETY: L2: of the same class from here on, each of which has at least this one word.
        let shape = unsafe { shape(class, alive, at) };
        shape.is_some_and(|(first, len)| {
            // SAFETY: L2: what tells so is equal, if this look says so.
            len <= MOST_BYTES
                && holds()
                && unsafe { equal_bytes(alive + first, at + first, len) }
                && holds()
        })
    }

    /// Where the bytes are, by which two objects of a class are equal, and how many, if that is equal so
    /// far. Addresses of others are not looked at.
    ///
    /// # Safety
    /// The first is alive, and the second was of that class when it was alive.
    #[inline(always)]
    unsafe fn shape(class: usize, alive: usize, at: usize) -> Option<(usize, usize)> {
        let is = |other: *const ffi::PyTypeObject| class == other.addr();
        let is_text = KNOWS_STATE && is(&raw const ffi::PyUnicode_Type);
        if !is_text && !is(&raw const ffi::PyBytes_Type) && !is(&raw const ffi::PyLong_Type) {
            return None;
        }
        // SAFETY: the caller's promise, here and below.
        let [first, other] = unsafe { words(alive, at, FIRST) };
        if is(&raw const ffi::PyLong_Type) {
            let len = (first >> DIGITS_SHIFT).checked_mul(size_of::<u32>())?;
            return ((first ^ other) & !SMALL == 0).then_some((OF_INT, len));
        }
        if first != other {
            return None;
        }
        if !is_text {
            return Some((OF_BYTES, first));
        }
        // SAFETY: as above.
        let state = unsafe { half(alive + STATE) };
        // SAFETY: as above.
        let other = unsafe { half(at + STATE) };
        let differs = (state ^ other) & (WIDTH | IS_COMPACT | IS_ASCII) != 0;
        if differs || state & IS_COMPACT == 0 {
            return None;
        }
        let len = first.checked_mul(((state & WIDTH) >> WIDTH_SHIFT) as usize)?;
        Some((if state & IS_ASCII == 0 { OF_TEXT } else { OF_ASCII }, len))
    }

    /// `bytes` of this text, or of one byte where CPython has such an object already.
    fn bytes(text: &[u8], is_new: bool) -> Result<Owned> {
        let len = text.len().cast_signed();
        let from = if is_new { std::ptr::null() } else { text.as_ptr().cast() };
        // SAFETY: the thread is attached, as callers are; so many bytes, or none, to be written.
        let made = unsafe { ffi::PyBytes_FromStringAndSize(from, len) };
        // SAFETY: a new reference, or null with an exception set.
        let made = unsafe { Owned::from_new(made) }.ok_or_else(Error::pending)?;
        if is_new {
            // SAFETY: bytes, which nobody else has seen.
            let place = unsafe { ffi::PyBytes_AsString(made.as_ptr()) }.cast::<u8>();
            // SAFETY: there is room for so many.
            unsafe { place.copy_from_nonoverlapping(text.as_ptr(), text.len()) };
        }
        Ok(made)
    }

    /// Objects of which no two are equal.
    fn samples(py: Python<'_>, are_new: bool) -> Result<Vec<Owned>> {
        let texts = ["lockfree", "lockfrei", "lockfre\u{e9}", "lockfre\u{3b5}", "lockfre\u{1d11e}"];
        let numbers = [1 << 40, (1 << 40) + 1, -(1 << 40), i64::MAX, 1_000, -1_000];
        let mut samples = room(texts.len() + numbers.len() + 5)?;
        for text in texts.iter().filter(|_| KNOWS_STATE) {
            put(&mut samples, made(py, *text)?.into()); // room: above
        }
        for number in numbers {
            put(&mut samples, made(py, number)?.into()); // room: above
        }
        for text in [&b"lockfree"[..], b"lockfrei", b"l"] {
            put(&mut samples, bytes(text, are_new)?); // room: above
        }
        for number in [1_000_i64, 1_001] {
            let items = [bytes(b"lockfree", true)?, made(py, number)?.into()];
            put(&mut samples, tuple(items)?); // room: above
        }
        Ok(samples)
    }

    pub(super) fn prepare(py: Python<'_>) -> PyResult<()> {
        let (a, b) = (samples(py, false)?, samples(py, true)?);
        // SAFETY: both are alive.
        let known = |a: &Owned, b: &Owned| unsafe { equal(a.borrow(py), b.address(), &|| true) };
        let is_known = |i: usize, j: usize| known(&a[i], &b[j]) == (i == j);
        if (0..a.len()).all(|i| (0..b.len()).all(|j| is_known(i, j))) {
            return Ok(());
        }
        let text = "this Python's objects are laid out in a way that lockfree does not know";
        Err(PyImportError::new_err(text))
    }
}
