"""The shared sum: ``AtomicFloat64``."""

from lockfree.bench.model import NATIVE, Cell, Contender

_LOCKFREE = "from lockfree import AtomicFloat64\nc = AtomicFloat64()"
_LOCKED = "from lockfree.locked import AtomicFloat64\nc = AtomicFloat64()"
_LOCK = "from lockfree.bench.handwritten import LockedSum\nc = LockedSum()"

CELLS = (
    Cell(
        "float.add",
        "add 0.5 to a shared floating-point number",
        (
            Contender("lockfree", _LOCKFREE, ("c.add(0.5)",), needs=NATIVE),
            Contender("lockfree.locked", _LOCKED, ("c.add(0.5)",)),
            Contender("threading.Lock", _LOCK, ("with c.lock:\n    c.value += 0.5",)),
        ),
    ),
)
