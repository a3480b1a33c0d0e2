"""What the locked atomics have in common: plain values, waiting, views at an ordering."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, final

from lockfree._async import TIRED, AsyncWait
from lockfree._mapping import part_of
from lockfree._ordering import Ordering
from lockfree.locked._event import Event, Waiter, within
from lockfree.locked._values import Compared, not_copyable, shown

T = TypeVar("T")
A = TypeVar("A")

_READS: Final = ("RELAXED", "ACQUIRE", "SEQ_CST")
_WRITES: Final = ("RELAXED", "RELEASE", "SEQ_CST")
_FENCES: Final = ("ACQUIRE", "RELEASE", "ACQ_REL", "SEQ_CST")
_READING: Final = {"RELEASE": "RELAXED", "ACQ_REL": "ACQUIRE"}
"""The part of an ordering that concerns reading, where that is another one."""

_FENCE: Final = threading.RLock()
"""One for all: two threads are ordered by a lock only if it is the same."""

_LOADS: Final = frozenset({"load", "wait", "async_wait"})
_NOT_ON_VIEWS: Final = frozenset({"at", "value"})


@part_of()
class Word(Compared, Generic[T, A]):
    """An atomic that holds a plain `T`, made from what is given as an `A`."""

    __slots__ = ()

    _lock: threading.Lock
    _value: T

    @staticmethod
    def _of(value: A) -> T:
        raise NotImplementedError

    @property
    def value(self) -> T:
        """The value, as `load()` reads it. Read-only: write with `store()`."""
        return self.load()

    def at(self, ordering: Ordering, /, failure: Ordering | None = None) -> View:
        """Return a view whose methods work at another memory ordering."""
        return View(self, ordering, failure)

    def load(self, /) -> T:
        """Return the value."""
        with self._lock:
            return self._value

    def store(self, value: A, /) -> None:
        """Replace the value."""
        self.exchange(value)

    def exchange(self, value: A, /) -> T:
        """Replace the value and return the old one."""
        return self._fetch(lambda _old, new: new, value)

    def compare_exchange(self, expected: A, desired: A, /) -> bool:
        """Replace `expected` by `desired`; return whether that happened."""
        old, new = self._of(expected), self._of(desired)
        with self._lock:
            if not self._same(self._value, old):
                return False
            self._value = new  # type: ignore[misc]  # each class has the slot
        self._tell()
        return True

    def fetch_update(self, fn: Callable[[T], A], /) -> T:
        """Replace the value by `fn(value)` and return the old one."""
        return self._replace_by(fn)[0]

    def update(self, fn: Callable[[T], A], /) -> T:
        """Replace the value by `fn(value)` and return the new one."""
        return self._replace_by(fn)[1]

    def _same(self, a: T, b: T) -> bool:
        return a == b

    def _differs(self, old: A, /) -> bool:
        return not self._same(self._of(old), self.load())

    def _fetch(self, change: Callable[[T, T], T], n: A) -> T:
        operand = self._of(n)
        with self._lock:
            old = self._value
            self._value = change(old, operand)  # type: ignore[misc]  # as above
        self._tell()
        return old

    def _tell(self) -> None:
        """Tell those who wait of a write."""

    def _replace_by(self, fn: Callable[[T], A]) -> tuple[T, T]:
        while True:
            old: Any = self.load()
            new: Any = self._of(fn(old))  # user code: the lock is not held
            if self.compare_exchange(old, new):
                return old, new

    def _shown(self) -> T:
        return self.load()


@part_of()
class Watched(AsyncWait):
    """An atomic that threads and coroutines can wait on; a base that comes before `Word`."""

    __slots__ = ("_changed", "_looking", "_run", "_watch")

    _waiter = Waiter

    if TYPE_CHECKING:

        @staticmethod
        def _of(value: Any) -> Any: ...

    def _init_watch(self) -> None:
        # Reentrant: waking a coroutine runs code of its loop.
        self._watch = threading.RLock()
        self._changed = Event()
        self._looking = 0
        self._run = 0

    def wait(self, old: Any, /, timeout: float | None = None) -> bool:
        """Wait until the value is not `old`; return whether it came to that in time."""
        old = self._of(old)  # user code: no lock is held
        remaining = within(timeout)
        sleeper = None
        with self._watch:
            # Before the look: who writes after it takes the lock and finds the waiter.
            self._looking += 1
            try:
                while not self._differs(old):
                    seconds = remaining()
                    if seconds is not None and seconds <= 0:
                        return False
                    sleeper = self._changed.wait(self._watch, seconds, sleeper)
            finally:
                self._looking -= 1
        return True

    def _tell(self) -> None:
        if self._looking or self._changed:
            self.notify_all()

    def notify_one(self, /) -> None:
        """Let the one who has waited longest look again."""
        with self._watch:
            self._changed.notify(1)

    def notify_all(self, /) -> None:
        """Let all who wait look again."""
        with self._watch:
            self._changed.notify(None)

    def _hold(self, _event: int, /) -> int:
        self._run += 1
        return TIRED if self._run % 64 == 0 else 0

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

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'lockfree.locked.View' is not an acceptable base type")

    def __getattr__(self, name: str) -> Any:
        if name in _NOT_ON_VIEWS or name.startswith("_"):
            raise AttributeError(f"'View' object has no attribute '{name}'")
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
    with _FENCE:
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
