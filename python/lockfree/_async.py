"""How coroutines wait: the asynchronous methods of ``Queue`` and of the atomics.

A coroutine waits in the same list as threads do, by a *waiter*, which it awaits as it would
a future. That may be woken from any thread, which brings no item, only the news that it
is worth looking again. So there is nothing to give back when a coroutine is cancelled: it
passes the news on.

``asyncio`` is imported when a coroutine first has to wait.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from functools import cache
from types import coroutine
from typing import TYPE_CHECKING, Any, Final, Generic, Self, SupportsIndex, TypeVar

from lockfree._errors import Empty, ShutDown
from lockfree._mapping import part_of

if TYPE_CHECKING:
    from lockfree._async_queue import AsyncQueue

T = TypeVar("T")

GETTERS: Final = 0
PUTTERS: Final = 1
JOINERS: Final = 2
CHANGES: Final = 0
"""The only event of an atomic."""

TIRED: Final = 1
URGENT: Final = 2
"""Why a coroutine should not begin at once."""

_LOOK_AGAIN: Final = 0.05
"""When who waits for an atomic looks again, in seconds; native threads do as well."""

NOTHING: Final[Any] = object()
_UNFILLED: Final[Any] = object()
"""What an attempt yields that is to be made again, after a turn of the loop."""


class Waitable:
    """What native and locked objects have that coroutines can wait for; an event is a number."""

    __slots__ = ()

    if TYPE_CHECKING:
        _waiter: Callable[[Waitable, int, Any], Any]
        _hold: Callable[[int], int]
        _enrol: Callable[[int, Any], None]
        _leave: Callable[[int, Any], None]
        _notify: Callable[[int], None]


@part_of()
class AsyncWait(Waitable):
    """The method of the atomics."""

    __slots__ = ()

    if TYPE_CHECKING:
        _differs: Callable[[Any], bool]
        notify_all: Callable[[], None]

    async def async_wait(self, old: Any, /) -> None:
        """Wait until the value is not `old`, without blocking the event loop."""
        if hold := self._hold(CHANGES):
            await _give_way(hold)
        if not self._differs(old):
            # A relaxed store may miss one who enrols at the same moment.
            again = running_loop().call_later(_LOOK_AGAIN, self._look_again, old)
            try:
                await _wait(self, CHANGES, lambda: self._differs(old) or NOTHING)
            finally:
                again.cancel()

    def _look_again(self, old: Any) -> None:
        if self._differs(old):
            self.notify_all()


@part_of("Queue")
class AsyncMethods(Waitable, Generic[T]):
    """The methods of queues, over a few primitives that both kinds have."""

    if TYPE_CHECKING:
        _grab: Callable[[Any], Any]
        _press: Callable[[Any], Any]
        get_many: Callable[..., list[T]]
        empty: Callable[[], bool]
        qsize: Callable[[], int]

        @property
        def unfinished_tasks(self) -> int: ...

        @property
        def is_shutdown(self) -> bool: ...

    async def async_get(self) -> T:
        """Remove and return the first item, waiting for one."""
        if hold := self._hold(GETTERS):
            await _give_way(hold)
        item: T = self._grab(NOTHING)
        if item is NOTHING:
            item = await _wait(self, GETTERS, self._yet_an_item, self._may_get)
        return item

    async def async_get_many(self, n: SupportsIndex) -> list[T]:
        """Remove and return up to `n` items, waiting for the first."""
        if hold := self._hold(GETTERS):
            await _give_way(hold)
        items: list[T] = self._some(n, NOTHING)
        if items is NOTHING:
            items = await _wait(
                self, GETTERS, lambda: self._yet(self._some(n, NOTHING)), self._may_get
            )
        return items

    async def async_put(self, item: T) -> None:
        """Put an item, waiting for room."""
        if hold := self._hold(PUTTERS):
            await _give_way(hold)
        if (again := self._press(item)) is not True:
            # A priority is asked for once: what is pressed next has it.
            await self._yet_to_put(item if again is False else again)

    async def async_join(self) -> None:
        """Wait until all items that were put are done."""
        if self.unfinished_tasks:
            await _wait(self, JOINERS, lambda: NOTHING if self.unfinished_tasks else None)

    def __aiter__(self) -> AsyncIterator[T]:
        """Get items until the queue is shut down."""
        return Items(self.async_get)

    @property
    def async_q(self) -> AsyncQueue[T]:
        """The same queue under the names of `asyncio.Queue`."""
        from lockfree._async_queue import AsyncQueue

        return AsyncQueue._over(self)

    # Closures of their own: the coroutines would be slower with variables that others share.

    def _yet_an_item(self) -> Any:
        return self._yet(self._grab(NOTHING))

    def _may_get(self) -> bool:
        return not self.empty() or self.is_shutdown

    def _yet_to_put(self, entry: Any) -> Coroutine[Any, Any, None]:
        return _wait(self, PUTTERS, lambda: self._press(entry) is True or NOTHING)

    def _yet(self, got: Any) -> Any:
        # A place that a suspended producer has claimed: filling it wakes nobody for sure.
        return _UNFILLED if got is NOTHING and self.qsize() else got

    def _some(self, n: SupportsIndex, nothing: Any, /) -> Any:
        # A native queue has its own, which does not persist.
        try:
            return self.get_many(n, timeout=0)
        except Empty:
            return nothing


class Items(Generic[T]):
    """Gets items until the queue is shut down.

    Not an asynchronous generator: that would be at its end after a cancellation.
    """

    def __init__(
        self, get: Callable[[], Coroutine[Any, Any, T]], end: type[Exception] = ShutDown
    ) -> None:
        self._get, self._end = get, end

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self._get()
        except self._end:
            raise StopAsyncIteration from None


async def until(
    owner: Waitable,
    event: int,
    attempt: Callable[[], Any],
    is_there: Callable[[], bool] | None = None,
) -> Any:
    """Make attempts until one yields something."""
    if hold := owner._hold(event):
        await _give_way(hold)
    done = attempt()
    if done is NOTHING or done is _UNFILLED:
        done = await _wait(owner, event, attempt, is_there)
    return done


async def _wait(
    owner: Waitable,
    event: int,
    attempt: Callable[[], Any],
    is_there: Callable[[], bool] | None = None,
) -> Any:
    """Make attempts until one yields something, sleeping in between.

    What is taken would be lost if a signal handler raised while the waiter leaves: where
    attempts take something, `is_there` tells before whether one is worth while.
    """
    # Most often what is missing comes from a task whose turn is next.
    await _pause()
    if (done := attempt()) is _UNFILLED:
        done = await _persist(attempt)
    if done is not NOTHING:
        return done
    waiter = owner._waiter(owner, event, running_loop())
    while True:
        try:
            owner._enrol(event, waiter)
            done = NOTHING if is_there else attempt()
            if done is not NOTHING or (is_there and is_there()):
                owner._leave(event, waiter)
            else:
                await waiter
            if done is NOTHING:
                done = attempt()
            if done is _UNFILLED:
                done = await _persist(attempt)
            if done is NOTHING:
                await _pause()  # a subclass may show what it does not give
        except BaseException:
            # Also when it is cancelled, or a signal handler raises: then the news, if any,
            # is for the next one.
            owner._leave(event, waiter)
            raise
        if done is not NOTHING:
            return done


async def _persist(attempt: Callable[[], Any]) -> Any:
    """Make an attempt, and again as long as it is a matter of a moment."""
    while (done := attempt()) is _UNFILLED:
        await _pause()
    return done


async def _give_way(hold: int) -> None:
    """Let the others run, if somebody is urgent or it is always the same task that runs.

    Not of tasks that do little each: they keep their order.
    """
    if hold == URGENT or _RUNNER.is_the_same():
        await _pause()


class _Runner(threading.local):
    """Remembers which task runs."""

    _task: weakref.ref[Any] | None = None

    def is_the_same(self) -> bool:
        """Return whether the same task ran when this was last asked; without one, True."""
        try:
            task = _asyncio().current_task()
        except RuntimeError:
            running_loop()  # says what to do
            raise
        if task is None:
            return True
        before, self._task = self._task, weakref.ref(task)
        return before is not None and before() is task


_RUNNER: Final = _Runner()


@coroutine
def _pause() -> Generator[None, None, None]:
    """Let the event loop run the others once; there must be one."""
    running_loop()
    yield


def running_loop() -> Any:
    """Return asyncio's running event loop."""
    try:
        return _asyncio().get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        if trio is None or not trio.lowlevel.in_trio_run():
            raise
    raise RuntimeError(
        "no running event loop: lockfree waits on asyncio's, and this is a task of trio; "
        "let a thread wait for it, by trio.to_thread.run_sync()"
    )


@cache
def _asyncio() -> Any:
    import asyncio

    return asyncio


def install(cls: type, methods: type[Waitable], waiter: type) -> None:
    """Give a native class the asynchronous methods: they are coroutines, hence Python."""
    cls._waiter = waiter  # type: ignore[attr-defined]
    for name, member in vars(methods).items():
        if name.startswith(("async_", "_yet", "_may_get", "_look_again", "__aiter__")):
            setattr(cls, name, member)
