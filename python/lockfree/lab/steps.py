"""Concurrency without threads: operations run step by step, in a given order.

An operation is a generator. Between two yields it does one atomic step; what it
yields says what the step was. A schedule then names who goes next, so that an
interleaving which threads hit once in a million runs happens every time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

T = TypeVar("T")

Steps = Generator[str, None, T]
"""An operation that returns a ``T``."""


class Turn(NamedTuple):
    """Whose turn it is, and how far the thread gets."""

    thread: int
    whole: bool
    """To the end of its operation; else one step."""


def step(thread: int) -> Turn:
    """One atomic step."""
    return Turn(thread, whole=False)


def whole(thread: int) -> Turn:
    """The operation, or what is left of it, with nobody in between."""
    return Turn(thread, whole=True)


class Moment(NamedTuple):
    """What a turn did, and what it left behind."""

    thread: int
    step: str
    """The last step, if the turn had several."""
    state: Mapping[str, str]


def play(
    schedule: Iterable[Turn],
    programs: Mapping[int, Iterable[Steps[object]]],
    state: Callable[[], Mapping[str, str]],
) -> Iterator[Moment]:
    """Run the operations of each thread in the order of `schedule`."""
    operations = {thread: deque(program) for thread, program in programs.items()}
    for turn in schedule:
        if turn.whole:
            *_, done = operations[turn.thread].popleft()
        else:
            done = next(operations[turn.thread][0])
        yield Moment(turn.thread, done, state())
