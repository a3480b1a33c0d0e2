//! A stack: last in, first out.
//!
//! # Idea and source
//! R. K. Treiber's stack ("Systems Programming: Coping with Parallelism", IBM
//! RJ 5118, 1986): a linked list whose head is swung by compare-and-swap. Three
//! things differ from the textbook:
//!
//! - *Nodes are recycled, not freed.* They live in an [`Arena`] and are linked by
//!   index; a second list of the same kind holds the unused ones. So a push
//!   allocates nothing once the stack has been as deep before, and needs neither
//!   an epoch nor a hazard pointer to protect the *node*: it is always memory of
//!   this stack. What protects the *list* from ABA is the version tag in the
//!   head ([`Tagged`]).
//! - *Each node knows how many lie below it*, so the length is the depth of the
//!   top one: one validated read, no counter for all threads to write.
//! - *Readers announce themselves* ([`Readers`]), so that `peek` and iteration
//!   may read values that other threads pop meanwhile.
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
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Release` | head, in a push | `Acquire` load of the head | value, link and depth of the node |
//! | `Release` | free head, giving back | `Acquire` load of the free head | the value moved out, before the next is written |
//! | `Release` | a node's depth | `Acquire` in `len` | that a depth of a later life of the node is seen with the removal that ended the earlier |
//! | full fence | between the swing and asking for readers | the one after entering | R3 |
//! | the same | | `Acquire` in `len` | that a link of the limbo, written over a depth, is seen with the removal before it |
//! | `Release` | a link | `Acquire` in walks | the segment of the node it names: a walk may follow a stale link before I4 tells |
//! | `Relaxed` | links followed in one's own chain, or by a reader (I5); the swing of a removal | | I4 makes a stale one fail; the head's read-modify-writes carry the pushes' releases on |
//!
//! # Progress
//! `push`, `pop` and the batches are lock-free (allocation aside): a retry means
//! another operation succeeded. `is_empty` is wait-free. `peek` and `snapshot`
//! make no other thread wait and are lock-free; a snapshot is linear in the depth.

use std::mem::MaybeUninit;

use crossbeam_utils::CachePadded;

use super::Backoff;
use super::memory::arena::{Arena, NIL, OutOfMemory, Zeroed};
use super::memory::growth::room_for_one;
use super::memory::reclaim::Readers;
use super::memory::tagged::Tagged;
use super::shim::{AtomicU32, AtomicU64, Ordering::Relaxed, UnsafeCell, mutant, ordering};

/// Called between reading the head and swinging it. The product's hook does
/// nothing and costs nothing; the laboratory's freezes a thread there.
pub trait Hook {
    /// The operation has read the head and not yet swung it.
    fn between(&self);
}

impl Hook for () {
    #[inline(always)]
    fn between(&self) {}
}

struct Node<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    /// The node below, or the next free one.
    next: AtomicU32,
    /// In the stack: how many nodes from here down. In limbo: the next there.
    depth: AtomicU32,
}

// SAFETY: a `MaybeUninit` may hold anything, an atomic any number; neither has
// drop glue.
unsafe impl<T> Zeroed for Node<T> {
    const FIRST_BITS: u32 = if cfg!(loom) { 1 } else { 4 };

    fn zeroed() -> Self {
        Self {
            value: UnsafeCell::new(MaybeUninit::uninit()),
            next: AtomicU32::new(NIL),
            depth: AtomicU32::new(0),
        }
    }
}

/// Values that are dropped together.
const PIECE: u32 = if cfg!(loom) { 2 } else { 64 };

impl<T> Node<T> {
    /// Sets the link. The caller holds the node (I1).
    #[inline]
    fn set_link(&self, next: u32) {
        self.next.store(next, ordering!(Release, "stack.link.store"));
    }

    /// Writes the next of `values`. The caller holds the node (I1).
    #[inline]
    fn put(&self, values: &mut impl Iterator<Item = T>) {
        self.value.with_mut(|slot| {
            // SAFETY: I1: the caller alone holds the node.
            let slot = unsafe { &mut *slot };
            slot.write(values.next().expect("there is a value for each node"));
        });
    }

    /// Moves the value out. The caller alone holds the node.
    #[inline]
    fn take(&self) -> T {
        self.value.with_mut(|value| {
            // SAFETY: I1: the caller alone holds the node.
            let value = unsafe { &*value };
            // SAFETY: I2: it holds a value, and its next holder writes a new one
            // before anyone reads.
            unsafe { value.assume_init_read() }
        })
    }

    /// A copy of the value. The caller holds the node or is a reader (I5).
    #[inline]
    fn copy(&self) -> T
    where
        T: Clone,
    {
        self.value.with(|value| {
            // SAFETY: I5: nobody writes here while the caller reads.
            let value = unsafe { &*value };
            // SAFETY: I2: the node holds a value.
            unsafe { value.assume_init_ref() }.clone()
        })
    }
}

// SAFETY: nodes hand values from thread to thread, hence `T: Send`; two readers
// may clone one value at a time, hence `T: Sync`.
unsafe impl<T: Send + Sync> Sync for Node<T> {}

/// Linked nodes.
struct Chain<'a, T> {
    first: u32,
    last: &'a Node<T>,
    count: u32,
}

/// The stack.
pub struct Stack<T: Clone, H: Hook = ()> {
    head: CachePadded<AtomicU64>,
    free: CachePadded<AtomicU64>,
    readers: CachePadded<Readers>,
    nodes: Arena<Node<T>>,
    hook: H,
}

impl<T: Clone, H: Hook + Default> Default for Stack<T, H> {
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

impl<T: Clone, H: Hook> Stack<T, H> {
    /// An empty stack that calls `hook`.
    pub fn with_hook(hook: H) -> Self {
        Self {
            head: CachePadded::new(AtomicU64::new(u64::from(NIL))),
            free: CachePadded::new(AtomicU64::new(u64::from(NIL))),
            readers: CachePadded::default(),
            nodes: Arena::new(),
            hook,
        }
    }

    /// Puts `value` on top.
    ///
    /// # Errors
    /// [`OutOfMemory`] and the value; the stack is as it was.
    #[inline]
    pub fn push(&self, value: T) -> Result<(), (T, OutOfMemory)> {
        let chain = match self.take_free(1) {
            Some(chain) => chain,
            None => match self.grow(1) {
                Ok(chain) => chain,
                Err(error) => return Err((value, error)),
            },
        };
        let mut value = std::iter::once(value);
        self.link(&chain, |node| node.put(&mut value));
        Ok(())
    }

    /// Puts all of `values` on top in one step, the last one uppermost, as if
    /// pushed one by one with nothing in between.
    ///
    /// # Errors
    /// [`OutOfMemory`] and the values; the stack is as it was.
    pub fn push_many(&self, values: Vec<T>) -> Result<(), (Vec<T>, OutOfMemory)> {
        let Ok(count) = u32::try_from(values.len()) else { return Err((values, OutOfMemory)) };
        if count == 0 {
            return Ok(());
        }
        let chain = match self.take_free_or_grow(count) {
            Ok(chain) => chain,
            Err(error) => return Err((values, error)),
        };
        let mut values = values.into_iter().rev();
        self.link(&chain, |node| node.put(&mut values));
        Ok(())
    }

    /// Takes the top value.
    #[inline]
    pub fn pop(&self) -> Option<T> {
        let head = self.load_head();
        let index = head.index();
        if index == NIL {
            return None;
        }
        let node = self.node(index);
        let next = node.next.load(Relaxed);
        self.hook.between();
        if self.swing(head, head.popped(next)) {
            Some(self.claim(index, node))
        } else {
            self.pop_contended()
        }
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
        let (first, count) = self.unlink(limit, room)?;
        if count > 0 {
            self.claim_chain(first, count, sink);
        }
        Ok(count as usize)
    }

    /// Removes the `limit` uppermost nodes, or all there are, in one step: the first, and how
    /// many.
    ///
    /// # Errors
    /// How many it would be, where that is more than `room`; nothing is removed.
    fn unlink(&self, limit: usize, room: usize) -> Result<(u32, u32), usize> {
        let mut backoff = Backoff::new();
        loop {
            let (head, depth) = self.top();
            let count = u32::try_from(limit).map_or(depth, |limit| limit.min(depth));
            if count as usize > room {
                return Err(count as usize);
            }
            let first = head.index();
            if count == 0 {
                return Ok((first, 0));
            }
            let end = if count == depth { NIL } else { self.walk(first, count).1 };
            self.hook.between();
            if self.swing(head, head.popped(end)) {
                return Ok((first, count));
            }
            backoff.wait();
        }
    }

    /// Takes everything in one step and drops it, piece by piece, with no more than the
    /// number of a node in hand.
    pub fn clear(&self) {
        let Ok((mut first, mut count)) = self.unlink(usize::MAX, usize::MAX) else { return };
        if count > 0 && self.readers.any_after_unlink() {
            return self.claim_chain_shared(first, count, drop);
        }
        while count > 0 {
            let piece = count.min(PIECE);
            let mut values = [const { None }; PIECE as usize];
            let mut taken = 0;
            let last = self.each(first, piece, |node| {
                values[taken] = Some(node.take());
                taken += 1;
            });
            let next = last.next.load(Relaxed);
            self.give_back(&Chain { first, last, count: piece });
            drop(values);
            (first, count) = (next, count - piece);
        }
    }

    /// The bytes that it has allocated.
    pub fn bytes(&self) -> usize {
        self.nodes.bytes()
    }

    /// A copy of the top value.
    pub fn peek(&self) -> Option<T> {
        self.read(|index| (index != NIL).then(|| self.node(index).copy()))
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
                values.push(node.copy()); // room: above
                index = node.next.load(Relaxed);
            }
            Ok(values)
        })
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
            node.value.with(|value| {
                // SAFETY: the caller keeps all others out.
                let value = unsafe { &*value };
                // SAFETY: I2: the node holds a value.
                visit(unsafe { value.assume_init_ref() })
            })?;
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
    fn node(&self, index: u32) -> &Node<T> {
        // SAFETY: indices come from the heads and from links, which hold what
        // `grow` returned (A2) and are never `NIL` here.
        unsafe { self.nodes.get(index) }
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

    /// The chain of up to `count` nodes from `first` on, and what is linked
    /// behind it. The caller does not hold them: links may be stale (I4 tells).
    #[inline]
    fn walk(&self, first: u32, count: u32) -> (Chain<'_, T>, u32) {
        let mut nodes = self.nodes.cursor();
        let mut chain = Chain { first, last: self.node(first), count: 1 };
        loop {
            // Acquire: comes with the segment of the node it names.
            let next = chain.last.next.load(ordering!(Acquire, "stack.link.follow"));
            if chain.count == count || next == NIL {
                return (chain, next);
            }
            // SAFETY: as in `node`.
            chain.last = unsafe { nodes.get(next) };
            chain.count += 1;
        }
    }

    /// Fills a chain and puts it on top.
    #[inline]
    fn link(&self, chain: &Chain<'_, T>, fill: impl FnMut(&Node<T>)) {
        if !self.try_link(chain, fill) {
            self.link_contended(chain);
        }
    }

    #[inline]
    fn try_link(&self, chain: &Chain<'_, T>, mut fill: impl FnMut(&Node<T>)) -> bool {
        let head = self.load_head();
        let mut depth = chain.count;
        if head.index() != NIL {
            depth = depth.wrapping_add(self.node(head.index()).depth.load(Relaxed));
        }
        self.each(chain.first, chain.count, |node| {
            fill(node);
            node.depth.store(depth, ordering!(Release, "stack.depth.store"));
            depth = depth.wrapping_sub(1);
        });
        chain.last.set_link(head.index());
        self.hook.between();
        // Release: publishes the chain's values, links and depths.
        let order = ordering!(Release, "stack.head.push");
        self.head.compare_exchange(head.0, head.pushed(chain.first).0, order, Relaxed).is_ok()
    }

    /// The rest of [`Self::link`], after a lost race: the chain is filled.
    #[cold]
    #[inline(never)]
    fn link_contended(&self, chain: &Chain<'_, T>) {
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
    fn claim(&self, index: u32, node: &Node<T>) -> T {
        if self.readers.any_after_unlink() {
            return self.claim_shared(index);
        }
        let value = node.take();
        self.give_back(&Chain { first: index, last: node, count: 1 });
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
    fn claim_chain(&self, first: u32, count: u32, mut sink: impl FnMut(T)) {
        if self.readers.any_after_unlink() {
            return self.claim_chain_shared(first, count, sink);
        }
        let last = self.each(first, count, |node| sink(node.take()));
        self.give_back(&Chain { first, last, count });
    }

    /// [`Self::claim_chain`] with readers about: copies the values and leaves
    /// the nodes in limbo, with the originals in them.
    #[cold]
    fn claim_chain_shared(&self, first: u32, count: u32, mut sink: impl FnMut(T)) {
        let mut copies = Vec::new();
        let last = self.each(first, count, |node| copies.push(node.copy()));
        let chain = Chain { first, last, count };
        if self.defer(&chain) {
            copies.into_iter().for_each(sink);
        } else {
            // The readers left meanwhile: the originals are ours after all.
            self.each(first, count, |node| sink(node.take()));
            self.give_back(&chain);
        }
    }

    /// Leaves a chain in limbo, linked there through the depths. The links stay
    /// as they are: readers follow them (I5).
    fn defer(&self, chain: &Chain<'_, T>) -> bool {
        // Relaxed: to `len`, the full fence after the removal is as good as a
        // release here; whoever takes the limbo acquires it as a whole.
        self.each(chain.first, chain.count, |node| {
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
            self.give_back(&Chain { first: limbo, last: node, count: 1 });
            // Only now: dropping may run anything.
            drop(value);
            limbo = next;
        }
    }

    /// Calls `f` with each of the linked nodes, which the caller holds; returns
    /// the last one.
    #[inline]
    fn each(&self, first: u32, count: u32, mut f: impl FnMut(&Node<T>)) -> &Node<T> {
        let mut nodes = self.nodes.cursor();
        let mut node = self.node(first);
        for _ in 1..count {
            let next = node.next.load(Relaxed);
            f(node);
            // SAFETY: as in `node`.
            node = unsafe { nodes.get(next) };
        }
        f(node);
        node
    }

    /// Up to `count` nodes from the free list.
    #[inline]
    fn take_free(&self, count: u32) -> Option<Chain<'_, T>> {
        let mut backoff = Backoff::new();
        loop {
            // Acquire: whoever gave the node back has moved its value out.
            let head = Tagged(self.free.load(ordering!(Acquire, "stack.free.load")));
            let first = head.index();
            if first == NIL {
                return None;
            }
            let (chain, end) = self.walk(first, count);
            let next = head.popped(end);
            if self.free.compare_exchange(head.0, next.0, Relaxed, Relaxed).is_ok() {
                return Some(chain);
            }
            backoff.wait();
        }
    }

    /// `count` new nodes, linked.
    #[cold]
    fn grow(&self, count: u32) -> Result<Chain<'_, T>, OutOfMemory> {
        let first = self.nodes.grow(count)?;
        let last = first + count - 1;
        for index in first..last {
            self.node(index).set_link(index + 1);
        }
        Ok(Chain { first, last: self.node(last), count })
    }

    /// Exactly `count` nodes, recycled as far as there are any.
    fn take_free_or_grow(&self, count: u32) -> Result<Chain<'_, T>, OutOfMemory> {
        let Some(recycled) = self.take_free(count) else { return self.grow(count) };
        if recycled.count == count {
            return Ok(recycled);
        }
        match self.grow(count - recycled.count) {
            Ok(grown) => {
                recycled.last.set_link(grown.first);
                Ok(Chain { first: recycled.first, last: grown.last, count })
            }
            Err(error) => {
                self.give_back(&recycled);
                Err(error)
            }
        }
    }

    /// Gives empty nodes (I2) to the free list.
    #[inline]
    fn give_back(&self, chain: &Chain<'_, T>) {
        let mut backoff = Backoff::new();
        loop {
            let head = Tagged(self.free.load(Relaxed));
            chain.last.set_link(head.index());
            // Release: the value was moved out before.
            let order = ordering!(Release, "stack.free.give_back");
            let next = head.pushed(chain.first);
            if self.free.compare_exchange(head.0, next.0, order, Relaxed).is_ok() {
                return;
            }
            backoff.wait();
        }
    }
}

impl<T: Clone, H: Hook> Drop for Stack<T, H> {
    fn drop(&mut self) {
        // Readers are gone, and the last one took the limbo along.
        self.clear();
    }
}

impl<T: Clone, H: Hook> std::fmt::Debug for Stack<T, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("len", &self.len()).finish_non_exhaustive()
    }
}
