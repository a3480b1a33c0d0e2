//! One file per class.
//!
//! | file | what it holds |
//! |---|---|
//! | [`atomic`] | the atomics, and what they have in common |
//! | `striped_counter` | class `StripedCounter` |
//! | `stack` | class `Stack` |
//! | `queue` | class `Queue` |
//! | `queue_engine` | what is below it and its kin |
//! | `lifo_queue` | class `LifoQueue` |
//! | `priority_queue` | class `PriorityQueue` |
//! | `cache` | class `Cache` |
//! | `concurrent_dict` | class `ConcurrentDict` |
//! | `keyed_counter` | class `KeyedCounter` |
//! | `snapshot` | class `_Snapshot`, which iterates over what was in a container |
//! | `flights` | a mapping's loads that are under way |
//! | `ticket` | class `_Ticket`, which tells whether a key was written while it was loaded |
//! | `once` | class `_OnceFunction`, of the decorator `once` |
//! | `cached` | class `_CachedFunction`, of the decorator `cached` |
//! | `wrapper` | what those two have in common |
//! | `defer_refcount` | function `defer_refcount` |

pub(crate) mod atomic;
pub(crate) mod cache;
pub(crate) mod cached;
pub(crate) mod concurrent_dict;
pub(crate) mod defer_refcount;
mod flights;
pub(crate) mod keyed_counter;
pub(crate) mod lifo_queue;
pub(crate) mod once;
pub(crate) mod priority_queue;
pub(crate) mod queue;
pub(crate) mod queue_engine;
pub(crate) mod snapshot;
pub(crate) mod stack;
pub(crate) mod striped_counter;
pub(crate) mod ticket;
mod wrapper;
