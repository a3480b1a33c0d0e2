"""``AtomicInt64`` over one ``threading.Lock``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import and_, eq, ge, gt, le, lt, ne, or_, xor
from typing import Any, NoReturn, SupportsIndex, final

from lockfree._ordering import Ordering
from lockfree.locked._atomic import View, Watched
from lockfree.locked._values import int64, is_number, not_copyable, result64


@final
class AtomicInt64(Watched):
    """A 64-bit signed integer that threads can share and change without a lock."""

    __slots__ = ("__weakref__", "_lock", "_value")
    __hash__ = None  # type: ignore[assignment]

    _lock: threading.Lock
    _value: int

    def __new__(cls, value: SupportsIndex = 0, /) -> AtomicInt64:
        value = int64(value)
        self = super().__new__(cls)
        self._init_watch()
        self._lock = threading.Lock()
        self._value = value
        return self

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'lockfree.locked.AtomicInt64' is not an acceptable base type")

    @property
    def value(self) -> int:
        """The value, as `load()` reads it. Read-only: write with `store()`."""
        return self.load()

    def at(self, ordering: Ordering, /, failure: Ordering | None = None) -> View:
        """Return a view whose methods work at another memory ordering."""
        return View(self, ordering, failure)

    def load(self, /) -> int:
        """Return the value."""
        with self._lock:
            return self._value

    def store(self, value: SupportsIndex, /) -> None:
        """Replace the value."""
        self.exchange(value)

    def exchange(self, value: SupportsIndex, /) -> int:
        """Replace the value and return the old one."""
        return self._fetch(lambda _old, new: new, value)

    def compare_exchange(self, expected: SupportsIndex, desired: SupportsIndex, /) -> bool:
        """Replace `expected` by `desired`; return whether that happened."""
        expected, desired = int64(expected), int64(desired)
        with self._lock:
            if self._value != expected:
                return False
            self._value = desired
            return True

    def fetch_add(self, n: SupportsIndex, /) -> int:
        """Add `n` and return the old value."""
        n = int64(n)
        with self._lock:
            old = self._value
            self._value = result64(old + n, old, "+", n)
            return old

    def fetch_sub(self, n: SupportsIndex, /) -> int:
        """Subtract `n` and return the old value."""
        n = int64(n)
        with self._lock:
            old = self._value
            self._value = result64(old - n, old, "-", n)
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
        return self.fetch_add(n) + n

    def sub(self, n: SupportsIndex, /) -> int:
        """Subtract `n` and return the new value."""
        n = int64(n)
        return self.fetch_sub(n) - n

    def increment(self, /) -> int:
        """Add 1 and return the new value."""
        return self.fetch_add(1) + 1

    def decrement(self, /) -> int:
        """Subtract 1 and return the new value."""
        return self.fetch_sub(1) - 1

    def fetch_update(self, fn: Callable[[int], SupportsIndex], /) -> int:
        """Replace the value by `fn(value)` and return the old one."""
        return self._replace_by(fn)[0]

    def update(self, fn: Callable[[int], SupportsIndex], /) -> int:
        """Replace the value by `fn(value)` and return the new one."""
        return self._replace_by(fn)[1]

    def _differs(self, old: SupportsIndex, /) -> bool:
        return int64(old) != self.load()

    def _fetch(self, change: Callable[[int, int], int], n: SupportsIndex) -> int:
        n = int64(n)
        with self._lock:
            old = self._value
            self._value = change(old, n)
            return old

    def _replace_by(self, fn: Callable[[int], SupportsIndex]) -> tuple[int, int]:
        while True:
            old = self.load()
            new = int64(fn(old))  # user code: the lock is not held
            if self.compare_exchange(old, new):
                return old, new

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

    def _compare(self, relation: Callable[[Any, Any], Any], other: object) -> Any:
        return relation(self.load(), other) if is_number(other) else NotImplemented

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

    def __int__(self) -> int:
        return self.load()

    def __index__(self) -> int:
        return self.load()

    def __bool__(self) -> bool:
        return self.load() != 0

    def __repr__(self) -> str:
        return f"AtomicInt64({self.load()})"

    def __format__(self, spec: str) -> str:
        return format(self.load(), spec)

    def __reduce__(self) -> NoReturn:
        not_copyable("AtomicInt64", "it is shared state; copy its value, int(a)")
