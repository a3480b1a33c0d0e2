"""Prints how often caches hit: ``lockfree.Cache``, and the references of ``libcachesim``.

    pip install . libcachesim && python benches/hit_ratio.py

Each row is a trace of requests for objects of the same size, and a capacity, how many of them
fit; of the small ones, in which one use is enough to stay, there are two. Zipf means that the
object of rank r is asked for with a probability proportional to 1 / r**a; a scan asks once for
objects that nobody asks for again; a loop asks for all objects in turn, over and over. The traces
are the same in each run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate, islice
from random import Random
from typing import Any, Final

import lockfree
import lockfree.locked

OBJECTS: Final = 20_000
REQUESTS: Final = 400_000
SCAN: Final = 500
CAPACITIES: Final = (20, 100, 200, 2_000)

Access = Callable[[int], bool]
"""Asks a cache for an object, admits it if it is not there, and tells whether it was."""


# --- traces --------------------------------------------------------------------


def zipf(alpha: float, requests: int = REQUESTS) -> list[int]:
    """Return requests whose popularity falls with the rank."""
    weights = accumulate((rank + 1) ** -alpha for rank in range(OBJECTS))
    return Random(1).choices(range(OBJECTS), cum_weights=list(weights), k=requests)


def with_scans(requests: Sequence[int]) -> Iterator[int]:
    """Yield the requests, after each `SCAN` of them a scan as long."""
    fresh = iter(range(OBJECTS, sys.maxsize))
    for start in range(0, len(requests), SCAN):
        yield from requests[start : start + SCAN]
        yield from islice(fresh, SCAN)


def loop(objects: int) -> list[int]:
    """Return requests for so many objects in turn."""
    return [number % objects for number in range(REQUESTS)]


def with_loops(requests: Sequence[int], objects: int) -> Iterator[int]:
    """Yield every request, and after it one of a loop over other objects."""
    for number, request in enumerate(requests):
        yield request
        yield OBJECTS + number % objects


TRACES: Final[dict[str, Callable[[], Iterable[int]]]] = {
    "Zipf 0.7": lambda: zipf(0.7),
    "Zipf 0.9": lambda: zipf(0.9),
    "Zipf 1.1": lambda: zipf(1.1),
    "Zipf 0.9, scans": lambda: with_scans(zipf(0.9, REQUESTS // 2)),
    "Zipf 1.1, scans": lambda: with_scans(zipf(1.1, REQUESTS // 2)),
    "Zipf 0.9, a loop": lambda: with_loops(zipf(0.9, REQUESTS // 2), OBJECTS // 10),
    "loop": lambda: loop(OBJECTS),
    "loop over 1 in 8": lambda: loop(OBJECTS // 8),
}


# --- caches --------------------------------------------------------------------


def of_mapping(make: Callable[[int], Any]) -> Callable[[int], Access]:
    """Return what makes the access to a cache that is a mapping."""

    def make_access(capacity: int) -> Access:
        cache = make(capacity)

        def access(key: int) -> bool:
            if cache.get(key, False):
                return True
            cache[key] = True
            return False

        return access

    return make_access


def of_simulator(policy: str) -> Callable[[int], Access]:
    """Return what makes the access to a policy of `libcachesim`."""
    libcachesim: Any = import_module("libcachesim")

    def make_access(capacity: int) -> Access:
        cache, request = getattr(libcachesim, policy)(capacity), libcachesim.Request()
        request.obj_size = 1

        def access(key: int) -> bool:
            request.obj_id = key
            hit: bool = cache.get(request)
            return hit

        return access

    return make_access


def caches() -> dict[str, Callable[[int], Access]]:
    """Return what makes the accesses to compare, by name."""
    made = {
        "lockfree.Cache": of_mapping(lockfree.Cache),
        "lockfree.locked": of_mapping(lockfree.locked.Cache),
    }
    if find_spec("libcachesim") is None:
        print("libcachesim is not installed: no reference", file=sys.stderr)
        return made
    return made | {"S3FIFO": of_simulator("S3FIFO"), "LRU": of_simulator("LRU")}


# --- the table -----------------------------------------------------------------


def hit_ratio(access: Access, trace: Iterable[int]) -> float:
    """Return the percentage of the requests that hit."""
    hits = [access(key) for key in trace]
    return 100 * sum(hits) / len(hits)


def rows(contenders: dict[str, Callable[[int], Access]]) -> Iterator[tuple[str, ...]]:
    """Yield the table, its head first."""
    yield ("trace", "capacity", *contenders)
    for name, make_trace in TRACES.items():
        trace = list(make_trace())
        for capacity in CAPACITIES:
            ratios = (hit_ratio(make(capacity), trace) for make in contenders.values())
            yield (name, str(capacity), *(f"{ratio:.2f}" for ratio in ratios))


def main() -> None:
    """Print the hit ratios in percent."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.parse_args()
    for trace, *cells in rows(caches()):
        print(f"{trace:18}", *(f"{cell:>15}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
