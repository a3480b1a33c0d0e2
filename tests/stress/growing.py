"""Stress what grows and is emptied, while others read and write: memory comes back.

How much the process may have grown at the end does not depend on how long it ran.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from pathlib import Path

from harness import Worker, stress
from lockfree import Cache, ConcurrentDict, Queue, Stack

MIB = 2**20
MOST = 300
KEYS = [str(number) for number in range(MOST)]
STATM = Path("/proc/self/statm")  # of Linux; elsewhere only the accounts are checked

cache: Cache[str, int] = Cache(None)
values: ConcurrentDict[str, int] = ConcurrentDict()
stack: Stack[int] = Stack()
queue: Queue[int] = Queue()


def grow(worker: Worker) -> None:
    for number in range(worker.random.randrange(MOST)):
        cache[KEYS[number]] = values[KEYS[number]] = number
        stack.push(number)
        queue.put(number)


def clear(worker: Worker) -> None:
    cache.clear()
    values.clear()
    stack.clear()
    queue.drain()


def pop(worker: Worker) -> None:
    for number in range(worker.random.randrange(MOST)):
        assert cache.pop(KEYS[number], number) == number
        assert values.pop(KEYS[number], number) == number
        stack.pop(default=None)


def read(worker: Worker) -> None:
    for number in range(0, MOST, 3):
        assert cache.get(KEYS[number], number) == number
        assert values.get(KEYS[number], number) == number
        stack.peek(default=None)


def resident() -> int:
    pages = int(STATM.read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def check(account: Counter[object]) -> None:
    clear(Worker(0, 0))
    assert (len(cache), len(values), len(stack), queue.qsize()) == (0, 0, 0, 0)
    # A sanitizer keeps what is freed.
    if STATM.exists() and "ASAN_OPTIONS" not in os.environ:
        grown = (resident() - before) / MIB
        print(f"the process has grown by {grown:.1f} MiB")
        assert grown < 32


if __name__ == "__main__":
    # Neither the collector nor its absence may matter, and none would run by itself for ints.
    gc.disable()
    before = resident() if STATM.exists() else 0
    stress([grow, clear, pop, read], check)
