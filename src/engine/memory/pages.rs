//! Memory that stays mapped, but whose pages the system may have back.

/// Tells the system that what is in this memory is not needed, as far as it is whole pages:
/// reading it yields what was there, or zeros. Where the system knows no such thing, it keeps
/// its pages.
///
/// # Safety
/// The memory is the caller's, and whatever becomes of it, old bytes or zeros, is fit for
/// those who may still read there. None of them writes, until they learn that this is done.
pub unsafe fn discard(address: *mut u8, len: usize) {
    #[cfg(all(unix, not(loom), not(miri)))]
    if let Some((first, len)) = whole_pages(address, len) {
        // SAFETY: whole pages, of which the caller's promise speaks; a refusal changes nothing.
        unsafe { libc::madvise(first.cast(), len, libc::MADV_DONTNEED) };
    }
    #[cfg(not(all(unix, not(loom), not(miri))))]
    let _ = (address, len);
}

/// The pages that lie in this memory as a whole.
#[cfg(all(unix, not(loom), not(miri)))]
fn whole_pages(address: *mut u8, len: usize) -> Option<(*mut u8, usize)> {
    // SAFETY: has no conditions.
    let size = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    let skipped = address.addr().checked_next_multiple_of(size)? - address.addr();
    let whole = len.checked_sub(skipped)? / size * size;
    (whole > 0).then(|| (address.wrapping_add(skipped), whole))
}
