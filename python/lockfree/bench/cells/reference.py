"""The shared reference: ``AtomicRef``."""

from lockfree.bench.model import NATIVE, Cell, Contender

# A small int is immortal. Of an object on the heap threads that read it share a reference
# count, however they come by it.
_OBJECT = "obj = object()\n"
_SMALL_INT = "obj = 7\n"
_LOCKFREE = "from lockfree import AtomicRef\nc = AtomicRef(obj)"
_LOCKED = "from lockfree.locked import AtomicRef\nc = AtomicRef(obj)"
_LOCK = "from lockfree.bench.handwritten import LockedCounter\nc = LockedCounter(obj)"
_ATTRIBUTE = "from types import SimpleNamespace\nc = SimpleNamespace(value=obj)"
_CEREGGII = "from cereggii import AtomicRef\nc = AtomicRef(obj)"
_FT_UTILS = "from ft_utils.concurrency import AtomicReference\nc = AtomicReference(obj)"
_STAMPED = "from lockfree import AtomicStampedRef\nc = AtomicStampedRef(obj)"


def _loads(value: str) -> tuple[Contender, ...]:
    """Return all, each with its own spelling of reading that value."""
    return (
        Contender("lockfree", value + _LOCKFREE, ("c.load()",), needs=NATIVE),
        Contender("AtomicStampedRef", value + _STAMPED, ("c.load()",), needs=NATIVE),
        Contender("lockfree.locked", value + _LOCKED, ("c.load()",)),
        Contender("threading.Lock", value + _LOCK, ("with c.lock:\n    c.value",)),
        Contender("attribute", value + _ATTRIBUTE, ("c.value",)),
        Contender("cereggii", value + _CEREGGII, ("c.get()",), needs="cereggii"),
        Contender("ft-utils", value + _FT_UTILS, ("c.get()",), needs="ft_utils.concurrency"),
    )


_DEFERRED = """\
from lockfree import AtomicRef, defer_refcount
c = defer_refcount(AtomicRef(defer_refcount(obj)))"""

# As the recipe has it: one instance, replaced as a whole, of which an attribute is read.
_SETTINGS = """\
class Settings:
    def __init__(self):
        self.timeout = 5
obj = Settings()
"""
_CONFIGURATION = (
    Contender("lockfree", _SETTINGS + _DEFERRED, ("c.value.timeout",), needs=NATIVE),
    Contender("AtomicRef.load", _SETTINGS + _LOCKFREE, ("c.load().timeout",), needs=NATIVE),
    Contender("lockfree.locked", _SETTINGS + _LOCKED, ("c.load().timeout",)),
    Contender(
        "threading.Lock",
        _SETTINGS + _LOCK,
        ("with c.lock:\n    settings = c.value\nsettings.timeout",),
    ),
    Contender("attribute", _SETTINGS + _ATTRIBUTE, ("c.value.timeout",)),
    Contender("cereggii", _SETTINGS + _CEREGGII, ("c.get().timeout",), needs="cereggii"),
)

CELLS = (
    Cell("ref.load", "read one shared object", _loads(_OBJECT)),
    Cell("ref.load_int", "read one shared small int", _loads(_SMALL_INT)),
    Cell(
        "ref.global_load",
        "ref.load through a module global",
        _loads(_OBJECT),
        scope="global",
    ),
    Cell(
        "ref.global_load_int",
        "ref.load_int through a module global",
        _loads(_SMALL_INT),
        scope="global",
    ),
    Cell(
        "ref.configuration",
        "read an attribute of one shared instance, through a module global",
        _CONFIGURATION,
        scope="global",
    ),
)
