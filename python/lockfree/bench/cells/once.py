"""What is made once: ``once`` and ``cached_property``."""

from lockfree.bench.model import NATIVE, Cell, Contender


def _decorated(name: str, module: str, decorator: str, needs: str | None = None) -> Contender:
    setup = f"from {module} import {decorator}\nc = {decorator}(lambda: None)\nc()"
    return Contender(name, setup, ("c()",), needs)


_LOCKED = """\
from threading import Lock
lock, value = Lock(), 5
def c():
    with lock:
        return value
"""

_CALLS = (
    _decorated("lockfree", "lockfree", "once", NATIVE),
    _decorated("lockfree.locked", "lockfree.locked", "once"),
    _decorated("cached", "lockfree", "cached", NATIVE),
    _decorated("functools.cache", "functools", "cache"),
    Contender("threading.Lock", _LOCKED, ("c()",)),
    _decorated("cereggii", "cereggii", "call_once", "cereggii"),
)


def _property(name: str, module: str) -> Contender:
    setup = f"""\
from {module} import cached_property
class Thing:
    @cached_property
    def prop(self):
        return 5
c = Thing()
c.prop
"""
    return Contender(name, setup, ("c.prop",))


_LOCKED_PROPERTY = """\
from threading import Lock
class Thing:
    def __init__(self):
        self.lock, self.value = Lock(), 5
    @property
    def prop(self):
        with self.lock:
            return self.value
c = Thing()
"""

CELLS = (
    Cell(
        "once.global_call",
        "call a function in a module global, whose value is there",
        _CALLS,
        baseline="functools.cache",
        scope="global",
    ),
    Cell(
        "once.property",
        "read a property that was computed",
        (
            _property("lockfree", "lockfree"),
            _property("functools", "functools"),
            Contender("property + Lock", _LOCKED_PROPERTY, ("c.prop",)),
        ),
        baseline="functools",
    ),
)
