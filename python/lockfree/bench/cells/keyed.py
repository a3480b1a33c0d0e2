"""The counter per key: ``KeyedCounter``."""

from __future__ import annotations

from lockfree.bench.model import NATIVE, Cell, Contender

_OURS = "from lockfree import KeyedCounter\nc = KeyedCounter()"
_LOCKED = "from lockfree.locked import KeyedCounter\nc = KeyedCounter()"
_LOCK = """\
from threading import Lock
from types import SimpleNamespace
c = SimpleNamespace(lock=Lock(), d=dict.fromkeys(range(64), 0))"""
_COUNTER = """\
from collections import Counter
from threading import Lock
from types import SimpleNamespace
c = SimpleNamespace(lock=Lock(), d=Counter())"""
_PROMETHEUS = """\
from prometheus_client import CollectorRegistry, Counter
c = Counter("c", "c", ["key"], registry=CollectorRegistry())"""


def _contenders(keys: str, key: str) -> tuple[Contender, ...]:
    add = f"    with c.lock:\n        c.d[{key}] += 1"
    return (
        Contender("lockfree", _OURS, (f"{keys}\n    c.add({key})",), NATIVE),
        Contender("lockfree.locked", _LOCKED, (f"{keys}\n    c.add({key})",)),
        Contender("dict + Lock", _LOCK, (f"{keys}\n{add}",)),
        Contender("Counter + Lock", _COUNTER, (f"{keys}\n{add}",)),
        Contender(
            "prometheus_client",
            _PROMETHEUS,
            (f"{keys}\n    c.labels({key}).inc()",),
            "prometheus_client",
        ),
    )


_ALL = "for key in range(64):"

CELLS = (
    Cell(
        "keyed.add",
        "add 1 to the count of one of 64 keys that all share",
        _contenders(_ALL, "key"),
        baseline="dict + Lock",
        scope="global",
        items=64,
    ),
    Cell(
        "keyed.one",
        "add 1 to the count of one key that all share",
        _contenders(_ALL, "7"),
        baseline="dict + Lock",
        scope="global",
        items=64,
    ),
)
