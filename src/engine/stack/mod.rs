//! A stack: last in, first out.
//!
//! # Idea and source
//! R. K. Treiber's stack ("Systems Programming: Coping with Parallelism", IBM
//! RJ 5118, 1986): a linked list whose head is swung by compare-and-swap. Four
//! things differ from the textbook:
//!
//! - *Nodes are recycled, not freed.* They live in an
//!   [`Arena`](super::memory::arena::Arena) and are linked by
//!   index; a second list of the same kind holds the unused ones (`supply`). So a push
//!   allocates nothing once the stack has been as deep before, and needs neither
//!   an epoch nor a hazard pointer to protect the *node*: it is always memory of
//!   this stack, though it may have been zeroed. What protects the *list* from ABA is the
//!   version tag in the head ([`Tagged`]).
//! - *Each node knows how many lie below it*, so the length is the depth of the
//!   top one: one validated read, no counter for all threads to write.
//! - *Readers announce themselves* ([`Readers`]), so that iteration
//!   may read values that other threads pop meanwhile.
//! - *A glance does not.* Where values are [`Counted`], `peek` tries to take a reference to what
//!   the top node holds, as in [`pointer`](super::memory::pointer), and then looks whether the
//!   head is still the same: by its tag the node was on top all the time, and by I3 what
//!   it holds is what was pushed. A value of which not all threads may take references is
//!   shared by a reader who has announced itself.
//!
//! Paths. *Push*: take a node from the free list, write the value, link, swing
//! the head. *Pop*: read the head and the node's link, swing the head, move the
//! value out, give the node to the free list. *A pop that finds readers inside*:
//! swing the head, copy the value, leave the node in limbo; the last reader out
//! drops the value and gives the node back.
//!
//! # Invariants
//! - **I1** A node is in one place: in the stack, in the free list, in limbo, or
//!   in the hands of one thread.
//! - **I2** A node in the stack or in limbo holds a value; one in the free list
//!   holds none.
//! - **I3** While a node is in the stack its link and depth do not change.
//! - **I4** Every removal from the stack or the free list changes that head's
//!   tag. So a compare-and-swap that succeeds proves that nothing was removed
//!   since the head was read, and by I3 that the links read since are true.
//! - **I5** A node reachable from the head that a reader loaded after it entered
//!   keeps its value and its link until that reader has left (R2, R3).
//! - **I6** What a glance returns was on top at its second look at the head. It held a
//!   reference then, so that the word meant one value from the taking to that look, and
//!   the node's own reference was to the same one.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Release` | head, in a push | `Acquire` load of the head | value, link and depth of the node |
//! | `Release` | a value's word | `Acquire` of it in a glance | I6: a value of a later life of the node is seen with the removal that ended the earlier |
//! | `Acquire` fence | after a glance's taking a reference | the full fence of the removal, before what was removed is handed on | I6: the second look is no older than what was taken |
//! | `Release` | a node's depth | `Acquire` in `len` | that a depth of a later life of the node is seen with the removal that ended the earlier |
//! | full fence | between the swing and asking for readers | the one after entering | R3 |
//! | the same | | `Acquire` in `len` | that a link of the limbo, written over a depth, is seen with the removal before it |
//! | `Release` | a link | `Acquire` in walks | the segment of the node it names: a walk may follow a stale link before I4 tells |
//! | `Relaxed` | links followed in one's own chain, or by a reader (I5); the swing of a removal | | I4 makes a stale one fail; the head's read-modify-writes carry the pushes' releases on |
//!
//! # Progress
//! `push`, `pop` and the batches are lock-free (allocation aside): a retry means
//! another operation succeeded. `is_empty` is wait-free. `peek` and `snapshot`
//! make no other thread wait and are lock-free; a snapshot is linear in the depth. Now and then
//! a pop gives memory back, which is linear in the number of free nodes.

mod node;
mod supply;

use std::marker::PhantomData;

use crossbeam_utils::CachePadded;

use super::Backoff;
use super::cache::{Clock, Monotonic};
use super::memory::arena::{NIL, OutOfMemory};
use super::memory::growth::{put, room_for_one};
use super::memory::pointer::Counted;
use super::memory::reclaim::Readers;
use super::memory::slots::Slot;
use super::memory::tagged::Tagged;
use super::shim::{AtomicU64, Ordering::Relaxed, mutant, ordering};
use node::{Chain, Node};
pub use node::{InPlace, Place, Word};
use supply::Supply;

/// Called between reading the head and swinging it. The product's hook does
/// nothing and costs nothing; the laboratory's freezes a thread there.
pub trait Hook {
    /// The operation has read the head and not yet swung it.
    fn between(&self);

    /// The running thread, for its spare node (`supply`): in the models of whoever asks for it.
    #[inline(always)]
    fn thread(&self) -> Slot {
        running_thread()
    }
}

impl Hook for () {
    #[inline(always)]
    fn between(&self) {}
}

/// The running thread's number. Where a thread is alone, with a GIL, a spare would save it
/// nothing.
#[inline(always)]
fn running_thread() -> Slot {
    #[cfg(not(any(loom, all(feature = "python", not(Py_GIL_DISABLED)))))]
    {
        let thread = super::memory::slots::current();
        if thread == Slot::NONE { super::memory::slots::take_current() } else { thread }
    }
    #[cfg(any(loom, all(feature = "python", not(Py_GIL_DISABLED))))]
    Slot::NONE
}

/// The stack.
pub struct Stack<T: Clone, H: Hook = (), P: Place<T> = InPlace<T>> {
    head: CachePadded<AtomicU64>,
    supply: Supply<T, P>,
    readers: CachePadded<Readers>,
    /// Since when much more memory is there than used: a time, or 0.
    generous_since: AtomicU64,
    hook: H,
    _owns: PhantomData<T>,
}

impl<T: Clone, H: Hook + Default, P: Place<T>> Default for Stack<T, H, P> {
    fn default() -> Self {
        Self::with_hook(H::default())
    }
}

impl<T: Clone> Stack<T> {
    /// An empty stack: it has allocated no node.
    pub fn new() -> Self {
        Self::default()
    }
}

/// How long a stack may have much more memory than it uses: one that fills and empties more
/// often keeps what it needs.
const GENEROUS: u64 = 1_000_000_000;

/// How much longer it waits after it could give nothing back.
const IN_VAIN: u64 = 7 * GENEROUS;

/// So many pops, a power of two, lie between two looks at how much memory there is.
const LOOK: u64 = 64;

impl<T: Clone, H: Hook, P: Place<T>> Stack<T, H, P> {
    /// An empty stack that calls `hook`.
    pub fn with_hook(hook: H) -> Self {
        Self {
            head: CachePadded::new(AtomicU64::new(u64::from(NIL))),
            supply: Supply::default(),
            readers: CachePadded::default(),
            generous_since: AtomicU64::new(0),
            hook,
            _owns: PhantomData,
        }
    }

    /// Puts `value` on top.
    ///
    /// # Errors
    /// [`OutOfMemory`] and the value; the stack is as it was.
    #[inline]
    pub fn push(&self, value: T) -> Result<(), (T, OutOfMemory)> {
        let chain = match self.supply.take_one(self.hook.thread()) {
            Ok(chain) => chain,
            Err(error) => return Err((value, error)),
        };
        chain.last.put(value);
        if !self.try_link(&chain, |_| ()) {
            self.link_contended(&chain);
        }
        Ok(())
    }

    /// Puts all of `values` on top in one step, the last one uppermost, as if
    /// pushed one by one with nothing in between.
    ///
    /// # Errors
    /// [`OutOfMemory`] and the values; the stack is as it was.
    ///
    /// # Panics
    /// If there are fewer values than their iterator has said.
    #[inline]
    pub fn push_many<I>(&self, mut values: I) -> Result<(), (I, OutOfMemory)>
    where
        I: ExactSizeIterator<Item = T> + DoubleEndedIterator,
    {
        let Ok(count) = u32::try_from(values.len()) else { return Err((values, OutOfMemory)) };
        if count == 0 {
            return Ok(());
        }
        let chain = match self.supply.take_many(count) {
            Ok(chain) => chain,
            Err(error) => return Err((values, error)),
        };
        let fill = |node: &Node<T, P>| {
            node.put(values.next_back().expect("there is a value for each node"));
        };
        if !self.try_link(&chain, fill) {
            self.link_contended(&chain);
        }
        Ok(())
    }

    /// Takes the top value.
    #[inline]
    pub fn pop(&self) -> Option<T> {
        let head = self.load_head();
        let index = head.index();
        if index == NIL {
            self.look_after_memory();
            return None;
        }
        let node = self.node(index);
        let next = head.popped(node.next.load(Relaxed));
        self.hook.between();
        if !self.swing(head, next) {
            return self.pop_contended();
        }
        let value = self.claim(index, node);
        if next.is_round(LOOK) {
            self.look_after_memory();
        }
        Some(value)
    }

    /// The rest of [`Self::pop`], after a lost race.
    #[cold]
    #[inline(never)]
    fn pop_contended(&self) -> Option<T> {
        let mut backoff = Backoff::new();
        loop {
            backoff.wait();
            let head = self.load_head();
            let index = head.index();
            if index == NIL {
                return None;
            }
            let node = self.node(index);
            let next = node.next.load(Relaxed);
            if self.swing(head, head.popped(next)) {
                return Some(self.claim(index, node));
            }
        }
    }

    /// Takes the `limit` uppermost values, or all there are, in one step, and
    /// calls `sink` with each, the uppermost first. Returns how many.
    ///
    /// # Errors
    /// How many it would be, where that is more than `room`; nothing is taken.
    pub fn pop_many(&self, limit: usize, room: usize, sink: impl FnMut(T)) -> Result<usize, usize> {
        let mut backoff = Backoff::new();
        loop {
            let (head, depth) = self.top();
            let count = u32::try_from(limit).map_or(depth, |limit| limit.min(depth));
            if count as usize > room {
                return Err(count as usize);
            }
            if count == 0 {
                self.look_after_memory();
                return Ok(0);
            }
            let first = head.index();
            let end = if count == depth { NIL } else { self.supply.walk(first, count).1 };
            self.hook.between();
            if self.swing(head, head.popped(end)) {
                self.claim_chain(first, count, sink);
                self.look_after_memory();
                return Ok(count as usize);
            }
            backoff.wait();
        }
    }

    /// Takes everything in one step and drops it, one value after the other.
    pub fn clear(&self) {
        let taken = self.pop_many(usize::MAX, usize::MAX, drop);
        debug_assert!(taken.is_ok(), "there is room for any number");
    }

    /// Copies of all values at one moment, the uppermost first.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn snapshot(&self) -> Result<Vec<T>, OutOfMemory> {
        self.read(|mut index| {
            let mut values = Vec::new();
            while index != NIL {
                let node = self.node(index);
                room_for_one(&mut values)?;
                put(&mut values, node.copy()); // room: above
                index = node.next.load(Relaxed);
            }
            Ok(values)
        })
    }

    /// The bytes that it has allocated, given back to the system or not.
    pub fn bytes(&self) -> usize {
        self.supply.bytes()
    }

    /// How many values there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.top().1 as usize
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.load_head().index() == NIL
    }

    /// Calls `visit` with each value until it fails; for a garbage collector.
    ///
    /// # Safety
    /// No other thread is inside an operation on this stack.
    ///
    /// # Errors
    /// The first error of `visit`.
    pub unsafe fn traverse<E>(&self, mut visit: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        let mut index = self.load_head().index();
        while index != NIL {
            let node = self.node(index);
            // The caller keeps all others out (I5).
            node.look(&mut visit)?;
            index = node.next.load(Relaxed);
        }
        Ok(())
    }

    #[inline]
    fn load_head(&self) -> Tagged {
        // Acquire: the nodes that pushes published.
        Tagged(self.head.load(ordering!(Acquire, "stack.head.load")))
    }

    #[inline]
    fn node(&self, index: u32) -> &Node<T, P> {
        self.supply.node(index)
    }

    /// Removes the head that was read, if it is still there (I4).
    #[inline]
    fn swing(&self, head: Tagged, next: Tagged) -> bool {
        self.head.compare_exchange(head.0, next.0, Relaxed, Relaxed).is_ok()
    }

    /// The head, and the depth that its node had while it was the head.
    #[inline]
    fn top(&self) -> (Tagged, u32) {
        let mut head = self.load_head();
        loop {
            if head.index() == NIL {
                return (head, 0);
            }
            // Acquire: a depth written in a later life of this node comes with
            // the removal before it, so that the second load differs.
            let depth = self.node(head.index()).depth.load(ordering!(Acquire, "stack.depth.load"));
            let again = self.load_head();
            if again == head || mutant!("stack.depth.unvalidated") {
                return (head, depth);
            }
            head = again;
        }
    }

    /// Fills a chain and puts it on top; false, and the chain is filled, after a lost race.
    #[inline]
    fn try_link(&self, chain: &Chain<'_, T, P>, mut fill: impl FnMut(&Node<T, P>)) -> bool {
        let head = self.load_head();
        let mut depth = chain.count;
        if head.index() != NIL {
            depth = depth.wrapping_add(self.node(head.index()).depth.load(Relaxed));
        }
        self.supply.each_of(chain, |node| {
            fill(node);
            node.set_depth(depth);
            depth = depth.wrapping_sub(1);
        });
        chain.last.set_link(head.index());
        self.hook.between();
        // Release: publishes the chain's values, links and depths.
        let order = ordering!(Release, "stack.head.push");
        self.head.compare_exchange(head.0, head.pushed(chain.first).0, order, Relaxed).is_ok()
    }

    /// The rest of a push, after a lost race: the chain is filled.
    #[cold]
    #[inline(never)]
    fn link_contended(&self, chain: &Chain<'_, T, P>) {
        let mut backoff = Backoff::new();
        loop {
            backoff.wait();
            if self.try_link(chain, |_| ()) {
                return;
            }
        }
    }

    /// The value of a node just removed, which is given back or left in limbo.
    #[inline]
    fn claim(&self, index: u32, node: &Node<T, P>) -> T {
        if self.readers.any_after_unlink() {
            return self.claim_shared(index);
        }
        let value = node.take();
        self.supply.give_one(self.hook.thread(), index, node);
        value
    }

    /// [`Self::claim`] with readers about, who may be looking at the value.
    #[cold]
    #[inline(never)]
    fn claim_shared(&self, index: u32) -> T {
        let mut value = None;
        self.claim_chain_shared(index, 1, |taken| value = Some(taken));
        value.expect("a chain of one node has one value")
    }

    /// Passes on the values of nodes just removed, and recycles the nodes.
    fn claim_chain(&self, mut first: u32, count: u32, mut sink: impl FnMut(T)) {
        if self.readers.any_after_unlink() {
            return self.claim_chain_shared(first, count, sink);
        }
        // The lowest are given back last and so taken first: most often they are those that
        // were there first, and above them all can be trimmed.
        let lowest = count.min(2 * supply::KEPT);
        for count in [count - lowest, lowest] {
            if count > 0 {
                let (chain, next) = self.supply.each(first, count, |node| sink(node.take()));
                self.supply.give_back(&chain);
                first = next;
            }
        }
    }

    /// [`Self::claim_chain`] with readers about: passes on copies of the values and leaves
    /// the nodes in limbo, with the originals in them.
    #[cold]
    fn claim_chain_shared(&self, first: u32, count: u32, mut sink: impl FnMut(T)) {
        let (chain, _) = self.supply.each(first, count, |node| sink(node.copy()));
        if !self.defer(&chain) {
            // The readers left meanwhile: the originals are ours after all.
            self.supply.each_of(&chain, |node| drop(node.take()));
            self.supply.give_back(&chain);
        }
    }

    /// Leaves a chain in limbo, linked there through the depths. The links stay
    /// as they are: readers follow them (I5).
    fn defer(&self, chain: &Chain<'_, T, P>) -> bool {
        // Relaxed: to `len`, the full fence after the removal is as good as a
        // release here; whoever takes the limbo acquires it as a whole.
        self.supply.each_of(chain, |node| {
            node.depth.store(node.next.load(Relaxed), Relaxed);
        });
        self.readers.defer(chain.first, |next| chain.last.depth.store(next, Relaxed))
    }

    /// Runs `look` on the index of the top node, as a reader.
    fn read<R>(&self, look: impl FnOnce(u32) -> R) -> R {
        self.readers.enter();
        let result = look(self.load_head().index());
        let limbo = self.readers.leave();
        if limbo != NIL {
            self.release(limbo);
        }
        result
    }

    /// Drops the values of a limbo, which is this thread's own now (R2).
    #[cold]
    fn release(&self, mut limbo: u32) {
        while limbo != NIL {
            let node = self.node(limbo);
            let next = node.depth.load(Relaxed);
            let value = node.take();
            self.supply.give_back(&Chain::of_one(limbo, node));
            // Only now: dropping may run anything.
            drop(value);
            limbo = next;
        }
    }

    /// Lets the system have what has not been needed for a while. Called now and then.
    #[inline]
    fn look_after_memory(&self) {
        if cfg!(not(loom)) && self.supply.is_generous(0) {
            self.trim_in_time();
        }
    }

    #[cold]
    #[inline(never)]
    fn trim_in_time(&self) {
        if !self.supply.is_generous(self.top().1) {
            return self.generous_since.store(0, Relaxed);
        }
        // Relaxed: whoever reads too old a time trims early or late.
        let (now, since) = (Monotonic.now() | 1, self.generous_since.load(Relaxed));
        if since == 0 {
            self.generous_since.store(now, Relaxed);
        } else if now.saturating_sub(since) > GENEROUS {
            let next = if self.supply.trim() { 0 } else { now + IN_VAIN };
            self.generous_since.store(next, Relaxed);
        }
    }

    /// Lets the system have memory now, as far as it lies in segments that no value lies in.
    /// Returns whether there was any.
    pub fn trim(&self) -> bool {
        self.supply.trim()
    }
}

impl<T: Clone, H: Hook> Stack<T, H> {
    /// A copy of the top value.
    pub fn peek(&self) -> Option<T> {
        self.read(|index| (index != NIL).then(|| self.node(index).copy()))
    }
}

impl<T: Counted + Clone, H: Hook> Stack<T, H, Word<T>> {
    /// A reference to the top value.
    pub fn peek(&self) -> Option<T> {
        let mut backoff = Backoff::new();
        loop {
            let head = self.load_head();
            if head.index() == NIL {
                return None;
            }
            // SAFETY: the node was on top just now.
            let value = unsafe { self.node(head.index()).place().try_acquire() };
            if self.head.load(Relaxed) == head.0 || mutant!("stack.peek.unchecked") {
                return value.or_else(|| self.share_top());
            }
            // It may never have been on top.
            drop(value);
            backoff.wait();
        }
    }

    /// [`Self::peek`] where the value was not shared before.
    #[cold]
    fn share_top(&self) -> Option<T> {
        let share = |value: &T| {
            value.share();
            value.clone()
        };
        self.read(|index| (index != NIL).then(|| self.node(index).look(share)))
    }
}

impl<T: Clone, H: Hook, P: Place<T>> Drop for Stack<T, H, P> {
    fn drop(&mut self) {
        // No trimming: all goes.
        self.generous_since.store(0, Relaxed);
        // Readers are gone, and the last one took the limbo along.
        self.clear();
    }
}

impl<T: Clone, H: Hook, P: Place<T>> std::fmt::Debug for Stack<T, H, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("len", &self.len()).finish_non_exhaustive()
    }
}
