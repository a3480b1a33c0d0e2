"""The tutorials' cache with a lock for cleaning up only, and the races in it.

``LockFreeCache`` is a dict and a deque of its keys in the order of their use. Each call of
either is atomic; that both tell the same story is nobody's business. ``races`` shows it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lockfree import Cache
from lockfree.lab.steps import Moment, Steps, play, step, whole

_ENTRIES: Final = 10
_THREADS: Final = 4


class LockFreeCache:
    """The cache of the tutorials, a look-up cut into its atomic steps.

    Putting is one step, for it holds a lock; but looking up does not.
    """

    def __init__(self, maxsize: int = 128) -> None:
        self._cache: dict[Any, Any] = {}
        self._access_order: deque[Any] = deque(maxlen=maxsize)
        self._maxsize = maxsize

    def get(self, key: Any, default: Any = None) -> Steps[Any]:
        """Look a key up, and move it to the end of the order."""
        try:
            value = self._cache[key]
        except KeyError:
            yield f"get({key}): finds nothing"
            return default
        yield f"get({key}): finds {value}"
        try:
            self._access_order.remove(key)
            yield f"get({key}): order.remove({key})"
        except ValueError:
            yield f"get({key}): order.remove({key}) fails"
        self._access_order.append(key)
        yield f"get({key}): order.append({key})"
        return value

    def put(self, key: Any, value: Any) -> Steps[None]:
        """Put an entry, and remove the oldest where there is no room."""
        if len(self._cache) >= self._maxsize and self._access_order:
            self._cache.pop(self._access_order.popleft(), None)
        self._cache[key] = value
        self._access_order.append(key)
        yield f"put({key}, {value})"

    def state(self) -> Mapping[str, str]:
        """Return the keys that are in the dict, and those in the order."""
        return {"cache": " ".join(self._cache), "order": " ".join(self._access_order)}

    def latest(self) -> Any:
        """Return the key that was used last."""
        return self._access_order[-1]

    def __len__(self) -> int:
        return len(self._cache)


class _Counted:
    """A key that counts how often it is compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        _Counted.comparisons += 1
        return self is other

    __hash__ = object.__hash__


def _do(operation: Iterator[object]) -> None:
    for _ in operation:
        pass


def comparisons_of_a_hit(entries: int) -> tuple[int, int]:
    """Return how many keys a hit compares: in the tutorials' cache, and in ``Cache``."""
    keys = [_Counted() for _ in range(entries)]
    theirs = LockFreeCache(entries)
    ours: Cache[_Counted, int] = Cache(entries)
    for key in keys:
        _do(theirs.put(key, 1))
        ours.put(key, 1)
    _Counted.comparisons = 0
    _do(theirs.get(keys[-1]))
    counted, _Counted.comparisons = _Counted.comparisons, 0
    ours.get(keys[-1])
    return counted, _Counted.comparisons


_RACE: Final = (
    *(whole(3), whole(3)),  # puts a and b: it is full
    *(step(1), step(2)),  # both find b
    *(step(1), step(2)),  # the first removes it from the order, the second finds it removed
    *(step(1), step(2)),  # both append it, and a is pushed out
    *(whole(3), whole(3)),  # puts c and d, for each of which a b has to go
)


def exceed_the_bound() -> list[Moment]:
    """Let two threads look up the same key of a full cache for two; return what happened."""
    cache = LockFreeCache(2)
    puts = [cache.put(key, number) for number, key in enumerate("abcd", start=1)]
    programs: dict[int, list[Steps[Any]]] = {1: [cache.get("b")], 2: [cache.get("b")], 3: puts}
    return list(play(_RACE, programs, cache.state))


def grow(races: int) -> int:
    """Return how many entries a cache for ten has after so many such races, and more puts."""
    cache = LockFreeCache(_ENTRIES)
    key = 0
    for _ in range(races + 1):
        for _ in range(_ENTRIES):
            _do(cache.put(key := key + 1, "value"))
        if races:
            _race_for(cache, cache.latest())
    return len(cache)


def _race_for(cache: LockFreeCache, key: object) -> None:
    first, second = cache.get(key), cache.get(key)
    for _ in range(3):
        next(first)
        next(second)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What ``lockfree.Cache`` did."""

    largest: int
    """The greatest number of entries that a cache for ten was seen with."""
    repeated: int
    """How many of its keys were there more than once in the end."""
    hits: int
    """Of the tutorials' own workers, all of whose look-ups are for keys that none of them puts."""
    lookups: int


def observe_cache() -> Outcome:
    """Let threads race for a ``Cache``, and then run the tutorials' workers on one."""
    racing: Cache[int, int] = Cache(_ENTRIES)
    sizes: list[int] = []

    def race(number: int) -> None:
        for i in range(1000):
            racing.get(i % _ENTRIES)
            if i % 2 == 0:
                racing.put((i * number) % (2 * _ENTRIES), i)
            sizes.append(len(racing))

    _in_threads(race)
    keys = list(racing)
    cache: Cache[str, str] = Cache(128)

    def worker(thread_id: int) -> None:
        for i in range(1000):
            cache.get(f"key-{i % 100}")
            if i % 10 == 0:
                cache.put(f"key-{thread_id}-{i}", f"value-{i}")

    _in_threads(worker)
    stats = cache.stats()
    lookups = stats.hits + stats.misses
    return Outcome(max(sizes), len(keys) - len(set(keys)), stats.hits, lookups)


def _in_threads(work: Any) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
