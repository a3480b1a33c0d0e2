//! How memory is kept for those who read it, among attached threads.
//!
//! With a GIL one of them runs at a time, and none is stopped inside an engine, which
//! calls nothing: then readers need not announce themselves, and memory is freed at once.

#[cfg(Py_GIL_DISABLED)]
pub(crate) use crate::engine::Epochs as Attached;

#[cfg(not(Py_GIL_DISABLED))]
pub(crate) use crate::engine::Alone as Attached;
