"""Every class of ``lockfree`` again, in pure Python over ``threading.Lock``.

The locked baseline of the benchmark, the oracle of the tests, and what an
installation built without the extension serves. It behaves as the native
classes do, error messages included, but it blocks: a thread that is suspended
inside an operation holds everyone up, and calling an object from a finalizer or
a signal handler that interrupts the same object's operation deadlocks.
"""

from lockfree._once import cached_property
from lockfree.locked._atomic import fence
from lockfree.locked._atomic_bool import AtomicBool
from lockfree.locked._atomic_float import AtomicFloat64
from lockfree.locked._atomic_int import AtomicInt64
from lockfree.locked._atomic_ref import AtomicRef, AtomicStampedRef
from lockfree.locked._cache import Cache
from lockfree.locked._cached import cached
from lockfree.locked._concurrent_dict import ConcurrentDict
from lockfree.locked._defer_refcount import defer_refcount
from lockfree.locked._keyed_counter import KeyedCounter
from lockfree.locked._once import once
from lockfree.locked._queue import AsyncQueue, LifoQueue, PriorityQueue, Queue
from lockfree.locked._stack import Stack
from lockfree.locked._striped_counter import StripedCounter

__all__ = [
    "AsyncQueue",
    "AtomicBool",
    "AtomicFloat64",
    "AtomicInt64",
    "AtomicRef",
    "AtomicStampedRef",
    "Cache",
    "ConcurrentDict",
    "KeyedCounter",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "Stack",
    "StripedCounter",
    "cached",
    "cached_property",
    "defer_refcount",
    "fence",
    "once",
]
