"""The shared reference: ``AtomicRef``."""

from lockfree.bench.model import NATIVE, Cell, Contender

_OBJECT = "obj = object()\n"
_LOCKFREE = f"from lockfree import AtomicRef\n{_OBJECT}c = AtomicRef(obj)"
_LOCKED = f"from lockfree.locked import AtomicRef\n{_OBJECT}c = AtomicRef(obj)"
_LOCK = f"from lockfree.bench.handwritten import LockedCounter\n{_OBJECT}c = LockedCounter(obj)"
_ATTRIBUTE = f"from types import SimpleNamespace\n{_OBJECT}c = SimpleNamespace(value=obj)"
_CEREGGII = f"from cereggii import AtomicRef\n{_OBJECT}c = AtomicRef(obj)"
_FT_UTILS = f"from ft_utils.concurrency import AtomicReference\n{_OBJECT}c = AtomicReference(obj)"
_STAMPED = f"from lockfree import AtomicStampedRef\n{_OBJECT}c = AtomicStampedRef(obj)"

CELLS = (
    Cell(
        "ref.load",
        "read one shared object",
        (
            Contender("lockfree", _LOCKFREE, ("c.load()",), needs=NATIVE),
            Contender("AtomicStampedRef", _STAMPED, ("c.load()",), needs=NATIVE),
            Contender("lockfree.locked", _LOCKED, ("c.load()",)),
            Contender("threading.Lock", _LOCK, ("with c.lock:\n    c.value",)),
            Contender("attribute", _ATTRIBUTE, ("c.value",)),
            Contender("cereggii", _CEREGGII, ("c.get()",), needs="cereggii"),
            Contender("ft-utils", _FT_UTILS, ("c.get()",), needs="ft_utils.concurrency"),
        ),
    ),
)
