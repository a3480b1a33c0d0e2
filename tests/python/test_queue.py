"""``Queue``: one body for the native class and the locked one."""

from __future__ import annotations

import copy
import logging
import logging.config
import logging.handlers
import math
import pickle
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from linearizability import Call, outcome
from lockfree import Empty, Full, ShutDown
from support import (
    FailingIndex,
    Index,
    bad_iterables,
    fail_half_way,
    start,
    waiting,
    what_is_no_count,
)

SEGMENT = 512  # items, after which a queue's memory goes on elsewhere
NEVER = 10  # seconds, after which something that should have happened did not
MOMENT = 0.05  # seconds, for which something waits in vain


class FailingTruth:
    def __bool__(self) -> bool:
        raise ZeroDivisionError("from __bool__")


class Size(int):
    """An int of another class."""


def filled(impl: ModuleType, items: Iterable[Any], maxsize: int = 0) -> Any:
    q = impl.Queue(maxsize)
    for item in items:
        q.put(item)
    return q


def closed(impl: ModuleType, items: Iterable[Any] = (), *, immediate: bool = False) -> Any:
    q = filled(impl, items)
    q.shutdown(immediate)
    return q


# --- one item ------------------------------------------------------------------


def test_first_in_first_out(impl: ModuleType) -> None:
    q = impl.Queue()
    for item in "abc":
        assert q.put(item) is None
    assert [q.get(), q.get()] == ["a", "b"]
    q.put_nowait("d")
    assert [q.get_nowait(), q.get_nowait()] == ["c", "d"]


def test_hands_out_the_very_object(impl: ModuleType) -> None:
    item = object()
    q = filled(impl, [item] * 7)
    taken = [q.get(), q.get_nowait(), *q.get_many(1), next(iter(q)), *q.drain()]
    assert len(taken) == 7
    assert all(other is item for other in taken)


def test_order_holds_across_segments(impl: ModuleType) -> None:
    q = impl.Queue()
    into, out = count(), count()
    for lag in [*range(SEGMENT - 2, SEGMENT + 3), 2 * SEGMENT, 3 * SEGMENT + 1]:
        for _ in range(3 * SEGMENT + lag):
            q.put(next(into))
            if q.qsize() > lag:
                assert q.get() == next(out)
        while not q.empty():
            assert q.get() == next(out)
    assert next(into) == next(out)


@pytest.mark.parametrize("maxsize", [1, 2, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT])
def test_bound_holds_across_segments(impl: ModuleType, maxsize: int) -> None:
    q = impl.Queue(maxsize)
    into, out = count(), count()
    for taken in [1, maxsize, maxsize // 2] * 3:
        while not q.full():
            assert q.qsize() < maxsize
            q.put_nowait(next(into))
        assert q.qsize() == maxsize
        with pytest.raises(Full):
            q.put_nowait("too many")
        for _ in range(taken):
            assert q.get_nowait() == next(out)


# --- as queue.Queue has it -----------------------------------------------------

# What both do to a queue of at most 2 items, with how many in it.
CORNERS: list[tuple[int, str]] = [
    (0, "q.get_nowait()"),
    (0, "q.get(False)"),
    (0, "q.get(block=False)"),
    (0, "q.get(block=0)"),
    (0, "q.get(block='')"),
    (0, "q.get(False, -1)"),
    (0, "q.get(False, 'a string')"),
    (0, "q.get(block=False, timeout=-1)"),
    (0, "q.get(True, 0)"),
    (0, "q.get(timeout=0)"),
    (0, "q.get(timeout=0.0)"),
    (0, "q.get(timeout=-0.0)"),
    (0, "q.get(timeout=False)"),
    (0, "q.get(timeout=1e-9)"),
    (0, "q.get(timeout=5e-324)"),
    (0, "q.get(timeout=-1)"),
    (0, "q.get(timeout=-1e-9)"),
    (0, "q.get(timeout=-inf)"),
    (0, "q.get(timeout='a string')"),
    (0, "q.get(timeout=10**400)"),
    (0, "q.get(FailingTruth())"),
    (1, "q.get(FailingTruth())"),
    (1, "q.get(timeout=-1)"),
    (1, "q.get(timeout=inf)"),
    (1, "q.get(timeout=1e300)"),
    (1, "q.get(timeout=True)"),
    (1, "q.get(True, None)"),
    (2, "q.put_nowait('item')"),
    (2, "q.put('item', False)"),
    (2, "q.put('item', block=0)"),
    (2, "q.put('item', False, -1)"),
    (2, "q.put('item', False, 'a string')"),
    (2, "q.put('item', True, 0)"),
    (2, "q.put('item', timeout=0)"),
    (2, "q.put('item', timeout=1e-9)"),
    (2, "q.put('item', timeout=-1)"),
    (2, "q.put('item', timeout='a string')"),
    (2, "q.put('item', FailingTruth())"),
    (1, "q.put('item', timeout=-1)"),
    (1, "q.put('item', timeout=inf)"),
    (1, "q.put('item', timeout=1e300)"),
    (1, "q.put('item', True, None)"),
    (1, "q.put('item', FailingTruth())"),
    (1, "q.put(item='item', block=True, timeout=None)"),
    (1, "q.put_nowait(item='item')"),
    (0, "Queue().put('item', timeout=-1)"),
    (0, "Queue().put('item', timeout='a string')"),
    (0, "Queue().put('item', FailingTruth())"),
    (0, "Queue().get(timeout=-1)"),
    (0, "q.task_done()"),
    (1, "q.task_done()"),
    (1, "(q.get(), q.task_done(), q.task_done())"),
    (0, "q.join()"),
    (1, "(q.get(), q.task_done(), q.join())"),
    (0, "(q.qsize(), q.empty(), q.full())"),
    (1, "(q.qsize(), q.empty(), q.full())"),
    (2, "(q.qsize(), q.empty(), q.full())"),
    (2, "(q.get(), q.put('item'), q.qsize())"),
    (2, "(q.maxsize, q.unfinished_tasks)"),
    (2, "(q.get(), q.unfinished_tasks, q.task_done(), q.unfinished_tasks)"),
    (0, "(Queue(0).full(), Queue(-1).full(), Queue(maxsize=1).full())"),
    (0, "(Queue(True).maxsize, Queue(Size(3)).maxsize, Queue(2**63 - 1).maxsize)"),
    (0, "Queue(Size(3)).put_nowait('item')"),
    (0, "len(q)"),
    (0, "bool(q)"),
    (0, "'item' in q"),
    (0, "q[0]"),
    (0, "q == q"),
    (0, "q == Queue(2)"),
]


@pytest.mark.parametrize(("items", "expression"), CORNERS)
def test_corner_cases_are_those_of_the_standard_library(
    impl: ModuleType, items: int, expression: str
) -> None:
    def what(module: ModuleType) -> Any:
        q = filled(module, range(items), maxsize=2)
        scope = {"q": q, "Queue": module.Queue, "inf": math.inf}
        scope |= {"FailingTruth": FailingTruth, "Size": Size}
        try:
            result = eval(expression, scope)
        except Exception as error:
            result = type(error)
        return result, q.qsize(), q.unfinished_tasks

    assert what(impl) == what(queue)


def test_exceptions_are_those_of_the_standard_library(impl: ModuleType) -> None:
    assert (Empty, Full) == (queue.Empty, queue.Full)
    assert getattr(queue, "ShutDown", ShutDown) is ShutDown
    assert ShutDown.__mro__ == (ShutDown, *Exception.__mro__)
    for error in (Empty, Full, ShutDown):
        assert getattr(impl, error.__name__, error) is error


@pytest.mark.parametrize("timeout", [math.nan, -1, -0.25, -math.inf], ids=repr)
def test_refuses_what_is_no_timeout(impl: ModuleType, timeout: float) -> None:
    q = filled(impl, ["a"], maxsize=2)
    waits: list[Callable[[], object]] = [
        lambda: q.put("b", timeout=timeout),
        lambda: q.put("b", True, timeout),
        lambda: q.put_many("b", timeout),
        lambda: q.get(timeout=timeout),
        lambda: q.get(True, timeout),
        lambda: q.get_many(1, timeout=timeout),
    ]
    for wait in waits:
        with pytest.raises(ValueError, match="'timeout' must be a non-negative number") as caught:
            wait()
        assert str(caught.value).endswith(f", not {timeout!r}")
    assert q.drain() == ["a"]


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 1e18, 1e10, 2**62, threading.TIMEOUT_MAX])
def test_waits_as_long_as_it_takes(impl: ModuleType, timeout: float) -> None:
    q = impl.Queue(1)
    [get] = waiting(lambda: q.get(timeout=timeout))
    q.put("a")
    assert get.result(NEVER) == "a"
    q.put("b")
    [put] = waiting(lambda: q.put("c", timeout=timeout))
    assert q.get() == "b"
    assert put.result(NEVER) is None


@pytest.mark.parametrize("timeout", [0, 0.0, 1e-9, 0.01, 0.3])
def test_gives_up_in_time(impl: ModuleType, timeout: float) -> None:
    q = filled(impl, ["a"], maxsize=1)
    empty = impl.Queue()
    waits: list[tuple[type[Exception], Callable[[], object]]] = [
        (Full, lambda: q.put("b", timeout=timeout)),
        (Full, lambda: q.put_many("bc", timeout=timeout)),
        (Empty, lambda: empty.get(timeout=timeout)),
        (Empty, lambda: empty.get_many(3, timeout=timeout)),
    ]
    for error, wait in waits:
        begin = time.monotonic()
        with pytest.raises(error):
            wait()
        took = time.monotonic() - begin
        assert timeout <= took < timeout + 1
    assert (q.qsize(), q.unfinished_tasks, empty.qsize()) == (1, 1, 0)


# --- waiting -------------------------------------------------------------------


def test_get_waits_for_an_item(impl: ModuleType) -> None:
    q = impl.Queue()
    for wait in (q.get, lambda: q.get(timeout=NEVER), lambda: next(iter(q))):
        [get] = waiting(wait)
        q.put("item")
        assert get.result(NEVER) == "item"


def test_put_waits_for_room(impl: ModuleType) -> None:
    q = filled(impl, ["a"], maxsize=1)
    for wait in (lambda: q.put("a"), lambda: q.put("a", timeout=NEVER), lambda: q.put_many("a")):
        [put] = waiting(wait)
        assert q.get() == "a"
        put.result(NEVER)
    assert q.unfinished_tasks == 4


@pytest.mark.parametrize(
    "take",
    [
        lambda q: q.get_nowait(),
        lambda q: q.get(timeout=0),
        lambda q: q.get_many(1),
        lambda q: q.drain(),
        lambda q: next(iter(q)),
    ],
)
def test_whatever_takes_an_item_makes_room(impl: ModuleType, take: Callable[[Any], object]) -> None:
    q = filled(impl, ["a"], maxsize=1)
    [put] = waiting(lambda: q.put("b"))
    take(q)
    put.result(NEVER)
    assert q.drain() == ["b"]


@pytest.mark.parametrize(
    "give",
    [
        lambda q: q.put_nowait("a"),
        lambda q: q.put("a", timeout=0),
        lambda q: q.put_many("a"),
        lambda q: q.force_put("a"),
    ],
)
def test_whatever_puts_an_item_wakes_a_getter(
    impl: ModuleType, give: Callable[[Any], object]
) -> None:
    q = impl.Queue(1)
    for wait in (q.get, lambda: q.get_many(5), lambda: next(iter(q))):
        [get] = waiting(wait)
        give(q)
        assert list(get.result(NEVER)) == ["a"]


def test_waiters_are_served_in_the_order_in_which_they_came(impl: ModuleType) -> None:
    q = impl.Queue(2)
    gets = waiting(q.get, q.get, q.get)
    for get, item in zip(gets, "abc", strict=True):
        q.put(item)
        assert get.result(NEVER) == item
    q.put_many("de")
    puts = waiting(*[partial(q.put, item) for item in "fgh"])
    for put, item in zip(puts, "def", strict=True):
        assert q.get() == item
        put.result(NEVER)
    assert q.drain() == ["g", "h"]


def test_a_batch_wakes_as_many_as_it_has_items(impl: ModuleType) -> None:
    q = impl.Queue()
    gets = waiting(*[q.get] * 4)
    q.put_many("abc")
    assert sorted(get.result(NEVER) for get in gets[:3]) == ["a", "b", "c"]
    time.sleep(MOMENT)
    assert not gets[3].done()
    q.put("d")
    assert gets[3].result(NEVER) == "d"


@pytest.mark.parametrize("take", [lambda q: q.drain(), lambda q: q.get_many(9)])
def test_a_batch_makes_room_for_as_many(impl: ModuleType, take: Callable[[Any], object]) -> None:
    q = filled(impl, "abc", maxsize=3)
    puts = waiting(*[lambda: q.put("d")] * 4)
    take(q)
    for put in puts[:3]:
        put.result(NEVER)
    time.sleep(MOMENT)
    assert not puts[3].done()
    assert q.drain() == ["d", "d", "d"]
    puts[3].result(NEVER)


# --- batches -------------------------------------------------------------------

ITERABLES: dict[str, Callable[[], Iterable[Any]]] = {
    "list": lambda: ["a", "b", "c"],
    "tuple": lambda: ("a", "b", "c"),
    "str": lambda: "abc",
    "dict": lambda: {"a": 1, "b": 2, "c": 3},
    "generator": lambda: (letter for letter in "abc"),
    "iterator": lambda: iter("abc"),
}


@pytest.mark.parametrize("iterable", ITERABLES.values(), ids=ITERABLES)
@pytest.mark.parametrize("maxsize", [0, 4])
def test_puts_any_iterable_in_its_order(
    impl: ModuleType, iterable: Callable[[], Iterable[Any]], maxsize: int
) -> None:
    q = filled(impl, "z", maxsize)
    assert q.put_many(iterable()) == 3
    assert (q.qsize(), q.unfinished_tasks) == (4, 4)
    assert q.drain() == ["z", "a", "b", "c"]


@pytest.mark.parametrize("maxsize", [0, 1])
def test_puts_nothing_of_an_empty_iterable(impl: ModuleType, maxsize: int) -> None:
    q = filled(impl, "a", maxsize)
    assert q.put_many(iter(())) == 0
    assert q.put_many([], timeout=0) == 0
    assert closed(impl).put_many([]) == 0
    assert q.drain() == ["a"]


def test_an_iterable_is_listed_before_anything_is_put(impl: ModuleType) -> None:
    q = filled(impl, "a")

    def items() -> Iterator[str]:
        yield "c"
        assert q.drain() == ["a"]
        q.put("b")
        yield "d"

    assert q.put_many(items()) == 2
    assert q.drain() == ["b", "c", "d"]


@bad_iterables
def test_an_iterable_that_fails_puts_nothing(
    impl: ModuleType, bad: Callable[[], Any], error: type[Exception], text: str
) -> None:
    q = filled(impl, "a")
    with pytest.raises(error) as caught:
        q.put_many(bad())
    assert str(caught.value) == text
    assert (q.drain(), q.unfinished_tasks) == (["a"], 1)


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_puts_what_there_is_room_for_in_time(impl: ModuleType, timeout: float) -> None:
    q = filled(impl, "a", maxsize=3)
    assert q.put_many("bcd", timeout) == 2
    with pytest.raises(Full):
        q.put_many("bcd", timeout=timeout)
    assert (q.qsize(), q.unfinished_tasks) == (3, 3)
    assert q.drain() == ["a", "b", "c"]


def test_puts_a_batch_larger_than_the_bound(impl: ModuleType) -> None:
    q = impl.Queue(3)
    n = 4 * SEGMENT
    put = start(lambda: q.put_many(range(n)))
    assert [q.get() for _ in range(n)] == list(range(n))
    assert put.result(NEVER) == n


def test_a_batch_does_not_start_its_timeout_again(impl: ModuleType) -> None:
    q = filled(impl, "a", maxsize=1)
    begin = time.monotonic()
    [put] = waiting(lambda: q.put_many(range(1000), timeout=0.4))
    while not put.done():
        time.sleep(0.1)
        q.drain()
    assert 0 < put.result() < 6
    assert 0.4 <= time.monotonic() - begin < 2


def test_shutdown_stops_a_batch_half_way(impl: ModuleType) -> None:
    q = impl.Queue(2)
    [put] = waiting(lambda: q.put_many("abc"))
    q.shutdown()
    assert put.result(NEVER) == 2
    assert q.drain() == ["a", "b"]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 2**63 - 1, True, Index(2)], ids=repr)
def test_gets_up_to_n(impl: ModuleType, n: Any) -> None:
    items = ["a", "b", "c"]
    q = filled(impl, items)
    number = n.__index__()
    assert q.get_many(n) == items[:number]
    assert q.drain() == items[number:]


def test_gets_none_without_waiting(impl: ModuleType) -> None:
    assert impl.Queue().get_many(0) == []
    assert closed(impl).get_many(0) == []


def test_gets_all_that_came_when_it_is_woken(impl: ModuleType) -> None:
    q = impl.Queue()
    [get] = waiting(lambda: q.get_many(5))
    q.put_many("abc")
    assert get.result(NEVER) == ["a", "b", "c"]


@what_is_no_count
def test_refuses_what_is_no_count(
    impl: ModuleType, bad: Any, error: type[Exception], text: str
) -> None:
    q = filled(impl, "abc")
    for method in (q.get_many, q.task_done):
        with pytest.raises(error) as caught:
            method(bad)
        assert str(caught.value) == text
    assert (q.unfinished_tasks, q.drain()) == (3, ["a", "b", "c"])


@pytest.mark.parametrize("maxsize", [None, "2", 2j, FailingIndex()])
def test_refuses_what_is_no_bound(impl: ModuleType, maxsize: Any) -> None:
    with pytest.raises((TypeError, ZeroDivisionError)):
        impl.Queue(maxsize)


def test_a_timeout_may_be_what_stands_for_a_number(impl: ModuleType) -> None:
    q = impl.Queue(1)
    with pytest.raises(Empty):
        q.get(timeout=Index(0))
    q.put(1, timeout=Index(0))
    with pytest.raises(Full):
        q.put(2, timeout=Index(0))
    with pytest.raises(ValueError, match=r"must be a non-negative number, not Index\(-1\)"):
        q.put(2, timeout=Index(-1))


def test_an_argument_may_use_the_queue_it_is_for(impl: ModuleType) -> None:
    q = filled(impl, "ab")

    class Count:
        def __index__(self) -> Any:
            q.put("c")
            return q.qsize()

    assert q.get_many(Count()) == ["a", "b", "c"]


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, SEGMENT, 3 * SEGMENT + 1])
def test_drains_everything(impl: ModuleType, n: int) -> None:
    q = filled(impl, range(n), maxsize=n)
    assert q.drain() == list(range(n))
    assert (q.drain(), q.qsize(), q.unfinished_tasks) == ([], 0, n)
    q.put("a")
    assert q.drain() == ["a"]


def test_large_batches_keep_their_order(impl: ModuleType) -> None:
    n = 100_000
    q = impl.Queue()
    for _ in range(2):  # in fresh memory, and in memory that was used before
        assert q.put_many(range(n)) == n
        assert q.qsize() == n
        third = q.get_many(n // 3)
        assert third == list(range(n // 3))
        q.put_many(third)
        assert q.drain() == [*range(n // 3, n), *third]


# --- a queue as a ring buffer --------------------------------------------------


def test_displaces_the_first_item_of_a_full_queue(impl: ModuleType) -> None:
    q = impl.Queue(2)
    nothing = object()
    assert q.force_put("a") is None
    assert q.force_put("b", default=nothing) is nothing
    assert q.force_put("c", default=nothing) == "a"
    assert q.force_put("d") == "b"
    assert (q.qsize(), q.drain()) == (2, ["c", "d"])


@pytest.mark.parametrize("maxsize", [1, 2, SEGMENT - 1, SEGMENT, SEGMENT + 1])
def test_displaces_across_segments(impl: ModuleType, maxsize: int) -> None:
    q = impl.Queue(maxsize)
    q.put_many(range(maxsize))
    for number in range(3 * SEGMENT):
        assert q.force_put(maxsize + number) == number
        assert q.qsize() == q.unfinished_tasks == maxsize
    assert q.drain() == list(range(3 * SEGMENT, 3 * SEGMENT + maxsize))


def test_what_is_displaced_is_done(impl: ModuleType) -> None:
    q = filled(impl, "ab", maxsize=2)
    for item in "cdef":
        q.force_put(item)
        assert q.unfinished_tasks == 2
    q.drain()
    q.task_done(2)
    q.join()


def test_displaces_nothing_without_a_bound(impl: ModuleType) -> None:
    q = filled(impl, range(SEGMENT))
    assert q.force_put("a", default="none") == "none"
    assert q.qsize() == q.unfinished_tasks == SEGMENT + 1


def test_what_is_displaced_may_be_none(impl: ModuleType) -> None:
    q = filled(impl, [None], maxsize=1)
    assert q.force_put("a", default="none") is None


# --- tasks ---------------------------------------------------------------------


def test_counts_unfinished_tasks(impl: ModuleType) -> None:
    q = filled(impl, range(5))
    q.drain()
    assert q.unfinished_tasks == 5
    assert q.task_done() is None
    q.task_done(0)
    q.task_done(Index(1))
    q.task_done(n=2)
    assert q.unfinished_tasks == 1
    for n in (2, 2**63 - 1):
        with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
            q.task_done(n)
    assert q.unfinished_tasks == 1
    q.task_done()
    with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
        q.task_done()


def test_items_may_be_done_before_they_are_got(impl: ModuleType) -> None:
    q = filled(impl, "ab")
    q.task_done(2)
    q.join()
    assert q.drain() == ["a", "b"]


def test_join_waits_until_all_is_done(impl: ModuleType) -> None:
    q = filled(impl, "ab")
    joins = waiting(q.join, q.join)
    q.drain()
    q.task_done()
    time.sleep(MOMENT)
    assert not any(join.done() for join in joins)
    q.task_done()
    assert [join.result(NEVER) for join in joins] == [None, None]


# --- shutdown ------------------------------------------------------------------


def test_shutdown_refuses_further_items(impl: ModuleType) -> None:
    q = filled(impl, "abcdef")
    assert not q.is_shutdown
    assert q.shutdown() is None
    assert q.is_shutdown
    puts: list[Callable[[], object]] = [
        lambda: q.put("g"),
        lambda: q.put("g", timeout=-1),
        lambda: q.put_nowait("g"),
        lambda: q.put_many("gh"),
        lambda: q.put_many("gh", timeout=0),
        lambda: q.force_put("g"),
    ]
    for put in puts:
        with pytest.raises(ShutDown):
            put()
    taken = [q.get(), q.get_nowait(), *q.get_many(1), next(iter(q)), *q.drain()]
    assert taken == list("abcdef")
    assert q.unfinished_tasks == 6
    q.shutdown()
    q.task_done(6)
    q.join()


GETS: dict[str, Callable[[Any], object]] = {
    "get": lambda q: q.get(),
    "get with timeout": lambda q: q.get(timeout=NEVER),
    "get with bad timeout": lambda q: q.get(timeout=-1),
    "get_nowait": lambda q: q.get_nowait(),
    "get_many": lambda q: q.get_many(2),
    "get_many with timeout": lambda q: q.get_many(2, timeout=0),
}


@pytest.mark.parametrize("get", GETS.values(), ids=GETS)
@pytest.mark.parametrize("immediate", [False, True])
def test_an_empty_queue_that_is_shut_down_says_so(
    impl: ModuleType, get: Callable[[Any], object], immediate: bool
) -> None:
    q = closed(impl, immediate=immediate)
    with pytest.raises(ShutDown):
        get(q)
    assert list(q) == q.drain() == []


def test_immediate_shutdown_drops_everything(impl: ModuleType) -> None:
    n = 2 * SEGMENT + 1
    q = filled(impl, range(n))
    q.get()
    q.shutdown(immediate=True)
    assert (q.qsize(), q.empty(), q.drain(), list(q)) == (0, True, [], [])
    assert q.unfinished_tasks == 1
    with pytest.raises(ShutDown):
        q.get_nowait()
    q.task_done()
    q.join()


def test_immediate_shutdown_takes_no_task_for_done_twice(impl: ModuleType) -> None:
    q = filled(impl, "abc")
    q.task_done(2)
    q.shutdown(immediate=True)
    assert q.unfinished_tasks == 0


def test_shutdown_may_become_immediate(impl: ModuleType) -> None:
    q = closed(impl, "abc")
    assert q.get() == "a"
    q.shutdown(immediate=True)
    with pytest.raises(ShutDown):
        q.get()
    assert q.unfinished_tasks == 1
    q.shutdown()
    assert q.is_shutdown


@pytest.mark.parametrize("truth", [1, "yes", 0, "", None], ids=repr)
def test_shutdown_is_immediate_if_that_is_true(impl: ModuleType, truth: Any) -> None:
    q = filled(impl, "abc")
    q.shutdown(truth)
    assert q.empty() is bool(truth)


PUTS: dict[str, Callable[[Any], object]] = {
    "put": lambda q: q.put("c"),
    "put with timeout": lambda q: q.put("c", timeout=NEVER),
    "put_many": lambda q: q.put_many("cd"),
    "put_many with timeout": lambda q: q.put_many("cd", timeout=NEVER),
}


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_every_putter(impl: ModuleType, immediate: bool) -> None:
    q = filled(impl, "ab", maxsize=2)
    puts = waiting(*[partial(put, q) for put in PUTS.values() for _ in range(2)])
    q.shutdown(immediate)
    assert {type(put.exception(NEVER)) for put in puts} == {ShutDown}
    assert q.drain() == ([] if immediate else ["a", "b"])


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_every_getter(impl: ModuleType, immediate: bool) -> None:
    q = impl.Queue()
    waits = [q.get, lambda: q.get(timeout=NEVER), lambda: q.get_many(3)]
    gets = waiting(*waits * 2)
    [items] = waiting(lambda: list(q))
    q.shutdown(immediate)
    assert {type(get.exception(NEVER)) for get in gets} == {ShutDown}
    assert items.result(NEVER) == []


def test_shutdown_wakes_joiners_if_nothing_is_left_to_do(impl: ModuleType) -> None:
    q = filled(impl, "abc")
    joins = waiting(q.join, q.join)
    q.shutdown()
    time.sleep(MOMENT)
    assert not any(join.done() for join in joins)
    assert q.get() == "a"
    q.shutdown(immediate=True)
    time.sleep(MOMENT)
    assert not any(join.done() for join in joins)
    q.task_done()
    for join in joins:
        join.result(NEVER)


def test_immediate_shutdown_wakes_joiners(impl: ModuleType) -> None:
    q = filled(impl, "abc")
    joins = waiting(q.join, q.join)
    q.shutdown(immediate=True)
    for join in joins:
        join.result(NEVER)


def test_iterates_until_shutdown(impl: ModuleType) -> None:
    q = filled(impl, range(2))
    [items] = waiting(lambda: list(q))
    q.put_many(range(2, 5))
    time.sleep(MOMENT)
    assert not items.done()
    q.shutdown()
    assert items.result(NEVER) == list(range(5))
    items = iter(q)
    assert iter(items) is items
    assert next(items, "end") == "end"


# --- as an object --------------------------------------------------------------


def test_what_it_tells_is_read_only(impl: ModuleType) -> None:
    q = impl.Queue(2)
    for name in ("unfinished_tasks", "is_shutdown"):
        with pytest.raises(AttributeError):
            setattr(q, name, 3)
    assert (q.maxsize, q.unfinished_tasks, q.is_shutdown) == (2, 0, False)


@pytest.mark.parametrize("maxsize", [0, -1, -(2**63)])
def test_without_a_bound_it_takes_any_number(impl: ModuleType, maxsize: int) -> None:
    q = impl.Queue(maxsize)
    assert q.maxsize <= 0
    assert q.put_many(range(SEGMENT)) == SEGMENT
    assert not q.full()


@pytest.mark.parametrize("maxsize", [10**9, 2**63 - 1])
def test_a_large_bound_costs_nothing(impl: ModuleType, maxsize: int) -> None:
    q = impl.Queue(maxsize)
    q.put_many("ab")
    assert (q.maxsize, q.full(), q.drain()) == (maxsize, False, ["a", "b"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mutex", "there is no lock; each method is atomic by itself"),
        ("queue", "use `qsize()` or `drain()`"),
        ("not_empty", "use `get()`"),
        ("not_full", "use `put()`"),
        ("all_tasks_done", "use `join()`"),
    ],
)
def test_tells_what_to_use_for_what_it_has_not(impl: ModuleType, name: str, text: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(impl.Queue(), name)
    assert str(caught.value) == f"Queue has no attribute '{name}': {text}"


@pytest.mark.parametrize("hook", ["_init", "_put", "_get", "_qsize"])
def test_refuses_a_subclass_with_the_hooks_of_the_standard_one(impl: ModuleType, hook: str) -> None:
    text = f"'Q' overrides {hook}(), which Queue does not call: it has no lock to call it under"
    with pytest.raises(TypeError) as caught:
        type("Q", (impl.Queue,), {hook: None})
    assert str(caught.value) == text
    subclass = type("Subclass", (impl.Queue,), {})
    with pytest.raises(TypeError) as caught:
        type("Q", (subclass,), {hook: None})
    assert str(caught.value) == text


def test_can_be_subclassed(impl: ModuleType) -> None:
    class Logged(impl.Queue):  # type: ignore[name-defined, misc]
        def __init__(self, name: str, *, size: int) -> None:
            super().__init__(size)
            self.name = name
            self.log: list[object] = []

        def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
            super().put(item, block, timeout)
            self.log.append(item)

    q = Logged("q", size=2)
    q.put("a")
    q.put("b", timeout=1)
    with pytest.raises(Full):
        q.put("c", block=False)
    assert (q.name, q.log, repr(q)) == ("q", ["a", "b"], "<Logged maxsize=2 qsize=2>")


def test_a_subclass_may_take_keywords(impl: ModuleType) -> None:
    class Base:
        def __init_subclass__(cls, *, tag: str, **kwargs: object) -> None:
            super().__init_subclass__(**kwargs)
            cls.tag = tag  # type: ignore[attr-defined]

    q: Any = type("Q", (Base, impl.Queue), {}, tag="tagged")
    assert q.tag == "tagged"
    with pytest.raises(TypeError):
        type("Q", (impl.Queue,), {}, unknown=1)


def test_is_no_queue_of_the_standard_library(impl: ModuleType) -> None:
    assert not isinstance(impl.Queue(), queue.Queue)


def test_is_true_and_not_a_collection(impl: ModuleType) -> None:
    q = impl.Queue()
    assert q
    with pytest.raises(TypeError, match=r"has no len\(\)"):
        len(q)
    with pytest.raises(TypeError) as caught:
        assert "a" in q
    assert str(caught.value) == "argument of type 'Queue' is not a container"


def test_shows_its_state(impl: ModuleType) -> None:
    assert repr(impl.Queue()) == "<Queue maxsize=0 qsize=0>"
    q = filled(impl, "ab", maxsize=3)
    assert repr(q) == str(q) == "<Queue maxsize=3 qsize=2>"
    q.shutdown()
    assert repr(q) == "<Queue maxsize=3 qsize=2, shut down>"


def test_is_generic(impl: ModuleType) -> None:
    alias = impl.Queue[int]
    assert (alias.__origin__, alias.__args__) == (impl.Queue, (int,))
    assert type(alias(3)) is impl.Queue
    assert alias(3).maxsize == 3


def test_is_weakly_referenceable(impl: ModuleType) -> None:
    q = filled(impl, "ab")
    died: list[object] = []
    ref = weakref.ref(q, died.append)
    assert ref() is q
    del q
    assert died == [ref]


def test_equals_itself_alone(impl: ModuleType) -> None:
    q, other = impl.Queue(), impl.Queue()
    assert q == q
    assert q != other
    assert len({q, q, other}) == 2


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy]
    + [lambda q, n=n: pickle.dumps(q, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)],
)
def test_refuses_to_be_copied(impl: ModuleType, copied: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        copied(impl.Queue())
    assert str(caught.value) == (
        "cannot copy or pickle 'Queue' object: it is shared state; move its items, q.drain()"
    )


@pytest.mark.parametrize(
    "call",
    [
        "Queue(1, 2)",
        "Queue(bound=1)",
        "q.put()",
        "q.put(block=False)",
        "q.put('a', True, None, 1)",
        "q.put('a', True, None, timeout=1)",
        "q.put('a', item='b')",
        "q.put('a', waiting=True)",
        "q.put_nowait()",
        "q.put_nowait('a', False)",
        "q.put_nowait('a', block=False)",
        "q.put_many()",
        "q.put_many('a', 1, 2)",
        "q.put_many(iterable='a')",
        "q.put_many('a', block=True)",
        "q.force_put()",
        "q.force_put('a', None)",
        "q.force_put(item='a')",
        "q.get(True, None, 1)",
        "q.get(True, block=True)",
        "q.get(default=None)",
        "q.get_nowait(False)",
        "q.get_many()",
        "q.get_many(n=1)",
        "q.get_many(1, 2, 3)",
        "q.drain(1)",
        "q.task_done(1, 1)",
        "q.join(1)",
        "q.shutdown(True, True)",
        "q.shutdown(now=True)",
        "q.qsize(1)",
        "q.empty(1)",
        "q.full(1)",
    ],
)
def test_refuses_keywords_and_wrong_counts(impl: ModuleType, call: str) -> None:
    q = filled(impl, "ab")
    with pytest.raises(TypeError, match="argument"):
        eval(call, {"Queue": impl.Queue, "q": q})
    assert q.drain() == ["a", "b"]
    assert not q.is_shutdown


USES: dict[str, Callable[[Any, object], object]] = {
    "put": lambda q, item: (q.put(item), q.get()),
    "put with timeout": lambda q, item: (q.put(item, True, 1), q.get(True, 1)),
    "put refused": lambda q, item: (
        q.put_many([item] * 2),
        outcome(q, Call("put_nowait", (item,))),
        outcome(q, Call("put", (item, True, 0))),
        outcome(q, Call("put", (item, True, -1))),
        outcome(q, Call("put_many", ([item], 0))),
        q.drain(),
    ),
    "put_many": lambda q, item: (q.put_many([item] * 3, 0), q.get_many(2), q.drain()),
    "put_many fails": lambda q, item: outcome(q, Call("put_many", (fail_half_way(item),))),
    "get_many": lambda q, item: (q.put(item), q.get_many(5), outcome(q, Call("get_many", (5, 0)))),
    "force_put": lambda q, item: ([q.force_put(item) for _ in range(5)], q.drain()),
    "force_put default": lambda q, item: (q.force_put(item, default=item), q.drain()),
    "iterate": lambda q, item: (q.put(item), next(iter(q))),
    "refuse": lambda q, item: outcome(q, Call("get_many", (item,))),
    "refuse timeout": lambda q, item: outcome(q, Call("get", (True, item))),
    "shutdown": lambda q, item: (
        (other := type(q)()).put_many([item] * 3),
        other.shutdown(immediate=True),
        outcome(other, Call("put", (item,))),
        outcome(other, Call("put_many", ([item],))),
        outcome(other, Call("force_put", (item,))),
    ),
    "free": lambda q, item: type(q)().put_many([item] * 3),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_keeps_no_reference_too_many_or_too_few(
    impl: ModuleType, use: Callable[[Any, object], object]
) -> None:
    q, item = impl.Queue(2), object()
    use(q, item)
    before = sys.getrefcount(item)
    for _ in range(100):
        use(q, item)
    assert sys.getrefcount(item) == before


# --- any sequence of operations ------------------------------------------------


class QueueMachine(RuleBasedStateMachine):
    """Does the same to a queue and to one of the standard library."""

    def __init__(self, impl: ModuleType, maxsize: int) -> None:
        super().__init__()
        self.ours = impl.Queue(maxsize)
        self.theirs: queue.Queue[int] = queue.Queue(maxsize)
        self.numbers = count()

    def same(self, method: str, *arguments: object) -> Any:
        call = Call(method, arguments)
        result = outcome(self.theirs, call)
        assert outcome(self.ours, call) == result
        self.look()
        return result

    def look(self) -> None:
        for name in ("qsize", "empty", "full"):
            assert getattr(self.ours, name)() == getattr(self.theirs, name)()
        assert self.ours.unfinished_tasks == self.theirs.unfinished_tasks

    def each(self, method: str, arguments: Iterable[tuple[object, ...]]) -> list[Any]:
        """Make calls of theirs, until one fails."""
        results = []
        for each in arguments:
            result = outcome(self.theirs, Call(method, each))
            if isinstance(result, type):
                break
            results.append(result)
        return results

    @rule()
    def put_nowait(self) -> None:
        self.same("put_nowait", next(self.numbers))

    @rule(timeout=st.sampled_from([0, 1e-9, -1]))
    def put_with_timeout(self, timeout: float) -> None:
        self.same("put", next(self.numbers), True, timeout)

    @rule()
    def get_nowait(self) -> None:
        self.same("get_nowait")

    @rule(timeout=st.sampled_from([0, 1e-9, -1]))
    def get_with_timeout(self, timeout: float) -> None:
        self.same("get", True, timeout)

    @rule(n=st.integers(0, 2 * SEGMENT))
    def put_many(self, n: int) -> None:
        items = [next(self.numbers) for _ in range(n)]
        put = len(self.each("put_nowait", ((item,) for item in items)))
        expected: Any = put
        if items and not put:
            expected = ShutDown if self.closed else Full
        assert outcome(self.ours, Call("put_many", (items, 0))) == expected
        self.look()

    @rule(n=st.integers(0, 2 * SEGMENT))
    def get_many(self, n: int) -> None:
        got: Any = self.each("get_nowait", [()] * n)
        if n and not got:
            got = ShutDown if self.closed else Empty
        assert outcome(self.ours, Call("get_many", (n, 0))) == got
        self.look()

    @rule()
    def drain(self) -> None:
        assert self.ours.drain() == self.each("get_nowait", [()] * self.theirs.qsize())
        self.look()

    @rule(n=st.integers(1, SEGMENT))
    def force_put(self, n: int) -> None:
        for item in [next(self.numbers) for _ in range(n)]:
            expected: Any = "nothing"
            if self.closed:
                expected = None
            elif self.theirs.full():
                expected = self.theirs.get_nowait()
                self.theirs.put_nowait(item)
                outcome(self.theirs, Call("task_done"))
            else:
                self.theirs.put_nowait(item)
            if self.closed:
                assert outcome(self.ours, Call("force_put", (item,))) is ShutDown
            else:
                assert self.ours.force_put(item, default="nothing") == expected
        self.look()

    @rule(n=st.integers(0, SEGMENT))
    def task_done(self, n: int) -> None:
        enough = n <= self.theirs.unfinished_tasks
        if enough:
            self.each("task_done", [()] * n)
        assert outcome(self.ours, Call("task_done", (n,))) is (None if enough else ValueError)
        self.look()

    @rule()
    def join(self) -> None:
        if not self.theirs.unfinished_tasks:
            self.same("join")

    @property
    def closed(self) -> bool:
        return getattr(self.theirs, "is_shutdown", False)

    @precondition(lambda self: hasattr(self.theirs, "shutdown"))
    @rule(immediate=st.booleans(), really=st.integers(0, 9))
    def shutdown(self, immediate: bool, really: int) -> None:
        if really == 0:  # or little else would happen
            self.same("shutdown", immediate)


@pytest.mark.parametrize("maxsize", [0, 1, 3, SEGMENT, 700])
def test_behaves_as_the_standard_library(impl: ModuleType, maxsize: int) -> None:
    run_state_machine_as_test(
        lambda: QueueMachine(impl, maxsize),  # type: ignore[arg-type]
        settings=settings(max_examples=40, stateful_step_count=30, deadline=None),
    )


# --- where a queue of the standard library is expected -------------------------


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.mark.parametrize("maxsize", [0, 100])
def test_logging_runs_on_it(impl: ModuleType, maxsize: int) -> None:
    q = impl.Queue(maxsize)
    records = Records()
    listener = logging.handlers.QueueListener(q, records)
    logger = logging.Logger("queued")
    logger.addHandler(logging.handlers.QueueHandler(q))
    for _ in range(2):
        listener.start()
        for number in range(10):
            logger.warning("message %d", number)
        listener.stop()
    assert records.texts == [f"message {number}" for number in range(10)] * 2
    q.join()


class LookAlike:
    """All that a ``queue.Queue`` can do, without being one."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Any] = queue.Queue()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="logging.config knows no queues")
def test_logging_can_be_configured_with_it(impl: ModuleType) -> None:
    q = impl.Queue()
    config: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"queued": {"class": "logging.handlers.QueueHandler", "queue": q}},
        "loggers": {"lockfree.test": {"handlers": ["queued"], "propagate": False}},
    }
    try:
        logging.config.dictConfig(config)
    except ValueError:
        config["handlers"]["queued"]["queue"] = LookAlike()
        with pytest.raises(ValueError, match="Unable to configure handler"):
            logging.config.dictConfig(config)
        pytest.skip("this patch release's logging.config takes nothing but a queue.Queue")
    logger = logging.getLogger("lockfree.test")
    logger.warning("message")
    [handler] = logger.handlers
    assert isinstance(handler, logging.handlers.QueueHandler)
    queued: Any = handler.queue
    assert queued is q
    assert queued.get_nowait().getMessage() == "message"
    logger.removeHandler(handler)
    handler.close()


def test_an_executor_runs_on_it(impl: ModuleType) -> None:
    with ThreadPoolExecutor(4) as pool:
        pool._work_queue = impl.Queue()
        assert list(pool.map(abs, range(-1000, 0))) == list(range(1000, 0, -1))


def test_worker_threads_run_on_it(impl: ModuleType) -> None:
    # The example of the standard library's documentation.
    q, done = impl.Queue(), []

    def worker() -> None:
        while True:
            item = q.get()
            if item is None:
                break
            done.append(item)
            q.task_done()
        q.task_done()

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for item in range(1000):
        q.put(item)
    q.join()
    assert sorted(done) == list(range(1000))
    for _ in threads:
        q.put(None)
    for thread in threads:
        thread.join()
    assert q.empty()
