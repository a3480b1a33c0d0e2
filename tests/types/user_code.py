"""Code as users write it, with the types that it must have for mypy and for pyright, both strict.

`assert_type` says what a checker infers; at run time it returns its argument, so that
`tests/python/test_stub.py` runs all this as well.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, assert_type

import lockfree
from lockfree import (
    AsyncQueue,
    AtomicBool,
    AtomicFloat64,
    AtomicInt64,
    AtomicRef,
    AtomicStampedRef,
    Cache,
    ConcurrentDict,
    KeyedCounter,
    LifoQueue,
    Ordering,
    PriorityQueue,
    Queue,
    Stack,
    StripedCounter,
    cached,
    cached_property,
    defer_refcount,
    fence,
    once,
)


def atomics() -> None:
    """Use each of them, and their views."""
    number = AtomicInt64(1)
    assert_type(number.increment(), int)
    assert_type(number.compare_exchange(2, 3), bool)
    assert_type(number.update(lambda value: value + 1), int)
    assert_type(number.at(Ordering.RELAXED).load(), int)
    assert_type(number.wait(-1, timeout=0), bool)
    assert_type(int(number), int)
    number += 1
    assert_type(number, AtomicInt64)
    assert_type(number.value, int)
    flag = AtomicBool()
    assert_type(flag.test_and_set(), bool)
    assert_type(flag.at(Ordering.ACQUIRE).load(), bool)
    total = AtomicFloat64(0.5)
    assert_type(total.fetch_add(1), float)
    assert_type(total.load(), float)
    striped = StripedCounter()
    striped.add(3)
    assert_type(striped.sum(), int)
    fence(Ordering.SEQ_CST)


def references() -> None:
    """Keep the type of what is referred to."""
    ref: AtomicRef[tuple[int, str]] = AtomicRef((1, "a"))
    assert_type(ref.load(), tuple[int, str])
    assert_type(ref.exchange((2, "b")), tuple[int, str])
    assert_type(ref.compare_exchange(ref.load(), (3, "c")), bool)
    assert_type(ref.update(lambda pair: (pair[0] + 1, pair[1])), tuple[int, str])
    assert_type(ref.value, tuple[int, str])
    empty = AtomicRef[str | None](None)
    assert_type(empty.load(), str | None)
    stamped = AtomicStampedRef("a")
    assert_type(stamped.load(), tuple[str, int])
    assert_type(defer_refcount({"a": 1}), dict[str, int])


def stacks() -> None:
    """Put in and take out."""
    stack = Stack(["a", "b"])
    stack.push("c")
    assert_type(stack.pop(), str)
    assert_type(stack.pop(default=None), str | None)
    assert_type(stack.peek(default=0), str | int)
    assert_type(stack.pop_many(2), list[str])
    assert_type(list(stack), list[str])
    assert_type(len(stack), int)


def queues() -> None:
    """Use every kind, through both faces."""
    q: Queue[int] = Queue(2)
    q.put(1, timeout=1)
    assert_type(q.force_put(2), int | None)
    assert_type(q.force_put(3, default="none"), int | str)
    assert_type(q.get(), int)
    assert_type(q.get_many(1), list[int])
    assert_type(q.put_many([4, 5]), int)
    assert_type(q.drain(), list[int])
    assert_type(q.async_q, AsyncQueue[int])
    assert_type(q.async_q.sync_q, Queue[int])
    try:
        q.get_nowait()
    except queue.Empty:
        q.shutdown()
    try:
        q.put(1)
    except lockfree.ShutDown:
        assert_type(list(q), list[int])
    lifo = LifoQueue[str]()
    lifo.put("a")
    assert_type(lifo.get(), str)
    jobs = PriorityQueue[tuple[int, str]](key=lambda job: job[0])
    jobs.put((1, "a"))
    assert_type(jobs.get(), tuple[int, str])


class Unique(Queue[str]):
    """Refuses what it had, with the signature that `queue.Queue` has for type checkers."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self.seen: set[str] = set()

    def put(self, item: str, block: bool = True, timeout: float | None = None) -> None:
        """Put what is new."""
        if item not in self.seen:
            self.seen.add(item)
            super().put(item, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> str:
        """Get, and forget that it was there."""
        item = super().get(block, timeout)
        self.seen.discard(item)
        return item


def subclasses() -> None:
    """Override what type checkers let override."""
    q = Unique()
    q.put_many(["a", "a", "b"])
    assert_type(q.get_nowait(), str)
    assert_type(q.drain(), list[str])


async def async_queues() -> None:
    """Use them from a coroutine."""
    q = AsyncQueue[bytes]()
    await q.put(b"a")
    assert_type(await q.get(), bytes)
    assert_type(q.sync_q, Queue[bytes])
    assert_type(q.unfinished_tasks, int)
    q.sync_q.put(b"b")
    assert_type(await q.sync_q.async_get(), bytes)
    q.shutdown()
    assert_type([each async for each in q], list[bytes])


def forget(_key: int, value: list[int], _reason: str) -> None:
    """Do something with what was dropped."""
    value.clear()


def caches() -> None:
    """Use it as a mapping, and load."""
    c: Cache[str, int] = Cache(10, ttl=60, grace=5, weigher=lambda _key, value: value)
    c["a"] = 1
    c.put("b", 2, ttl=None)
    assert_type(c["a"], int)
    assert_type(c.get("a"), int | None)
    assert_type(c.get("a", "none"), int | str)
    assert_type(c.pop("a", None), int | None)
    assert_type(c.setdefault("c", 3), int)
    assert_type(c.get_or_load("d", len, ttl=1, timeout=2), int)
    assert_type(c.popitem(), tuple[str, int])
    assert_type(dict(c.items()), dict[str, int])
    assert_type(sorted(c), list[str])
    assert_type(c.stats().stale, int)
    assert_type(c.copy(), Cache[str, int])
    assert_type(c.grace, float | None)
    any_size = Cache[int, list[int]](None, on_evict=forget)
    assert_type(any_size.get_or_load(1, lambda key: [key]), list[int])


def tables() -> None:
    """Update them, and count."""
    d: ConcurrentDict[str, int] = ConcurrentDict({"a": 1})
    assert_type(d.compute("a", lambda n: n + 1), int)
    assert_type(d.compute("b", lambda n: n + 1, 0), int)
    assert_type(d.compare_exchange("a", 2, 3), bool)
    assert_type(d.exchange("a", 4), int)
    assert_type(d.get_or_load("c", len), int)
    assert_type(d.get("nothing"), int | None)
    assert_type(dict(d.items()), dict[str, int])
    counts = KeyedCounter(["a", "b", "a"])
    counts.add("c", 3)
    assert_type(counts["a"], int)
    assert_type(counts.most_common(1), list[tuple[str, int]])
    assert_type(counts.reset("a"), int)
    assert_type(counts.reset(), dict[str, int])
    assert_type(counts == {"a": 1}, bool)


@cached
def length(text: str, *, times: int = 1) -> int:
    """Keep its results."""
    return len(text) * times


@cached(maxsize=None, typed=True)
def half(n: float) -> float:
    """Keep its results, with options."""
    return n / 2


@cached(ttl=60, grace=5, shield=True)
async def fetch(page: str) -> bytes:
    """Keep its results, and be awaited."""
    return page.encode()


results: Cache[Any, Any] = Cache(100)


def by_number(n: int) -> int:
    """Return the key of a call."""
    return n


@cached(cache=results, key=by_number)
def cube(n: int) -> int:
    """Keep its results in a cache that is at hand."""
    return n**3


class Shape:
    """Has cached methods and properties."""

    def __init__(self, side: int) -> None:
        self.side = side

    @cached
    def area(self, unit: str = "m") -> str:
        """Return a text."""
        return f"{self.side**2} {unit}²"

    @cached(maxsize=10)
    async def name(self, language: str) -> str:
        """Return a name."""
        return f"{language}: {self.side}"

    @staticmethod
    @cached
    def twice(n: int) -> int:
        """Return a number."""
        return 2 * n

    @cached_property
    def volume(self) -> int:
        """Return a number."""
        return self.side**3

    @cached_property
    async def price(self) -> float:
        """Return a number."""
        return self.side / 2


def cached_functions() -> None:
    """Call them, and ask them."""
    assert_type(length("abc", times=2), int)
    assert_type(length.cache_info().hits, int)
    assert_type(length.__wrapped__("abc"), int)
    assert_type(half(3), float)
    assert_type(half.cache_parameters(), dict[str, Any])
    assert_type(cube(3), int)
    assert_type(cube.cache_invalidate(3), bool)
    half.cache_clear()


def cached_methods() -> None:
    """Call them through the class and through an instance."""
    shape = Shape(2)
    assert_type(shape.area("cm"), str)
    assert_type(Shape.area(shape, unit="cm"), str)
    assert_type(Shape.area.cache_info().misses, int)
    assert_type(shape.area.cache_info().misses, int)
    assert_type(Shape.area.cache_contains(shape), bool)
    shape.area.cache_clear()
    assert_type(Shape.twice(2), int)
    assert_type(Shape.twice.cache_info().currsize, int)
    assert_type(shape.volume, int)
    assert_type(Shape.volume, cached_property[int])


async def coroutine_functions() -> None:
    """Await what is cached."""
    assert_type(await fetch("a"), bytes)
    assert_type(fetch.cache_info().currsize, int)
    shape = Shape(2)
    assert_type(await shape.name("en"), str)
    assert_type(shape.name.cache_info().currsize, int)
    assert_type(await shape.price, float)
    c = Cache[str, bytes](10)
    assert_type(await c.async_get_or_load("a", fetch, timeout=5, shield=True), bytes)
    counter = AtomicInt64()
    waits: Coroutine[Any, Any, None] = counter.async_wait(1)
    await waits


@once
def table() -> dict[str, int]:
    """Make it when it is first needed."""
    return {"a": 1}


@once
async def connection() -> str:
    """Make it when it is first awaited."""
    return "open"


async def singletons() -> None:
    """Ask for them."""
    assert_type(table(), dict[str, int])
    assert_type(table()["a"], int)
    assert_type(await connection(), str)
    table.reset()
    connection.reset()
    assert table.peek() is None
    assert table.peek(7) == 7


if TYPE_CHECKING:
    lockfree.Stac()  # type: ignore[attr-defined] # a name that is none


def main() -> None:
    """Run all of it."""
    for each in (
        atomics,
        references,
        stacks,
        queues,
        subclasses,
        caches,
        tables,
        cached_functions,
        cached_methods,
    ):
        each()
    for coroutine in (async_queues, coroutine_functions, singletons):
        asyncio.run(asyncio.wait_for(coroutine(), 30))
    assert_type(partial(length, "abc")(), int)


if __name__ == "__main__":
    main()
