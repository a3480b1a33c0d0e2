//! A value with cache lines of its own inside a Python object.

use std::ops::Deref;

/// Words that fill a 64-byte cache line beside the value's own. With a GIL no
/// two threads run native code at once, and nothing is padded.
const PADDING: usize = if cfg!(Py_GIL_DISABLED) { 7 } else { 0 };

/// Keeps `value` off the cache lines of the object's header, which every call
/// reads, and of the object behind it: else a thread that writes the value
/// makes all others miss on the type check before their own operation.
/// An alignment cannot do that: Python's allocator gives 16 bytes.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Isolated<T> {
    before: [u64; PADDING],
    value: T,
    after: [u64; PADDING],
}

impl<T> Isolated<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { before: [0; PADDING], value, after: [0; PADDING] }
    }
}

impl<T> Deref for Isolated<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}
