"""Those who wait, for the locked classes: threads and coroutines in one list."""

from __future__ import annotations

import itertools
import math
import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Generator
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from lockfree.locked._door import door_of
from lockfree.locked._values import shown

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

T = TypeVar("T")


class Sleeper:
    """A thread that waits, once or several times in a row."""

    def __init__(self) -> None:
        self.notified = False
        self.arrival = 0
        self.asleep = threading.Lock()
        self.asleep.acquire()

    def wake(self) -> bool:
        """Wake it, with a reason to look again; return whether it surely gets up."""
        if self.asleep.locked():
            self.asleep.release()
        return True


class Waiter:
    """A coroutine that waits; its task awaits this.

    Not an ``asyncio.Future``: that is done before it schedules its task, and cannot try that
    again if a signal handler raises meanwhile. What is scheduled is the waiter itself, which
    wakes the task once, however often it is called.
    """

    _asyncio_future_blocking = False

    def __init__(self, owner: Any, event: int, loop: AbstractEventLoop) -> None:
        self.notified = False
        self.arrival = 0
        self._owner = owner
        self._event = event
        self._loop = loop
        self._door = door_of(loop)
        self._callback: tuple[Callable[[Any], object], Any] | None = None
        self._cancelled: tuple[Any, ...] | None = None

    def wake(self) -> bool:
        """Wake it, from any thread; return whether it surely gets up."""
        return self._door.wake(self)

    def get_up(self) -> None:
        """Schedule its task, on its loop's own thread."""
        if callback := self._callback:
            self._loop.call_soon(self, context=callback[1])

    def rouse(self) -> None:
        """Wake it, whoever else waits."""
        self.notified = True
        at_least_once(self.wake)

    def pass_on(self) -> None:
        """Give the news that it was to be woken for to the next one."""
        self._owner._notify(self._event)

    def __await__(self) -> Generator[Any, None, None]:
        if not self.done():
            self._asyncio_future_blocking = True
            yield self
        self.result()

    def __call__(self) -> None:
        """Wake the task, if it sleeps and is to be woken."""
        if self._callback and self.done():
            # In no variable: the traceback of a cancellation shows this frame, and would hold
            # the task, which holds it.
            self._taken()(self)

    def _taken(self) -> Callable[[Any], object]:
        assert self._callback
        (callback, _), self._callback = self._callback, None
        return callback

    # What a task asks of a future.

    def get_loop(self) -> AbstractEventLoop:
        """Return the loop in which it is awaited."""
        return self._loop

    def add_done_callback(self, fn: Callable[[Any], object], *, context: Any = None) -> None:
        """Note what wakes the task."""
        self._callback = (fn, context)
        if self.done():
            self.get_up()

    def cancel(self, msg: Any = None) -> bool:
        """Wake the task with a `CancelledError`, unless it is woken already."""
        if self.done():
            return False
        self._cancelled = () if msg is None else (msg,)
        at_least_once(self.get_up)
        return True

    def done(self) -> bool:
        """Return whether the task is to be awake."""
        return self.notified or self._cancelled is not None

    def result(self) -> None:
        """Raise the `CancelledError`, if it was cancelled."""
        if self._cancelled is not None:
            from asyncio import CancelledError

            raise CancelledError(*self._cancelled)


def at_least_once(wake: Callable[[], T]) -> T:
    """Call it, and once more if the exception of a signal handler comes out of it."""
    try:
        return wake()
    except BaseException:
        wake()
        raise


class Event:
    """Those who wait for one kind of change; under its owner's lock.

    Not a ``threading.Condition``, because coroutines wait here, too.
    """

    def __init__(self) -> None:
        self._waiters: deque[Waiter | Sleeper] = deque()
        self._arrivals = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._waiters)

    def enrol(self, waiter: Waiter | Sleeper) -> None:
        """Add one to the end, or in its old place if it was notified for nothing."""
        if not waiter.notified:
            waiter.arrival = next(self._arrivals)
        waiter.notified = False
        insort(self._waiters, waiter, key=attrgetter("arrival"))

    def leave(self, waiter: Waiter | Sleeper) -> None:
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
            if at_least_once(waiter.wake):
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
    seconds = math.ldexp(timeout, 0)  # the float that anything with `__index__` is, too
    if math.isnan(seconds) or seconds < 0:
        raise ValueError(f"'timeout' must be a non-negative number, not {shown(timeout)}")
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()
