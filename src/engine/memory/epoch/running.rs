//! The readers of this process.
//!
//! A thread gets a note with its first guard, and gives it back when it ends. A
//! thread that has none (too many run; it is about to end) is counted instead.

use super::domain::{Domain, Note};

/// For threads that run at the same time.
#[derive(Debug)]
pub struct Epochs;

#[cfg(not(loom))]
pub use process::{forked, waiting};

#[cfg(not(loom))]
mod process {
    use std::cell::Cell;
    use std::marker::PhantomData;
    use std::time::{Duration, Instant};

    use super::super::super::super::shim::{AtomicU64, Ordering::Relaxed};
    use super::super::super::slots::{SLOTS, Slot, Slots};
    use super::super::block::ALLOCATED;
    use super::super::fallback::{self, Crossbeam};
    use super::super::{Block, Reclaim, barrier};
    use super::{Domain, Epochs, Note};

    static DOMAIN: Domain<SLOTS> = Domain::new();
    static NOTES: Slots = Slots::new();

    thread_local! {
        /// The thread's note; none before its first guard, and when it is about to end.
        static NOTE: Cell<Option<&'static Note>> = const { Cell::new(None) };
        static LEASE: Lease = Lease::new();
    }

    /// Holds the thread's note, and gives it back when the thread ends.
    struct Lease(Slot);

    impl Lease {
        fn new() -> Self {
            let slot = NOTES.take();
            let number = (slot.number() as usize).checked_sub(1);
            NOTE.set(number.map(|number| DOMAIN.note(number)));
            Self(slot)
        }
    }

    impl Drop for Lease {
        fn drop(&mut self) {
            // First: what is still to run in this thread must not use the note.
            NOTE.set(None);
            NOTES.give_back(self.0);
        }
    }

    /// See [`Reclaim::enter`]. It does not leave its thread.
    #[derive(Debug)]
    pub struct Guard(Inside, PhantomData<*mut ()>);

    #[derive(Debug)]
    enum Inside {
        Noted(&'static Note),
        Uncounted,
        Pinned { _guard: crossbeam_epoch::Guard },
    }

    impl Drop for Guard {
        #[inline(always)]
        fn drop(&mut self) {
            match &self.0 {
                Inside::Noted(note) => DOMAIN.leave(note),
                Inside::Uncounted => DOMAIN.leave_uncounted(),
                Inside::Pinned { .. } => {}
            }
        }
    }

    impl Reclaim for Epochs {
        type Guard = Guard;

        #[inline(always)]
        fn enter() -> Guard {
            let inside = match NOTE.get() {
                Some(note) => {
                    DOMAIN.enter(note);
                    Inside::Noted(note)
                }
                None => enter_first(),
            };
            Guard(inside, PhantomData)
        }

        unsafe fn retire(block: Block) {
            if has_barrier() {
                // SAFETY: the caller's promise.
                unsafe { DOMAIN.retire(block) };
            } else {
                // SAFETY: the caller's promise.
                unsafe { Crossbeam::retire(block) };
            }
        }

        #[inline(always)]
        fn tidy() {
            if waiting() > TOLERATED {
                tidy_now();
            }
        }
    }

    /// Without a note, so far.
    #[cold]
    fn enter_first() -> Inside {
        if !has_barrier() {
            return Inside::Pinned { _guard: fallback::pin() };
        }
        // An error: the thread is about to end.
        let _ = LEASE.try_with(|_| ());
        if let Some(note) = NOTE.get() {
            DOMAIN.enter(note);
            Inside::Noted(note)
        } else {
            DOMAIN.enter_uncounted();
            Inside::Uncounted
        }
    }

    /// Whether the system fences all threads: found out once.
    fn has_barrier() -> bool {
        static EXISTS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *EXISTS.get_or_init(barrier::exists)
    }

    /// The bytes that wait to be freed.
    #[inline(always)]
    pub fn waiting() -> usize {
        DOMAIN.bytes() + fallback::waiting()
    }

    /// So many bytes may wait, however little is in use.
    const TOLERATED: usize = 1 << 20;

    /// What could not be freed is tried again after this time: a reader who is
    /// suspended inside must not make everybody else try all the time.
    const PAUSE: Duration = Duration::from_millis(1);

    #[cold]
    fn tidy_now() {
        let waiting = waiting();
        let in_use = ALLOCATED.load(Relaxed).saturating_sub(waiting);
        if waiting > in_use / 2 && is_time() {
            DOMAIN.collect();
            fallback::collect();
        }
    }

    /// Whether nobody has tried for a while.
    fn is_time() -> bool {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let passed = START.get_or_init(Instant::now).elapsed();
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (now, next) = (nanoseconds(passed), NEXT.load(Relaxed));
        let after = nanoseconds(passed + PAUSE);
        now >= next && NEXT.compare_exchange(next, after, Relaxed, Relaxed).is_ok()
    }

    /// To be called in a forked child, before any other thread starts there, by the
    /// thread that forked; it is not inside.
    pub fn forked() {
        DOMAIN.forked();
        // A lease is not made here: that would allocate.
        let slot = NOTE.get().and_then(|_| LEASE.try_with(|lease| lease.0).ok());
        NOTES.keep_only(slot.unwrap_or(Slot::NONE));
        fallback::forked();
    }
}

#[cfg(loom)]
pub use model::waiting;

/// In a model: few readers, who keep their notes, and are of one execution.
#[cfg(loom)]
mod model {
    use super::super::super::super::shim::{AtomicUsize, Ordering::Relaxed};
    use super::super::{Block, Reclaim};
    use super::{Domain, Epochs, Note};

    struct Process {
        domain: Domain<4>,
        notes: AtomicUsize,
    }

    loom::lazy_static! {
        static ref PROCESS: Process = Process { domain: Domain::new(), notes: AtomicUsize::new(0) };
    }

    loom::thread_local! {
        static NUMBER: usize = PROCESS.notes.fetch_add(1, Relaxed);
    }

    /// See [`Reclaim::enter`].
    #[derive(Debug)]
    pub struct Guard(&'static Note);

    impl Drop for Guard {
        fn drop(&mut self) {
            PROCESS.domain.leave(self.0);
        }
    }

    impl Reclaim for Epochs {
        type Guard = Guard;

        fn enter() -> Guard {
            let domain: &'static Domain<4> = &PROCESS.domain;
            let note = domain.note(NUMBER.with(|number| *number));
            domain.enter(note);
            Guard(note)
        }

        unsafe fn retire(block: Block) {
            // SAFETY: the caller's promise.
            unsafe { PROCESS.domain.retire(block) };
        }

        fn tidy() {
            if waiting() > 0 {
                PROCESS.domain.collect();
            }
        }
    }

    /// The bytes that wait to be freed.
    pub fn waiting() -> usize {
        PROCESS.domain.bytes()
    }
}
