//! The algorithms. Nothing here knows Python: values are opaque.
//!
//! | file | what it holds |
//! |---|---|
//! | [`backoff`] | what a thread does after a lost race |
//! | [`int`] | the checked 64-bit integer |
//! | [`stack`] | the stack, of the three below |
//! | [`arena`] | nodes addressed by number |
//! | [`tagged`] | an index and a version tag in one word |
//! | [`reclaim`] | readers, and what they keep from being freed |

pub mod arena;
pub mod backoff;
pub mod int;
pub mod reclaim;
pub mod stack;
pub mod tagged;

pub use arena::OutOfMemory;
pub use backoff::Backoff;
pub use int::{Int64, Overflow};
pub use stack::Stack;
