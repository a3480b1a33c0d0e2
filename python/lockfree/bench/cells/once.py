"""What is made once: ``once`` and ``cached_property``."""

from lockfree.bench.model import NATIVE, Cell, Contender

_ANSWER = "def f():\n    return None\n"

_CALLS = (
    Contender(
        "lockfree",
        "from lockfree import once\n" + _ANSWER + "f = once(f)\nf()",
        ("f()",),
        needs=NATIVE,
    ),
    Contender(
        "lockfree.locked",
        "from lockfree.locked import once\n" + _ANSWER + "f = once(f)\nf()",
        ("f()",),
    ),
    Contender(
        "cached",
        "from lockfree import cached\n" + _ANSWER + "f = cached(f)\nf()",
        ("f()",),
        needs=NATIVE,
    ),
    Contender(
        "functools.cache", "from functools import cache\n" + _ANSWER + "f = cache(f)\nf()", ("f()",)
    ),
    Contender(
        "threading.Lock",
        """\
from threading import Lock
lock, value = Lock(), 5
def f():
    with lock:
        return value
""",
        ("f()",),
    ),
    Contender(
        "cereggii",
        "from cereggii import call_once\n" + _ANSWER + "f = call_once(f)\nf()",
        ("f()",),
        needs="cereggii",
    ),
)

_CLASS = """\
class Thing:
    @cached_property
    def prop(self):
        return 5
c = Thing()
c.prop
"""

_PROPERTIES = (
    Contender("lockfree", "from lockfree import cached_property\n" + _CLASS, ("c.prop",)),
    Contender(
        "functools.cached_property", "from functools import cached_property\n" + _CLASS, ("c.prop",)
    ),
    Contender(
        "threading.Lock",
        """\
from threading import Lock
class Thing:
    def __init__(self):
        self.lock, self.value = Lock(), 5
    @property
    def prop(self):
        with self.lock:
            return self.value
c = Thing()
""",
        ("c.prop",),
    ),
)

CELLS = (
    Cell("once.call", "call a function whose value is there", _CALLS, baseline="functools.cache"),
    Cell(
        "once.global_call",
        "once.call through a module global",
        _CALLS,
        baseline="functools.cache",
        scope="global",
    ),
    Cell(
        "once.property",
        "read a property that was computed",
        _PROPERTIES,
        baseline="functools.cached_property",
    ),
)
