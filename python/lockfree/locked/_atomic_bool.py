"""``AtomicBool`` over one ``threading.Lock``."""

from __future__ import annotations

import threading
from typing import NoReturn, final

from lockfree.locked._atomic import Watched, Word
from lockfree.locked._values import boolean, called_by_name, not_copyable, refuse_operators


@final
@called_by_name
class AtomicBool(Watched, Word[bool, bool]):
    """A boolean that threads can share and change without a lock."""

    __slots__ = ("__weakref__", "_lock", "_value")

    _of = staticmethod(boolean)

    def __new__(cls, value: bool = False) -> AtomicBool:
        value = boolean(value)
        self = super().__new__(cls)
        self._lock = threading.Lock()
        self._value = value
        self._init_watch()
        return self

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'lockfree.locked.AtomicBool' is not an acceptable base type")

    def test_and_set(self, /) -> bool:
        """Make it true and return the old value."""
        return self.exchange(True)

    def toggle(self, /) -> bool:
        """Make it the opposite and return the new value."""
        return self.update(lambda value: not value)

    def __int__(self) -> int:
        return int(self.load())

    def __index__(self) -> int:
        return int(self.load())

    def __reduce__(self) -> NoReturn:
        not_copyable("AtomicBool", "it is shared state; copy its value, bool(a)")


refuse_operators(AtomicBool, "its value, .load()")
