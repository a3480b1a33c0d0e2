//! The algorithms. Nothing here knows Python: values are opaque.
//!
//! Paths lead from here and not from the crate's root: where there is a GIL the engine is
//! built twice: the baseline has it with the atomics of threads without an interpreter.
//!
//! | module | what it holds |
//! |---|---|
//! | [`atomics`] | single words that threads change: integer, flag, float, reference, striped counter |
//! | [`stack`] | the stack |
//! | [`queue`] | the queues: first in, first out; last in, first out; sorted |
//! | [`cache`] | the cache, and the dictionary that has its table |
//! | [`event`] | sleeping until something may have changed |
//! | [`memory`] | what containers are made of: nodes, words that name them, who may still be reading |
//! | [`backoff`] | what a thread does after a lost race |

use super::shim;

pub mod atomics;
pub mod backoff;
pub mod cache;
pub mod event;
pub mod memory;
pub mod queue;
pub mod stack;

pub use atomics::{Flag, Float64, Int64, Overflow, Reference, Striped};
pub use backoff::Backoff;
pub use cache::{Cache, Dictionary};
pub use event::{Event, Notice, Waiter};
pub use memory::{Alone, Counted, Epochs, OutOfMemory, Pointer, Reclaim, Slot, Slots};
pub use queue::guarded::{Guarded, Heap, Lifo, Ranked};
pub use queue::priority::{Number, Priority};
pub use queue::{Queue, Refusal, TryGet};
pub use stack::Stack;
