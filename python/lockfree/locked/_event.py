"""Those who wait, for the locked classes: threads and coroutines in one list."""

from __future__ import annotations

import itertools
import math
import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Callable
from operator import attrgetter

from lockfree.locked._values import shown


class Waiter:
    """One who waits: `wake` is called when there is a reason to look again."""

    def __init__(self, wake: Callable[[], bool | None]) -> None:
        self.wake = wake
        self.notified = False
        self.arrival = 0


class Sleeper(Waiter):
    """A thread that waits, once or several times in a row."""

    def __init__(self) -> None:
        self.asleep = threading.Lock()
        self.asleep.acquire()
        super().__init__(self.asleep.release)


class Event:
    """Those who wait for one kind of change; under its owner's lock.

    Not a ``threading.Condition``, because coroutines wait here, too.
    """

    def __init__(self) -> None:
        self._waiters: deque[Waiter] = deque()
        self._arrivals = itertools.count()

    def enrol(self, waiter: Waiter) -> None:
        """Add one to the end, or in its old place if it was notified for nothing."""
        if not waiter.notified:
            waiter.arrival = next(self._arrivals)
        waiter.notified = False
        insort(self._waiters, waiter, key=attrgetter("arrival"))

    def leave(self, waiter: Waiter) -> None:
        """Take one off the list, or pass on its notification."""
        if waiter.notified:
            self.notify(1)
        elif waiter in self._waiters:
            self._waiters.remove(waiter)

    def notify(self, count: int | None = 1) -> None:
        """Wake so many, or all."""
        left = len(self._waiters) if count is None else count
        while self._waiters and left > 0:
            waiter = self._waiters.popleft()
            waiter.notified = True
            if waiter.wake() is not False:
                left -= 1

    def wait(
        self, lock: threading.RLock, seconds: float | None, sleeper: Sleeper | None = None
    ) -> Sleeper:
        """Sleep until notified, or for so long; without the lock meanwhile.

        Returns what to pass in order to wait once more, in the old place.
        """
        sleeper = sleeper or Sleeper()
        self.enrol(sleeper)
        lock.release()
        try:
            sleeper.asleep.acquire(
                timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX)
            )
        except BaseException:
            lock.acquire()
            self.leave(sleeper)
            raise
        lock.acquire()
        if not sleeper.notified:
            self._waiters.remove(sleeper)
        return sleeper


def within(timeout: float | None) -> Callable[[], float | None]:
    """Return a function that tells how many seconds are left to wait; None is for ever."""
    if timeout is None:
        return lambda: None
    if math.isnan(timeout) or timeout < 0:
        raise ValueError(f"'timeout' must be a non-negative number, not {shown(timeout)}")
    end = time.monotonic() + timeout
    return lambda: end - time.monotonic()
