"""What a subclass overrides, the other methods go by, as in the standard library.

Here methods do not call each other: each is one step inside the engine. So a subclass that
overrides one gets, when it is made, those that go by it, from one of the classes below. All
others keep the engine's, and cost what they cost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, NoReturn, SupportsIndex, TypeVar

from lockfree._async import GETTERS, NOTHING, PUTTERS, Items, until
from lockfree._errors import Empty, Full, ShutDown
from lockfree._mapping import copied, part_of

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)

_MISSING: Final[Any] = object()

_HOOKS: Final = ("_init", "_put", "_get", "_qsize")


def goes_by(*names: str) -> Callable[[F], F]:
    """Mark a method for those subclasses that override one of these."""

    def mark(method: F) -> F:
        method._goes_by = names  # type: ignore[attr-defined]
        return method

    return mark


def followed(relations: type) -> Callable[[C], C]:
    """Have the subclasses of a class get the methods of `relations` that they need."""

    def install(base: Any) -> Any:
        def __init_subclass__(cls: type, /, **keywords: Any) -> None:  # noqa: N807 - becomes it
            # What another base may want; without one, `object` refuses it in its own words.
            super(base, cls).__init_subclass__(**keywords)
            own = cls.__mro__[: cls.__mro__.index(base)]
            if not issubclass(relations, _MappingRelations):
                _refuse_hooks(cls, own, base)
            _follow(cls, own, relations)

        __init_subclass__.__qualname__ = f"{base.__qualname__}.__init_subclass__"
        base.__init_subclass__ = classmethod(__init_subclass__)
        return base

    return install


def _refuse_hooks(cls: type, own: tuple[type, ...], base: type) -> None:
    """Refuse a class that overrides a hook: it would wait in vain for its being called."""
    for hook in _HOOKS:
        if any(hook in vars(each) for each in own):
            raise TypeError(
                f"'{cls.__name__}' overrides {hook}(), which {base.__name__} does not call: "
                "it has no lock to call it under"
            )


def _follow(cls: type, own: tuple[type, ...], relations: type) -> None:
    for name, relation in vars(relations).items():
        names = getattr(relation, "_goes_by", ())
        member = _override(own, name)
        if member is _MISSING and any(_override(own, each) is not _MISSING for each in names):
            member = relation
        # A base's may stand before an override that the other base has.
        if member is not _MISSING and member is not _first(own, name):
            setattr(cls, name, member)


def _override(own: tuple[type, ...], name: str) -> Any:
    """Return the user's own member of that name, if there is one."""
    members = (vars(each)[name] for each in own if name in vars(each))
    return next((each for each in members if not hasattr(each, "_goes_by")), _MISSING)


def _first(own: tuple[type, ...], name: str) -> Any:
    return next((vars(each)[name] for each in own if name in vars(each)), _MISSING)


@part_of("Queue")
class QueueRelations:
    """Those of `queue.Queue`, and what is beyond it; a coroutine's are those of asyncio's.

    As there, `async_put` waits for room, and then calls `put_nowait`: so that what an override
    does before it puts is done once, unless another producer was quicker.
    """

    @goes_by("put")
    def put_nowait(self: Any, /, item: Any) -> None:
        self.put(item, block=False)

    @goes_by("put")
    def put_many(self: Any, iterable: Iterable[Any], /, timeout: float | None = None) -> int:
        from lockfree.locked._event import within

        remaining = within(timeout)
        items = tuple(iterable)
        for done, item in enumerate(items):
            left = remaining()
            try:
                self.put(item, timeout=None if left is None else max(left, 0))
            except (Full, ShutDown):
                if done == 0:
                    raise
                return done
        return len(items)

    @goes_by("put", "get")
    def force_put(self: Any, item: Any, /, *, default: Any = None) -> NoReturn:
        del item, default
        raise TypeError(
            f"'{type(self).__name__}' overrides put() or get(), and force_put() does in one step "
            "what calls neither: override it as well"
        )

    @goes_by("get")
    def get_nowait(self: Any, /) -> Any:
        return self.get(block=False)

    @goes_by("get")
    def get_many(self: Any, n: SupportsIndex, /, timeout: float | None = None) -> list[Any]:
        from lockfree.locked._values import count

        wanted = count(n)
        if wanted == 0:
            return []
        items = [self.get(timeout=timeout)]
        with suppress(Empty, ShutDown):
            while len(items) < wanted:
                items.append(self.get(block=False))
        return items

    @goes_by("get")
    def drain(self: Any, /) -> list[Any]:
        items: list[Any] = []
        with suppress(Empty, ShutDown):
            for _ in range(self.qsize()):
                items.append(self.get(block=False))
        return items

    @goes_by("get")
    def __iter__(self: Any) -> Iterator[Any]:
        try:
            while True:
                yield self.get()
        except ShutDown:
            return

    @goes_by("put", "put_nowait")
    def _press(self: Any, item: Any, /) -> bool:
        if self.full() and not self.is_shutdown:
            return False
        try:
            self.put_nowait(item)
        except Full:
            return False
        return True

    @goes_by("get", "get_nowait")
    def _grab(self: Any, nothing: Any, /) -> Any:
        if self.empty() and not self.is_shutdown:
            return nothing
        try:
            return self.get_nowait()
        except Empty:
            return nothing

    @goes_by("get", "get_many")
    def _some(self: Any, n: SupportsIndex, nothing: Any, /) -> Any:
        try:
            return self.get_many(n, timeout=0)
        except Empty:
            return nothing


@part_of("AsyncQueue")
class AsyncQueueRelations:
    """Those of `asyncio.Queue`."""

    @goes_by("put_nowait")
    async def put(self: Any, item: Any) -> None:
        from asyncio import QueueFull

        queue = self._queue

        def attempt() -> Any:
            if queue.full() and not queue.is_shutdown:
                return NOTHING
            try:
                self.put_nowait(item)
            except QueueFull:
                return NOTHING
            return None

        await until(queue, PUTTERS, attempt)

    @goes_by("get_nowait")
    async def get(self: Any) -> Any:
        from asyncio import QueueEmpty

        queue = self._queue

        def attempt() -> Any:
            if queue.empty() and not queue.is_shutdown:
                return NOTHING
            try:
                return self.get_nowait()
            except QueueEmpty:
                return queue._yet(NOTHING)

        return await until(queue, GETTERS, attempt, queue._may_get)

    @goes_by("get", "get_nowait")
    def __aiter__(self: Any) -> AsyncIterator[Any]:
        import asyncio

        return Items(self.get, getattr(asyncio, "QueueShutDown", ShutDown))


class _MappingRelations:
    """Those of `MutableMapping`, and `__missing__` as a `dict` has it."""

    def __init_subclass__(cls, /, of: str) -> None:
        for name, relation in vars(_MappingRelations).items():
            if hasattr(relation, "_goes_by"):
                own = copied(relation)
                own._goes_by = relation._goes_by
                setattr(cls, name, own)
        part_of(of)(cls)

    @goes_by("__missing__")
    def __getitem__(self: Any, key: Any, /) -> Any:
        value = self._base.get(self, key, _MISSING)
        return self.__missing__(key) if value is _MISSING else value

    @goes_by("__getitem__")
    def get(self: Any, key: Any, default: Any = None, /) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    @goes_by("__getitem__", "__setitem__", "put")
    def setdefault(self: Any, key: Any, default: Any = None, /) -> Any:
        # Not `[]`, which may call `__missing__`.
        value = self.get(key, _MISSING)
        if value is _MISSING:
            self[key] = value = default
        return value

    @goes_by("__getitem__", "__delitem__")
    def pop(self: Any, key: Any, default: Any = _MISSING, /) -> Any:
        value = self.get(key, _MISSING)
        try:
            if value is _MISSING:
                raise KeyError(key)
            del self[key]  # of several threads one succeeds
        except KeyError:
            if default is _MISSING:
                raise
            return default
        return value


class CacheRelations(_MappingRelations, of="Cache"):
    """The same of a cache. `put` is what `[]=` is, with a time to live."""

    @goes_by("put")
    def __setitem__(self: Any, key: Any, value: Any, /) -> None:
        self.put(key, value)

    @goes_by("get", "__getitem__")
    def _cached_function(self: Any, *args: Any) -> Any:
        from lockfree.locked._cached import CachedFunction

        return CachedFunction(*args)


class DictRelations(_MappingRelations, of="ConcurrentDict"):
    """The same of a dictionary. What is one step over a key's value goes by nothing."""
