//! Values that are addresses, and so fit in an atomic word.
//!
//! # Reading a word that others replace
//! Between the load of an address and the taking of a reference another thread
//! may replace the word and drop the last reference. Hazard pointers, epochs and
//! reader counts keep the value alive meanwhile; each costs a reader a write and
//! a fence. Where a *dead* value's reference count can still be read, there is a
//! cheaper way: try to take a reference, which a dead value refuses, and look
//! whether the word is still the same. That is how free-threaded CPython reads
//! the items of its own dicts and lists ("optimistically avoiding locking", PEP
//! 703). [`Counted`] is what a value must provide for it.

/// A value that is an address.
///
/// # Safety
/// `into_raw` never returns 0, and `from_raw` is its inverse.
pub unsafe trait Pointer: Send {
    /// Gives the value up for a word.
    fn into_raw(self) -> usize;

    /// Gets it back.
    ///
    /// # Safety
    /// `into_raw` returned the word, and this is the first call since.
    unsafe fn from_raw(word: usize) -> Self;

    /// Looks at the value without taking it.
    ///
    /// # Safety
    /// `into_raw` returned the word, and `from_raw` was not called since.
    unsafe fn peek<R>(word: usize, look: impl FnOnce(&Self) -> R) -> R;
}

/// A reference to something that counts its references, and whose memory
/// outlives it: it is reused for other such things only, as long as anybody
/// looks who found its address while it was alive.
///
/// # Safety
/// [`Counted::try_acquire`] never revives the dead, and returns a reference to
/// what is at the address then, be it what was there before or something new. It
/// need not synchronize with anything: CPython finds an immortal object by a
/// relaxed load of its count. Whoever holds a reference keeps the address from
/// being reused.
///
/// # Who replaces the word, and who looks twice
/// The second look must not be older than what was taken, or merely read, at the address. For
/// that a reader has an `Acquire` fence before it; and whoever replaced the word a `Release` fence
/// between that and giving up what was in it. If he gives up the last reference, and uses the memory
/// anew, all that he writes there lies behind his fence: whoever has read any of it sees, behind the
/// other fence, that the word was replaced. A `Release` store of the word, or a read-modify-write, is no such fence:
/// what follows may become visible before it. (On x86 it cannot, and the fence is no instruction. On ARM an ordered
/// load in the end of the object kept it back, but not if that is one of version 8.3, `LDAPR`:
/// `tests/litmus` has both.)
///
/// If another thread gives up the last reference, or uses the memory anew, it has acquired from the
/// one before it what came before his fence, by the count and by the allocator; but it need not have a
/// fence of its own, and there the language alone promises nothing to a reader. The processors
/// do: a store that one other processor has seen all have, on x86, and on ARM since version 8. So
/// whoever reads what was written after that reads the word, behind his fence, as it was then or later.
pub unsafe trait Counted: Pointer {
    /// Makes [`Counted::try_acquire`] work from now on, in all threads. To be
    /// called before the word is written where others read it.
    fn share(&self);

    /// The same for a reference that was taken just now, and which another thread may drop: from
    /// now on that costs no more there than here. It may turn out not to be shared after all, if
    /// other references change hands, too.
    fn hand_over(&self) {
        self.share();
    }

    /// Whether it was made by another thread, to which its end has to be told.
    fn is_anothers(&self) -> bool {
        false
    }

    /// Takes one more reference to what is at an address, unless it is dead.
    ///
    /// # Safety
    /// The caller read the word where [`Counted::share`]d values are, and has done
    /// nothing since that would allow the memory to be given back.
    unsafe fn try_acquire(word: usize) -> Option<Self>
    where
        Self: Sized;

    /// The same where it takes no atomic read-modify-write, as with a value of the
    /// thread's own; `None` says nothing.
    ///
    /// # Safety
    /// As [`Counted::try_acquire`].
    unsafe fn try_acquire_own(_word: usize) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}
