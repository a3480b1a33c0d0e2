//! The algorithms. Nothing here knows Python: values are opaque `T: Send`.

pub mod backoff;
pub mod int;

pub use backoff::Backoff;
pub use int::{Int64, Overflow};
