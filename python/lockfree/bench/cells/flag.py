"""The shared flag: ``AtomicBool``."""

from lockfree.bench.model import NATIVE, Cell, Contender

_LOCKFREE = "from lockfree import AtomicBool\nc = AtomicBool()"
_LOCKED = "from lockfree.locked import AtomicBool\nc = AtomicBool()"
_LOCK = "from lockfree.bench.handwritten import LockedFlag\nc = LockedFlag()"
_CEREGGII = "from cereggii import AtomicBool\nc = AtomicBool(False)"
_FT_UTILS = "from ft_utils.concurrency import AtomicFlag\nc = AtomicFlag(False)"


def _contenders(*, ours: str, lock: str, cereggii: str, ft_utils: str) -> tuple[Contender, ...]:
    """Return all, each with its own spelling of the operation."""
    return (
        Contender("lockfree", _LOCKFREE, (ours,), needs=NATIVE),
        Contender("lockfree.locked", _LOCKED, (ours,)),
        Contender("threading.Lock", _LOCK, (lock,)),
        Contender("cereggii", _CEREGGII, (cereggii,), needs="cereggii"),
        Contender("ft-utils", _FT_UTILS, (ft_utils,), needs="ft_utils.concurrency"),
    )


CELLS = (
    Cell(
        "flag.test_and_set",
        "set a shared flag and learn whether it was set",
        _contenders(
            ours="c.test_and_set()",
            lock="with c.lock:\n    old, c.value = c.value, True",
            cereggii="c.get_and_set(True)",
            # It does not tell: `set` returns nothing.
            ft_utils="c.set(True)",
        ),
    ),
    Cell(
        "flag.load",
        "read a shared flag",
        _contenders(
            ours="c.load()",
            lock="with c.lock:\n    c.value",
            cereggii="c.get()",
            ft_utils="bool(c)",
        ),
    ),
)
