//! What is below the queues: one of three engines, with one interface.

use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyInt, PyTuple};

use crate::engine::memory::growth::{collected, put, room};
use crate::engine::{
    self, Guarded, Heap, Lifo, Number, Priority, Ranked, Reference, Refusal, TryGet,
};
use crate::python::boundary::convert::{converts_to_float, double, index, plain_int64};
use crate::python::boundary::error::{Error, QueueError, Result, shown};
use crate::python::boundary::names::{self, Name};
use crate::python::boundary::object::{Arg, IntoObject, made};
use crate::python::boundary::owned::Owned;
use crate::python::boundary::pauses::Pauses;
use crate::python::boundary::user;
use crate::python::boundary::waiting::Attempt;
use crate::shim::{Mutex, MutexGuard, Ordering::SeqCst};

/// The engine of a queue.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // it is in a box
pub(crate) enum Engine {
    /// First in, first out.
    Fifo(engine::Queue<Owned>),
    /// Last in, first out.
    Lifo(Guarded<Lifo<Owned>>),
    /// Smallest first.
    Sorted { engine: Guarded<Heap<Owned>>, key: Key },
}

/// What gives an item's priority, if anything does: given once, and the collector may take it
/// away.
#[derive(Debug, Default)]
pub(crate) struct Key(OnceLock<Reference<Owned>>);

impl Key {
    /// Takes a function; the first one stays, for items are sorted by it.
    pub(crate) fn give(&self, function: Arg<'_, '_>) {
        self.0.get_or_init(|| Reference::new(Owned::new(function)));
    }

    fn get(&self) -> Option<Owned> {
        self.0.get().map(|function| function.load(SeqCst)).filter(|function| !function.is_none())
    }

    fn clear(&self, py: Python<'_>) {
        if let Some(function) = self.0.get() {
            drop(function.exchange(Owned::none(py), SeqCst));
        }
    }

    /// # Safety
    /// No other thread runs.
    unsafe fn traverse(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        let Some(function) = self.0.get() else { return Ok(()) };
        // SAFETY: the caller's promise.
        unsafe { function.peek(|function| visit.call(function.as_py())) }
    }
}

/// An item and its priority, for a coroutine that waits for room.
#[pyclass(frozen, module = "lockfree._native", name = "_Entry")]
#[derive(Debug)]
pub(crate) struct Entry(Mutex<Option<Ranked<Owned>>>);

impl Entry {
    /// Locked attached only; its holder calls nothing.
    fn lock(&self) -> MutexGuard<'_, Option<Ranked<Owned>>> {
        self.0.lock()
    }

    fn take(&self) -> Option<Ranked<Owned>> {
        self.lock().take()
    }

    /// What is refused goes back to where it came from.
    fn keep<'py>(
        py: Python<'py>,
        from: Option<&Bound<'py, Self>>,
        ranked: Ranked<Owned>,
    ) -> Result<Owned> {
        let Some(entry) = from else {
            let entry = Self(Mutex::new(Some(ranked)));
            return Bound::new(py, entry).map(|it| it.into_any().into()).map_err(Error::raised);
        };
        *entry.get().lock() = Some(ranked);
        Ok(Owned::new(entry.as_any().as_borrowed()))
    }
}

#[pymethods]
impl Entry {
    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        // The collector finds the lock free.
        let Some(ranked) = self.0.try_lock() else { return Ok(()) };
        ranked.as_ref().map_or(Ok(()), |ranked| visit.call(ranked.value.as_py()))
    }

    fn __clear__(&self) {
        // Without the lock: dropping may run anything.
        drop(self.take());
    }
}

/// How one attempt of a coroutine to put ended.
#[derive(Debug)]
pub(crate) enum Pressed {
    Done,
    /// There is no room: to be tried again with the same item.
    Full,
    /// The same, with an entry in place of the item.
    Kept(Owned),
}

impl IntoObject for Pressed {
    #[inline]
    fn into_object(self, py: Python<'_>) -> *mut ffi::PyObject {
        match self {
            Self::Done => true.into_object(py),
            Self::Full => false.into_object(py),
            Self::Kept(entry) => entry.into_object(py),
        }
    }
}

/// Calls a method that all engines have.
macro_rules! each {
    ($self:ident, $engine:ident => $call:expr) => {
        match $self {
            Engine::Fifo($engine) => $call,
            Engine::Lifo($engine) => $call,
            Engine::Sorted { engine: $engine, .. } => $call,
        }
    };
}

impl Engine {
    pub(crate) fn begin_with_limit(&self, limit: u64) {
        match self {
            Self::Fifo(engine) => engine.begin_with_limit(limit),
            Self::Lifo(engine) => engine.set_limit(limit),
            Self::Sorted { engine, .. } => engine.set_limit(limit),
        }
    }

    pub(crate) fn set_limit(&self, limit: u64) {
        each!(self, engine => engine.set_limit(limit));
    }

    /// The bytes that it has allocated.
    pub(crate) fn bytes(&self) -> usize {
        each!(self, engine => engine.bytes())
    }

    pub(crate) fn bound(&self) -> u64 {
        each!(self, engine => engine.bound())
    }

    #[inline]
    pub(crate) fn is_bounded(&self) -> bool {
        each!(self, engine => engine.is_bounded())
    }

    /// Puts an item, if it takes neither waiting nor user code; else it comes back.
    #[inline]
    pub(crate) fn try_put(&self, item: Owned) -> std::result::Result<(), Owned> {
        match self {
            Self::Fifo(engine) => engine.try_put(item).map_err(|(item, _)| item),
            Self::Lifo(engine) => engine.try_put(item).map_err(|(item, _)| item),
            Self::Sorted { .. } => Err(item),
        }
    }

    /// Passes `run` what attempts to put an item. May run user code before.
    pub(crate) fn put_by<R>(
        &self,
        py: Python<'_>,
        item: Owned,
        run: impl FnOnce(&mut dyn FnMut() -> Attempt<Result<()>>) -> R,
    ) -> Result<R> {
        Ok(match self {
            Self::Fifo(engine) => run(&mut putting(item, |item| engine.try_put(item))),
            Self::Lifo(engine) => run(&mut putting(item, |item| engine.try_put(item))),
            Self::Sorted { engine, key } => {
                let entry = ranked(py, engine, key, item)?;
                run(&mut putting(entry, |entry| engine.try_put(entry)))
            }
        })
    }

    #[inline]
    pub(crate) fn try_get(&self) -> TryGet<Owned> {
        each!(self, engine => engine.try_get())
    }

    /// Whether no item was there at some moment of this call, only claimed places.
    #[cold]
    pub(crate) fn is_unfilled(&self) -> bool {
        match self {
            Self::Fifo(engine) => engine.is_unfilled(),
            // They claim no places.
            Self::Lifo(_) | Self::Sorted { .. } => false,
        }
    }

    /// Whether the first item can be got, as far as one can tell.
    pub(crate) fn first_is_there(&self) -> bool {
        match self {
            Self::Fifo(engine) => engine.first_is_there(),
            Self::Lifo(_) | Self::Sorted { .. } => true,
        }
    }

    pub(crate) fn try_get_some(&self, count: usize, sink: impl FnMut(Owned)) -> TryGet<usize> {
        each!(self, engine => engine.try_get_some(count, sink))
    }

    pub(crate) fn get_some(&self, count: usize, sink: impl FnMut(Owned)) -> TryGet<usize> {
        each!(self, engine => engine.get_some(count, sink))
    }

    pub(crate) fn close(&self) {
        each!(self, engine => engine.close());
    }

    pub(crate) fn shut(&self) {
        each!(self, engine => engine.shut());
    }

    pub(crate) fn is_closed(&self) -> bool {
        each!(self, engine => engine.is_closed())
    }

    pub(crate) fn len(&self) -> usize {
        each!(self, engine => engine.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        each!(self, engine => engine.is_empty())
    }

    pub(crate) fn is_full(&self) -> bool {
        each!(self, engine => engine.is_full())
    }

    pub(crate) fn unfinished(&self) -> u64 {
        each!(self, engine => engine.unfinished())
    }

    pub(crate) fn finish(&self, count: u64) -> std::result::Result<bool, u64> {
        each!(self, engine => engine.finish(count))
    }

    pub(crate) fn finish_up_to(&self, count: u64) {
        each!(self, engine => engine.finish_up_to(count));
    }

    /// Drops all that the collector may have found a cycle through.
    pub(crate) fn clear(&self, py: Python<'_>) {
        each!(self, engine => engine.clear());
        if let Self::Sorted { key, .. } = self {
            key.clear(py);
        }
    }

    /// For the garbage collector.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        let each = |item: &Owned| visit.call(item.as_py());
        match self {
            // SAFETY: the collector runs with all other threads stopped, and no
            // thread can be stopped inside the engine: it calls nothing.
            Self::Fifo(engine) => unsafe { engine.traverse(each) },
            Self::Lifo(engine) => engine.traverse(each),
            Self::Sorted { engine, key } => {
                // SAFETY: as above.
                unsafe { key.traverse(visit) }?;
                engine.traverse(each)
            }
        }
    }
}

/// Attempts to put an entry, which comes back where it is refused.
#[inline]
pub(crate) fn putting<E, R>(
    entry: E,
    mut put: impl FnMut(E) -> std::result::Result<R, (E, Refusal)>,
) -> impl FnMut() -> Attempt<Result<R>> {
    let mut entry = Some(entry);
    move || match put(entry.take().expect("not put yet")) {
        Ok(done) => Attempt::Done(Ok(done)),
        Err((back, refusal)) => {
            entry = Some(back);
            refused(refusal)
        }
    }
}

/// What to do about a refusal.
pub(crate) fn refused<R>(refusal: Refusal) -> Attempt<Result<R>> {
    match refusal {
        Refusal::Full => Attempt::Wait,
        Refusal::Unfilled => Attempt::Moment,
        Refusal::Closed => Attempt::Done(Err(Error::queue(QueueError::ShutDown))),
        Refusal::OutOfMemory => Attempt::Done(Err(engine::OutOfMemory.into())),
    }
}

/// One attempt to put an item, or what was kept of an attempt. An item's priority is asked
/// for once.
pub(crate) fn press_sorted<'py>(
    py: Python<'py>,
    engine: &Guarded<Heap<Owned>>,
    key: &Key,
    item: Arg<'_, 'py>,
    begin: impl FnOnce() -> Owned,
) -> Result<Pressed> {
    let kept = item.cast_exact::<Entry>().ok();
    let entry = match kept.and_then(|kept| kept.get().take()) {
        Some(entry) => entry,
        None => ranked(py, engine, key, begin())?,
    };
    match engine.try_put(entry) {
        Ok(()) => Ok(Pressed::Done),
        Err((entry, refusal)) => match refused::<()>(refusal) {
            Attempt::Done(Err(error)) => Err(error),
            _ => Entry::keep(py, kept.as_deref(), entry).map(Pressed::Kept),
        },
    }
}

/// What only a queue that is first in, first out has.
pub(crate) fn no_force_put() -> Error {
    Error::absent(format_args!("only a Queue has force_put(): here nothing is the oldest"))
}

/// How many items `maxsize` allows; 0 is any number. As CPython takes it: a queue is full
/// that has `maxsize` items or more. Runs user code.
pub(crate) fn limit(maxsize: Arg<'_, '_>) -> Result<u64> {
    // SAFETY: a live object; the check calls nothing.
    if unsafe { ffi::PyIndex_Check(maxsize.as_ptr()) } != 0 {
        // More than 64 bits is more than there will ever be.
        let limit = plain_int64(index(maxsize)?.as_borrowed()).unwrap_or(0);
        return Ok(u64::try_from(limit).unwrap_or(0));
    }
    if !converts_to_float(maxsize) {
        let text = shown(&maxsize);
        return Err(Error::wrong_type(format_args!("maxsize must be a number, not {text}")));
    }
    let least = double(maxsize)?.ceil();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
    Ok(if least.is_finite() { least as u64 } else { 0 })
}

/// An item with its priority. Runs user code: the key; but not for what a queue that was shut
/// down will refuse.
fn ranked(
    py: Python<'_>,
    engine: &Guarded<Heap<Owned>>,
    key: &Key,
    item: Owned,
) -> Result<Ranked<Owned>> {
    if engine.is_closed() {
        return Err(Error::queue(QueueError::ShutDown));
    }
    let priority = match key.get() {
        Some(key) => {
            // SAFETY: live objects, and the token proves the thread attached.
            let rank = unsafe { user::call1(key.as_ptr(), item.as_ptr()) };
            // SAFETY: a new reference, or null with an exception set.
            let rank = unsafe { Owned::from_new(rank) }.ok_or_else(Error::pending)?;
            priority_of(rank.borrow(py), true)?
        }
        None => priority_of(item.borrow(py), false)?,
    };
    Ok(Ranked { priority, value: item })
}

/// The same of many.
pub(crate) fn all_ranked(
    py: Python<'_>,
    engine: &Guarded<Heap<Owned>>,
    key: &Key,
    items: Vec<Owned>,
) -> Result<Vec<Ranked<Owned>>> {
    let mut pauses = Pauses::new(py);
    let mut all = room(items.len())?;
    for item in items {
        put(&mut all, ranked(py, engine, key, item)?); // room: above
        pauses.step()?;
    }
    Ok(all)
}

/// The priority that a number or the numbers at the beginning of a tuple are; of a tuple
/// that a key gave, all must be numbers.
fn priority_of(rank: Arg<'_, '_>, from_key: bool) -> Result<Priority> {
    if let Some(number) = number(rank)? {
        return Ok(Priority::new(number, [])?);
    }
    let Ok(tuple) = rank.cast::<PyTuple>() else { return Err(no_priority(rank, from_key)) };
    let mut numbers = room(tuple.len())?;
    for item in tuple.iter_borrowed() {
        match number(item)? {
            Some(number) => put(&mut numbers, number), // room: above
            None if from_key => return Err(no_priority(rank, from_key)),
            None => break,
        }
    }
    let mut numbers = numbers.into_iter();
    let first = numbers.next().ok_or_else(|| no_priority(rank, from_key))?;
    Ok(Priority::new(first, numbers)?)
}

#[cold]
fn no_priority(rank: Arg<'_, '_>, from_key: bool) -> Error {
    let text = shown(&rank);
    if from_key {
        let words = "key() must return a number or a tuple of numbers, not";
        return Error::wrong_type(format_args!("{words} {text}"));
    }
    Error::wrong_type(format_args!(
        "{text} is no number and no tuple that begins with one: use key="
    ))
}

/// The value of an `int` or a `float`.
fn number(object: Arg<'_, '_>) -> Result<Option<Number>> {
    if let Some(value) = plain_int64(object) {
        return Ok(Some(Number::Int(value)));
    }
    // SAFETY: a live object; the checks call nothing.
    if unsafe { ffi::PyLong_Check(object.as_ptr()) } != 0 {
        return wide(object).map(Some).map_err(Error::raised);
    }
    // SAFETY: as above.
    if unsafe { ffi::PyFloat_Check(object.as_ptr()) } == 0 {
        return Ok(None);
    }
    // SAFETY: a live float.
    let value = unsafe { ffi::PyFloat_AS_DOUBLE(object.as_ptr()) };
    let number = Number::from_f64(value)?;
    number
        .map(Some)
        .ok_or_else(|| Error::wrong_value(format_args!("{} has no order", shown(&object))))
}

/// The value of an `int` of more than 64 bits, by the methods of `int` itself: a subclass
/// may have others.
#[cold]
fn wide(int: Arg<'_, '_>) -> PyResult<Number> {
    let (py, int): (_, &Bound<'_, PyAny>) = (int.py(), &int);
    let class = py.get_type::<PyInt>();
    let own = |name: &'static Name| class.getattr(name.get(py));
    let zero = made(py, 0_i64)?;
    let negative = user::function(&own(&names::LT)?, [int, &zero])?.is_truthy()?;
    let absolute = user::function(&own(&names::ABS)?, [int])?;
    let bits: usize = user::function(&own(&names::BIT_LENGTH)?, [int])?.extract()?;
    let count = made(py, bits.div_ceil(64) * 8)?;
    let little = names::LITTLE.get(py);
    let bytes = user::function(&own(&names::TO_BYTES)?, [&absolute, &count, little.as_any()])?;
    let bytes: &[u8] = bytes.extract()?;
    let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
    let words = collected(words).map_err(Error::from)?;
    Ok(Number::from_words(negative, words).map_err(Error::from)?)
}
