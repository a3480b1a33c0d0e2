//! Growth that can fail: nothing aborts the process for want of memory.
//!
//! A line that pushes into room that was made says so.

use super::arena::OutOfMemory;

/// An empty vector with room for `len` items.
///
/// # Errors
/// [`OutOfMemory`].
pub fn room<T>(len: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut items = Vec::new();
    items.try_reserve_exact(len).map_err(|_| OutOfMemory)?;
    Ok(items)
}

/// Sees to it that one more item can be pushed.
///
/// # Errors
/// [`OutOfMemory`]; the items are as they were.
#[inline]
pub fn room_for_one<T>(items: &mut Vec<T>) -> Result<(), OutOfMemory> {
    items.try_reserve(1).map_err(|_| OutOfMemory)
}
