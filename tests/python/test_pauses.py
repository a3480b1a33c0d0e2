"""What takes long answers signals, and lets other threads run, with nothing half done."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from lockfree import Cache, KeyedCounter, PriorityQueue, Queue, Stack

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="needs a timer that sends signals"
)

SOON = 0.005
MANY = 3_000_000


class Alarm(Exception):  # noqa: N818 -- what a handler raises is no error
    """What the signal handler raises."""


@contextmanager
def alarm(handler: Callable[[int, FrameType | None], object], again: float = 0) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, again or SOON, again)
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


def shut_down() -> Queue[int]:
    q = queue()
    q.shutdown()
    return q


def priorities() -> PriorityQueue[int]:
    q = PriorityQueue[int]()
    q.put_many(range(300_000))
    return q


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (stack, list),
        (shut_down, list),
        (lambda: None, lambda _: PriorityQueue[int]().put_many(range(300_000))),
        (priorities, lambda q: q.get_many(300_000)),
        (priorities, lambda q: q.drain()),
        (cache, list),
        (cache, lambda c: list(c.items())),
        (cache, lambda c: dict(c.items())),
        (cache, lambda c: set(c.values())),
        (cache, lambda c: c == dict(c.items())),
        (cache, lambda c: Cache[int, int](None).update(c.items())),
    ],
    ids=[
        "list of a Stack",
        "list of a Queue",
        "PriorityQueue.put_many",
        "PriorityQueue.get_many",
        "PriorityQueue.drain",
        "list of a Cache",
        "list of Cache.items",
        "dict of Cache.items",
        "set of Cache.values",
        "Cache ==",
        "Cache.update",
    ],
)
def test_signals_are_answered_again_and_again(
    make: Callable[[], Any], call: Callable[[Any], object]
) -> None:
    answered: list[None] = []
    target = make()
    with alarm(lambda *_: answered.append(None), again=0.001):
        result = call(target)
        so_far = len(answered)
    # What comes while a call runs that does not pause is answered once, when it is over.
    assert so_far >= 2
    del result


def test_what_a_handler_raises_costs_no_item() -> None:
    q = priorities()
    got: list[list[int]] = []
    with alarm(raise_alarm), pytest.raises(Alarm):
        got.extend(map(q.get_many, [300_000]))  # no byte code between the two calls
    assert got == [list(range(300_000))]


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


def test_signals_are_answered_while_a_counter_takes_counts_back() -> None:
    c = KeyedCounter[Any](range(500_000))
    fails = False
    answered: list[None] = []

    class Key:
        def __hash__(self) -> int:
            nonlocal fails
            if fails:
                fails = False
                answered.clear()
                raise ZeroDivisionError
            return 5

    c.add(Key())
    fails = True
    so_far = 0
    with alarm(lambda *_: answered.append(None), again=0.001):
        try:
            c.reset()
        except ZeroDivisionError:
            so_far = len(answered)
    # Without a pause, once at the end, or twice.
    assert so_far >= 4
    assert (len(c), c.total()) == (500_001, 500_001)
