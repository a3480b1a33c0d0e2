//! The one place that decides whose atomics the engine uses: three faces of one
//! spelling, loom's, so that an algorithm is written once.
//!
//! | face | whose | where |
//! |---|---|---|
//! | [`threads`] | std's | threads run at the same time |
//! | `models` | loom's | `RUSTFLAGS="--cfg loom"`: every interleaving of a small model |
//! | [`attached`] | loads and stores | the extension of an interpreter with a GIL |
//!
//! A word that a thread without the interpreter may touch is declared with a type
//! of [`detached`], which is atomic in each face; so what a word is stands in its
//! declaration, and the compiler tells the two apart.
//!
//! A loom test that cannot fail proves nothing. [`mutant!`], [`ordering!`]
//! and [`weakened!`] plant faults that exist in loom builds only and are chosen at run time by
//! `LOCKFREE_MUTANT`; `tests/mutants` demands that the models fail on each.

#[cfg(loom)]
mod models;
#[cfg(not(loom))]
pub mod threads;

#[cfg(all(feature = "python", not(Py_GIL_DISABLED), not(loom)))]
pub mod attached;

#[cfg(all(feature = "python", not(Py_GIL_DISABLED), not(loom)))]
pub use attached::*;
#[cfg(loom)]
pub use models::*;
#[cfg(all(not(loom), any(not(feature = "python"), Py_GIL_DISABLED)))]
pub use threads::*;

/// Atomics for words that a thread without the interpreter may touch.
pub mod detached {
    #[cfg(loom)]
    pub use super::models::{AtomicBool, AtomicU64};
    #[cfg(not(loom))]
    pub use super::threads::{AtomicBool, AtomicU64};
}

/// `mutant!("name")`: true in a loom run that asks for this fault, else a
/// constant false.
macro_rules! mutant {
    ($name:literal) => {{
        #[cfg(loom)]
        let chosen = $crate::shim::is_planted($name);
        #[cfg(not(loom))]
        let chosen = false;
        chosen
    }};
}

/// `ordering!(Acquire, "name")`: the ordering, or `Relaxed` in a loom run that
/// asks for this fault.
macro_rules! ordering {
    ($ordering:ident, $name:literal) => {
        if $crate::shim::mutant!($name) {
            $crate::shim::Ordering::Relaxed
        } else {
            $crate::shim::Ordering::$ordering
        }
    };
}

/// `weakened!(order, "name")`: the ordering that a caller chose, or `Relaxed` in
/// a loom run that asks for this fault.
macro_rules! weakened {
    ($order:ident, $name:literal) => {
        if $crate::shim::mutant!($name) { $crate::shim::Ordering::Relaxed } else { $order }
    };
}

pub(crate) use {mutant, ordering, weakened};
