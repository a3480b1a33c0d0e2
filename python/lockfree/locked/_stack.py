"""``Stack`` over one ``threading.Lock`` and a list."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from reprlib import recursive_repr
from types import GenericAlias
from typing import Any, ClassVar, Generic, NoReturn, SupportsIndex, TypeVar, overload

from lockfree.locked._values import MISSING, called_by_name, count, not_copyable

T = TypeVar("T")
D = TypeVar("D")


@called_by_name
class Stack(Generic[T]):
    """A last-in, first-out stack that threads can share without a lock."""

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    _lock: threading.Lock
    _items: list[T]

    def __init__(self, iterable: Iterable[T] = ()) -> None:
        self._lock = threading.Lock()
        self._items = []
        self.push_many(iterable)

    def push(self, item: T, /) -> None:
        """Put `item` on top."""
        with self._lock:
            self._items.append(item)

    def push_many(self, iterable: Iterable[T], /) -> None:
        """Push the items of `iterable` in one step, the last one uppermost."""
        items = tuple(iterable)  # user code: the lock is not held
        with self._lock:
            self._items.extend(items)

    @overload
    def pop(self, /) -> T: ...
    @overload
    def pop(self, /, *, default: D) -> T | D: ...
    def pop(self, /, *, default: Any = MISSING) -> Any:
        """Remove the top item and return it."""
        with self._lock:
            if self._items:
                return self._items.pop()
        if default is MISSING:
            raise IndexError("pop from an empty Stack")
        return default

    @overload
    def peek(self, /) -> T: ...
    @overload
    def peek(self, /, *, default: D) -> T | D: ...
    def peek(self, /, *, default: Any = MISSING) -> Any:
        """Return the top item and leave it there."""
        with self._lock:
            if self._items:
                return self._items[-1]
        if default is MISSING:
            raise IndexError("peek at an empty Stack")
        return default

    def pop_many(self, n: SupportsIndex, /) -> list[T]:
        """Remove up to `n` items in one step and return them, the uppermost first."""
        n = count(n)
        with self._lock:
            first = max(len(self._items) - n, 0)
            items = self._items[first:]
            del self._items[first:]
        items.reverse()
        return items

    def pop_all(self, /) -> list[T]:
        """Remove all items in one step and return them, the uppermost first."""
        with self._lock:
            items, self._items = self._items, []
        items.reverse()
        return items

    def clear(self, /) -> None:
        """Remove all items in one step."""
        self.pop_all()

    def __len__(self) -> int:
        with self._lock:
            return len(self._items)

    def __bool__(self) -> bool:
        return len(self) != 0

    def __iter__(self) -> Iterator[T]:
        return iter(self._snapshot()[::-1])

    @recursive_repr("Stack(...)")
    def __repr__(self) -> str:
        # Item by item, so that other threads run meanwhile.
        items = ", ".join(repr(item) for item in self._snapshot())
        return f"{type(self).__name__}([{items}])"

    def __reduce__(self) -> NoReturn:
        not_copyable("Stack", "it is shared state; copy its items, list(s)")

    def _snapshot(self) -> list[T]:
        with self._lock:
            return self._items.copy()
