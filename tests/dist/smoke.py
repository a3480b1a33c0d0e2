"""Use an installation that has nothing beside it, with warnings as errors: smoke.py IMPLEMENTATION.

It needs the interpreter alone, since that is all an empty environment has.
"""

from __future__ import annotations

import asyncio
import sys
import sysconfig
import threading

import lockfree
from lockfree import locked

expected = sys.argv[1]
assert expected == lockfree.IMPLEMENTATION
assert lockfree.__version__
enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
assert enabled is not bool(sysconfig.get_config_var("Py_GIL_DISABLED")), "the import turned it on"

hits: lockfree.AtomicInt64 = lockfree.AtomicInt64()
jobs: lockfree.Queue[int] = lockfree.Queue()


def work() -> None:
    """Count what comes."""
    for _ in jobs:
        hits.increment()


if sys.platform != "emscripten":
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    jobs.put_many(range(1000))
    jobs.shutdown()
    for thread in threads:
        thread.join()
    assert hits.load() == 1000

    async def hand_over() -> str:
        """Pass an item from a task to itself."""
        queue: lockfree.AsyncQueue[str] = lockfree.AsyncQueue()
        await queue.put("a")
        return await queue.get()

    assert asyncio.run(hand_over()) == "a"

assert lockfree.Stack("abc").pop_all() == ["c", "b", "a"]
assert lockfree.Cache[str, str](2).get_or_load("a", str.upper) == "A"
assert locked.Queue().empty()
print(sys.version.split()[0], lockfree.__version__, lockfree.IMPLEMENTATION, "works")
