"""What it costs that threads name one object: counted, and where the counting is deferred.

Each thread is pinned to a processor of its own, and the object is a module global. It is counted
as long as the collector is disabled, for then 3.14 defers no object by itself. Nanoseconds per
operation, of all threads together.

    python3.14t benches/sharing.py
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import threading
import time
from typing import Any

from lockfree import AtomicRef, Cache, Queue, StripedCounter, cached, defer_refcount

ROUNDS = 9
TIMES = 100_000

OBJECTS = """
from queue import SimpleQueue

class Settings:
    def __init__(self):
        self.level = None

class Jobs:
    @cached
    def cost(self, number):
        return number

class Held:
    settings, lock = Settings(), threading.Lock()

@cached
def call(number):
    return number

cache, queue, striped, plain = Cache(100), Queue(), StripedCounter(), {"k": 1}
simple, jobs, held = SimpleQueue(), Jobs(), Held()
value = load = AtomicRef(Settings())
cache["k"] = 1
"""
"""The module."""

ROWS = {
    'cache["k"]': ("cache", 'cache["k"]'),
    "cached(1)": ("call", "call(1)"),
    "method of a cached": ("jobs", "jobs.cost(1)"),
    "queue.put; get": ("queue", "queue.put(1); queue.get()"),
    "striped.increment()": ("striped", "striped.increment()"),
    'dict, d["k"]': ("plain", 'plain["k"]'),
    "SimpleQueue.put; get": ("simple", "simple.put(1); simple.get()"),
    "config.value.level": ("value", "value.value.level"),
    "config.load().level": ("load", "load.load().level"),
    "lock, attribute": ("held", "with held.lock: held.settings.level"),
}
"""What is named, and the operation."""


def prepared(row: str, *, deferred: bool) -> Any:
    """Return a function, of a new module, that does the operation a number of times."""
    named, operation = ROWS[row]
    module = {"cached": cached, "threading": threading, "__name__": "shared"}
    module |= {each.__name__: each for each in (AtomicRef, Cache, Queue, StripedCounter)}
    exec(OBJECTS, module)
    gc.disable()
    if deferred:
        gc.enable()
        shared: Any = module[named]
        defer_refcount(shared)
        if isinstance(shared, AtomicRef):
            defer_refcount(shared.load())
    lines = 10 * f"\n        {operation}"
    exec(f"def work(times):\n    for _ in range(times // 10):{lines}", module)
    return module["work"]


def nanoseconds(row: str, threads: int, *, deferred: bool) -> float:
    """Return how long an operation takes, of all threads together."""
    work = prepared(row, deferred=deferred)
    gate, spans = threading.Barrier(threads), []

    def run(processor: int) -> None:
        os.sched_setaffinity(0, {processor})
        work(TIMES // 10)
        for _ in range(ROUNDS):
            gate.wait()
            start = time.perf_counter()
            work(TIMES)
            spans.append((start, time.perf_counter()))
            gate.wait()

    processors = sorted(os.sched_getaffinity(0))[:threads]
    workers = [threading.Thread(target=run, args=(each,)) for each in processors]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    rounds = [spans[i : i + threads] for i in range(0, len(spans), threads)]
    elapsed = [max(end for _, end in each) - min(start for start, _ in each) for each in rounds]
    return statistics.median(elapsed) / TIMES / threads * 1e9


def main() -> None:
    """Print the table: the median of three of each."""
    print(f"{sys.version}\n{'':22}{'counted: 1':>12}{'2 threads':>12}{'deferred: 1':>12}{'2':>12}")
    for row in ROWS:
        columns = [(threads, deferred) for deferred in (False, True) for threads in (1, 2)]
        found = [
            statistics.median(nanoseconds(row, threads, deferred=deferred) for _ in range(3))
            for threads, deferred in columns
        ]
        print(f"{row:22}" + "".join(f"{each:12.1f}" for each in found), flush=True)


if __name__ == "__main__":
    main()
