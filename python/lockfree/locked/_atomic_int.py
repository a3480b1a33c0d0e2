"""``AtomicInt64`` over one ``threading.Lock``."""

from __future__ import annotations

import threading
from operator import and_, or_, xor
from typing import NoReturn, SupportsIndex, final

from lockfree.locked._atomic import Watched, Word
from lockfree.locked._values import called_by_name, int64, not_copyable, refuse_operators, result64


@final
@called_by_name
class AtomicInt64(Watched, Word[int, SupportsIndex]):
    """A 64-bit signed integer that threads can share and change without a lock."""

    __slots__ = ("__weakref__", "_lock", "_value")

    _of = staticmethod(int64)

    def __new__(cls, value: SupportsIndex = 0) -> AtomicInt64:
        value = int64(value)
        self = super().__new__(cls)
        self._lock = threading.Lock()
        self._value = value
        self._init_watch()
        return self

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'lockfree.locked.AtomicInt64' is not an acceptable base type")

    def fetch_add(self, n: SupportsIndex, /) -> int:
        """Add `n` and return the old value."""
        n = int64(n)
        with self._lock:
            old = self._value
            self._value = result64(old + n, old, "+", n)
        self._tell()
        return old

    def fetch_sub(self, n: SupportsIndex, /) -> int:
        """Subtract `n` and return the old value."""
        n = int64(n)
        with self._lock:
            old = self._value
            self._value = result64(old - n, old, "-", n)
        self._tell()
        return old

    def fetch_and(self, n: SupportsIndex, /) -> int:
        """Keep the bits also set in `n`; return the old value."""
        return self._fetch(and_, n)

    def fetch_or(self, n: SupportsIndex, /) -> int:
        """Set the bits of `n`; return the old value."""
        return self._fetch(or_, n)

    def fetch_xor(self, n: SupportsIndex, /) -> int:
        """Flip the bits of `n`; return the old value."""
        return self._fetch(xor, n)

    def fetch_max(self, n: SupportsIndex, /) -> int:
        """Raise the value to at least `n`; return the old value."""
        return self._fetch(max, n)

    def fetch_min(self, n: SupportsIndex, /) -> int:
        """Lower the value to at most `n`; return the old value."""
        return self._fetch(min, n)

    def add(self, n: SupportsIndex, /) -> int:
        """Add `n` and return the new value."""
        n = int64(n)
        with self._lock:  # the answer is made before the change, lest it could not be any more
            self._value = new = result64(self._value + n, self._value, "+", n)
        self._tell()
        return new

    def sub(self, n: SupportsIndex, /) -> int:
        """Subtract `n` and return the new value."""
        n = int64(n)
        with self._lock:
            self._value = new = result64(self._value - n, self._value, "-", n)
        self._tell()
        return new

    def increment(self, /) -> int:
        """Add 1 and return the new value."""
        return self.add(1)

    def decrement(self, /) -> int:
        """Subtract 1 and return the new value."""
        return self.sub(1)

    def __iadd__(self, n: SupportsIndex) -> AtomicInt64:
        self.fetch_add(n)
        return self

    def __isub__(self, n: SupportsIndex) -> AtomicInt64:
        self.fetch_sub(n)
        return self

    def __iand__(self, n: SupportsIndex) -> AtomicInt64:
        self.fetch_and(n)
        return self

    def __ior__(self, n: SupportsIndex) -> AtomicInt64:
        self.fetch_or(n)
        return self

    def __ixor__(self, n: SupportsIndex) -> AtomicInt64:
        self.fetch_xor(n)
        return self

    def __int__(self) -> int:
        return self.load()

    def __index__(self) -> int:
        return self.load()

    def __reduce__(self) -> NoReturn:
        not_copyable("AtomicInt64", "it is shared state; copy its value, int(a)")


refuse_operators(AtomicInt64, "its value, .load()")
