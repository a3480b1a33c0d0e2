"""What the locked atomics have in common: waiting, and views at an ordering."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn, final

from lockfree._async import AsyncWait
from lockfree._ordering import Ordering
from lockfree.locked._event import Event, Waiter, within
from lockfree.locked._values import not_copyable, shown

_READS: Final = ("RELAXED", "ACQUIRE", "SEQ_CST")
_WRITES: Final = ("RELAXED", "RELEASE", "SEQ_CST")
_FENCES: Final = ("ACQUIRE", "RELEASE", "ACQ_REL", "SEQ_CST")
_READING: Final = {"RELEASE": "RELAXED", "ACQ_REL": "ACQUIRE"}
"""The part of an ordering that concerns reading, where that is another one."""

_LOADS: Final = frozenset({"load", "value", "wait", "async_wait"})


class Watched(AsyncWait):
    """An atomic that threads and coroutines can wait on."""

    __slots__ = ("_changed", "_watch")

    _waiter = Waiter

    def _init_watch(self) -> None:
        # Reentrant: waking a coroutine runs code of its loop.
        self._watch = threading.RLock()
        self._changed = Event()

    def wait(self, old: Any, /, timeout: float | None = None) -> bool:
        """Wait until the value is not `old`; return whether it came to that in time."""
        differs = self._differs(old)
        remaining = within(timeout)
        with self._watch:
            while not differs:
                seconds = remaining()
                if seconds is not None and seconds <= 0:
                    return False
                self._changed.wait(self._watch, seconds)
                differs = self._differs(old)
        return True

    def notify_one(self, /) -> None:
        """Let the one who has waited longest look again."""
        with self._watch:
            self._changed.notify(1)

    def notify_all(self, /) -> None:
        """Let all who wait look again."""
        with self._watch:
            self._changed.notify(None)

    def _enrol(self, _event: int, waiter: Waiter, /) -> None:
        with self._watch:
            self._changed.enrol(waiter)

    def _leave(self, _event: int, waiter: Waiter, /) -> None:
        with self._watch:
            self._changed.leave(waiter)

    def _notify(self, _event: int, /) -> None:
        self.notify_one()


@final
class View:
    """An atomic's methods at another memory ordering; made by `at()`.

    Under a lock all are sequentially consistent, so that only what is refused differs.
    """

    __slots__ = ("__weakref__", "_failure", "_of", "_ordering")

    def __init__(self, of: Any, ordering: Ordering, failure: Ordering | None) -> None:
        self._of = of
        self._ordering = _name(ordering)
        self._failure = _READING.get(self._ordering, self._ordering)
        if failure is not None:
            self._failure = _allowed("a failed exchange", _name(failure), _READS)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._of, name)
        if name in _LOADS:
            return self._checked(member, "a load", _READS)
        if name == "store":
            return self._checked(member, "a store", _WRITES)
        return member

    def _checked(
        self, method: Callable[..., Any], what: str, choice: tuple[str, ...]
    ) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            _allowed(what, self._ordering, choice)
            return method(*args, **kwargs)

        return call

    def __repr__(self) -> str:
        shown = f"Ordering.{self._ordering}"
        if self._failure != _READING.get(self._ordering, self._ordering):
            shown += f", Ordering.{self._failure}"
        return f"{self._of!r}.at({shown})"

    def __reduce__(self) -> NoReturn:
        not_copyable("View", "it is a view of shared state")


def fence(ordering: Ordering, /) -> None:
    """Order what comes before against what comes after."""
    _allowed("a fence", _name(ordering), _FENCES)
    with threading.Lock():
        pass


def _name(ordering: object) -> str:
    if not isinstance(ordering, Ordering):
        raise TypeError(f"expected an Ordering, not {shown(ordering)}")
    return ordering.name


def _allowed(what: str, name: str, choice: tuple[str, ...]) -> str:
    if name in choice:
        return name
    *others, last = choice
    raise ValueError(f"{what} takes {', '.join(others)} or {last}, not {name}")
