"""``AtomicFloat64`` over one ``threading.Lock``."""

from __future__ import annotations

import threading
from math import copysign, isnan
from operator import add, sub
from struct import pack
from typing import NoReturn, SupportsFloat, SupportsIndex, final

from lockfree.locked._atomic import Watched, Word
from lockfree.locked._values import called_by_name, float64, not_copyable, refuse_operators


@final
@called_by_name
class AtomicFloat64(Watched, Word[float, SupportsFloat | SupportsIndex]):
    """A 64-bit floating-point number that threads can share and change without a lock."""

    __slots__ = ("__weakref__", "_lock", "_value")

    _of = staticmethod(float64)

    def __new__(cls, value: SupportsFloat | SupportsIndex = 0.0) -> AtomicFloat64:
        value = float64(value)
        self = super().__new__(cls)
        self._lock = threading.Lock()
        self._value = value
        self._init_watch()
        return self

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'lockfree.locked.AtomicFloat64' is not an acceptable base type")

    def fetch_add(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Add `n` and return the old value."""
        return self._fetch(add, n)

    def fetch_sub(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Subtract `n` and return the old value."""
        return self._fetch(sub, n)

    def fetch_max(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Raise the value to at least `n`; return the old value."""
        return self._fetch(_larger, n)

    def fetch_min(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Lower the value to at most `n`; return the old value."""
        return self._fetch(lambda a, b: -_larger(-a, -b), n)

    def add(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Add `n` and return the new value."""
        n = float64(n)
        with self._lock:  # the answer is made before the change, lest it could not be any more
            self._value = new = self._value + n
        self._tell()
        return new

    def sub(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Subtract `n` and return the new value."""
        n = float64(n)
        with self._lock:
            self._value = new = self._value - n
        self._tell()
        return new

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


def _larger(a: float, b: float) -> float:
    """Return `b` if it is larger or the only number, else `a`."""
    both_zero = a == b == 0
    takes_b = b > a or (isnan(a) and not isnan(b)) or (both_zero and copysign(1, a) < 0)
    return b if takes_b else a


refuse_operators(AtomicFloat64, "its value, .load()")
