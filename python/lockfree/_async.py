"""How coroutines use a queue: the asynchronous methods of ``Queue``.

A coroutine waits in the same list as threads do. What wakes it is a callback; it
may be called in any thread and brings no item, only the news that it is worth
looking again. So there is nothing to give back when a coroutine is cancelled:
it passes the news on.

``asyncio`` is imported when a coroutine first has to wait.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import suppress
from functools import cache, partial
from types import coroutine
from typing import TYPE_CHECKING, Any, Final, Generic, SupportsIndex, TypeVar

from lockfree._errors import Empty, ShutDown

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

    from lockfree._async_queue import AsyncQueue

T = TypeVar("T")

GETTERS: Final = 0
PUTTERS: Final = 1
JOINERS: Final = 2

_NOTHING: Final[Any] = object()


class AsyncMethods(Generic[T]):
    """The methods, over a few primitives that native and locked queues have."""

    if TYPE_CHECKING:
        _is_tired: Callable[[], bool]
        _grab: Callable[[Any], Any]
        _press: Callable[[T], bool]
        _waiter: Callable[[Callable[[], bool]], Any]
        _enrol: Callable[[int, Any], None]
        _leave: Callable[[int, Any], None]
        get_many: Callable[..., list[T]]

        @property
        def unfinished_tasks(self) -> int: ...

    async def async_get(self) -> T:
        """Remove and return the first item, waiting for one."""
        if self._is_tired():
            await _pause()
        item: T = self._grab(_NOTHING)
        if item is _NOTHING:
            item = await _wait(self, GETTERS, lambda: self._grab(_NOTHING))
        return item

    async def async_get_many(self, n: SupportsIndex) -> list[T]:
        """Remove and return up to `n` items, waiting for the first."""
        if self._is_tired():
            await _pause()
        items = self._some(n)
        if items is _NOTHING:
            items = await _wait(self, GETTERS, lambda: self._some(n))
        return items

    async def async_put(self, item: T) -> None:
        """Put an item, waiting for room."""
        if self._is_tired():
            await _pause()
        if not self._press(item):
            await _wait(self, PUTTERS, lambda: self._press(item) or _NOTHING)

    async def async_join(self) -> None:
        """Wait until all items that were put are done."""
        if self.unfinished_tasks:
            await _wait(self, JOINERS, lambda: _NOTHING if self.unfinished_tasks else None)

    async def __aiter__(self) -> AsyncIterator[T]:
        """Get items until the queue is shut down."""
        try:
            while True:
                yield await self.async_get()
        except ShutDown:
            return

    @property
    def async_q(self) -> AsyncQueue[T]:
        """The same queue under the names of `asyncio.Queue`."""
        from lockfree._async_queue import AsyncQueue

        return AsyncQueue._over(self)

    def _some(self, n: SupportsIndex) -> list[T]:
        try:
            return self.get_many(n, timeout=0)
        except Empty:
            nothing: list[T] = _NOTHING
            return nothing


async def _wait(queue: AsyncMethods[Any], event: int, attempt: Callable[[], Any]) -> Any:
    """Make attempts until one yields something, sleeping in between."""
    # Most often what is missing comes from a task whose turn is next.
    await _pause()
    done = attempt()
    if done is not _NOTHING:
        return done
    loop = _asyncio().get_running_loop()
    port = _port_of(loop)
    sleeper = _Sleeper()
    waiter = queue._waiter(partial(port.wake, sleeper))
    while True:
        sleeper.future = loop.create_future()
        queue._enrol(event, waiter)
        try:
            done = attempt()
            if done is not _NOTHING:
                queue._leave(event, waiter)
                return done
            await sleeper.future
        except BaseException:
            # Also when it is cancelled: then the news, if any, is for the next one.
            queue._leave(event, waiter)
            raise
        done = attempt()
        if done is not _NOTHING:
            return done


@coroutine
def _pause() -> Generator[None, None, None]:
    """Let the event loop run the others once."""
    yield


@cache
def _asyncio() -> Any:
    import asyncio

    return asyncio


class _Sleeper:
    """A coroutine that sleeps until its future is done."""

    __slots__ = ("future",)

    future: Future[None]

    def get_up(self) -> None:
        """Wake it, on its loop's own thread."""
        if not self.future.done():
            self.future.set_result(None)


class _Port:
    """The way into an event loop from other threads."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        from lockfree import AtomicInt64

        self._loop = weakref.ref(loop)
        self._running_here = _asyncio()._get_running_loop
        self._woken: deque[_Sleeper] = deque()
        self._scheduled = AtomicInt64()

    def wake(self, sleeper: _Sleeper) -> bool:
        """Wake a sleeper in the loop, from any thread; return whether it surely gets up.

        From another thread a burst of them costs the loop one callback.
        """
        loop = self._loop()
        if loop is None:
            return False
        if self._running_here() is loop:
            sleeper.get_up()
            return True
        if loop.is_closed():
            return False
        self._woken.append(sleeper)
        if not self._scheduled.exchange(1):
            try:
                loop.call_soon_threadsafe(self._get_all_up)
            except RuntimeError:  # closed just now
                return False
        # A loop that was stopped may never run again.
        return loop.is_running()

    def _get_all_up(self) -> None:
        # Cleared before the scan: who comes after that schedules another one.
        self._scheduled.store(0)
        while self._woken:
            self._woken.popleft().get_up()


def _port_of(loop: Any) -> _Port:
    """Return the port of a loop, which keeps it."""
    try:
        port: _Port = loop._lockfree_port
    except AttributeError:
        port = _Port(loop)
        with suppress(AttributeError):  # else it keeps none, and each wait makes one
            loop._lockfree_port = port
    return port


def install(cls: type, waiter: type) -> None:
    """Give a native class the asynchronous methods: they are coroutines, hence Python."""
    cls._waiter = waiter  # type: ignore[attr-defined]
    for name, member in vars(AsyncMethods).items():
        if name.startswith(("async_", "_some", "__aiter__")):
            setattr(cls, name, member)
