"""The shared dictionary: ``ConcurrentDict``."""

from __future__ import annotations

from lockfree.bench.cells.own_keys import for_own_keys
from lockfree.bench.model import NATIVE, Cell, Contender

_OURS = "from lockfree import ConcurrentDict\nc = ConcurrentDict()"
_LOCKED = "from lockfree.locked import ConcurrentDict\nc = ConcurrentDict()"
_CEREGGII = "from cereggii import AtomicDict\nc = AtomicDict()"
_LOCK = """\
from threading import Lock
from types import SimpleNamespace
c = SimpleNamespace(lock=Lock(), d=dict.fromkeys(range(64), 0))"""

_FILLED = "for key in range(100):\n    c[key] = key"
_HITS = tuple(
    Contender(name, f"{setup}\n{_FILLED}", ("for key in range(100):\n    c.get(key)",), needs)
    for name, setup, needs in (
        ("lockfree", _OURS, NATIVE),
        ("lockfree.locked", _LOCKED, None),
        ("dict", "c = {}", None),
        ("cereggii", _CEREGGII, "cereggii"),
    )
)

_IDENT = "from threading import get_ident"
_OWN = for_own_keys("[f'{get_ident()} {number}' for number in range(1000)]", "c[key] = i")
_WRITES = tuple(
    Contender(name, f"{setup}\n{_IDENT}", (_OWN,), needs)
    for name, setup, needs in (
        ("lockfree", _OURS, NATIVE),
        ("lockfree.locked", _LOCKED, None),
        ("dict", "c = {}", None),
        ("cereggii", _CEREGGII, "cereggii"),
    )
)

_ADD = "def add(n):\n    return n + 1"
_ZEROS = f"{_ADD}\nfor key in range(64):\n    c[key] = 0"
_COMPUTE = "for key in range(64):\n    c.compute(key, add)"
_UPDATES = (
    Contender("lockfree", f"{_OURS}\n{_ZEROS}", (_COMPUTE,), NATIVE),
    Contender("lockfree.locked", f"{_LOCKED}\n{_ZEROS}", (_COMPUTE,)),
    Contender(
        "dict + Lock",
        f"{_LOCK}\n{_ADD}",
        ("for key in range(64):\n    with c.lock:\n        c.d[key] = add(c.d[key])",),
    ),
)

CELLS = (
    Cell("dict.hit", "look up one of 100 keys", _HITS, baseline="dict", items=100),
    Cell(
        "dict.global_hit",
        "dict.hit through a module global",
        _HITS,
        baseline="dict",
        scope="global",
        items=100,
    ),
    Cell(
        "dict.write",
        "give one of 1,000 keys of the thread's own a value",
        _WRITES,
        baseline="dict",
        items=1000,
    ),
    Cell(
        "dict.compute",
        "add 1 to the value of one of 64 keys that all share",
        _UPDATES,
        baseline="dict + Lock",
        scope="global",
        items=64,
    ),
)
