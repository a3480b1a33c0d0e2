"""The shared cache: ``Cache`` and ``cached``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from textwrap import indent
from typing import NamedTuple

from lockfree.bench.cells.own_keys import for_own_keys
from lockfree.bench.model import NATIVE, Cell, Contender, RustLoop

SIZE = 1000


class _Cache(NamedTuple):
    """How one cache is spelled. A missing key's value is `make(key)`."""

    name: str
    setup: str
    get: str = "c.get(key)"
    put: str = "c[key] = make(key)"
    needs: str | None = None


_LRU_CACHE = f"from functools import lru_cache\nc = lru_cache({SIZE})(make)"
_CACHEBOX = f"from cachebox import LRUCache\nc = LRUCache({SIZE})"
_MOKA = f"from moka_py import Moka\nc = Moka({SIZE})"
_CACHETOOLS = f"""\
from cachetools import LRUCache
from lockfree.bench.handwritten import LockedMapping
c = LockedMapping(LRUCache({SIZE}))"""
_THEINE = f"from theine import Cache\nc = Cache({SIZE})"
_CEREGGII = "from cereggii import AtomicDict\nc = AtomicDict()"

_BOUNDED = (
    _Cache("lockfree", f"from lockfree import Cache\nc = Cache({SIZE})", needs=NATIVE),
    _Cache("lockfree.locked", f"from lockfree.locked import Cache\nc = Cache({SIZE})"),
    _Cache("functools.lru_cache", _LRU_CACHE, get="c(key)", put="c(key)"),
    _Cache("cachebox", _CACHEBOX, needs="cachebox"),
    _Cache("moka-py", _MOKA, put="c.set(key, make(key))", needs="moka_py"),
    _Cache("cachetools + Lock", _CACHETOOLS, needs="cachetools"),
    _Cache("theine", _THEINE, "c.get(key)[0]", "c.set(key, make(key))", needs="theine"),
)
# These drop nothing: where there is more than fits, they are no contenders.
_UNBOUNDED = (
    _Cache("dict", "c = {}"),
    _Cache("cereggii", _CEREGGII, needs="cereggii"),
)

_SMALL_INTS = "make = lambda key: key\nkeys = range(100)\n"
_OBJECTS = "make = lambda key: object()\nkeys = range(100)\n"
_ONE_OBJECT = "obj = object()\nmake = lambda key: obj\nkeys = range(100)\n"
_MORE_THAN_FIT = f"make = lambda key: key\nkeys = range({2 * SIZE})\n"
_KEYS = "[f'a key {number}' for number in range(100)]"
_EQUAL = f"make = len\nkeys = {_KEYS}\n"
# Of an array, each thread makes its own ints: it is not their reference counts that are measured.
_ZIPF = f"""\
from array import array
from random import Random
make = lambda key: key
weights = [1 / rank for rank in range(1, {10 * SIZE + 1})]
keys = array("q", Random(1).choices(range({10 * SIZE}), weights, k={10 * SIZE}))
"""


def _of_all_keys(statement: str) -> str:
    return f"for key in keys:\n    {statement}"


def _hits(values: str, loop: Callable[[str], str] = _of_all_keys) -> tuple[Contender, ...]:
    return tuple(
        Contender(
            each.name,
            f"{values}{each.setup}\nfor key in keys:\n    {each.put}",
            (loop(each.get),),
            each.needs,
        )
        for each in _BOUNDED + _UNBOUNDED
    )


def _read_through(each: _Cache) -> str:
    return each.get if each.get == each.put else f"if {each.get} is None:\n    {each.put}"


def _zipf(each: _Cache) -> Contender:
    statement = f"for key in keys:\n{indent(_read_through(each), '    ')}"
    return Contender(each.name, _ZIPF + each.setup, (statement,), each.needs)


def _single(each: _Cache) -> Contender:
    # No list of keys, whose reference count the threads would share.
    statement = f"key = i % 100 if i % 8 else i % {10 * SIZE}\n{_read_through(each)}"
    return Contender(each.name, _SMALL_INTS + each.setup, (statement,), each.needs)


def _writes() -> tuple[Contender, ...]:
    return tuple(
        Contender(
            each.name,
            _MORE_THAN_FIT + each.setup,
            (f"for key in keys:\n    {each.put}",),
            each.needs,
        )
        for each in _BOUNDED
    )


def _decorated(name: str, imports: str, decorator: str, needs: str | None = None) -> Contender:
    setup = f"{_SMALL_INTS}{imports}\nc = {decorator}(make)"
    return Contender(name, setup, ("for key in keys:\n    c(key)",), needs)


_CACHETOOLS_CACHED = "from threading import Lock\nfrom cachetools import LRUCache, cached"

_CALLS = (
    _decorated("lockfree", "from lockfree import cached", f"cached({SIZE})", NATIVE),
    _decorated("lockfree.locked", "from lockfree.locked import cached", f"cached({SIZE})"),
    _decorated("functools.lru_cache", "from functools import lru_cache", f"lru_cache({SIZE})"),
    _decorated(
        "cachebox",
        "from cachebox import LRUCache, cached",
        f"cached(LRUCache({SIZE}))",
        "cachebox",
    ),
    _decorated("moka-py", "from moka_py import cached", f"cached({SIZE})", "moka_py"),
    _decorated(
        "cachetools + Lock",
        _CACHETOOLS_CACHED,
        f"cached(LRUCache({SIZE}), lock=Lock())",
        "cachetools",
    ),
)


def _method(name: str, imports: str, decorator: str, needs: str | None = None) -> Contender:
    setup = f"""\
{imports}
from lockfree import defer_refcount
keys = range(100)
class Owner:
    @{decorator}
    def method(self, key):
        return key
c = defer_refcount(Owner())"""
    return Contender(name, setup, ("for key in keys:\n    c.method(key)",), needs)


_METHODS = (
    _method("lockfree", "from lockfree import cached", f"cached({SIZE})", NATIVE),
    _method("lockfree.locked", "from lockfree.locked import cached", f"cached({SIZE})"),
    _method("functools.lru_cache", "from functools import lru_cache", f"lru_cache({SIZE})"),
)

# Some tens of microseconds, for which the others have to wait or do the same.
_LOAD = "load = lambda key: sum(range(2000))\n"
_STAMPEDES = (
    Contender("lockfree", f"{_LOAD}{_BOUNDED[0].setup}", ("c.get_or_load(i, load)",), NATIVE),
    Contender("lockfree.locked", f"{_LOAD}{_BOUNDED[1].setup}", ("c.get_or_load(i, load)",)),
    Contender(
        "functools.lru_cache",
        f"{_LOAD}from functools import lru_cache\nc = lru_cache({SIZE})(load)",
        ("c(i)",),
    ),
    Contender("moka-py", _LOAD + _MOKA, ("c.get_with(i, lambda: load(i))",), "moka_py"),
)

CELLS = (
    Cell(
        "cache.hit",
        "look up one of 100 keys, the values small ints",
        (*_hits(_SMALL_INTS), RustLoop("cache.hit")),
        baseline="functools.lru_cache",
        items=100,
    ),
    Cell(
        "cache.hit_objects",
        "look up one of 100 keys, the values objects on the heap",
        _hits(_OBJECTS),
        baseline="functools.lru_cache",
        items=100,
    ),
    Cell(
        "cache.hit_equal",
        "look up one of 100 keys, by equal ones of the thread's own",
        _hits(_EQUAL, partial(for_own_keys, _KEYS)),
        baseline="functools.lru_cache",
        items=100,
    ),
    Cell(
        "cache.global_hit",
        "cache.hit through a module global",
        _hits(_SMALL_INTS),
        baseline="functools.lru_cache",
        scope="global",
        items=100,
    ),
    Cell(
        "cache.global_hit_object",
        "the same, the values one object on the heap",
        _hits(_ONE_OBJECT),
        baseline="functools.lru_cache",
        scope="global",
        items=100,
    ),
    Cell(
        "cache.zipf",
        "look up Zipf's keys, and put those that a cache of a tenth has not",
        tuple(map(_zipf, _BOUNDED)),
        baseline="functools.lru_cache",
        items=10 * SIZE,
    ),
    Cell(
        "cache.write",
        "put twice as many keys as fit, in turn",
        _writes(),
        baseline="functools.lru_cache",
        items=2 * SIZE,
    ),
    Cell(
        "cached.call",
        "call a decorated function, the result being there",
        _CALLS,
        baseline="functools.lru_cache",
        items=100,
    ),
    Cell(
        "cached.global_call",
        "cached.call through a module global",
        _CALLS,
        baseline="functools.lru_cache",
        scope="global",
        items=100,
    ),
    Cell(
        "cached.global_method",
        "call a decorated method of a deferred object in a module global",
        _METHODS,
        baseline="functools.lru_cache",
        scope="global",
        items=100,
    ),
    Cell(
        "cache.latency",
        "how long a look-up takes; one in eight is of a rare key, which is then put",
        tuple(map(_single, _BOUNDED)),
        baseline="functools.lru_cache",
        kind="latency",
    ),
    Cell(
        "cache.stampede",
        "how long it takes when all threads miss the same key",
        _STAMPEDES,
        baseline="functools.lru_cache",
        kind="latency",
    ),
)
