"""Native atomics and lock-free containers for CPython.

``IMPLEMENTATION`` tells which of two implementations the names below are: the
native one, or ``lockfree.locked``, the same classes in pure Python over
``threading.Lock``. The environment variable ``LOCKFREE_IMPLEMENTATION`` forces
either (``native`` or ``locked``). Without it the native one is served, and
where the installation was built without the extension, the locked one with a
``RuntimeWarning``. An extension that is present but does not import is an
``ImportError``: it is never replaced in silence. In a subinterpreter, where it
never does, the import succeeds, so that ``lockfree.locked`` can be had, and each
other class is the ``ImportError``.
"""

from typing import TYPE_CHECKING

from lockfree._errors import Empty, Full, ShutDown
from lockfree._ordering import Ordering
from lockfree._select import IMPLEMENTATION, REFUSAL

if TYPE_CHECKING:
    from lockfree import locked as locked  # at run time below, when it is asked for

    __version__: str

if TYPE_CHECKING or (IMPLEMENTATION == "native" and not REFUSAL):
    from lockfree._native import (
        AtomicBool,
        AtomicFloat64,
        AtomicInt64,
        AtomicRef,
        AtomicStampedRef,
        Cache,
        ConcurrentDict,
        KeyedCounter,
        LifoQueue,
        PriorityQueue,
        Queue,
        Stack,
        StripedCounter,
        defer_refcount,
        fence,
    )
elif not REFUSAL:
    from lockfree.locked import (
        AtomicBool,
        AtomicFloat64,
        AtomicInt64,
        AtomicRef,
        AtomicStampedRef,
        Cache,
        ConcurrentDict,
        KeyedCounter,
        LifoQueue,
        PriorityQueue,
        Queue,
        Stack,
        StripedCounter,
        defer_refcount,
        fence,
    )

if REFUSAL:
    del IMPLEMENTATION  # as all that depends on it: see __getattr__
else:
    from lockfree._async_queue import AsyncQueue
    from lockfree._cached import cached
from lockfree._once import cached_property, once

__all__ = [
    "IMPLEMENTATION",
    "AsyncQueue",
    "AtomicBool",
    "AtomicFloat64",
    "AtomicInt64",
    "AtomicRef",
    "AtomicStampedRef",
    "Cache",
    "ConcurrentDict",
    "Empty",
    "Full",
    "KeyedCounter",
    "LifoQueue",
    "Ordering",
    "PriorityQueue",
    "Queue",
    "ShutDown",
    "Stack",
    "StripedCounter",
    "cached",
    "cached_property",
    "defer_refcount",
    "fence",
    "once",
]

if not TYPE_CHECKING:  # for types, what is not named is not there

    def __getattr__(name: str) -> object:
        if name == "locked":
            from importlib import import_module

            return import_module("lockfree.locked")
        if name == "__version__":
            # Only now: reading an installation's metadata takes longer than all else here.
            from importlib.metadata import version

            return version("lockfree")
        if REFUSAL and name in __all__:
            raise ImportError(*REFUSAL.args)
        raise AttributeError(f"module 'lockfree' has no attribute {name!r}")

    def __dir__() -> list[str]:
        names = globals().copy()
        dunders = (name for name in names if name.startswith("__"))
        imported = {"bench", "lab"} & names.keys()
        return sorted({*dunders, *imported, *__all__, "__version__", "locked"})
