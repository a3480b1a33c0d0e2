"""``Cache`` over one ``threading.RLock`` and an ``OrderedDict``."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from math import inf, isnan
from reprlib import recursive_repr
from time import monotonic
from types import GenericAlias
from typing import Any, ClassVar, Final, SupportsIndex, TypeVar, cast

from lockfree._loading import Flights, LoadingMethods, Unraisable
from lockfree._mapping import MappingMethods
from lockfree._overrides import CacheRelations, followed
from lockfree.locked._cached import CachedFunction
from lockfree.locked._tickets import Ticket, Tickets
from lockfree.locked._values import MISSING, called_by_name, function_or_none, int64, shown

K = TypeVar("K")
V = TypeVar("V")


class _Entry:
    """What a cache has of a key; a replacement changes it in place.

    To assign it anew would compare keys, and if that raises an `OrderedDict` is broken.
    """

    __slots__ = ("deadline", "era", "value", "weight")

    def __init__(self, value: Any, weight: int, deadline: float) -> None:
        self.value, self.weight = value, weight
        self.deadline = deadline
        """On the clock of `time.monotonic`."""
        self.era: int | None = None
        """Of the cache in which it lies."""

    def take(self, other: _Entry) -> _Entry:
        """Become like the other one; return what was there."""
        before = _Entry(self.value, self.weight, self.deadline)
        self.value, self.weight, self.deadline = other.value, other.weight, other.deadline
        return before

    def left(self, now: float) -> float | None:
        """Return how many seconds it has to live."""
        return None if self.deadline == inf else self.deadline - now


_FEWEST_WEIGHTLESS: Final = 10_000
"""So many entries that weigh nothing there may be, or `maxsize`, if that is more."""

_Dropped = list[tuple[Any, _Entry, str]]
"""Keys and entries that are gone, and why: `on_evict` is told without the lock."""


@followed(CacheRelations)
@called_by_name
class Cache(MappingMethods[K, V], LoadingMethods[K, V]):
    """A mapping of bounded size that threads can share, and whose hits take no lock."""

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    _cached_function = CachedFunction

    def __init__(
        self,
        maxsize: SupportsIndex | float | None,
        *,
        ttl: float | None = None,
        grace: float | None = None,
        weigher: Callable[[K, V], int] | None = None,
        on_evict: Callable[[K, V, str], object] | None = None,
    ) -> None:
        self._maxsize = _bound(maxsize)
        self._ttl = self._seconds(ttl)
        self._grace = _seconds("grace", grace)
        self._weigher = function_or_none("weigher", weigher)
        self._on_evict = function_or_none("on_evict", on_evict)
        # Reentrant: comparing keys runs code of theirs, which may use the cache.
        self._lock = threading.RLock()
        self._entries: OrderedDict[K, _Entry] = OrderedDict()  # the next victim first
        self._weight = self._weightless = 0
        self._era = 0  # how often it was cleared
        self._mortal = False  # whether any entry ever had a time to live
        self._hits = self._misses = self._evictions = self._expirations = self._loads = 0
        self._waits = self._stale_served = 0
        self._flights = Flights()
        self._tickets = Tickets()

    @property
    def maxsize(self) -> int | None:
        """The bound of `weight`; None is no bound."""
        return self._maxsize

    @maxsize.setter
    def maxsize(self, maxsize: SupportsIndex | float | None) -> None:
        bound = _bound(maxsize)
        dropped: _Dropped = []
        with self._lock:
            self._maxsize = bound
            self._make_room(dropped)
        self._tell(dropped)

    @property
    def ttl(self) -> float | None:
        """How many seconds an entry lives, where `put` says nothing else; None is for ever."""
        return self._ttl

    @property
    def grace(self) -> float | None:
        """How many seconds more loading calls have an entry while one of them loads it anew."""
        return self._grace

    @property
    def weight(self) -> int:
        """What the entries weigh together: their number, if there is no `weigher`."""
        with self._lock:
            return self._weight

    def get(self, key: K, default: Any = None, /) -> Any:
        """Return the value of a key, or `default`."""
        dropped: _Dropped = []
        with self._lock:
            entry = self._look_up(key, dropped)
        self._tell(dropped)
        return default if entry is None else entry.value

    def __getitem__(self, key: K, /) -> V:
        value: V = Cache.get(self, key, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def put(self, key: K, value: V, /, *, ttl: float | None = MISSING) -> None:
        """Give a key a value, with a time to live of its own if `ttl` is given."""
        entry = self._entry(key, value, self._ttl if ttl is MISSING else self._seconds(ttl))
        self._store(key, entry)

    def _store(self, key: K, entry: _Entry) -> None:
        dropped: _Dropped = []
        with self._lock:
            replaced = self._insert(key, entry, dropped)
            # Now: comparing keys runs code of theirs, which may have begun a load.
            self._tickets.revoke(key)
        del replaced  # what it refers to is freed without the lock
        self._tell(dropped)

    def __setitem__(self, key: K, value: V, /) -> None:
        Cache.put(self, key, value)

    def setdefault(self, key: K, default: Any = None, /) -> Any:
        """Return the value of a key, after giving it `default` if it has none."""
        value = Cache.get(self, key, MISSING)
        if value is not MISSING:
            return value
        entry = self._entry(key, default, self._ttl)
        dropped: _Dropped = []
        with self._lock:
            there = self._live(key, dropped, grace=0)  # by now another thread may have been quicker
            if there is None:
                self._insert(key, entry, dropped)
                self._tickets.revoke(key)
        self._tell(dropped)
        return default if there is None else there.value

    def pop(self, key: K, default: Any = MISSING, /) -> Any:
        """Remove a key and return its value, or `default`."""
        dropped: _Dropped = []
        with self._lock:
            self._tickets.revoke(key)
            entry = self._live(key, dropped, grace=0)
            if entry is not None:
                self._remove(key)
        self._tell(dropped)
        if entry is not None:
            return entry.value
        if default is MISSING:
            raise KeyError(key)
        return default

    def __delitem__(self, key: K, /) -> None:
        Cache.pop(self, key)

    def popitem(self, /) -> tuple[K, V]:
        """Remove the next victim of an eviction and return it with its key."""
        dropped: _Dropped = []
        with self._lock:
            victim = self._next_victim(dropped)
            entry = None if victim is MISSING else self._remove(victim)
        self._tell(dropped)
        if entry is None:
            raise KeyError("popitem(): the cache is empty")
        return victim, entry.value

    def clear(self, /) -> None:
        """Remove all entries."""
        with self._lock:
            self._tickets.revoke_all()
            entries, self._entries = self._entries, OrderedDict()
            self._era += 1
            self._weight = self._weightless = 0
        while entries:  # one by one, so that other threads run meanwhile
            entries.popitem()

    def expire(self, /) -> int:
        """Drop the entries whose time is up, and their grace; return how many."""
        dropped: _Dropped = []
        over = monotonic() - (self._grace or 0)
        with self._lock:
            for key in [key for key, entry in self._entries.items() if entry.deadline <= over]:
                self._drop(key, "expired", dropped)
        self._tell(dropped)
        return len(dropped)

    def __contains__(self, key: object, /) -> bool:
        return self._peek(key, MISSING) is not MISSING

    def __len__(self) -> int:
        with self._lock:
            return self._size()

    def __iter__(self) -> Iterator[K]:
        return iter([key for key, _ in self._items()])

    @recursive_repr("Cache(...)")
    def __repr__(self) -> str:
        entries = ", ".join(f"{key!r}: {value!r}" for key, value in self._items())
        return f"{type(self).__name__}({{{entries}}}, maxsize={self._maxsize})"

    def __getstate__(self) -> Any:
        # What a subclass adds.
        state = object.__getstate__(self)
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        own = {name: value for name, value in attributes.items() if name not in _ATTRIBUTES}
        return own if slots is None else (own, slots)

    # What the shared methods are made of.

    def _items(self, /) -> list[tuple[K, V]]:
        now = monotonic()
        with self._lock:
            return [(k, e.value) for k, e in self._entries.items() if now < e.deadline]

    def _arguments(self, /) -> tuple[Any, ...]:
        return self._maxsize, self._ttl, self._grace, self._weigher, self._on_evict

    def _dump(self, /) -> list[tuple[K, V, float | None, int]]:
        with self._lock:
            entries, now = self._entries.items(), monotonic()
            return [(k, e.value, e.left(now), e.weight) for k, e in entries if now < e.deadline]

    def _restore(self, key: K, value: V, left: float | None, weight: int, /) -> None:
        deadline = _deadline(self._seconds(left))
        weight = 1 if self._weigher is None else _weight(weight)
        self._store(key, _Entry(value, weight, deadline))

    def _peek(self, key: Any, default: Any, /) -> Any:
        dropped: _Dropped = []
        with self._lock:
            entry = self._live(key, dropped)
        self._tell(dropped)
        return default if entry is None else entry.value

    def _stale(self, key: Any, default: Any, /) -> Any:
        dropped: _Dropped = []
        with self._lock:
            entry = None if self._live(key, dropped) is not None else self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
        self._tell(dropped)
        return default if entry is None else entry.value

    def _stats(self, /) -> tuple[int, int, int, int, int, int, int, int]:
        with self._lock:
            lookups, dropped = (self._hits, self._misses), (self._evictions, self._expirations)
            loads = (self._loads, self._waits, self._stale_served)
            return (*lookups, *dropped, *loads, self._size())

    def _take_along(self, _other: object, /) -> None:
        pass

    def _count_load(self, /) -> None:
        with self._lock:
            self._loads += 1

    def _count_wait(self, /) -> None:
        with self._lock:
            self._waits += 1

    def _count_stale(self, /) -> None:
        with self._lock:
            self._stale_served += 1

    def _seconds(self, ttl: float | None, /) -> float | None:
        return _seconds("ttl", ttl)

    def _ticket(self, key: K, /) -> Ticket:
        return self._tickets.issue(key)

    def _keep(self, ticket: Ticket, key: K, value: V, /, *ttl: float | None) -> None:
        entry = self._entry(key, value, self._seconds(*ttl) if ttl else self._ttl)
        dropped: _Dropped = []
        replaced = None
        with self._lock:
            if ticket.redeem(key):
                replaced = self._insert(key, entry, dropped)
        del replaced
        self._tell(dropped)

    # User code runs before: `weigher`.

    def _entry(self, key: K, value: V, ttl: float | None) -> _Entry:
        weight = 1 if self._weigher is None else _weight(self._weigher(key, value))
        return _Entry(value, weight, _deadline(ttl))

    # Under the lock.

    def _live(self, key: K, dropped: _Dropped, grace: float | None = None) -> _Entry | None:
        """Return the entry of a key; if its time and grace are up, drop it."""
        entry = self._entries.get(key)
        now = monotonic()
        if entry is None or now < entry.deadline:
            return entry
        if entry.deadline <= now - ((self._grace or 0) if grace is None else grace):
            self._drop(key, "expired", dropped)
        return None

    def _look_up(self, key: K, dropped: _Dropped) -> _Entry | None:
        entry = self._live(key, dropped)
        if entry is None:
            self._misses += 1
        else:
            self._hits += 1
            self._entries.move_to_end(key)
        return entry

    def _insert(self, key: K, entry: _Entry, dropped: _Dropped) -> _Entry | None:
        """Add an entry and make room for it; return the one that it replaces."""
        there, replaced = self._live(key, dropped, grace=0), None
        if there is not None:
            self._entries.move_to_end(key)
        if there is not None and there.era == self._era:  # a key's `__eq__` may remove it
            # The key that was there stays, as in a dict.
            replaced = there.take(entry)
            self._uncount(replaced)
        else:
            self._entries[key], entry.era = entry, self._era
        self._weight += entry.weight
        self._mortal = self._mortal or entry.deadline < inf
        self._weightless += not entry.weight
        # To drop the others would not help. A bound of 0 keeps not even what weighs nothing.
        if self._maxsize is not None and (entry.weight > self._maxsize or self._maxsize == 0):
            self._drop(key, "size", dropped)
        self._make_room(dropped)
        return replaced

    def _make_room(self, dropped: _Dropped) -> None:
        """Drop what is too much: by weight, and of what weighs nothing by number."""
        if self._maxsize is None:
            return
        most = max(self._maxsize, _FEWEST_WEIGHTLESS) if self._maxsize else 0
        while self._weight > self._maxsize:
            self._evict(dropped, heavy=True)
        while self._weightless > most:
            self._evict(dropped, heavy=False)

    def _evict(self, dropped: _Dropped, *, heavy: bool) -> None:
        candidates = ((key, e) for key, e in self._entries.items() if (e.weight > 0) == heavy)
        key, entry = next(candidates)
        self._drop(key, "size" if monotonic() < entry.deadline else "expired", dropped)

    def _next_victim(self, dropped: _Dropped) -> Any:
        """Return the key that was not used for the longest time; drop those that expired."""
        for key in list(self._entries):
            if self._live(key, dropped, grace=0) is not None:
                return key
        return MISSING

    def _drop(self, key: K, reason: str, dropped: _Dropped) -> None:
        dropped.append((key, self._remove(key), reason))
        if reason == "size":
            self._evictions += 1
        else:
            self._expirations += 1

    def _remove(self, key: K) -> _Entry:
        entry = self._entries.pop(key)
        entry.era = None
        self._uncount(entry)
        return entry

    def _uncount(self, entry: _Entry) -> None:
        self._weight -= entry.weight
        self._weightless -= not entry.weight

    def _size(self) -> int:
        if not self._mortal:
            return len(self._entries)
        now = monotonic()
        return sum(now < entry.deadline for entry in self._entries.values())

    # User code runs after: `on_evict`.

    def _tell(self, dropped: _Dropped) -> None:
        if self._on_evict is None:
            return
        for key, entry, reason in dropped:
            try:
                self._on_evict(key, entry.value, reason)
            except BaseException as error:
                Unraisable(error)


def _weight(given: SupportsIndex) -> int:
    weight = int64(given)
    if weight < 0:
        raise ValueError(f"weight must not be negative, but is {weight}")
    return weight


def _deadline(ttl: float | None) -> float:
    return inf if ttl is None else monotonic() + ttl


def _bound(maxsize: SupportsIndex | float | None) -> int | None:
    if maxsize is None or (isinstance(maxsize, float) and maxsize == inf):
        return None
    bound = int64(cast(SupportsIndex, maxsize))
    if bound < 0:
        raise ValueError(f"maxsize must not be negative, but is {bound}")
    return bound


def _seconds(name: str, given: float | None) -> float | None:
    if given is None:
        return None
    if not hasattr(type(given), "__float__") and not hasattr(type(given), "__index__"):
        raise TypeError(f"{name} must be a number of seconds or None, not {shown(given)}")
    seconds = float(given)
    if isnan(seconds) or seconds <= 0:
        raise ValueError(f"{name} must be positive or None, but is {shown(given)}")
    return seconds


Cache._base = Cache
_ATTRIBUTES = frozenset(vars(Cache(0)))
