"""Can what threads saw of a shared object be explained by one call at a time?

A history of calls is *linearizable* if each of them can be given one moment, between
its invocation and its return, such that a sequential object that makes the calls in
the order of these moments gives the same results (M. Herlihy, J. Wing,
"Linearizability: A Correctness Condition for Concurrent Objects", TOPLAS 1990).

The search is J. Wing's and C. Gong's ("Testing and Verifying Concurrent Objects", JPDC
1993): try each call that may have come first, and go on with the rest. After G. Lowe
("Testing for Linearizability", CCPE 2017) it enters no configuration twice, that is, no
set of calls that are left together with the state that the others led to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import chain, combinations, count
from random import Random
from typing import Any, Final, NamedTuple

from lockfree import AtomicInt64, Empty
from support import run_threads


class Call(NamedTuple):
    """What a thread asks of an object."""

    method: str
    arguments: tuple[Any, ...] = ()


class Event(NamedTuple):
    """A call that was made, what came of it, and a moment before and one after it."""

    call: Call
    outcome: Any
    invoked: int
    returned: int


History = Sequence[Event]
# For each method: the state and the arguments to the next state and the outcome.
Specification = Mapping[str, Callable[..., tuple[Any, Any]]]


# --- the search ----------------------------------------------------------------


def linearize(history: History, specification: Specification, state: Hashable) -> History | None:
    """Return the events in an order that explains them, from `state` on, if there is one."""
    frontier: list[tuple[frozenset[int], Any, History]]
    frontier = [(frozenset(range(len(history))), state, ())]
    entered = set()
    while frontier:
        left, state, order = frontier.pop()
        if not left:
            return order
        if (left, state) in entered:
            continue
        entered.add((left, state))
        first_return = min(history[i].returned for i in left)
        for i in left:
            event = history[i]
            if event.invoked < first_return:  # so none of the others must precede it
                method, arguments = event.call
                next_state, expected = specification[method](state, *arguments)
                if event.outcome == expected:
                    frontier.append((left - {i}, next_state, (*order, event)))
    return None


# --- recording -----------------------------------------------------------------

Plan = Sequence[Call]  # of one thread


def record(create: Callable[[], object], rounds: Sequence[Sequence[Plan]]) -> list[History]:
    """Return what happens in each round, in which threads follow one plan each on a new object."""
    targets = [create() for _ in rounds]
    threads = len(rounds[0])
    arrived, clock = AtomicInt64(), AtomicInt64()

    def worker(index: int) -> list[list[Event]]:
        random = Random(index)
        histories = []
        for number, (target, plans) in enumerate(zip(targets, rounds, strict=True), 1):
            arrived.increment()
            _await(arrived, number * threads)
            histories.append([_observe(target, call, clock, random) for call in plans[index]])
        return histories

    return [list(chain(*parts)) for parts in zip(*run_threads(threads, worker), strict=True)]


def _await(arrived: AtomicInt64, everybody: int) -> None:
    """Spin, to set out at once; but now and then leave the core to whoever is missing."""
    for spins in count(1):
        if arrived.load() >= everybody:
            return
        if spins % 1000 == 0:
            time.sleep(0)


def _observe(target: object, call: Call, clock: AtomicInt64, random: Random) -> Event:
    # With a GIL, or fewer cores than threads, few calls overlap by themselves.
    dawdles = random.random() < 0.2
    invoked = clock.increment()
    if dawdles:
        time.sleep(0)
    result = outcome(target, call)
    return Event(call, result, invoked, clock.increment())


def outcome(target: object, call: Call) -> Any:
    """Make a call and return its result, an iterator's items, or the type of its exception."""
    try:
        result = getattr(target, call.method)(*call.arguments)
    except Exception as error:
        return type(error)
    return list(result) if isinstance(result, Iterator) else result


def overlaps(history: History) -> bool:
    """Whether any two calls were under way at the same time."""
    return any(
        a.invoked < b.returned and b.invoked < a.returned for a, b in combinations(history, 2)
    )


# --- sequential specifications -------------------------------------------------

INT64: Final[Specification] = {
    "load": lambda value: (value, value),
    "store": lambda _value, n: (n, None),
    "exchange": lambda value, n: (n, value),
    "fetch_add": lambda value, n: (value + n, value),
    "compare_exchange": lambda value, expected, desired: (
        (desired, True) if value == expected else (value, False)
    ),
}

REF: Final[Specification] = {name: step for name, step in INT64.items() if name != "fetch_add"}

# An object and its stamp.
STAMPED_REF: Final[Specification] = {
    "load": lambda pair: (pair, pair),
    "store": lambda _pair, *new: (new, None),
    "exchange": lambda pair, *new: (new, pair),
    "compare_exchange": lambda pair, expected, desired, stamp, new_stamp: (
        ((desired, new_stamp), True) if pair == (expected, stamp) else (pair, False)
    ),
}


def _queue(turn: Callable[[tuple[int, ...]], int]) -> Specification:
    """Return what a queue does from which the item at `turn` comes out next."""

    def get(items: Any) -> Any:
        if not items:
            return items, Empty
        i = turn(items)
        return (*items[:i], *items[i + 1 :]), items[i]

    return {
        "put": lambda items, item: ((*items, item), None),
        "get_nowait": get,
        "qsize": lambda items: (items, len(items)),
        "empty": lambda items: (items, not items),
    }


LIFO: Final = _queue(lambda items: len(items) - 1)
SORTED: Final = _queue(lambda items: items.index(min(items)))

# A stack is the tuple of its items, the uppermost last.
STACK: Final[Specification] = {
    "push": lambda items, item: ((*items, item), None),
    "push_many": lambda items, more: ((*items, *more), None),
    "pop": lambda items: (items[:-1], items[-1]) if items else (items, IndexError),
    "peek": lambda items: (items, items[-1] if items else IndexError),
    "pop_many": lambda items, n: (items[: max(len(items) - n, 0)], list(items[::-1][:n])),
    "pop_all": lambda items: ((), list(items[::-1])),
    "clear": lambda _items: ((), None),
    "__len__": lambda items: (items, len(items)),
    "__bool__": lambda items: (items, bool(items)),
    "__iter__": lambda items: (items, list(items[::-1])),
}
