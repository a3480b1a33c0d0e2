//! What an operation removed for want of room or of time: to be reported, and
//! dropped, once no lock is held.
//!
//! Room for an item is made before it is removed: where there is none it stays.

use super::super::memory::arena::OutOfMemory;
use super::super::memory::growth::{put, room_for_one};

/// Why an item was removed without being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// To make room.
    Size,
    /// Its time was over.
    Expired,
}

/// An item that was removed.
#[derive(Debug)]
pub struct Evicted<T> {
    /// Its key.
    pub key: T,
    /// Its value.
    pub value: T,
    /// Why.
    pub reason: Reason,
}

/// Items that were removed. One of them costs no allocation.
#[derive(Debug)]
pub struct Removed<T> {
    first: Option<Evicted<T>>,
    more: Vec<Evicted<T>>,
}

impl<T> Default for Removed<T> {
    fn default() -> Self {
        Self { first: None, more: Vec::new() }
    }
}

impl<T> Removed<T> {
    /// Sees to it that one more can be added. The first one needs no memory.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    #[inline]
    pub(super) fn reserve(&mut self) -> Result<(), OutOfMemory> {
        if self.first.is_none() { Ok(()) } else { room_for_one(&mut self.more) }
    }

    /// Adds one, for which there is room.
    #[inline]
    pub(super) fn push(&mut self, evicted: Evicted<T>) {
        if self.first.is_none() {
            self.first = Some(evicted);
        } else {
            put(&mut self.more, evicted);
        }
    }

    /// All of them, in the order in which they went.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Evicted<T>> {
        self.first.into_iter().chain(self.more)
    }

    /// All of them, in the order in which they went.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Evicted<T>> {
        self.first.iter().chain(&self.more)
    }
}
