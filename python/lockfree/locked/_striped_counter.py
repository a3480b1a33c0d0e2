"""``StripedCounter`` over one ``threading.Lock``."""

from __future__ import annotations

import threading
from typing import NoReturn, SupportsIndex, final

from lockfree.locked._values import Compared, called_by_name, int64, not_copyable, refuse_operators


@final
@called_by_name
class StripedCounter(Compared):
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

    def _shown(self) -> int:
        return self.sum()

    def __reduce__(self) -> NoReturn:
        not_copyable("StripedCounter", "it is shared state; copy its sum, int(c)")


refuse_operators(StripedCounter, "its sum, .sum()")
