//! Single words that threads change.
//!
//! | file | what it holds |
//! |---|---|
//! | [`int`] | the checked 64-bit integer |
//! | [`flag`] | the boolean |
//! | [`float`] | the 64-bit floating-point number |
//! | [`reference`] | the shared reference |
//! | [`striped`] | counters that threads add to apart from one another |
//! | [`order`] | which memory orderings an operation may have |
//!
//! What is called wait-free here is one read-modify-write, or one load or store. That is
//! a bounded number of steps where the processor has an instruction for it, as x86-64 and
//! ARM from v8.1 on have. Where it makes one of a load and a store that fails if another write came
//! between (ARM before that, POWER), and a 32-bit processor even a store of 64 bits, it is
//! a loop: lock-free, for each failed round means that another thread wrote.

pub mod flag;
pub mod float;
pub mod int;
pub mod order;
pub mod reference;
pub mod striped;

pub use flag::Flag;
pub use float::Float64;
pub use int::{Int64, Overflow};
pub use reference::Reference;
pub use striped::Striped;
