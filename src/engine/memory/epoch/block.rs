//! Memory that can wait until it is freed: a header, and whatever the owner puts
//! behind it, zeroed.
//!
//! The header has room for the list in which the block waits, so that retiring
//! allocates nothing, and cannot fail. Large blocks are pages of their own and go
//! back to the system when they are freed, whatever the allocator thinks of it.

use std::alloc::Layout;
use std::ptr::NonNull;

use super::super::super::shim::{AtomicUsize, Ordering::Relaxed};

/// What every block begins with.
#[derive(Debug)]
#[repr(C)]
pub struct Header {
    /// The next one that waits.
    pub(super) next: *mut Header,
    /// When it began to wait; 0 as long as nobody has said.
    pub(super) epoch: u64,
    layout: Layout,
    #[cfg(loom)]
    alive: super::super::super::shim::UnsafeCell<bool>,
}

impl Header {
    /// How many bytes it takes, itself included.
    #[inline]
    pub fn size(&self) -> usize {
        self.layout.size()
    }

    /// In the models: fails if the block was freed, or might be at this moment.
    ///
    /// # Panics
    /// So.
    #[inline(always)]
    #[allow(clippy::unused_self)] // which models use
    pub fn check(&self) {
        #[cfg(loom)]
        self.alive.with(|alive| {
            // SAFETY: loom has checked that nobody writes to it.
            assert!(unsafe { *alive }, "the block was freed");
        });
    }
}

/// A block: the address of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block(pub NonNull<Header>);

/// From here on a block is pages of its own.
#[cfg(all(unix, not(loom), not(miri)))]
const LARGE: usize = 1 << 16;

/// The bytes of all blocks that are not free, those that wait included.
#[cfg(not(loom))]
pub(super) static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

impl Block {
    /// A block of this layout: a header, and zeros behind it. `None` if the allocator
    /// refuses.
    ///
    /// # Panics
    /// If there is no room for a header.
    pub fn new(layout: Layout) -> Option<Self> {
        assert!(layout.size() >= size_of::<Header>() && layout.align() >= align_of::<Header>());
        let header = NonNull::new(allocate(layout))?.cast::<Header>();
        let first = Header {
            next: std::ptr::null_mut(),
            epoch: 0,
            layout,
            #[cfg(loom)]
            alive: super::super::super::shim::UnsafeCell::new(true),
        };
        // SAFETY: allocated just now, with room for it.
        unsafe { header.write(first) };
        count(|allocated| {
            allocated.fetch_add(layout.size(), Relaxed);
        });
        Some(Self(header))
    }

    /// The header.
    ///
    /// # Safety
    /// The block was not freed.
    #[inline]
    pub unsafe fn header(&self) -> &Header {
        // SAFETY: the caller's promise.
        unsafe { self.0.as_ref() }
    }

    /// Frees it.
    ///
    /// # Safety
    /// It was not freed, and nobody uses it any more.
    pub unsafe fn free(self) {
        // SAFETY: the caller's promise.
        let layout = unsafe { self.header() }.layout;
        count(|allocated| {
            allocated.fetch_sub(layout.size(), Relaxed);
        });
        // SAFETY: the caller's promise; allocated with this layout.
        unsafe { free(self.0, layout) };
    }
}

#[cfg(not(loom))]
fn count(change: impl FnOnce(&AtomicUsize)) {
    change(&ALLOCATED);
}

#[cfg(loom)]
fn count(_change: impl FnOnce(&AtomicUsize)) {
    let _ = Relaxed;
}

#[cfg(all(unix, not(loom), not(miri)))]
fn allocate(layout: Layout) -> *mut u8 {
    if layout.size() < LARGE {
        // SAFETY: not empty, it has a header.
        return unsafe { std::alloc::alloc_zeroed(layout) };
    }
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
    // SAFETY: new pages, wherever there is room.
    let pages = unsafe { libc::mmap(std::ptr::null_mut(), layout.size(), prot, flags, -1, 0) };
    if pages == libc::MAP_FAILED { std::ptr::null_mut() } else { pages.cast() }
}

#[cfg(not(all(unix, not(loom), not(miri))))]
fn allocate(layout: Layout) -> *mut u8 {
    // SAFETY: not empty, it has a header.
    unsafe { std::alloc::alloc_zeroed(layout) }
}

/// # Safety
/// `allocate` returned it for this layout, and nobody uses it any more.
#[cfg(all(unix, not(loom), not(miri)))]
unsafe fn free(block: NonNull<Header>, layout: Layout) {
    if layout.size() < LARGE {
        // SAFETY: the caller's promise.
        unsafe { std::alloc::dealloc(block.as_ptr().cast(), layout) };
    } else {
        // SAFETY: the caller's promise; that many pages were mapped there.
        unsafe { libc::munmap(block.as_ptr().cast(), layout.size()) };
    }
}

/// # Safety
/// As above.
#[cfg(not(any(unix, loom)))]
unsafe fn free(block: NonNull<Header>, layout: Layout) {
    // SAFETY: the caller's promise.
    unsafe { std::alloc::dealloc(block.as_ptr().cast(), layout) };
}

/// # Safety
/// As above.
#[cfg(all(unix, miri, not(loom)))]
unsafe fn free(block: NonNull<Header>, layout: Layout) {
    // SAFETY: the caller's promise.
    unsafe { std::alloc::dealloc(block.as_ptr().cast(), layout) };
}

/// In the models it stays where it is, so that who uses it nevertheless is found out.
///
/// # Safety
/// As above.
#[cfg(loom)]
unsafe fn free(block: NonNull<Header>, _layout: Layout) {
    // SAFETY: the caller's promise.
    let header = unsafe { block.as_ref() };
    header.alive.with_mut(|alive| {
        // SAFETY: loom has checked that nobody else is there.
        unsafe { *alive = false };
    });
}
