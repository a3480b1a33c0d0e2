"""Single flight: of those who miss the same key, one loads it and the others wait.

The load of a key is a flight, and while it is aloft it lies in the cache's table of
flights, where whoever misses the key finds it. Who waits wakes up when it has landed,
and finds a value, an error, or neither: then the load was interrupted or given up, and
those who waited look in the table again, where one of them will be first. So no
turn is ever handed over that could get lost on the way.

A thread loads in its own frames. A coroutine's loader runs in a task of its own, so that a
load goes on as long as anybody waits for it, whoever began it. No flight that a task leads holds
that task, its event loop, or those who wait: when all else has dropped them they are freed, and
the end of the task's coroutine lands the flight. (But what loads, a task's coroutine or a
thread, holds the tasks that wait for it, as what wakes a task does elsewhere.) One whose loop
was closed is found to be lost by the next who asks, and by those who wait in other threads and
loops, who look now and then.

What a load brings is kept only if its key was neither written nor removed since it began: the
cache issues a ticket then, and whoever writes takes it away.

An entry in its grace is served to all but the first who asks while there is no flight: that one
loads it anew, a coroutine in a task for which nobody waits. So a flight may have been begun for
the sake of such an entry, and others wait for it, as for any other, once its grace is over.

There is no lock here (but in the references of the locked selection), because whatever runs in
Python may be interrupted by a finalizer or signal handler that needs a load itself. Instead
each step that must be atomic is one call into a `dict`, atomic with the GIL and without it:

- `setdefault` of the table finds a flight or adds one's own. The table's keys are the
  flights, so that looking up runs the `__eq__` of a key that is loaded, with no lock held.
  (Should such an `__eq__` itself add another flight for an equal key, the dict may not
  notice. Then both load.)
- A flight lands by being marked, and then waking all who enrolled; who waits enrols, and
  then looks for the mark. Whoever of the two comes second at the dict of sleepers knows of
  the other. When the last of them leaves, the flight lands as well, with nothing: whoever
  enrolled meanwhile begins another one.
- Before waiting one announces it, and then looks at all who wait at once, by one `copy`. Of
  several whose waiting would close a cycle, the last to announce it sees the others.

Whom a load keeps waiting is known by its thread, its task and its greenlet. (Greenlets take
turns in one thread, each with frames of its own.) A thread that would wait for another of its
greenlets would stop that, too: it loads by itself.

A `dict` that threads were changing when the process was forked may be locked in the child
for ever, if there is no GIL. So a child process leaves them alone and begins with new ones,
in which is only what the thread that forked is loading itself; to those in the child, the
flights of other threads have landed without news. And no `dict` leads to the tables of flights.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from functools import cache, partial
from itertools import count
from math import isnan
from threading import TIMEOUT_MAX, Lock, get_ident, local
from time import monotonic
from types import GeneratorType, GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Self, TypeGuard, TypeVar

from lockfree._async import running_loop
from lockfree._mapping import part_of

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from types import TracebackType

K = TypeVar("K")
V = TypeVar("V")

_MISSING: Final[Any] = object()

_ITERABLE_COROUTINE: Final = 0x100
"""The flag of a generator that `types.coroutine` made; `inspect`, which names it, loads slowly."""

_LOOK: Final = 0.2
"""After so many seconds a waiter looks whether the event loop that loads was closed."""


def is_coroutine(value: object) -> TypeGuard[Coroutine[Any, Any, Any]]:
    """Tell whether somebody has to await a value, as coroutines ask for.

    Few are asked for what an abstract class has noted, under a lock.
    """
    return hasattr(type(value), "__await__") and isinstance(value, Coroutine)


def _is_generator_coroutine(value: object) -> bool:
    """Tell whether it is of a generator that was made a coroutine, and so has no `__await__`."""
    return isinstance(value, GeneratorType) and bool(value.gi_code.co_flags & _ITERABLE_COROUTINE)


@part_of("Cache")
class LoadingMethods(Generic[K, V]):
    """The methods, over a few primitives that native and locked caches have."""

    if TYPE_CHECKING:
        _flights: Callable[[int], dict[_Flight, _Flight]]

        def get(self, key: K, default: Any, /) -> Any: ...
        def _peek(self, key: object, default: Any, /) -> Any: ...
        def _stale(self, key: object, default: Any, /) -> Any: ...
        def _count_load(self, /) -> None: ...
        def _count_wait(self, /) -> None: ...
        def _count_stale(self, /) -> None: ...
        def _seconds(self, ttl: float | None, /) -> float | None: ...
        def _ticket(self, key: K, /) -> Any: ...
        def _keep(self, ticket: Any, key: K, value: V, /, *ttl: float | None) -> None: ...

    def get_or_load(
        self,
        key: K,
        loader: Callable[[K], V],
        /,
        *,
        ttl: float | None = ...,  # type: ignore[assignment]
        timeout: float | None = None,
    ) -> V:
        """Return the value of a key, which is `loader(key)` if it has none."""
        end = _end(timeout)
        value: V = self.get(key, _MISSING)
        if value is _MISSING:
            value = load(self, loader, key, (key,), {}, ttl=ttl, end=end)
        return value

    async def async_get_or_load(
        self,
        key: K,
        loader: Callable[[K], Awaitable[V]],
        /,
        *,
        ttl: float | None = ...,  # type: ignore[assignment]
        timeout: float | None = None,
        shield: bool = False,
    ) -> V:
        """Return the value of a key, which is `await loader(key)` if it has none."""
        end = _end(timeout)
        value: V = self.get(key, _MISSING)
        if value is _MISSING:
            value = await async_load(self, loader, key, (key,), {}, ttl=ttl, end=end, shield=shield)
        return value


@part_of("ConcurrentDict")
class DictLoadingMethods(Generic[K, V]):
    """The same of a dictionary, where nothing expires."""

    if TYPE_CHECKING:
        _weak_values: bool

        def get(self, key: K, default: Any, /) -> Any: ...
        def setdefault(self, key: K, default: V, /) -> V: ...

    def get_or_load(
        self, key: K, loader: Callable[[K], V], /, *, timeout: float | None = None
    ) -> V:
        """Return the value of a key, which is `loader(key)` if it has none."""
        end = _end(timeout)
        value: V = self.get(key, _MISSING)
        if value is _MISSING:
            value = self._agreed(key, load(self, loader, key, (key,), {}, end=end))
        return value

    async def async_get_or_load(
        self,
        key: K,
        loader: Callable[[K], Awaitable[V]],
        /,
        *,
        timeout: float | None = None,
        shield: bool = False,
    ) -> V:
        """Return the value of a key, which is `await loader(key)` if it has none."""
        end = _end(timeout)
        value: V = self.get(key, _MISSING)
        if value is _MISSING:
            loaded = await async_load(self, loader, key, (key,), {}, end=end, shield=shield)
            value = self._agreed(key, loaded)
        return value

    def _agreed(self, key: K, loaded: V) -> V:
        """Return what all get. Where values are weak that is what is there in the end.

        For a write may have kept the load from being put.
        """
        return self.setdefault(key, loaded) if self._weak_values else loaded


def load(
    cache: Any,
    loader: Callable[..., V],
    key: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    ttl: Any = ...,
    end: float | None = None,
) -> V:
    """Return the value of a key that was missed: load it, or wait for whoever does."""
    if ttl is not ...:
        ttl = cache._seconds(ttl)
    while True:
        flight = found = _Flight(cache, key)
        stale: V = cache._stale(key, _MISSING)
        try:
            # Twice: what a signal handler raises on the way into one exit, the other cleans up.
            with flight, flight:
                found = flight.find(would_wait=stale is _MISSING)
                if found is flight:
                    if flight.is_needed():
                        flight.bring(flight.checked(loader(*args, **kwargs)), ttl)
                    return flight.value  # type: ignore[no-any-return]
            if stale is not _MISSING:
                cache._count_stale()
                return stale
            cache._count_wait()
            found.wait(end)
            if found.has_news():
                return found.news()  # type: ignore[no-any-return]
        except Exception as error:
            if found is not flight or stale is _MISSING:
                raise
            stale = cache._stale(key, _MISSING)  # the load may have taken all of its grace
            if stale is _MISSING:
                raise
            Unraisable(error)
            cache._count_stale()
            return stale
        finally:
            # The traceback of an error has this frame, which must not have the error.
            del flight, found


async def async_load(
    cache: Any,
    loader: Callable[..., Awaitable[V]],
    key: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    ttl: Any = ...,
    end: float | None = None,
    shield: bool = False,
) -> V:
    """Do what `load` does, in a task."""
    if ttl is not ...:
        ttl = cache._seconds(ttl)
    loop = running_loop()
    while True:
        flight = found = _Flight(cache, key, loop)
        stale: V = cache._stale(key, _MISSING)
        try:
            with flight, flight:
                found = flight.find()
                if found is flight:
                    if not flight.is_needed():
                        return flight.value  # type: ignore[no-any-return]
                    flight.is_unattended = stale is not _MISSING
                    flight.is_shielded = shield or flight.is_unattended
                    flight.begin(loop, loader, args, kwargs, ttl)
            if stale is not _MISSING:
                if found is flight and flight.value is not _MISSING:  # tasks are eager
                    return flight.value  # type: ignore[no-any-return]
                cache._count_stale()
                return stale
            if found is not flight:
                cache._count_wait()
            if shield:
                found.is_shielded = True
            await found.async_wait(loop, end)
            if found.has_news():
                return found.news(is_first=found is flight)  # type: ignore[no-any-return]
            if found is flight:
                flight.pass_on_interruption()
        finally:
            del flight, found


async def _fly(
    pilot: _Pilot,
    loader: Callable[..., Awaitable[Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    ttl: Any,
) -> None:
    """Load, in a task of its own."""
    flight = pilot.flight
    try:
        with flight, flight:
            flight.lead()
            flight.bring(await flight.awaitable(loader(*args, **kwargs)), ttl)
    except Exception as error:
        flight.report_unheard(error)
    except BaseException as error:
        if not flight.leaves_to_first(error):
            raise
    finally:
        del pilot, flight


class Unraisable:
    """Is freed at once, and so takes an exception to `sys.unraisablehook`."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


class Plain:
    """What loads want of a cache that counts nothing, and in which nothing expires."""

    def _stale(self, _key: object, default: Any, /) -> Any:
        return default

    def _count(self) -> None:
        pass

    _count_load = _count_wait = _count


class Flights:
    """The table of flights of each process, for what is no native mapping.

    A reference leads to it: if it lay in a `dict`, a child could not get at it when threads of its
    parent had contended for that.
    """

    def __init__(self) -> None:
        self._newest = references()((_process.generation, {}, None))

    def __call__(self, process: int, /) -> dict[_Flight, _Flight]:
        while True:
            newest = self._newest.load()
            number, table, _ = newest
            if number == process:
                return table  # type: ignore[no-any-return]
            # The tables of those before it are kept, for what is in them is not a child's to drop.
            self._newest.compare_exchange(newest, (process, {}, newest))

    def __reduce__(self) -> tuple[type[Flights], tuple[()]]:
        """No load goes along with a copy."""
        return Flights, ()


class _Pilot:
    """Is held by a load's coroutine alone: where that ends, or is freed, the flight ends."""

    __slots__ = ("__weakref__", "flight", "passengers")

    def __init__(self, flight: _Flight) -> None:
        self.flight = flight
        self.passengers = flight.unboarded()
        """The waiters of the tasks that wait for it, which keeps those tasks alive."""

    def __del__(self) -> None:
        self.flight.land()


class _Flight:
    """The load of a key; in the table of flights key and value at once."""

    __slots__ = (
        "_cache", "_context", "_error", "_generation", "_handled", "_hash", "_held",
        "_interruption", "_is_boarded", "_is_heard", "_key", "_landed", "_leader", "_notes",
        "_outer", "_pilot", "_settled", "_sleepers", "_task", "_ticket", "_trace",
        "is_shielded", "is_unattended", "loop", "number", "stack", "task", "thread", "value",
    )  # fmt: skip

    def __init__(self, cache: Any, key: Any, loop: AbstractEventLoop | None = None) -> None:
        self._cache = cache
        self._key, self._hash = key, hash(key)
        self.thread, self.stack, self.number = get_ident(), _stack(), next(_numbers)
        self.loop = None if loop is None else weakref.ref(loop)
        self.task: int | None = None
        self._leader: Any = None
        self._task: Callable[[], Any] | None = None
        self._pilot: Callable[[], _Pilot | None] | None = None
        self._is_boarded = self.is_shielded = self.is_unattended = False
        self._is_heard = True
        self.value = _MISSING
        self._ticket: Any = _MISSING
        self._error: Exception | None = None
        self._interruption: BaseException | None = None
        self._handled = sys.exception()
        self._context: BaseException | None = None
        self._notes: list[str] | None = None
        self._trace: TracebackType | None = None
        self._sleepers: dict[_Wait, None] = {}
        self._held: dict[_Wait, object] | None = {}
        self._landed = self._settled = False
        self._outer: _Flight | None = None
        self._generation = _process.generation

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

    def find(self, *, would_wait: bool = True) -> _Flight:
        """Return the flight of the key that is aloft; this one, if there was none.

        Also if it `would_wait` for another that it must not wait for.
        """
        self._generation = _process.generation
        found = _aloft(self._cache).setdefault(self, self)
        while found is not self and found.is_lost():
            found.land()
            found = _aloft(self._cache).setdefault(self, self)
        if found is not self and would_wait and found.is_of_another_greenlet(self):
            found = self
        if found is self and self.loop is None:
            self._leader = leader = _leader(self.thread, self.stack)
            self._outer = _process.leading.get(leader)
            _process.leading[leader] = self
        return found

    def is_needed(self) -> bool:
        """Whether the key must be loaded: since it was missed another flight may have landed."""
        self._ticket = self._cache._ticket(self._key)
        self.value = self._cache._peek(self._key, _MISSING)
        if self.value is not _MISSING:
            return False
        self._cache._count_load()
        return True

    def begin(
        self,
        loop: AbstractEventLoop,
        loader: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        ttl: Any,
    ) -> None:
        """Let a task load."""
        pilot = _Pilot(self)
        self._pilot = weakref.ref(pilot)
        self._held = None  # after that: see `_passengers`
        coroutine = _fly(pilot, loader, args, kwargs, ttl)
        del pilot
        try:
            task = loop.create_task(coroutine)
        except BaseException:
            coroutine.close()
            raise
        self._is_boarded = True
        if not self._landed:  # as it may have, if tasks are eager
            self._lead_as(task)

    def lead(self) -> None:
        """Note which task loads: the one that runs."""
        import asyncio

        self._lead_as(asyncio.current_task())

    def _lead_as(self, task: Any) -> None:
        self._task = weakref.ref(task)
        self._leader = self.task = _number_of(task)
        _process.leading[self.task] = self

    def checked(self, value: Any) -> Any:
        """Return what a synchronous loader returned, unless that is a coroutine."""
        if is_coroutine(value):
            try:
                value.close()
                text = f"the loader of {self.name} returned a coroutine: await async_get_or_load"
                raise TypeError(text)
            finally:
                del self, value  # for its frame becomes part of the error's traceback
        return value

    def awaitable(self, value: Any) -> Awaitable[Any]:
        """Return what an asynchronous loader returned, unless that cannot be awaited."""
        if hasattr(type(value), "__await__") or _is_generator_coroutine(value):
            return value  # type: ignore[no-any-return]
        try:
            kind = type(value).__name__
            text = f"the loader of {self.name} returned a '{kind}', which cannot be awaited"
            raise TypeError(f"{text}: use get_or_load")
        finally:
            del self, value  # as above

    def bring(self, value: Any, ttl: Any = ...) -> None:
        """Put the value that was loaded, unless nobody waits any more."""
        ticket = self._ticket
        if ticket is _MISSING:
            pass
        elif ttl is ...:
            self._cache._keep(ticket, self._key, value)
        else:
            self._cache._keep(ticket, self._key, value, ttl)
        self.value = value

    def report_unheard(self, error: Exception) -> None:
        """Tell the event loop of an error that came when nobody waited any more."""
        loop = None if self.loop is None else self.loop()
        if loop is not None and not self._is_heard:
            message = f"nobody waited any more for the load of {self.name}, which failed"
            loop.call_exception_handler({"message": message, "exception": error})

    def leaves_to_first(self, error: BaseException) -> bool:
        """Give an interruption to the task that asked first; whether that is all."""
        if isinstance(error, GeneratorExit):
            return False
        import asyncio

        self._interruption = error
        ends_more = isinstance(error, KeyboardInterrupt | SystemExit | asyncio.CancelledError)
        return not ends_more and bool(self.sleepers)

    def pass_on_interruption(self) -> None:
        """Raise what broke the load off, if it was not that the task is gone."""
        try:
            if self._interruption is not None:
                raise self._interruption
        finally:
            del self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None and trace is None:
            # There was no memory for a traceback: the others look for themselves.
            self.land()
            return
        if isinstance(error, Exception) and self._error is None:
            # What becomes of it where it is raised next is no news to the others.
            self._trace = trace.tb_next
            self._context = None if error.__context__ is self._handled else error.__context__
            notes = getattr(error, "__notes__", None)
            self._notes = list(notes) if isinstance(notes, list) else None
            # An eager task runs before the one who asked can begin to wait.
            is_left = self._is_boarded or self.is_unattended
            self._is_heard = bool(self.sleepers) or not is_left
            self._error = error
        if error is not None or not self._is_boarded or self.value is not _MISSING:
            self.land()

    def land(self) -> None:
        """Leave the table and wake all who sleep; again, if that was interrupted."""
        if self._settled:
            return
        self._landed, leader = True, self._leader
        _aloft(self._cache).pop(self, None)
        if _process.leading.get(leader) is self:
            if self._outer is None:
                _process.leading.pop(leader, None)
            else:
                _process.leading[leader] = self._outer
        self._ticket, self._handled = _MISSING, None
        _wake(self.sleepers.copy())
        self._settled, self._held = True, None

    def chain(self) -> Iterator[_Flight]:
        """Yield this flight, and those in whose loaders it began."""
        flight: _Flight | None = self
        while flight is not None:
            yield flight
            flight = flight._outer

    def unboarded(self) -> dict[_Wait, object]:
        """Return where those enrol who come before a task loads."""
        return {} if self._held is None else self._held

    def go_on(self, sleepers: dict[_Wait, None], passengers: dict[_Wait, object]) -> None:
        """Count in a child process too, whose only thread leads it."""
        self._generation, self._sleepers = _process.generation, sleepers
        pilot = self._pilot and self._pilot()
        if pilot is not None:
            pilot.passengers = passengers
        elif self._held is not None:
            self._held = passengers
        if not self._landed:
            _aloft(self._cache).setdefault(self, self)

    # For those who wait.

    def wait(self, end: float | None) -> None:
        """Sleep until it has landed, or until that time."""
        asleep = Lock()
        asleep.acquire()
        wait = _Wait(self, None, asleep.release)
        try:
            wait.announce()
            self.sleepers[wait] = None
            while not self.has_landed:
                seconds = self._seconds(end)
                if not asleep.acquire(timeout=-1 if seconds is None else seconds):
                    self.look()
        finally:
            self.leave(wait)

    def _seconds(self, end: float | None) -> float | None:
        """Return how long a thread may sleep before it looks; raise if its time is over."""
        seconds = None if self.loop is None else _LOOK
        if end is not None:
            left = end - monotonic()
            if left <= 0:
                raise self._timeout()
            seconds = min(left, TIMEOUT_MAX if seconds is None else seconds)
        return seconds

    def _timeout(self) -> TimeoutError:
        return TimeoutError(f"the load of {self.name} takes longer than that")

    async def async_wait(self, loop: AbstractEventLoop, end: float | None) -> None:
        """Suspend the task until it has landed, or until that time."""
        # Not a future, which is lost if a handler raises as it schedules its task.
        waiter = references()._waiter(_NOBODY, 0, loop)
        wait = _Wait(self, _current_task(), partial(_ring, weakref.ref(waiter)))
        watch = timer = None
        try:
            # Who leads nothing keeps nobody waiting; of those there may be thousands.
            leading = _process.leading
            if wait.task in leading or _leader(wait.thread, wait.stack) in leading:
                wait.announce()
            self.sleepers[wait] = None
            if not self.has_landed:
                passengers = self._passengers()
                if passengers is not None:
                    passengers[wait] = waiter
                del passengers  # from here it would lead to all who wait
                if self.loop is not None and self.loop() is not loop:
                    watch = _Watch(self, loop)
                if end is not None:
                    timer = loop.call_later(max(0, end - monotonic()), waiter.rouse)
                await waiter
                if not self.has_landed:
                    raise self._timeout()
        finally:
            try:
                if timer is not None:
                    timer.cancel()
                if watch is not None:
                    watch.end()
                passengers = self._passengers()
                if passengers is not None:
                    passengers.pop(wait, None)
                del passengers
            finally:
                self.leave(wait)

    def _passengers(self) -> dict[_Wait, object] | None:
        """The waiters of the tasks that wait for it, where only what loads leads to them.

        None if whoever leads it is in the parent, or gone.
        """
        if self._generation != _process.generation:
            return None
        held = self._held  # read first: the flight gives it away once it has a pilot
        if self._pilot is None:
            return held
        pilot = self._pilot()
        return None if pilot is None else pilot.passengers

    def passengers(self) -> dict[_Wait, object]:
        """Return a snapshot of them."""
        return (self._passengers() or {}).copy()

    def leave(self, wait: _Wait) -> None:
        """Wait no longer. What a task loads ends when nobody waits for it."""
        self.sleepers.pop(wait, None)
        wait.withdraw()
        is_tasks = self.loop is not None and not self.is_shielded
        if is_tasks and not self.sleepers and not self.has_landed:
            self.land()
            task = self._task and self._task()
            if task is not None:
                with suppress(RuntimeError):  # its event loop is closed
                    _call(task.get_loop(), task.cancel)

    def look(self) -> bool:
        """Land it if it is lost; return whether it was."""
        is_lost = self.is_lost()
        if is_lost:
            self.land()
        return is_lost

    def is_lost(self) -> bool:
        """Whether nobody goes on with it: its event loop is closed, or its greenlet gone."""
        if self.loop is None:
            return self.stack is not None and self.stack() is None
        loop = self.loop()
        return loop is None or loop.is_closed()

    def is_of_another_greenlet(self, asking: _Flight) -> bool:
        """Whether the thread that asks would stop it by waiting for it."""
        if asking.loop is not None:
            return False
        return self.thread == asking.thread and self.stack != asking.stack

    def has_news(self) -> bool:
        """Whether it brought a value or an error; else the load was broken off."""
        return self.value is not _MISSING or self._error is not None

    def news(self, *, is_first: bool = False) -> Any:
        """Return the value, or raise the error: itself where that was not done, else a copy."""
        if self._error is None:
            return self.value
        error, context = self._error if is_first else self._copy(), self._context
        try:
            raise error.with_traceback(self._trace)
        finally:
            if context is not None:  # not what the caller happens to handle
                error.__context__ = context
            del self, error, context  # for its frame becomes part of the error's traceback

    def _copy(self) -> Exception:
        assert self._error is not None
        copy = _copy_of(self._error)
        if copy is not self._error:
            if self._notes is not None:
                copy.__notes__ = self._notes.copy()
            copy.__context__ = self._context
        return copy

    @property
    def has_landed(self) -> bool:
        """Whether nobody need wait any longer; so it is if whoever leads it is in the parent."""
        return self._landed or self._generation != _process.generation

    @property
    def sleepers(self) -> dict[_Wait, None]:
        """Those whom it wakes when it lands: nobody, if whoever leads it is in the parent."""
        return self._sleepers if self._generation == _process.generation else {}

    @property
    def name(self) -> str:
        """The key, for messages."""
        return repr(self._key)


class _Wait:
    """A thread that waits for a flight, or a task that does."""

    __slots__ = ("flight", "number", "stack", "task", "thread", "wake")

    def __init__(self, flight: _Flight, task: object | None, wake: Callable[[], object]) -> None:
        self.flight, self.task, self.thread = flight, task, get_ident()
        self.stack, self.number, self.wake = _stack(), next(_numbers), wake

    def announce(self) -> None:
        """Tell all others, unless the flight would never land then."""
        _process.waits[self] = None
        waits = _process.waits.copy()
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
        _process.waits.pop(self, None)

    def _hinders(self, flight: _Flight) -> bool:
        """Whether the flight cannot land while this goes on.

        A thread that waits stops all it does, its event loop's tasks too. A task stops
        itself, and the synchronous loads inside which its event loop runs: those that its
        thread, or greenlet, was in already when it began to wait.
        """
        if self.thread != flight.thread:
            return False
        if self.task is None:
            return True
        if flight.loop is None:
            return self.stack == flight.stack and flight.number < self.number
        return self.task == flight.task

    def _refusal(self) -> str:
        key = self.flight.name
        if not self._hinders(self.flight):
            return f"waiting for {key} would never end: its loader waits for the caller"
        if self.task is None and self.flight.loop is not None:
            return f"waiting for {key} here would block the event loop that loads it"
        return f"the loader of {key} asks for {key} itself"


class _Watch:
    """Looks now and then, from one event loop, whether another one was closed."""

    def __init__(self, flight: _Flight, loop: AbstractEventLoop) -> None:
        self._flight, self._loop = flight, loop
        self._look_later()

    def _look_later(self) -> None:
        self._handle = self._loop.call_later(_LOOK, self._look)

    def _look(self) -> None:
        if not self._flight.look():
            self._look_later()

    def end(self) -> None:
        self._handle.cancel()


_numbers: Final = count()
"""What came first: the numbers of flights, and of those who wait."""


class _Process(NamedTuple):
    """What loads know of each other; a child process begins with another one.

    The dicts are no names of this module: CPython may defer the counting of references to what
    threads find under such a name (3.15t does), and leave it to its collector, which locks a dict
    to clear it. Of a tuple's items all references are counted. So a dict in which a thread of
    the parent stood is never cleared in the child.
    """

    generation: int
    """How many forks lead from the first process to this one."""
    leading: dict[Any, _Flight]
    """The innermost flight of each thread, greenlet and task that leads one."""
    waits: dict[_Wait, None]
    """Those who wait, and keep others waiting."""
    foreign: tuple[object, ...]
    """Waiters of tasks of the parent's other threads, whose `finally` is not a child's to run."""


_process = _Process(0, {}, {}, ())


def _aloft(cache: LoadingMethods[Any, Any]) -> dict[_Flight, _Flight]:
    """Return a cache's table of flights, of this process."""
    return cache._flights(_process.generation)


class _Own:
    """What the thread that forks takes along: the flights it leads, and those who wait in it.

    It is gathered before the fork, when the dicts may still be read.
    """

    def __init__(self) -> None:
        thread = get_ident()
        self.leading = {k: v for k, v in _process.leading.copy().items() if v.thread == thread}
        self.waits = self._of(thread, _process.waits)
        self.flights: list[tuple[_Flight, dict[_Wait, None], dict[_Wait, object]]] = []
        self.foreign = _process.foreign
        for innermost in self.leading.values():
            for flight in innermost.chain():
                passengers = flight.passengers()
                others = [wait for wait in passengers if wait.thread != thread]
                self.foreign += tuple(passengers.pop(wait) for wait in others)
                self.flights.append((flight, self._of(thread, flight.sleepers), passengers))

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
    global _process
    own = _forks.begun.pop()
    _process = _Process(_process.generation + 1, own.leading, own.waits, own.foreign)
    for flight, sleepers, passengers in own.flights:
        flight.go_on(sleepers, passengers)
    # A thread that waits waits for another one, which is not here. Tasks sleep on: an event
    # loop has a queue that other threads may have been changing too.
    _wake(wait for wait in own.waits if wait.task is None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )


def _wake(waits: Iterable[_Wait]) -> None:
    fault = None
    for wait in waits:
        try:
            wait.wake()
        except RuntimeError:  # it is awake, or its event loop is closed
            pass
        except BaseException as error:  # a signal handler's; the others wake nevertheless
            fault = error
    try:
        if fault is not None:
            raise fault
    finally:
        del fault


def _ring(waiter: Callable[[], Any]) -> None:
    """Wake a task that waits, unless it is gone."""
    alive = waiter()
    if alive is not None:
        alive.rouse()


@cache
def references() -> Any:
    """Return the class of atomic references; either implementation's will do."""
    try:
        from lockfree import AtomicRef
    except ImportError:  # the selection has no native module here, as in a subinterpreter
        from lockfree.locked import AtomicRef  # type: ignore[assignment]
    return AtomicRef


class _Nobody:
    """The owner of the waiters here: what wakes one is news for no other."""

    def _notify(self, _event: int, /) -> None:
        pass


_NOBODY: Final = _Nobody()


def _call(loop: AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Call something on an event loop's own thread; at once, if one of its tasks runs here.

    Not if none does: then a signal handler or finalizer may have interrupted the loop itself
    as it fell asleep.
    """
    import asyncio

    if asyncio._get_running_loop() is loop and asyncio.current_task(loop) is not None:
        callback()
    else:
        loop.call_soon_threadsafe(callback)


def _end(timeout: float | None) -> float | None:
    """Return when a wait of so many seconds is over."""
    if timeout is None:
        return None
    if isnan(timeout) or timeout < 0:
        raise ValueError(f"'timeout' must be a non-negative number, not {timeout!r}")
    return monotonic() + timeout


def _current_task() -> object:
    import asyncio

    task = asyncio.current_task()
    # A coroutine that a callback of the loop runs belongs to no task: then it is one by itself.
    return object() if task is None else _number_of(task)


def _number_of(task: object) -> int:
    """Return a number for a task, while it is alive; no thread has such a one."""
    return ~id(task)


def _leader(thread: int, stack: Callable[[], Any] | None) -> Any:
    return thread if stack is None else (thread, id(stack()))


def _stack() -> Callable[[], Any] | None:
    """Return a weak reference to the greenlet that runs; None in a thread's own frames."""
    greenlet: Any = sys.modules.get("greenlet")
    current = greenlet.getcurrent() if hasattr(greenlet, "getcurrent") else None
    return None if current is None or current.parent is None else weakref.ref(current)


def _copy_of(error: Exception) -> Exception:
    """Return an exception like that one; that one itself, where making one runs code of others."""
    kind = type(error)
    if not all(_is_builtin(kind, name) for name in ("__new__", "__init__")):
        return error
    try:
        copy: Exception = kind.__new__(kind, *error.args)
        copy.args = error.args
        for member in _members(kind):
            with suppress(AttributeError, TypeError, ValueError):  # it has no value, or is fixed
                member.__set__(copy, member.__get__(error, kind))
        vars(copy).update(vars(error))
        copy.__cause__ = error.__cause__
        copy.__suppress_context__ = error.__suppress_context__
    except Exception:
        return error
    return copy


def _is_builtin(kind: type, name: str) -> bool:
    return next(each for each in kind.__mro__ if name in vars(each)).__module__ == "builtins"


def _members(kind: type) -> Iterator[Any]:
    """Yield the members that an exception has beside its `__dict__` and `args`."""
    for each in kind.__mro__:
        if each not in (BaseException, object):
            for name, member in vars(each).items():
                is_member = isinstance(member, MemberDescriptorType | GetSetDescriptorType)
                if is_member and not name.startswith("__"):
                    yield member
