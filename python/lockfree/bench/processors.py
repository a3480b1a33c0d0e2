"""Where threads run, and how long they waited for it.

A kernel may leave two threads that a barrier let go on one processor for tens of
milliseconds: what is measured then is how they take turns, at which a lock is good,
and not how they get on side by side. So each thread of a run gets a processor of its
own; and how long it was ready to run and had none is counted, for even so something
else may want that processor. Time asleep in a lock is not: that is a result.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

TOLERATED: Final = 0.05
"""The share of a run that its threads may spend waiting for a processor."""

_SCHEDSTAT = "/proc/thread-self/schedstat"


def usable() -> tuple[int, ...]:
    """Return the processors that threads can be pinned to; none where the system does not."""
    if not hasattr(os, "sched_setaffinity"):
        return ()
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, allowed)
    except OSError:  # a sandbox may forbid it
        return ()
    return tuple(sorted(allowed))


def waited() -> int | None:
    """Return for how many nanoseconds this thread has been ready to run without a processor.

    None where the kernel does not say.
    """
    try:
        with open(_SCHEDSTAT, "rb") as file:
            _, nanoseconds, turns = map(int, file.read().split())
    except (OSError, ValueError):
        return None
    return nanoseconds if turns else None  # three zeros: it does not count


def described(*, pin: bool) -> str:
    """Return how threads are placed and watched here, in words."""
    if not pin:
        placed = "where the system puts them (--no-pin)"
    elif usable():
        placed = "each on a processor of its own, as far as there are enough"
    else:
        placed = "where the system puts them: it does not let them be pinned"
    unknown = "" if waited() is not None else "; whether they waited for one it does not say"
    return placed + unknown


class Places:
    """Puts each thread of one run on its processor, and adds up how long they waited."""

    def __init__(self, processors: Sequence[int]) -> None:
        """Use these in turn; with none, leave the threads to the system."""
        self._processors = processors
        self._waited: list[int | None] = []

    @contextmanager
    def of(self, index: int) -> Iterator[None]:
        """Keep the calling thread on the processor of its number."""
        with _pinned(self._processors[index % len(self._processors)] if self._processors else None):
            before = waited()
            yield
            after = waited()
        self._waited.append(None if before is None or after is None else after - before)

    def waited(self) -> float | None:
        """Return how many seconds a thread waited, on average; None if that is not known."""
        known = [each for each in self._waited if each is not None]
        return sum(known) / len(known) / 1e9 if known else None


@contextmanager
def _pinned(processor: int | None) -> Iterator[None]:
    """Keep the calling thread on a processor, and let it go where it might before."""
    if processor is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
