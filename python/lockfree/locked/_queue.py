"""``Queue``, ``LifoQueue`` and ``PriorityQueue`` over one ``threading.RLock``."""

from __future__ import annotations

import heapq
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count as counter
from itertools import takewhile
from types import GenericAlias
from typing import Any, ClassVar, NamedTuple, NoReturn, SupportsFloat, SupportsIndex, TypeVar, cast

from lockfree import _async_queue
from lockfree._async import TIRED, AsyncMethods
from lockfree._errors import Empty, Full, ShutDown
from lockfree._overrides import QueueRelations, followed
from lockfree.locked._event import Event, Sleeper, Waiter, within
from lockfree.locked._values import count, function_or_none, limit, not_copyable, shown

T = TypeVar("T")


def _absent(name: str, instead: str) -> property:
    def fget(_self: object) -> NoReturn:
        raise AttributeError(f"Queue has no attribute '{name}': {instead}")

    return property(fget, doc=f"Absent: {instead}.")


@followed(QueueRelations)
class Queue(AsyncMethods[T]):
    """A first-in, first-out queue for any number of producers and consumers."""

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    def __init__(self, maxsize: SupportsFloat | SupportsIndex = 0) -> None:
        self._maxsize = limit(maxsize)
        self._items: Any = deque()
        self._unfinished = 0
        self._closed = False
        # Reentrant: waking a coroutine runs code of its loop, and what the collector
        # frees meanwhile may be a coroutine that waits here.
        self._lock = threading.RLock()
        self._not_empty, self._not_full, self._all_done = Event(), Event(), Event()
        self._events = (self._not_empty, self._not_full, self._all_done)
        self._run = 0

    def put(self, /, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room."""
        with self._lock:
            self._refuse_if_closed()
        # Without a bound nobody waits, and `queue.Queue` looks at no timeout.
        remaining = _patience(block, timeout) if self._maxsize else within(None)
        self._put(self._entry(item), remaining)

    def put_nowait(self, /, item: T) -> None:
        """Put an item without waiting."""
        self.put(item, block=False)

    def put_many(self, iterable: Iterable[T], /, timeout: float | None = None) -> int:
        """Put the items of `iterable` in their order; return how many went in."""
        remaining = within(timeout)
        items = [self._entry(item) for item in tuple(iterable)]
        for done, entry in enumerate(items):
            try:
                with self._lock:
                    self._refuse_if_closed()
                    self._await_room(remaining)
                    self._append(entry)
            except (Full, ShutDown):
                if done == 0:
                    raise
                return done
        return len(items)

    def force_put(self, item: T, /, *, default: Any = None) -> Any:
        """Put an item, and if the queue is full take the first one out for it."""
        with self._lock:
            self._refuse_if_closed()
            if not self._is_full():
                self._append(item)
                return default
            self._not_empty.notify()
            displaced = self._items.popleft()
            self._push(item)  # and as many are unfinished as before
            return displaced

    def get(self, /, block: bool = True, timeout: float | None = None) -> T:
        """Remove and return the first item, waiting for one."""
        with self._lock:
            if not self._items:
                self._refuse_if_closed()
            self._await_item(_patience(block, timeout))
            return self._popleft()

    def get_nowait(self, /) -> T:
        """Remove and return the first item without waiting."""
        return self.get(block=False)

    def get_many(self, n: SupportsIndex, /, timeout: float | None = None) -> list[T]:
        """Remove and return up to `n` items, waiting for the first."""
        remaining, wanted = within(timeout), count(n)
        if wanted == 0:
            return []
        with self._lock:
            self._await_item(remaining)
            return self._take(min(wanted, len(self._items)))

    def drain(self, /) -> list[T]:
        """Remove and return all items."""
        with self._lock:
            return self._take(len(self._items))

    def task_done(self, /, n: SupportsIndex = 1) -> None:
        """Say that `n` items that were got are done."""
        done = count(n)
        with self._lock:
            if done > self._unfinished:
                raise ValueError("task_done() called too many times")
            self._finish(done)

    def join(self, /) -> None:
        """Wait until all items that were put are done."""
        with self._lock:
            while self._unfinished:
                self._all_done.wait(self._lock, None)

    def shutdown(self, /, immediate: bool = False) -> None:
        """Refuse further items; with `immediate`, drop those that are in the queue."""
        with self._lock:
            self._closed = True
            dropped = list(self._items) if immediate else []
            if immediate:
                self._items.clear()
                self._finish(min(len(dropped), self._unfinished))
                self._all_done.notify(None)
            self._not_empty.notify(None)
            self._not_full.notify(None)

    def qsize(self, /) -> int:
        """Return how many items there are."""
        with self._lock:
            return len(self._items)

    def empty(self, /) -> bool:
        """Return whether there is no item."""
        with self._lock:
            return not self._items

    def full(self, /) -> bool:
        """Return whether there is no room."""
        with self._lock:
            return self._is_full()

    @property
    def maxsize(self) -> int:
        """How many items there may be; 0 is any number."""
        return self._maxsize

    @maxsize.setter
    def maxsize(self, maxsize: SupportsFloat | SupportsIndex) -> None:
        allowed = limit(maxsize)
        with self._lock:
            self._maxsize = allowed
            self._not_full.notify(None)

    @property
    def unfinished_tasks(self) -> int:
        """How many items were put and are not done."""
        with self._lock:
            return self._unfinished

    @property
    def is_shutdown(self) -> bool:
        """Whether the queue was shut down."""
        with self._lock:
            return self._closed

    mutex: property = _absent("mutex", "there is no lock; each method is atomic by itself")
    queue: property = _absent("queue", "use `qsize()` or `drain()`")
    not_empty: property = _absent("not_empty", "use `get()`")
    not_full: property = _absent("not_full", "use `put()`")
    all_tasks_done: property = _absent("all_tasks_done", "use `join()`")

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ShutDown

    def _is_full(self) -> bool:
        return 0 < self._maxsize <= len(self._items)

    def _entry(self, item: T) -> Any:
        """Return what goes in for an item."""
        return item

    def _push(self, entry: Any) -> None:
        self._items.append(entry)

    def _pop(self) -> Any:
        return self._items.popleft()

    def _put(self, entry: Any, remaining: Callable[[], float | None]) -> None:
        with self._lock:
            self._refuse_if_closed()
            self._await_room(remaining)
            self._append(entry)

    def _append(self, entry: Any) -> None:
        self._push(entry)
        self._unfinished += 1
        self._not_empty.notify()

    def _popleft(self) -> T:
        # Before: what a signal handler raises meanwhile must not cost the item.
        self._not_full.notify()
        item: T = self._pop()
        return item

    def _take(self, count: int) -> list[T]:
        self._not_full.notify(count)
        return [self._pop() for _ in range(count)]

    def _finish(self, done: int) -> None:
        self._unfinished -= done
        if not self._unfinished:
            self._all_done.notify(None)

    def _await_room(self, remaining: Callable[[], float | None]) -> None:
        sleeper = None
        while self._is_full():
            sleeper = self._sleep(self._not_full, sleeper, remaining(), Full)
            self._refuse_if_closed()

    def _await_item(self, remaining: Callable[[], float | None]) -> None:
        sleeper = None
        while not self._items:
            self._refuse_if_closed()
            sleeper = self._sleep(self._not_empty, sleeper, remaining(), Empty)

    def _sleep(
        self,
        event: Event,
        sleeper: Sleeper | None,
        seconds: float | None,
        error: type[Exception],
    ) -> Sleeper:
        if seconds is not None and seconds <= 0:
            raise error
        return event.wait(self._lock, seconds, sleeper)

    @property
    def async_q(self) -> AsyncQueue[T]:
        """The same queue under the names of `asyncio.Queue`."""
        return AsyncQueue._over(self)

    # What the asynchronous methods are made of.

    _waiter = Waiter

    def _hold(self, _event: int, /) -> int:
        self._run += 1
        return TIRED if self._run % 64 == 0 else 0

    def _grab(self, nothing: Any, /) -> Any:
        try:
            return self.get_nowait()
        except Empty:
            return nothing

    def _press(self, item: Any, /) -> Any:
        entry = item if isinstance(item, _Entry) else _Entry(self._entry(item))
        try:
            self._put(entry.content, _patience(False, None))
        except Full:
            return entry
        return True

    def _enrol(self, event: int, waiter: Waiter, /) -> None:
        with self._lock:
            self._events[event].enrol(waiter)

    def _leave(self, event: int, waiter: Waiter, /) -> None:
        with self._lock:
            self._events[event].leave(waiter)

    def _take_along(self, _other: object, /) -> None:
        pass

    def _notify(self, event: int, /) -> None:
        with self._lock:
            self._events[event].notify()

    def __iter__(self) -> Iterator[T]:
        try:
            while True:
                yield self.get()
        except ShutDown:
            return

    def __contains__(self, _item: object) -> NoReturn:
        raise TypeError("argument of type 'Queue' is not a container")

    def __repr__(self) -> str:
        with self._lock:
            state = ", shut down" if self._closed else ""
            name, size = type(self).__name__, len(self._items)
            return f"<{name} maxsize={self._maxsize} qsize={size}{state}>"

    def __reduce__(self) -> NoReturn:
        not_copyable("Queue", "it is shared state; move its items, q.drain()")


class _Entry(NamedTuple):
    """What goes in for an item, made once, for a coroutine that waits for room."""

    content: Any


def _refuse_force_put(_self: object) -> NoReturn:
    raise AttributeError("only a Queue has force_put(): here nothing is the oldest")


_no_force_put: Any = property(_refuse_force_put, doc="Absent: only a `Queue` has it.")


class LifoQueue(Queue[T]):
    """A queue from which the item that was put last comes out first."""

    force_put = _no_force_put

    def _pop(self) -> Any:
        return self._items.pop()


class PriorityQueue(Queue[T]):
    """A queue from which the smallest item comes out first."""

    def __init__(
        self,
        maxsize: SupportsFloat | SupportsIndex = 0,
        *,
        key: Callable[[T], Any] | None = None,
    ) -> None:
        super().__init__(maxsize)
        self._items = []
        self._key = function_or_none("key", key)
        self._arrivals = counter()

    force_put = _no_force_put

    def _entry(self, item: T) -> Any:
        with self._lock:
            self._refuse_if_closed()
        return _priority(item, self._key), item

    def _push(self, entry: Any) -> None:
        priority, item = entry
        # No two are equal, so that items are never compared.
        heapq.heappush(self._items, (priority, next(self._arrivals), item))

    def _pop(self) -> Any:
        return heapq.heappop(self._items)[2]


def _priority(item: Any, key: Callable[[Any], Any] | None) -> tuple[float, ...]:
    """Return the numbers that an item is sorted by."""
    rank = item if key is None else key(item)
    # A subclass may show other items than it has.
    numbers = tuple(tuple.__iter__(rank)) if issubclass(type(rank), tuple) else (rank,)
    run = tuple(_number(number) for number in takewhile(_is_real, numbers))
    if not run or (key is not None and len(run) < len(numbers)):
        raise TypeError(
            f"{shown(rank)} is no number and no tuple that begins with one: use key="
            if key is None
            else f"key() must return a number or a tuple of numbers, not {shown(rank)}"
        )
    return run


def _is_real(value: object) -> bool:
    return issubclass(type(value), (int, float))  # whatever its `__class__` says


def _number(value: float) -> float:
    """Return an int or a float itself: a subclass may compare in another way."""
    if issubclass(type(value), int):
        return int.__index__(cast(int, value))
    number = float.__float__(value)
    if math.isnan(number):
        raise ValueError(f"{shown(value)} has no order")
    return number


def _patience(block: bool, timeout: float | None) -> Callable[[], float | None]:
    return within(timeout) if block else lambda: 0.0


class AsyncQueue(_async_queue.AsyncQueue[T]):
    """The other face of a `Queue`: the methods and exceptions of `asyncio.Queue`."""

    @staticmethod
    def _make(maxsize: SupportsFloat | SupportsIndex) -> Any:
        return Queue[Any](maxsize)
