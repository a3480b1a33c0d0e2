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

from lockfree import AtomicRef, Cache
from support import hammer


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
