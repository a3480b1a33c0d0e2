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
pub(crate) use direct::{Kept, drop_content, drop_contents, keep};
#[cfg(not(Py_3_14))]
pub(crate) use postponed::{Kept, drop_content, drop_contents, keep};

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
    use crate::engine::OutOfMemory;

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
    #[allow(clippy::unnecessary_wraps)] // below 3.14 there may be no memory for it
    pub(crate) fn keep<T>(contents: T) -> Result<Kept<T>, OutOfMemory> {
        Ok(Kept(contents))
    }

    /// Drops what a container held.
    pub(crate) fn drop_contents<T>(contents: T) {
        drop(contents);
    }

    /// Drops what an object held.
    pub(crate) fn drop_content<T>(content: T) {
        drop(content);
    }
}

#[cfg(not(Py_3_14))]
mod postponed {
    use std::any::Any;
    use std::cell::{Cell, RefCell};

    use crate::engine::OutOfMemory;
    use crate::engine::memory::growth::{boxed, put, room_for_one};

    /// Contents as they can be put on the list.
    pub(crate) type Kept<T> = Box<T>;

    /// What a container keeps.
    pub(crate) fn keep<T>(contents: T) -> Result<Kept<T>, OutOfMemory> {
        boxed(contents)
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
        // Without memory for the list it recurses.
        if level >= DEEPEST && POSTPONED.with_borrow_mut(room_for_one).is_ok() {
            return POSTPONED.with_borrow_mut(|list| put(list, contents)); // room: above
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

    /// The same for what is in no box.
    pub(crate) fn drop_content<T: 'static>(content: T) {
        // Without memory for a box it is dropped already.
        if let Ok(content) = boxed(content) {
            drop_contents(content);
        }
    }
}
