//! What the classes of atomics have in common: plain values, views at an ordering,
//! and waiting.
//!
//! A view is an object of its own that refers to an atomic and has its methods at
//! another ordering. So the plain methods take no argument for it and pay nothing:
//! to them the ordering is a constant. A class writes its table of methods once, for
//! every [`Face`] of its cell.
//!
//! | file | what it holds |
//! |---|---|
//! | `atomic_int` | class `AtomicInt64` |
//! | `atomic_bool` | class `AtomicBool` |
//! | `atomic_float` | class `AtomicFloat64` |
//! | `atomic_ref` | class `AtomicRef` |
//! | `atomic_stamped_ref` | class `AtomicStampedRef` |
//! | `ordering` | memory orderings, and function `fence` |
//! | `watchers` | those who wait for an atomic to change |

pub(crate) mod atomic_bool;
pub(crate) mod atomic_float;
pub(crate) mod atomic_int;
pub(crate) mod atomic_ref;
pub(crate) mod atomic_stamped_ref;
pub(crate) mod ordering;
mod watchers;

use std::ffi::c_int;

use pyo3::basic::CompareOp;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::engine::Event;
use crate::python::boundary::error::{Error, Result};
use crate::python::boundary::fastcall::{FastClass, Method, methods};
use crate::python::boundary::list::repr;
use crate::python::boundary::object::{Arg, IntoObject, borrowed, formatted};
use crate::python::boundary::owned::Owned;
use crate::python::boundary::spare::{self, Answer, Spared};
use crate::python::boundary::task::TaskWaiter;
use crate::python::boundary::user;
use crate::python::boundary::waiting::{Attempt, Patience, Sleeper, Sought, hold, in_hand, wait};
use crate::shim::Ordering;
use ordering::Orders;
use watchers::{Told, notify};

/// An atomic, or a view of one.
pub(crate) trait Face: FastClass {
    /// What of the engine it shows.
    type Cell;

    /// That.
    fn cell(&self) -> &Self::Cell;

    /// In which orders it does its operations.
    fn orders(&self) -> Orders;

    /// Who is to be told of a write.
    #[inline(always)]
    fn listeners(&self) -> Option<&Event<Sleeper>> {
        None
    }

    /// Tells them of a write.
    #[inline(always)]
    fn tell(&self) -> Result<()> {
        self.listeners().map_or(Ok(()), Event::changed)
    }

    /// The same of a write of which this is the result: what comes of telling is raised
    /// once that was returned.
    #[inline(always)]
    fn told<R>(&self, result: R) -> Result<R> {
        in_hand(self.tell());
        Ok(result)
    }

    /// The same for the attempt of a quick slot.
    #[inline(always)]
    fn told_quickly<R>(&self, result: R) -> Told<R> {
        Told::after(result, self.listeners())
    }
}

/// A cell of one machine word that holds a plain value.
pub(crate) trait Word {
    /// What Python objects are converted to and from.
    type Value: Spared;

    /// Of an argument.
    fn value(object: Arg<'_, '_>) -> Result<Self::Value>;

    fn load(&self, order: Ordering) -> Self::Value;

    fn store(&self, value: Self::Value, order: Ordering);

    fn exchange(&self, value: Self::Value, order: Ordering) -> Self::Value;

    fn compare_exchange(
        &self,
        expected: Self::Value,
        desired: Self::Value,
        order: Ordering,
        failure: Ordering,
    ) -> std::result::Result<Self::Value, Self::Value>;
}

/// A cell whose change can be waited for.
pub(crate) trait Comparable: Sync {
    /// What its value is compared with.
    type Old: Sync;

    /// Of an argument.
    fn old(value: Arg<'_, '_>) -> Result<Self::Old>;

    /// Whether the value is another one. Calls nothing: it is also called detached.
    fn differs(&self, old: &Self::Old, order: Ordering) -> bool;
}

/// An atomic, or a view of one, that threads and coroutines can wait on.
pub(crate) trait Waitable: Face<Cell: Comparable> {
    /// Who waits.
    fn event(&self) -> &Event<Sleeper>;
}

/// The methods of every [`Word`].
pub(crate) const fn word_methods<T: Face<Cell: Word>>() -> &'static [Method] {
    methods! {
        for T: Face<Cell: Word>;
        quick c"load" c"load($self, /)\n--\n\nReturn the value."
            |this| this.orders().loading().ok().map(|order| this.cell().load(order)),
            |this, _| Ok(this.cell().load(this.orders().loading()?));
        one c"store" c"store($self, value, /)\n--\n\nReplace the value."
            |this, _, value| {
                this.cell().store(T::Cell::value(value)?, this.orders().storing()?);
                this.tell()
            };
        one c"exchange" c"exchange($self, value, /)\n--\n\nReplace the value and return the old one."
            |this, _, value| {
                let value = T::Cell::value(value)?;
                this.told(changed(|| this.cell().exchange(value, this.orders().both()))?)
            };
        two c"compare_exchange"
            c"compare_exchange($self, expected, desired, /)\n--\n\n\
            Replace `expected` by `desired`; return whether that happened."
            |this, _, [expected, desired]| {
                let (expected, desired) = (T::Cell::value(expected)?, T::Cell::value(desired)?);
                let (order, failure) = (this.orders().both(), this.orders().failing());
                match this.cell().compare_exchange(expected, desired, order, failure) {
                    Ok(_) => this.told(true),
                    Err(_) => Ok(false),
                }
            };
        one c"fetch_update"
            c"fetch_update($self, fn, /)\n--\n\nReplace the value by `fn(value)` and return the old one."
            |this, _, change| this.told(Answer(replace_by(this.cell(), change, this.orders())?.0));
        one c"update"
            c"update($self, fn, /)\n--\n\nReplace the value by `fn(value)` and return the new one."
            |this, _, change| this.told(Answer(replace_by(this.cell(), change, this.orders())?.1));
    }
}

/// Does what changes the value and returns one that is to be the answer.
#[inline(always)]
fn changed<T>(change: impl FnOnce() -> T) -> Result<Answer<T>> {
    spare::ready()?;
    Ok(Answer(change()))
}

/// Replaces the value by `change(value)`; returns the old and the new one.
fn replace_by<C: Word>(
    cell: &C,
    change: Arg<'_, '_>,
    orders: Orders,
) -> Result<(C::Value, C::Value)> {
    let mut value = cell.load(orders.failing());
    loop {
        let result = result_of(change, value)?;
        // SAFETY: alive by this reference.
        let next = C::value(unsafe { borrowed(change.py(), result.as_ptr()) })?;
        spare::ready()?;
        match cell.compare_exchange(value, next, orders.both(), orders.failing()) {
            Ok(_) => return Ok((value, next)),
            Err(found) => value = found,
        }
    }
}

/// What `change(value)` returns. Runs user code.
fn result_of(change: Arg<'_, '_>, value: impl IntoObject) -> Result<Owned> {
    let py = change.py();
    // SAFETY: a new reference, or null with an exception set.
    let value = unsafe { Bound::from_owned_ptr_or_opt(py, value.into_object(py)) };
    let value = value.ok_or_else(Error::pending)?;
    // SAFETY: the token proves the thread attached; both are alive.
    let result = unsafe { user::call1(change.as_ptr(), value.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    let result = unsafe { Bound::from_owned_ptr_or_opt(py, result) };
    result.map(Owned::from).ok_or_else(Error::pending)
}

/// Compares an atomic's value with a number: the value's own comparison decides.
pub(crate) fn compared<'py>(
    value: &Bound<'py, PyAny>,
    other: &Bound<'py, PyAny>,
    op: CompareOp,
) -> PyResult<Bound<'py, PyAny>> {
    let py = other.py();
    // SAFETY: a live object; the check calls nothing.
    if unsafe { ffi::PyNumber_Check(other.as_ptr()) } == 0 {
        return Ok(py.NotImplemented().into_bound(py));
    }
    // SAFETY: both are alive, and the token proves the thread attached.
    let result = unsafe { user::rich_compare(value.as_ptr(), other.as_ptr(), op as c_int) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, result) }
}

type Old<T> = <<T as Face>::Cell as Comparable>::Old;

fn old_value<T: Waitable>(value: Arg<'_, '_>) -> Result<Old<T>> {
    T::Cell::old(value)
}

/// `wait` and all that belongs to it; the coroutines' part is in Python
/// (`lockfree._async`), over the last five.
pub(crate) const fn waiting<T: Waitable>() -> &'static [Method] {
    methods! {
        for T: Waitable;
        keywords c"wait" c"wait($self, old, /, timeout=None)\n--\n\n\
            Wait until the value is not `old`; return whether it came to that in time."
            |this, py, args| {
                let [old, timeout] = args.bind(2, ["", "timeout"])?;
                let old = old_value::<T>(args.required(old, "old")?)?;
                wait_for_change(this, py, &old, Patience::within(timeout)?)
            };
        noargs c"notify_one" c"notify_one($self, /)\n--\n\n\
            Let the one who has waited longest look again."
            |this, _| {
                notify(this.event(), 1)
            };
        noargs c"notify_all" c"notify_all($self, /)\n--\n\nLet all who wait look again."
            |this, _| {
                notify(this.event(), usize::MAX)
            };
        one c"_hold" c"_hold($self, event, /)\n--\n\nWhy a coroutine should not begin at once; 0 if it may."
            |_, _, _| Ok(hold(false) as i64);
        one c"_differs" c"_differs($self, old, /)\n--\n\nWhether the value is not `old`."
            |this, _, old| {
                let order = this.orders().loading()?;
                Ok(this.cell().differs(&old_value::<T>(old)?, order))
            };
        two c"_enrol" c"_enrol($self, event, waiter, /)\n--\n\nEnrol a coroutine."
            |this, _, [_, waiter]| {
                Ok(this.event().enrol(&sleeper(waiter)?)?)
            };
        two c"_leave" c"_leave($self, event, waiter, /)\n--\n\n\
            Take a coroutine off the list; pass on a notification that it does not use."
            |this, _, [_, waiter]| {
                this.event().withdraw(&sleeper(waiter)?).map(drop)
            };
        one c"_notify" c"_notify($self, event, /)\n--\n\nWake the next one."
            |this, _, _| {
                notify(this.event(), 1)
            };
    }
}

fn wait_for_change<T: Waitable>(
    this: &T,
    py: Python<'_>,
    old: &Old<T>,
    patience: Patience,
) -> Result<bool> {
    let order = this.orders().loading()?;
    let cell = this.cell();
    let changed = || cell.differs(old, order);
    let attempt = || if changed() { Attempt::Done(()) } else { Attempt::Wait };
    let event = this.event();
    Ok(wait(py, event, Sought::Value, patience, changed, attempt)?.is_some())
}

/// The `repr` of a view.
fn view_repr<'py>(of: &Bound<'py, PyAny>, orders: Orders) -> Result<Bound<'py, PyAny>> {
    let (of, orders) = (repr(of)?, orders.shown(of.py())?);
    // SAFETY: two strings.
    unsafe { formatted(c"%U.at(%U)", &of, &orders) }
}

fn sleeper(waiter: Arg<'_, '_>) -> Result<Sleeper> {
    let waiter = waiter.cast::<TaskWaiter>().map_err(|error| Error::raised(error.into()))?;
    Ok(Sleeper::task(&waiter.to_owned()))
}

/// Makes a cell of the engine a [`Word`].
macro_rules! word {
    (waitable $cell:ident of $value:ty, from $convert:ident, differing by $differ:expr) => {
        $crate::python::classes::atomic::word! { $cell of $value, from $convert }

        impl Comparable for $cell {
            type Old = $value;

            fn old(value: Arg<'_, '_>) -> Result<$value> {
                $convert(value)
            }

            fn differs(&self, old: &$value, order: Ordering) -> bool {
                let differ: fn($value, $value) -> bool = $differ;
                differ(self.load(order), *old)
            }
        }
    };
    ($cell:ident of $value:ty, from $convert:ident) => {
        impl Word for $cell {
            type Value = $value;

            fn value(object: Arg<'_, '_>) -> Result<$value> {
                $convert(object)
            }

            #[inline(always)]
            fn load(&self, order: Ordering) -> $value {
                self.load(order)
            }

            #[inline(always)]
            fn store(&self, value: $value, order: Ordering) {
                self.store(value, order);
            }

            #[inline(always)]
            fn exchange(&self, value: $value, order: Ordering) -> $value {
                self.exchange(value, order)
            }

            #[inline(always)]
            fn compare_exchange(
                &self,
                expected: $value,
                desired: $value,
                order: Ordering,
                failure: Ordering,
            ) -> std::result::Result<$value, $value> {
                self.compare_exchange(expected, desired, order, failure)
            }
        }
    };
}

/// Gives an atomic its methods, and makes the class of its views, which have them too.
/// It has the field `deferral`, and if it is waitable its cell is a [`Watched`](watchers::Watched).
macro_rules! faces {
    ($atomic:ident, $view:ident $name:literal, of waitable $cell:ident: $type:ty, methods $methods:expr) => {
        $crate::python::classes::atomic::faces! {
            @ $atomic, $view $name, of $cell: $type, methods $methods,
            {
                #[inline(always)]
                fn listeners(&self) -> Option<&Event<Sleeper>> {
                    Some(self.event())
                }
            }
        }

        impl Waitable for $atomic {
            #[inline(always)]
            fn event(&self) -> &Event<Sleeper> {
                self.$cell.event()
            }
        }

        impl Waitable for $view {
            #[inline(always)]
            fn event(&self) -> &Event<Sleeper> {
                self.of.get().event()
            }
        }
    };
    ($atomic:ident, $view:ident $name:literal, of $cell:ident: $type:ty, methods $methods:expr) => {
        $crate::python::classes::atomic::faces! {
            @ $atomic, $view $name, of $cell: $type, methods $methods, {}
        }
    };
    (@ $atomic:ident, $view:ident $name:literal, of $cell:ident: $type:ty, methods $methods:expr,
        { $($listeners:tt)* }
    ) => {
        impl FastClass for $atomic {
            const METHODS: &'static [&'static [Method]] = $methods;

            #[inline(always)]
            fn deferral(&self) -> &Deferral {
                &self.deferral
            }
        }

        impl Face for $atomic {
            type Cell = $type;

            #[inline(always)]
            fn cell(&self) -> &$type {
                &self.$cell
            }

            #[inline(always)]
            fn orders(&self) -> Orders {
                Orders::SEQ_CST
            }

            $($listeners)*
        }

        /// An atomic's methods at another memory ordering; made by `at()`.
        #[pyclass(frozen, weakref, module = "lockfree._native", name = $name)]
        #[derive(Debug)]
        pub(crate) struct $view {
            of: Py<$atomic>,
            orders: Orders,
            deferral: Deferral,
        }

        impl $view {
            fn new(
                of: Py<$atomic>,
                ordering: &Bound<'_, PyAny>,
                failure: Option<&Bound<'_, PyAny>>,
            ) -> Result<Self> {
                let orders = Orders::new(
                    ordering.as_borrowed(),
                    failure.map(|failure| failure.as_borrowed()),
                )?;
                Ok(Self { of, orders, deferral: Deferral::default() })
            }
        }

        #[pymethods]
        impl $view {
            fn __repr__<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
                $crate::python::classes::atomic::view_repr(self.of.bind(py), self.orders)
            }

            #[allow(clippy::unused_self)] // a method, to Python
            fn __reduce__(&self) -> PyResult<Bound<'_, PyTuple>> {
                Err(not_copyable($name, "it is a view of shared state"))
            }

            fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
                visit.call(&self.of)
            }
        }

        impl FastClass for $view {
            const METHODS: &'static [&'static [Method]] = $methods;

            #[inline(always)]
            fn deferral(&self) -> &Deferral {
                &self.deferral
            }
        }

        impl Face for $view {
            type Cell = <$atomic as Face>::Cell;

            #[inline(always)]
            fn cell(&self) -> &Self::Cell {
                self.of.get().cell()
            }

            #[inline(always)]
            fn orders(&self) -> Orders {
                self.orders
            }

            $($listeners)*
        }
    };
}

pub(crate) use {faces, word};
