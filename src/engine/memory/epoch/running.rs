//! The readers of this process.
//!
//! A thread's note is that of its [slot](super::super::slots), which it has from its first guard,
//! or before, until it ends. A thread that has none (too many run; it is about to end) is counted
//! instead.

use super::domain::{Domain, Note};

/// For threads that run at the same time.
#[derive(Debug)]
pub struct Epochs;

#[cfg(not(loom))]
pub use process::{forked, waiting};

#[cfg(not(loom))]
mod process {
    use std::marker::PhantomData;
    use std::time::{Duration, Instant};

    use super::super::super::super::shim::{AtomicU64, Ordering::Relaxed};
    use super::super::super::slots::{self, SLOTS, Slot};
    use super::super::block::ALLOCATED;
    use super::super::fallback::{self, Crossbeam};
    use super::super::{Block, Reclaim, barrier};
    use super::{Domain, Epochs, Note};

    /// Who has a [slot](slots) has the note of that number. (N1, N2: it has one holder at a time,
    /// who finds it as the last one left it.)
    static DOMAIN: Domain<SLOTS> = Domain::new();

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

    /// See [`Reclaim::enter_again`]. It does not leave its thread.
    #[derive(Debug)]
    pub struct Again(&'static Note, PhantomData<*mut ()>);

    impl Drop for Again {
        #[inline(always)]
        fn drop(&mut self) {
            DOMAIN.leave(self.0);
        }
    }

    /// The running thread's note, unless it needs more than a look.
    #[inline(always)]
    fn note_of(slot: Slot) -> Option<&'static Note> {
        DOMAIN.used_note((slot.number() as usize).wrapping_sub(1))
    }

    impl Reclaim for Epochs {
        type Guard = Guard;
        type Again = Again;

        #[inline(always)]
        fn enter() -> Guard {
            let inside = match note_of(slots::current()) {
                Some(note) => {
                    DOMAIN.enter(note);
                    Inside::Noted(note)
                }
                None => enter_first(),
            };
            Guard(inside, PhantomData)
        }

        #[inline(always)]
        fn enter_again() -> Option<Again> {
            let note = note_of(slots::current())?;
            DOMAIN.enter(note);
            Some(Again(note, PhantomData))
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
        // None: the thread is about to end, or there are too many.
        let number = (slots::take_current().number() as usize).checked_sub(1);
        if let Some(number) = number {
            let note = DOMAIN.note(number);
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
        slots::forked();
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
        type Again = Guard;

        fn enter_again() -> Option<Guard> {
            Some(Self::enter())
        }

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
