"""What of a keyed counter is made of a few primitives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nlargest
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, SupportsIndex, TypeVar

from lockfree._mapping import part_of

K = TypeVar("K")


def added_up(counts: Iterable[tuple[K, int]]) -> dict[K, int]:
    """Make a dict of counts; those of keys that have become equal are added up."""
    sums: dict[K, int] = {}
    for key, count in counts:
        sums[key] = sums.get(key, 0) + count
    return sums


def _counts_of(other: Any) -> dict[Any, int]:
    """Make a dict of what a mapping or another counter counts."""
    if isinstance(other, dict) and type(other).items is dict.items:
        return dict.copy(other)  # at once, for threads may be changing it
    return dict(other.items()) if isinstance(other, Mapping) else added_up(other.items())


@part_of("KeyedCounter")
class CounterMethods(Generic[K]):
    """The methods, over a few primitives that native and locked counters have."""

    if TYPE_CHECKING:

        @property
        def other(self) -> int: ...
        def add(self, key: K, n: SupportsIndex = 1, /) -> None: ...
        def _items(self) -> Iterable[tuple[K, int]]: ...

    def keys(self) -> list[K]:
        """Return a snapshot of the keys."""
        return [key for key, _ in self._items()]

    def values(self) -> list[int]:
        """Return a snapshot of the counts."""
        return [count for _, count in self._items()]

    def items(self) -> list[tuple[K, int]]:
        """Return a snapshot of the keys with their counts."""
        return list(self._items())

    def most_common(self, n: int | None = None) -> list[tuple[K, int]]:
        """Return the `n` keys with the highest counts, and these, the highest first."""
        items, count = self._items(), itemgetter(1)
        return sorted(items, key=count, reverse=True) if n is None else nlargest(n, items, count)

    def total(self) -> int:
        """Return the sum of all counts, and of `other`."""
        return sum(count for _, count in self._items()) + self.other

    def update(self, iterable: Mapping[K, SupportsIndex] | Iterable[K] = (), /) -> None:
        """Count the items of an iterable, or add the counts of a mapping."""
        items = getattr(iterable, "items", None)  # a mapping's, or another counter's
        if items is None:
            for key in iterable:
                self.add(key)
        else:
            for key, n in items():
                self.add(key, n)

    def __eq__(self, other: object) -> bool:
        """Whether a mapping, or another counter, has the same counts."""
        is_counter = all(hasattr(type(other), name) for name in ("items", "most_common"))
        if not is_counter and not isinstance(other, Mapping):
            return NotImplemented
        ours, theirs = added_up(self._items()), _counts_of(other)
        return all(ours.get(key, 0) == theirs.get(key, 0) for key in ours.keys() | theirs.keys())

    __hash__: ClassVar[None] = None  # type: ignore[assignment]
