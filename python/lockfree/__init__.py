"""Native atomics and lock-free containers for CPython.

``IMPLEMENTATION`` tells which of two implementations the names below are: the
native one, or ``lockfree.locked``, the same classes in pure Python over
``threading.Lock``. The environment variable ``LOCKFREE_IMPLEMENTATION`` forces
either (``native`` or ``locked``). Without it the native one is served, and
where the installation was built without the extension, the locked one with a
``RuntimeWarning``. An extension that is present but does not import is an
``ImportError``: it is never replaced in silence.
"""

from typing import TYPE_CHECKING

from lockfree._errors import Empty, Full, ShutDown
from lockfree._ordering import Ordering
from lockfree._select import IMPLEMENTATION

if TYPE_CHECKING or IMPLEMENTATION == "native":
    from lockfree._native import (
        AtomicBool,
        AtomicFloat64,
        AtomicInt64,
        AtomicRef,
        AtomicStampedRef,
        Cache,
        LifoQueue,
        PriorityQueue,
        Queue,
        Stack,
        StripedCounter,
        fence,
    )
else:
    from lockfree.locked import (
        AtomicBool,
        AtomicFloat64,
        AtomicInt64,
        AtomicRef,
        AtomicStampedRef,
        Cache,
        LifoQueue,
        PriorityQueue,
        Queue,
        Stack,
        StripedCounter,
        fence,
    )

from lockfree._async_queue import AsyncQueue
from lockfree._cached import cached

__all__ = [
    "IMPLEMENTATION",
    "AsyncQueue",
    "AtomicBool",
    "AtomicFloat64",
    "AtomicInt64",
    "AtomicRef",
    "AtomicStampedRef",
    "Cache",
    "Empty",
    "Full",
    "LifoQueue",
    "Ordering",
    "PriorityQueue",
    "Queue",
    "ShutDown",
    "Stack",
    "StripedCounter",
    "cached",
    "fence",
]


def __getattr__(name: str) -> str:
    if name == "__version__":
        # Only now: reading an installation's metadata takes longer than all else here.
        from importlib.metadata import version

        return version("lockfree")
    raise AttributeError(f"module 'lockfree' has no attribute {name!r}")
