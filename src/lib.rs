//! Atomics and lock-free containers, and the CPython extension around them.
//!
//! | module | what it is |
//! |---|---|
//! | [`shim`] | atomics, cells and spinning: std's, loom's under `--cfg loom`, or with a GIL none |
//! | [`engine`] | the algorithms, generic over `T: Send`; they know no Python |
//! | [`baseline`] | the engine driven by plain Rust threads: the benchmark's ceiling |
//! | [`litmus`] | programs that tell memory orderings apart, on plain Rust threads |
//! | `python` | one glue file per Python class (feature `python`) |
//!
//! Each engine file opens with its idea and source, its numbered invariants
//! (`I1`, `I2`, ...), a table of its memory orderings and the progress class of
//! its methods. Every `unsafe` block names the invariant it rests on.

// Where there is no memory an operation fails, and the process lives: see `engine::memory::growth`.
#![deny(clippy::disallowed_methods, clippy::disallowed_macros)]

#[cfg(not(target_has_atomic = "64"))]
compile_error!("lockfree needs 64-bit atomic instructions");

#[cfg(all(loom, not(feature = "loom")))]
compile_error!("the models, --cfg loom, need --features loom as well");

#[cfg(not(loom))]
#[allow(clippy::disallowed_methods, clippy::disallowed_macros)] // a program that measures
pub mod baseline;
pub mod engine;
#[cfg(not(loom))]
#[allow(clippy::disallowed_methods, clippy::disallowed_macros)] // a program that measures
pub mod litmus;
pub mod shim;

#[cfg(all(feature = "python", not(loom)))]
mod python;
