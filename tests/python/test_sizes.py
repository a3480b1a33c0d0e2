"""How much memory containers take, and that they tell."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import lockfree
import pytest
from support import MEMORY, in_child, needs_statm

MOST = {
    "Queue": (500, 900),
    "LifoQueue": (500, 900),
    "PriorityQueue": (500, 900),
    "Stack": (500, 1400),
    "StripedCounter": (500, None),
}
"""How many bytes one takes at most: idle, and with an item."""


@needs_statm
@pytest.mark.parametrize("name", MOST)
def test_small_ones_are_small(name: str) -> None:
    child = in_child(
        MEMORY
        + f"""
def per_one(make):
    keep = [None] * 20_000
    for _ in range(1000):
        make()
    before = resident()
    for number in range(len(keep)):
        keep[number] = make()
    return (resident() - before) / len(keep)

def with_one():
    it = {name}()
    it.push(1) if hasattr(it, "push") else it.put(1)
    return it

idle, one = {MOST[name]}
assert per_one({name}) <= idle, per_one({name})
if one:
    assert per_one(with_one) <= one, per_one(with_one)
""",
        env={"PYTHONMALLOC": "default"},  # not what adds bytes to all objects
    )
    assert child == (0, "", "")


@needs_statm
def test_a_queue_that_some_items_went_through_is_small() -> None:
    child = in_child(
        MEMORY
        + """
queues = [Queue() for _ in range(20_000)]
before = resident()
for queue in queues:
    for number in range(20):
        queue.put(number)
        queue.get()
assert (resident() - before) / len(queues) <= 400
""",
        env={"PYTHONMALLOC": "default"},
    )
    assert child == (0, "", "")


PUT: dict[str, Callable[[Any, int], object]] = {
    "Queue": lambda it, item: it.put(item),
    "LifoQueue": lambda it, item: it.put(item),
    "PriorityQueue": lambda it, item: it.put(item),
    "AsyncQueue": lambda it, item: it.put_nowait(item),
    "Stack": lambda it, item: it.push(item),
}
EACH = {"PriorityQueue": 48, "Stack": 16}


@pytest.mark.parametrize("name", PUT)
def test_sizes_tell_what_is_held(name: str) -> None:
    it, each = getattr(lockfree, name)(), EACH.get(name, 8)
    empty = sys.getsizeof(it)
    PUT[name](it, 0)
    one = sys.getsizeof(it)
    assert empty < one <= 1400
    for number in range(10_000):
        PUT[name](it, number)
    assert each * 10_000 <= sys.getsizeof(it) - empty <= 3 * each * 10_000


# What a `Queue` gave back to the system it may use again, and so tells of it.
@pytest.mark.parametrize("name", ["LifoQueue", "PriorityQueue"])
def test_a_queue_that_was_emptied_holds_little(name: str) -> None:
    it = getattr(lockfree, name)()
    for number in range(50_000):
        PUT[name](it, number)
    full = sys.getsizeof(it)
    for _ in range(50_000):
        it.get()
    assert full >= 50_000 * EACH.get(name, 8)
    assert sys.getsizeof(it) <= 70_000


def test_a_striped_counter_tells_its_cells() -> None:
    counter = lockfree.StripedCounter()
    empty = sys.getsizeof(counter)
    counter.increment()
    assert sys.getsizeof(counter) >= empty + 64


def test_both_faces_of_a_queue_tell_the_same() -> None:
    queue = lockfree.Queue[int]()
    face = queue.async_q
    before = sys.getsizeof(queue), sys.getsizeof(face)
    for number in range(1000):
        queue.put(number)
    grown = [sys.getsizeof(it) - size for it, size in zip((queue, face), before, strict=True)]
    assert grown[0] == grown[1] > 8000
