//! The algorithms. Nothing here knows Python: values are opaque.
//!
//! | file | what it holds |
//! |---|---|
//! | [`backoff`] | what a thread does after a lost race |
//! | [`pointer`] | values that are addresses |
//! | [`order`] | which memory orderings an operation may have |
//! | [`int`] | the checked 64-bit integer |
//! | [`flag`] | the boolean |
//! | [`float`] | the 64-bit floating-point number |
//! | [`reference`] | the shared reference |
//! | [`stack`] | the stack |
//! | [`queue`] | the queue, bounded or not |
//! | [`cache`] | the cache |
//! | [`event`] | sleeping until something may have changed |
//! | [`arena`] | nodes addressed by number |
//! | [`tagged`] | an index and a version tag in one word |
//! | [`reclaim`] | the stack's readers, and what they keep from being freed |
//! | [`segments`] | the queue's slots |
//! | [`slots`] | a number for each running thread |
//! | [`striped`] | counters that threads add to apart from one another |

pub mod arena;
pub mod backoff;
pub mod cache;
pub mod event;
pub mod flag;
pub mod float;
pub mod int;
pub mod order;
pub mod pointer;
pub mod queue;
pub mod reclaim;
pub mod reference;
pub mod segments;
pub mod slots;
pub mod stack;
pub mod striped;
pub mod tagged;

pub use arena::OutOfMemory;
pub use backoff::Backoff;
pub use cache::Cache;
pub use event::{Event, Notice, Waiter};
pub use flag::Flag;
pub use float::Float64;
pub use int::{Int64, Overflow};
pub use pointer::{Counted, Pointer};
pub use queue::{Queue, Refusal, TryGet};
pub use reference::Reference;
pub use slots::{Slot, Slots};
pub use stack::Stack;
pub use striped::Striped;
