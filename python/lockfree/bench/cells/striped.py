"""Counting in many threads: ``StripedCounter``."""

from lockfree.bench.model import NATIVE, Cell, Contender, RustLoop

_STRIPED = "from lockfree import StripedCounter\nc = StripedCounter()"
_ATOMIC = "from lockfree import AtomicInt64\nc = AtomicInt64()"
_LOCKED = "from lockfree.locked import StripedCounter\nc = StripedCounter()"
_LOCK = "from lockfree.bench.handwritten import LockedCounter\nc = LockedCounter()"
_LOCAL = "from lockfree.bench.handwritten import LocalCounter\nc = LocalCounter([])"

# What striping can reach at best: nothing is shared. A thread takes its own
# counter the first time, when the list does not know the method; a ``try`` that
# catches nothing costs nothing.
_SEPARATE = "from lockfree import AtomicInt64\nc = [AtomicInt64() for _ in range(256)]"
_OWN_INCREMENT = "try:\n    c.increment()\nexcept AttributeError:\n    c = c.pop()"

_LOCKFREE = Contender("lockfree", _STRIPED, ("c.add()",), needs=NATIVE)

_SELDOM_READ = (
    _LOCKFREE,
    Contender("AtomicInt64", _ATOMIC, ("c.increment()",), needs=NATIVE),
    Contender("separate counters", _SEPARATE, (_OWN_INCREMENT,), needs=NATIVE),
    Contender("lockfree.locked", _LOCKED, ("c.add()",)),
    Contender("threading.Lock", _LOCK, ("with c.lock:\n    c.value += 1",)),
)

CELLS = (
    Cell(
        "counter.striped",
        "add 1 to a counter that is seldom read",
        (*_SELDOM_READ, RustLoop("striped")),
    ),
    Cell(
        "counter.global_striped",
        "counter.striped through a module global",
        tuple(each for each in _SELDOM_READ if each.name != "separate counters"),
        scope="global",
    ),
    Cell(
        "counter.threadlocal",
        "add 1 to a count for each thread",
        (_LOCKFREE, Contender("threading.local", _LOCAL, ("c.count[0] += 1",))),
        baseline="threading.local",
    ),
    Cell(
        "counter.striped_latency",
        "how long it takes to add 1 to a counter that is seldom read",
        _SELDOM_READ,
        kind="latency",
    ),
)
