//! The element of every container: an owned reference to a Python object.

use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{Arg, IntoObject, borrowed};
use super::{counting, user};
use crate::engine::{Counted, Pointer};

/// A reference whose clone is an increment and whose drop is a decrement.
///
/// Not `Py<PyAny>`: in a raw slot PyO3 does not know that the thread is attached
/// and would queue the decrement, so that the object lived on.
///
/// # Invariant
/// Made, cloned and dropped by attached threads only: the engine is entered
/// attached, and never left detached with an element in hand. Cloning calls
/// nothing but `Py_INCREF`, so the engine may do it among readers; dropping may
/// run user code, so the engine does it outside of everything.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Owned(NonNull<ffi::PyObject>);

// SAFETY: a reference may be given up by another thread than took it, and be
// cloned by several at once; both as long as they are attached (the invariant).
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Owned {
    /// A new reference to an argument.
    #[inline]
    pub(crate) fn new(object: Arg<'_, '_>) -> Self {
        // SAFETY: a live object, and the thread is attached.
        unsafe { Self::from_borrowed(object.as_ptr()) }
    }

    /// A new reference to an argument, which another thread is to drop; and whether it is
    /// the first one of that kind.
    #[cfg(Py_GIL_DISABLED)]
    #[inline]
    pub(crate) fn for_another(object: Arg<'_, '_>) -> (Self, bool) {
        // SAFETY: a live object, and the thread is attached.
        let first = unsafe { counting::incref_shared(object.as_ptr()) };
        // SAFETY: the address of an object.
        (Self(unsafe { NonNull::new_unchecked(object.as_ptr()) }), first)
    }

    /// A new reference.
    ///
    /// # Safety
    /// The thread is attached, and the object is alive.
    #[inline]
    pub(crate) unsafe fn from_borrowed(object: *mut ffi::PyObject) -> Self {
        // SAFETY: the caller's promise.
        unsafe { counting::incref(object) };
        // SAFETY: the address of an object.
        Self(unsafe { NonNull::new_unchecked(object) })
    }

    /// What a call into Python returned: `None` where that is null, with an exception set.
    ///
    /// # Safety
    /// The thread is attached; the object, if there is one, is a new reference.
    pub(crate) unsafe fn from_new(object: *mut ffi::PyObject) -> Option<Self> {
        NonNull::new(object).map(Self)
    }

    /// `None`.
    #[inline]
    pub(crate) fn none(_py: Python<'_>) -> Self {
        // SAFETY: has no conditions. (`py.None()` would be a `Py` to drop.)
        let none = unsafe { ffi::Py_None() };
        // SAFETY: the token proves the thread attached, and `None` is alive.
        unsafe { Self::from_borrowed(none) }
    }

    /// Whether it is `None`.
    pub(crate) fn is_none(&self) -> bool {
        // SAFETY: has no conditions.
        std::ptr::eq(self.as_ptr(), unsafe { ffi::Py_None() })
    }

    /// Whether the object is another thread's own, which a drop must tell it.
    #[inline(always)]
    pub(crate) fn is_anothers(&self) -> bool {
        // SAFETY: a live object.
        unsafe { counting::is_anothers(self.as_ptr()) }
    }

    /// Lends it as an argument.
    #[inline]
    pub(crate) fn borrow<'py>(&self, py: Python<'py>) -> Arg<'_, 'py> {
        // SAFETY: it lives as long as this does.
        unsafe { borrowed(py, self.as_ptr()) }
    }

    /// The address of the object.
    pub(crate) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    /// The same as a word.
    pub(crate) fn address(&self) -> usize {
        self.as_ptr().expose_provenance()
    }

    /// Hands the reference over to the caller.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut ffi::PyObject {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// The same reference, as PyO3 has it.
    pub(crate) fn into_py(self) -> Py<PyAny> {
        // SAFETY: `Py` is a transparent `NonNull<PyObject>` too.
        unsafe { std::mem::transmute::<Self, Py<PyAny>>(self) }
    }

    /// As the collector's visitor wants it.
    pub(crate) fn as_py(&self) -> &Py<PyAny> {
        // SAFETY: `Py` is a transparent `NonNull<PyObject>` too.
        unsafe { &*std::ptr::from_ref(self).cast::<Py<PyAny>>() }
    }
}

impl From<Bound<'_, PyAny>> for Owned {
    fn from(object: Bound<'_, PyAny>) -> Self {
        // SAFETY: the address of an object, with the reference that `Bound` had.
        Self(unsafe { NonNull::new_unchecked(object.into_ptr()) })
    }
}

impl Clone for Owned {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: attached by the invariant; the object lives by this reference.
        unsafe { Self::from_borrowed(self.0.as_ptr()) }
    }
}

impl Drop for Owned {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: attached by the invariant; the reference is given up here.
        unsafe { user::decref(self.0.as_ptr()) };
    }
}

impl IntoObject for Owned {
    #[inline]
    fn into_object(self, _py: Python<'_>) -> *mut ffi::PyObject {
        self.into_raw()
    }
}

// SAFETY: the address of an object is not 0, and `from_raw` only takes it back.
unsafe impl Pointer for Owned {
    #[inline]
    fn into_raw(self) -> usize {
        Self::into_raw(self).expose_provenance()
    }

    #[inline]
    unsafe fn from_raw(word: usize) -> Self {
        // SAFETY: the address of an object, as the caller promises.
        Self(unsafe { NonNull::new_unchecked(std::ptr::with_exposed_provenance_mut(word)) })
    }

    unsafe fn peek<R>(word: usize, look: impl FnOnce(&Self) -> R) -> R {
        // SAFETY: the caller's promise.
        let value = unsafe { <Self as Pointer>::from_raw(word) };
        look(&std::mem::ManuallyDrop::new(value))
    }
}

// SAFETY: both are what free-threaded CPython does itself with the values of a dict,
// of whatever type: the memory of an object is given to other objects only, until
// every attached thread has said that it is between two instructions. With a GIL an
// attached thread is alone, and nothing dies meanwhile.
unsafe impl Counted for Owned {
    #[inline]
    fn share(&self) {
        // SAFETY: a live object, and the thread is attached by the invariant.
        unsafe { counting::share(self.0.as_ptr()) };
    }

    #[inline(always)]
    unsafe fn try_acquire(word: usize) -> Option<Self> {
        let object = std::ptr::with_exposed_provenance_mut(word);
        // SAFETY: the address of what was an object a moment ago, as the caller
        // promises, and the thread has been attached since.
        let taken = unsafe { counting::try_incref(object) };
        // SAFETY: the address of an object.
        taken.then(|| Self(unsafe { NonNull::new_unchecked(object) }))
    }

    #[inline(always)]
    unsafe fn try_acquire_own(word: usize) -> Option<Self> {
        let object = std::ptr::with_exposed_provenance_mut(word);
        // SAFETY: as above.
        let taken = unsafe { counting::incref_own(object) };
        // SAFETY: the address of an object.
        taken.then(|| Self(unsafe { NonNull::new_unchecked(object) }))
    }

    /// What is not this thread's own has this reference in its shared count already, and with
    /// one there others may take more.
    #[cfg(Py_GIL_DISABLED)]
    #[inline]
    fn hand_over(&self) {
        if !super::identity::IS_CPYTHONS {
            return self.share();
        }
        // SAFETY: a live object by this reference, and the thread is attached by the invariant.
        unsafe { counting::move_to_shared(self.0.as_ptr()) };
    }

    #[inline]
    fn is_anothers(&self) -> bool {
        Self::is_anothers(self)
    }
}
