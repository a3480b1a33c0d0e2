//! Class `KeyedCounter`.
//!
//! Keys are hashed and compared as a cache's are. What the class has beyond a few primitives is
//! Python: `lockfree._keyed`.

use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyDict, PyTuple};

use super::concurrent_dict::fill;
use super::snapshot::snapshot;
use crate::engine::Counts;
use crate::engine::memory::growth::{put, room};
use crate::engine::memory::slots::{self, Slot};
use crate::python::boundary::convert::{Given, int64};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::epoch::Attached;
use crate::python::boundary::error::{Error, Result, not_copyable};
use crate::python::boundary::fastcall::{fast_methods, used};
use crate::python::boundary::key::Key;
use crate::python::boundary::list::repr_of_pairs;
use crate::python::boundary::nesting::{Kept, drop_contents, keep, repr_of};
use crate::python::boundary::object::{Arg, Made, formatted, made, size_with};
use crate::python::boundary::owned::Owned;
use crate::python::boundary::pauses::Pauses;
use crate::python::boundary::{spare, user};

type Engine = Counts<Owned, Attached>;

/// A counter for each key, which many threads add to; it hands out none of them.
#[pyclass(frozen, weakref, subclass, generic, mapping, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct KeyedCounter {
    engine: OnceLock<Kept<Engine>>,
    deferral: Deferral,
}

/// The running thread's slot, by which threads are told apart that add at the same time.
#[inline(always)]
fn slot() -> Slot {
    if cfg!(not(Py_GIL_DISABLED)) {
        return Slot::NONE;
    }
    match slots::current() {
        Slot::NONE => slots::take_current(),
        slot => slot,
    }
}

/// Adds to the count of a key.
#[inline]
fn add(engine: &Engine, key: Arg<'_, '_>, n: i64) -> Result<()> {
    engine.add(&Key::new(key)?, n, slot(), || Owned::new(key))
}

/// Keys and counts, as objects.
fn pairs(
    py: Python<'_>,
    counts: impl ExactSizeIterator<Item = (Owned, i128)>,
) -> Result<Vec<(Owned, Owned)>> {
    let mut pauses = Pauses::new(py);
    let mut pairs = room(counts.len())?;
    for (key, count) in counts {
        put(&mut pairs, (key, made(py, count)?.into())); // room: above
        pauses.step()?;
    }
    Ok(pairs)
}

/// The counts of keys as a dict. Keys that have become equal are one key, and their counts are added up.
fn as_dict(py: Python<'_>, counts: &[(Owned, i128)]) -> Result<Owned> {
    let build = |class: *mut ffi::PyObject| {
        let copies = counts.iter().map(|(key, count)| (key.clone(), *count));
        let pairs = snapshot(py, pairs(py, copies)?)?;
        // SAFETY: live objects, and the token proves the thread attached.
        let dict = unsafe { user::call1(class, pairs.as_ptr()) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Owned::from_new(dict) }.ok_or_else(Error::pending)
    };
    let dict = build((&raw mut ffi::PyDict_Type).cast())?;
    // SAFETY: a live dict, and the token proves the thread attached.
    if unsafe { ffi::PyDict_Size(dict.as_ptr()) }.cast_unsigned() == counts.len() {
        return Ok(dict);
    }
    let module = py.import("lockfree._keyed").map_err(Error::raised)?;
    build(module.getattr("added_up").map_err(Error::raised)?.as_ptr())
}

/// Drops what was taken away, and is in `result`. What a handler raises must not cost that.
fn drop_taken(py: Python<'_>, taken: Vec<(Owned, i128)>, result: Owned) -> Owned {
    let mut pauses = Pauses::new(py);
    for item in taken {
        drop(item);
        pauses.step_on();
    }
    if let Err(error) = pauses.end() {
        error.raise_later();
    }
    result
}

/// Adds what was taken away again. What cannot be added to its key is counted, all the same. Returns what is
/// to be raised: what went wrong before, unless something that is no fault of a key's came in between.
#[cold]
fn give_back(py: Python<'_>, engine: &Engine, taken: Vec<(Owned, i128)>, before: Error) -> Error {
    let (mut pauses, mut raised) = (Pauses::new(py), Some(before.taken_off()));
    for (key, mut count) in taken {
        // No more steps than additions made the count.
        loop {
            let n = count.clamp(i64::MIN.into(), i64::MAX.into());
            count -= n;
            let n = i64::try_from(n).expect("clamped");
            if let Err(error) = add(engine, key.borrow(py), n) {
                engine.add_other(n, slot());
                let error = error.taken_off();
                if !error.is_ordinary(py) {
                    raised = Error::join(raised, Some(error));
                }
            }
            if count == 0 {
                break;
            }
        }
        drop(key);
        pauses.step_on();
    }
    let raised = Error::join(raised, pauses.end().err());
    raised.unwrap_or_else(Error::pending)
}

impl KeyedCounter {
    #[inline]
    fn engine(&self) -> Result<&Engine> {
        self.engine.get().map(|engine| &**engine).ok_or_else(Self::not_initialized)
    }

    #[cold]
    fn not_initialized() -> Error {
        Error::wrong_value(format_args!("KeyedCounter.__init__() was not called"))
    }

    /// The count of a key.
    #[inline]
    fn item(&self, key: Arg<'_, '_>) -> Result<i128> {
        self.engine()?.get(&Key::new(key)?)
    }

    #[cold]
    #[allow(clippy::unused_self)] // a slot
    fn assign(&self, _key: Arg<'_, '_>, value: Option<Arg<'_, '_>>) -> Result<()> {
        Err(Error::wrong_type(if value.is_some() {
            format_args!("a KeyedCounter's counts are not assigned: c.add(key, n) adds to one")
        } else {
            format_args!("a KeyedCounter's keys are not deleted: c.reset() drops them all")
        }))
    }

    /// Has a key start again at 0; returns its count.
    fn reset_key(&self, key: Arg<'_, '_>) -> Result<Owned> {
        // Made before: what is not returned would be lost.
        let int = spare::Int::new(key.py())?;
        let count = self.engine()?.reset(&Key::new(key)?)?;
        Ok(int.finish(key.py(), count))
    }

    /// Takes everything away; returns it as a dict.
    fn reset_all(&self, py: Python<'_>) -> Result<Owned> {
        let (engine, mut pauses) = (self.engine()?, Pauses::new(py));
        let taken = engine.take(|| pauses.step_on())?;
        match pauses.end().and_then(|()| as_dict(py, &taken)) {
            Ok(dict) => Ok(drop_taken(py, taken, dict)),
            Err(error) => Err(give_back(py, engine, taken, error)),
        }
    }
}

#[pymethods]
impl KeyedCounter {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(iterable=(), /, *, maxsize=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { engine: OnceLock::new(), deferral: Deferral::default() }
    }

    #[pyo3(signature = (iterable = Given::default(), /, *, maxsize=None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        iterable: Given<'_>,
        maxsize: Option<&Bound<'_, PyAny>>,
    ) -> Result<()> {
        let most = maxsize.map(|maxsize| {
            let most = int64(maxsize.as_borrowed())?;
            u64::try_from(most).map_err(|_| {
                Error::wrong_value(format_args!("maxsize must not be negative, but is {most}"))
            })
        });
        if slf.get().engine.set(keep(Counts::new(most.transpose()?))?).is_err() {
            return Err(Error::wrong_value(format_args!("a KeyedCounter is initialized once")));
        }
        iterable.0.map_or(Ok(()), |iterable| fill(slf, &iterable))
    }

    fn __getitem__(&self, key: &Bound<'_, PyAny>) -> Result<Made<i128>> {
        self.item(key.as_borrowed()).map(Made)
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Result<()> {
        self.assign(key.as_borrowed(), Some(value.as_borrowed()))
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> Result<()> {
        self.assign(key.as_borrowed(), None)
    }

    fn __contains__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>) -> Result<bool> {
        used(slf).engine()?.contains(&Key::new(key.as_borrowed())?)
    }

    fn __len__(slf: &Bound<'_, Self>) -> Result<usize> {
        Ok(used(slf).engine()?.len())
    }

    fn __sizeof__(slf: &Bound<'_, Self>) -> Made<usize> {
        let beside =
            slf.get().engine.get().map_or(0, |engine| size_of::<Engine>() + engine.bytes());
        Made(size_with(slf.as_any(), beside))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut pauses = Pauses::new(py);
        let items = self.engine()?.items::<Error>(|| pauses.rest())?;
        let mut keys = room(items.len()).map_err(Error::from)?;
        for (key, _) in items {
            put(&mut keys, key); // room: above
        }
        Ok(snapshot(py, keys)?.try_iter()?.into_any())
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyAny>> {
        let (py, engine) = (slf.py(), slf.get().engine()?);
        repr_of(slf.as_any(), || {
            let mut pauses = Pauses::new(py);
            let items = engine.items::<Error>(|| pauses.rest())?;
            let entries = repr_of_pairs(py, pairs(py, items.into_iter())?)?;
            // SAFETY: two strings.
            unsafe { formatted(c"{%U}%U", &entries, &made(py, "")?) }
        })
    }

    #[allow(clippy::unused_self)] // a method, to Python
    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("KeyedCounter", "it is shared state; copy its counts, dict(c.items())"))
    }

    #[getter]
    fn maxsize(&self) -> Result<Made<Option<u64>>> {
        Ok(Made(self.engine()?.most()))
    }

    #[getter]
    fn other(&self) -> Result<Made<i128>> {
        Ok(Made(self.engine()?.other()))
    }

    /// Return a snapshot of keys and counts.
    fn _items<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        let mut pauses = Pauses::new(py);
        let items = self.engine()?.items::<Error>(|| pauses.rest())?;
        snapshot(py, pairs(py, items.into_iter())?)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        let Some(engine) = self.engine.get() else { return Ok(()) };
        // SAFETY: the collector runs with all other threads stopped, and no
        // thread can be stopped inside the engine: it calls nothing.
        unsafe { engine.traverse(|object| visit.call(object.as_py())) }
    }

    fn __clear__(&self) {
        if let Some(engine) = self.engine.get() {
            engine.clear(|| ());
        }
    }
}

impl Drop for KeyedCounter {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            drop_contents(engine);
        }
    }
}

fast_methods! {
    KeyedCounter;
    mapping |_, _| None::<()>, KeyedCounter::item, KeyedCounter::assign;
    one_or_two c"add"
        c"add($self, key, n=1, /)\n--\n\nAdd `n` to the count of a key, which begins at 0."
        |this, _, key, n| add(this.engine()?, key, n.map_or(Ok(1), int64)?);
    quick_optional c"reset"
        c"reset($self, key=..., /)\n--\n\nStart again at 0 and return the counts so far; with a key, its count alone."
        |_, _| None::<()>,
        |this, py, key| match key {
            Some(key) => this.reset_key(key),
            None => this.reset_all(py),
        };
}
