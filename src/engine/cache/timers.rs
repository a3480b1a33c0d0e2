//! Which items expire next.
//!
//! A heap of deadlines, each with the entry and the stamp that it was set for. A timer is
//! not removed with its item, nor when the item gets another deadline: whoever takes
//! it out finds that it is void. When one in four is, they are all sorted out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::super::memory::arena::OutOfMemory;
use super::super::memory::growth::shrink;
use super::entry::Stamp;

/// Void timers that are not worth sorting out.
const NEGLIGIBLE: usize = 64;

/// When an entry is to expire. It needs no era to be told from one of an earlier life: an
/// item that has this deadline is due then, whoever set the timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    pub(super) deadline: u64,
    pub(super) index: u32,
    /// Of the live state.
    pub(super) stamp: Stamp,
}

const _: () = assert!(size_of::<Timer>() == 16, "a timer takes a quarter of an entry");

/// The deadlines of a shard, the soonest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
}

impl Timers {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Sees to it that one more can be set. There are `len` items, each with one valid timer
    /// at most; `is_valid` tells which.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(super) fn reserve(
        &mut self,
        len: usize,
        is_valid: impl Fn(Timer) -> bool,
    ) -> Result<(), OutOfMemory> {
        let most = len + len / 3 + NEGLIGIBLE;
        if self.heap.len() > most {
            self.heap.retain(|&Reverse(timer)| is_valid(timer));
            self.shrink(most);
        }
        self.heap.try_reserve(1).map_err(|_| OutOfMemory)
    }

    /// Sets a timer, for which there is room.
    #[allow(clippy::disallowed_methods)] // into room that was made
    pub(super) fn set(&mut self, timer: Timer) {
        debug_assert!(self.heap.len() < self.heap.capacity(), "room was made");
        self.heap.push(Reverse(timer));
    }

    /// Takes out a timer whose time has come.
    pub(super) fn take_due(&mut self, now: impl FnOnce() -> u64) -> Option<Timer> {
        let &Reverse(timer) = self.heap.peek()?;
        if timer.deadline > now() {
            return None;
        }
        self.heap.pop();
        if self.heap.capacity() > 4 * self.heap.len() + NEGLIGIBLE {
            self.shrink(2 * self.heap.len());
        }
        Some(timer)
    }

    fn shrink(&mut self, capacity: usize) {
        let mut timers = std::mem::take(&mut self.heap).into_vec();
        shrink(&mut timers, capacity);
        self.heap = timers.into();
    }

    /// The bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.heap.capacity() * size_of::<Reverse<Timer>>()
    }

    pub(super) fn clear(&mut self) {
        self.heap = BinaryHeap::new();
    }
}
