"""``ConcurrentDict`` over one ``threading.RLock`` and a ``dict``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from reprlib import recursive_repr
from types import GenericAlias
from typing import Any, ClassVar, NoReturn, TypeVar
from weakref import ref

from lockfree._loading import DictLoadingMethods, Flights, Plain
from lockfree._mapping import DictMethods
from lockfree._overrides import DictRelations, followed
from lockfree.locked._tickets import Ticket, Tickets
from lockfree.locked._values import MISSING, boolean, called_by_name, not_copyable

K = TypeVar("K")
V = TypeVar("V")

_KEEP: Any = object()
_REMOVE: Any = object()


@followed(DictRelations)
@called_by_name
class ConcurrentDict(DictMethods[K, V], DictLoadingMethods[K, V], Plain):
    """A dictionary that threads can share, whose updates of a key are atomic."""

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)
    _base: ClassVar[type[Any]]

    def __init__(
        self,
        iterable: Mapping[K, V] | Iterable[tuple[K, V]] = (),
        /,
        *,
        weak_values: bool = False,
    ) -> None:
        self._weak_values = boolean(weak_values)
        # Reentrant: comparing keys runs code of theirs, which may use the dictionary.
        self._lock = threading.RLock()
        self._entries: dict[K, Any] = {}  # the values; where they are weak, references to them
        self._flights = Flights()
        self._tickets = Tickets()
        DictMethods.update(self, iterable)

    def get(self, key: K, default: Any = None, /) -> Any:
        """Return the value of a key, or `default`."""
        with self._lock:
            stored = self._entries.get(key, MISSING)
        value = self._live(stored)
        return default if value is MISSING else value

    def __getitem__(self, key: K, /) -> V:
        value: V = ConcurrentDict.get(self, key, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: K, value: V, /) -> None:
        self._update(key, lambda _: (value, None))

    def setdefault(self, key: K, default: Any = None, /) -> Any:
        """Return the value of a key, after giving it `default` if it has none."""
        return self._update(key, lambda old: (default, default) if old is MISSING else (_KEEP, old))

    def compute(self, key: K, fn: Callable[[V], V], /, default: Any = MISSING) -> Any:
        """Give a key the value `fn(old)`, and return it; `fn` may be called several times."""

        def decide(old: Any) -> tuple[Any, Any]:
            new = fn(_old(key, old, default))
            return new, new

        return self._update(key, decide)

    def exchange(self, key: K, value: V, /, default: Any = MISSING) -> Any:
        """Give a key a value, and return the one that it had, or `default`."""
        return self._update(key, lambda old: (value, _old(key, old, default)))

    def compare_exchange(self, key: K, expected: Any, desired: V, /) -> bool:
        """Give a key a value if it has the expected one; return whether it had."""
        return bool(
            self._update(
                key, lambda old: (desired, True) if _matches(old, expected) else (_KEEP, False)
            )
        )

    def compare_remove(self, key: K, expected: Any, /) -> bool:
        """Remove a key if it has the expected value; return whether it had."""
        return bool(
            self._update(
                key, lambda old: (_REMOVE, True) if _matches(old, expected) else (_KEEP, False)
            )
        )

    def pop(self, key: K, default: Any = MISSING, /) -> Any:
        """Remove a key and return its value, or `default`."""
        with self._lock:
            stored = self._entries.pop(key, MISSING)
            self._tickets.revoke(key)  # also if it was missing
        return _old(key, self._live(stored), default)

    def __delitem__(self, key: K, /) -> None:
        ConcurrentDict.pop(self, key)

    def popitem(self, /) -> tuple[K, V]:
        """Remove some key and return it with its value."""
        while True:
            with self._lock:
                if not self._entries:
                    raise KeyError("popitem(): dictionary is empty")
                key, stored = self._entries.popitem()
            value = self._live(stored)
            if value is not MISSING:
                return key, value

    def clear(self, /) -> None:
        """Remove everything."""
        with self._lock:
            self._tickets.revoke_all()
            entries, self._entries = self._entries, {}
        entries.clear()

    def __contains__(self, key: object, /) -> bool:
        return self._peek(key, MISSING) is not MISSING

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        return iter([key for key, _ in self._items()])

    @recursive_repr("ConcurrentDict(...)")
    def __repr__(self) -> str:
        entries = ", ".join(f"{key!r}: {value!r}" for key, value in self._items())
        return f"{type(self).__name__}({{{entries}}})"

    def __reduce__(self) -> NoReturn:
        not_copyable("ConcurrentDict", "it is shared state; copy its items, dict(d.items())")

    # What the shared methods are made of.

    def _items(self, /) -> list[tuple[K, V]]:
        with self._lock:
            stored = list(self._entries.items())
        items = ((key, self._live(each)) for key, each in stored)
        return [(key, value) for key, value in items if value is not MISSING]

    def _peek(self, key: Any, default: Any, /) -> Any:
        return ConcurrentDict.get(self, key, default)

    def _ticket(self, key: K, /) -> Ticket:
        return self._tickets.issue(key)

    def _keep(self, ticket: Ticket, key: K, value: V, /) -> None:
        stored = self._stored(key, value)
        replaced = None
        with self._lock:
            if ticket.redeem(key):
                replaced = self._entries.get(key)
                self._entries[key] = stored
        del replaced  # what it refers to is freed without the lock

    def _update(self, key: K, decide: Callable[[Any], tuple[Any, Any]]) -> Any:
        """Replace the value as `decide` says, with nothing held; again if that comes too late."""
        while True:
            with self._lock:
                found = self._entries.get(key, MISSING)
            new, result = decide(self._live(found))
            if new is _KEEP:
                return result
            stored = new if new is _REMOVE else self._stored(key, new)
            with self._lock:
                if self._entries.get(key, MISSING) is found:
                    if stored is _REMOVE:
                        del self._entries[key]
                    else:
                        self._entries[key] = stored
                    # Now: comparing keys runs code of theirs, which may have begun a load.
                    self._tickets.revoke(key)
                    return result

    # Values, and what is stored of them.

    def _live(self, stored: Any) -> Any:
        if stored is MISSING or not self._weak_values:
            return stored
        value = stored()
        return MISSING if value is None else value

    def _stored(self, key: K, value: V) -> Any:
        return ref(value, _Removal(ref(self), key)) if self._weak_values else value

    def _forget(self, key: K, reference: object) -> None:
        with self._lock:
            if self._entries.get(key) is reference:
                del self._entries[key]


ConcurrentDict._base = ConcurrentDict


class _Removal:
    """Removes a key whose value is gone."""

    __slots__ = ("_dictionary", "_key")

    def __init__(self, dictionary: ref[ConcurrentDict[Any, Any]], key: Any) -> None:
        self._dictionary, self._key = dictionary, key

    def __call__(self, reference: object) -> None:
        dictionary = self._dictionary()
        if dictionary is not None:
            dictionary._forget(self._key, reference)


def _old(key: Any, old: Any, default: Any) -> Any:
    """Return the value of a key, or the default, if there is one."""
    if old is not MISSING:
        return old
    if default is MISSING:
        raise KeyError(key)
    return default


def _matches(value: Any, expected: Any) -> bool:
    """Whether it is the expected value, or equal to it, both of one plain type."""
    if value is expected:
        return value is not MISSING
    same = type(value) is type(expected) and type(value) in (int, float, str, bytes)
    return same and bool(value == expected)
