//! Counted values for the tests of what reads them without a lock: a few places
//! that are reused, as a memory allocator would, for one value after the other.

#[cfg(loom)]
use loom::thread::{self, ThreadId};
use std::ptr::NonNull;
use std::sync::Mutex;
#[cfg(not(loom))]
use std::thread::{self, ThreadId};

use lockfree::engine::{Counted, Pointer};
use lockfree::shim::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// Where a value is, or was, or will be.
#[derive(Default)]
struct Place {
    /// The allocator's: 1 while there is a value.
    is_taken: AtomicUsize,
    freed_by: Mutex<Option<ThreadId>>,
    /// [`ONE`] for each reference, and [`SHARED`].
    references: AtomicUsize,
    number: AtomicUsize,
    /// Whether all may take references from the beginning: that saves the models steps.
    is_born_shared: bool,
}

const SHARED: usize = 1;
const ONE: usize = 2;

/// So many places, which stay as long as this does.
pub(crate) struct Memory<const PLACES: usize>([Box<Place>; PLACES]);

impl<const PLACES: usize> Default for Memory<PLACES> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Box::new(Place { is_born_shared: true, ..Place::default() })))
    }
}

impl<const PLACES: usize> Memory<PLACES> {
    /// For values of which nobody can take references before they are shared.
    #[allow(dead_code)] // other tests use the rest
    pub(crate) fn of_unshared() -> Self {
        Self(std::array::from_fn(|_| Box::default()))
    }

    /// A value at the first place that is free.
    pub(crate) fn value(&self, number: usize) -> Value {
        let is_free =
            |place: &&Place| place.is_taken.compare_exchange(0, 1, Acquire, Relaxed).is_ok();
        let place = self.0.iter().map(|place| &**place).find(is_free).expect("a place is free");
        // As an allocator's, what is written here tells a reader who still looks nothing of what went before: it
        // is not released. That is for who gave up what was there (`pointer.rs`); from another thread on,
        // processors do it. (Not by a fence: that would order what the caller stores elsewhere, too.)
        let is_anothers = |by| by != thread::current().id();
        let was_anothers = place.freed_by.lock().unwrap().is_some_and(is_anothers);
        let order = if was_anothers { Release } else { Relaxed };
        place.references.store(if place.is_born_shared { ONE | SHARED } else { ONE }, order);
        place.number.store(0, order);
        place.number.store(number, order);
        Value(NonNull::from(place))
    }

    /// How many values there are.
    pub(crate) fn live(&self) -> usize {
        self.0.iter().filter(|place| place.references.load(Relaxed) > 0).count()
    }
}

/// A reference to a value: a number, never 0.
#[derive(Debug)]
pub(crate) struct Value(NonNull<Place>);

// SAFETY: a place is made of atomics.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Value {
    fn place(&self) -> &Place {
        // SAFETY: the tests keep the memory for longer than the values.
        unsafe { self.0.as_ref() }
    }

    /// The number.
    pub(crate) fn number(&self) -> usize {
        self.place().number.load(Relaxed)
    }

    /// The address.
    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr().expose_provenance()
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        self.place().references.fetch_add(ONE, Relaxed);
        Self(self.0)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        let references = &self.place().references;
        if references.fetch_sub(ONE, AcqRel) & !SHARED == ONE {
            references.store(0, Relaxed);
            *self.place().freed_by.lock().unwrap() = Some(thread::current().id());
            self.place().is_taken.store(0, Release);
        }
    }
}

// SAFETY: an address is not 0, and `from_raw` only takes it back.
unsafe impl Pointer for Value {
    fn into_raw(self) -> usize {
        let word = self.address();
        std::mem::forget(self);
        word
    }

    unsafe fn from_raw(word: usize) -> Self {
        let place = std::ptr::with_exposed_provenance_mut(word);
        Self(NonNull::new(place).expect("an address is not 0"))
    }

    unsafe fn peek<R>(word: usize, look: impl FnOnce(&Self) -> R) -> R {
        // SAFETY: the caller's promise.
        let value = unsafe { Self::from_raw(word) };
        look(&std::mem::ManuallyDrop::new(value))
    }
}

// SAFETY: a count of 0 is never raised, and a place is used anew at 0 only.
unsafe impl Counted for Value {
    fn share(&self) {
        if !self.place().is_born_shared {
            let references = self.place().references.fetch_or(SHARED, Relaxed);
            assert!(references >= ONE, "the dead are shared with nobody");
        }
    }

    unsafe fn try_acquire(word: usize) -> Option<Self> {
        // SAFETY: the tests keep the memory.
        let value = std::mem::ManuallyDrop::new(unsafe { Self::from_raw(word) });
        let one_more = |references: usize| {
            (references >= ONE && references & SHARED != 0).then_some(references + ONE)
        };
        // Relaxed: it need not synchronize with anything.
        let found = value.place().references.fetch_update(Relaxed, Relaxed, one_more);
        found.ok().map(|_| std::mem::ManuallyDrop::into_inner(value))
    }
}
