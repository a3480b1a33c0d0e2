"""Threads that run at once, which threads that merely start at once may not."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import TypeAlias

from lockfree import AtomicInt64

Meet: TypeAlias = Callable[[], None]
"""Waits for the other threads."""


def at_once(works: Sequence[Callable[[Meet], object]]) -> None:
    """Run each of the functions on a thread, and return when all have ended.

    Each is given a function to call where it wants to meet the others. If one raises,
    nobody waits for it, and neither is there a result: its exception is raised here.
    """
    total = len(works)
    arrivals = AtomicInt64()
    abandoned = Event()
    errors: list[BaseException] = []

    def meet() -> None:
        """Return when all are here. Nobody sleeps meanwhile: who is woken up is late."""
        here = arrivals.increment()
        everyone = here + -here % total
        while arrivals.load() < everyone and not abandoned.is_set():
            time.sleep(0)  # without the GIL, if there is one

    def run(number: int) -> None:
        _settle(number)
        try:
            works[number](meet)
        except BaseException as error:
            errors.append(error)
            abandoned.set()

    threads = [Thread(target=run, args=(each,), daemon=True) for each in range(total)]
    try:
        for thread in threads:
            thread.start()
    except BaseException:  # Ctrl-C: those that were started wait for nobody
        abandoned.set()
        raise
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _settle(number: int) -> None:
    """Put this thread on a core of its own: on a busy machine all may end up on one."""
    if sys.platform == "linux":
        with suppress(OSError):  # where the system does not let it, it does no harm
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cores[number % len(cores)]})
