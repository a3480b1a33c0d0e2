//! Class `AtomicStampedRef`.
//!
//! An object and a stamp that change together: one reference to an immutable pair.
//! It is what Java's `AtomicStampedReference` does, and needs no instruction for two
//! words. The pair is the tuple that `load` returns.

use std::mem::ManuallyDrop;

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyTuple;

use super::ordering::Orders;
use super::{Face, faces};
use crate::engine::Reference;
use crate::python::boundary::convert::{Given, int64};
use crate::python::boundary::deferral::Deferral;
use crate::python::boundary::error::{Error, Result, not_copyable};
use crate::python::boundary::fastcall::{FastClass, Method, methods, used};
use crate::python::boundary::isolated::Isolated;
use crate::python::boundary::list::repr;
use crate::python::boundary::nesting::{drop_content, repr_of};
use crate::python::boundary::object::{Arg, borrowed, formatted, made, tuple};
use crate::python::boundary::owned::Owned;
use crate::shim::Ordering::SeqCst;

/// What the class holds.
#[derive(Debug)]
pub(crate) struct Pair(Reference<Owned>);

/// A reference to an object, with a stamp, that threads can replace together without a lock.
#[pyclass(frozen, weakref, generic, module = "lockfree")]
#[derive(Debug)]
pub(crate) struct AtomicStampedRef {
    pair: ManuallyDrop<Isolated<Pair>>,
    deferral: Deferral,
}

faces! {
    AtomicStampedRef, AtomicStampedRefView "_AtomicStampedRefView", of pair: Pair,
    methods &[stamped_ref_methods::<Self>()]
}

/// A new pair.
fn pair(object: Arg<'_, '_>, stamp: i64) -> Result<Owned> {
    let stamp = made(object.py(), stamp)?;
    tuple([Owned::new(object), stamp.into()])
}

/// Whether `pair` is of this very object and of an equal stamp.
fn is_of(pair: &Owned, object: Arg<'_, '_>, stamp: i64) -> Result<bool> {
    // SAFETY: alive by this reference.
    let pair = unsafe { borrowed(object.py(), pair.as_ptr()) };
    // SAFETY: `pair` makes nothing but tuples.
    let pair = unsafe { pair.cast_unchecked::<PyTuple>() };
    let [found, its_stamp] = [0, 1].map(|place| pair.get_borrowed_item(place));
    Ok(found.map_err(Error::raised)?.is(&*object)
        && int64(its_stamp.map_err(Error::raised)?)? == stamp)
}

impl Pair {
    /// Replaces `expected` by `desired`, if both the object and the stamp are as expected.
    fn compare_exchange(
        &self,
        expected: (Arg<'_, '_>, i64),
        desired: (Arg<'_, '_>, i64),
        orders: Orders,
    ) -> Result<bool> {
        let mut new = pair(desired.0, desired.1)?;
        loop {
            let found = self.0.load(orders.failing());
            if !is_of(&found, expected.0, expected.1)? {
                return Ok(false);
            }
            let order = (orders.both(), orders.failing());
            match self.0.compare_exchange(found.address(), new, order.0, order.1) {
                Ok(_) => return Ok(true),
                // Another pair, which may be an equal one.
                Err(back) => new = back,
            }
        }
    }
}

#[pymethods]
impl AtomicStampedRef {
    #[new]
    #[pyo3(
        signature = (obj = Given::default(), stamp = Given::default(), /),
        text_signature = "(obj=None, stamp=0, /)"
    )]
    fn new(py: Python<'_>, obj: Given<'_>, stamp: Given<'_>) -> Result<Self> {
        let object = obj.0.unwrap_or_else(|| py.None().into_bound(py));
        let stamp = stamp.0.map_or(Ok(0), |stamp| int64(stamp.as_borrowed()))?;
        let pair = Pair(Reference::new(pair(object.as_borrowed(), stamp)?));
        let pair = ManuallyDrop::new(Isolated::new(pair));
        Ok(Self { pair, deferral: Deferral::default() })
    }

    /// The object and its stamp, as `load()` reads them. Read-only: write with `store()`.
    #[getter]
    fn value(slf: &Bound<'_, Self>) -> Py<PyAny> {
        used(slf).pair.0.load(SeqCst).into_py()
    }

    /// Return a view whose methods work at another memory ordering.
    #[pyo3(signature = (ordering, /, failure=None))]
    fn at(
        slf: Py<Self>,
        ordering: &Bound<'_, PyAny>,
        failure: Option<&Bound<'_, PyAny>>,
    ) -> Result<AtomicStampedRefView> {
        AtomicStampedRefView::new(slf, ordering, failure)
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyAny>> {
        repr_of(slf.as_any(), || {
            let pair = slf.get().pair.0.load(SeqCst);
            // SAFETY: alive by this reference.
            let pair = unsafe { borrowed(slf.py(), pair.as_ptr()) };
            // SAFETY: `pair` makes nothing but tuples.
            let pair = unsafe { pair.cast_unchecked::<PyTuple>() };
            let [object, stamp] = [0, 1].map(|place| pair.get_item(place));
            let object = repr(&object.map_err(Error::raised)?)?;
            let stamp = stamp.map_err(Error::raised)?;
            // SAFETY: a string and an int.
            unsafe { formatted(c"%U, %S", &object, &stamp) }
        })
    }

    #[allow(clippy::unused_self)] // a method, to Python
    fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
        Err(not_copyable("AtomicStampedRef", "it is shared state; copy what it holds, a.load()"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        // SAFETY: the collector runs with all other threads stopped, and none is
        // ever stopped inside the engine: it calls nothing.
        unsafe { self.pair.0.peek(|pair| visit.call(pair.as_py())) }
    }

    fn __clear__(&self, py: Python<'_>) {
        let none = py.None().into_bound(py);
        // Without memory for a pair the cycle stays.
        match pair(none.as_borrowed(), 0) {
            Ok(nothing) => drop(self.pair.0.exchange(nothing, SeqCst)),
            Err(error) => error.discard(),
        }
    }
}

impl Drop for AtomicStampedRef {
    fn drop(&mut self) {
        // SAFETY: this is the drop; the field is not used again.
        drop_content(unsafe { ManuallyDrop::take(&mut self.pair) });
    }
}

/// The methods of the atomic and of its views.
const fn stamped_ref_methods<T: Face<Cell = Pair>>() -> &'static [Method] {
    methods! {
        for T: Face<Cell = Pair>;
        quick c"load" c"load($self, /)\n--\n\nReturn the object and its stamp."
            |this| this.orders().loading().ok().map(|order| this.cell().0.load(order)),
            |this, _| Ok(this.cell().0.load(this.orders().loading()?));
        two c"store" c"store($self, obj, stamp, /)\n--\n\nReplace the object and its stamp."
            |this, _, [object, stamp]| {
                let pair = pair(object, int64(stamp)?)?;
                drop(this.cell().0.exchange(pair, this.orders().storing()?));
                Ok(())
            };
        two c"exchange"
            c"exchange($self, obj, stamp, /)\n--\n\n\
            Replace the object and its stamp, and return the old ones."
            |this, _, [object, stamp]| {
                let pair = pair(object, int64(stamp)?)?;
                Ok(this.cell().0.exchange(pair, this.orders().both()))
            };
        keywords c"compare_exchange"
            c"compare_exchange($self, /, expected, desired, expected_stamp, desired_stamp)\n--\n\n\
            Replace object and stamp if both are as expected; return whether that happened."
            |this, _, args| {
                let names = ["expected", "desired", "expected_stamp", "desired_stamp"];
                let given = args.bind(names.len(), names)?;
                let [expected, desired, expected_stamp, desired_stamp] = given;
                let expected = args.required(expected, names[0])?;
                let desired = args.required(desired, names[1])?;
                let expected_stamp = int64(args.required(expected_stamp, names[2])?)?;
                let desired_stamp = int64(args.required(desired_stamp, names[3])?)?;
                this.cell().compare_exchange(
                    (expected, expected_stamp),
                    (desired, desired_stamp),
                    this.orders(),
                )
            };
    }
}
