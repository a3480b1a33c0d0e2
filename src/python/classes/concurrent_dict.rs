//! Class `ConcurrentDict`.
//!
//! Keys are hashed and compared as a cache's are. Every update of a key that depends on its
//! value is one loop, [`Contents::update`]: look, decide with nothing held, and change the key
//! if it still has that very value. What the class has of `MutableMapping` beyond that, and
//! the loading of what is missing, is Python: `lockfree._mapping` and `lockfree._loading`.
//!
//! Where values are weak, what is stored is a weak reference, and a key whose value is gone
//! counts as missing; the reference's callback removes it, if it is still the one stored.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::type_object::PyTypeInfo;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyString, PyTuple};

use super::flights::Flights;
use super::snapshot::snapshot;
use super::ticket::{Ticket, Tickets};
use crate::engine::Dictionary;
use crate::engine::cache::{Glance, Query};
use crate::engine::memory::growth::collected;
use crate::python::boundary::convert::{Given, boolean};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::epoch::Attached;
use crate::python::boundary::error::{Error, Result, not_copyable};
use crate::python::boundary::fastcall::{fast_methods, used};
use crate::python::boundary::key::Key;
use crate::python::boundary::list::{Pair, repr_of_pairs};
use crate::python::boundary::names;
use crate::python::boundary::nesting::{Kept, drop_contents, keep, repr_of};
use crate::python::boundary::object::{Arg, Made, formatted, made, size_with};
use crate::python::boundary::owned::Owned;
use crate::python::boundary::pauses::Pauses;
use crate::python::boundary::shared::Shared;
use crate::python::boundary::{user, weak};

/// What a dictionary is, once it is initialized.
#[derive(Debug)]
struct Contents {
    engine: Dictionary<Owned, Attached>,
    /// Where values are weak, a weak reference to the dictionary itself.
    itself: Option<Owned>,
    /// What `lockfree._loading` keeps here, made when it first asks.
    flights: Flights,
    /// Of the loads that are under way.
    tickets: Shared<Tickets>,
}

/// What is to become of a key, and what the caller gets.
enum Change<R> {
    Keep(R),
    Put(Owned, R),
    Remove(R),
}

impl Contents {
    /// What of a value is stored.
    #[inline]
    fn stored(&self, key: Arg<'_, '_>, value: Arg<'_, '_>) -> Result<Owned> {
        match &self.itself {
            None => Ok(Owned::new(value)),
            Some(itself) => weakly(itself, key, value),
        }
    }

    /// The value of which that was stored, unless it is gone.
    #[inline]
    fn live(&self, py: Python<'_>, stored: Owned) -> Option<Owned> {
        if self.itself.is_some() { weak::referent(py, &stored) } else { Some(stored) }
    }

    /// The value of a plain key, if the first look tells.
    #[inline(always)]
    fn glance(&self, key: Arg<'_, '_>) -> Glance<Owned> {
        match Key::plain(key) {
            Some(key) if self.itself.is_none() => self.engine.glance(&key),
            _ => Glance::Unknown,
        }
    }

    /// The value of a key.
    #[inline]
    fn get(&self, py: Python<'_>, key: &Key<'_, '_>) -> Result<Option<Owned>> {
        Ok(self.engine.get(key)?.and_then(|stored| self.live(py, stored)))
    }

    /// Gives a key a value.
    #[inline]
    fn put(&self, key: Arg<'_, '_>, value: Arg<'_, '_>) -> Result<()> {
        let query = Key::new(key)?;
        let mut stored = self.stored(key, value)?;
        // A weak value may be gone, and its key be loaded, which takes the way below.
        if self.itself.is_none() {
            // With no lock: while a key has a value nobody has a ticket for it.
            match self.engine.overwrite(&query, stored) {
                Ok(old) => {
                    drop(old);
                    return Ok(());
                }
                Err(refused) => stored = refused,
            }
        }
        let take_over = || self.tickets.take_over(query.hash());
        self.engine.put_if(&query, Owned::new(key), stored, take_over)
    }

    /// Gives a key the value that was loaded for it, unless its ticket was taken away.
    fn keep(&self, ticket: &Ticket, key: Arg<'_, '_>, value: Arg<'_, '_>) -> Result<()> {
        let query = Key::new(key)?;
        let stored = self.stored(key, value)?;
        let admit = || ticket.redeem();
        self.engine.put_if(&query, Owned::new(key), stored, admit)
    }

    /// Removes a key, and returns its value.
    fn remove(&self, py: Python<'_>, query: &Key<'_, '_>) -> Result<Option<Owned>> {
        if self.tickets.revoke(query.hash()) {
            self.engine.settle(query.hash());
        }
        let removed = self.engine.remove(query, None)?;
        Ok(removed.and_then(|(_, stored)| self.live(py, stored)))
    }

    /// Changes a key as `decide` says, which is told its value, and may be asked again.
    fn update<R>(
        &self,
        key: Arg<'_, '_>,
        mut decide: impl FnMut(Option<&Owned>) -> Result<Change<R>>,
    ) -> Result<R> {
        let (py, query) = (key.py(), Key::new(key)?);
        loop {
            let found = self.engine.get(&query)?;
            let expected = found.as_ref().map(Owned::address);
            let referent = found.as_ref().filter(|_| self.itself.is_some());
            let referent = referent.map(|stored| weak::referent(py, stored));
            let old = referent.as_ref().map_or(found.as_ref(), Option::as_ref);
            match decide(old)? {
                Change::Keep(result) => return Ok(result),
                Change::Put(value, result) => {
                    let stored = self.stored(key, value.borrow(py))?;
                    let done = if old.is_some() {
                        self.engine.replace(&query, expected, stored)?.is_ok()
                    } else {
                        if found.is_some() {
                            // Its value is gone.
                            drop(self.engine.remove(&query, expected)?);
                        }
                        let take_over = || self.tickets.take_over(query.hash());
                        let key = Owned::new(key);
                        self.engine.get_or_put(&query, key, stored, take_over)?.is_none()
                    };
                    if done {
                        return Ok(result);
                    }
                }
                Change::Remove(result) => {
                    self.tickets.revoke(query.hash());
                    if self.engine.remove(&query, expected)?.is_some() {
                        return Ok(result);
                    }
                }
            }
        }
    }

    /// The keys and values.
    fn items(&self, py: Python<'_>) -> Result<Vec<(Owned, Owned)>> {
        let mut pauses = Pauses::new(py);
        let mut items = self.engine.items(|| pauses.rest())?;
        if self.itself.is_some() {
            // In place: no more memory is asked for.
            items.retain_mut(|(_, stored)| match weak::referent(py, stored) {
                Some(value) => {
                    *stored = value;
                    true
                }
                None => false,
            });
        }
        Ok(items)
    }

    /// Removes everything; calls `step` between.
    fn clear(&self, step: impl FnMut()) {
        self.tickets.revoke_all();
        self.engine.clear(step);
    }
}

/// A weak reference to a value, which removes the key when that is gone.
#[cold]
fn weakly(itself: &Owned, key: Arg<'_, '_>, value: Arg<'_, '_>) -> Result<Owned> {
    let removal = Removal { dictionary: itself.clone(), key: Owned::new(key) };
    let removal = Bound::new(key.py(), removal).map_err(Error::raised)?;
    weak::reference(value, Some(removal.as_any().as_borrowed()))
}

/// The value of a key, which had `old`, or `default`.
fn or_default(key: Arg<'_, '_>, old: Option<Owned>, default: Option<Arg<'_, '_>>) -> Result<Owned> {
    match (old, default) {
        (Some(old), _) => Ok(old),
        (None, Some(default)) => Ok(Owned::new(default)),
        (None, None) => Err(Error::missing(Owned::new(key))),
    }
}

/// Whether a value is the expected one: identical, or equal to it and both of one type whose
/// objects nobody tells apart otherwise. Their comparison runs no user code.
fn matches(value: &Owned, expected: Arg<'_, '_>) -> Result<bool> {
    let value = value.borrow(expected.py());
    if value.is(&*expected) {
        return Ok(true);
    }
    let is_plain = (value.is_exact_instance_of::<PyInt>()
        && expected.is_exact_instance_of::<PyInt>())
        || (value.is_exact_instance_of::<PyFloat>() && expected.is_exact_instance_of::<PyFloat>())
        || (value.is_exact_instance_of::<PyString>()
            && expected.is_exact_instance_of::<PyString>())
        || (value.is_exact_instance_of::<PyBytes>() && expected.is_exact_instance_of::<PyBytes>());
    if !is_plain {
        return Ok(false);
    }
    // SAFETY: both are alive, and the thread is attached (a `Borrowed` proves it).
    match unsafe { user::equal(value.as_ptr(), expected.as_ptr()) } {
        -1 => Err(Error::pending()),
        equal => Ok(equal != 0),
    }
}

/// A dictionary that threads can share, whose updates of a key are atomic.
#[pyclass(frozen, weakref, subclass, generic, mapping, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct ConcurrentDict {
    contents: OnceLock<Kept<Contents>>,
    deferral: Deferral,
}

impl ConcurrentDict {
    #[inline]
    fn contents(&self) -> Result<&Contents> {
        self.contents.get().map(|contents| &**contents).ok_or_else(Self::not_initialized)
    }

    #[cold]
    fn not_initialized() -> Error {
        Error::wrong_value(format_args!("ConcurrentDict.__init__() was not called"))
    }

    /// The value of a key, which has one.
    #[inline]
    fn item(&self, key: Arg<'_, '_>) -> Result<Owned> {
        let value = self.contents()?.get(key.py(), &Key::new(key)?)?;
        value.ok_or_else(|| Error::missing(Owned::new(key)))
    }

    /// Gives a key a value, or removes a key, which has one.
    #[inline]
    fn assign(&self, key: Arg<'_, '_>, value: Option<Arg<'_, '_>>) -> Result<()> {
        let contents = self.contents()?;
        if let Some(value) = value {
            return contents.put(key, value);
        }
        let removed = contents.remove(key.py(), &Key::new(key)?)?;
        removed.map(drop).ok_or_else(|| Error::missing(Owned::new(key)))
    }
}

#[pymethods]
impl ConcurrentDict {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(iterable=(), /, *, weak_values=False)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { contents: OnceLock::new(), deferral: Deferral::default() }
    }

    #[pyo3(signature = (iterable = Given::default(), /, *, weak_values = Given::default()))]
    fn __init__(slf: &Bound<'_, Self>, iterable: Given<'_>, weak_values: Given<'_>) -> Result<()> {
        let is_weak = weak_values.0.map_or(Ok(false), |weak| boolean(weak.as_borrowed()))?;
        let itself = is_weak.then(|| weak::reference(slf.as_any().as_borrowed(), None));
        let tickets = Shared::new(Tickets::default())?;
        let (engine, flights) = (Dictionary::default(), Flights::default());
        let contents = Contents { engine, itself: itself.transpose()?, flights, tickets };
        if slf.get().contents.set(keep(contents)?).is_err() {
            return Err(Error::wrong_value(format_args!("a ConcurrentDict is initialized once")));
        }
        iterable.0.map_or(Ok(()), |iterable| fill(slf, &iterable))
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
        let (contents, key) = (used(slf).contents()?, Key::new(key.as_borrowed())?);
        if contents.itself.is_some() {
            return Ok(contents.get(slf.py(), &key)?.is_some());
        }
        contents.engine.contains(&key)
    }

    fn __len__(slf: &Bound<'_, Self>) -> Result<usize> {
        Ok(used(slf).contents()?.engine.len())
    }

    fn __sizeof__(slf: &Bound<'_, Self>) -> Made<usize> {
        let size = |contents: &Contents| size_of_val(contents) + contents.engine.bytes();
        let beside = slf.get().contents.get().map_or(0, |contents| size(contents));
        Made(size_with(slf.as_any(), beside))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let contents = self.contents()?;
        let keys = if contents.itself.is_some() {
            collected(contents.items(py)?.into_iter().map(|(key, _)| key)).map_err(Error::from)?
        } else {
            let mut pauses = Pauses::new(py);
            contents.engine.keys(|| pauses.rest())?
        };
        Ok(snapshot(py, keys)?.try_iter()?.into_any())
    }

    /// Remove some key and return it with its value.
    fn popitem(&self, py: Python<'_>) -> Result<Py<PyAny>> {
        let contents = self.contents()?;
        // Made before: what is not returned would be lost.
        let pair = Pair::new(py)?;
        loop {
            let Some((key, stored)) = contents.engine.remove_any() else {
                let text = made(py, "popitem(): dictionary is empty")?;
                return Err(Error::missing(text.into()));
            };
            if let Some(value) = contents.live(py, stored) {
                return Ok(pair.fill(key, value).into_py());
            }
        }
    }

    /// Remove everything.
    fn clear(&self, py: Python<'_>) -> Result<()> {
        let mut pauses = Pauses::new(py);
        self.contents()?.clear(|| pauses.step_on());
        pauses.end()
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyAny>> {
        let (py, contents) = (slf.py(), slf.get().contents()?);
        repr_of(slf.as_any(), || {
            let entries = repr_of_pairs(py, contents.items(py)?)?;
            // SAFETY: two strings.
            unsafe { formatted(c"{%U}%U", &entries, &made(py, "")?) }
        })
    }

    #[allow(clippy::unused_self)] // a method, to Python
    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("ConcurrentDict", "it is shared state; copy its items, dict(d.items())"))
    }

    /// The loads of a process that are under way; of lockfree._loading.
    #[pyo3(signature = (process, /))]
    fn _flights(&self, py: Python<'_>, process: u32) -> Result<Py<PyAny>> {
        self.contents()?.flights.table(py, process)
    }

    /// Whether an entry goes with its value.
    #[getter]
    fn _weak_values(&self) -> Result<bool> {
        Ok(self.contents()?.itself.is_some())
    }

    /// Return a snapshot of keys and values.
    fn _items<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        snapshot(py, self.contents()?.items(py)?)
    }

    /// Return the value of a key, or `default`.
    #[pyo3(signature = (key, default, /))]
    fn _peek(&self, key: &Bound<'_, PyAny>, default: &Bound<'_, PyAny>) -> Result<Py<PyAny>> {
        let value = self.contents()?.get(key.py(), &Key::new(key.as_borrowed())?)?;
        Ok(value.unwrap_or_else(|| Owned::new(default.as_borrowed())).into_py())
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
    #[pyo3(signature = (ticket, key, value, /))]
    fn _keep(
        &self,
        ticket: &Ticket,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> Result<()> {
        self.contents()?.keep(ticket, key.as_borrowed(), value.as_borrowed())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        let Some(contents) = self.contents.get() else { return Ok(()) };
        // SAFETY: the collector runs with all other threads stopped, and no
        // thread can be stopped inside the engine: it calls nothing.
        unsafe { contents.engine.traverse(|object| visit.call(object.as_py())) }?;
        contents.itself.as_ref().map_or(Ok(()), |itself| visit.call(itself.as_py()))?;
        contents.flights.traverse(&visit)
    }

    fn __clear__(&self) {
        if let Some(contents) = self.contents.get() {
            contents.engine.clear(|| ());
        }
    }
}

/// Gives a new mapping what its class's `update` makes of an argument.
pub(super) fn fill<T: PyTypeInfo>(slf: &Bound<'_, T>, iterable: &Bound<'_, PyAny>) -> Result<()> {
    // Not a subclass's.
    let (class, name) = (slf.py().get_type::<T>(), names::UPDATE.get(slf.py()));
    let update = class.getattr(name).map_err(Error::raised)?;
    // SAFETY: live objects, and the thread is attached (a `Bound` proves both).
    let none = unsafe { user::call(update.as_ptr(), &[slf.as_ptr(), iterable.as_ptr()]) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Owned::from_new(none) }.map(drop).ok_or_else(Error::pending)
}

impl Drop for ConcurrentDict {
    fn drop(&mut self) {
        if let Some(contents) = self.contents.take() {
            drop_contents(contents);
        }
    }
}

fast_methods! {
    ConcurrentDict;
    mapping |this, key| this.contents.get()?.glance(key).found(), ConcurrentDict::item, ConcurrentDict::assign;
    quick_one_or_two c"get" c"get($self, key, default=None, /)\n--\n\nReturn the value of a key, or `default`."
        |this, key, default| match this.contents.get()?.glance(key) {
            Glance::Found(value) => Some(value),
            Glance::Absent => Some(default.map_or_else(|| Owned::none(key.py()), Owned::new)),
            Glance::Unknown => None,
        },
        |this, py, key, default| match (this.contents()?.get(py, &Key::new(key)?)?, default) {
            (Some(value), _) => Ok(value),
            (None, Some(default)) => Ok(Owned::new(default)),
            (None, None) => Ok(Owned::none(py)),
        };
    one_or_two c"setdefault"
        c"setdefault($self, key, default=None, /)\n--\n\nReturn the value of a key, after giving it `default` if it has none."
        |this, py, key, default| {
            let none = Owned::none(py);
            let default = default.unwrap_or_else(|| none.borrow(py));
            this.contents()?.update(key, |old| Ok(match old {
                Some(old) => Change::Keep(old.clone()),
                None => Change::Put(Owned::new(default), Owned::new(default)),
            }))
        };
    one_or_two c"pop" c"pop($self, key, default=..., /)\n--\n\nRemove a key and return its value, or `default`."
        |this, py, key, default| {
            let removed = this.contents()?.remove(py, &Key::new(key)?)?;
            or_default(key, removed, default)
        };
    keywords c"compute"
        c"compute($self, key, fn, /, default=...)\n--\n\nGive a key the value `fn(old)`, and return it; `fn` may be called several times."
        |this, _, args| {
            let [key, function, default] = args.bind(3, ["", "", "default"])?;
            let (key, function) = (args.required(key, "key")?, args.required(function, "fn")?);
            this.contents()?.update(key, |old| {
                let old = or_default(key, old.cloned(), default)?;
                // SAFETY: live objects, and the token proves the thread attached.
                let new = unsafe { user::call1(function.as_ptr(), old.as_ptr()) };
                // SAFETY: a new reference, or null with an exception set.
                let new = unsafe { Owned::from_new(new) }.ok_or_else(Error::pending)?;
                Ok(Change::Put(new.clone(), new))
            })
        };
    keywords c"exchange"
        c"exchange($self, key, value, /, default=...)\n--\n\nGive a key a value, and return the one that it had, or `default`."
        |this, _, args| {
            let [key, value, default] = args.bind(3, ["", "", "default"])?;
            let (key, value) = (args.required(key, "key")?, args.required(value, "value")?);
            this.contents()?.update(key, |old| {
                Ok(Change::Put(Owned::new(value), or_default(key, old.cloned(), default)?))
            })
        };
    keywords c"compare_exchange"
        c"compare_exchange($self, key, expected, desired, /)\n--\n\nGive a key a value if it has the expected one; return whether it had."
        |this, _, args| {
            let [key, expected, desired] = args.bind(3, ["", "", ""])?;
            let key = args.required(key, "key")?;
            let expected = args.required(expected, "expected")?;
            let desired = args.required(desired, "desired")?;
            this.contents()?.update(key, |old| Ok(match old {
                Some(old) if matches(old, expected)? => Change::Put(Owned::new(desired), true),
                _ => Change::Keep(false),
            }))
        };
    two c"compare_remove"
        c"compare_remove($self, key, expected, /)\n--\n\nRemove a key if it has the expected value; return whether it had."
        |this, _, [key, expected]| {
            this.contents()?.update(key, |old| Ok(match old {
                Some(old) if matches(old, expected)? => Change::Remove(true),
                _ => Change::Keep(false),
            }))
        };
}

/// Removes a key from a dictionary when its value is gone.
#[pyclass(frozen, module = "lockfree._native", name = "_Removal")]
#[derive(Debug)]
pub(crate) struct Removal {
    /// A weak reference.
    dictionary: Owned,
    key: Owned,
}

#[pymethods]
impl Removal {
    #[pyo3(signature = (reference, /))]
    fn __call__(&self, reference: &Bound<'_, PyAny>) -> Result<()> {
        let py = reference.py();
        let Some(dictionary) = weak::referent(py, &self.dictionary) else { return Ok(()) };
        // SAFETY: what it was made for.
        let dictionary = unsafe { dictionary.borrow(py).cast_unchecked::<ConcurrentDict>() };
        let key = Key::new(self.key.borrow(py))?;
        let address = reference.as_ptr().expose_provenance();
        dictionary.get().contents()?.engine.remove(&key, Some(address))?;
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(self.dictionary.as_py())?;
        visit.call(self.key.as_py())
    }
}
