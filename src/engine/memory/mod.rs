//! What containers are made of.
//!
//! | file | what it holds |
//! |---|---|
//! | [`arena`] | nodes addressed by number |
//! | [`growth`] | vectors that grow fallibly |
//! | [`pages`] | memory that the system may have back |
//! | [`tagged`] | an index and a version tag in one word |
//! | [`pointer`] | values that are addresses |
//! | [`epoch`] | when unlinked memory may be given back |
//! | [`reclaim`] | the stack's readers, and what they keep from being freed |
//! | [`slots`] | a number for each running thread |

pub mod arena;
pub mod epoch;
pub mod growth;
pub mod pages;
pub mod pointer;
pub mod reclaim;
pub mod slots;
pub mod tagged;

pub use arena::OutOfMemory;
pub use epoch::{Alone, Epochs, Reclaim};
pub use pointer::{Counted, Pointer};
pub use slots::{Slot, Slots};
