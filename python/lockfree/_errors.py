"""The exceptions of queues: the standard library's own, where it has them."""

from __future__ import annotations

import sys
from queue import Empty, Full

__all__ = ["Empty", "Full", "ShutDown"]

if sys.version_info >= (3, 13):
    from queue import ShutDown
else:

    class ShutDown(Exception):  # noqa: N818 - the name it has from CPython 3.13 on
        """Raised when put/get with shut-down queue."""
