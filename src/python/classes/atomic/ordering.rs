//! Memory orderings: Python's members to Rust's, and what may be asked for where.

use std::fmt;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::engine::atomics::order::{FENCES, LOADS, STORES, reading};
use crate::python::boundary::error::{Error, Result, shown};
use crate::python::boundary::object::{Arg, made};
use crate::shim::{
    self,
    Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst},
};

/// All orderings, by their names in Python.
const NAMES: [(Ordering, &str); 5] = [
    (Relaxed, "RELAXED"),
    (Acquire, "ACQUIRE"),
    (Release, "RELEASE"),
    (AcqRel, "ACQ_REL"),
    (SeqCst, "SEQ_CST"),
];

/// In which orders an atomic, or a view of one, does its operations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orders {
    order: Ordering,
    failure: Ordering,
}

impl Orders {
    /// Those of the plain methods.
    pub(crate) const SEQ_CST: Self = Self { order: SeqCst, failure: SeqCst };

    /// As the arguments of `at` say.
    pub(crate) fn new(order: Arg<'_, '_>, failure: Option<Arg<'_, '_>>) -> Result<Self> {
        let order = ordering(order)?;
        let failure = match failure.filter(|failure| !failure.is_none()) {
            Some(failure) => allowed("a failed exchange", ordering(failure)?, &LOADS)?,
            None => reading(order),
        };
        Ok(Self { order, failure })
    }

    /// Of a read-modify-write.
    #[inline(always)]
    pub(crate) fn both(self) -> Ordering {
        self.order
    }

    /// Of a compare-and-swap that fails.
    #[inline(always)]
    pub(crate) fn failing(self) -> Ordering {
        self.failure
    }

    /// Of a load.
    #[inline(always)]
    pub(crate) fn loading(self) -> Result<Ordering> {
        if let Relaxed | Acquire | SeqCst = self.order {
            return Ok(self.order);
        }
        allowed("a load", self.order, &LOADS)
    }

    /// Of a store.
    #[inline(always)]
    pub(crate) fn storing(self) -> Result<Ordering> {
        if let Relaxed | Release | SeqCst = self.order {
            return Ok(self.order);
        }
        allowed("a store", self.order, &STORES)
    }

    /// The arguments of `at` that say the same.
    pub(crate) fn shown(self, py: Python<'_>) -> Result<Bound<'_, PyAny>> {
        let order = name(self.order);
        if self.failure == reading(self.order) {
            return made(py, format_args!("Ordering.{order}"));
        }
        made(py, format_args!("Ordering.{order}, Ordering.{}", name(self.failure)))
    }
}

#[allow(clippy::doc_markdown)] // Python's markup
#[doc = include_str!(concat!(env!("OUT_DIR"), "/fence.txt"))]
#[pyfunction]
#[pyo3(signature = (ordering, /))]
pub(crate) fn fence(ordering: &Bound<'_, PyAny>) -> Result<()> {
    let order = self::ordering(ordering.as_borrowed())?;
    shim::fence(allowed("a fence", order, &FENCES)?);
    Ok(())
}

/// The ordering, if it is one of `choice`.
#[cold]
fn allowed(what: &str, order: Ordering, choice: &[Ordering]) -> Result<Ordering> {
    if choice.contains(&order) {
        return Ok(order);
    }
    let order = name(order);
    Err(Error::wrong_value(format_args!("{what} takes {}, not {order}", Choice(choice))))
}

/// `A, B or C`
struct Choice<'a>(&'a [Ordering]);

impl fmt::Display for Choice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, order) in self.0.iter().enumerate() {
            let before = match place {
                0 => "",
                _ if place + 1 == self.0.len() => " or ",
                _ => ", ",
            };
            write!(f, "{before}{}", name(*order))?;
        }
        Ok(())
    }
}

fn name(order: Ordering) -> &'static str {
    NAMES.into_iter().find(|known| known.0 == order).map_or("?", |known| known.1)
}

/// The ordering that a member of Python's enumeration stands for.
fn ordering(member: Arg<'_, '_>) -> Result<Ordering> {
    let members = members(member.py()).map_err(Error::raised)?;
    let place = members.iter().position(|known| known.is(&*member));
    place.map(|place| NAMES[place].0).ok_or_else(|| {
        Error::wrong_type(format_args!("expected an Ordering, not {}", shown(&member)))
    })
}

/// Looks the enumeration's members up.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    members(py).map(drop)
}

fn members(py: Python<'_>) -> PyResult<&[Py<PyAny>; NAMES.len()]> {
    static MEMBERS: PyOnceLock<[Py<PyAny>; NAMES.len()]> = PyOnceLock::new();
    MEMBERS.get_or_try_init(py, || {
        let class = py.import("lockfree._ordering")?.getattr("Ordering")?;
        let mut members = NAMES.map(|_| py.None());
        for (member, (_, name)) in members.iter_mut().zip(NAMES) {
            *member = class.getattr(name)?.unbind();
        }
        Ok(members)
    })
}
