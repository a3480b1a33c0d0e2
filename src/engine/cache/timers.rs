//! Which items expire next.
//!
//! A heap of deadlines, each with the life that it was set for. A timer is not
//! removed with its item, nor when the item gets another deadline: whoever takes
//! it out finds that it is void. When one in four is, they are all sorted out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::entry::Life;

/// Void timers that are not worth sorting out.
const NEGLIGIBLE: usize = 64;

/// The deadlines of a shard, the soonest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(u64, Life)>>,
}

impl Timers {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Sets a timer. There are `len` items, each with one valid timer at most;
    /// `is_valid` tells whether a life has this deadline.
    pub(super) fn set(
        &mut self,
        deadline: u64,
        life: Life,
        len: usize,
        is_valid: impl Fn(u64, Life) -> bool,
    ) {
        let most = len + len / 3 + NEGLIGIBLE;
        if self.heap.len() > most {
            self.heap.retain(|&Reverse((deadline, life))| is_valid(deadline, life));
            self.heap.shrink_to(most);
        }
        self.heap.push(Reverse((deadline, life)));
    }

    /// Takes out a timer whose time has come.
    pub(super) fn take_due(&mut self, now: impl FnOnce() -> u64) -> Option<(u64, Life)> {
        let &Reverse((deadline, life)) = self.heap.peek()?;
        if deadline > now() {
            return None;
        }
        self.heap.pop();
        if self.heap.capacity() > 4 * self.heap.len() + NEGLIGIBLE {
            self.heap.shrink_to(2 * self.heap.len());
        }
        Some((deadline, life))
    }

    /// The bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.heap.capacity() * size_of::<Reverse<(u64, Life)>>()
    }

    pub(super) fn clear(&mut self) {
        self.heap = BinaryHeap::new();
    }
}
