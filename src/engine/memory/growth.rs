//! Growth that can fail: nothing aborts the process for want of memory.
//!
//! The standard library's `Vec::push`, `Box::new`, `format!` and their like abort where there is
//! none; so clippy refuses them (`clippy.toml`), and what is here is in their place. A line that
//! puts into room that was made says where.

#![allow(clippy::disallowed_methods)] // the only place: each into room that was made before

use std::alloc::{Layout, alloc, realloc};
use std::fmt;
use std::mem::ManuallyDrop;

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

/// A vector with `item` so often.
///
/// # Errors
/// [`OutOfMemory`].
pub fn filled<T: Copy>(item: T, len: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut items = room(len)?;
    items.resize(len, item);
    Ok(items)
}

/// Sees to it that one more item can be put.
///
/// # Errors
/// [`OutOfMemory`]; the items are as they were.
#[inline]
pub fn room_for_one<T>(items: &mut Vec<T>) -> Result<(), OutOfMemory> {
    items.try_reserve(1).map_err(|_| OutOfMemory)
}

/// Puts an item behind the others, into room that was made.
#[inline]
pub fn put<T>(items: &mut Vec<T>, item: T) {
    debug_assert!(items.len() < items.capacity(), "room was made");
    items.push(item);
}

/// Gives memory back: there is room for `capacity` items then, or for all that there are. If the
/// allocator refuses, it stays as it is. (A copy would leave the allocator with the old memory,
/// in parts that it does not give back.)
pub fn shrink<T>(items: &mut Vec<T>, capacity: usize) {
    let (capacity, before) = (capacity.max(items.len()), items.capacity());
    if capacity == 0 {
        *items = Vec::new();
        return;
    }
    let layouts = (Layout::array::<T>(before), Layout::array::<T>(capacity));
    let (Ok(old), Ok(new)) = layouts else { return };
    if new.size() >= old.size() {
        return;
    }
    let mut all = ManuallyDrop::new(std::mem::take(items));
    // SAFETY: a vector's memory is allocated like that, and the new size is not 0: who has items
    // of size 0 has as much room as there can be, and came to the end above.
    let fewer = unsafe { realloc(all.as_mut_ptr().cast(), old, new.size()) }.cast::<T>();
    let (memory, capacity) =
        if fewer.is_null() { (all.as_mut_ptr(), before) } else { (fewer, capacity) };
    // SAFETY: allocated for so many, of which so many are there; if it was refused, the memory is
    // what it was.
    *items = unsafe { Vec::from_raw_parts(memory, all.len(), capacity) };
}

/// Fewer bytes than that are not worth to be given back.
pub const WORTH: usize = 1 << 16;

/// Whether three quarters of the room are not needed any more, and are worth to be given back.
#[inline]
pub fn is_generous<T>(len: usize, capacity: usize) -> bool {
    capacity * size_of::<T>() > WORTH && len <= capacity / 4
}

/// Gives back half of the room or more, so that it may grow as much again before it needs memory.
#[cold]
#[inline(never)]
pub fn trim<T>(items: &mut Vec<T>) {
    shrink(items, 2 * items.len());
}

/// The items of an iterator.
///
/// # Errors
/// [`OutOfMemory`]; those that were taken are dropped.
pub fn collected<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>, OutOfMemory> {
    let items = items.into_iter();
    let mut collected = room(items.size_hint().0)?;
    for item in items {
        room_for_one(&mut collected)?;
        put(&mut collected, item);
    }
    Ok(collected)
}

/// The same, as long as it will be for ever.
///
/// # Errors
/// As for [`collected`].
pub fn boxed_slice<T>(
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
) -> Result<Box<[T]>, OutOfMemory> {
    // There is nothing to cut off, which might be a new allocation.
    collected(items).map(Vec::into_boxed_slice)
}

/// A value in a box.
///
/// # Errors
/// [`OutOfMemory`]; the value is dropped.
pub fn boxed<T>(value: T) -> Result<Box<T>, OutOfMemory> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        return Ok(Box::new(value)); // no memory
    }
    // SAFETY: the size is not 0.
    let memory = unsafe { alloc(layout) }.cast::<T>();
    if memory.is_null() {
        return Err(OutOfMemory);
    }
    // SAFETY: allocated for it.
    unsafe { memory.write(value) };
    // SAFETY: allocated as a box is, and the value is there.
    Ok(unsafe { Box::from_raw(memory) })
}

/// A text.
///
/// # Errors
/// [`OutOfMemory`], also if a part of it cannot be shown.
pub fn text(words: fmt::Arguments<'_>) -> Result<String, OutOfMemory> {
    struct Text(String);

    impl fmt::Write for Text {
        fn write_str(&mut self, more: &str) -> fmt::Result {
            self.0.try_reserve(more.len()).map_err(|_| fmt::Error)?;
            self.0.push_str(more);
            Ok(())
        }
    }

    let mut text = Text(String::new());
    fmt::write(&mut text, words).map_err(|_| OutOfMemory)?;
    Ok(text.0)
}
