//! A field that the interpreter itself reads.
//!
//! `obj.name` of a member (`Py_T_OBJECT_EX`, as a name in `__slots__` is) runs no code of
//! ours: the interpreter's byte code loads the word. It counts no reference where the
//! object behind it is deferred, for which a function would have to.
//!
//! Without a GIL it reads the word as our own readers do: it tries to take a reference,
//! and looks again (`_Py_TryIncrefCompare`; so what is in the word must have been
//! `share`d). But where that fails it does not try again. It takes the lock of the object
//! that has the field, and then takes its reference without asking, for whoever writes
//! is supposed to hold that lock (`PyMember_GetOne`, CPython 3.14 and 3.15). We hold
//! none. Instead, whoever replaced the word does not give up what was in it before
//! [`readers_finish`]: a reader who locked before the replacement has its reference then,
//! and one who locks after it finds the new word.

use std::ffi::{CStr, c_int};

use pyo3::ffi;
use pyo3::prelude::*;

use super::error::Error;
use crate::engine::memory::growth::boxed;

/// `Py_READONLY`
const READ_ONLY: c_int = 1;

/// Adds a read-only member to a class, of whose instances it is the word at `offset`.
/// Call it at import, before there is an instance.
///
/// # Safety
/// There is always the address of an object there, which is shared and owned by the
/// word, and who replaces it calls [`readers_finish`].
pub(crate) unsafe fn add_member(
    class: &Bound<'_, pyo3::types::PyType>,
    name: &'static CStr,
    doc: &'static CStr,
    offset: usize,
) -> PyResult<()> {
    // The descriptor keeps a pointer to its definition for ever.
    let def = ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: ffi::Py_T_OBJECT_EX,
        offset: offset.cast_signed(),
        flags: READ_ONLY,
        doc: doc.as_ptr(),
    };
    let def = Box::leak(boxed(def).map_err(Error::from)?);
    // SAFETY: the type is alive, the definition lives for ever, and the caller answers
    // for the word.
    let descriptor = unsafe { ffi::PyDescr_NewMember(class.as_type_ptr(), def) };
    // SAFETY: a new reference, or null with an exception set.
    let descriptor = unsafe { Bound::from_owned_ptr_or_err(class.py(), descriptor) }?;
    class.setattr(name.to_string_lossy().as_ref(), descriptor)
}

/// Returns once no reader is inside who may have found in a member of `object` what was
/// there before the read-modify-write just done.
///
/// # Safety
/// The thread is attached and the object alive.
#[inline]
pub(crate) unsafe fn readers_finish(object: *mut ffi::PyObject) {
    #[cfg(Py_GIL_DISABLED)]
    // SAFETY: the caller's promises.
    if unsafe { without_gil::is_locked(object) } {
        // SAFETY: as above.
        unsafe { without_gil::lock_and_unlock(object) };
    }
    #[cfg(not(Py_GIL_DISABLED))]
    let _ = object;
}

#[cfg(Py_GIL_DISABLED)]
mod without_gil {
    use std::mem::MaybeUninit;

    use super::ffi;
    use crate::shim::{AtomicU8, Ordering::Acquire, full_fence_after_rmw};

    /// Whether a thread holds the object's lock that took it before the read-modify-write
    /// just done.
    #[inline]
    pub(super) unsafe fn is_locked(object: *mut ffi::PyObject) -> bool {
        // Full fence: either the reader's lock is seen here, or our word there: its
        // locking and its load are both sequentially consistent.
        full_fence_after_rmw();
        // SAFETY: the caller's promise: an object.
        let lock = unsafe { &raw const (*object).ob_mutex };
        // SAFETY: a `PyMutex` is one byte, which is 0 if nobody holds it or waits for it.
        let lock = unsafe { &*lock.cast::<AtomicU8>() };
        // Acquire: the reference of a reader who has unlocked again.
        lock.load(Acquire) != 0
    }

    /// Waits for that thread. It is a critical section: where the holder is this very
    /// thread, further up, it does not deadlock.
    #[cold]
    pub(super) unsafe fn lock_and_unlock(object: *mut ffi::PyObject) {
        let mut section = MaybeUninit::<ffi::PyCriticalSection>::uninit();
        // SAFETY: attached, and the object is alive.
        unsafe { ffi::PyCriticalSection_Begin(section.as_mut_ptr(), object) };
        // SAFETY: begun just now.
        unsafe { ffi::PyCriticalSection_End(section.as_mut_ptr()) };
    }
}
