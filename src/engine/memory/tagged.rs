//! An index and a version tag in one word.
//!
//! # Idea and source
//! The tagged pointer of IBM's System/370 (Principles of Operation, 1983) and
//! R. K. Treiber, "Systems Programming: Coping with Parallelism", 1986. A
//! compare-and-swap on a bare index cannot tell a node from the same node
//! removed and put back (the ABA problem); each removal changes the tag, so the
//! stale compare-and-swap fails.
//!
//! # What bounds the wrap
//! The tag has 34 bits. A stale word matches again only if, between one
//! thread's load and its compare-and-swap a few instructions later, the others
//! make exactly a multiple of 2^34 removals and leave the same index on top. At
//! 10 ns a removal that is a pause of at least 170 s of one thread, with all
//! others at full speed. With a GIL it cannot happen at all: no other thread
//! runs in between. Without one, a thread paused there is attached to the
//! interpreter, and the first garbage collection of the others waits for it. That is
//! no bound where none comes: ints and strings set none off, and the collector may be
//! turned off. Then the bound is that time, and the exact multiple: a thread that the
//! system keeps from running for minutes, in one place of a few instructions, while the
//! others pop without a pause, and that wakes up after just one of 2^34 removals.

use super::super::shim::mutant;
use super::arena::INDEX_BITS;

/// Loom wraps the tag within a model's few operations.
const TAG_BITS: u32 = if cfg!(loom) { 2 } else { 64 - INDEX_BITS };
const TAG_MASK: u64 = u64::MAX >> (64 - TAG_BITS);
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// The word: the tag above, the index below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagged(pub u64);

impl Tagged {
    /// The index.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // masked
    pub fn index(self) -> u32 {
        (self.0 & INDEX_MASK) as u32
    }

    /// Another index in place of this one, which stays linked behind it.
    #[inline]
    #[must_use]
    pub fn pushed(self, index: u32) -> Self {
        Self((self.0 & !INDEX_MASK) | u64::from(index))
    }

    /// Another index in place of this one, which is removed: the tag changes.
    #[inline]
    #[must_use]
    pub fn popped(self, index: u32) -> Self {
        let step = u64::from(!mutant!("stack.tag"));
        let tag = (self.0 >> INDEX_BITS).wrapping_add(step) & TAG_MASK;
        Self(tag << INDEX_BITS | u64::from(index))
    }

    /// Whether the tag is a multiple of a power of two: one of so many removals finds it so.
    #[inline]
    pub fn is_round(self, power: u64) -> bool {
        self.0 & ((power - 1) << INDEX_BITS) == 0
    }
}
