"""Recorded histories are linearizable; and the checker knows those that are not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations, permutations
from random import Random
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linearizability import (
    INT64,
    LIFO,
    REF,
    SORTED,
    STACK,
    STAMPED_REF,
    Call,
    Event,
    History,
    Plan,
    Specification,
    linearize,
    overlaps,
    record,
)
from support import repetitions

# --- the checker ---------------------------------------------------------------


def event(invoked: int, returned: int, outcome: Any, method: str, *arguments: Any) -> Event:
    return Event(Call(method, arguments), outcome, invoked, returned)


LINEARIZABLE: dict[str, History] = {
    "nothing": [],
    "one after the other": [
        event(1, 2, None, "push", "a"),
        event(3, 4, None, "push", "b"),
        event(5, 6, "b", "pop"),
        event(7, 8, "a", "pop"),
    ],
    "pushes that overlap, in the other order": [
        event(1, 3, None, "push", "a"),
        event(2, 4, None, "push", "b"),
        event(5, 6, "a", "pop"),
        event(7, 8, "b", "pop"),
    ],
    "pop of what is still being pushed": [
        event(1, 4, None, "push", "a"),
        event(2, 3, "a", "pop"),
    ],
    "empty while it is being pushed to": [
        event(1, 4, None, "push", "a"),
        event(2, 3, IndexError, "pop"),
    ],
    "slow pop of what came last": [
        event(1, 8, "b", "pop"),
        event(2, 3, None, "push", "a"),
        event(4, 5, None, "push", "b"),
        event(6, 7, "b", "peek"),
    ],
}
NOT_LINEARIZABLE: dict[str, History] = {
    "popped though nobody pushed it": [
        event(1, 2, "a", "pop"),
    ],
    "popped before it was pushed": [
        event(1, 2, "a", "pop"),
        event(3, 4, None, "push", "a"),
    ],
    "popped twice": [
        event(1, 2, None, "push", "a"),
        event(3, 5, "a", "pop"),
        event(4, 6, "a", "pop"),
    ],
    "lost": [
        event(1, 3, None, "push", "a"),
        event(2, 4, None, "push", "b"),
        event(5, 6, ["b"], "pop_all"),
    ],
    "first in, first out": [
        event(1, 2, None, "push", "a"),
        event(3, 4, None, "push", "b"),
        event(5, 6, "a", "pop"),
        event(7, 8, "b", "pop"),
    ],
    "empty after a push": [
        event(1, 2, None, "push", "a"),
        event(3, 4, IndexError, "pop"),
    ],
    "half of a batch": [
        event(1, 6, None, "push_many", "ab"),
        event(2, 3, "b", "pop"),
        event(4, 5, IndexError, "pop"),
    ],
    "length of the past": [
        event(1, 2, None, "push", "a"),
        event(3, 4, "a", "pop"),
        event(5, 6, 1, "__len__"),
    ],
    "seen in two orders": [
        event(1, 3, None, "push", "a"),
        event(2, 4, None, "push", "b"),
        event(5, 7, ["a", "b"], "__iter__"),
        event(6, 8, ["b", "a"], "__iter__"),
    ],
}


@pytest.mark.parametrize("history", LINEARIZABLE.values(), ids=LINEARIZABLE)
def test_checker_accepts(history: History) -> None:
    assert linearize(history, STACK, ()) is not None


@pytest.mark.parametrize("history", NOT_LINEARIZABLE.values(), ids=NOT_LINEARIZABLE)
def test_checker_rejects(history: History) -> None:
    assert linearize(history, STACK, ()) is None


def explains(order: Sequence[Event], specification: Specification, state: Any) -> bool:
    """Apply the definition: outcomes as specified, nothing before what had returned earlier."""
    for happened in order:
        method, arguments = happened.call
        state, expected = specification[method](state, *arguments)
        if happened.outcome != expected:
            return False
    return all(before.invoked < after.returned for before, after in combinations(order, 2))


CALLS = [Call("push", ("a",)), Call("push", ("b",)), Call("pop"), Call("pop_all")]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Make calls in some order, and tell of moments that may contradict it."""
    calls = draw(st.lists(st.sampled_from(CALLS), max_size=6))
    moments = iter(draw(st.permutations(range(2 * len(calls)))))
    history = []
    state: Any = ()
    for call in calls:
        state, outcome = STACK[call.method](state, *call.arguments)
        history.append(Event(call, outcome, *sorted([next(moments), next(moments)])))
    return history


@given(histories())
def test_checker_agrees_with_the_definition(history: History) -> None:
    order = linearize(history, STACK, ())
    if order is None:
        assert not any(explains(order, STACK, ()) for order in permutations(history))
    else:
        assert sorted(order, key=history.index) == history
        assert explains(order, STACK, ())


def test_checker_searches_no_configuration_twice() -> None:
    # Each call overlaps the two before it and the two after: more than 10**20 orders.
    reads = [event(moment, moment + 3, 0, "load") for moment in range(60)]
    assert linearize([*reads, event(63, 64, 1, "load")], INT64, 0) is None


# --- recorded histories --------------------------------------------------------

THREADS, CALLS_EACH = 3, 6
Draw = Callable[[Random, int], Call]


def int64_call(random: Random, number: int) -> Call:
    """Draw a call on an integer; the number tells what it stores from what others do."""
    return random.choice(
        [
            Call("load"),
            Call("store", (number,)),
            Call("exchange", (number,)),
            Call("fetch_add", (100,)),
            Call("compare_exchange", (0, number)),
        ]
    )


# One of each, so that equal is the same; not the interpreter's own small ints, whose references
# nobody counts.
OBJECTS = tuple(10**6 + number for number in range(1 + THREADS * CALLS_EACH))


def ref_call(random: Random, number: int) -> Call:
    """Draw a call on a reference."""
    first, before, obj = OBJECTS[0], OBJECTS[number - 1], OBJECTS[number]
    return random.choice(
        [
            Call("load"),
            Call("store", (obj,)),
            Call("exchange", (obj,)),
            Call("compare_exchange", (first, obj)),
            Call("compare_exchange", (before, first)),
        ]
    )


def stamped_ref_call(random: Random, number: int) -> Call:
    """Draw a call on a stamped reference; some come back to the object, none to the stamp."""
    return random.choice(
        [
            Call("load"),
            Call("store", (number % 2, number)),
            Call("exchange", (number % 2, number)),
            Call("compare_exchange", (0, 1, number - 1, number)),
            Call("compare_exchange", (0, 1, 0, number)),
        ]
    )


def stack_call(random: Random, number: int) -> Call:
    """Draw a call on a stack, which pushes no item twice; most push or pop one."""
    rare = ["pop_all", "clear", "__len__", "__bool__", "__iter__"]
    return random.choice(
        [
            *[Call("push", (number,)), Call("pop")] * 2,
            Call("push_many", ((number, -number),)),
            Call("pop_many", (2,)),
            Call("peek"),
            Call(random.choice(rare)),
        ]
    )


def queue_call(random: Random, number: int) -> Call:
    """Draw a call on a queue, which puts no item twice; most put or get one."""
    return random.choice(
        [
            *[Call("put", (number,)), Call("put", (-number,)), Call("get_nowait")] * 2,
            Call(random.choice(["qsize", "empty"])),
        ]
    )


def plans(random: Random, draw: Draw) -> list[Plan]:
    return [
        [draw(random, 1 + thread * CALLS_EACH + i) for i in range(CALLS_EACH)]
        for thread in range(THREADS)
    ]


def recorded(create: Callable[[], object], draw: Draw, rounds: int) -> list[History]:
    """Record that many histories, two thirds of them at least with calls that overlap."""
    random = Random(rounds)
    histories = record(create, [plans(random, draw) for _ in range(rounds)])
    overlapping = sum(map(overlaps, histories))
    assert overlapping >= rounds * 2 // 3, f"{overlapping} of {rounds} histories overlap"
    return histories


@pytest.mark.parametrize(
    ("name", "arguments", "draw", "specification", "state"),
    [
        ("AtomicInt64", (), int64_call, INT64, 0),
        ("AtomicRef", OBJECTS[:1], ref_call, REF, OBJECTS[0]),
        ("AtomicStampedRef", (0, 0), stamped_ref_call, STAMPED_REF, (0, 0)),
        ("Stack", (), stack_call, STACK, ()),
        ("LifoQueue", (), queue_call, LIFO, ()),
        ("PriorityQueue", (), queue_call, SORTED, ()),
    ],
    ids=["AtomicInt64", "AtomicRef", "AtomicStampedRef", "Stack", "LifoQueue", "PriorityQueue"],
)
def test_recorded_histories_are_linearizable(
    impl: ModuleType,
    name: str,
    arguments: tuple[Any, ...],
    draw: Draw,
    specification: Specification,
    state: Any,
) -> None:
    create = partial(getattr(impl, name), *arguments)
    for history in recorded(create, draw, rounds=repetitions(impl, 2000)):
        assert linearize(history, specification, state) is not None, history


class TornPop:
    """Another thread may come between the look at the top item and its removal."""

    def __init__(self) -> None:
        self.items: list[int] = []

    def push(self, item: int) -> None:
        self.items.append(item)

    def push_many(self, items: Sequence[int]) -> None:
        self.items.extend(items)

    def pop(self) -> int:
        item = self.items[-1]
        time.sleep(0)
        del self.items[-1]
        return item


class TornBatch(TornPop):
    """Another thread may come between the items of a batch, and that is all."""

    def push_many(self, items: Sequence[int]) -> None:
        for item in items:
            self.push(item)
            time.sleep(0)

    def pop(self) -> int:
        return self.items.pop()


@pytest.mark.parametrize("broken", [TornPop, TornBatch])
def test_broken_stack_is_found_out(broken: Callable[[], object]) -> None:
    def draw(random: Random, number: int) -> Call:
        batch = Call("push_many", ((number, -number),))
        return random.choice([Call("push", (number,)), batch, Call("pop")])

    histories = recorded(broken, draw, rounds=100)
    assert any(linearize(history, STACK, ()) is None for history in histories)
