//! What the classes of atomics have in common: views at an ordering, and waiting.
//!
//! A view is an object of its own that refers to an atomic and has its methods at
//! another ordering. So the plain methods take no argument for it and pay nothing:
//! to them the ordering is a constant. A class writes its table of methods once, for
//! every [`Face`] of its cell.

use pyo3::prelude::*;

use super::convert::Arg;
use super::error::{Error, Result};
use super::fastcall::{FastClass, Method, methods};
use super::ordering::Orders;
use super::waiting::{Attempt, Patience, Sleeper, Sought, TaskWaiter, wait};
use super::watchers::Watchers;
use crate::shim::Ordering;

/// An atomic, or a view of one.
pub(crate) trait Face: FastClass {
    /// What of the engine it shows.
    type Cell;

    /// That.
    fn cell(&self) -> &Self::Cell;

    /// In which orders it does its operations.
    fn orders(&self) -> Orders;
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
    fn watchers(&self) -> &Watchers;
}

type Old<T> = <<T as Face>::Cell as Comparable>::Old;

fn old_value<T: Waitable>(value: Arg<'_, '_>) -> Result<Old<T>> {
    T::Cell::old(value)
}

/// `wait` and all that belongs to it; the coroutines' part is in Python
/// (`lockfree._async`), over the last four.
pub(crate) const fn waiting<T: Waitable>() -> &'static [Method] {
    methods! {
        for T: Waitable;
        keywords c"wait" c"wait($self, old, /, timeout=None)\n--\n\n\
            Wait until the value is not `old`; return whether it came to that in time."
            |this, py, args| {
                let [old, timeout] = args.bind(2, ["old", "timeout"])?;
                let old = old_value::<T>(args.required(old, "old")?)?;
                wait_for_change(this, py, &old, Patience::within(timeout)?)
            };
        noargs c"notify_one" c"notify_one($self, /)\n--\n\n\
            Let the one who has waited longest look again."
            |this, _| {
                this.watchers().notify(1);
                Ok(())
            };
        noargs c"notify_all" c"notify_all($self, /)\n--\n\nLet all who wait look again."
            |this, _| {
                this.watchers().notify(usize::MAX);
                Ok(())
            };
        one c"_differs" c"_differs($self, old, /)\n--\n\nWhether the value is not `old`."
            |this, _, old| {
                let order = this.orders().loading()?;
                Ok(this.cell().differs(&old_value::<T>(old)?, order))
            };
        two c"_enrol" c"_enrol($self, event, waiter, /)\n--\n\nEnrol a coroutine."
            |this, _, [_, waiter]| {
                this.watchers().event().enrol(&sleeper(waiter)?);
                Ok(())
            };
        two c"_leave" c"_leave($self, event, waiter, /)\n--\n\n\
            Take a coroutine off the list; pass on a notification that it does not use."
            |this, _, [_, waiter]| {
                this.watchers().event().withdraw(&sleeper(waiter)?);
                Ok(())
            };
        one c"_notify" c"_notify($self, event, /)\n--\n\nWake the next one."
            |this, _, _| {
                this.watchers().notify(1);
                Ok(())
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
    let event = this.watchers().event();
    Ok(wait(py, event, Sought::Truth, patience, changed, attempt)?.is_some())
}

fn sleeper(waiter: Arg<'_, '_>) -> Result<Sleeper> {
    let waiter = waiter.cast::<TaskWaiter>().map_err(|error| Error::raised(error.into()))?;
    Ok(Sleeper::task(&waiter.to_owned()))
}

/// Makes the class of an atomic's views.
macro_rules! view {
    ($view:ident, $name:literal, of waitable $atomic:ident, methods $methods:expr) => {
        $crate::python::atomic::view! { $view, $name, of $atomic, methods $methods }

        impl Waitable for $view {
            fn watchers(&self) -> &Watchers {
                self.of.get().watchers()
            }
        }
    };
    ($view:ident, $name:literal, of $atomic:ident, methods $methods:expr) => {
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
            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                Ok(format!("{}.at({})", self.of.bind(py).repr()?, self.orders.shown()))
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
            fn deferral(&self) -> Option<&Deferral> {
                Some(&self.deferral)
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
        }
    };
}

pub(crate) use view;
