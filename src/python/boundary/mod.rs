//! The seam to CPython: what no class may do for itself. Nothing here knows a class.
//!
//! | file | what it holds |
//! |---|---|
//! | `fastcall` | the raw method slots of the hot methods |
//! | `object` | objects as slots pass them |
//! | `convert` | arguments: Python objects to Rust values |
//! | `owned` | the element of every container |
//! | `counting` | reference counts |
//! | `deferral` | when an object stops being reference counted |
//! | `error` | every error, its text, and how it is raised |
//! | `user` | calls into user code |
//! | `waiting` | the one loop in which a thread waits |
//! | `key` | keys, hashed and compared |
//! | `list` | lists of items, on their way in and out |
//! | `epoch` | whether readers of an engine are ever alone |
//! | `nesting` | containers nested in one another, freed without recursion |
//! | `isolated` | a value on cache lines of its own |
//! | `identity` | which thread is running |
//! | `fork` | what a forked child must know |

pub(crate) mod convert;
pub(crate) mod counting;
pub(crate) mod deferral;
pub(crate) mod epoch;
pub(crate) mod error;
pub(crate) mod fastcall;
pub(crate) mod fork;
#[cfg(Py_GIL_DISABLED)]
pub(crate) mod identity;
pub(crate) mod isolated;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod nesting;
pub(crate) mod object;
pub(crate) mod owned;
pub(crate) mod user;
pub(crate) mod waiting;
