//! Which memory orderings an operation may have.
//!
//! The rules are those of C++20 and Rust: a load cannot release, a store cannot
//! acquire, and a compare-and-swap that fails has only read. A fence at `Relaxed`,
//! which orders nothing, is allowed by C++ only.

use super::super::shim::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

/// What a load may have.
pub const LOADS: [Ordering; 3] = [Relaxed, Acquire, SeqCst];

/// What a store may have.
pub const STORES: [Ordering; 3] = [Relaxed, Release, SeqCst];

/// What a fence may have.
pub const FENCES: [Ordering; 4] = [Acquire, Release, AcqRel, SeqCst];

/// The part of an ordering that concerns reading.
#[inline(always)]
pub const fn reading(order: Ordering) -> Ordering {
    match order {
        Acquire | AcqRel => Acquire,
        SeqCst => SeqCst,
        _ => Relaxed,
    }
}
