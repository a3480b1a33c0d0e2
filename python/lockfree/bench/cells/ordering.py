"""What a memory ordering costs: the plain methods, and views of the same atomic."""

from lockfree.bench.model import NATIVE, Cell, Contender

_PLAIN = "from lockfree import AtomicInt64\nc = AtomicInt64(1_000_000)"
_VIEW = "from lockfree import AtomicInt64, Ordering\nc = AtomicInt64(1_000_000).at(Ordering.{})"
_LOCK = "from lockfree.bench.handwritten import LockedCounter\nc = LockedCounter(1_000_000)"


def _contenders(statement: str, weaker: str, lock: str) -> tuple[Contender, ...]:
    """Return the operation at three orderings, and under a lock."""
    return (
        Contender("lockfree", _PLAIN, (statement,), needs=NATIVE),
        *(
            Contender(f"at {name}", _VIEW.format(name), (statement,), needs=NATIVE)
            for name in (weaker, "RELAXED")
        ),
        Contender("threading.Lock", _LOCK, (lock,)),
    )


CELLS = (
    Cell(
        "ordering.load",
        "read an atomic: SEQ_CST, as the plain method does, and weaker",
        _contenders("c.load()", "ACQUIRE", "with c.lock:\n    c.value"),
    ),
    Cell(
        "ordering.store",
        "write an atomic: SEQ_CST, as the plain method does, and weaker",
        _contenders("c.store(7)", "RELEASE", "with c.lock:\n    c.value = 7"),
    ),
    Cell(
        "ordering.increment",
        "add 1 to an atomic: SEQ_CST, as the plain method does, and weaker",
        _contenders("c.increment()", "ACQ_REL", "with c.lock:\n    c.value += 1"),
    ),
)
