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
