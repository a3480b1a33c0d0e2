"""Native atomics and lock-free containers for CPython.

``IMPLEMENTATION`` tells which of two implementations the names below are: the
native one, or ``lockfree.locked``, the same classes in pure Python over
``threading.Lock``. The environment variable ``LOCKFREE_IMPLEMENTATION`` forces
either (``native`` or ``locked``). Without it the native one is served, and
where the installation was built without the extension, the locked one with a
``RuntimeWarning``. An extension that is present but does not import is an
``ImportError``: it is never replaced in silence.
"""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from lockfree._select import IMPLEMENTATION

if TYPE_CHECKING or IMPLEMENTATION == "native":
    from lockfree._native import AtomicInt64, Stack
else:
    from lockfree.locked import AtomicInt64, Stack

__all__ = ["IMPLEMENTATION", "AtomicInt64", "Stack"]
__version__ = _version("lockfree")
