"""A thread that stops half-way through an operation, and what becomes of the others.

The scheduler may take a thread off its core at any instruction. Here it does so
at the worst one, and for long: a thread is frozen in the middle of a pop, once
inside the lock-free engine and once inside its locked twin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from threading import Event, Thread
from typing import Any, Final, Protocol

from lockfree import locked
from lockfree.lab.report import listed, missing, paragraphs, table, verdict

SUMMARY = "a thread stops half-way: the others go on, or hang if it holds a lock"

OTHERS: Final = 3
PAIRS: Final = 10_000
PATIENCE: Final = 1.0
_LIMIT: Final = 60.0  # for what cannot take long, so that nothing ever waits for good


class Stack(Protocol):
    """A stack in which a thread can be stopped."""

    def push(self, item: int, /) -> None:
        """Put `item` on top."""

    def pop(self, /) -> int:
        """Remove the top item and return it."""

    def interrupted_pop(self, between: Callable[[Any], object], /) -> int:
        """Pop, and call `between` at the worst moment."""

    def __len__(self) -> int: ...


class LockedStack(locked.Stack[int]):
    """The locked twin; the worst moment is while the lock is held."""

    def interrupted_pop(self, between: Callable[[Any], object], /) -> int:
        """Pop, and call `between(self)` before the item is removed."""
        with self._lock:
            between(self)
            return self._items.pop()


class Freezer:
    """Stops the thread that calls it, until it is released."""

    def __init__(self) -> None:
        self._reached = Event()
        self._released = Event()

    def __call__(self, _stack: object) -> None:
        """Stand still."""
        self._reached.set()
        self._released.wait(_LIMIT)  # without the GIL, if there is one

    def wait_until_reached(self) -> None:
        """Return when a thread stands still."""
        if not self._reached.wait(_LIMIT):
            raise TimeoutError("no thread came by to be frozen")

    def release(self) -> None:
        """Let the thread go on."""
        self._released.set()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the others did while one was frozen, and what was there in the end."""

    finished: bool
    """Whether the others finished all they had to do before the frozen thread went on."""
    pairs: int
    """How many pushes and pops they finished."""
    seconds: float
    """How long they took, or were waited for."""
    lost: list[int]
    repeated: list[int]


def freeze_one(stack: Stack, *, patience: float = PATIENCE) -> Outcome:
    """Freeze a thread inside `stack`, let others use it, release the thread."""
    stack.push(0)
    thawed: list[int] = []
    popped: list[list[int]] = [[] for _ in range(OTHERS)]

    def push_and_pop(index: int) -> None:
        for item in _items(index):
            stack.push(item)
            popped[index].append(stack.pop())

    freezer = Freezer()
    frozen = _started(lambda: thawed.append(stack.interrupted_pop(freezer)))
    try:
        freezer.wait_until_reached()
        start = time.perf_counter()
        others = [_started(partial(push_and_pop, index)) for index in range(OTHERS)]
        finished = _ended(others, patience) and frozen.is_alive()
        seconds = time.perf_counter() - start
        pairs = sum(map(len, popped))
    finally:
        freezer.release()
    if not _ended([frozen, *others], _LIMIT):
        raise TimeoutError("a thread did not end although none is frozen any more")
    rest = [stack.pop() for _ in range(len(stack))]
    came_out = [*thawed, *chain(*popped), *rest]
    went_in = [0, *chain(*map(_items, range(OTHERS)))]
    lost, repeated = missing(went_in, came_out), missing(came_out, went_in)
    return Outcome(finished, pairs, seconds, lost, repeated)


def run() -> bool:
    """Show both stacks side by side."""
    try:
        from lockfree._native import _InterruptibleStack
    except ImportError:
        print("The native extension is not there, hence no lock-free engine to stop in.")
        return False
    print(f"{paragraphs(_INTRODUCTION)}\n")
    engine = freeze_one(_InterruptibleStack())
    twin = freeze_one(LockedStack())
    print(_table(engine, twin))
    print(f"\n{paragraphs(_EXPLANATION)}")
    return verdict(
        {
            "the others finish while a thread is frozen in the lock-free engine": engine.finished,
            "they get nothing done while one is frozen with the lock": twin.pairs == 0,
            "once it is released all end, and every item came out once": not (
                engine.lost or engine.repeated or twin.lost or twin.repeated
            ),
        }
    )


def _table(engine: Outcome, twin: Outcome) -> str:
    both = (engine, twin)
    return table(
        [
            ("a thread is frozen in", "the engine", "its locked twin"),
            ("", "between read and CAS", "with the lock held"),
            ("", "", ""),
            ("the others' pushes and pops", *(f"{2 * each.pairs:,}" for each in both)),
            ("all they had to do", *("yes" if each.finished else "no" for each in both)),
            ("seconds until then, or given up", *(f"{each.seconds:.3f}" for each in both)),
            ("", "", ""),
            ("after the release, lost", *(listed(each.lost) for each in both)),
            ("once too often", *(listed(each.repeated) for each in both)),
        ]
    )


def _items(index: int) -> range:
    """Return what one of the others pushes: items that nobody else does."""
    return range(1 + index * PAIRS, 1 + (index + 1) * PAIRS)


def _started(work: Callable[[], object]) -> Thread:
    thread = Thread(target=work, daemon=True)  # one that hangs does not keep the process
    thread.start()
    return thread


def _ended(threads: Iterable[Thread], seconds: float) -> bool:
    """Wait so long for all `threads` together; return whether they ended."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


_INTRODUCTION = f"""
    A thread pops and is frozen half-way: in the lock-free engine after it has read the head and
    before its compare-and-swap (CAS), in the locked twin while it holds the lock. {OTHERS} other
    threads want to do {PAIRS:,} pushes and {PAIRS:,} pops each. They are given {PATIENCE:g} s; then
    the frozen thread is released.
"""

_EXPLANATION = """
    Nobody needs anything of a thread that has merely read. When it goes on, its CAS fails, since
    each pop has changed the head's tag, and it pops what is then on top. A lock, however, is as
    slow as its slowest holder, and the holder may lose its core at any time.

    Lock-free is a property of the data structure. A garbage collection that stops the world, and
    the GIL where there is one, still make every thread wait for one that does not let go.
"""
