//! The pages on which a shard's entries lie, and how they come back.
//!
//! # Idea
//! Entries are known by numbers of 32 bits, so that a link takes half a pointer's room.
//! A *directory* says where the page of a number is. Pages double in size up to
//! [`PAGE_BITS`], so that a small cache has a small one. A page whose entries are all
//! free is unlinked from the directory and retired (see
//! [`epoch`](super::super::memory::epoch)): a reader who came by one of its numbers
//! before finds no page, or another one, on which no entry has the life that it knows
//! (E1).
//!
//! An eighth of the pages, and one at least, may be empty before one goes: a cache that
//! breathes keeps its memory.
//!
//! # Invariants
//! - **G1** The lock-holder alone writes to the directory, and keeps the books.
//! - **G2** The page of an entry that is not free is in the directory, as long as that is
//!   linked.
//! - **G3** Directories and pages are retired after they were unlinked; who has a view was
//!   inside a guard before, or holds the lock.

use std::alloc::Layout;
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::super::memory::arena::{NIL, OutOfMemory};
use super::super::memory::epoch::{Block, Header, Reclaim};
use super::super::shim::{AtomicPtr, Ordering::Relaxed, UnsafeCell, mutant, ordering};
use super::entry::Entry;
use super::policy::Policy;

/// Binary logarithm of the number of entries on the first page.
const FIRST_BITS: u32 = 1;

/// The same of the largest, a quarter of a mebibyte.
const PAGE_BITS: u32 = if cfg!(loom) { 2 } else { 12 };

/// How many pages are smaller.
const SMALLER: u32 = PAGE_BITS - FIRST_BITS;

/// Pages that the first directory has room for.
const FIRST_DIRECTORY: usize = 2;

/// Pages that there may be, so that all numbers have 30 bits.
const MOST_PAGES: usize = (1 << (30 - PAGE_BITS)) - 1;

/// Free entries are linked like those of tables of an even generation. Who passes through one
/// looks at its stamp afterwards, and starts again.
const FREE: u64 = 0;

/// No page.
const NONE: u32 = u32::MAX;

/// Of so many pages one may be empty, and so many in any case.
const KEPT_OF: u32 = 8;
const FEWEST_KEPT: u32 = if cfg!(loom) { 0 } else { 1 };

/// What the lock-holder notes of a page (G1).
#[derive(Debug)]
struct Book {
    number: u32,
    /// The first free entry, linked as [`FREE`] says.
    free: u32,
    /// From this one on, entries were never used.
    fresh: u32,
    /// How many are free, or were never used.
    unused: u32,
    /// The neighbours among the pages that have used and unused ones; the next empty page.
    newer: u32,
    older: u32,
}

/// What a page begins with; the entries follow.
#[derive(Debug)]
#[repr(C, align(64))]
struct PageHead {
    header: Header,
    book: UnsafeCell<Book>,
}

/// A page that is there as long as `'a` lasts (G3).
#[derive(Debug)]
struct Page<'a, P: Policy> {
    head: NonNull<PageHead>,
    _there: PhantomData<&'a Entry<P>>,
}

impl<P: Policy> Clone for Page<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Policy> Copy for Page<'_, P> {}

impl<'a, P: Policy> Page<'a, P> {
    /// # Safety
    /// Null, or the address of a page that is there as long as `'a` lasts.
    #[inline(always)]
    unsafe fn new(address: *mut Header) -> Option<Self> {
        let page = Self { head: NonNull::new(address)?.cast(), _there: PhantomData };
        // SAFETY: the caller's promise.
        unsafe { page.head.as_ref() }.header.check();
        Some(page)
    }

    /// Makes an empty page.
    fn allocate(number: u32) -> Option<Self> {
        let len = len(number);
        let size = size_of::<PageHead>() + len as usize * size_of::<Entry<P>>();
        let block = Block::new(Layout::from_size_align(size, align_of::<PageHead>()).ok()?)?;
        let page = Self { head: block.0.cast(), _there: PhantomData };
        let book = Book { number, free: NIL, fresh: 0, unused: len, newer: NONE, older: NONE };
        // SAFETY: a place in the new block.
        let place = unsafe { &raw mut (*page.head.as_ptr()).book };
        // SAFETY: as above.
        unsafe { place.write(UnsafeCell::new(book)) };
        #[cfg(loom)]
        for offset in 0..len {
            // SAFETY: a place in the new block.
            unsafe { page.place(offset).write(Entry::zeroed()) };
        }
        Some(page)
    }

    #[inline(always)]
    fn place(self, offset: u32) -> *mut Entry<P> {
        // SAFETY: the entries begin where the head ends, in the same block.
        let first = unsafe { self.head.add(1) }.cast::<Entry<P>>().as_ptr();
        // SAFETY: callers stay inside the page.
        unsafe { first.add(offset as usize) }
    }

    /// The entry at this place.
    ///
    /// # Safety
    /// It is inside the page.
    #[inline(always)]
    unsafe fn entry(self, offset: u32) -> &'a Entry<P> {
        // SAFETY: zeros are an entry, and the page is there.
        unsafe { &*self.place(offset) }
    }

    /// Looks into the book, and changes it. The caller holds the lock (G1).
    fn with_book<R>(self, change: impl FnOnce(&mut Book) -> R) -> R {
        // SAFETY: the page is there.
        let head = unsafe { self.head.as_ref() };
        head.book.with_mut(|book| {
            // SAFETY: G1.
            change(unsafe { &mut *book })
        })
    }

    fn block(self) -> Block {
        Block(self.head.cast())
    }

    fn size(self) -> usize {
        // SAFETY: the page is there.
        unsafe { self.head.as_ref() }.header.size()
    }
}

/// What a directory begins with; the pages' addresses follow.
#[derive(Debug)]
#[repr(C)]
struct DirectoryHead {
    header: Header,
    len: usize,
}

/// A directory, and with it all entries, as long as `'a` lasts (G3).
#[derive(Debug)]
pub(super) struct View<'a, P: Policy> {
    pages: &'a [AtomicPtr<Header>],
    _of: PhantomData<&'a Entry<P>>,
}

impl<P: Policy> Clone for View<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Policy> Copy for View<'_, P> {}

impl<'a, P: Policy> View<'a, P> {
    /// # Safety
    /// Null, or the address of a directory that is there as long as `'a` lasts.
    #[inline(always)]
    unsafe fn new(directory: *mut Header) -> Self {
        let Some(directory) = NonNull::new(directory) else {
            return Self { pages: &[], _of: PhantomData };
        };
        let head = directory.cast::<DirectoryHead>();
        // SAFETY: the caller's promise.
        let known = unsafe { head.as_ref() };
        known.header.check();
        // SAFETY: the addresses begin where the head ends, in the same block.
        let first = unsafe { head.add(1) }.cast::<AtomicPtr<Header>>();
        // SAFETY: there are so many, and they are there as long as the directory is.
        let pages = unsafe { std::slice::from_raw_parts(first.as_ptr(), known.len) };
        Self { pages, _of: PhantomData }
    }

    #[inline(always)]
    fn page(self, number: u32) -> Option<Page<'a, P>> {
        // Acquire: the zeroed entries.
        let order = ordering!(Acquire, "cache.page.load");
        let address = self.pages.get(number as usize)?.load(order);
        // SAFETY: G3.
        unsafe { Page::new(address) }
    }

    /// The entry of this number, which is not [`NIL`], if it has a page.
    #[inline(always)]
    pub(super) fn find(self, index: u32) -> Option<&'a Entry<P>> {
        let (number, offset) = place(index);
        let page = self.page(number)?;
        // SAFETY: `place` stays inside the page.
        Some(unsafe { page.entry(offset) })
    }

    /// All pages.
    fn all(self) -> impl Iterator<Item = Page<'a, P>> {
        (0..u32::try_from(self.pages.len()).unwrap_or(NONE)).filter_map(move |n| self.page(n))
    }
}

/// The entries of a shard, as readers find them.
#[derive(Debug)]
pub struct Entries<P: Policy> {
    directory: AtomicPtr<Header>,
    _are: PhantomData<Entry<P>>,
}

// SAFETY: the address of a directory, and entries may be shared.
unsafe impl<P: Policy> Send for Entries<P> {}
// SAFETY: as above.
unsafe impl<P: Policy> Sync for Entries<P> {}

impl<P: Policy> Entries<P> {
    pub(super) fn new() -> Self {
        Self { directory: AtomicPtr::new(std::ptr::null_mut()), _are: PhantomData }
    }

    /// What a reader sees who is inside that guard.
    #[inline(always)]
    pub(super) fn view<'a, G>(&self, _guard: &'a G) -> View<'a, P> {
        // Acquire: the pages that were there before.
        let directory = self.directory.load(ordering!(Acquire, "cache.directory.load"));
        // SAFETY: G3: it was linked when the guard was there.
        unsafe { View::new(directory) }
    }

    /// The same for the holder of the lock, or who is alone.
    #[inline(always)]
    pub(super) fn held(&self) -> View<'_, P> {
        // SAFETY: G1, G3: nobody unlinks it.
        unsafe { View::new(self.directory.load(Relaxed)) }
    }

    /// The entry of this number, which is not free, or has a page for another reason. The
    /// caller holds the lock.
    #[inline(always)]
    pub(super) fn entry(&self, index: u32) -> &Entry<P> {
        if cfg!(any(loom, debug_assertions)) {
            return self.held().find(index).expect("G2: the page is there");
        }
        let (number, offset) = place(index);
        let directory = self.directory.load(Relaxed).cast::<DirectoryHead>();
        // SAFETY: G1, G2: the directory is there.
        let first = unsafe { directory.add(1) }.cast::<AtomicPtr<Header>>();
        // SAFETY: G2: so many pages are in it, and one more.
        let slot = unsafe { first.add(number as usize) };
        // SAFETY: as above.
        let page = unsafe { &*slot }.load(Relaxed);
        // SAFETY: G2: the page is there.
        let head = unsafe { NonNull::new_unchecked(page) }.cast();
        // SAFETY: `place` stays inside the page.
        unsafe { Page::<P> { head, _there: PhantomData }.entry(offset) }
    }

    /// The next item's entry behind this number. The caller holds the lock, or is alone.
    pub(super) fn next_live(&self, after: u32) -> Option<(u32, &Entry<P>)> {
        let view = self.held();
        let (from, mut offset) = place(after + 1);
        for number in from..u32::try_from(view.pages.len()).unwrap_or(NONE) {
            let Some(page) = view.page(number) else { continue };
            let fresh = page.with_book(|book| book.fresh);
            for offset in std::mem::take(&mut offset)..fresh {
                // SAFETY: inside the page.
                let here = unsafe { page.entry(offset) };
                if here.stamp().is_live() {
                    return Some((first(number) + offset, here));
                }
            }
        }
        None
    }
}

/// What the holder of the lock knows of the pages.
#[derive(Debug)]
pub(super) struct Pages {
    /// The first of those that have used and unused entries.
    partial: u32,
    /// The first of those that have unused entries only.
    empty: u32,
    /// How many there are of these, and of all.
    empties: u32,
    count: u32,
    /// The entry that was freed last, if it was not used since: it is at hand.
    spare: u32,
    bytes: usize,
}

impl Default for Pages {
    fn default() -> Self {
        Self { partial: NONE, empty: NONE, empties: 0, count: 0, spare: NIL, bytes: 0 }
    }
}

impl Pages {
    /// The bytes of all pages and the directory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sees to it that there is an unused entry. It stays, unless another one is freed.
    pub(super) fn reserve<P: Policy, R: Reclaim>(
        &mut self,
        entries: &Entries<P>,
    ) -> Result<(), OutOfMemory> {
        if self.spare != NIL || self.partial != NONE || self.empty != NONE {
            return Ok(());
        }
        self.add_page::<P, R>(entries)
    }

    /// Takes an unused entry; there is one.
    #[inline]
    pub(super) fn take<'a, P: Policy>(&mut self, entries: &'a Entries<P>) -> (u32, &'a Entry<P>) {
        match std::mem::replace(&mut self.spare, NIL) {
            NIL => self.take_from_page(entries),
            index => (index, entries.entry(index)),
        }
    }

    fn take_from_page<'a, P: Policy>(&mut self, entries: &'a Entries<P>) -> (u32, &'a Entry<P>) {
        let view = entries.held();
        if self.partial == NONE {
            let (page, number) = self.take_empty(view);
            self.link(view, page, number);
        }
        let page = view.page(self.partial).expect("G1: a page with unused entries is there");
        let (index, is_full) = page.with_book(|book| {
            book.unused -= 1;
            let index = if book.free == NIL {
                book.fresh += 1;
                first(book.number) + book.fresh - 1
            } else {
                let index = book.free;
                // SAFETY: an entry of this page.
                book.free = unsafe { page.entry(place(index).1) }.next(FREE);
                index
            };
            (index, book.unused == 0)
        });
        if is_full {
            self.unlink(view, page);
        }
        // SAFETY: an entry of this page.
        (index, unsafe { page.entry(place(index).1) })
    }

    /// Frees an entry.
    #[inline]
    pub(super) fn give_back<P: Policy, R: Reclaim>(&mut self, entries: &Entries<P>, index: u32) {
        let before = std::mem::replace(&mut self.spare, index);
        if before != NIL {
            self.give_to_page::<P, R>(entries, before);
        }
    }

    fn give_to_page<P: Policy, R: Reclaim>(&mut self, entries: &Entries<P>, index: u32) {
        let view = entries.held();
        let (number, offset) = place(index);
        let page = view.page(number).expect("G2: the page is there");
        // SAFETY: an entry of this page.
        let freed = unsafe { page.entry(offset) };
        let unused = page.with_book(|book| {
            freed.set_next(FREE, book.free);
            book.free = index;
            book.unused += 1;
            book.unused
        });
        if unused == 1 {
            self.link(view, page, number);
        }
        if unused == len(number) {
            self.unlink(view, page);
            self.add_empty(page, number);
            while self.empties > FEWEST_KEPT && self.empties > self.count / KEPT_OF {
                self.release::<P, R>(view);
            }
        }
    }

    fn add_empty<P: Policy>(&mut self, page: Page<'_, P>, number: u32) {
        page.with_book(|book| book.older = std::mem::replace(&mut self.empty, number));
        self.empties += 1;
    }

    fn take_empty<'a, P: Policy>(&mut self, view: View<'a, P>) -> (Page<'a, P>, u32) {
        let number = self.empty;
        let page = view.page(number).expect("G1: an empty page is there");
        self.empty = page.with_book(|book| book.older);
        self.empties -= 1;
        (page, number)
    }

    /// Makes a page one of those that have used and unused entries.
    fn link<P: Policy>(&mut self, view: View<'_, P>, page: Page<'_, P>, number: u32) {
        let older = std::mem::replace(&mut self.partial, number);
        page.with_book(|book| (book.older, book.newer) = (older, NONE));
        if let Some(older) = view.page(older) {
            older.with_book(|book| book.newer = number);
        }
    }

    /// Makes it none of them.
    fn unlink<P: Policy>(&mut self, view: View<'_, P>, page: Page<'_, P>) {
        let (newer, older) = page.with_book(|book| (book.newer, book.older));
        match view.page(newer) {
            Some(newer) => newer.with_book(|book| book.older = older),
            None => self.partial = older,
        }
        if let Some(older) = view.page(older) {
            older.with_book(|book| book.newer = newer);
        }
    }

    /// Gives an empty page back.
    fn release<P: Policy, R: Reclaim>(&mut self, view: View<'_, P>) {
        let (page, number) = self.take_empty(view);
        self.count -= 1;
        self.bytes -= page.size();
        if mutant!("cache.page.linked") {
            // SAFETY: none, that is the fault.
            return unsafe { R::retire(page.block()) };
        }
        // Relaxed: the epoch does the rest.
        view.pages[number as usize].store(std::ptr::null_mut(), Relaxed);
        // SAFETY: G3: unlinked just now.
        unsafe { R::retire(page.block()) };
    }

    /// Adds a page.
    #[cold]
    fn add_page<P: Policy, R: Reclaim>(&mut self, entries: &Entries<P>) -> Result<(), OutOfMemory> {
        let pages = entries.held().pages;
        let free = pages.iter().position(|page| page.load(Relaxed).is_null());
        let number = free.unwrap_or(pages.len());
        if number == pages.len() {
            self.grow_directory::<P, R>(entries)?;
        }
        let view = entries.held();
        let slot = &view.pages[number];
        let number = u32::try_from(number).expect("fewer than `MOST_PAGES`");
        let page = Page::<P>::allocate(number).ok_or(OutOfMemory)?;
        // Release: the zeroed entries.
        slot.store(page.block().0.as_ptr(), ordering!(Release, "cache.page.store"));
        self.bytes += page.size();
        self.count += 1;
        self.add_empty(page, number);
        Ok(())
    }

    /// Makes a directory of twice the size.
    fn grow_directory<P: Policy, R: Reclaim>(
        &mut self,
        entries: &Entries<P>,
    ) -> Result<(), OutOfMemory> {
        let before = entries.held().pages;
        let len = (before.len() * 2).clamp(FIRST_DIRECTORY, MOST_PAGES);
        if len <= before.len() {
            return Err(OutOfMemory);
        }
        let size = size_of::<DirectoryHead>() + len * size_of::<AtomicPtr<Header>>();
        let layout = Layout::from_size_align(size, align_of::<DirectoryHead>());
        let block = layout.ok().and_then(Block::new).ok_or(OutOfMemory)?;
        let head = block.0.cast::<DirectoryHead>();
        // SAFETY: a place in the new block.
        let place = unsafe { &raw mut (*head.as_ptr()).len };
        // SAFETY: as above.
        unsafe { place.write(len) };
        // SAFETY: the addresses begin where the head ends.
        let first = unsafe { head.add(1) }.cast::<AtomicPtr<Header>>();
        for number in 0..len {
            let page = before.get(number).map_or(std::ptr::null_mut(), |page| page.load(Relaxed));
            // SAFETY: the block has room for so many.
            let place = unsafe { first.add(number) };
            // SAFETY: as above.
            unsafe { place.write(AtomicPtr::new(page)) };
        }
        let old = entries.directory.load(Relaxed);
        // Release: the pages' addresses.
        entries.directory.store(block.0.as_ptr(), ordering!(Release, "cache.directory.store"));
        self.bytes += size;
        if let Some(old) = NonNull::new(old) {
            // SAFETY: it is a directory, and nobody else retires it.
            self.bytes -= unsafe { old.as_ref() }.size();
            // SAFETY: G3: unlinked just now.
            unsafe { R::retire(Block(old)) };
        }
        Ok(())
    }

    /// Unlinks all pages at once.
    pub(super) fn take_all<P: Policy>(&mut self, entries: &Entries<P>) -> Detached<P> {
        *self = Self::default();
        let directory = entries.directory.load(Relaxed);
        // Relaxed: the epoch does the rest.
        entries.directory.store(std::ptr::null_mut(), Relaxed);
        Detached { directory, number: 0, offset: 0, _of: PhantomData }
    }
}

/// Pages that were a shard's: whoever has this is the only one who will free them. Late
/// readers may still look at their entries, and it is for the owner to end the lives there.
#[derive(Debug)]
pub(super) struct Detached<P: Policy> {
    directory: *mut Header,
    /// The entry to look at next.
    number: u32,
    offset: u32,
    _of: PhantomData<Entry<P>>,
}

impl<P: Policy> Detached<P> {
    /// Calls `end` with some more entries that were used; false if there are no more.
    /// Pages that were seen to the end are retired.
    pub(super) fn next<R: Reclaim>(&mut self, most: usize, mut end: impl FnMut(&Entry<P>)) -> bool {
        // SAFETY: it is ours, and was not retired yet.
        let view: View<'_, P> = unsafe { View::new(self.directory) };
        let mut left = most;
        while (self.number as usize) < view.pages.len() {
            let Some(page) = view.page(self.number) else {
                self.number += 1;
                continue;
            };
            let fresh = page.with_book(|book| book.fresh);
            while self.offset < fresh {
                if left == 0 {
                    return true;
                }
                // SAFETY: inside the page.
                end(unsafe { page.entry(self.offset) });
                self.offset += 1;
                left -= 1;
            }
            view.pages[self.number as usize].store(std::ptr::null_mut(), Relaxed);
            // SAFETY: the directory was unlinked, and the page with it.
            unsafe { R::retire(page.block()) };
            (self.number, self.offset) = (self.number + 1, 0);
        }
        if let Some(directory) = NonNull::new(self.directory) {
            self.directory = std::ptr::null_mut();
            // SAFETY: it was unlinked, and this is done once.
            unsafe { R::retire(Block(directory)) };
        }
        false
    }
}

impl<P: Policy> Drop for Entries<P> {
    fn drop(&mut self) {
        let view = self.held();
        for page in view.all() {
            // SAFETY: this is the end of the shard.
            unsafe { page.block().free() };
        }
        if let Some(directory) = NonNull::new(self.directory.load(Relaxed)) {
            // SAFETY: as above.
            unsafe { Block(directory).free() };
        }
    }
}

/// The page of an index, and the place there.
#[inline(always)]
fn place(index: u32) -> (u32, u32) {
    let shifted = index - 1 + (1 << FIRST_BITS);
    // (Its lowest bit does not matter, but that it is not 0.)
    let log = (shifted | 1).ilog2();
    if log < PAGE_BITS {
        (log - FIRST_BITS, shifted - (1 << log))
    } else {
        (SMALLER + (shifted >> PAGE_BITS) - 1, shifted & ((1 << PAGE_BITS) - 1))
    }
}

/// The first index of a page.
fn first(number: u32) -> u32 {
    let shifted = match number.checked_sub(SMALLER) {
        None => 1 << (FIRST_BITS + number),
        Some(number) => (number + 1) << PAGE_BITS,
    };
    shifted - (1 << FIRST_BITS) + 1
}

/// How many entries a page has.
fn len(number: u32) -> u32 {
    1 << (FIRST_BITS + number).min(PAGE_BITS)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn indices_are_dense() {
        let mut next = NIL + 1;
        for number in 0..SMALLER + 3 {
            assert_eq!(first(number), next);
            for offset in 0..len(number) {
                assert_eq!(place(next), (number, offset));
                next += 1;
            }
        }
        let last = u32::try_from(MOST_PAGES).unwrap() - 1;
        assert!(first(last) + len(last) <= 1 << 30);
    }
}
