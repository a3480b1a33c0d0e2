"""``AtomicFloat64`` over one ``threading.Lock``."""

from __future__ import annotations

import threading
from operator import add
from struct import pack
from typing import NoReturn, SupportsFloat, SupportsIndex, final

from lockfree.locked._atomic import Word
from lockfree.locked._values import float64, not_copyable


@final
class AtomicFloat64(Word[float, SupportsFloat | SupportsIndex]):
    """A 64-bit floating-point number that threads can share and change without a lock."""

    __slots__ = ("__weakref__", "_lock", "_value")

    _of = staticmethod(float64)

    def __new__(cls, value: SupportsFloat | SupportsIndex = 0.0, /) -> AtomicFloat64:
        value = float64(value)
        self = super().__new__(cls)
        self._lock = threading.Lock()
        self._value = value
        return self

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'lockfree.locked.AtomicFloat64' is not an acceptable base type")

    def fetch_add(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Add `n` and return the old value."""
        return self._fetch(add, n)

    def add(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Add `n` and return the new value."""
        n = float64(n)
        with self._lock:
            self._value += n
            return self._value

    def _same(self, a: float, b: float) -> bool:
        return pack("<d", a) == pack("<d", b)

    def __iadd__(self, n: SupportsFloat | SupportsIndex) -> AtomicFloat64:
        self.fetch_add(n)
        return self

    def __isub__(self, n: SupportsFloat | SupportsIndex) -> AtomicFloat64:
        self.fetch_add(-float64(n))
        return self

    def __float__(self) -> float:
        return self.load()

    def __int__(self) -> int:
        return int(self.load())

    def __reduce__(self) -> NoReturn:
        not_copyable("AtomicFloat64", "it is shared state; copy its value, float(a)")
