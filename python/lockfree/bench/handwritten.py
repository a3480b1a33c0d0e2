"""Contenders that no library brings: what people write by hand."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LockedCounter:
    """An integer and the lock that guards it; the cells write the idiom inline."""

    __slots__ = ("lock", "value")

    def __init__(self, value: int = 0) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.value: int = value

    def compare_exchange(self, expected: int, desired: int) -> bool:
        """Replace `expected` by `desired`; return whether that happened."""
        with self.lock:
            if self.value != expected:
                return False
            self.value = desired
            return True


class LockedFlag:
    """A flag and the lock that guards it."""

    __slots__ = ("lock", "value")

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.value: bool = False


class LockedSum:
    """A floating-point number and the lock that guards it."""

    __slots__ = ("lock", "value")

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.value: float = 0.0


class LockedList:
    """A list and the lock that guards it."""

    __slots__ = ("items", "lock")

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.items: list[int] = []


class LockedCounts:
    """A count for each key, and the lock that guards them; the cells write the idiom inline."""

    __slots__ = ("counts", "lock")

    def __init__(self, counts: dict[int, int]) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.counts: dict[int, int] = counts


class LockedMapping(Generic[K, V]):
    """A mapping and the lock that guards it."""

    def __init__(self, mapping: MutableMapping[K, V]) -> None:
        self._lock = threading.Lock()
        self._mapping = mapping

    def get(self, key: K) -> V | None:
        """Return the value of a key, or None."""
        with self._lock:
            return self._mapping.get(key)

    def __setitem__(self, key: K, value: V) -> None:
        with self._lock:
            self._mapping[key] = value


class LocalCounter(threading.local):
    """A count for each thread, and a list of them all for whoever wants the sum.

    A count is a list of one, which outlives its thread; so there is one for each
    thread that ever counted. The cells write the idiom inline.
    """

    def __init__(self, counts: list[list[int]]) -> None:  # runs once in each thread
        self.count: list[int] = [0]
        self.counts = counts
        counts.append(self.count)

    def sum(self) -> int:
        """Return the sum of all threads' counts."""
        return sum(count for (count,) in self.counts)


class LoopQueue:
    """An ``asyncio.Queue``, and the event loop that it belongs to: that of who gets.

    What comes from elsewhere has to ask that loop to put it, and to wait for the
    answer if the queue's bound shall hold.
    """

    def __init__(self, maxsize: int) -> None:
        self._queue: asyncio.Queue[int] = asyncio.Queue(maxsize)
        self._loop = Future[asyncio.AbstractEventLoop]()

    def put(self, item: int) -> None:
        """Wait for room and append an item, from a thread."""
        self._put(item).result()

    async def async_put(self, item: int) -> None:
        """Wait for room and append an item, from another event loop."""
        await asyncio.wrap_future(self._put(item))

    def _put(self, item: int) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(self._queue.put(item), self._loop.result())

    async def async_get(self) -> int:
        """Take the first item."""
        if not self._loop.done():
            self._loop.set_result(asyncio.get_running_loop())
        return await self._queue.get()


class LockFreeCounter:
    """A tutorial's compare-and-swap in pure Python, as it is taught.

    It takes the lock that it is named after not having, and reads the value
    outside it. A thread that loses the race sleeps: the backoff, "exponential"
    in the tutorial, grows linearly. One that loses a hundred times raises, and its
    increment is lost.
    """

    def __init__(self) -> None:
        self._value = 0
        self._lock = threading.Lock()

    def increment(self) -> int:
        """Add 1 and return the new value."""
        max_retries = 100
        for attempt in range(max_retries):
            current = self._value
            new_value = current + 1
            with self._lock:
                if self._value == current:
                    self._value = new_value
                    return new_value
            time.sleep(0.001 * attempt)
        raise Exception("Failed to increment after max retries")


class LockedQueue:
    """A tutorial's queue with a lock, as it is measured there."""

    def __init__(self) -> None:
        self._queue: deque[int] = deque()
        self._lock = threading.Lock()

    def put(self, item: int) -> None:
        """Append an item."""
        with self._lock:
            self._queue.append(item)

    def get(self) -> int | None:
        """Take the first item, or None if there is none; or if the item is None."""
        with self._lock:
            return self._queue.popleft() if self._queue else None


class LockFreeQueue:
    """The same tutorial's queue without one. A ``deque`` brings its own, a short one in C."""

    def __init__(self) -> None:
        self._queue: deque[int] = deque()

    def put(self, item: int) -> None:
        """Append an item."""
        self._queue.append(item)

    def get(self) -> int | None:
        """Take the first item, or None if there is none; or if the item is None."""
        try:
            return self._queue.popleft()
        except IndexError:
            return None
