"""``KeyedCounter`` over one ``threading.RLock`` and a ``dict``."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from reprlib import recursive_repr
from types import GenericAlias
from typing import Any, ClassVar, NoReturn, SupportsIndex, TypeVar

from lockfree._keyed import CounterMethods, added_up
from lockfree.locked._values import MISSING, called_by_name, int64, not_copyable

K = TypeVar("K")


@called_by_name
class KeyedCounter(CounterMethods[K]):
    """A counter for each key, which many threads add to; it hands out none of them."""

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    def __init__(
        self,
        iterable: Mapping[K, SupportsIndex] | Iterable[K] = (),
        /,
        *,
        maxsize: SupportsIndex | None = None,
    ) -> None:
        self._maxsize = None if maxsize is None else _bound(maxsize)
        # Reentrant: comparing keys runs code of theirs, which may use the counter.
        self._lock = threading.RLock()
        self._cells: dict[K, list[int]] = {}
        self._other = 0
        CounterMethods.update(self, iterable)

    @property
    def maxsize(self) -> int | None:
        """How many keys there may be; None is any number."""
        return self._maxsize

    @property
    def other(self) -> int:
        """What was added to keys for which there was no room."""
        with self._lock:
            return self._other

    def add(self, key: K, n: SupportsIndex = 1, /) -> None:
        """Add `n` to the count of a key, which begins at 0."""
        n = int64(n)
        with self._lock:
            while True:
                cells = self._cells
                cell = cells.get(key)
                if cell is None and self._is_full():
                    self._other += n
                    return
                if cell is None:
                    cell = cells.setdefault(key, [0])
                if cells is self._cells:  # no comparison has reset it meanwhile
                    cell[0] += n
                    return

    def reset(self, key: Any = MISSING, /) -> Any:
        """Start again at 0 and return the counts so far; with a key, its count alone."""
        with self._lock:
            if key is MISSING:
                return self._take()
            cell = self._cell(key)
            count, cell[0] = cell[0], 0
            return count

    def _take(self) -> dict[K, int]:
        cells, self._cells = self._cells, {}
        try:
            return added_up((key, cell[0]) for key, cell in cells.items())
        except BaseException:  # of a key's; nothing is lost
            newer, self._cells = self._cells, cells
            self._other += sum(cell[0] for cell in newer.values())
            raise

    def _cell(self, key: Any) -> list[int]:
        while True:
            cells = self._cells
            cell = cells.get(key, [0])
            if cells is self._cells:  # no comparison has reset it meanwhile
                return cell

    def __getitem__(self, key: K, /) -> int:
        with self._lock:
            return self._cell(key)[0]

    def __setitem__(self, key: K, value: object, /) -> NoReturn:
        raise TypeError("a KeyedCounter's counts are not assigned: c.add(key, n) adds to one")

    def __delitem__(self, key: K, /) -> NoReturn:
        raise TypeError("a KeyedCounter's keys are not deleted: c.reset() drops them all")

    def __contains__(self, key: object, /) -> bool:
        with self._lock:
            return key in self._cells

    def __len__(self) -> int:
        with self._lock:
            return len(self._cells)

    def __iter__(self) -> Iterator[K]:
        return iter([key for key, _ in self._items()])

    @recursive_repr("KeyedCounter(...)")
    def __repr__(self) -> str:
        counts = ", ".join(f"{key!r}: {count!r}" for key, count in self._items())
        return f"{type(self).__name__}({{{counts}}})"

    def __reduce__(self) -> NoReturn:
        not_copyable("KeyedCounter", "it is shared state; copy its counts, dict(c.items())")

    def _items(self, /) -> list[tuple[K, int]]:
        with self._lock:
            return [(key, cell[0]) for key, cell in self._cells.items()]

    def _is_full(self) -> bool:
        return self._maxsize is not None and len(self._cells) >= self._maxsize


def _bound(maxsize: SupportsIndex) -> int:
    bound = int64(maxsize)
    if bound < 0:
        raise ValueError(f"maxsize must not be negative, but is {bound}")
    return bound
