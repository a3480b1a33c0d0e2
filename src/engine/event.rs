//! Sleeping until something may have changed: an event count.
//!
//! # Idea and source
//! After D. Vyukov's eventcount (1024cores.net, 2008). A structure that takes no
//! lock has no lock to attach a condition variable to. So a waiter *enrols*,
//! looks at the structure once more, and only then sleeps; a notifier changes
//! the structure first and then looks whether anybody is enrolled. Where nobody
//! waits a notification is one load of a word that nobody writes.
//!
//! How a waiter sleeps is its own affair ([`Waiter`]): it may be a thread or a
//! coroutine. A notification goes to the one who has waited longest, and is *used
//! up* then: a waiter who leaves for another reason finds out whether one was
//! on its way to it, and passes it on.
//!
//! # Fairness
//! A thread that finds something to take does not queue up behind those who
//! sleep; that is where the speed comes from. So a waiter may wake up too late
//! every time. One who has been through that for long declares itself *urgent*:
//! while anybody is, newcomers that may wait enrol without looking first.
//!
//! # Invariants
//! - **E1** Enrolled is who is in the list; `enrolled` is the list's length,
//!   written under its lock.
//! - **E2** A waiter enrols, then looks; a notifier changes, then looks. By the
//!   full fences in between, one of the two sees the other.
//! - **E3** The lock is held for a few instructions that call nothing but the
//!   allocator, by attached threads: so no one holds it when the interpreter forks.
//! - **E4** A list of an earlier generation, before a fork, belongs to threads
//!   that this process does not have: it is forgotten before it is used.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | full fence | after enrolling | full fence before asking who is enrolled | E2 |
//! | `SeqCst` | asking who is enrolled, after a write that is `SeqCst` | full fence after enrolling | E2 |
//! | `Release` | marking a waiter notified | `Acquire` in its look | what the notifier did |
//! | `Relaxed` | `enrolled`, `urgent`, `arrival` | | E2 orders the first; the second is a hint; the lock orders the last |
//!
//! # Progress
//! `notify` is wait-free where nobody waits; all else may block on the lock.

use std::collections::VecDeque;

use super::memory::arena::OutOfMemory;
use super::memory::growth::boxed;
use super::shim::{
    AtomicU64, AtomicUsize, Mutex, MutexGuard,
    Ordering::{Relaxed, Release, SeqCst},
    detached, full_fence, full_fence_after_rmw, mutant, ordering,
};

/// Tells a waiter that it was notified.
#[derive(Debug, Default)]
pub struct Notice {
    given: detached::AtomicBool,
    /// When its waiter came, in the list's own time; used under the list's lock.
    arrival: AtomicU64,
}

impl Notice {
    /// Whether its waiter was notified since it enrolled.
    pub fn is_given(&self) -> bool {
        self.given.load(ordering!(Acquire, "event.notice.load"))
    }

    /// Notifies its waiter.
    pub fn give(&self) {
        // Release: what the notifier did. Under loom the fence in `notify` does the
        // same, so that no model can miss it.
        self.given.store(true, Release);
    }

    fn take_back(&self) {
        self.given.store(false, Relaxed);
    }
}

/// A handle of one who waits. Cloning and dropping one calls nothing that waits.
pub trait Waiter: Clone {
    /// Its notice, the same for all handles.
    fn notice(&self) -> &Notice;

    /// What may come of waking beside: it goes to whoever notified.
    type Fault;

    /// Wakes it; called once for each time it is notified. False if it may not get
    /// up: then the next one is woken as well.
    ///
    /// # Errors
    /// What came of it beside; the waiter is woken nevertheless.
    fn wake(&self) -> Result<bool, Self::Fault>;

    /// What is left of two faults.
    fn join(first: Self::Fault, second: Self::Fault) -> Self::Fault;

    /// Changes when the process is forked.
    fn generation() -> u32 {
        0
    }
}

#[derive(Debug)]
struct List<W> {
    generation: u32,
    /// How many ever came.
    arrivals: u64,
    /// In the order in which they came.
    waiters: VecDeque<W>,
}

impl<W: Waiter> Default for List<W> {
    fn default() -> Self {
        Self { generation: W::generation(), arrivals: 0, waiters: VecDeque::new() }
    }
}

/// Whom a notification goes to, of those who came before it: each once, though one that was
/// woken may be back in its old place.
#[derive(Debug, Default)]
struct Turn {
    after: u64,
    until: Option<u64>,
}

/// Those who wait for one kind of change.
#[derive(Debug)]
pub struct Event<W> {
    enrolled: AtomicUsize,
    urgent: AtomicUsize,
    /// Made by the first who waits: most events of most programs are never waited for.
    list: Mutex<Option<Box<List<W>>>>,
}

impl<W: Waiter> Default for Event<W> {
    fn default() -> Self {
        Self { enrolled: AtomicUsize::new(0), urgent: AtomicUsize::new(0), list: Mutex::new(None) }
    }
}

impl<W: Waiter> Event<W> {
    /// Enrols a waiter, who then looks once more before it sleeps: behind all
    /// others, or in its old place if it was enrolled before.
    ///
    /// # Errors
    /// [`OutOfMemory`]; then it is not enrolled.
    pub fn enrol(&self, waiter: &W) -> Result<(), OutOfMemory> {
        let arrival = |waiter: &W| waiter.notice().arrival.load(Relaxed);
        waiter.notice().take_back();
        let mut guard = self.lock();
        let list = match &mut *guard {
            Some(list) => list,
            none => none.insert(boxed(List::default())?),
        };
        list.waiters.try_reserve(1).map_err(|_| OutOfMemory)?;
        if arrival(waiter) == 0 {
            list.arrivals += 1;
            waiter.notice().arrival.store(list.arrivals, Relaxed);
        }
        let mine = arrival(waiter);
        let place = list.waiters.partition_point(|other| arrival(other) < mine);
        list.waiters.insert(place, waiter.clone()); // room: above
        self.enrolled.store(list.waiters.len(), Relaxed);
        drop(guard);
        // Full fence: E2.
        if !mutant!("event.enrol.fence") {
            full_fence();
        }
        Ok(())
    }

    /// Takes a waiter off the list. Says whether it was notified instead: then
    /// the notification is its to use or to pass on.
    #[must_use = "a notification would be lost"]
    pub fn leave(&self, waiter: &W) -> bool {
        let mut guard = self.lock();
        let removed = guard.as_mut().and_then(|list| {
            let same = |other: &W| std::ptr::eq(other.notice(), waiter.notice());
            let place = list.waiters.iter().position(same)?;
            let removed = list.waiters.remove(place);
            self.enrolled.store(list.waiters.len(), Relaxed);
            removed
        });
        drop(guard);
        removed.is_none() && waiter.notice().is_given() && !mutant!("event.leave.silent")
    }

    /// Takes a waiter off the list, and passes a notification on to the next one.
    /// Says whether there was one.
    ///
    /// # Errors
    /// What came of passing it on beside.
    pub fn withdraw(&self, waiter: &W) -> Result<bool, W::Fault> {
        let notified = self.leave(waiter);
        if notified {
            self.notify(1)?;
        }
        Ok(notified)
    }

    /// Wakes up to `count` waiters. The caller has just made, by a
    /// read-modify-write, the change that they wait for.
    ///
    /// # Errors
    /// What came of it beside; they are woken nevertheless.
    #[inline]
    pub fn notify(&self, count: usize) -> Result<(), W::Fault> {
        // Full fence: E2.
        if !mutant!("event.notify.fence") {
            full_fence_after_rmw();
        }
        if self.enrolled.load(Relaxed) == 0 {
            return Ok(());
        }
        self.wake(count)
    }

    /// Wakes the one who has waited longest, if `is_meant` says so (and before, under the lock,
    /// `may_be_meant`, which calls nothing), before the change that it
    /// waits for: for one who cannot look until the caller is through. Returns it.
    ///
    /// # Errors
    /// What came of it beside; it is woken nevertheless.
    #[cold]
    pub fn notify_before(
        &self,
        may_be_meant: impl FnOnce(&W) -> bool,
        is_meant: impl FnOnce(&W) -> bool,
    ) -> Result<Option<W>, W::Fault> {
        let mut guard = self.lock();
        let first = guard.as_mut().and_then(|list| list.waiters.front());
        let first = first.filter(|first| may_be_meant(first)).cloned();
        drop(guard);
        // Without the lock: it may call anything.
        let Some(meant) = first.filter(is_meant) else { return Ok(None) };
        let mut guard = self.lock();
        let is_still = |first: &W| {
            std::ptr::eq(first.notice(), meant.notice()) || mutant!("event.before.another")
        };
        let Some(list) = guard.as_mut().filter(|list| list.waiters.front().is_some_and(is_still))
        else {
            return Ok(None);
        };
        let taken = list.waiters.pop_front();
        self.enrolled.store(list.waiters.len(), Relaxed);
        meant.notice().give();
        drop(guard);
        drop(taken);
        meant.wake().map(|gets_up| gets_up.then_some(meant))
    }

    /// Wakes all waiters, if there are any. The caller has just made, by a sequentially
    /// consistent write, the change that they wait for; after a weaker one, a waiter that
    /// enrolled at the same moment may be missed.
    ///
    /// # Errors
    /// As for [`Self::notify`].
    #[inline(always)]
    pub fn changed(&self) -> Result<(), W::Fault> {
        if self.is_awaited() { self.wake(usize::MAX) } else { Ok(()) }
    }

    /// Whether anybody is enrolled, for one who has just made such a write. It costs no
    /// fence: the write and this load are both sequentially consistent, and so in one order
    /// with the fence between a waiter's enrolling and its look (E2).
    #[inline(always)]
    pub fn is_awaited(&self) -> bool {
        // loom takes no access for more than acquiring and releasing.
        if cfg!(loom) && !mutant!("event.awaited.fence") {
            full_fence();
        }
        self.enrolled.load(SeqCst) != 0
    }

    #[cold]
    #[inline(never)]
    fn wake(&self, mut count: usize) -> Result<(), W::Fault> {
        let mut fault = None;
        let mut turn = Turn::default();
        while count > 0
            && let Some(waiter) = self.take_notified(&mut turn)
        {
            match waiter.wake() {
                Ok(gets_up) => count -= usize::from(gets_up),
                Err(second) => {
                    count -= 1;
                    fault = Some(match fault {
                        Some(first) => W::join(first, second),
                        None => second,
                    });
                }
            }
        }
        fault.map_or(Ok(()), Err)
    }

    /// Takes the next waiter whose turn it is off the list, with its notice given.
    ///
    /// One at a time: to take several would need memory, which there may not be.
    fn take_notified(&self, turn: &mut Turn) -> Option<W> {
        let mut guard = self.lock();
        let list = guard.as_mut()?;
        let arrival = |waiter: &W| waiter.notice().arrival.load(Relaxed);
        let until = *turn.until.get_or_insert(list.arrivals);
        let after = if mutant!("event.turn.again") { 0 } else { turn.after };
        let place = list.waiters.partition_point(|waiter| arrival(waiter) <= after);
        turn.after = list.waiters.get(place).map(arrival).filter(|arrival| *arrival <= until)?;
        let woken = list.waiters.remove(place)?;
        self.enrolled.store(list.waiters.len(), Relaxed);
        woken.notice().give();
        Some(woken)
    }

    /// Begins an urgency, to be ended by [`Self::calm`].
    pub fn hurry(&self) {
        self.urgent.fetch_add(1, Relaxed);
    }

    /// Ends an urgency, and wakes those who held back because of it.
    ///
    /// # Errors
    /// As for [`Self::notify`].
    pub fn calm(&self) -> Result<(), W::Fault> {
        let ended = self.urgent.fetch_update(Relaxed, Relaxed, |urgent| urgent.checked_sub(1));
        if ended == Ok(1) { self.notify(usize::MAX) } else { Ok(()) }
    }

    /// Whether newcomers should enrol without looking first.
    #[inline]
    pub fn is_urgent(&self) -> bool {
        self.urgent.load(Relaxed) != 0
    }

    /// How many are enrolled.
    pub fn len(&self) -> usize {
        self.enrolled.load(Relaxed)
    }

    /// Whether nobody is enrolled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visit` with each waiter until it fails; for a garbage collector.
    ///
    /// # Errors
    /// The first error of `visit`.
    pub fn traverse<E>(&self, visit: impl FnMut(&W) -> Result<(), E>) -> Result<(), E> {
        // E3: the collector finds the lock free.
        let Some(list) = self.list.try_lock() else { return Ok(()) };
        list.iter().flat_map(|list| &list.waiters).try_for_each(visit)
    }

    /// Forgets all who are enrolled.
    pub fn clear(&self) {
        let mut list = self.lock();
        let waiters = list.as_mut().map(|list| std::mem::take(&mut list.waiters));
        self.enrolled.store(0, Relaxed);
        drop(list);
        // Only now: dropping may run anything.
        drop(waiters);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<List<W>>>> {
        let mut guard = self.list.lock();
        if let Some(list) = guard.as_mut().filter(|list| list.generation != W::generation()) {
            self.forget(list);
        }
        guard
    }

    /// Forgets a list of another process (E4).
    #[cold]
    fn forget(&self, list: &mut List<W>) {
        list.generation = W::generation();
        // Not dropped: what the waiters hold may be in any state.
        list.waiters.drain(..).for_each(std::mem::forget);
        self.enrolled.store(0, Relaxed);
        self.urgent.store(0, Relaxed);
    }
}
