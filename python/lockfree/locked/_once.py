"""``once`` over the locked ``AtomicRef``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lockfree._once import decorate_once


def once(function: Callable[[], Any], /) -> Any:
    """Make a function that calls `function` once, however many ask, and keeps its value."""
    from lockfree.locked import AtomicRef

    return decorate_once(AtomicRef, OnceFunction, function)


class OnceFunction:
    """A function with a value; `miss` is called while there is none."""

    def __init__(self, cell: Any, unset: type, miss: Callable[[], Any]) -> None:
        self._cell, self._unset, self._miss = cell, unset, miss

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            raise TypeError("a function of once() takes no arguments")
        value = self._cell.load()
        return self._miss() if type(value) is self._unset else value

    def __copy__(self) -> OnceFunction:
        return self

    def __deepcopy__(self, _memo: object, /) -> OnceFunction:
        return self

    def __reduce__(self) -> str:
        name: str = vars(self)["__qualname__"]
        return name
