//! Class `Cache`.
//!
//! Keys are hashed before the engine is asked, and compared by it with nothing
//! held; `weigher` runs before an item goes in, `on_evict` after one went out. What
//! the class has of `MutableMapping` beyond that, and the loading of what is
//! missing, is Python: `lockfree._mapping` and `lockfree._loading`.

use std::sync::OnceLock;
use std::time::Duration;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyDict, PyTuple};

use super::flights::Flights;
use super::snapshot::snapshot;
use super::ticket::{Ticket, Tickets};
use crate::engine::cache::{
    Evicted, Glance, Item, Monotonic, Put, Query, Reason, Removed, UNBOUNDED,
};
use crate::engine::memory::growth::{boxed, put, room};
use crate::engine::{self, Reference, Striped};
use crate::python::boundary::convert::{Given, callable, double, int64};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::epoch::Attached;
use crate::python::boundary::error::{Error, Result, shown};
use crate::python::boundary::fastcall::{fast_methods, used};
use crate::python::boundary::key::Key;
use crate::python::boundary::list::{Pair, list_of, repr_of_pairs};
use crate::python::boundary::nesting::{drop_contents, repr_of};
use crate::python::boundary::object::{Arg, Made, formatted, made, size_with, tuple};
use crate::python::boundary::owned::Owned;
use crate::python::boundary::pauses::Pauses;
use crate::python::boundary::shared::Shared;
use crate::python::boundary::user;
use crate::shim::Ordering::SeqCst;

/// What is counted; the numbers of a cache's counters.
#[derive(Clone, Copy, Debug)]
enum Event {
    Hit,
    Miss,
    Eviction,
    Expiration,
    Load,
    Wait,
    Stale,
}
const EVENTS: usize = 7;

/// No time to live: for ever.
const FOREVER: u64 = 0;

/// What a cache is, once it is initialized.
#[derive(Debug)]
struct Contents {
    engine: engine::Cache<Owned, Monotonic, Attached>,
    /// The seconds that an item lives, as they were given.
    ttl: Option<f64>,
    /// Those for which loading calls have it after that, as they were given.
    grace: Option<f64>,
    weigher: Callback,
    on_evict: Callback,
    counted: Striped<EVENTS>,
    /// What `lockfree._loading` keeps here, made when it first asks.
    flights: Flights,
    /// Of the loads that are under way.
    tickets: Shared<Tickets>,
}

/// A function of the user's, if there is one; the collector may take it away.
#[derive(Debug)]
struct Callback(Option<Reference<Owned>>);

impl Callback {
    /// What was given for the parameter `name`.
    fn new(name: &str, given: Option<Bound<'_, PyAny>>) -> Result<Self> {
        Ok(Self(callable(name, given)?.map(|function| Reference::new(function.into()))))
    }

    #[inline]
    fn get(&self) -> Option<Owned> {
        self.0.as_ref().map(|function| function.load(SeqCst)).filter(|function| !function.is_none())
    }

    fn clear(&self, py: Python<'_>) {
        if let Some(function) = &self.0 {
            drop(function.exchange(Owned::none(py), SeqCst));
        }
    }

    /// # Safety
    /// No other thread runs.
    unsafe fn traverse(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        let Some(function) = &self.0 else { return Ok(()) };
        // SAFETY: the caller's promise.
        unsafe { function.peek(|function| visit.call(function.as_py())) }
    }
}

impl Contents {
    fn count(&self, event: Event) {
        self.counted.add(event as usize, 1);
    }

    /// The value of a key, counted.
    #[inline]
    fn look_up(&self, key: &impl Query<Owned, Error = Error>) -> Result<Option<Owned>> {
        let value = self.engine.get(key, |expired| self.report_one(&expired))?;
        self.count(if value.is_some() { Event::Hit } else { Event::Miss });
        Ok(value)
    }

    /// Removes a key, and returns its value.
    fn remove(&self, key: &Key<'_, '_>) -> Result<Option<Owned>> {
        if self.tickets.revoke(key.hash()) {
            self.engine.settle(key.hash());
        }
        let item = self.engine.remove(key, |expired| self.report_one(&expired))?;
        Ok(item.map(|(_, value)| value))
    }

    /// Gives a key a value.
    fn put(&self, key: Arg<'_, '_>, value: Arg<'_, '_>, ttl: Option<f64>) -> Result<()> {
        let query = Key::new(key)?;
        let item = self.item(key, value, ttl)?;
        if self.has_no_room_for(&item) {
            drop(self.remove(&query)?);
            self.refuse(item);
            return Ok(());
        }
        self.put_item(&query, item, || self.tickets.take_over(query.hash()))
    }

    /// Puts an item in, and reports what had to go for it.
    #[inline(always)]
    fn put_item(
        &self,
        query: &Key<'_, '_>,
        item: Item<Owned>,
        admit: impl Fn() -> bool,
    ) -> Result<()> {
        match self.engine.put_at_once(query, item, admit) {
            Put::AtOnce(evicted) => {
                if let Some(evicted) = &evicted {
                    self.report_one(evicted);
                }
                Ok(())
            }
            Put::Later(result, removed) => self.finish(result, &removed),
        }
    }

    /// Gives a key the value that was loaded for it, unless its ticket was taken away.
    fn keep(
        &self,
        ticket: &Ticket,
        key: Arg<'_, '_>,
        value: Arg<'_, '_>,
        ttl: Option<f64>,
    ) -> Result<()> {
        let query = Key::new(key)?;
        let item = self.item(key, value, ttl)?;
        self.keep_item(ticket, &query, item)
    }

    #[inline(never)]
    fn keep_item(&self, ticket: &Ticket, query: &Key<'_, '_>, item: Item<Owned>) -> Result<()> {
        if self.has_no_room_for(&item) {
            if ticket.redeem() {
                self.refuse(item);
            }
            return Ok(());
        }
        self.put_item(query, item, || ticket.redeem())
    }

    /// Removes everything; calls `step` between.
    fn clear(&self, step: impl FnMut()) {
        self.tickets.revoke_all();
        self.engine.clear(step);
    }

    /// The value of a key, which is `default` if it had none.
    fn get_or_put(&self, key: Arg<'_, '_>, default: Arg<'_, '_>) -> Result<Owned> {
        let query = Key::new(key)?;
        if let Some(value) = self.look_up(&query)? {
            return Ok(value);
        }
        let item = self.item(key, default, self.ttl)?;
        if self.has_no_room_for(&item) {
            self.refuse(item);
            return Ok(Owned::new(default));
        }
        let mut removed = Removed::default();
        let take_over = || self.tickets.take_over(query.hash());
        let result = self.engine.get_or_put(&query, item, &mut removed, take_over);
        // Another thread may have been quicker.
        let found = self.finish(result, &removed)?;
        Ok(found.unwrap_or_else(|| Owned::new(default)))
    }

    /// Whether an item will not go in, however empty the cache is. None does where the bound
    /// is 0: not even what weighs nothing.
    #[inline]
    fn has_no_room_for(&self, item: &Item<Owned>) -> bool {
        let limit = self.engine.limit();
        item.weight > limit || limit == 0
    }

    /// What is to be put. Runs `weigher`.
    #[inline(always)]
    fn item(&self, key: Arg<'_, '_>, value: Arg<'_, '_>, ttl: Option<f64>) -> Result<Item<Owned>> {
        let weight = self.weigh(key, value)?;
        let deadline = self.deadline(ttl);
        Ok(Item { key: Owned::new(key), value: Owned::new(value), weight, deadline })
    }

    /// When what is put now expires.
    #[inline(always)]
    fn deadline(&self, ttl: Option<f64>) -> u64 {
        ttl.map_or(FOREVER, |ttl| self.engine.now().saturating_add(nanoseconds(ttl)))
    }

    /// The seconds that an item has left.
    fn left(&self, item: &Item<Owned>) -> Option<f64> {
        let left = || item.deadline.saturating_sub(self.engine.now()).max(1);
        (item.deadline != FOREVER).then(|| Duration::from_nanos(left()).as_secs_f64())
    }

    /// A tuple of what [`Cache::_restore`] takes.
    fn taken_down(&self, py: Python<'_>, item: Item<Owned>) -> Result<Owned> {
        let (left, weight) = (made(py, self.left(&item))?, made(py, item.weight)?);
        tuple([item.key, item.value, left.into(), weight.into()])
    }

    #[inline]
    fn weigh(&self, key: Arg<'_, '_>, value: Arg<'_, '_>) -> Result<u64> {
        self.weigher.get().map_or(Ok(1), |weigher| Self::ask_for_weight(&weigher, key, value))
    }

    fn ask_for_weight(weigher: &Owned, key: Arg<'_, '_>, value: Arg<'_, '_>) -> Result<u64> {
        // SAFETY: live objects, and the thread is attached (a `Borrowed` proves both).
        let weight = unsafe { user::call(weigher.as_ptr(), &[key.as_ptr(), value.as_ptr()]) };
        // SAFETY: a new reference, or null with an exception set.
        let weight = unsafe { Owned::from_new(weight) }.ok_or_else(Error::pending)?;
        checked(int64(weight.borrow(key.py()))?)
    }

    /// An item that is too heavy for the whole cache is evicted before it is in.
    fn refuse(&self, item: Item<Owned>) {
        let Item { key, value, .. } = item;
        self.report_one(&Evicted { key, value, reason: Reason::Size });
    }

    /// Reports what an operation removed, also where that failed then.
    fn finish<R>(&self, result: Result<R>, removed: &Removed<Owned>) -> Result<R> {
        let result = result.map_err(Error::taken_off);
        self.report(removed);
        result
    }

    /// Counts items that had to go, and calls `on_evict` for each.
    #[inline]
    fn report(&self, removed: &Removed<Owned>) {
        removed.iter().for_each(|evicted| self.report_one(evicted));
    }

    #[inline]
    fn report_one(&self, evicted: &Evicted<Owned>) {
        self.count(match evicted.reason {
            Reason::Size => Event::Eviction,
            Reason::Expired => Event::Expiration,
        });
        if let Some(on_evict) = self.on_evict.get() {
            Self::tell(&on_evict, evicted);
        }
    }

    #[cold]
    fn tell(on_evict: &Owned, Evicted { key, value, reason }: &Evicted<Owned>) {
        let text = match reason {
            Reason::Size => c"size",
            Reason::Expired => c"expired",
        };
        // SAFETY: attached, as whoever holds an `Owned` is.
        let text = unsafe { ffi::PyUnicode_InternFromString(text.as_ptr()) };
        // SAFETY: a new reference, or null with an exception set.
        let Some(text) = (unsafe { Owned::from_new(text) }) else {
            return Error::pending().write();
        };
        let args = [key, value, &text].map(Owned::as_ptr);
        // SAFETY: attached, with no exception set, and all are alive.
        unsafe { user::tell(on_evict.as_ptr(), &args) };
    }

    /// Removes what has expired; returns how much that was.
    fn expire(&self, py: Python<'_>) -> Result<usize> {
        let mut pauses = Pauses::new(py);
        let count = self.engine.expire(|expired| {
            self.report_one(&expired);
            drop(expired);
            pauses.step_on();
        });
        pauses.end()?;
        Ok(count)
    }

    /// How many items there are whose time is not over.
    fn len(&self, py: Python<'_>) -> Result<usize> {
        self.expire(py)?;
        let mut pauses = Pauses::new(py);
        self.engine.fresh(|| pauses.rest())
    }

    /// The keys and values, an iterable of pairs.
    fn items<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        let mut pauses = Pauses::new(py);
        snapshot(py, self.engine.items(|| pauses.rest())?)
    }
}

/// What an item weighs.
fn checked(weight: i64) -> Result<u64> {
    u64::try_from(weight).map_err(|_| {
        Error::wrong_value(format_args!("weight must not be negative, but is {weight}"))
    })
}

/// How long an item is to live.
fn time_to_live(ttl: Arg<'_, '_>) -> Result<Option<f64>> {
    seconds("ttl", ttl)
}

/// What was given for the parameter `name`: a positive number of seconds, or `None`.
fn seconds(name: &str, given: Arg<'_, '_>) -> Result<Option<f64>> {
    if given.is_none() {
        return Ok(None);
    }
    // SAFETY: a live object; the check calls nothing.
    if unsafe { ffi::PyNumber_Check(given.as_ptr()) } == 0 {
        let given = shown(&given);
        let words = format_args!("{name} must be a number of seconds or None, not {given}");
        return Err(Error::wrong_type(words));
    }
    let seconds = double(given)?;
    if seconds > 0.0 {
        return Ok(Some(seconds));
    }
    let given = shown(&given);
    Err(Error::wrong_value(format_args!("{name} must be positive or None, but is {given}")))
}

/// The same in the engine's unit. It saturates: what lives longer than that lives for ever.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// What all items may weigh together.
fn bound(maxsize: Arg<'_, '_>) -> Result<u64> {
    if maxsize.is_none() || is_infinite(maxsize) {
        return Ok(UNBOUNDED);
    }
    let bound = int64(maxsize)?;
    u64::try_from(bound).map_err(|_| {
        Error::wrong_value(format_args!("maxsize must not be negative, but is {bound}"))
    })
}

/// Whether it is the float that is larger than all numbers.
fn is_infinite(number: Arg<'_, '_>) -> bool {
    // SAFETY: a live object; the check calls nothing.
    let is_float = unsafe { ffi::PyFloat_Check(number.as_ptr()) } != 0;
    // SAFETY: a live float.
    is_float && unsafe { ffi::PyFloat_AS_DOUBLE(number.as_ptr()) } == f64::INFINITY
}

/// A mapping of bounded size that threads can share, and whose hits take no lock.
#[pyclass(frozen, weakref, subclass, generic, mapping, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct Cache {
    contents: OnceLock<Box<Contents>>,
    deferral: Deferral,
}

impl Cache {
    #[inline]
    fn contents(&self) -> Result<&Contents> {
        self.contents.get().map(|contents| &**contents).ok_or_else(Self::not_initialized)
    }

    /// A cache as it is before `__init__`.
    pub(crate) fn uninitialized() -> Self {
        Self { contents: OnceLock::new(), deferral: Deferral::default() }
    }

    #[cold]
    fn not_initialized() -> Error {
        Error::wrong_value(format_args!("Cache.__init__() was not called"))
    }

    /// The value of a plain key, if the first look finds one; else nothing is counted.
    #[inline(always)]
    pub(crate) fn glance(&self, key: Arg<'_, '_>) -> Option<Owned> {
        let contents = self.contents.get()?;
        let value = contents.engine.glance(&Key::plain(key)?).found()?;
        contents.count(Event::Hit);
        Some(value)
    }

    /// The value of a plain key, which is `default` if it has none, if the first look tells.
    #[inline(always)]
    fn glance_or(&self, key: Arg<'_, '_>, default: Option<Arg<'_, '_>>) -> Option<Owned> {
        let contents = self.contents.get()?;
        match contents.engine.glance(&Key::plain(key)?) {
            Glance::Found(value) => {
                contents.count(Event::Hit);
                Some(value)
            }
            Glance::Absent => {
                contents.count(Event::Miss);
                Some(default.map_or_else(|| Owned::none(key.py()), Owned::new))
            }
            Glance::Unknown => None,
        }
    }

    /// The value of a key, which has one.
    #[inline]
    fn item(&self, key: Arg<'_, '_>) -> Result<Owned> {
        self.look_up(&Key::new(key)?)?.ok_or_else(|| Error::missing(Owned::new(key)))
    }

    /// Gives a key a value, or removes a key, which has one.
    #[inline]
    fn assign(&self, key: Arg<'_, '_>, value: Option<Arg<'_, '_>>) -> Result<()> {
        let contents = self.contents()?;
        let Some(value) = value else {
            let removed = contents.remove(&Key::new(key)?)?;
            return removed.map(drop).ok_or_else(|| Error::missing(Owned::new(key)));
        };
        contents.put(key, value, contents.ttl)
    }

    /// The value of a key, noted and counted as used.
    #[inline]
    pub(crate) fn look_up(&self, key: &impl Query<Owned, Error = Error>) -> Result<Option<Owned>> {
        self.contents()?.look_up(key)
    }
}

#[pymethods]
impl Cache {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(maxsize, *, ttl=None, grace=None, weigher=None, on_evict=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::uninitialized()
    }

    #[pyo3(signature = (maxsize, *, ttl=None, grace=None, weigher=None, on_evict=None))]
    fn __init__(
        &self,
        maxsize: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        grace: Option<&Bound<'_, PyAny>>,
        weigher: Option<Bound<'_, PyAny>>,
        on_evict: Option<Bound<'_, PyAny>>,
    ) -> Result<()> {
        let limit = bound(maxsize.as_borrowed())?;
        let ttl = ttl.map_or(Ok(None), |ttl| time_to_live(ttl.as_borrowed()))?;
        let grace = grace.map_or(Ok(None), |grace| seconds("grace", grace.as_borrowed()))?;
        let weigher = Callback::new("weigher", weigher)?;
        let on_evict = Callback::new("on_evict", on_evict)?;
        let engine =
            engine::Cache::new(limit, weigher.0.is_some()).with_grace(grace.map_or(0, nanoseconds));
        let counted = Striped::default();
        let flights = Flights::default();
        let tickets = Shared::new(Tickets::default())?;
        let contents =
            Contents { engine, ttl, grace, weigher, on_evict, counted, flights, tickets };
        if self.contents.set(boxed(contents)?).is_err() {
            return Err(Error::wrong_value(format_args!("a Cache is initialized once")));
        }
        Ok(())
    }

    /// The bound of `weight`; None is no bound.
    #[getter]
    fn maxsize(&self) -> Result<Made<Option<u64>>> {
        Ok(Made(Some(self.contents()?.engine.limit()).filter(|limit| *limit != UNBOUNDED)))
    }

    /// Refused.
    #[deleter(maxsize)]
    fn delete_maxsize(slf: &Bound<'_, Self>) -> Result<()> {
        Err(Error::no_deleter(slf.as_any(), "maxsize"))
    }

    #[setter]
    fn set_maxsize(slf: &Bound<'_, Self>, maxsize: &Bound<'_, PyAny>) -> Result<()> {
        let limit = bound(maxsize.as_borrowed())?;
        let contents = slf.get().contents()?;
        let mut pauses = Pauses::new(slf.py());
        contents.engine.set_limit(limit, |evicted| {
            contents.report_one(&evicted);
            drop(evicted);
            pauses.step_on();
        })?;
        pauses.end()
    }

    /// How many seconds an entry lives, where `put` says nothing else; None is for ever.
    #[getter]
    fn ttl(&self) -> Result<Made<Option<f64>>> {
        Ok(Made(self.contents()?.ttl))
    }

    /// How many seconds more loading calls have an entry while one of them loads it anew.
    #[getter]
    fn grace(&self) -> Result<Made<Option<f64>>> {
        Ok(Made(self.contents()?.grace))
    }

    /// What the entries weigh together: their number, if there is no `weigher`.
    #[getter]
    fn weight(&self) -> Result<Made<i128>> {
        Ok(Made(self.contents()?.engine.weight().cast_signed()))
    }

    fn __getitem__(&self, key: &Bound<'_, PyAny>) -> Result<Py<PyAny>> {
        Ok(self.item(key.as_borrowed())?.into_py())
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Result<()> {
        self.assign(key.as_borrowed(), Some(value.as_borrowed()))
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> Result<()> {
        self.assign(key.as_borrowed(), None)
    }

    fn __contains__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>) -> Result<bool> {
        let contents = used(slf).contents()?;
        contents
            .engine
            .contains(&Key::new(key.as_borrowed())?, |expired| contents.report_one(&expired))
    }

    fn __len__(slf: &Bound<'_, Self>) -> Result<usize> {
        used(slf).contents()?.len(slf.py())
    }

    fn __sizeof__(slf: &Bound<'_, Self>) -> Made<usize> {
        let size = |contents: &Contents| size_of_val(contents) + contents.engine.bytes();
        let beside = slf.get().contents.get().map_or(0, |contents| size(contents));
        Made(size_with(slf.as_any(), beside))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut pauses = Pauses::new(py);
        let keys = self.contents()?.engine.keys(|| pauses.rest())?;
        Ok(snapshot(py, keys)?.try_iter()?.into_any())
    }

    /// Remove the next victim of an eviction and return it with its key.
    fn popitem(&self, py: Python<'_>) -> Result<Py<PyAny>> {
        let contents = self.contents()?;
        // Made before: what is not returned would be lost.
        let pair = Pair::new(py)?;
        let item = contents.engine.remove_victim(|expired| contents.report_one(&expired));
        let Some((key, value)) = item else {
            return Err(Error::missing(made(py, "popitem(): the cache is empty")?.into()));
        };
        Ok(pair.fill(key, value).into_py())
    }

    /// Remove all entries.
    fn clear(&self, py: Python<'_>) -> Result<()> {
        let mut pauses = Pauses::new(py);
        self.contents()?.clear(|| pauses.step_on());
        pauses.end()
    }

    /// Drop the entries whose time is up, and their grace; return how many.
    fn expire(&self, py: Python<'_>) -> Result<Made<usize>> {
        Ok(Made(self.contents()?.expire(py)?))
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyAny>> {
        let (py, contents) = (slf.py(), slf.get().contents()?);
        repr_of(slf.as_any(), || {
            let mut pauses = Pauses::new(py);
            let items = contents.engine.items(|| pauses.rest())?;
            let entries = repr_of_pairs(py, items)?;
            let maxsize = made(py, slf.get().maxsize()?.0)?;
            // SAFETY: a string, and an int or None.
            unsafe { formatted(c"{%U}, maxsize=%S", &entries, &maxsize) }
        })
    }

    /// The loads that are under way, by process; of lockfree._loading.
    #[getter]
    fn _flights(&self, py: Python<'_>) -> Result<Py<PyAny>> {
        self.contents()?.flights.table(py)
    }

    /// Defer the counting of references to `other` as well, once this cache's is.
    #[pyo3(signature = (other, /))]
    fn _take_along(&self, other: &Bound<'_, PyAny>) -> Result<()> {
        self.deferral.take_along(other.as_borrowed())
    }

    /// Return a snapshot of keys and values.
    fn _items<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        self.contents()?.items(py)
    }

    /// Return what `__init__` got.
    fn _arguments(&self, py: Python<'_>) -> Result<Py<PyAny>> {
        let contents = self.contents()?;
        let [ttl, grace] = [contents.ttl, contents.grace].map(|seconds| made(py, seconds));
        let callback = |given: &Callback| given.get().unwrap_or_else(|| Owned::none(py));
        let [weigher, on_evict] = [&contents.weigher, &contents.on_evict].map(callback);
        let maxsize = made(py, self.maxsize()?.0)?;
        Ok(tuple([maxsize.into(), ttl?.into(), grace?.into(), weigher, on_evict])?.into_py())
    }

    /// Return a snapshot of keys, values, seconds left to live and weights.
    fn _dump<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        let contents = self.contents()?;
        let mut pauses = Pauses::new(py);
        let items = contents.engine.whole_items(|| pauses.rest())?;
        let mut entries = room(items.len())?;
        for item in items {
            put(&mut entries, contents.taken_down(py, item)?); // room: above
            pauses.step()?;
        }
        Ok(list_of(py, entries)?.into_any())
    }

    /// Put one of another cache's `_dump`, with what it weighed there.
    #[pyo3(signature = (key, value, left, weight, /))]
    fn _restore(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        left: &Bound<'_, PyAny>,
        weight: &Bound<'_, PyAny>,
    ) -> Result<()> {
        let contents = self.contents()?;
        let query = Key::new(key.as_borrowed())?;
        let deadline = contents.deadline(time_to_live(left.as_borrowed())?);
        let weight = match contents.weigher.0 {
            Some(_) => checked(int64(weight.as_borrowed())?)?,
            None => 1,
        };
        let (key, value) = (Owned::new(key.as_borrowed()), Owned::new(value.as_borrowed()));
        // As what is loaded, so that putting stays as fast as it is.
        let ticket = Tickets::issue(&contents.tickets, query.hash())?;
        contents.keep_item(&ticket, &query, Item { key, value, weight, deadline })
    }

    /// Return the value of a key, or `default`; neither count nor mark.
    #[pyo3(signature = (key, default, /))]
    fn _peek(&self, key: &Bound<'_, PyAny>, default: &Bound<'_, PyAny>) -> Result<Py<PyAny>> {
        let (contents, key) = (self.contents()?, Key::new(key.as_borrowed())?);
        let value = contents.engine.peek(&key, |expired| contents.report_one(&expired))?;
        Ok(value.unwrap_or_else(|| Owned::new(default.as_borrowed())).into_py())
    }

    /// Return the value of a key whose time is over, and its grace not yet, or `default`.
    #[pyo3(signature = (key, default, /))]
    fn _stale(&self, key: &Bound<'_, PyAny>, default: &Bound<'_, PyAny>) -> Result<Py<PyAny>> {
        let contents = self.contents()?;
        if contents.grace.is_none() {
            return Ok(default.clone().unbind());
        }
        let key = Key::new(key.as_borrowed())?;
        let value = contents.engine.stale(&key, |expired| contents.report_one(&expired))?;
        Ok(value.unwrap_or_else(|| Owned::new(default.as_borrowed())).into_py())
    }

    /// Return what `stats` names.
    fn _stats(&self, py: Python<'_>) -> Result<Py<PyAny>> {
        let contents = self.contents()?;
        let size = contents.len(py)?;
        let sum = |event: Event| contents.counted.sum(event as usize);
        let lookups = [Event::Hit, Event::Miss, Event::Eviction, Event::Expiration].map(sum);
        let sums = lookups.into_iter().chain([Event::Load, Event::Wait, Event::Stale].map(sum));
        let mut numbers = room(8)?;
        for number in sums.chain([size as i128]) {
            put(&mut numbers, made(py, number)?.into()); // room: above
        }
        Ok(tuple(numbers)?.into_py())
    }

    /// Count the call of a loader.
    fn _count_load(&self) -> Result<()> {
        self.contents()?.count(Event::Load);
        Ok(())
    }

    /// Count that a caller waits for the load of another.
    fn _count_wait(&self) -> Result<()> {
        self.contents()?.count(Event::Wait);
        Ok(())
    }

    /// Count that a caller has what is in its grace.
    fn _count_stale(&self) -> Result<()> {
        self.contents()?.count(Event::Stale);
        Ok(())
    }

    /// Return how long what is loaded is to live, as a number.
    #[allow(clippy::unused_self)] // a method, to Python
    #[pyo3(signature = (ttl, /))]
    fn _seconds(&self, ttl: &Bound<'_, PyAny>) -> Result<Made<Option<f64>>> {
        Ok(Made(time_to_live(ttl.as_borrowed())?))
    }

    /// Return what `_keep` wants of who began to load the key now.
    #[pyo3(signature = (key, /))]
    fn _ticket(&self, key: &Bound<'_, PyAny>) -> Result<Ticket> {
        let (contents, hash) = (self.contents()?, Key::new(key.as_borrowed())?.hash());
        let ticket = Tickets::issue(&contents.tickets, hash)?;
        contents.engine.catch_up(hash);
        Ok(ticket)
    }

    /// Put what was loaded, unless the key was put or removed since the ticket was issued.
    #[pyo3(signature = (ticket, key, value, ttl = Given::default(), /), text_signature = "($self, ticket, key, value, /, *ttl)")]
    fn _keep(
        &self,
        ticket: &Ticket,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Given<'_>,
    ) -> Result<()> {
        let contents = self.contents()?;
        let ttl = ttl.0.map_or(Ok(contents.ttl), |ttl| time_to_live(ttl.as_borrowed()))?;
        contents.keep(ticket, key.as_borrowed(), value.as_borrowed(), ttl)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        let Some(contents) = self.contents.get() else { return Ok(()) };
        // SAFETY: the collector runs with all other threads stopped, and no
        // thread can be stopped inside the engine: it calls nothing.
        unsafe { contents.engine.traverse(|object| visit.call(object.as_py())) }?;
        // SAFETY: as above.
        unsafe { contents.weigher.traverse(&visit) }?;
        // SAFETY: as above.
        unsafe { contents.on_evict.traverse(&visit) }?;
        contents.flights.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        if let Some(contents) = self.contents.get() {
            contents.engine.clear(|| ());
            contents.weigher.clear(py);
            contents.on_evict.clear(py);
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if let Some(contents) = self.contents.take() {
            drop_contents(contents);
        }
    }
}

fast_methods! {
    Cache;
    mapping Cache::glance, Cache::item, Cache::assign;
    quick_one_or_two c"get" c"get($self, key, default=None, /)\n--\n\nReturn the value of a key, or `default`."
        Cache::glance_or,
        |this, py, key, default| match (this.look_up(&Key::new(key)?)?, default) {
            (Some(value), _) => Ok(value),
            (None, Some(default)) => Ok(Owned::new(default)),
            (None, None) => Ok(Owned::none(py)),
        };
    keywords c"put"
        c"put($self, key, value, /, *, ttl=...)\n--\n\nGive a key a value, with a time to live of its own if `ttl` is given."
        |this, _, args| {
            let contents = this.contents()?;
            // The first two have no names.
            let [key, value, ttl] = args.bind(2, ["", "", "ttl"])?;
            let key = args.required(key, "key")?;
            let value = args.required(value, "value")?;
            contents.put(key, value, ttl.map_or(Ok(contents.ttl), time_to_live)?)
        };
    one_or_two c"setdefault"
        c"setdefault($self, key, default=None, /)\n--\n\nReturn the value of a key, after giving it `default` if it has none."
        |this, py, key, default| {
            let none = Owned::none(py);
            this.contents()?.get_or_put(key, default.unwrap_or_else(|| none.borrow(py)))
        };
    one_or_two c"pop" c"pop($self, key, default=..., /)\n--\n\nRemove a key and return its value, or `default`."
        |this, _, key, default| match (this.contents()?.remove(&Key::new(key)?)?, default) {
            (Some(value), _) => Ok(value),
            (None, Some(default)) => Ok(Owned::new(default)),
            (None, None) => Err(Error::missing(Owned::new(key))),
        };
}
