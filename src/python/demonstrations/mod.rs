//! What the laboratory and the benchmark call, and no program needs.
//!
//! | file | what it holds |
//! |---|---|
//! | `lab` | class `_InterruptibleStack`, for the laboratory |
//! | `litmus` | the litmus tests' batches |
//! | `baseline` | the benchmark's loops without an interpreter |

pub(crate) mod baseline;
pub(crate) mod lab;
pub(crate) mod litmus;
