"""``AsyncQueue`` over the locked ``Queue``."""

from __future__ import annotations

from typing import Any, SupportsIndex, TypeVar

from lockfree import _async_queue
from lockfree.locked._queue import Queue

T = TypeVar("T")


class AsyncQueue(_async_queue.AsyncQueue[T]):
    """A queue with the methods and exceptions of `asyncio.Queue`, for any number of loops."""

    @staticmethod
    def _make(maxsize: SupportsIndex) -> Any:
        return Queue[Any](maxsize)
