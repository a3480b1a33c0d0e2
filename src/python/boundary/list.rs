//! Lists of items, on their way into a container and out of it.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::error::{Error, Result};
use super::object::{Arg, borrowed, formatted, made, owned};
use super::owned::Owned;
use super::pauses::Pauses;
use super::user;
use crate::engine;
use crate::engine::memory::growth::{put, room, room_for_one};

/// A new list whose items are still missing.
#[derive(Debug)]
pub(crate) struct Slots<'py> {
    list: Bound<'py, PyAny>,
    len: ffi::Py_ssize_t,
    is_hidden: bool,
}

impl<'py> Slots<'py> {
    /// A list of `len` missing items. Allocating may run user code, on CPython
    /// 3.11.
    pub(crate) fn new(py: Python<'py>, len: usize) -> Result<Self> {
        let len = ffi::Py_ssize_t::try_from(len).map_err(|_| engine::OutOfMemory)?;
        Ok(Self { list: new_list(py, len)?, len, is_hidden: false })
    }

    /// The same, of which nobody knows before it is finished: others may run meanwhile. To
    /// the collector its items are in use.
    pub(crate) fn hidden(py: Python<'py>, len: usize) -> Result<Self> {
        let slots = Self::new(py, len)?;
        // SAFETY: a live list, which the collector tracks.
        unsafe { ffi::PyObject_GC_UnTrack(slots.list.as_ptr().cast()) };
        Ok(Self { is_hidden: true, ..slots })
    }

    /// How many places it has.
    pub(crate) fn len(&self) -> usize {
        self.len.cast_unsigned()
    }

    /// Puts an item into an empty place.
    #[inline]
    pub(crate) fn fill(&self, i: usize, item: Owned) {
        debug_assert!(i < self.len.cast_unsigned());
        // SAFETY: a list of `len` places that nobody else has seen, empty or of `None`, which
        // is immortal there.
        unsafe { ffi::PyList_SET_ITEM(self.list.as_ptr(), i.cast_signed(), item.into_raw()) };
    }

    /// Puts items into empty places, from the first on.
    #[inline]
    pub(crate) fn filler(&self) -> impl FnMut(Owned) + use<'_, 'py> {
        let list = self.list.as_ptr().cast::<ffi::PyListObject>();
        // SAFETY: a live list.
        let mut place = unsafe { (*list).ob_item };
        // SAFETY: its places lie there.
        let end = unsafe { place.add(self.len()) };
        move |item| {
            debug_assert!(place < end);
            // SAFETY: as in `fill`.
            unsafe { place.write(item.into_raw()) };
            // SAFETY: to the next one, or the end.
            place = unsafe { place.add(1) };
        }
    }

    /// The list of the first `count` items, which are all that were filled.
    pub(crate) fn finish(self, count: usize) -> Result<Bound<'py, PyList>> {
        let Self { list, len, is_hidden } = self;
        let count = count.cast_signed();
        if count < len {
            // SAFETY: a list, and a range of it, all empty.
            let failed =
                unsafe { ffi::PyList_SetSlice(list.as_ptr(), count, len, std::ptr::null_mut()) };
            if failed != 0 {
                return Err(Error::pending());
            }
        }
        if is_hidden {
            // SAFETY: a live list, which the collector does not track, without empty places.
            unsafe { ffi::PyObject_GC_Track(list.as_ptr().cast()) };
        }
        // SAFETY: made as a list.
        Ok(unsafe { list.cast_into_unchecked() })
    }
}

/// A list of `len` empty places.
#[cfg(not(Py_GIL_DISABLED))]
fn new_list(py: Python<'_>, len: ffi::Py_ssize_t) -> Result<Bound<'_, PyAny>> {
    // SAFETY: the token proves the thread attached.
    let list = unsafe { ffi::PyList_New(len) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { owned(py, list) }
}

/// A list of `len` times `None`. Free-threaded CPython 3.14 has `PyList_New` crash where there
/// is memory for a list and none for its items: it drops a list that it has not initialized.
/// (Nor is it made of one list that all repeat: they would meet in its lock, and a fork could find
/// it handed to a thread that the child does not have.)
#[cfg(Py_GIL_DISABLED)]
fn new_list(py: Python<'_>, len: ffi::Py_ssize_t) -> Result<Bound<'_, PyAny>> {
    // SAFETY: the token proves the thread attached.
    let list = unsafe { ffi::PyList_New(0) };
    // SAFETY: a new reference, or null with an exception set.
    let list = unsafe { owned(py, list) }?;
    if len == 0 {
        return Ok(list);
    }
    // SAFETY: has no conditions.
    let none = unsafe { ffi::Py_None() };
    // SAFETY: a list that nobody else has seen, and an immortal object.
    if unsafe { ffi::PyList_Append(list.as_ptr(), none) } != 0 {
        return Err(Error::pending());
    }
    // SAFETY: as above.
    let same = unsafe { ffi::PySequence_InPlaceRepeat(list.as_ptr(), len) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { owned(py, same) }
}

/// A tuple of two whose items are still missing.
#[derive(Debug)]
pub(crate) struct Pair(Owned);

impl Pair {
    pub(crate) fn new(_py: Python<'_>) -> Result<Self> {
        // SAFETY: the token proves the thread attached.
        let pair = unsafe { ffi::PyTuple_New(2) };
        // SAFETY: a new reference, or null with an exception set.
        Ok(Self(unsafe { Owned::from_new(pair) }.ok_or_else(Error::pending)?))
    }

    /// The tuple of these.
    pub(crate) fn fill(self, first: Owned, second: Owned) -> Owned {
        for (place, item) in [(0, first), (1, second)] {
            // SAFETY: a tuple of two, which nobody else has seen.
            unsafe { ffi::PyTuple_SET_ITEM(self.0.as_ptr(), place, item.into_raw()) };
        }
        self.0
    }
}

/// A list of what there is already: between being made and being full nothing is
/// allocated, so that no finalizer finds it with items missing.
pub(crate) fn list_of(py: Python<'_>, items: Vec<Owned>) -> Result<Bound<'_, PyList>> {
    let (list, count) = (Slots::new(py, items.len())?, items.len());
    items.into_iter().enumerate().for_each(|(i, item)| list.fill(i, item));
    list.finish(count)
}

/// Items as in the `repr` of a dict. Runs user code.
pub(crate) fn repr_of_pairs(
    py: Python<'_>,
    items: Vec<(Owned, Owned)>,
) -> Result<Bound<'_, PyAny>> {
    joined(py, items.into_iter(), |(key, value)| {
        // SAFETY: alive by these references.
        let [key, value] = [&key, &value].map(|object| unsafe { borrowed(py, object.as_ptr()) });
        // SAFETY: two strings.
        unsafe { formatted(c"%U: %U", &repr(&key)?, &repr(&value)?) }
    })
}

/// The `repr` of an object, such as a list of items. Runs user code.
pub(crate) fn repr<'py>(object: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
    // SAFETY: a live object, and the thread is attached (a `Bound` proves both).
    let text = unsafe { user::repr(object.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { owned(object.py(), text) }
}

/// The longest list that is taken as it is at one moment.
const ONE_MOMENT: usize = 1 << 20;

/// The items of an iterable, each by the reference that `take` makes. Runs user code.
pub(crate) fn collect(
    iterable: &Bound<'_, PyAny>,
    take: impl Fn(Arg<'_, '_>) -> Owned,
) -> Result<Vec<Owned>> {
    if let Ok(tuple) = iterable.cast_exact::<PyTuple>() {
        return items_of(tuple, take);
    }
    if iterable.cast_exact::<PyList>().is_ok_and(|list| list.len() <= ONE_MOMENT) {
        // Of a list CPython makes a tuple, which cannot change, under the list's own lock.
        // SAFETY: a live object, and the token proves the thread attached.
        let tuple = unsafe { user::tuple(iterable.as_ptr()) };
        // SAFETY: a new reference, or null with an exception set.
        let tuple = unsafe { owned(iterable.py(), tuple) }?;
        // SAFETY: made as a tuple.
        return items_of(&unsafe { tuple.cast_into_unchecked::<PyTuple>() }, take);
    }
    let mut pauses = Pauses::new(iterable.py());
    // SAFETY: a live object, and the token proves the thread attached.
    let iterator = unsafe { user::iterate(iterable.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    let iterator = unsafe { owned(iterable.py(), iterator) }?;
    let mut items = Vec::new();
    // SAFETY: a live iterator, and the token proves the thread attached.
    let next = || unsafe { user::next(iterator.as_ptr()) };
    // SAFETY: a new reference or null.
    while let Some(item) = unsafe { Owned::from_new(next()) } {
        room_for_one(&mut items)?;
        put(&mut items, take(item.borrow(iterable.py()))); // room: above
        pauses.step()?;
    }
    // SAFETY: the token proves the thread attached.
    if unsafe { ffi::PyErr_Occurred() }.is_null() { Ok(items) } else { Err(Error::pending()) }
}

/// How many items are taken at a stretch.
pub(crate) const PIECE: usize = 256;

fn items_of(tuple: &Bound<'_, PyTuple>, take: impl Fn(Arg<'_, '_>) -> Owned) -> Result<Vec<Owned>> {
    let mut pauses = Pauses::new(tuple.py());
    let mut items = room(tuple.len())?;
    for (i, piece) in tuple.as_slice().chunks(PIECE).enumerate() {
        if i > 0 {
            pauses.rest()?;
        }
        for item in piece {
            put(&mut items, take(item.as_borrowed())); // room: above
        }
    }
    Ok(items)
}

/// How many texts are put together at a time.
const AT_ONCE: usize = 4096;

/// The texts of items, each made by `text`, with commas in between. Runs user code.
pub(crate) fn joined<'py, T>(
    py: Python<'py>,
    items: impl Iterator<Item = T>,
    text: impl Fn(T) -> Result<Bound<'py, PyAny>>,
) -> Result<Bound<'py, PyAny>> {
    let mut pauses = Pauses::new(py);
    let comma = made(py, ", ")?;
    let join = |texts: &Bound<'py, PyList>| {
        // SAFETY: a live string and a list of strings; no user code runs.
        let text = unsafe { ffi::PyUnicode_Join(comma.as_ptr(), texts.as_ptr()) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { owned(py, text) }
    };
    let (long, mut short) = (empty_list(py)?, empty_list(py)?);
    for item in items {
        short.append(text(item)?).map_err(Error::raised)?;
        if short.len() == AT_ONCE {
            long.append(join(&short)?).map_err(Error::raised)?;
            short = empty_list(py)?;
        }
        pauses.step()?;
    }
    if !short.is_empty() {
        long.append(join(&short)?).map_err(Error::raised)?;
    }
    join(&long)
}

fn empty_list(py: Python<'_>) -> Result<Bound<'_, PyList>> {
    Slots::new(py, 0)?.finish(0)
}
