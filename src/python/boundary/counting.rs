//! Reference counts.
//!
//! With a GIL a count is a number. Without one an object has two: one for the thread
//! that made it, which changes it without an atomic instruction, and a shared one
//! (S. Gross, PEP 703, "biased reference counting"). CPython's headers inline the
//! first case, pyo3-ffi 0.30 calls a function for either; here are the headers' few
//! lines, as they are in 3.14 and 3.15.
//!
//! # A reference for another thread to drop
//! The number of references is the sum of the two counts (3.14 and 3.15:
//! `Include/refcount.h`, `Objects/object.c`, `Python/brc.c`). What a container holds is
//! taken by one thread and dropped by another. Taken in the local count of the thread
//! whose own the object is, it makes that drop meet a shared count of zero, and
//! `_Py_DecRefShared` then does not subtract: it marks the object as queued and puts it
//! on its owner's list (`_Py_brc_queue_object`: a mutex, and a request to the owner to
//! interrupt what it does), where the object stays until the owner comes by.
//!
//! So [`incref_shared`] takes the reference in the shared count, as every thread but the
//! owner always does. Nothing is new to CPython in the states that follow, with `l`
//! local references before and `s` shared ones:
//!
//! - `(l, s + 1)`, owned: what another thread's `Py_INCREF` makes of `(l, s)`. No flag
//!   changes, be it "may have weak references", "queued" or "merged".
//! - The taker drops first: `_Py_DecRefShared` finds a count that is not zero, and
//!   subtracts: `(l, s)`, and the owner frees the object as if it had been nowhere.
//! - The owner drops its last local reference first: `_Py_MergeZeroLocalRefcount` finds
//!   a shared word that is not zero, gives the object up (`ob_tid` becomes 0) and marks it
//!   as merged. The taker's drop then finds "merged, one reference", and frees it, at
//!   once and on its own thread: a finalizer runs there.
//! - The owner takes the item out again itself: its drop goes to the local count, which
//!   its own reference has kept above zero, or the object was merged, and it is nobody's.
//!   A local count cannot fall below zero: at zero the object is given up.
//! - The owner's thread has ended: its objects are merged when they are next queued, and
//!   with a shared count of their own they need not be.
//!
//! The collector adds both counts with the world stopped, and no thread is stopped
//! between the two steps of [`move_to_shared`], which would show it one reference too many
//! and never one too few.

#[cfg(Py_GIL_DISABLED)]
use std::mem::ManuallyDrop;

#[cfg(Py_GIL_DISABLED)]
use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
#[cfg(Py_GIL_DISABLED)]
use pyo3::types::PyList;

#[cfg(Py_GIL_DISABLED)]
use super::{identity, user};
#[cfg(Py_GIL_DISABLED)]
use crate::shim::Ordering::Relaxed;

/// What a shared count of 0 is, beside its flags, once references may be tried to be taken.
#[cfg(Py_GIL_DISABLED)]
const MAY_BE_TRIED: isize = 1;

#[cfg(not(Py_GIL_DISABLED))]
pub(crate) use with_gil::{is_anothers, share, try_incref, try_incref as incref_own};
#[cfg(Py_GIL_DISABLED)]
pub(crate) use without_gil::{
    incref, incref_own, incref_shared, is_anothers, is_immortal, is_own, move_to_shared, share,
    try_incref,
};

#[cfg(not(Py_GIL_DISABLED))]
pub(crate) use ffi::Py_INCREF as incref;

/// Looks whether counts are where these lines think they are.
///
/// # Errors
/// An `ImportError`: nothing here may be used.
#[cfg(not(Py_GIL_DISABLED))]
#[allow(clippy::unnecessary_wraps)] // as without a GIL
pub(crate) fn prepare(_py: Python<'_>) -> PyResult<()> {
    Ok(())
}

/// Looks whether counts are where these lines think they are: both of a thread's own object, by
/// what the interpreter says that there are, and that of an immortal one.
///
/// # Errors
/// An `ImportError`: nothing here may be used.
#[cfg(Py_GIL_DISABLED)]
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    if !identity::IS_CPYTHONS {
        return Ok(());
    }
    // SAFETY: a live object, and the token proves the thread attached; nothing is counted.
    let immortal = unsafe { incref_own(py.None().as_ptr()) };
    if immortal && counts_as_it_is_told(py)? {
        return Ok(());
    }
    let text = "this Python counts references in a way that lockfree does not know";
    Err(PyImportError::new_err(text))
}

/// Takes references to an object and gives them up, and compares with what `sys` says. An object
/// whose counts are elsewhere is not touched any more.
#[cfg(Py_GIL_DISABLED)]
fn counts_as_it_is_told(py: Python<'_>) -> PyResult<bool> {
    let told = py.import("sys")?.getattr("getrefcount")?;
    #[allow(clippy::disallowed_methods)] // at import
    let own = ManuallyDrop::new(PyList::empty(py));
    let object = own.as_ptr();
    let count = || user::function(&told, [own.as_any()])?.extract::<isize>();
    let before = count()?;
    // SAFETY: here and below a live object, and the token proves the thread attached.
    if !unsafe { incref_own(object) } || count()? != before + 1 {
        return Ok(false);
    }
    // Before anything is written there, CPython marks the word itself.
    // SAFETY: as above.
    let shared = || unsafe { (*object).ob_ref_shared.load(Relaxed) };
    let unmarked = shared();
    // SAFETY: as above.
    unsafe { share(object) };
    // SAFETY: as above.
    if unmarked != 0 || shared() != MAY_BE_TRIED || !unsafe { incref_shared(object) } {
        return Ok(false);
    }
    // SAFETY: as above.
    unsafe { move_to_shared(object) };
    if count()? != before + 2 {
        return Ok(false);
    }
    for _ in 0..2 {
        // SAFETY: a reference that was taken above is given up.
        drop(unsafe { Bound::from_owned_ptr(py, object) });
    }
    let known = count()? == before;
    drop(ManuallyDrop::into_inner(own));
    Ok(known)
}

#[cfg(not(Py_GIL_DISABLED))]
mod with_gil {
    use super::ffi;

    /// With a GIL there is nothing to enable.
    ///
    /// # Safety
    /// None needed.
    #[inline(always)]
    pub(crate) unsafe fn share(_object: *mut ffi::PyObject) {}

    /// With a GIL objects are nobody's.
    ///
    /// # Safety
    /// None needed.
    #[inline(always)]
    pub(crate) unsafe fn is_anothers(_object: *mut ffi::PyObject) -> bool {
        false
    }

    /// With a GIL nothing dies meanwhile.
    ///
    /// # Safety
    /// The thread is attached, and a place that only attached threads change refers to
    /// the object.
    #[inline(always)]
    pub(crate) unsafe fn try_incref(object: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise: it is alive.
        unsafe { ffi::Py_INCREF(object) };
        true
    }
}

#[cfg(Py_GIL_DISABLED)]
mod without_gil {
    use std::ffi::c_int;

    use super::ffi;
    use crate::python::boundary::identity::{IS_CPYTHONS, thread_identity};
    use crate::shim::{AtomicUsize, Ordering::Relaxed};

    /// Below the shared count are two flags.
    const SHARED_SHIFT: u32 = 2;

    unsafe extern "C" {
        // Missing in pyo3-ffi 0.30.
        fn PyUnstable_EnableTryIncRef(object: *mut ffi::PyObject);
        fn PyUnstable_TryIncRef(object: *mut ffi::PyObject) -> c_int;
    }

    /// Takes a reference.
    ///
    /// # Safety
    /// The thread is attached, and the object is alive.
    #[inline]
    pub(crate) unsafe fn incref(object: *mut ffi::PyObject) {
        // SAFETY: the caller's promise.
        if !unsafe { incref_own(object) } {
            // SAFETY: as above.
            unsafe { ffi::Py_INCREF(object) };
        }
    }

    /// Takes a reference for another thread to drop: in the shared count, though the
    /// object may be this thread's own. Says whether it is the first one there.
    ///
    /// # Safety
    /// The thread is attached, and the object is alive.
    #[inline]
    pub(crate) unsafe fn incref_shared(object: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise; the words are used as CPython does.
        let local = unsafe { &(*object).ob_ref_local };
        // SAFETY: as above.
        let shared = unsafe { &(*object).ob_ref_shared };
        if local.load(Relaxed) == u32::MAX {
            return false; // immortal
        }
        shared.fetch_add(1 << SHARED_SHIFT, Relaxed) >> SHARED_SHIFT == 0
    }

    /// Moves a reference, whoever holds it, into the shared count, if the object is this
    /// thread's own.
    ///
    /// # Safety
    /// The thread is attached, and the object stays alive.
    #[inline]
    pub(crate) unsafe fn move_to_shared(object: *mut ffi::PyObject) {
        // SAFETY: the caller's promise.
        if unsafe { is_own(object) } {
            // SAFETY: as above.
            let shared = unsafe { &(*object).ob_ref_shared };
            shared.fetch_add(1 << SHARED_SHIFT, Relaxed);
            // SAFETY: in place of the reference just taken; it is not the last one.
            unsafe { ffi::Py_DECREF(object) };
        }
    }

    /// Whether an object is immortal.
    ///
    /// # Safety
    /// The object is alive.
    #[inline]
    pub(crate) unsafe fn is_immortal(object: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise; the word is read as CPython does.
        unsafe { (*object).ob_ref_local.load(Relaxed) == u32::MAX }
    }

    /// Whether the object is this thread's own, and not immortal.
    ///
    /// # Safety
    /// The object is alive.
    #[inline(always)]
    pub(crate) unsafe fn is_own(object: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise.
        IS_CPYTHONS && unsafe { owner(object) }.load(Relaxed) == thread_identity()
    }

    /// Whether the object is another thread's own.
    ///
    /// # Safety
    /// The object is alive.
    #[inline(always)]
    pub(crate) unsafe fn is_anothers(object: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise.
        let owner = unsafe { owner(object) }.load(Relaxed);
        IS_CPYTHONS && owner != 0 && owner != thread_identity()
    }

    /// The identity of the thread whose own an object is; 0 if it is nobody's.
    ///
    /// # Safety
    /// The memory is an object's, or was a moment ago.
    #[inline(always)]
    unsafe fn owner<'a>(object: *mut ffi::PyObject) -> &'a AtomicUsize {
        // SAFETY: the caller's promise.
        let owner = unsafe { &raw const (*object).ob_tid };
        // SAFETY: other threads write to it, but atomically.
        unsafe { &*owner.cast::<AtomicUsize>() }
    }

    /// Makes [`try_incref`] work for all threads.
    ///
    /// # Safety
    /// The thread is attached, and the object is alive.
    #[inline]
    pub(crate) unsafe fn share(object: *mut ffi::PyObject) {
        // SAFETY: the caller's promise.
        unsafe { PyUnstable_EnableTryIncRef(object) };
    }

    /// Takes a reference, unless the object is dead.
    ///
    /// # Safety
    /// The address is that of an object that was alive and [`share`]d a moment ago, and
    /// the thread has been attached since.
    #[inline(always)]
    pub(crate) unsafe fn try_incref(object: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise. What is a thread's own does not die but by
        // that thread, and what is dead is nobody's own.
        if unsafe { incref_own(object) } {
            return true;
        }
        // SAFETY: the caller's promise.
        unsafe { PyUnstable_TryIncRef(object) != 0 }
    }

    /// Takes a reference if that needs no atomic instruction: the object is the
    /// thread's own, or immortal.
    ///
    /// # Safety
    /// The memory is an object's, or was a moment ago.
    #[inline(always)]
    pub(crate) unsafe fn incref_own(object: *mut ffi::PyObject) -> bool {
        if !IS_CPYTHONS {
            return false;
        }
        // SAFETY: the caller's promise; the word is read as CPython does.
        let local = unsafe { &(*object).ob_ref_local };
        let count = local.load(Relaxed);
        if count == u32::MAX {
            return true; // immortal
        }
        // SAFETY: as above.
        if unsafe { owner(object) }.load(Relaxed) != thread_identity() {
            return false;
        }
        local.store(count + 1, Relaxed);
        true
    }
}
