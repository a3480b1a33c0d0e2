//! The algorithms. Nothing here knows Python: values are opaque.
//!
//! | module | what it holds |
//! |---|---|
//! | [`atomics`] | single words that threads change: integer, flag, float, reference, striped counter |
//! | [`stack`] | the stack |
//! | [`queue`] | the queue, bounded or not |
//! | [`cache`] | the cache |
//! | [`event`] | sleeping until something may have changed |
//! | [`memory`] | what containers are made of: nodes, words that name them, who may still be reading |
//! | [`backoff`] | what a thread does after a lost race |

pub mod atomics;
pub mod backoff;
pub mod cache;
pub mod event;
pub mod memory;
pub mod queue;
pub mod stack;

pub use atomics::{Flag, Float64, Int64, Overflow, Reference, Striped};
pub use backoff::Backoff;
pub use cache::Cache;
pub use event::{Event, Notice, Waiter};
pub use memory::{Alone, Counted, Epochs, OutOfMemory, Pointer, Reclaim, Slot, Slots};
pub use queue::{Queue, Refusal, TryGet};
pub use stack::Stack;
