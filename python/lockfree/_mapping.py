"""What makes a cache a mapping: its views, ``update``, ``==`` and its statistics.

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


def part_of(name: str) -> Callable[[type[C]], type[C]]:
    """Name the methods of a class as those of the class that gets them, as messages do."""

    def rename(mixin: type[C]) -> type[C]:
        for each in vars(mixin).values():
            if isinstance(each, FunctionType):
                each.__qualname__ = f"{name}.{each.__name__}"
        return mixin

    return rename


class _Items(ItemsView[K, V]):
    _mapping: MappingMethods[K, V]

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        key, value = item
        return _is_or_equals(self._mapping._peek(key, _MISSING), value)

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping._items())


class _Values(ValuesView[V]):
    _mapping: MappingMethods[Any, V]

    def __contains__(self, value: object) -> bool:
        return any(_is_or_equals(each, value) for each in self)

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping._items())


# As they show themselves.
_Items.__name__, _Values.__name__ = "ItemsView", "ValuesView"


def _is_or_equals(a: object, b: object) -> bool:
    return a is b or bool(a == b)


@part_of("Cache")
class MappingMethods(MutableMapping[K, V]):
    """The methods, over a few primitives that native and locked caches have."""

    if TYPE_CHECKING:
        _base: type[Any]

        def _arguments(self) -> tuple[Any, ...]: ...
        def _dump(self) -> list[tuple[K, V, float | None, int]]: ...
        def _restore(self, key: K, value: V, left: float | None, weight: int, /) -> None: ...
        def _items(self) -> Iterable[tuple[K, V]]: ...
        def _peek(self, key: object, default: Any, /) -> Any: ...
        def _stats(self) -> tuple[int, int, int, int, int, int, int, int]: ...

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


def install(cls: type, *mixins: type) -> None:
    """Give a native class the methods of `mixins`, and make it a mapping."""
    for mixin in mixins:
        for name, member in vars(mixin).items():
            if isinstance(member, FunctionType) or name in ("__hash__", "__reversed__"):
                setattr(cls, name, member)
    cls._base = cls  # type: ignore[attr-defined]
    MutableMapping.register(cls)
