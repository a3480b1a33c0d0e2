"""What it costs to release the GIL, or to detach from a free-threaded interpreter.

The same C function is called with and without (``ctypes.CDLL`` releases it around
the call, ``ctypes.PyDLL`` does not): alone, beside a thread that does the same, and
beside one that runs Python code without a pause.

    python benches/gil_release.py
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

ROUNDS: Final = 5
ENOUGH: Final = 100_000_000
"""Nanoseconds that a measurement takes at least."""


def nanoseconds(call: Callable[[int], Any]) -> float:
    """Return the time per call, of as many calls as take long enough to tell."""
    calls = 1
    while True:
        start = time.perf_counter_ns()
        for _ in range(calls):
            call(1)
        taken = time.perf_counter_ns() - start
        if taken >= ENOUGH:
            return taken / calls
        calls *= 4


def beside(neighbour: Callable[[], object] | None, call: Callable[[int], Any]) -> str:
    """Return the best and the worst of the rounds, while a thread repeats `neighbour`."""
    stop = threading.Event()

    def work() -> None:
        while neighbour and not stop.is_set():
            neighbour()

    thread = threading.Thread(target=work)
    thread.start()
    rounds = [nanoseconds(call) for _ in range(ROUNDS)]
    stop.set()
    thread.join()
    return f"{min(rounds):7,.0f} to {max(rounds):9,.0f} ns"


def compute() -> None:
    """Run Python code for some microseconds."""
    for _ in range(100):
        pass


def main() -> None:
    """Print a row for each neighbour."""
    keeps, releases = ctypes.PyDLL(None).abs, ctypes.CDLL(None).abs
    print(sys.version)
    for who, one, other in (
        ("nobody", None, None),
        ("a thread that does the same", lambda: keeps(1), lambda: releases(1)),
        ("a thread that computes", compute, compute),
    ):
        kept, released = beside(one, keeps), beside(other, releases)
        print(f"beside {who:30} keeps it {kept}, releases it {released}")


if __name__ == "__main__":
    main()
