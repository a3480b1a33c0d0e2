//! Items on their way from one thread to another.

use super::object::Arg;
use super::owned::Owned;
use crate::shim::{AtomicBool, Ordering::Relaxed};

/// Whether the items of a container have been seen to go from thread to thread; once
/// they have, each goes in with a reference that is cheap to drop elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    seen: AtomicBool,
}

impl Handover {
    /// A reference to an item that goes in.
    #[inline]
    pub(crate) fn begin(&self, item: Arg<'_, '_>) -> Owned {
        #[cfg(Py_GIL_DISABLED)]
        if self.seen.load(Relaxed) {
            return without_gil::send(item);
        }
        Owned::new(item)
    }

    /// Looks at an item that came out.
    #[inline]
    pub(crate) fn end(&self, item: Owned) -> Owned {
        if !self.seen.load(Relaxed) && item.is_anothers() {
            self.seen.store(true, Relaxed);
        }
        item
    }
}

#[cfg(not(Py_GIL_DISABLED))]
#[allow(clippy::unnecessary_wraps)] // as without a GIL
pub(crate) fn prepare(_py: pyo3::Python<'_>) -> pyo3::PyResult<()> {
    Ok(())
}
#[cfg(Py_GIL_DISABLED)]
pub(crate) use without_gil::prepare;

#[cfg(Py_GIL_DISABLED)]
mod without_gil {
    use std::ffi::{c_int, c_ulong, c_void};
    use std::mem::MaybeUninit;
    use std::sync::OnceLock;

    use pyo3::ffi;
    use pyo3::prelude::*;
    use pyo3::types::{PyDict, PyTuple, PyType};

    use super::{Arg, Owned};
    use crate::python::boundary::object::borrowed;
    use crate::python::boundary::{counting, retention};
    use crate::shim::{AtomicPtr, Ordering::Relaxed};

    /// What an object holds beyond so many references is left as it is.
    const MOST_ITEMS: usize = 16;

    /// How classes that are written in Python show the collector what their instances hold; if
    /// these have their dict, once they have one, where [`dict_of`] looks for it.
    static TRAVERSE_INSTANCE: OnceLock<ffi::traverseproc> = OnceLock::new();

    /// Whether instances have a dict that is made when it is asked for
    /// (`Py_TPFLAGS_MANAGED_DICT`).
    const MANAGED_DICT: c_ulong = 1 << 4;

    /// Finds out what is CPython's own.
    pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
        let class = py.get_type::<PyType>().call1(("_", PyTuple::empty(py), PyDict::new(py)))?;
        let instance = class.call0()?;
        let probe = instance.as_borrowed();
        // SAFETY: a live instance, which is of a class as described.
        let (known, before) = unsafe { (has_managed_dict(probe), dict_of(probe)) };
        let dict = instance.getattr("__dict__")?;
        // SAFETY: as above.
        let after = unsafe { dict_of(probe) };
        // SAFETY: a live class.
        let traverse = unsafe { (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_traverse };
        if let Some(traverse) = traverse
            && known
            && before.is_null()
            && std::ptr::eq(after, dict.as_ptr())
        {
            TRAVERSE_INSTANCE.get_or_init(|| traverse);
        }
        Ok(())
    }

    /// # Safety
    /// A live object.
    unsafe fn has_managed_dict(item: Arg<'_, '_>) -> bool {
        // SAFETY: the caller's promise.
        unsafe { ffi::PyType_GetFlags(ffi::Py_TYPE(item.as_ptr())) & MANAGED_DICT != 0 }
    }

    /// The dict, or null as long as there is none.
    ///
    /// # Safety
    /// A live object that has such a dict.
    unsafe fn dict_of(item: Arg<'_, '_>) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise; it is in the word before the object.
        let dict = unsafe { item.as_ptr().cast::<AtomicPtr<ffi::PyObject>>().sub(1) };
        // SAFETY: as above.
        unsafe { &*dict }.load(Relaxed)
    }

    /// A reference that another thread is to drop. The same is done for what it drops
    /// with it: what a new item holds.
    #[inline]
    pub(super) fn send(item: Arg<'_, '_>) -> Owned {
        // SAFETY: a live object.
        let new = unsafe { counting::is_new(item.as_ptr()) };
        retention::retain(item);
        let (owned, first) = Owned::for_another(item);
        if first {
            share_contents(item, new);
        }
        owned
    }

    /// Moves the references that a new object holds into the shared counts of what they are to.
    #[inline]
    fn share_contents(item: Arg<'_, '_>, new: bool) {
        // SAFETY: a live object.
        let class = unsafe { ffi::Py_TYPE(item.as_ptr()) };
        let is = |other: *mut ffi::PyTypeObject| std::ptr::eq(class, other);
        if is(&raw mut ffi::PyTuple_Type) {
            share_items(item);
        } else if new && !is(&raw mut ffi::PyLong_Type) {
            share_instance(item);
        }
    }

    /// Of a tuple.
    fn share_items(tuple: Arg<'_, '_>) {
        // SAFETY: a live tuple.
        let len = unsafe { ffi::PyTuple_GET_SIZE(tuple.as_ptr()) };
        for i in 0..len.min(MOST_ITEMS.cast_signed()) {
            // SAFETY: it has so many.
            let item = unsafe { ffi::PyTuple_GET_ITEM(tuple.as_ptr(), i) };
            // SAFETY: a tuple's items live as long as it does.
            unsafe { counting::move_to_shared(item) };
        }
    }

    /// Of an instance of a class written in Python.
    ///
    /// CPython visits an object with the world stopped. Here nobody changes it meanwhile: who
    /// changes what such an object holds is in its critical section, or in that of its dict,
    /// if it has one by now.
    fn share_instance(item: Arg<'_, '_>) {
        // SAFETY: a live object and its class.
        let traverse = unsafe { (*ffi::Py_TYPE(item.as_ptr())).tp_traverse };
        let (Some(traverse), Some(instances)) = (traverse, TRAVERSE_INSTANCE.get()) else { return };
        if !std::ptr::fn_addr_eq(traverse, *instances) {
            return;
        }
        let mut left = MOST_ITEMS;
        let mut section = MaybeUninit::<ffi::PyCriticalSection>::uninit();
        // SAFETY: attached, and the object is alive.
        unsafe { ffi::PyCriticalSection_Begin(section.as_mut_ptr(), item.as_ptr()) };
        // SAFETY: a live object; a class of that kind.
        if !unsafe { has_managed_dict(item) && !dict_of(item).is_null() } {
            // SAFETY: an object of a class that has this function; only counts change.
            unsafe { traverse(item.as_ptr(), visit, (&raw mut left).cast::<c_void>()) };
        }
        // SAFETY: begun above.
        unsafe { ffi::PyCriticalSection_End(section.as_mut_ptr()) };
    }

    /// Moves one reference of those that an object holds; not 0 if it was the last one to be.
    unsafe extern "C" fn visit(object: *mut ffi::PyObject, left: *mut c_void) -> c_int {
        // SAFETY: as `share_instance` calls it.
        let left = unsafe { &mut *left.cast::<usize>() };
        // SAFETY: a live object. What other threads know already, or is a class, is left alone.
        if unsafe { counting::is_unshared(object) } {
            // SAFETY: the thread is attached.
            let py = unsafe { Python::assume_attached() };
            // SAFETY: as above.
            retention::retain(unsafe { borrowed(py, object) });
            // SAFETY: the object that is visited holds a reference.
            unsafe { counting::move_to_shared(object) };
        }
        *left -= 1;
        c_int::from(*left == 0)
    }
}
