"""The ABA problem: a compare-and-swap that succeeds and should not.

Three stacks run the same schedule, the timeline of the tutorials: one whose
compare-and-swap (CAS) compares the index of a recycled node, the same with a
version tag beside the index, and one that compares objects by identity.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from lockfree import AtomicInt64, AtomicRef
from lockfree.lab.report import listed, missing, paragraphs, table, verdict
from lockfree.lab.steps import Moment, Steps, play, step, whole

SUMMARY = "a compare-and-swap that succeeds and should not, and what prevents it"

INDEX_BITS: Final = 30  # as in the engine's word
INDEX_MASK: Final = (1 << INDEX_BITS) - 1
TAG_BITS: Final = 63 - INDEX_BITS  # the word is signed
ENGINE_TAG_BITS: Final = 64 - INDEX_BITS  # and the engine's is not
NIL, A, B, C = range(4)


class Stack(Protocol):
    """What the schedule needs of a stack."""

    def push(self, item: int) -> Steps[None]:
        """Put `item` on top."""

    def pop(self) -> Steps[int]:
        """Remove the top item and return it."""

    def state(self) -> Mapping[str, str]:
        """Return what there is to see from outside."""


class IndexStack:
    """Treiber's stack over a few nodes, which are used again and again.

    The head is one word: the index of the top node, and above it a tag that every
    pop changes. With a tag of 0 bits the word is the bare index, and the stack
    is **wrong**. That is the only difference.
    """

    def __init__(self, *, tag_bits: int) -> None:
        self._tag_mask = (1 << tag_bits) - 1
        self._items = [0, 0, 0, 0]
        self._next = [NIL, NIL, NIL, NIL]
        self._head = AtomicInt64(NIL)
        self._free = deque([B, A, C])  # the longest unused goes first

    def push(self, item: int) -> Steps[None]:
        """Put `item` on top."""
        node = self._free.popleft()
        self._items[node] = item
        while True:
            head = self._head.load()
            yield f"push: head is {self._shown(head)}"
            self._next[node] = head & INDEX_MASK
            if self._head.compare_exchange(head, head & ~INDEX_MASK | node):
                break
            yield "push: CAS fails"
        yield f"push({item}), in node {_name(node)}"

    def pop(self) -> Steps[int]:
        """Remove the top item and return it."""
        while True:
            head = self._head.load()
            node = head & INDEX_MASK
            if node == NIL:
                raise IndexError("pop from an empty stack")
            yield f"pop: head is {self._shown(head)}"
            below = self._next[node]
            yield f"pop: below {_name(node)} is {_name(below)}"
            desired = self._popped(head, below)
            swung = self._head.compare_exchange(head, desired)
            cas = f"CAS(head, {self._shown(head)}, {self._shown(desired)})"
            yield f"pop: {cas} {'succeeds' if swung else 'fails'}"
            if swung:
                break
        item = self._items[node]
        self._free.append(node)
        yield f"pop() -> {item}, node {_name(node)} is free"
        return item

    def _popped(self, head: int, below: int) -> int:
        """Return the word after a pop: another index, and the next tag."""
        tag = (head >> INDEX_BITS) + 1 & self._tag_mask
        return tag << INDEX_BITS | below

    def state(self) -> Mapping[str, str]:
        """Return the stack from the top down, and the free nodes."""
        head = self._head.load()
        node = head & INDEX_MASK
        links: list[str] = []
        while node != NIL and len(links) < len(self._items):  # a wrong one may be a ring
            links.append(f"{_name(node)}={self._items[node]}")
            node = self._next[node]
        return {
            "head": self._shown(head),
            "stack": " > ".join(links),
            "free": " ".join(map(_name, self._free)),
        }

    def _shown(self, word: int) -> str:
        name = _name(word & INDEX_MASK)
        return f"{name}#{word >> INDEX_BITS}" if self._tag_mask else name


def _name(node: int) -> str:
    return "-ABC"[node]


class Node:
    """A link of the list below. The name is for the timeline only."""

    def __init__(self, data: int, name: str) -> None:
        self.data = data
        self.name = name
        self.next: Node | None = None


class LockFreeStack:
    """The stack of the tutorials, where each push makes a new node."""

    def __init__(self) -> None:
        self._head: AtomicRef[Node | None] = AtomicRef(None)
        self._names = iter("BACD")

    def push(self, data: int) -> Steps[None]:
        """Put `data` on top."""
        new_node = Node(data, next(self._names))
        while True:
            current_head = self._head.load()
            yield f"push: head is {_called(current_head)}"
            new_node.next = current_head
            if self._head.compare_exchange(current_head, new_node):
                break
            yield "push: CAS fails"
        yield f"push({data}), in node {new_node.name}"

    def pop(self) -> Steps[int]:
        """Remove the top item and return it."""
        while True:
            current_head = self._head.load()
            if current_head is None:
                raise IndexError("pop from an empty stack")
            yield f"pop: head is {current_head.name}"
            new_head = current_head.next
            yield f"pop: below {current_head.name} is {_called(new_head)}"
            swung = self._head.compare_exchange(current_head, new_head)
            cas = f"CAS(head, {current_head.name}, {_called(new_head)})"
            yield f"pop: {cas} {'succeeds' if swung else 'fails'}"
            if swung:
                break
        yield f"pop() -> {current_head.data}"
        return current_head.data

    def state(self) -> Mapping[str, str]:
        """Return the stack from the top down."""
        head = node = self._head.load()
        links: list[str] = []
        while node is not None:
            links.append(f"{node.name}={node.data}")
            node = node.next
        return {"head": _called(head), "stack": " > ".join(links)}


def _called(node: Node | None) -> str:
    return "-" if node is None else node.name


SCHEDULE: Final = (
    *(step(1), step(1)),  # reads the head and what is below it
    *(whole(2), whole(2), whole(2), whole(2)),
    *(step(1), whole(1)),  # the compare-and-swap, and what follows from it
    whole(2),
)
"""Thread 1 pops, and is interrupted just before its compare-and-swap. Meanwhile
thread 2 pops both items, pushes 3, and pushes 1 back; at last it pops once more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a stack came through the schedule."""

    moments: list[Moment]
    pushed: list[int]
    popped: list[int]

    @property
    def lost(self) -> list[int]:
        """What went in and did not come out, although the stack is empty."""
        return missing(self.pushed, self.popped)

    @property
    def repeated(self) -> list[int]:
        """What came out more often than it went in."""
        return missing(self.popped, self.pushed)

    @property
    def intact(self) -> bool:
        """Whether what came out is what went in."""
        return not self.lost and not self.repeated


def observe(stack: Stack) -> Outcome:
    """Run the schedule on an empty `stack`."""
    pushed: list[int] = []
    popped: list[int] = []

    def push(item: int) -> Steps[None]:
        pushed.append(item)
        return stack.push(item)

    def pop() -> Steps[None]:
        popped.append((yield from stack.pop()))

    before = play([whole(0), whole(0)], {0: [push(2), push(1)]}, stack.state)
    start = list(before)[-1]._replace(step="before: two items")
    programs = {1: [pop()], 2: [pop(), pop(), push(3), push(1), pop()]}
    return Outcome([start, *play(SCHEDULE, programs, stack.state)], pushed, popped)


def run() -> bool:
    """Show the three stacks, and how a tag that is too short fails."""
    print(paragraphs(_INTRODUCTION))
    bare = _show(_BARE, IndexStack(tag_bits=0))
    tagged = _show(_TAGGED, IndexStack(tag_bits=TAG_BITS))
    fresh = _show(_FRESH, LockFreeStack())
    wrapped = _show(_WRAPPED, IndexStack(tag_bits=1))
    print(f"\n{paragraphs(_WRAP)}")
    return verdict(
        {
            "the bare index loses 3 and yields 2 twice": (bare.lost, bare.repeated) == ([3], [2]),
            "a tag beside it loses nothing and repeats nothing": tagged.intact,
            "neither does comparing new nodes by identity": fresh.intact,
            "a tag that wraps in between is no better than none": (
                (wrapped.lost, wrapped.repeated) == (bare.lost, bare.repeated)
            ),
        }
    )


def _show(introduction: str, stack: Stack) -> Outcome:
    outcome = observe(stack)
    print(f"\n{paragraphs(introduction)}\n\n{_timeline(outcome.moments)}\n")
    print(f"went in: {listed(outcome.pushed)}   came out: {listed(outcome.popped)}", end="   ")
    print(f"lost: {listed(outcome.lost)}   once too often: {listed(outcome.repeated)}")
    return outcome


def _timeline(moments: list[Moment]) -> str:
    rows: list[tuple[object, ...]] = [("time", "thread", "step", *moments[0].state)]
    for time, (thread, done, state) in enumerate(moments):
        rows.append((f"{time:4}", f"{thread or '':^6}", done, *state.values()))
    return table(rows)


_INTRODUCTION = """
    A lock-free stack is a linked list. To pop, a thread reads the head and what is linked below
    it, and swings the head from the one to the other by compare-and-swap (CAS), which fails if
    the head is no longer what was read.

    Below, thread 1 pops and is interrupted just before its CAS. Thread 2 pops both items, pushes
    3, and pushes 1 back. Then thread 1 goes on. No threads run: each operation is a generator
    of atomic steps, and a schedule says who goes next.
"""

_BARE = """
    1. Nodes are recycled, the CAS compares a bare index: WRONG

    The head is A at time 7 as it was at time 1, so the CAS succeeds. But it is not the same stack:
    B, which thread 1 puts on top, is a free node, and the rest of the list, 3, is lost.
"""

_TAGGED = f"""
    2. The same class, a tag in the same word: right

    A#2 is node A under tag 2. Each pop changes the tag, so that the CAS fails, and thread 1 reads
    again. This is what lockfree.Stack does. Of this stack's word, an AtomicInt64, which is signed,
    {TAG_BITS} bits are left for the tag; the word of lockfree.Stack has no sign, and leaves
    {ENGINE_TAG_BITS}.
"""

_FRESH = """
    3. A new node for each push, the CAS compares identity: right

    This is the tutorials' LockFreeStack. The value on top is 1 again, but the object is another
    one, and the CAS fails. It cannot be A: thread 1 still refers to A, so Python does not use its
    memory for something else. Garbage collection answers ABA, as hazard pointers and epochs do
    without it, as long as no node is used twice. The reference is an AtomicRef.
"""

_WRAPPED = """
    4. A tag of 1 bit: wrong again

    A tag makes the problem rare, not impossible. Thread 2 pops twice, and a tag of one bit is
    then what it was.
"""

_WRAP = f"""
    The tag of lockfree.Stack has {ENGINE_TAG_BITS} bits. To be deceived, a thread must be paused
    between its read and its CAS, a few instructions, while the others make exactly
    {1 << ENGINE_TAG_BITS:,} removals or a multiple, and leave the same node on top. At 10 ns a
    removal that is a pause of {(1 << ENGINE_TAG_BITS) * 10e-9:.0f} s at least, with all others at
    full speed. With a GIL no other thread runs in between; without one, the first garbage
    collection of the others waits for the paused thread.
"""
