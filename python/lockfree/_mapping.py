"""What makes caches and dictionaries mappings: views, ``update``, ``==``, statistics.

To look at values in passing is not to use them: the views take a snapshot, where those
of `collections.abc` would look up each key, count a hit and mark the entry.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from copyreg import __newobj__  # type: ignore[attr-defined]
from functools import WRAPPER_ASSIGNMENTS, update_wrapper
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

C = TypeVar("C")
K = TypeVar("K")
V = TypeVar("V")

_MISSING: Final[Any] = object()


class CacheStats(NamedTuple):
    """What happened in a cache since it was made, and its size now."""

    hits: int
    """Look-ups by `[]`, `get`, `setdefault` and `get_or_load` that found a value."""
    misses: int
    """Those that found none."""
    evictions: int
    """Entries dropped because there was no room."""
    expirations: int
    """Entries dropped because their time was up."""
    loads: int
    """Calls of loaders."""
    waits: int
    """Times that a caller waited for the load of another."""
    stale: int
    """Calls that were served an entry in its grace. To its look-up it is a miss."""
    size: int
    """How many entries there are."""


def part_of(name: str | None = None) -> Callable[[type[C]], type[C]]:
    """Name the methods of a class as those of the class that gets them, as messages do.

    It gets its own copies of what all mappings have, for the others have other names. Methods
    that several classes get have their own names alone.
    """

    def rename(mixin: type[C]) -> type[C]:
        if issubclass(mixin, _Shared):
            for inherited, member in vars(_Shared).items():
                if _is_installed(inherited, member):
                    setattr(mixin, inherited, copied(member))
        for member in vars(mixin).values():
            function = getattr(member, "__func__", member)  # of a class method
            if isinstance(function, FunctionType):
                function.__qualname__ = f"{name}.{function.__name__}" if name else function.__name__
        return mixin

    return rename


def _is_installed(name: str, member: object) -> bool:
    is_method = isinstance(member, FunctionType | classmethod)
    return is_method or name in ("__hash__", "__reversed__")


def copied(member: Any) -> Any:
    """Return a function of its own for another class to have."""
    if not isinstance(member, FunctionType):
        return member
    code, defaults, closure = member.__code__, member.__defaults__, member.__closure__
    copy = FunctionType(code, member.__globals__, member.__name__, defaults, closure)
    return update_wrapper(copy, member, WRAPPER_ASSIGNMENTS, ())


class _Items(ItemsView[K, V]):
    _mapping: _Shared[K, V]

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        key, value = item
        return _is_or_equals(self._mapping._peek(key, _MISSING), value)

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping._items())


class _Values(ValuesView[V]):
    _mapping: _Shared[Any, V]

    def __contains__(self, value: object) -> bool:
        return any(_is_or_equals(each, value) for each in self)

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping._items())


# As they show themselves.
_Items.__name__, _Values.__name__ = "ItemsView", "ValuesView"


def _is_or_equals(a: object, b: object) -> bool:
    return a is b or bool(a == b)


class _Shared(MutableMapping[K, V]):
    """What every mapping has, over a few primitives that native and locked ones have."""

    if TYPE_CHECKING:

        def _items(self) -> Iterable[tuple[K, V]]: ...
        def _peek(self, key: object, default: Any, /) -> Any: ...

    def keys(self) -> KeysView[K]:
        """Return a view of the keys."""
        return KeysView(self)

    def items(self) -> ItemsView[K, V]:
        """Return a view of the keys with their values."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Return a view of the values."""
        return _Values(self)

    def update(self, other: Any = (), /, **kwds: Any) -> None:
        """Put the entries of a mapping, or of an iterable of pairs, and `kwds`."""
        MutableMapping.update(self, other, **kwds)

    def __eq__(self, other: object) -> bool:
        """Whether `other` is a mapping with equal keys and values."""
        if not isinstance(other, Mapping):
            return NotImplemented
        # In Python: between byte codes other threads run. What others there are may count
        # or change what is looked up.
        theirs = other if type(other) is dict else dict(other.items())
        count = 0
        for key, value in self._items():
            other_value = theirs.get(key, _MISSING)
            if other_value is _MISSING or not _is_or_equals(other_value, value):
                return False
            count += 1
        return count == len(theirs)

    __hash__ = None  # type: ignore[assignment]
    __reversed__ = None


@part_of("Cache")
class MappingMethods(_Shared[K, V]):
    """What a cache has beside that."""

    if TYPE_CHECKING:
        _base: type[Any]

        def _arguments(self) -> tuple[Any, ...]: ...
        def _dump(self) -> list[tuple[K, V, float | None, int]]: ...
        def _restore(self, key: K, value: V, left: float | None, weight: int, /) -> None: ...
        def _stats(self) -> tuple[int, int, int, int, int, int, int, int]: ...

    def stats(self) -> CacheStats:
        """Return how often the cache was asked, and what became of its entries."""
        return CacheStats(*self._stats())

    def copy(self) -> Self:
        """Return a cache of its own with the same entries."""
        from copy import copy

        return copy(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return __newobj__, (type(self),), (self._arguments(), self._dump(), self.__getstate__())

    def __setstate__(self, state: Any) -> None:
        (maxsize, ttl, grace, weigher, on_evict), entries, own = state
        # Not a subclass's own: what that would do is in its state.
        self._base.__init__(self, maxsize, ttl=ttl, grace=grace, weigher=weigher, on_evict=on_evict)
        for entry in entries:
            self._restore(*entry)
        attributes, slots = own if isinstance(own, tuple) else (own, None)
        if attributes:
            vars(self).update(attributes)
        for name, value in (slots or {}).items():
            setattr(self, name, value)


@part_of("ConcurrentDict")
class DictMethods(_Shared[K, V]):
    """What a dictionary has beside that."""

    if TYPE_CHECKING:
        _weak_values: bool

    @classmethod
    def fromkeys(cls, iterable: Iterable[K], value: Any = None, /) -> Any:
        """Return a dictionary in which each key of an iterable has the same value."""
        made: Any = cls()
        for key in iterable:
            made[key] = value
        return made

    def copy(self) -> Any:
        """Return another dictionary with the same keys and values."""
        return self._merged(self._items())

    __copy__ = copy

    def __or__(self, other: Any) -> Any:
        """Return another dictionary with what is in both; `other` wins."""
        if not isinstance(other, Mapping):
            return NotImplemented
        return self._merged(self._items(), other)

    def __ror__(self, other: Any) -> Any:
        """Return another dictionary with what is in both; this one wins."""
        if not isinstance(other, Mapping):
            return NotImplemented
        return self._merged(other, self._items())

    def _merged(self, *parts: Any) -> Any:
        made: Any = type(self)(weak_values=self._weak_values)  # type: ignore[call-arg]
        for part in parts:
            made.update(part)
        return made

    def __ior__(self, other: Any) -> Self:
        """Put the entries of a mapping, or of an iterable of pairs."""
        self.update(other)
        return self


def install(cls: type, *mixins: type) -> None:
    """Give a native class the methods of `mixins`, and make it a mapping."""
    give(cls, *mixins)
    MutableMapping.register(cls)


def give(cls: type, *mixins: type) -> None:
    """Give a native class the methods of `mixins`."""
    for mixin in mixins:
        for name, member in vars(mixin).items():
            if _is_installed(name, member):
                setattr(cls, name, member)
