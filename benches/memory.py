"""How much memory comes back when a container was large and is emptied.

Each row is a process of its own: it fills a container, empties it, and then uses it a little, until
a tenth of the growth is left, for ten seconds at most. Keys are strings that exist before and
afterwards, values and items are small ints: so all that grows is the container's own. Three rows
for each, because Python's collector must not matter: it is on, off, or has frozen what is there.

    python benches/memory.py [MILLIONS]
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lockfree

MIB = 2**20
PATIENCE = 10.0
COLLECTORS: dict[str, Callable[[], object]] = {
    "on": lambda: None,
    "off": gc.disable,
    "frozen": gc.freeze,
}
MAPPINGS: dict[str, Callable[[], Any]] = {
    "dict": dict,
    "Cache(None)": lambda: lockfree.Cache(None),
    "Cache(10_000_000)": lambda: lockfree.Cache(10_000_000),
    "ConcurrentDict": lockfree.ConcurrentDict,
}
"""Of as many entries as are asked for, by default five million."""
ROWS: dict[str, Callable[[], Any]] = {
    "Stack": lockfree.Stack,
    "Queue": lockfree.Queue,
    "LifoQueue": lockfree.LifoQueue,
    "PriorityQueue": lockfree.PriorityQueue,
}
"""Of twice as many items."""


def resident() -> int:
    """Return how many bytes of this process are in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def use(it: Any) -> None:
    """Put a thousand items and take them out."""
    if hasattr(it, "keys"):
        for number in range(1000):
            it[number] = number
        for number in range(1000):
            del it[number]
        return
    put, take = (it.push, it.pop) if hasattr(it, "push") else (it.put, it.get)
    for number in range(1000):
        put(number)
    for _ in range(1000):
        take()


def pop_all(it: Any, keys: list[str]) -> None:
    """Take out one after the other."""
    if hasattr(it, "keys"):
        for key in keys:
            it.pop(key)
        return
    take = it.pop if hasattr(it, "pop") else it.get
    while it if hasattr(it, "pop") else it.qsize():
        take()


def clear(it: Any, _keys: list[str]) -> None:
    """Take out all at once; from a queue many, for a list of all would itself be large."""
    if hasattr(it, "clear"):
        it.clear()
    while hasattr(it, "get_many") and it.qsize():
        it.get_many(1000)


WAYS: dict[str, Callable[[Any, list[str]], object]] = {"clear": clear, "pop": pop_all}


def measure(name: str, way: str, collector: str, count: int) -> None:
    """Fill one and empty it; print how much it grew, what was left, and when."""
    keys = list(map(str, range(count))) if name in MAPPINGS else []
    it = (MAPPINGS | ROWS)[name]()
    COLLECTORS[collector]()
    before = resident()
    if keys:
        for key in keys:
            it[key] = 1
    else:
        put = it.push if hasattr(it, "push") else it.put
        for number in range(2 * count):
            put(number % 256)
    grown = resident() - before
    WAYS[way](it, keys)
    at_once, start = resident() - before, time.monotonic()
    use(it)
    while (left := resident() - before) > grown / 10 and time.monotonic() - start < PATIENCE:
        time.sleep(0.1)
        use(it)
    print(
        f"{name:18} {way:6} {collector:9} {grown / MIB:8.0f} {at_once / MIB:8.1f} "
        f"{left / MIB:8.1f} {left / grown:6.1%} {time.monotonic() - start:6.1f} s",
        flush=True,
    )


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield what is measured: a container, a way to empty it, a collector."""
    for name in MAPPINGS | ROWS:
        for way in WAYS:
            for collector in COLLECTORS:
                yield name, way, collector


def main(arguments: list[str]) -> None:
    """Measure one row, or have each measured by a process of its own."""
    if len(arguments) == 4:
        measure(*arguments[:3], count=int(arguments[3]))
        return
    count = int(float(arguments[0] if arguments else 5) * 1e6)
    print(f"{sys.version}\n{count:,} entries, {2 * count:,} items; resident memory in MiB")
    print(f"{'container':18} emptied collector    grown  at once     left      %   after")
    for row in rows():
        subprocess.run([sys.executable, __file__, *row, str(count)], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
