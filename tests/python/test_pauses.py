"""What takes long answers signals, and lets other threads run, with nothing half done."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from lockfree import Cache, Queue, Stack

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="needs a timer that sends signals"
)

SOON = 0.005
MANY = 3_000_000


class Alarm(Exception):  # noqa: N818 -- what a handler raises is no error
    """What the signal handler raises."""


@contextmanager
def alarm(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, SOON)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def raise_alarm(_signal: int, _frame: FrameType | None) -> None:
    raise Alarm


def stack() -> Stack[int]:
    return Stack(range(MANY))


def queue() -> Queue[int]:
    q = Queue[int]()
    q.put_many(range(MANY))
    return q


def cache(ttl: float | None = None) -> Cache[int, int]:
    c = Cache[int, int](None, ttl=ttl)
    for number in range(300_000):
        c[number] = -number
    return c


def expired() -> Cache[int, int]:
    c = cache(0.5)
    time.sleep(0.5)
    return c


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (Stack, lambda s: s.push_many(range(MANY))),
        (stack, lambda s: s.clear()),
        (lambda: Stack(range(300_000)), repr),
        (Queue, lambda q: q.put_many(range(MANY))),
        (queue, lambda q: q.shutdown(immediate=True)),
        (cache, lambda c: c._items()),
        (cache, repr),
        (cache, lambda c: c.clear()),
        (expired, lambda c: c.expire()),
    ],
    ids=[
        "Stack.push_many",
        "Stack.clear",
        "repr of a Stack",
        "Queue.put_many",
        "Queue.shutdown",
        "Cache.items",
        "repr of a Cache",
        "Cache.clear",
        "Cache.expire",
    ],
)
def test_a_signal_is_answered_in_the_middle(
    make: Callable[[], Any], call: Callable[[Any], object]
) -> None:
    answered = []
    target = make()
    with alarm(lambda *_: answered.append(time.perf_counter())):
        begin = time.perf_counter()
        result = call(target)
        end = time.perf_counter()
    del result
    assert answered, "too quick to tell"
    # It comes early; without a pause it is answered at the very end.
    assert answered[0] - begin < (end - begin) * 0.9


def test_what_a_handler_raises_leaves_a_stack_as_it_was() -> None:
    s = Stack[int]([1])
    with alarm(raise_alarm), pytest.raises(Alarm):
        s.push_many(range(MANY))
    assert list(s) == [1]


def test_what_a_handler_raises_ends_put_many_early() -> None:
    q = Queue[int]()
    with alarm(raise_alarm), pytest.raises(Alarm):
        q.put_many(range(MANY))
    assert q.qsize() < MANY
    assert q.drain() == list(range(q.unfinished_tasks))


def test_what_a_handler_raises_comes_out_of_clear() -> None:
    s = stack()
    with alarm(raise_alarm), pytest.raises(Alarm):
        s.clear()
    assert not s
