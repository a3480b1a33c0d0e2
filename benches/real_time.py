"""How late a thread is at worst with an operation that others do all the time.

One thread wants to do a single operation every millisecond, and notes by how much it was
late when that was done: because of its timer, of the GIL where there is one, of the
operation. Others do the same operation in a loop. "nothing" is an empty function: how late
a thread is that shares nothing.

    python benches/real_time.py
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

from lockfree import AtomicInt64

SECONDS = 10.0
PERIOD = 0.001
PERCENTILES = (50, 99, 99.9, 100)


def nothing() -> Callable[[], object]:
    """Return an operation on nothing."""
    return lambda: None


def lock() -> Callable[[], object]:
    """Return an addition under a lock."""
    guard, value = threading.Lock(), 0

    def add() -> None:
        nonlocal value
        with guard:
            value += 1

    return add


def atomic() -> Callable[[], object]:
    """Return an addition to an atomic."""
    return AtomicInt64().increment


def delays(operation: Callable[[], object], others: int) -> list[float]:
    """Return by how many microseconds the operation was late, sorted."""
    over = False

    def disturb() -> None:
        while not over:
            operation()

    threads = [threading.Thread(target=disturb) for _ in range(others)]
    for thread in threads:
        thread.start()
    late, end = [], time.perf_counter() + SECONDS
    while (due := time.perf_counter() + PERIOD) < end:
        time.sleep(PERIOD)
        operation()
        late.append((time.perf_counter() - due) * 1e6)
    over = True
    for thread in threads:
        thread.join()
    return sorted(late)


def percentile(values: list[float], percent: float) -> float:
    """Return the least value that is not exceeded by so many percent of them."""
    return values[max(0, -int(-len(values) * percent // 100) - 1)]


def main() -> None:
    """Print percentiles for each operation, with fewer and with more threads than cores."""
    cores = os.cpu_count() or 1
    print(f"{sys.version}\n{cores} processors, {SECONDS:g} s each; microseconds")
    print(f"{'':8} {'others':>6}", *(f"{f'p{each:g}':>10}" for each in PERCENTILES))
    for make in (nothing, lock, atomic):
        for others in (1, 2 * cores):
            late = delays(make(), others)
            columns = (f"{percentile(late, each):10.0f}" for each in PERCENTILES)
            print(f"{make.__name__:8} {others:6}", *columns)


if __name__ == "__main__":
    main()
