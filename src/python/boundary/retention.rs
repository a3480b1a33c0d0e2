//! Small objects on their way to another thread: they die at home.
//!
//! # Idea
//! What a producer makes and a consumer drops is freed by the consumer, on whose thread the
//! last reference goes. That is what such a transfer costs most by: each piece of memory goes
//! back to its owner by an atomic instruction on a word that both threads want, and the owner
//! has to go and fetch it, while what it needs next lies in no cache of its own.
//!
//! So the thread that puts an object takes two references: one in the shared count, for the
//! consumer ([`counting`]), and one in its own local count, which it *retains*: the last
//! few in a ring of its own. When the ring has come round, the consumer has dropped its own
//! reference, most often, and the object dies where it was made, into free lists and pages
//! that are at hand. If it has not, it will free the object itself, as without this.
//!
//! # Invariants
//! - **T1** A ring is the affair of one thread state. It is changed by its thread,
//!   attached, or by who clears that state, when its thread is not attached and never
//!   will be with it. So nothing here is atomic but the number of rings.
//! - **T2** What is retained is a *leaf*: an exact `int` or `float`, an exact `str` or
//!   `bytes` of few bytes, or an exact tuple of a few of these and of what is immortal. None has a finalizer, a weak
//!   reference or part in a cycle; so nobody is told when it dies, the collector need not
//!   know who holds it, and dropping it runs no code of anybody's.
//! - **T3** A ring retains [`RING_BYTES`] at most, and there are [`RINGS`] at most: 64 kB in a
//!   process. A thread that comes too late retains nothing.
//! - **T4** A ring is in a capsule in the dict of the thread state, whose destructor releases
//!   what is in it: when the thread ends, and in a forked child for the threads it lacks.

use std::cell::Cell;
use std::ffi::CStr;

use pyo3::ffi;

use super::object::Arg;
use super::owned::Owned;
use super::{convert, counting};
use crate::engine::memory::growth::boxed;
use crate::shim::{AtomicUsize, Ordering::Relaxed};

/// How many objects a ring retains. A consumer that keeps up is not so far behind.
const SLOTS: usize = 64;
/// How many bytes they have together (T3).
const RING_BYTES: usize = 8 << 10;
/// How many rings there are at most (T3).
const RINGS: usize = 8;
/// An object is fetched from the consumer's cache so many puts before it is released.
const AHEAD: usize = 4;

/// Of a `str` or `bytes`.
const MOST_BYTES: ffi::Py_ssize_t = 64;
/// Of a tuple.
const MOST_ITEMS: ffi::Py_ssize_t = 4;

/// How many rings there are.
static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The ring of this thread's state (T1), or null.
    static RING: Cell<*mut Ring> = const { Cell::new(std::ptr::null_mut()) };
}

const NAME: &CStr = c"lockfree._retained";

#[derive(Debug)]
struct Ring {
    objects: [Option<Owned>; SLOTS],
    /// How many bytes each has.
    sizes: [u16; SLOTS],
    /// Where the next one goes.
    next: usize,
    len: usize,
    bytes: usize,
    /// Another thread has cleared the state that it belonged to.
    ended: bool,
}

impl Ring {
    const fn new() -> Self {
        let objects = [const { None }; SLOTS];
        Self { objects, sizes: [0; SLOTS], next: 0, len: 0, bytes: 0, ended: false }
    }

    #[inline]
    fn push(&mut self, object: Owned, size: u16) {
        while self.len == SLOTS || self.bytes + usize::from(size) > RING_BYTES {
            // T2: this runs nothing.
            drop(self.pop());
        }
        self.objects[self.next] = Some(object);
        self.sizes[self.next] = size;
        self.next = (self.next + 1) % SLOTS;
        self.len += 1;
        self.bytes += usize::from(size);
    }

    /// Takes out the oldest one. There is one.
    #[inline]
    fn pop(&mut self) -> Option<Owned> {
        let oldest = (self.next + SLOTS - self.len) % SLOTS;
        if let Some(soon) = &self.objects[(oldest + AHEAD) % SLOTS] {
            fetch(soon);
        }
        self.len -= 1;
        self.bytes -= usize::from(self.sizes[oldest]);
        self.objects[oldest].take()
    }
}

/// Retains an object that goes to another thread, if that may pay.
#[inline]
pub(super) fn retain(object: Arg<'_, '_>) {
    // SAFETY: a live object.
    if !unsafe { counting::is_own(object.as_ptr()) } {
        return;
    }
    let Some(size) = size_of_leaf(object) else { return };
    let ring = RING.get();
    // SAFETY: T1.
    let ended = ring.is_null() || unsafe { (*ring).ended };
    let ring = if ended { begin() } else { ring };
    if !ring.is_null() {
        // SAFETY: T1: this is its thread, attached, and nothing that runs here comes back.
        unsafe { &mut *ring }.push(Owned::new(object), size);
    }
}

/// How many bytes an object has, or a few more, if it is a leaf (T2).
#[inline]
fn size_of_leaf(object: Arg<'_, '_>) -> Option<u16> {
    size_of_atom(object).or_else(|| {
        // SAFETY: a live object; the check calls nothing.
        if unsafe { ffi::PyTuple_CheckExact(object.as_ptr()) } == 0 {
            return None;
        }
        // SAFETY: a live tuple.
        let len = unsafe { ffi::PyTuple_GET_SIZE(object.as_ptr()) };
        let items = (0..len.min(MOST_ITEMS + 1)).map(|i| {
            // SAFETY: it has so many.
            let item = unsafe { ffi::PyTuple_GET_ITEM(object.as_ptr(), i) };
            // SAFETY: alive as long as the tuple is.
            unsafe { Arg::from_ptr(object.py(), item) }
        });
        let sizes = items.map(|item| size_of_atom(item)).sum::<Option<u16>>()?;
        (len <= MOST_ITEMS).then_some(sizes + 96)
    })
}

/// The same of one that is no tuple.
#[inline]
fn size_of_atom(object: Arg<'_, '_>) -> Option<u16> {
    let address = object.as_ptr();
    // SAFETY: a live object.
    let class = unsafe { ffi::Py_TYPE(address) };
    let is = |other: *mut ffi::PyTypeObject| std::ptr::eq(class, other);
    if is(&raw mut ffi::PyLong_Type) {
        convert::plain_int64(object).map(|_| 64)
    } else if is(&raw mut ffi::PyFloat_Type) {
        Some(48)
    } else if is(&raw mut ffi::PyBytes_Type) {
        // SAFETY: live bytes.
        (unsafe { ffi::Py_SIZE(address) } <= MOST_BYTES).then_some(128)
    } else if is(&raw mut ffi::PyUnicode_Type) {
        // SAFETY: a live str.
        let len = unsafe { ffi::PyUnicode_GET_LENGTH(address) };
        // SAFETY: as above.
        let short = len <= MOST_BYTES && {
            // SAFETY: as above.
            let width = unsafe { ffi::PyUnicode_KIND(address) };
            len * ffi::Py_ssize_t::try_from(width).unwrap_or(4) <= MOST_BYTES
        };
        // With its UTF-8, which it may come to have beside.
        short.then_some(272)
    } else {
        // SAFETY: a live object.
        unsafe { counting::is_immortal(address) }.then_some(0)
    }
}

/// Begins to load an object into this processor's cache, in order to write to it.
#[inline]
fn fetch(object: &Owned) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: a hint; it needs nothing.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(object.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = object;
}

/// Makes this thread a ring; null if there are enough, or no memory.
#[cold]
fn begin() -> *mut Ring {
    let more = |count: usize| (count < RINGS).then_some(count + 1);
    if COUNT.fetch_update(Relaxed, Relaxed, more).is_err() {
        return std::ptr::null_mut();
    }
    let Ok(ring) = boxed(Ring::new()) else { return std::ptr::null_mut() };
    let ring = Box::into_raw(ring);
    // SAFETY: the thread is attached, as callers with an argument are; not null.
    let capsule = unsafe { ffi::PyCapsule_New(ring.cast(), NAME.as_ptr(), Some(end)) };
    if capsule.is_null() {
        // SAFETY: made above, and nobody has it.
        unsafe { free(ring) };
        return give_up();
    }
    // SAFETY: as above.
    let dict = unsafe { ffi::PyThreadState_GetDict() };
    // What a finalizer has begun meanwhile ends here.
    let kept = !dict.is_null() && {
        // SAFETY: a live dict, and a live capsule.
        unsafe { ffi::PyDict_SetItemString(dict, NAME.as_ptr(), capsule) == 0 }
    };
    if kept {
        RING.set(ring);
    }
    // SAFETY: the reference made above; where the dict has none, the ring ends.
    unsafe { ffi::Py_DECREF(capsule) };
    if kept { ring } else { give_up() }
}

/// Nothing is retained, and no exception left.
fn give_up() -> *mut Ring {
    // SAFETY: the thread is attached.
    unsafe { ffi::PyErr_Clear() };
    std::ptr::null_mut()
}

/// The destructor of a ring's capsule.
unsafe extern "C" fn end(capsule: *mut ffi::PyObject) {
    // SAFETY: it was made with that name and a ring.
    let ring = unsafe { ffi::PyCapsule_GetPointer(capsule, NAME.as_ptr()) }.cast::<Ring>();
    if RING.get() == ring {
        RING.set(std::ptr::null_mut());
        // SAFETY: T4: this is called once.
        unsafe { free(ring) };
        return;
    }
    // Its thread may come back with another state, and then looks here: this little is never
    // freed.
    // SAFETY: T1: nobody uses it now.
    let ring = unsafe { &mut *ring };
    while ring.len > 0 {
        drop(ring.pop());
    }
    ring.ended = true;
    COUNT.fetch_sub(1, Relaxed);
}

/// # Safety
/// Nobody uses the ring any more.
unsafe fn free(ring: *mut Ring) {
    // SAFETY: the caller's promise; it was made as a box.
    drop(unsafe { Box::from_raw(ring) });
    COUNT.fetch_sub(1, Relaxed);
}
