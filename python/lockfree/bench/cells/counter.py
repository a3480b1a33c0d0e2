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
        "counter.latency",
        "how long a single increment takes",
        (*_INCREMENT, _SIMULATED_CAS),
        kind="latency",
    ),
)
