"""How long other threads stand still while one goes through a million items.

A thread looks at the clock all the time; the longest time between two of its looks is how long
an operation of another thread kept it from running: with the GIL because that did not give it away.
The best of the rounds counts, for whatever else the machine does makes it longer.

    python benches/pauses.py [native|locked]
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

import lockfree
import lockfree.locked

ITEMS: Final = 1_000_000
ROUNDS: Final = 5


class Thing:
    """What may be part of a cycle."""


@contextmanager
def watched() -> Iterator[list[float]]:
    """Collect how long another thread stood still at most, in seconds, while the block runs."""
    longest, over, ready = [0.0], threading.Event(), threading.Event()

    def look() -> None:
        ready.set()
        last, is_over = time.perf_counter(), False
        while not is_over:
            is_over = over.is_set()  # then it looks once more
            now = time.perf_counter()
            longest[0] = max(longest[0], now - last)
            last = now

    thread = threading.Thread(target=look)
    thread.start()
    ready.wait()
    try:
        yield longest
    finally:
        over.set()
        thread.join()


def filled(queue: Any) -> Any:
    """Return a queue with the items in it."""
    queue.put_many(range(ITEMS))
    return queue


def shut_down(queue: Any) -> Any:
    """Return it, with the items in it, and no more to come."""
    filled(queue).shutdown()
    return queue


def cache(impl: ModuleType, value: Callable[[int], object] = int) -> Any:
    """Return a cache with the items in it."""
    made = impl.Cache(None)
    made.update({key: value(key) for key in range(ITEMS)})
    return made


def alone(make: Callable[[], Any]) -> Any:
    """Return what is made, and keep the collector from what was there before."""
    gc.freeze()
    return make()


def operations(impl: ModuleType) -> dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
    """Return by name what makes a container, and what is done with it."""
    items, same = range(ITEMS), {key: key for key in range(ITEMS)}
    listed = list(items)
    return {
        "push_many": (impl.Stack, lambda c: c.push_many(listed)),
        "pop_many": (lambda: impl.Stack(items), lambda c: c.pop_many(ITEMS)),
        "pop_all": (lambda: impl.Stack(items), lambda c: c.pop_all()),
        "list of a Stack": (lambda: impl.Stack(items), list),
        "put_many of a Queue": (impl.Queue, lambda c: c.put_many(listed)),
        "get_many of a Queue": (lambda: filled(impl.Queue()), lambda c: c.get_many(ITEMS)),
        "put_many of a PriorityQueue": (impl.PriorityQueue, lambda c: c.put_many(listed)),
        "get_many of a PriorityQueue": (
            lambda: filled(impl.PriorityQueue()),
            lambda c: c.get_many(ITEMS),
        ),
        "list of a Queue that was shut down": (lambda: shut_down(impl.Queue()), list),
        "list of a Cache": (lambda: cache(impl), list),
        "list of its values()": (lambda: cache(impl), lambda c: list(c.values())),
        "list of its items()": (lambda: cache(impl), lambda c: list(c.items())),
        "dict of its items()": (lambda: cache(impl), lambda c: dict(c.items())),
        "list of its items(), instances": (
            lambda: cache(impl, lambda _: Thing()),
            lambda c: list(c.items()),
        ),
        "repr of a Cache": (lambda: cache(impl), repr),
        "== of a Cache and a dict": (lambda: cache(impl), lambda c: c == same),
        "update of a Cache": (lambda: impl.Cache(None), lambda c: c.update(same)),
        "clear of a Cache": (lambda: cache(impl), lambda c: c.clear()),
        "list of a dict's items(), instances": (
            lambda: {key: Thing() for key in items},
            lambda c: list(c.items()),
        ),
        "a dict that grows": (lambda: None, lambda _: {key: key for key in items}),
        "gc.collect() of a Cache": (lambda: alone(lambda: cache(impl)), lambda _: gc.collect()),
        "gc.collect() of a dict": (lambda: alone(same.copy), lambda _: gc.collect()),
    }


def main() -> None:
    """Print milliseconds, the best of the rounds, for each operation."""
    impl = lockfree.locked if "locked" in sys.argv[1:] else lockfree
    print(f"{sys.version}\n{impl.__name__}, {ITEMS:,} items, best of {ROUNDS}; milliseconds")
    for name, (make, act) in operations(impl).items():
        best = float("inf")
        for _ in range(ROUNDS):
            container = make()
            with watched() as longest:
                kept = act(container)
            del kept, container
            best = min(best, longest[0])
        print(f"{name:36} {best * 1e3:7.1f}", flush=True)


if __name__ == "__main__":
    main()
