//! The seam to CPython: what no class may do for itself. Nothing here knows a class.
//!
//! | file | what it holds |
//! |---|---|
//! | `fastcall` | the raw method slots of the hot methods |
//! | `arguments` | the arguments of functions that PyO3 makes |
//! | `object` | objects as slots pass them |
//! | `convert` | arguments: Python objects to Rust values |
//! | `owned` | the element of every container |
//! | `pauses` | loops over any number of items let others run |
//! | `spare` | results of operations that have taken effect |
//! | `counting` | reference counts |
//! | `handover` | items on their way from one thread to another |
//! | `retention` | small ones among them, which die at home |
//! | `deferral` | when an object stops being reference counted |
//! | `member` | a field that the interpreter itself reads |
//! | `error` | every error, its text, and how it is raised |
//! | `docs` | docstrings, which are the stub's |
//! | `user` | calls into user code |
//! | `waiting` | the one loop in which a thread waits |
//! | `task` | a coroutine that waits |
//! | `door` | the way into an event loop from outside |
//! | `descriptor` | what event loops watch |
//! | `key` | keys, hashed and compared |
//! | `tuple_key` | the same of tuples that are not made |
//! | `glimpse` | keys that are compared without a reference |
//! | `lazy` | what is made by the first who needs it |
//! | `list` | lists of items, on their way in and out |
//! | `names` | the names of attributes, made at import |
//! | `epoch` | whether readers of an engine are ever alone |
//! | `weak` | weak references |
//! | `nesting` | containers nested in one another, freed without recursion |
//! | `isolated` | a value on cache lines of its own |
//! | `shared` | a value that several own |
//! | `identity` | which thread is running |
//! | `unsupported` | operators that a class does not have |
//! | `fork` | what a forked child must know |

pub(crate) mod arguments;
pub(crate) mod convert;
pub(crate) mod counting;
pub(crate) mod deferral;
pub(crate) mod descriptor;
pub(crate) mod docs;
pub(crate) mod door;
pub(crate) mod epoch;
pub(crate) mod error;
pub(crate) mod fastcall;
pub(crate) mod fork;
pub(crate) mod glimpse;
pub(crate) mod handover;
#[cfg(Py_GIL_DISABLED)]
pub(crate) mod identity;
pub(crate) mod isolated;
pub(crate) mod key;
pub(crate) mod lazy;
pub(crate) mod list;
pub(crate) mod member;
pub(crate) mod names;
pub(crate) mod nesting;
pub(crate) mod object;
pub(crate) mod owned;
pub(crate) mod pauses;
#[cfg(Py_GIL_DISABLED)]
pub(crate) mod retention;
pub(crate) mod shared;
pub(crate) mod spare;
pub(crate) mod task;
pub(crate) mod tuple_key;
pub(crate) mod unsupported;
pub(crate) mod user;
pub(crate) mod waiting;
pub(crate) mod weak;
