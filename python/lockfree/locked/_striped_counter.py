"""``StripedCounter`` over one ``threading.Lock``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import eq, ge, gt, le, lt, ne
from typing import Any, NoReturn, SupportsIndex, final

from lockfree.locked._values import int64, is_number, not_copyable, refuse_operators


@final
class StripedCounter:
    """A counter for many threads that add and few that look."""

    __slots__ = ("__weakref__", "_lock", "_sum")

    _lock: threading.Lock
    _sum: int

    def __new__(cls, value: SupportsIndex = 0) -> StripedCounter:
        value = int64(value)
        self = super().__new__(cls)
        self._lock = threading.Lock()
        self._sum = value
        return self

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'lockfree.locked.StripedCounter' is not an acceptable base type")

    def add(self, n: SupportsIndex = 1, /) -> None:
        """Add `n`."""
        n = int64(n)
        with self._lock:
            self._sum += n

    def increment(self, /) -> None:
        """Add 1."""
        self.add(1)

    def decrement(self, /) -> None:
        """Subtract 1."""
        self.add(-1)

    def sum(self, /) -> int:
        """Return the sum of all that was added."""
        with self._lock:
            return self._sum

    def reset(self, /) -> int:
        """Start again at 0 and return the sum so far."""
        with self._lock:
            old, self._sum = self._sum, 0
            return old

    def __int__(self) -> int:
        return self.sum()

    def __bool__(self) -> bool:
        return self.sum() != 0

    def _compare(self, relation: Callable[[Any, Any], Any], other: object) -> Any:
        return relation(self.sum(), other) if is_number(other) else NotImplemented

    def __eq__(self, other: object) -> Any:
        return self._compare(eq, other)

    def __ne__(self, other: object) -> Any:
        return self._compare(ne, other)

    def __lt__(self, other: object) -> Any:
        return self._compare(lt, other)

    def __le__(self, other: object) -> Any:
        return self._compare(le, other)

    def __gt__(self, other: object) -> Any:
        return self._compare(gt, other)

    def __ge__(self, other: object) -> Any:
        return self._compare(ge, other)

    def __str__(self) -> str:
        return str(self.sum())

    def __format__(self, spec: str) -> str:
        return format(self.sum(), spec)

    def __repr__(self) -> str:
        return f"StripedCounter({self.sum()})"

    def __reduce__(self) -> NoReturn:
        not_copyable("StripedCounter", "it is shared state; copy its sum, int(c)")


refuse_operators(StripedCounter, "its sum, .sum()")
