//! The nodes of a stack that are not in it.
//!
//! # Idea
//! Nodes are recycled. The one that a thread gave back last it takes first: it waits in the
//! thread's own *spare*, a word that no other thread touches, so that who pushes and pops by
//! turns pays one atomic read-modify-write for each and not two. All others are in a list, a
//! stack of Treiber's too, and below that are those that were never used, or whose memory
//! the system has back.
//!
//! A batch stays in one piece: nodes that are neighbours and linked in their order, as those
//! of `push_many` are from their first day, are given back as a *run*, whose length is noted in
//! its first node. A batch of that length takes the run as it is, and walks over no links.
//!
//! *Trimming* gives memory back. The list cannot be searched while others use it; but it
//! can be taken as a whole, by one compare-and-swap, which leaves some nodes in its stead. In
//! what was taken the nodes of each large segment are counted: if they are as many as were
//! given out, the segment is nobody else's. The pages of such segments are discarded, and
//! their indices, a *range*, are given out anew. The addresses stay mapped. So a thread that
//! stands on such a node without holding it reads zeros, or what was there, and its
//! compare-and-swap fails by the tag, as with any node that was recycled: none of this needs an
//! epoch, nor does `push` or `pop` know of it.
//!
//! # Invariants
//! - **F1** An index that was given out is in one place: in the stack, its limbo, the list, a
//!   spare, the range, or the hands of one thread.
//! - **F2** A spare is read and written by the thread that holds its number ([`Slot`]).
//!   What it names is no large segment's, so that it keeps none from being discarded.
//! - **F3** The range is set only by who trims, one thread at a time, and is empty or one
//!   that nobody has taken from in between.
//! - **F4** Every removal from the list changes its tag (I4).
//! - **F5** Where a node in the list says that a run begins there, so many neighbours from it
//!   on are in the list, each linked to the next. Links in the list do not change; who takes
//!   nodes to link them anew (trimming) ends their runs. By F4 and I4 what was read of a run
//!   is true if the list's head could be swung.
//!
//! # Orderings
//! | ordering | site | pairs with | protects |
//! |---|---|---|---|
//! | `Release` | the list's head, giving back | `Acquire` load of it | the value moved out, before the next is written |
//! | `Release` | the list's head, replaced by who trims | the same | the same: the nodes that stay were others' before |
//! | `Release` | the range, set | `Acquire` in taking from it | the discarding, before new values are written |
//! | `Acquire`/`Release` | the word of who trims | each other | F3 |
//! | `Relaxed` | a run's length, read | | F5 |
//! | `Relaxed` | spares | | F2; a number is handed on by an acquire of a release |
//!
//! # Progress
//! All lock-free, as far as the allocator is; who finds another thread trimming does not.

use crossbeam_utils::CachePadded;

use super::super::Backoff;
use super::super::memory::arena::{
    Arena, NIL, OutOfMemory, SEGMENTS, Zeroed, first_of, segment_of,
};
use super::super::memory::slots::Slot;
use super::super::memory::tagged::Tagged;
use super::super::shim::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{self, Acquire, Relaxed, Release},
    mutant, ordering,
};
use super::node::{Chain, Node, Place};

/// Threads that have a spare: those with the smallest numbers.
const SPARES: usize = 14;
/// The first large segment: of a mebibyte, with nodes of 16 bytes.
const LARGE: usize = if cfg!(loom) { 1 } else { 12 };
/// How many free nodes stay in the list while it is searched.
pub(super) const KEPT: u32 = if cfg!(loom) { 1 } else { 1 << 10 };
/// What may be given back must be so much at least, or there is no trimming.
const WORTH: u32 = if cfg!(loom) { 1 } else { 1 << 16 };

/// What threads that push and pop write.
#[derive(Debug)]
struct Top {
    free: AtomicU64,
    spares: [AtomicU32; SPARES],
}

/// The nodes.
#[derive(Debug)]
pub(super) struct Supply<T, P: Place<T>> {
    top: CachePadded<Top>,
    nodes: Arena<Node<T, P>>,
    /// Indices that are given out anew: the first, and above it, by 32 bits, the end.
    range: AtomicU64,
    is_trimmed: AtomicBool,
}

impl<T, P: Place<T>> Default for Supply<T, P> {
    fn default() -> Self {
        let spares = std::array::from_fn(|_| AtomicU32::new(NIL));
        Self {
            top: CachePadded::new(Top { free: AtomicU64::new(u64::from(NIL)), spares }),
            nodes: Arena::new(),
            range: AtomicU64::new(0),
            is_trimmed: AtomicBool::new(false),
        }
    }
}

impl<T, P: Place<T>> Supply<T, P> {
    /// The node with this index.
    #[inline]
    pub(super) fn node(&self, index: u32) -> &Node<T, P> {
        // SAFETY: indices come from the heads and from links, which hold what
        // `grow` returned (A2) and are never `NIL` here.
        unsafe { self.nodes.get(index) }
    }

    /// A node.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    #[inline]
    pub(super) fn take_one(&self, slot: Slot) -> Result<Chain<'_, T, P>, OutOfMemory> {
        if let Some(spare) = self.spare(slot) {
            let first = spare.load(Relaxed);
            if first != NIL {
                spare.store(NIL, Relaxed);
                return Ok(Chain::of_one(first, self.node(first)));
            }
        }
        self.take_free(1).map_or_else(|| self.grow(1), Ok)
    }

    /// The bytes of all nodes.
    pub(super) fn bytes(&self) -> usize {
        self.nodes.bytes()
    }

    /// Exactly `count` nodes, linked, recycled as far as there are any.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(super) fn take_many(&self, count: u32) -> Result<Chain<'_, T, P>, OutOfMemory> {
        let Some(recycled) = self.take_free(count) else { return self.grow(count) };
        if recycled.count == count {
            return Ok(recycled);
        }
        match self.grow(count - recycled.count) {
            Ok(grown) => {
                recycled.last.set_link(grown.first);
                Ok(Chain { first: recycled.first, last: grown.last, count, is_straight: false })
            }
            Err(error) => {
                self.give_back(&recycled);
                Err(error)
            }
        }
    }

    /// Gets a node back that holds nothing (I2).
    #[inline]
    pub(super) fn give_one(&self, slot: Slot, index: u32, node: &Node<T, P>) {
        if let Some(spare) = self.spare(slot)
            && spare.load(Relaxed) == NIL
            && segment_of::<Node<T, P>>(index) < LARGE
        {
            spare.store(index, Relaxed);
        } else {
            self.give_back(&Chain::of_one(index, node));
        }
    }

    /// Gets nodes back that hold nothing (I2).
    #[inline]
    pub(super) fn give_back(&self, chain: &Chain<'_, T, P>) {
        if chain.is_straight && chain.count > 1 {
            self.node(chain.first).begin_run(chain.count);
        }
        let mut backoff = Backoff::new();
        loop {
            let head = Tagged(self.top.free.load(Relaxed));
            chain.last.set_link(head.index());
            // Release: the value was moved out before.
            let order = ordering!(Release, "stack.free.give_back");
            let next = head.pushed(chain.first);
            if self.top.free.compare_exchange(head.0, next.0, order, Relaxed).is_ok() {
                return;
            }
            backoff.wait();
        }
    }

    /// The spare of a thread (F2).
    #[inline]
    fn spare(&self, slot: Slot) -> Option<&AtomicU32> {
        let number = if mutant!("stack.spare.shared") { 1 } else { slot.number() };
        self.top.spares.get((number as usize).wrapping_sub(1))
    }

    /// Up to `count` nodes from the list.
    #[inline]
    fn take_free(&self, count: u32) -> Option<Chain<'_, T, P>> {
        let mut backoff = Backoff::new();
        loop {
            let head = self.load_free();
            let first = head.index();
            if first == NIL {
                return None;
            }
            let (chain, end) = self.run(first, count).unwrap_or_else(|| self.walk(first, count));
            let next = head.popped(end);
            if self.top.free.compare_exchange(head.0, next.0, Relaxed, Relaxed).is_ok() {
                return Some(chain);
            }
            backoff.wait();
        }
    }

    #[inline]
    fn load_free(&self) -> Tagged {
        // Acquire: whoever gave the node back has moved its value out.
        Tagged(self.top.free.load(ordering!(Acquire, "stack.free.load")))
    }

    /// The run that begins with a free node, if it has just `count` nodes, and what is linked
    /// behind it. The caller does not hold them: it may be over (F5).
    #[inline]
    fn run(&self, first: u32, count: u32) -> Option<(Chain<'_, T, P>, u32)> {
        if count == 1 || self.node(first).run() != count {
            return None;
        }
        // Found with its segment, which the length may be newer than.
        let last = self.nodes.find(first + count - 1)?;
        // Acquire: as in `walk`.
        let next = last.next.load(ordering!(Acquire, "stack.link.follow"));
        Some((Chain { first, last, count, is_straight: true }, next))
    }

    /// The chain of up to `count` nodes from `first` on, and what is linked
    /// behind it. The caller does not hold them: links may be stale (I4 tells).
    #[inline]
    pub(super) fn walk(&self, first: u32, count: u32) -> (Chain<'_, T, P>, u32) {
        // Acquire: a link comes with the segment of the node it names.
        let order = ordering!(Acquire, "stack.link.follow");
        self.follow(first, count, order, |_| ())
    }

    /// Calls `f` with each of the linked nodes, which the caller holds; returns their chain,
    /// and what is linked behind it.
    #[inline]
    pub(super) fn each(
        &self,
        first: u32,
        count: u32,
        f: impl FnMut(&Node<T, P>),
    ) -> (Chain<'_, T, P>, u32) {
        self.follow(first, count, Relaxed, f)
    }

    /// Calls `f` with each node of a chain that the caller holds.
    #[inline]
    pub(super) fn each_of(&self, chain: &Chain<'_, T, P>, mut f: impl FnMut(&Node<T, P>)) {
        if !chain.is_straight {
            self.each(chain.first, chain.count, f);
            return;
        }
        let (mut index, mut left) = (chain.first, chain.count);
        while left > 0 {
            let neighbours = self.neighbours(index, left);
            neighbours.iter().for_each(&mut f);
            index += length(neighbours);
            left -= length(neighbours);
        }
    }

    /// Up to `count` nodes from this one on that lie side by side.
    #[inline]
    fn neighbours(&self, index: u32, count: u32) -> &[Node<T, P>] {
        // SAFETY: as in `node`.
        let neighbours = unsafe { self.nodes.segment_from(index) };
        &neighbours[..neighbours.len().min(count as usize)]
    }

    /// Calls `f` with up to `count` linked nodes. Returns their chain, and what is linked
    /// behind it.
    ///
    /// As long as links lead to the neighbour, as after `push_many`, no lookup waits for them.
    #[inline]
    fn follow(
        &self,
        first: u32,
        count: u32,
        order: Ordering,
        mut f: impl FnMut(&Node<T, P>),
    ) -> (Chain<'_, T, P>, u32) {
        let (mut index, mut left, mut is_straight) = (first, count, true);
        loop {
            let neighbours = self.neighbours(index, left);
            let (start, mut next) = (index, NIL);
            for node in neighbours {
                next = node.next.load(order);
                f(node);
                index += 1;
                if next != index {
                    break;
                }
            }
            let last = &neighbours[(index - start) as usize - 1];
            left -= index - start;
            if left == 0 || next == NIL {
                return (Chain { first, last, count: count - left, is_straight }, next);
            }
            is_straight &= next == index;
            index = next;
        }
    }

    /// `count` nodes that were never used, or not since the system had their memory; linked.
    #[cold]
    fn grow(&self, count: u32) -> Result<Chain<'_, T, P>, OutOfMemory> {
        let first = match self.take_range(count) {
            Some(first) => first,
            None => self.nodes.grow(count)?,
        };
        Ok(self.linked(first, first + count))
    }

    /// Links the nodes from `first` up to `end`, which the caller holds.
    fn linked(&self, first: u32, end: u32) -> Chain<'_, T, P> {
        for index in first..end - 1 {
            self.node(index).set_link(index + 1);
        }
        Chain { first, last: self.node(end - 1), count: end - first, is_straight: true }
    }

    /// Takes from the range, if there are as many.
    fn take_range(&self, count: u32) -> Option<u32> {
        let take = |range| {
            let (first, end) = bounds(range);
            (end - first >= count && end > first).then(|| range + u64::from(count))
        };
        // Acquire: the discarding is done.
        let order = ordering!(Acquire, "stack.range.take");
        self.range.fetch_update(order, Relaxed, take).ok().map(|range| bounds(range).0)
    }
}

/// Trimming.
impl<T, P: Place<T>> Supply<T, P> {
    /// Whether so many nodes are given out beyond `depth` that trimming may be worth its while.
    #[inline]
    pub(super) fn is_generous(&self, depth: u32) -> bool {
        let (first, end) = bounds(self.range.load(Relaxed));
        let given_out = self.nodes.given_out().saturating_sub(end - first);
        given_out / 4 > depth && given_out - depth > WORTH
    }

    /// Lets the system have the memory of large segments that are free as a whole. Returns
    /// whether there was one.
    #[cold]
    #[inline(never)]
    pub(super) fn trim(&self) -> bool {
        // Acquire: what the one before has done (F3): its range comes before the next swap of
        // it. No model misses it, for loom has a swap always find what was stored last.
        if self.is_trimmed.compare_exchange(false, true, Acquire, Relaxed).is_err() {
            return false;
        }
        let discarded = self.take_rest().is_some_and(|rest| self.discard(rest));
        // Release: for the next one, as above.
        self.is_trimmed.store(false, Release);
        discarded
    }

    /// Takes all nodes of the list but some: returns the first.
    fn take_rest(&self) -> Option<u32> {
        let kept = self.take_free(KEPT)?;
        kept.last.set_link(NIL);
        if !mutant!("stack.run.kept") {
            self.each(kept.first, kept.count, Node::end_run);
        }
        loop {
            let head = self.load_free();
            if head.index() == NIL {
                self.give_back(&kept);
                return None;
            }
            // Release: as in `give_back`.
            let order = ordering!(Release, "stack.trim.keep");
            let next = head.popped(kept.first);
            if self.top.free.compare_exchange(head.0, next.0, order, Relaxed).is_ok() {
                return Some(head.index());
            }
        }
    }

    /// Discards large segments that are wholly in this chain and the range, and gives the
    /// other nodes back. Returns whether there was one.
    fn discard(&self, first: u32) -> bool {
        // Relaxed: who set it has trimmed before (F3).
        let before = bounds(self.range.swap(0, Relaxed));
        let mut tally = Tally::new(self.nodes.given_out() + 1, before);
        let [mut small, mut large] = [Pile::default(); 2];
        self.each_linked(first, |before, index, segment| {
            tally.counts[segment] += 1;
            self.add(if segment < LARGE { &mut small } else { &mut large }, before, index);
        });
        let (first, end) = tally.free_range::<Node<T, P>>();
        if large.count > end - first - tally.set_before(first, end) {
            large = self.without(&large, first, end);
        } else {
            large = Pile::default();
        }
        let some = (first, end) != before;
        if some {
            self.nodes.discard(first, end);
        }
        // Release: that is done.
        let order = ordering!(Release, "stack.range.set");
        self.range.store(u64::from(end) << 32 | u64::from(first), order);
        // The small ones uppermost: they are taken first, and the large ones come to rest.
        self.give_pile_back(&large);
        self.give_pile_back(&small);
        some
    }

    /// What is left of a pile without these indices.
    fn without(&self, pile: &Pile, first: u32, end: u32) -> Pile {
        let mut rest = Pile::default();
        self.node(pile.last).set_link(NIL);
        self.each_linked(pile.first, |before, index, _| {
            if !(first..end).contains(&index) {
                self.add(&mut rest, before, index);
            }
        });
        rest
    }

    /// Calls `f` with the indices of a chain that the caller holds and that ends with `NIL`,
    /// each after the one before it, and with its segment. It may change the links of those
    /// that it was called with: they begin no run any more.
    fn each_linked(&self, first: u32, mut f: impl FnMut(u32, u32, usize)) {
        let (mut before, mut index) = (NIL, first);
        while index != NIL {
            let number = segment_of::<Node<T, P>>(index);
            let start = first_of::<Node<T, P>>(number);
            // SAFETY: as in `node`: it is in this segment.
            let nodes = unsafe { self.nodes.segment_from(start) };
            while let Some(node) = nodes.get(index.wrapping_sub(start) as usize) {
                let next = node.next.load(Relaxed);
                if !mutant!("stack.run.pile") {
                    node.end_run();
                }
                f(before, index, number);
                (before, index) = (index, next);
            }
        }
    }

    /// Adds a node to a pile, at its end. The link is there already, if it comes from `before`.
    fn add(&self, pile: &mut Pile, before: u32, index: u32) {
        if pile.count == 0 {
            pile.first = index;
        } else if pile.last != before {
            self.node(pile.last).set_link(index);
        }
        pile.last = index;
        pile.count += 1;
    }

    fn give_pile_back(&self, pile: &Pile) {
        if pile.count > 0 {
            let last = self.node(pile.last);
            let (first, count) = (pile.first, pile.count);
            self.give_back(&Chain { first, last, count, is_straight: false });
        }
    }
}

/// Linked nodes, by their indices.
#[derive(Clone, Copy, Debug, Default)]
struct Pile {
    first: u32,
    last: u32,
    count: u32,
}

/// How many nodes of each segment are the trimming thread's.
struct Tally {
    counts: [u32; SEGMENTS],
    /// The first index that was not given out, or one of those that were since.
    end: u32,
    /// The range that there was.
    before: (u32, u32),
}

impl Tally {
    fn new(end: u32, before: (u32, u32)) -> Self {
        Self { counts: [0; SEGMENTS], end, before }
    }

    /// How many of these indices were in the range before.
    fn set_before(&self, first: u32, end: u32) -> u32 {
        self.before.1.min(end).saturating_sub(self.before.0.max(first))
    }

    /// Whether all indices of a segment that were given out are this thread's.
    fn has_all<N: Zeroed>(&self, number: usize) -> bool {
        let (first, end) = (first_of::<N>(number), first_of::<N>(number + 1).min(self.end));
        self.counts[number] + self.set_before(first, end) == end - first
            || mutant!("stack.trim.held")
    }

    /// The uppermost large segments that have all their indices here, and the range that there
    /// was, if it is not apart from them; or else that alone.
    fn free_range<N: Zeroed>(&self) -> (u32, u32) {
        let numbers = LARGE..segment_of::<N>(self.end - 1) + 1;
        let Some(high) = numbers.rev().find(|number| self.has_all::<N>(*number)) else {
            return self.before;
        };
        let below = (LARGE..high).rev().take_while(|number| self.has_all::<N>(*number));
        let low = below.last().unwrap_or(high);
        let (first, end) = (first_of::<N>(low), first_of::<N>(high + 1).min(self.end));
        if self.before.0 == self.before.1 {
            (first, end)
        } else if self.before.0 <= end && first <= self.before.1 {
            (first.min(self.before.0), end.max(self.before.1))
        } else {
            self.before
        }
    }
}

/// How many nodes.
#[inline]
#[allow(clippy::cast_possible_truncation)] // they have indices of 32 bits
fn length<N>(nodes: &[N]) -> u32 {
    nodes.len() as u32
}

/// The first of a range, and its end.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the halves are meant
fn bounds(range: u64) -> (u32, u32) {
    (range as u32, (range >> 32) as u32)
}
