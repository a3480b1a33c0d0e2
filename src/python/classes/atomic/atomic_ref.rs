//! Class `AtomicRef`.
//!
//! The engine holds a reference to a Python object; a replaced one is given up at
//! once, by the thread that replaced it. Readers take theirs without a lock and
//! without announcing themselves (`engine/atomics/reference.rs`). `value` is a member: the
//! interpreter reads it (`boundary/member.rs`).

use std::mem::ManuallyDrop;
use std::ptr::{from_ref, with_exposed_provenance_mut};

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyTuple;

use super::ordering::Orders;
use super::watchers::Watched;
use super::{Comparable, Face, Waitable, faces, waiting};
use crate::engine::{Event, Reference};
use crate::python::boundary::convert::Given;
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Error, Result, not_copyable};
use crate::python::boundary::fastcall::{FastClass, Method, methods};
use crate::python::boundary::isolated::Isolated;
use crate::python::boundary::list::repr;
use crate::python::boundary::member::{add_member, readers_finish};
use crate::python::boundary::nesting::{drop_content, repr_of};
use crate::python::boundary::object::{Arg, borrowed};
use crate::python::boundary::owned::Owned;
use crate::python::boundary::user;
use crate::python::boundary::waiting::Sleeper;
use crate::shim::AtomicUsize;
use crate::shim::Ordering::{self, Relaxed, SeqCst};

/// What the class holds.
type Cell = Reference<Owned>;

/// A reference to an object that threads can share and replace without a lock.
#[pyclass(frozen, weakref, generic, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct AtomicRef {
    cell: ManuallyDrop<Isolated<Watched<Cell>>>,
    deferral: Deferral,
}

faces! {
    AtomicRef, AtomicRefView "_AtomicRefView", of waitable cell: Cell,
    methods &[ref_methods::<Self>(), waiting::<Self>()]
}

impl AtomicRef {
    /// The object.
    #[inline]
    pub(crate) fn object(&self, order: Ordering) -> Owned {
        self.cell.load(order)
    }
}

/// Where in an `AtomicRef` its cell is.
static OFFSET: AtomicUsize = AtomicUsize::new(0);

/// Gives the class its member `value`. Call it once, at import.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let probe = Bound::new(py, AtomicRef::new(py, Given::default()))?;
    let cell: *const Cell = &raw const ***probe.get().cell;
    OFFSET.store(cell.addr() - probe.as_ptr().addr(), Relaxed);
    let doc = c"The object, as `load()` reads it. Read-only: write with `store()`.";
    // SAFETY: the engine's P1; and what replaces the object is `exchange` and `replace`.
    unsafe { add_member(&py.get_type::<AtomicRef>(), c"value", doc, OFFSET.load(Relaxed)) }
}

/// Lets readers of `value` finish who may have found the object just replaced.
fn value_readers_finish(cell: &Cell) {
    let object = from_ref(cell).addr() - OFFSET.load(Relaxed);
    // SAFETY: attached, as whoever replaces an object is; a cell is always that of an
    // `AtomicRef`, which is alive as long as anybody has the cell.
    unsafe { readers_finish(with_exposed_provenance_mut(object)) };
}

/// Replaces the object and returns the old one.
fn exchange(cell: &Cell, desired: Owned, order: Ordering) -> Owned {
    let old = cell.exchange(desired, order);
    value_readers_finish(cell);
    old
}

/// Replaces the object by `change(object)`; returns the old and the new one.
fn replace_by(cell: &Cell, change: Arg<'_, '_>, orders: Orders) -> Result<(Owned, Owned)> {
    loop {
        let old = cell.load(orders.failing());
        // SAFETY: the token proves the thread attached; both are alive.
        let new = unsafe { user::call1(change.as_ptr(), old.as_ptr()) };
        // SAFETY: a new reference, or null with an exception set.
        let new = unsafe { Bound::from_owned_ptr_or_opt(change.py(), new) };
        let new = Owned::from(new.ok_or_else(Error::pending)?);
        if replace(cell, old.address(), new.clone(), orders) {
            return Ok((old, new));
        }
    }
}

/// Replaces the object at `expected`, which the caller keeps alive, by `desired`;
/// returns whether that happened.
fn replace(cell: &Cell, expected: usize, desired: Owned, orders: Orders) -> bool {
    let replaced = cell.compare_exchange(expected, desired, orders.both(), orders.failing());
    if replaced.is_ok() {
        value_readers_finish(cell);
    }
    // Whichever it is, it is dropped here, which may run a finalizer.
    replaced.is_ok()
}

#[pymethods]
impl AtomicRef {
    #[new]
    #[pyo3(signature = (obj = Given::default(), /), text_signature = "(obj=None, /)")]
    fn new(py: Python<'_>, obj: Given<'_>) -> Self {
        let object = obj.0.unwrap_or_else(|| py.None().into_bound(py));
        Self {
            cell: ManuallyDrop::new(Isolated::new(Watched::new(Cell::new(Owned::from(object))))),
            deferral: Deferral::default(),
        }
    }

    /// Return a view whose methods work at another memory ordering.
    #[pyo3(signature = (ordering, /, failure=None))]
    fn at(
        slf: Py<Self>,
        ordering: &Bound<'_, PyAny>,
        failure: Option<&Bound<'_, PyAny>>,
    ) -> Result<AtomicRefView> {
        AtomicRefView::new(slf, ordering, failure)
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyAny>> {
        repr_of(slf.as_any(), || {
            let object = slf.get().cell.load(SeqCst);
            // SAFETY: alive by this reference.
            let object = unsafe { borrowed(slf.py(), object.as_ptr()) };
            repr(&object)
        })
    }

    #[allow(clippy::unused_self)] // a method, to Python
    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("AtomicRef", "it is shared state; copy its object, a.load()"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        // SAFETY: the collector runs with all other threads stopped, and none is
        // ever stopped inside the engine: it calls nothing.
        unsafe { self.cell.peek(|object| visit.call(object.as_py())) }?;
        self.cell.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.cell.exchange(Owned::from(py.None().into_bound(py)), SeqCst));
        self.cell.clear();
    }
}

impl Drop for AtomicRef {
    fn drop(&mut self) {
        // SAFETY: this is the drop; the field is not used again.
        drop_content(unsafe { ManuallyDrop::take(&mut self.cell) });
    }
}

impl Comparable for Cell {
    /// An address; the caller of the method keeps the object alive.
    type Old = usize;

    fn old(value: Arg<'_, '_>) -> Result<usize> {
        Ok(value.as_ptr().expose_provenance())
    }

    fn differs(&self, old: &usize, order: Ordering) -> bool {
        self.address(order) != *old
    }
}

/// The methods of the atomic and of its views.
const fn ref_methods<T: Face<Cell = Cell>>() -> &'static [Method] {
    methods! {
        for T: Face<Cell = Cell>;
        quick c"load" c"load($self, /)\n--\n\nReturn the object."
            |this| this.orders().loading().ok().map(|order| this.cell().load(order)),
            |this, _| Ok(this.cell().load(this.orders().loading()?));
        one c"store" c"store($self, obj, /)\n--\n\nReplace the object."
            |this, _, object| {
                let old = exchange(this.cell(), Owned::new(object), this.orders().storing()?);
                // Before it is dropped, which may take its time.
                let told = this.tell();
                drop(old);
                told
            };
        one c"exchange" c"exchange($self, obj, /)\n--\n\nReplace the object and return the old one."
            |this, _, object| this.told(exchange(this.cell(), Owned::new(object), this.orders().both()));
        two c"compare_exchange"
            c"compare_exchange($self, expected, desired, /)\n--\n\n\
            Replace `expected`, that very object, by `desired`; return whether that happened."
            |this, _, [expected, desired]| {
                let expected = Cell::old(expected)?;
                if replace(this.cell(), expected, Owned::new(desired), this.orders()) {
                    this.told(true)
                } else {
                    Ok(false)
                }
            };
        one c"fetch_update"
            c"fetch_update($self, fn, /)\n--\n\nReplace the object by `fn(object)` and return the old one."
            |this, _, change| this.told(replace_by(this.cell(), change, this.orders())?.0);
        one c"update"
            c"update($self, fn, /)\n--\n\nReplace the object by `fn(object)` and return the new one."
            |this, _, change| this.told(replace_by(this.cell(), change, this.orders())?.1);
    }
}
