"""The shared counter: ``AtomicInt64``."""

from lockfree.bench.model import NATIVE, Cell, Contender, RustLoop

_LOCKFREE = "from lockfree import AtomicInt64\nc = AtomicInt64({})"
_LOCKED = "from lockfree.locked import AtomicInt64\nc = AtomicInt64({})"
_LOCK = "from lockfree.bench.handwritten import LockedCounter\nc = LockedCounter({})"
_COUNT = "from itertools import count\nc = count()"
_SIMULATED = "from lockfree.bench.handwritten import LockFreeCounter\nc = LockFreeCounter()"
_CEREGGII = "from cereggii import AtomicInt64\nc = AtomicInt64({})"
_FT_UTILS = "from ft_utils.concurrency import AtomicInt64\nc = AtomicInt64({})"


def _contenders(
    *,
    ours: str,
    lock: str,
    cereggii: str,
    ft_utils: str | None = None,
    value: int = 0,
) -> tuple[Contender, ...]:
    """Return those that most cells have, each with its own spelling of the operation."""
    contenders = (
        Contender("lockfree", _LOCKFREE.format(value), (ours,), needs=NATIVE),
        Contender("lockfree.locked", _LOCKED.format(value), (ours,)),
        Contender("threading.Lock", _LOCK.format(value), (lock,)),
        Contender("cereggii", _CEREGGII.format(value), (cereggii,), needs="cereggii"),
    )
    if ft_utils is None:
        return contenders
    setup = _FT_UTILS.format(value)
    return (*contenders, Contender("ft-utils", setup, (ft_utils,), needs="ft_utils.concurrency"))


_INCREMENT = (
    *_contenders(
        ours="c.increment()",
        lock="with c.lock:\n    c.value += 1",
        cereggii="c.increment_and_get()",
        ft_utils="c.incr()",
    ),
    Contender("itertools.count", _COUNT, ("next(c)",)),
)

_LOAD = _contenders(
    ours="c.load()",
    lock="with c.lock:\n    c.value",
    cereggii="c.get()",
    ft_utils="c.get()",
    # Beyond the small ints that CPython keeps ready: as in a counter in use, each
    # load makes an int.
    value=1_000_000,
)

# Replaces the value by itself, so that it succeeds whatever the other threads do.
_CAS = _contenders(
    ours="c.compare_exchange(0, 0)",
    lock="c.compare_exchange(0, 0)",
    cereggii="c.compare_and_set(0, 0)",
)

_ADD = _contenders(
    ours="c.fetch_add(3)",
    lock="with c.lock:\n    c.value += 3",
    cereggii="c.increment_and_get(3)",
    ft_utils="c += 3",
)

# The cache's page has ours as its recipe. Its `make` is called once for each key.
_KEYS = "keys = range(64)\n"
_RECIPE = """\
from lockfree{} import AtomicInt64, Cache
make = lambda key: AtomicInt64()
c = Cache(None)"""
_RECIPE_COUNT = ("for key in keys:\n    c.get_or_load(key, make).increment()",)
_COUNTS = "from lockfree.bench.handwritten import LockedCounts\nc = LockedCounts({})"
_COUNTER = f"from collections import Counter\n{_COUNTS.format('Counter()')}"
_REDUCE_SUM = ("c.reduce_sum((key, 1) for key in keys)",)
_PER_KEY = (
    Contender("lockfree", _KEYS + _RECIPE.format(""), _RECIPE_COUNT, needs=NATIVE),
    Contender("lockfree.locked", _KEYS + _RECIPE.format(".locked"), _RECIPE_COUNT),
    Contender(
        "dict + Lock",
        _KEYS + _COUNTS.format("{}"),
        ("for key in keys:\n    with c.lock:\n        c.counts[key] = c.counts.get(key, 0) + 1",),
    ),
    Contender(
        "Counter + Lock",
        _KEYS + _COUNTER,
        ("for key in keys:\n    with c.lock:\n        c.counts[key] += 1",),
    ),
    Contender(
        "cereggii",
        f"{_KEYS}from cereggii import AtomicDict\nc = AtomicDict()",
        _REDUCE_SUM,
        needs="cereggii",
    ),
)

_SIMULATED_CAS = Contender("simulated CAS", _SIMULATED, ("c.increment()",))

CELLS = (
    Cell(
        "counter.increment",
        "add 1 to a shared counter",
        (*_INCREMENT, _SIMULATED_CAS, RustLoop("increment")),
    ),
    Cell(
        "counter.load",
        "read a shared counter",
        (*_LOAD, RustLoop("load")),
    ),
    Cell(
        "counter.cas",
        "compare and exchange, successfully",
        (*_CAS, RustLoop("cas")),
    ),
    Cell(
        "counter.add",
        "add 3 to a shared counter",
        (*_ADD, RustLoop("increment")),
    ),
    Cell(
        "counter.global_increment",
        "counter.increment through a module global",
        (*_INCREMENT, RustLoop("increment")),
        scope="global",
    ),
    Cell(
        "counter.global_load",
        "counter.load through a module global",
        (*_LOAD, RustLoop("load")),
        scope="global",
    ),
    Cell(
        "counter.per_key",
        "add 1 to the counter of each of 64 keys, per key, through a module global",
        _PER_KEY,
        baseline="dict + Lock",
        scope="global",
        items=64,
    ),
    Cell(
        "counter.latency",
        "how long a single increment takes",
        (*_INCREMENT, _SIMULATED_CAS),
        kind="latency",
    ),
)
