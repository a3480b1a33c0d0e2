//! Class `_Ticket`: what a load gets when it begins, and shows when it ends.
//!
//! Whoever writes a key takes the tickets for its hash away, under the lock under which the value goes in; what was
//! loaded goes in only if its ticket is still good under that lock. So it went in before the write, or never
//! will. Who begins to load [waits](crate::engine::Cache::catch_up) for whoever has that lock, once he has his ticket, and only then
//! looks whether the key is still missing: a writer who did not see the ticket has written by then. So while a
//! key has a value nobody has a good ticket for it but who put that, and it may be replaced with no lock. Who
//! writes while nothing is being loaded pays for one load of a word.
//!
//! Whoever removes a key takes the tickets away first, and then [settles](crate::engine::Cache::settle): what does not
//! find the key must not come before a load that was admitted already. He settles even
//! if there were no tickets to take away, once any were issued: another may have taken them who has not
//! settled yet.
//!
//! Hashes will do: that a load of another key with the same hash is not kept is no harm, and
//! keys are not compared while anything is held.
//!
//! That word is stored before the loader runs, and loaded after what made the other remove the key; both
//! are `SeqCst`, and so, in CPython, is at least one operation in between on whatever the
//! loader reads and the other changed: a lock's, or a system call.

use std::collections::HashMap;

use pyo3::prelude::*;

use crate::engine::OutOfMemory;
use crate::python::boundary::shared::Shared;
use crate::shim::{
    AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering::Relaxed, Ordering::SeqCst,
};

/// The tickets for a hash that are good.
#[derive(Debug)]
struct Group {
    /// Never used again.
    generation: u64,
    members: usize,
}

#[derive(Debug, Default)]
struct Groups {
    of_hash: HashMap<u64, Group>,
    generations: u64,
}

impl Groups {
    fn next_generation(&mut self) -> u64 {
        self.generations += 1;
        self.generations
    }
}

/// The tickets of a cache.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    /// For how many hashes there are good ones.
    hashes: AtomicUsize,
    /// Whether there ever were any.
    were_issued: AtomicBool,
    /// Locked attached only; its holder calls nothing of Python's.
    groups: Mutex<Groups>,
}

impl Tickets {
    /// A good ticket.
    pub(crate) fn issue(tickets: &Shared<Self>, hash: u64) -> Result<Ticket, OutOfMemory> {
        tickets.were_issued.store(true, SeqCst);
        let mut groups = tickets.lock();
        groups.of_hash.try_reserve(1).map_err(|_| OutOfMemory)?;
        let generation = groups.next_generation();
        let group = groups.of_hash.entry(hash).or_insert(Group { generation, members: 0 });
        group.members += 1;
        let generation = AtomicU64::new(group.generation);
        tickets.publish(&groups);
        drop(groups);
        Ok(Ticket { tickets: tickets.clone(), hash, generation })
    }

    /// Takes the tickets for a hash away. Says whether somebody may have shown one, and not have put
    /// yet what was loaded.
    #[inline]
    pub(crate) fn revoke(&self, hash: u64) -> bool {
        self.take_over(hash);
        self.were_issued.load(SeqCst)
    }

    /// The same for who is just writing, under the lock; he is always admitted.
    #[inline]
    pub(crate) fn take_over(&self, hash: u64) -> bool {
        if self.hashes.load(SeqCst) != 0 {
            self.take_away(hash);
        }
        true
    }

    #[cold]
    fn take_away(&self, hash: u64) {
        let mut groups = self.lock();
        groups.of_hash.remove(&hash);
        self.publish(&groups);
    }

    /// Takes all tickets away.
    pub(crate) fn revoke_all(&self) {
        let mut groups = self.lock();
        groups.of_hash.clear();
        self.publish(&groups);
    }

    fn publish(&self, groups: &Groups) {
        self.hashes.store(groups.of_hash.len(), SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock()
    }
}

/// Whether what is loaded may still be kept.
#[pyclass(frozen, module = "lockfree._native", name = "_Ticket")]
#[derive(Debug)]
pub(crate) struct Ticket {
    tickets: Shared<Tickets>,
    hash: u64,
    /// Changed by its owner, under the lock.
    generation: AtomicU64,
}

impl Ticket {
    /// Whether it is good. Then the other tickets for its hash are so no longer.
    pub(crate) fn redeem(&self) -> bool {
        let mut groups = self.tickets.lock();
        let fresh = groups.next_generation();
        let Some(group) = self.group(&mut groups) else { return false };
        if group.members > 1 {
            *group = Group { generation: fresh, members: 1 };
            self.generation.store(fresh, Relaxed);
        }
        true
    }

    fn group<'a>(&self, groups: &'a mut Groups) -> Option<&'a mut Group> {
        let generation = self.generation.load(Relaxed);
        groups.of_hash.get_mut(&self.hash).filter(|group| group.generation == generation)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut groups = self.tickets.lock();
        let Some(group) = self.group(&mut groups) else { return };
        group.members -= 1;
        if group.members == 0 {
            groups.of_hash.remove(&self.hash);
            self.tickets.publish(&groups);
        }
    }
}
