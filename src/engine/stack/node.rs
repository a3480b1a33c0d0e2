//! What a stack is made of: a place for a value, and two numbers.

use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};

use super::super::memory::arena::{NIL, Zeroed};
use super::super::memory::pointer::{Counted, Pointer};
use super::super::shim::{
    AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed},
    UnsafeCell, fence, mutant, ordering,
};

/// Where the value of a node lies.
///
/// # Safety
/// Zeroed memory is one, and dropping it does nothing. Threads may share it, where they may send
/// and share a `T`, and keep these promises.
pub unsafe trait Place<T> {
    /// What zeroed memory is: loom's types need constructing.
    fn zeroed() -> Self;

    /// Writes a value.
    ///
    /// # Safety
    /// The caller holds the node (I1).
    unsafe fn put(&self, value: T);

    /// Moves the value out.
    ///
    /// # Safety
    /// The caller alone holds the node, and it has a value (I2).
    unsafe fn take(&self) -> T;

    /// Looks at the value.
    ///
    /// # Safety
    /// The node has a value (I2), and nobody moves it out meanwhile (I1 or I5).
    unsafe fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R;

    /// In the models: what becomes of it in memory that the system takes back.
    #[cfg(loom)]
    fn discard(&self);
}

/// A value of any type, in the node itself.
#[derive(Debug)]
pub struct InPlace<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: a `MaybeUninit` may hold anything, and has no drop glue.
unsafe impl<T> Place<T> for InPlace<T> {
    fn zeroed() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    #[inline]
    unsafe fn put(&self, value: T) {
        self.0.with_mut(|place| {
            // SAFETY: the caller's promise.
            let place = unsafe { &mut *place };
            place.write(value);
        });
    }

    #[inline]
    unsafe fn take(&self) -> T {
        self.0.with_mut(|place| {
            // SAFETY: the caller's promise.
            let place = unsafe { &*place };
            // SAFETY: as above; the next holder writes a new value before anyone reads.
            unsafe { place.assume_init_read() }
        })
    }

    #[inline]
    unsafe fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.0.with(|place| {
            // SAFETY: the caller's promise.
            let place = unsafe { &*place };
            // SAFETY: as above.
            look(unsafe { place.assume_init_ref() })
        })
    }

    #[cfg(loom)]
    fn discard(&self) {
        self.0.with_mut(|_| ());
    }
}

/// The address of a value. Whoever stands on the node without holding it may read it; it is
/// then perhaps that of an earlier value, or of a later one, or 0.
#[derive(Debug)]
pub struct Word<T>(AtomicUsize, PhantomData<T>);

// SAFETY: an atomic may be any number, and has no drop glue.
unsafe impl<T: Pointer> Place<T> for Word<T> {
    fn zeroed() -> Self {
        Self(AtomicUsize::new(0), PhantomData)
    }

    #[inline]
    unsafe fn put(&self, value: T) {
        // Release: whoever reads it knows of the removal that ended the node's life before.
        self.0.store(value.into_raw(), ordering!(Release, "stack.word.put"));
    }

    #[inline]
    unsafe fn take(&self) -> T {
        // SAFETY: the caller's promise: it was put there, and nobody else takes it.
        unsafe { T::from_raw(self.0.load(Relaxed)) }
    }

    #[inline]
    unsafe fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        // SAFETY: the caller's promise: it was put there and not taken.
        unsafe { T::peek(self.0.load(Relaxed), look) }
    }

    #[cfg(loom)]
    fn discard(&self) {
        self.0.store(0, Relaxed);
    }
}

impl<T: Counted> Word<T> {
    /// A reference to what the word means at this moment, if one can be taken.
    ///
    /// # Safety
    /// The caller has found the node on top of its stack, and nothing since that would allow
    /// the memory of a value to be given back.
    #[inline]
    pub(super) unsafe fn try_acquire(&self) -> Option<T> {
        // Acquire: the value was made. (No model can miss it: loom lets an attempt on the
        // count see the newest one.)
        let word = self.0.load(Acquire);
        // SAFETY: the caller's promise; a word that is not 0 was put there.
        let value = if word == 0 { None } else { unsafe { T::try_acquire(word) } };
        // Acquire: the look at the head that follows is no older than what was taken.
        if !mutant!("stack.peek.fence") {
            fence(Acquire);
        }
        value
    }
}

/// A node.
#[derive(Debug)]
pub(super) struct Node<T, P: Place<T>> {
    place: P,
    /// The node below, or the next free one.
    pub(super) next: AtomicU32,
    /// In the stack: how many nodes from here down. In limbo: the next there. In the list of
    /// free nodes: how long the run is that begins here, if [`RUN`] is set.
    pub(super) depth: AtomicU32,
    value: PhantomData<ManuallyDrop<T>>,
}

/// Above any depth and any index.
const RUN: u32 = 1 << 31;

// SAFETY: a place is zeroable by its promise, an atomic is any number; neither has drop glue.
unsafe impl<T, P: Place<T>> Zeroed for Node<T, P> {
    const FIRST_BITS: u32 = if cfg!(loom) { 1 } else { 4 };

    fn zeroed() -> Self {
        Self {
            place: P::zeroed(),
            next: AtomicU32::new(NIL),
            depth: AtomicU32::new(0),
            value: PhantomData,
        }
    }

    #[cfg(loom)]
    fn discard(&self) {
        self.place.discard();
        self.next.store(NIL, Relaxed);
        self.depth.store(0, Relaxed);
    }
}

impl<T, P: Place<T>> Node<T, P> {
    /// Sets the link. The caller holds the node (I1).
    #[inline]
    pub(super) fn set_link(&self, next: u32) {
        self.next.store(next, ordering!(Release, "stack.link.store"));
    }

    /// Sets the depth. The caller holds the node (I1).
    #[inline]
    pub(super) fn set_depth(&self, depth: u32) {
        self.depth.store(depth, ordering!(Release, "stack.depth.store"));
    }

    /// Notes that a run of so many nodes begins here (F5). The caller holds them.
    #[inline]
    pub(super) fn begin_run(&self, count: u32) {
        self.set_depth(RUN | count);
    }

    /// How long the run is that begins here, or 0. Not held, the node may tell anything that
    /// was true at some time.
    #[inline]
    pub(super) fn run(&self) -> u32 {
        let depth = self.depth.load(Relaxed);
        if depth & RUN == 0 { 0 } else { depth & !RUN }
    }

    /// Notes that no run begins here. The caller holds the node.
    #[inline]
    pub(super) fn end_run(&self) {
        if self.run() != 0 {
            self.set_depth(0);
        }
    }

    /// Writes a value. The caller holds the node (I1).
    #[inline]
    pub(super) fn put(&self, value: T) {
        // SAFETY: I1.
        unsafe { self.place.put(value) };
    }

    /// Moves the value out. The caller alone holds the node.
    #[inline]
    pub(super) fn take(&self) -> T {
        // SAFETY: I1 and I2.
        unsafe { self.place.take() }
    }

    /// Looks at the value. The caller holds the node or is a reader (I5).
    #[inline]
    pub(super) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        // SAFETY: I2; by I1 or I5 nobody moves it out meanwhile.
        unsafe { self.place.look(look) }
    }

    /// A copy of the value. The caller holds the node or is a reader (I5).
    #[inline]
    pub(super) fn copy(&self) -> T
    where
        T: Clone,
    {
        self.look(T::clone)
    }

    /// Where its value lies.
    pub(super) fn place(&self) -> &P {
        &self.place
    }
}

// SAFETY: nodes hand values from thread to thread, hence `T: Send`; two readers
// may clone one value at a time, hence `T: Sync`.
unsafe impl<T: Send + Sync, P: Place<T>> Sync for Node<T, P> {}

/// Linked nodes.
#[derive(Debug)]
pub(super) struct Chain<'a, T, P: Place<T>> {
    pub(super) first: u32,
    pub(super) last: &'a Node<T, P>,
    pub(super) count: u32,
    /// Whether each link but the last is known to lead to the neighbour.
    pub(super) is_straight: bool,
}

impl<'a, T, P: Place<T>> Chain<'a, T, P> {
    /// Of one node.
    #[inline]
    pub(super) fn of_one(first: u32, node: &'a Node<T, P>) -> Self {
        Self { first, last: node, count: 1, is_straight: true }
    }
}
