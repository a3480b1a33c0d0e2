//! Containers nested in one another: freed and shown without endless recursion.
//!
//! Freeing a stack drops its items; an item may be the last reference to
//! another stack, and so on a million levels down. CPython 3.14 notices when the
//! C stack runs out and postpones the deallocation, of any type. Below, only its
//! own containers do so, and this module does it for ours: past a few levels the
//! contents go to a list of the thread, which the outermost level works off.

use pyo3::ffi;
use pyo3::prelude::*;

use super::error::{Error, Result};
use super::object::{made, named};

#[cfg(Py_3_14)]
pub(crate) use direct::{Kept, drop_contents, keep};
#[cfg(not(Py_3_14))]
pub(crate) use postponed::{Kept, drop_contents, keep};

/// The `repr` of a container, `Class(contents)`; of one inside itself `Class(...)`.
/// `contents` may run user code.
pub(crate) fn repr_of<'py>(
    container: &Bound<'py, PyAny>,
    contents: impl FnOnce() -> Result<Bound<'py, PyAny>>,
) -> Result<Bound<'py, PyAny>> {
    // SAFETY: a live object, and the thread is attached (a `Bound` proves both).
    match unsafe { ffi::Py_ReprEnter(container.as_ptr()) } {
        0 => {}
        1.. => return named(container, &made(container.py(), "...")?),
        _ => return Err(Error::pending()),
    }
    let text = contents().and_then(|contents| named(container, &contents));
    // SAFETY: entered above. It keeps an exception that is set.
    unsafe { ffi::Py_ReprLeave(container.as_ptr()) };
    text
}

#[cfg(Py_3_14)]
mod direct {
    /// Contents inside their container: one address less on the way to them.
    #[derive(Debug)]
    pub(crate) struct Kept<T>(T);

    impl<T> std::ops::Deref for Kept<T> {
        type Target = T;

        #[inline(always)]
        fn deref(&self) -> &T {
            &self.0
        }
    }

    /// What a container keeps.
    pub(crate) fn keep<T>(contents: T) -> Kept<T> {
        Kept(contents)
    }

    /// Drops what a container held.
    pub(crate) fn drop_contents<T>(contents: T) {
        drop(contents);
    }
}

#[cfg(not(Py_3_14))]
mod postponed {
    use std::any::Any;
    use std::cell::{Cell, RefCell};

    /// Contents as they can be put on the list.
    pub(crate) type Kept<T> = Box<T>;

    /// What a container keeps.
    pub(crate) fn keep<T>(contents: T) -> Kept<T> {
        Box::new(contents)
    }

    /// Levels of nesting that recurse.
    const DEEPEST: usize = 32;

    thread_local! {
        static LEVEL: Cell<usize> = const { Cell::new(0) };
        static POSTPONED: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
    }

    /// Drops what a container held, now or when the levels above are done.
    pub(crate) fn drop_contents<T: 'static>(contents: Box<T>) {
        let level = LEVEL.get();
        if level == DEEPEST {
            return POSTPONED.with_borrow_mut(|list| list.push(contents));
        }
        LEVEL.set(level + 1);
        drop(contents);
        if level == 0 {
            while let Some(contents) = POSTPONED.with_borrow_mut(Vec::pop) {
                drop(contents);
            }
        }
        LEVEL.set(level);
    }
}
