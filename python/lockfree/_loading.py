"""Single flight: of those who miss the same key, one loads it and the others wait.

The one who loads has a flight, and while it is aloft it lies in the cache's table of
flights, where whoever misses the key finds it. Who waits wakes up when it has landed,
and finds a value, an error, or neither: then the one who loaded was interrupted or
cancelled, and those who waited look in the table again, where one of them will be first.
So no turn is ever handed over that could get lost on the way.

There is no lock here, because whatever runs in Python may be interrupted by a finalizer or
signal handler that needs a load itself. Instead each step that must be atomic is one
call into a `dict`, atomic with the GIL and without it:

- `setdefault` of the table finds a flight or adds one's own. The table's keys are the
  flights, so that looking up runs the `__eq__` of a key that is loaded, with no lock held.
  (Should such an `__eq__` itself add another flight for an equal key, the dict may not
  notice. Then both load.)
- A flight lands by being marked, and then waking all who enrolled; who waits enrols, and
  then looks for the mark. Whoever of the two comes second at the dict of sleepers knows of
  the other.
- Before waiting one announces it, and then looks at all who wait at once, by one `copy`. Of
  several whose waiting would close a cycle, the last to announce it sees the others.

A `dict` that threads were changing when the process was forked may be locked in the child
for ever, if there is no GIL. So a child process leaves them alone and begins with new ones,
in which is only what the thread that forked is loading itself; to those in the child, the
flights of other threads have landed without news.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from threading import Lock, get_ident, local
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

if TYPE_CHECKING:
    from asyncio import Future

K = TypeVar("K")
V = TypeVar("V")

_MISSING: Final[Any] = object()


class LoadingMethods(Generic[K, V]):
    """The methods, over a few primitives that native and locked caches have."""

    if TYPE_CHECKING:
        _flights: dict[int, dict[_Flight, _Flight]]

        def get(self, key: K, default: Any, /) -> Any: ...
        def put(self, key: K, value: V, /) -> None: ...
        def _peek(self, key: object, default: Any, /) -> Any: ...
        def _count_load(self, /) -> None: ...

    def get_or_load(self, key: K, loader: Callable[[K], V], /) -> V:
        """Return the value of a key, which is `loader(key)` if it has none."""
        value: V = self.get(key, _MISSING)
        return load(self, loader, key, (key,), {}) if value is _MISSING else value

    async def async_get_or_load(self, key: K, loader: Callable[[K], Awaitable[V]], /) -> V:
        """Return the value of a key, which is `await loader(key)` if it has none."""
        value: V = self.get(key, _MISSING)
        if value is _MISSING:
            value = await async_load(self, loader, key, (key,), {})
        return value


def load(
    cache: LoadingMethods[K, Any],
    loader: Callable[..., V],
    key: K,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> V:
    """Return the value of a key that was missed: load it, or wait for whoever does."""
    while True:
        flight = found = _Flight(cache, key, None)
        try:
            # Twice: what a signal handler raises on the way into one exit, the other cleans up.
            with flight, flight:
                found = flight.find()
                if found is flight:
                    if flight.is_needed():
                        flight.bring(loader(*args, **kwargs))
                    return flight.value  # type: ignore[no-any-return]
            found.wait()
            if found.has_news():
                return found.news()  # type: ignore[no-any-return]
        finally:
            # The traceback of an error has this frame, which must not have the error.
            del flight, found


async def async_load(
    cache: LoadingMethods[K, Any],
    loader: Callable[..., Awaitable[V]],
    key: K,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> V:
    """Do what `load` does, in a task."""
    while True:
        flight = found = _Flight(cache, key, _current_task())
        try:
            with flight, flight:
                found = flight.find()
                if found is flight:
                    if flight.is_needed():
                        flight.bring(await loader(*args, **kwargs))
                    return flight.value  # type: ignore[no-any-return]
            await found.async_wait()
            if found.has_news():
                return found.news()  # type: ignore[no-any-return]
        finally:
            del flight, found


class _Flight:
    """The load of a key by one thread or task; in the table of flights key and value at once."""

    __slots__ = (
        "_cache", "_error", "_generation", "_hash", "_key", "_landed", "_outer", "_settled",
        "_sleepers", "number", "task", "thread", "value",
    )  # fmt: skip

    def __init__(self, cache: Any, key: Any, task: object | None) -> None:
        self._cache = cache
        self._key, self._hash = key, hash(key)
        self.thread, self.task, self.number = get_ident(), task, next(_numbers)
        self.value = _MISSING
        self._error: Exception | None = None
        self._sleepers: dict[_Wait, None] = {}
        self._landed = self._settled = False
        self._outer: _Flight | None = None
        self._generation = _generation

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Whether both load the same key. One that lands is equal to itself alone.

        So to take it off the table, for which the dict looks at identity first, runs no
        code of a key and cannot fail.
        """
        assert isinstance(other, _Flight)
        if self._landed or other._landed:
            return False
        return self._key is other._key or bool(self._key == other._key)

    # For whoever leads it.

    @property
    def leader(self) -> Any:
        """The task that loads, or else the thread."""
        return self.thread if self.task is None else self.task

    def find(self) -> _Flight:
        """Return the flight of the key that is aloft; this one, if there was none."""
        self._generation, leader = _generation, self.leader
        found = _aloft(self._cache).setdefault(self, self)
        if found is self:
            self._outer = _leading.get(leader)
            _leading[leader] = self
        return found

    def is_needed(self) -> bool:
        """Whether the key must be loaded: since it was missed another flight may have landed."""
        self.value = self._cache._peek(self._key, _MISSING)
        if self.value is not _MISSING:
            return False
        self._cache._count_load()
        return True

    def bring(self, value: Any) -> None:
        """Put the value that was loaded."""
        self._cache.put(self._key, value)
        self.value = value

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: Any, error: BaseException | None, _traceback: Any) -> None:
        if isinstance(error, Exception):
            self._error = error
        if not self._settled:
            self._land()

    def _land(self) -> None:
        """Leave the table and wake all who sleep; again, if that was interrupted."""
        self._landed, leader = True, self.leader
        _aloft(self._cache).pop(self, None)
        if _leading.get(leader) is self:
            if self._outer is None:
                _leading.pop(leader, None)
            else:
                _leading[leader] = self._outer
        _wake(self.sleepers.copy())
        self._settled = True

    def chain(self) -> Iterator[_Flight]:
        """Yield this flight, and those in whose loaders it began."""
        flight: _Flight | None = self
        while flight is not None:
            yield flight
            flight = flight._outer

    def go_on(self, sleepers: dict[_Wait, None]) -> None:
        """Count in a child process too, whose only thread leads it."""
        self._generation, self._sleepers = _generation, sleepers
        if not self._landed:
            _aloft(self._cache).setdefault(self, self)

    # For those who wait.

    def wait(self) -> None:
        """Sleep until it has landed."""
        asleep = Lock()
        asleep.acquire()
        wait = _Wait(self, None, asleep.release)
        try:
            wait.announce()
            self.sleepers[wait] = None
            if not self.has_landed:
                asleep.acquire()
        finally:
            self.sleepers.pop(wait, None)
            wait.withdraw()

    async def async_wait(self) -> None:
        """Suspend the task until it has landed."""
        import asyncio

        loop = asyncio.get_running_loop()
        future = loop.create_future()
        wake = partial(loop.call_soon_threadsafe, _get_up, future)
        wait = _Wait(self, _current_task(), wake)
        try:
            # Who leads nothing keeps nobody waiting; of those there may be thousands.
            if wait.task in _leading or wait.thread in _leading:
                wait.announce()
            self.sleepers[wait] = None
            if not self.has_landed:
                await future
        finally:
            self.sleepers.pop(wait, None)
            wait.withdraw()

    def has_news(self) -> bool:
        """Whether it brought a value or an error; else the load was broken off."""
        return self.value is not _MISSING or self._error is not None

    def news(self) -> Any:
        """Return the value, or raise the error."""
        try:
            if self._error is not None:
                raise self._error
            return self.value
        finally:
            del self  # for its frame becomes part of the error's traceback

    @property
    def has_landed(self) -> bool:
        """Whether nobody need wait any longer; so it is if whoever leads it is in the parent."""
        return self._landed or self._generation != _generation

    @property
    def sleepers(self) -> dict[_Wait, None]:
        """Those whom it wakes when it lands: nobody, if whoever leads it is in the parent."""
        return self._sleepers if self._generation == _generation else {}

    @property
    def name(self) -> str:
        """The key, for messages."""
        return repr(self._key)


class _Wait:
    """A thread that waits for a flight, or a task that does."""

    __slots__ = ("flight", "number", "task", "thread", "wake")

    def __init__(self, flight: _Flight, task: object | None, wake: Callable[[], object]) -> None:
        self.flight, self.task, self.thread = flight, task, get_ident()
        self.number, self.wake = next(_numbers), wake

    def announce(self) -> None:
        """Tell all others, unless the flight would never land then."""
        _waits[self] = None
        waits = _waits.copy()
        flights, seen = [self.flight], set()
        while flights:
            flight = flights.pop()
            if flight.has_landed or id(flight) in seen:
                continue
            seen.add(id(flight))
            if self._hinders(flight):
                raise RuntimeError(self._refusal())
            flights += [wait.flight for wait in waits if wait._hinders(flight)]

    def withdraw(self) -> None:
        """Tell them that it is over."""
        _waits.pop(self, None)

    def _hinders(self, flight: _Flight) -> bool:
        """Whether the flight cannot land while this goes on.

        A thread that waits stops all it does, its event loop's tasks too. A task stops
        itself, and the synchronous loads inside which its event loop runs: those that its
        thread was in already when it began to wait.
        """
        if self.thread != flight.thread:
            return False
        if self.task is None:
            return True
        if flight.task is None:
            return flight.number < self.number
        return self.task is flight.task

    def _refusal(self) -> str:
        key = self.flight.name
        if not self._hinders(self.flight):
            return f"waiting for {key} would never end: its loader waits for the caller"
        if self.task is None and self.flight.task is not None:
            return f"waiting for {key} here would block the event loop that loads it"
        return f"the loader of {key} asks for {key} itself"


_numbers: Final = count()
"""What came first: the numbers of flights, and of those who wait."""

_leading: dict[Any, _Flight] = {}
"""The innermost flight of each thread and task that leads one."""

_waits: dict[_Wait, None] = {}
"""Those who wait, and keep others waiting."""

_generation = 0
"""How many forks lead from the first process to this one."""


def _aloft(cache: LoadingMethods[Any, Any]) -> dict[_Flight, _Flight]:
    """Return a cache's table of flights, of this process."""
    tables = cache._flights
    table = tables.get(_generation)
    return tables.setdefault(_generation, {}) if table is None else table


class _Own:
    """What the thread that forks takes along: the flights it leads, and those who wait in it.

    It is gathered before the fork, when the dicts may still be read.
    """

    def __init__(self) -> None:
        thread = get_ident()
        self.leading = {k: v for k, v in _leading.copy().items() if v.thread == thread}
        self.waits = self._of(thread, _waits)
        self.flights = [
            (flight, self._of(thread, flight.sleepers))
            for innermost in self.leading.values()
            for flight in innermost.chain()
        ]

    @staticmethod
    def _of(thread: int, waits: dict[_Wait, None]) -> dict[_Wait, None]:
        return {wait: None for wait in waits.copy() if wait.thread == thread}


class _Forks(local):
    """The forks that a thread has begun: several, if a signal handler forks during one."""

    def __init__(self) -> None:
        self.begun: list[_Own] = []


_forks: Final = _Forks()


def _before_fork() -> None:
    _forks.begun.append(_Own())


def _after_in_parent() -> None:
    _forks.begun.pop()


def _after_in_child() -> None:
    global _generation, _leading, _waits
    own = _forks.begun.pop()
    _generation += 1
    _leading, _waits = own.leading, own.waits
    for flight, sleepers in own.flights:
        flight.go_on(sleepers)
    # A thread that waits waits for another one, which is not here. Tasks sleep on: an event
    # loop has a queue that other threads may have been changing too.
    _wake(wait for wait in own.waits if wait.task is None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )


def _wake(waits: Iterable[_Wait]) -> None:
    for wait in waits:
        with suppress(RuntimeError):  # it is awake, or its event loop is closed
            wait.wake()


def _current_task() -> Any:
    import asyncio

    # A coroutine that a callback of the loop runs belongs to no task: then it is one by itself.
    return asyncio.current_task() or object()


def _get_up(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)
