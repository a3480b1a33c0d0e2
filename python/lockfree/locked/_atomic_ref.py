"""``AtomicRef`` and ``AtomicStampedRef``, each over one ``threading.Lock``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from reprlib import recursive_repr
from types import GenericAlias
from typing import Any, ClassVar, Generic, NoReturn, SupportsIndex, TypeVar, final

from lockfree._ordering import Ordering
from lockfree.locked._atomic import View, Watched
from lockfree.locked._values import called_by_name, int64, not_copyable

T = TypeVar("T")


@final
@called_by_name
class AtomicRef(Watched, Generic[T]):
    """A reference to an object that threads can share and replace without a lock."""

    __slots__ = ("__weakref__", "_lock", "_object")
    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    _lock: threading.Lock
    _object: Any

    def __new__(cls, obj: Any = None, /) -> AtomicRef[Any]:
        self = super().__new__(cls)
        self._init_watch()
        self._lock = threading.Lock()
        self._object = obj
        return self

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'lockfree.locked.AtomicRef' is not an acceptable base type")

    @staticmethod
    def _of(obj: T) -> T:
        return obj

    @property
    def value(self) -> T:
        """The object, as `load()` reads it. Read-only: write with `store()`."""
        return self.load()

    def at(self, ordering: Ordering, /, failure: Ordering | None = None) -> View:
        """Return a view whose methods work at another memory ordering."""
        return View(self, ordering, failure)

    def load(self, /) -> T:
        """Return the object."""
        with self._lock:
            found: T = self._object
            return found

    def store(self, obj: T, /) -> None:
        """Replace the object."""
        self.exchange(obj)

    def exchange(self, obj: T, /) -> T:
        """Replace the object and return the old one."""
        with self._lock:
            old: T = self._object
            self._object = obj
        self._tell()
        return old

    def compare_exchange(self, expected: T, desired: T, /) -> bool:
        """Replace `expected`, that very object, by `desired`; return whether that happened."""
        with self._lock:
            if self._object is not expected:
                return False
            self._object = desired  # `expected` lives on as an argument
        self._tell()
        return True

    def fetch_update(self, fn: Callable[[T], T], /) -> T:
        """Replace the object by `fn(object)` and return the old one."""
        return self._replace_by(fn)[0]

    def update(self, fn: Callable[[T], T], /) -> T:
        """Replace the object by `fn(object)` and return the new one."""
        return self._replace_by(fn)[1]

    def _replace_by(self, fn: Callable[[T], T]) -> tuple[T, T]:
        while True:
            old = self.load()
            new = fn(old)  # user code: the lock is not held
            if self.compare_exchange(old, new):
                return old, new

    def _differs(self, old: object, /) -> bool:
        return self.load() is not old

    @recursive_repr("AtomicRef(...)")
    def __repr__(self) -> str:
        return f"AtomicRef({self.load()!r})"

    def __reduce__(self) -> NoReturn:
        not_copyable("AtomicRef", "it is shared state; copy its object, a.load()")


@final
@called_by_name
class AtomicStampedRef(Generic[T]):
    """A reference to an object, with a stamp, that threads can replace together without a lock."""

    __slots__ = ("__weakref__", "_lock", "_pair")
    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    _lock: threading.Lock
    _pair: tuple[Any, int]

    def __new__(cls, obj: Any = None, stamp: SupportsIndex = 0, /) -> AtomicStampedRef[Any]:
        stamp = int64(stamp)
        self = super().__new__(cls)
        self._lock = threading.Lock()
        self._pair = (obj, stamp)
        return self

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'lockfree.locked.AtomicStampedRef' is not an acceptable base type")

    @property
    def value(self) -> tuple[T, int]:
        """The object and its stamp, as `load()` reads them. Read-only: write with `store()`."""
        return self.load()

    def at(self, ordering: Ordering, /, failure: Ordering | None = None) -> View:
        """Return a view whose methods work at another memory ordering."""
        return View(self, ordering, failure)

    def load(self, /) -> tuple[T, int]:
        """Return the object and its stamp."""
        with self._lock:
            return self._pair

    def store(self, obj: T, stamp: SupportsIndex, /) -> None:
        """Replace the object and its stamp."""
        self.exchange(obj, stamp)

    def exchange(self, obj: T, stamp: SupportsIndex, /) -> tuple[T, int]:
        """Replace the object and its stamp, and return the old ones."""
        pair = (obj, int64(stamp))
        with self._lock:
            old, self._pair = self._pair, pair
        return old

    def compare_exchange(
        self,
        /,
        expected: T,
        desired: T,
        expected_stamp: SupportsIndex,
        desired_stamp: SupportsIndex,
    ) -> bool:
        """Replace object and stamp if both are as expected; return whether that happened."""
        expected_stamp, desired_stamp = int64(expected_stamp), int64(desired_stamp)
        with self._lock:
            found, stamp = old = self._pair
            same = found is expected and stamp == expected_stamp
            if same:
                self._pair = (desired, desired_stamp)
        del old  # without the lock: it may be the last reference
        return same

    @recursive_repr("AtomicStampedRef(...)")
    def __repr__(self) -> str:
        obj, stamp = self.load()
        return f"AtomicStampedRef({obj!r}, {stamp})"

    def __reduce__(self) -> NoReturn:
        not_copyable("AtomicStampedRef", "it is shared state; copy what it holds, a.load()")
