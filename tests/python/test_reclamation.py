"""What is read while others replace it: objects of all the kinds of memory that CPython has.

Readers of a cache and of an `AtomicRef` announce nothing. Where there is no GIL they try to take a
reference to what may be dead, or something else by then, and look again. Whether that is sound
depends on where the object lies, and on what else counts its references.
"""

from __future__ import annotations

import itertools
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import pytest
from lockfree import AtomicRef, Cache, Queue, Stack
from support import FORKS_IN_TRAFFIC, MEMORY, hammer, in_child, needs_fork, needs_statm


class Kind(NamedTuple):
    """Objects that are made of a number, which can be read off them."""

    type: type
    make: Callable[[int], Any]
    number: Callable[[Any], int]


class Slotted:
    __slots__ = ("n",)

    def __init__(self, n: int) -> None:
        self.n = n


class Watched:
    """Is referred to weakly, by itself."""

    def __init__(self, n: int) -> None:
        self.n, self.ref = n, weakref.ref(self)


class Phoenix:
    """Comes back once, as what it was put in place of dies."""

    def __init__(self, n: int, rise: Callable[[Phoenix], None]) -> None:
        self.n, self.rise = n, rise

    def __del__(self) -> None:
        self.rise(self)


def function(n: int) -> Callable[[], int]:
    return lambda: n


def kinds(rise: Callable[[Phoenix], None]) -> list[Kind]:
    large = 300_000  # bytes: more than a page of small objects
    return [
        # From free lists.
        Kind(float, float, int),
        Kind(tuple, lambda n: (n, None), lambda it: int(it[0])),
        Kind(list, lambda n: [n], lambda it: int(it[0])),
        Kind(dict, lambda n: {"n": n}, lambda it: int(it["n"])),
        # Of any size.
        Kind(int, lambda n: n << 70, lambda it: int(it) >> 70),
        Kind(bytes, lambda n: b"%*d" % (large, n), int),
        # Becoming immortal.
        Kind(str, lambda n: sys.intern(str(n % 7200)), int),
        # With references that are counted late, or elsewhere.
        Kind(FunctionType, function, lambda it: int(it())),
        Kind(type, lambda n: type("Type", (), {"n": n}), lambda it: int(it.n)),
        # With a header before the object, and without one.
        Kind(Slotted, Slotted, lambda it: int(it.n)),
        Kind(Watched, Watched, lambda it: int(it.ref().n)),
        Kind(Phoenix, lambda n: Phoenix(n, rise), lambda it: int(it.n)),
    ]


PLACES = (1, 2, "one", ("equal", 2), 5.5)
"""Keys of the cache. A number belongs to one of them, or else to the reference."""


def test_objects_of_all_kinds_are_read_while_they_are_replaced() -> None:
    c: Cache[Any, Any] = Cache(len(PLACES) - 1)
    ref: AtomicRef[Any] = AtomicRef(float(len(PLACES)))
    all_kinds = kinds(lambda risen: write(risen.n, risen))
    numbered = {kind.type: (number, kind.number) for number, kind in enumerate(all_kinds)}

    def write(n: int, made: Any) -> None:
        place = n % (len(PLACES) + 1)
        if place < len(PLACES):
            c[pickle.loads(pickle.dumps(PLACES[place]))] = made  # a fresh one, to compare
        else:
            ref.store(made)

    def check(place: int, found: Any) -> None:
        """Whether it was ever put there."""
        kind, number_of = numbered[type(found)]
        number, belongs = divmod(number_of(found), len(PLACES) + 1)
        assert (number % len(all_kinds), belongs) == (kind, place)

    def write_some() -> None:
        for n in itertools.islice(numbers, 200):
            kind = n // (len(PLACES) + 1) % len(all_kinds)
            write(n, all_kinds[kind].make(n))

    def read_all() -> None:
        for _ in range(40):
            for place, key in enumerate(PLACES):
                if (found := c.get(key)) is not None:
                    check(place, found)
            check(len(PLACES), ref.load())
        for key, found in c.items():
            check(PLACES.index(key), found)
        c.pop(PLACES[0], None)

    def step(index: int) -> None:
        if index == 0:
            read_all()
        elif index == 1:  # what a thread made outlives it
            thread = threading.Thread(target=write_some)
            thread.start()
            read_all()
            thread.join()
        else:
            write_some()
            read_all()

    numbers = itertools.count()
    hammer(4, step, rounds=100)


COLLECTORS = {
    "on": "",
    "off": "import gc; gc.disable()",
    "frozen": "import gc; gc.freeze()",
}
"""None of them may matter: storing ints and strings triggers no collection."""

EMPTIED = {
    "clear": "c.clear()",
    "pop": "for key in keys: c.pop(key)",
    "expire": "time.sleep(1.5); c.expire()",
}


@needs_statm
@pytest.mark.parametrize("collector", COLLECTORS)
@pytest.mark.parametrize("maxsize", [None, 1_000_000])
@pytest.mark.parametrize("emptied", EMPTIED)
def test_an_emptied_cache_gives_its_memory_back(
    collector: str, maxsize: int | None, emptied: str
) -> None:
    child = in_child(
        MEMORY
        + f"""
import time
{COLLECTORS[collector]}
keys = [str(number) for number in range(300_000)]
c = Cache({maxsize}, ttl={1 if emptied == "expire" else None})
before = resident()
for key in keys:
    c[key] = 1
grown = resident() - before
assert grown > 64 * len(keys), grown
{EMPTIED[emptied]}
for number in range(1000):  # some further use
    c[number] = number
for number in range(1000):
    del c[number]
left = resident() - before
assert left < grown / 10 + 2 * MIB, (left, grown)
"""
    )
    assert child == (0, "", "")


@needs_statm
def test_a_cache_that_breathes_beside_readers_does_not_grow() -> None:
    child = in_child(
        MEMORY
        + """
c = Cache(None)
keys = [f"{number}" for number in range(2000)]

def breathe(number):
    for _ in range(10):
        if number % 2:
            for key in keys:
                c.get(key)
        else:
            for key in keys:
                c[key] = number
            if number == 2:
                c.clear()
            else:
                for key in keys:
                    c.pop(key, None)

run_threads(4, breathe)
before = resident()
run_threads(4, breathe)
run_threads(4, breathe)
assert resident() - before < 4 * MIB, resident() - before
"""
    )
    assert child == (0, "", "")


@needs_fork
@needs_statm
def test_a_forked_child_gives_memory_back() -> None:
    """Though threads were reading and clearing when it was forked."""
    child = in_child(
        FORKS_IN_TRAFFIC
        + MEMORY
        + """
c, keys = Cache(None), [str(number) for number in range(20_000)]

def traffic(index):
    for key in keys[:500]:
        if index % 2:
            c.get(key)
        else:
            c[key] = index
    if index == 2:
        c.clear()

def breathe():
    for key in keys:
        c[key] = 1
    run_threads(2, lambda index: [c.get(key) for key in keys])
    c.clear()

def use(number):
    for _ in range(3):
        breathe()
    before = resident()
    for _ in range(10):  # a mebibyte and a half each
        breathe()
    assert resident() - before < 8 * MIB, resident() - before

fork_in_traffic(4, traffic, use)
"""
    )
    assert child == (0, "", "")


@pytest.mark.parametrize("does", ["clear", "pop", "grow"])
def test_a_comparison_may_take_away_what_the_search_stood_on(does: str) -> None:
    cache: Cache[object, object] = Cache(None)

    class Key:
        """One of many with the same hash."""

        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if self is not asked and other is not asked:
                return self is other
            match does:
                case "clear":
                    cache.clear()
                case "pop":
                    for key in keys:
                        cache.pop(key, None)
            for number in range(10, 1000):  # not of the same hash
                cache[number] = number
            return False

    asked, keys = Key(-1), [Key(number) for number in range(20)]
    for _ in range(5):
        for key in keys:
            cache[key] = key.number
        assert cache.get(asked) is None
        cache[asked] = "asked"
        assert cache.get(asked) == "asked"
        assert cache.pop(asked) == "asked"
        cache.clear()


def test_what_is_cleared_may_use_the_cache() -> None:
    cache: Cache[int, object] = Cache(None)
    dropped: list[int] = []

    class Value:
        def __init__(self, number: int) -> None:
            self.number = number

        def __del__(self) -> None:
            assert cache.get(self.number) is None
            dropped.append(self.number)
            cache[self.number + 10_000] = 1
            if self.number % 100 == 0:
                cache.clear()

    for number in range(1000):
        cache[number] = Value(number)
    cache.clear()
    assert sorted(dropped) == list(range(1000))
    assert all(key >= 10_000 for key in cache)


def test_sizes_tell_what_is_held() -> None:
    stack, cache, queue = Stack[int](), Cache[int, int](None), Queue[int]()
    empty = [sys.getsizeof(it) for it in (stack, cache, queue)]
    for number in range(10_000):
        stack.push(number)
        cache[number] = number
        queue.put(number)
    full = [sys.getsizeof(it) for it in (stack, cache, queue)]
    for before, after, each in zip(empty, full, [16, 64, 8], strict=True):
        assert each * 10_000 <= after - before <= 3 * each * 10_000 + 16_384
    cache.clear()
    assert sys.getsizeof(cache) < full[1] / 10
