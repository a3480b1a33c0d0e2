"""``LifoQueue`` and ``PriorityQueue``, and what all queues have in common."""

from __future__ import annotations

import asyncio
import gc
import math
import queue
import weakref
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from itertools import count
from types import ModuleType
from typing import Any

import lockfree
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lockfree import Empty, Full, ShutDown
from support import Node, hammer, repetitions, waiting

NEVER = 10  # seconds, after which something that should have happened did not
NAMES = ["Queue", "LifoQueue", "PriorityQueue"]
IN_ORDER: dict[str, Callable[[list[int]], list[int]]] = {
    "Queue": list,
    "LifoQueue": lambda items: items[::-1],
    "PriorityQueue": sorted,
}

kinds = pytest.mark.parametrize("name", NAMES)


def made(impl: ModuleType, name: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(impl, name)(*args, **kwargs)


# --- all three -------------------------------------------------------------------


@kinds
def test_order(impl: ModuleType, name: str) -> None:
    items = [3, 1, 4, 1, 5, 9, 2, 6]
    expected = IN_ORDER[name](items)
    q = made(impl, name)
    for item in items:
        q.put(item)
    assert [q.get(), q.get_nowait(), *q.get_many(2), *q.drain()] == expected
    assert q.put_many(items) == len(items)
    q.shutdown()
    assert list(q) == expected


@kinds
def test_is_a_queue_as_in_the_standard_library(impl: ModuleType, name: str) -> None:
    ours, theirs = getattr(impl, name), getattr(queue, name)
    assert issubclass(ours, impl.Queue)
    assert issubclass(theirs, queue.Queue)
    assert repr(ours(2)) == f"<{name} maxsize=2 qsize=0>"
    assert repr(ours[int]).endswith(f"{name}[int]")


@kinds
def test_bound_timeouts_and_done(impl: ModuleType, name: str) -> None:
    q = made(impl, name, 2)
    assert q.put_many([1, 2, 3], timeout=0) == 2
    assert (q.full(), q.qsize(), q.unfinished_tasks) == (True, 2, 2)
    for put in (q.put_nowait, lambda item: q.put(item, timeout=0.001)):
        with pytest.raises(Full):
            put(4)
    assert len(q.drain()) == 2
    for get in (q.get_nowait, lambda: q.get(timeout=0.001), lambda: q.get_many(2, 0)):
        with pytest.raises(Empty):
            get()
    [join] = waiting(q.join)
    q.task_done(2)
    join.result(NEVER)
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


@kinds
def test_getters_and_putters_wait(impl: ModuleType, name: str) -> None:
    q = made(impl, name, 1)
    [get] = waiting(q.get)
    q.put(1)
    assert get.result(NEVER) == 1
    q.put(2)
    [put] = waiting(lambda: q.put(3))
    assert q.get() == 2
    put.result(NEVER)
    assert q.get() == 3


@kinds
@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown(impl: ModuleType, name: str, immediate: bool) -> None:
    full, empty = made(impl, name, 1), made(impl, name)
    full.put(1)
    blocked = waiting(lambda: full.put(2), empty.get)
    for q in (full, empty):
        q.shutdown(immediate)
        with pytest.raises(ShutDown):
            q.put(3)
    for future in blocked:
        with pytest.raises(ShutDown):
            future.result(NEVER)
    assert full.drain() == ([] if immediate else [1])
    assert full.unfinished_tasks == (0 if immediate else 1)


@kinds
def test_coroutines(impl: ModuleType, name: str) -> None:
    async def main() -> list[int]:
        q = made(impl, name, 2)
        async with asyncio.TaskGroup() as group:
            group.create_task(fill(q.async_q))
            first = [await q.async_get(), *await q.async_get_many(5)]
        rest: list[int] = q.drain()
        return first + rest

    async def fill(q: Any) -> None:
        for item in (1, 2, 3, 4):
            await q.put(item)

    assert sorted(asyncio.run(main())) == [1, 2, 3, 4]


@kinds
@pytest.mark.parametrize("maxsize", [1.3, Fraction(5, 4), Decimal("1.5"), 2])
def test_a_bound_may_be_any_real_number(impl: ModuleType, name: str, maxsize: Any) -> None:
    q = made(impl, name, maxsize)
    assert q.put_many([1, 2, 3], timeout=0) == 2
    assert q.full()


@kinds
@pytest.mark.parametrize(
    "maxsize", [math.inf, -math.inf, math.nan, -0.5, 0.0, 1e300, 2**63, 2**100, -(2**100)]
)
def test_a_bound_that_is_none(impl: ModuleType, name: str, maxsize: float) -> None:
    q = made(impl, name, maxsize)
    q.maxsize = maxsize
    assert q.put_many(range(1000)) == 1000
    assert not q.full()


@kinds
def test_a_bound_can_be_set(impl: ModuleType, name: str) -> None:
    q = made(impl, name, 1)
    q.put(1)
    puts = waiting(lambda: q.put(2), lambda: q.put(3))
    q.maxsize = 3
    for put in puts:
        put.result(NEVER)
    assert (q.maxsize, q.qsize(), q.full()) == (3, 3, True)
    q.maxsize = 1
    assert (q.maxsize, q.qsize(), q.full()) == (1, 3, True)
    [put] = waiting(lambda: q.put(4))
    for _ in range(2):
        q.get()
        with pytest.raises(Full):
            q.put_nowait(5)
    q.get()
    put.result(NEVER)
    assert q.drain() == [4]
    q.maxsize = 0
    assert q.put_many(range(10), timeout=0) == 10
    for bad in ("2", None):
        with pytest.raises(TypeError, match="maxsize must be a number, not"):
            q.maxsize = bad
    assert q.maxsize == 0


def test_a_lowered_bound_and_a_forced_put(impl: ModuleType) -> None:
    q = impl.Queue()
    q.put_many("abcd")
    q.maxsize = 2
    assert (q.force_put("e"), q.qsize()) == ("a", 4)
    assert q.get_many(2) == ["b", "c"]
    assert (q.force_put("f"), q.drain()) == ("d", ["e", "f"])
    assert q.unfinished_tasks == 4


@kinds
def test_cycles_are_collected(impl: ModuleType, name: str) -> None:
    node = Node()
    if name == "PriorityQueue":
        node.link = made(impl, name, key=lambda _item, _node=node: 0)
    else:
        node.link = made(impl, name)
    node.link.put_many([node, node.link, node])
    ref = weakref.ref(node)
    del node
    gc.collect()
    assert ref() is None


@kinds
def test_each_item_is_got_once(impl: ModuleType, name: str) -> None:
    q = made(impl, name, 50)
    numbers = [count(0, 2), count(1, 2)]
    put: list[list[int]] = [[], []]
    got: list[list[int]] = [[], []]

    def step(index: int) -> None:
        with suppress(Full, Empty):
            if index < 2:
                item = next(numbers[index])
                q.put(item, timeout=1e-3)
                put[index].append(item)
            else:
                got[index - 2].append(q.get(timeout=1e-3))
                got[index - 2].extend(q.get_many(3, timeout=0))

    hammer(4, step, rounds=repetitions(impl, 1000))
    assert sorted([*got[0], *got[1], *q.drain()]) == sorted(put[0] + put[1])


# --- last in, first out ------------------------------------------------------------


@pytest.mark.parametrize("name", ["LifoQueue", "PriorityQueue"])
def test_has_no_forced_put(impl: ModuleType, name: str) -> None:
    q = made(impl, name)
    assert not hasattr(q, "force_put")
    with pytest.raises(AttributeError, match="only a Queue has force_put"):
        q.force_put(1)
    if impl is lockfree:
        with pytest.raises(AttributeError, match="only a Queue has force_put"):
            impl.Queue.force_put(q, 1)


@pytest.mark.parametrize("name", ["LifoQueue", "PriorityQueue"])
def test_finalizers_may_put(name: str) -> None:
    # Among them some that a collection runs in the middle of a `put`.
    pool = made(lockfree, name)

    class Loan:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            pool.put(1)

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(1000):
            Loan()
            pool.put(2)
            pool.get()
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert pool.qsize() == 1000


# --- smallest first ----------------------------------------------------------------


def test_equals_come_out_as_they_went_in(impl: ModuleType) -> None:
    q = impl.PriorityQueue()
    jobs = [(2, object()), (1, object()), (2, object()), (1, 30, object()), (1, object())]
    q.put_many(jobs)
    assert q.drain() == [jobs[1], jobs[4], jobs[3], jobs[0], jobs[2]]


NUMBERS = st.one_of(
    st.integers(), st.floats(allow_nan=False), st.booleans(), st.integers(-3, 3).map(float)
)
RANKS = st.one_of(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=3).map(tuple))


@given(st.lists(RANKS, max_size=20))
def test_sorts_as_python_does(items: list[Any]) -> None:
    modules: list[Any] = [lockfree, lockfree.locked]
    for module in modules:
        q = module.PriorityQueue()
        q.put_many(items)
        assert q.drain() == sorted(items, key=lambda it: it if isinstance(it, tuple) else (it,))


def test_key_is_called_once_for_each_put(impl: ModuleType) -> None:
    called = []

    def key(item: str) -> tuple[int, float]:
        called.append(item)
        return len(item), math.inf

    q = impl.PriorityQueue(key=key)
    q.put("ccc")
    q.put_nowait("a")
    q.put_many(["bb", "dddd"])
    assert q.drain() == ["a", "bb", "ccc", "dddd"]
    assert called == ["ccc", "a", "bb", "dddd"]


def test_key_is_called_once_though_a_coroutine_waits(impl: ModuleType) -> None:
    called = []

    def key(item: str) -> int:
        called.append(item)
        return len(item)

    async def main() -> list[str]:
        q = impl.PriorityQueue(1, key=key)
        await q.async_put("bb")
        putting = [asyncio.ensure_future(q.async_put(item)) for item in ("ccc", "a")]
        await asyncio.sleep(0.01)
        got = [await q.async_get() for _ in range(3)]
        await asyncio.gather(*putting)
        return got

    assert asyncio.run(main()) == ["bb", "ccc", "a"]
    assert sorted(called) == ["a", "bb", "ccc"]


def test_a_key_can_be_called(impl: ModuleType) -> None:
    with pytest.raises(TypeError) as caught:
        impl.PriorityQueue(key=5)
    assert str(caught.value) == "key must be callable or None, not 5"


def test_what_waits_for_room_with_its_priority_is_collected(impl: ModuleType) -> None:
    node = Node()
    q = impl.PriorityQueue(1, key=lambda _: 0)
    q.put(1)
    node.link = q._press(node)
    assert node.link is not False
    ref = weakref.ref(node)
    del node
    gc.collect()
    assert ref() is None


def test_a_queue_whose_key_is_its_own_method_is_collected(impl: ModuleType) -> None:
    q = impl.PriorityQueue.__new__(impl.PriorityQueue)
    q.__init__(key=q.qsize)  # which itself does not break a cycle
    ref = weakref.ref(q)
    del q
    gc.collect()
    assert ref() is None


def test_key_may_use_the_queue(impl: ModuleType) -> None:
    def key(item: int) -> int:
        if item < 5:
            q.put(item + 1)
        return item

    q = impl.PriorityQueue(key=key)
    q.put(0)
    assert q.drain() == [0, 1, 2, 3, 4, 5]


class Upside(int):
    """An int that compares in its own way."""

    def __lt__(self, other: object) -> bool:
        raise AssertionError("user code")

    __gt__ = __lt__


class Sideways(float):
    """A float that compares and converts in its own way."""

    def __ne__(self, other: object) -> bool:
        raise AssertionError("user code")

    def __float__(self) -> float:
        raise AssertionError("user code")


class Hidden(tuple[Any, ...]):
    """A tuple that shows other items than it has."""

    __slots__ = ()

    def __iter__(self) -> Any:
        raise AssertionError("user code")

    def __len__(self) -> int:
        return 0


def test_a_subclass_is_the_number_it_is(impl: ModuleType) -> None:
    q = impl.PriorityQueue()
    items = [Upside(3), Upside(-(2**90)), Upside(2**90), (Upside(1), "x")]
    items += [Hidden((2, "x")), Sideways(2.5)]
    q.put_many(items)
    assert [q.get() for _ in items] == [items[index] for index in (1, 3, 4, 5, 0, 2)]
    with pytest.raises(ValueError, match="nan has no order"):
        q.put(Sideways("nan"))


# What says that it is an int, as a mock does.
Posing: Any = type("Posing", (), {"__class__": int, "__repr__": lambda _: "Posing()"})


def test_asks_no_key_about_what_a_queue_that_was_shut_down_refuses(impl: ModuleType) -> None:
    called: list[int] = []
    q = impl.PriorityQueue(2, key=called.append)
    q.shutdown()
    assert q.put_many([]) == 0
    for put in (
        q.put,
        q.put_nowait,
        lambda item: q.put(item, timeout=NEVER),
        lambda item: q.put_many([item, item]),
        lambda item: asyncio.run(q.async_put(item)),
    ):
        with pytest.raises(ShutDown):
            put(1)
    assert called == []


@pytest.mark.parametrize(
    ("item", "key", "error", "text"),
    [
        ("x", None, TypeError, "'x' is no number and no tuple that begins with one: use key="),
        (("x", 1), None, TypeError, "no tuple that begins with one: use key="),
        ((), None, TypeError, "use key="),
        (math.nan, None, ValueError, "nan has no order"),
        ((1, math.nan), None, ValueError, "nan has no order"),
        (Posing(), None, TypeError, r"Posing\(\) is no number and no tuple"),
        (1, str, TypeError, r"key\(\) must return a number or a tuple of numbers, not '1'"),
        (1, lambda _: (1, "x"), TypeError, "must return a number or a tuple of numbers"),
        (1, lambda _: 1 / 0, ZeroDivisionError, "division"),
    ],
)
def test_refuses_what_has_no_order(
    impl: ModuleType, item: Any, key: Any, error: type[Exception], text: str
) -> None:
    q = impl.PriorityQueue(key=key)
    for put in (q.put, q.put_nowait, lambda item: q.put_many([item, item])):
        with pytest.raises(error, match=text):
            put(item)
    assert (q.qsize(), q.unfinished_tasks) == (0, 0)


def test_a_bounded_sorted_queue_gives_those_who_wait_their_turn(impl: ModuleType) -> None:
    q = impl.PriorityQueue(1)
    q.put(5)
    puts = waiting(lambda: q.put(1), lambda: q.put(0))
    assert [q.get(timeout=NEVER) for _ in range(3)] in ([5, 1, 0], [5, 0, 1])
    for put in puts:
        put.result(NEVER)


def test_a_key_is_given_with_a_bound_that_is_one(impl: ModuleType) -> None:
    q = impl.PriorityQueue.__new__(impl.PriorityQueue)
    with pytest.raises(TypeError, match="maxsize"):
        q.__init__("x", key=lambda item: -item)
    with pytest.raises(TypeError, match="maxsize"):
        impl.PriorityQueue("x", key=5)
    q.__init__(0)
    q.put_many([2, 1])
    assert q.get_many(2) == [1, 2]
