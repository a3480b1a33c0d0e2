"""``AsyncQueue``: a queue under the names and exceptions of ``asyncio.Queue``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import GenericAlias
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    NoReturn,
    Self,
    SupportsFloat,
    SupportsIndex,
    TypeVar,
)

from lockfree._errors import Empty, Full, ShutDown
from lockfree._overrides import AsyncQueueRelations, followed

if TYPE_CHECKING:
    from lockfree._native import Queue

T = TypeVar("T")


@followed(AsyncQueueRelations)
class AsyncQueue(Generic[T]):
    """A queue with the methods and exceptions of `asyncio.Queue`, for any number of loops.

    Code written for `asyncio.Queue` runs on it unchanged, and may use it from several
    event loops in several threads at once. ``sync_q`` is the same queue for threads.

    Args:
        maxsize: how many items there may be; any number if 0 or negative.

    Raises:
        TypeError: `maxsize` is not a number.

    Progress: as `Queue`, whose engine it shares.

    Examples:
        >>> import asyncio
        >>> async def main():
        ...     q = AsyncQueue()
        ...     await q.put("a")
        ...     return await q.get()
        >>> asyncio.run(main())
        'a'
    """

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    def __init__(self, maxsize: SupportsFloat | SupportsIndex = 0) -> None:
        self._queue = self._make(maxsize)
        self._queue._take_along(self)

    @staticmethod
    def _make(maxsize: SupportsFloat | SupportsIndex) -> Any:
        from lockfree import Queue

        return Queue[Any](maxsize)

    @classmethod
    def _over(cls, queue: Any) -> Self:
        self = cls.__new__(cls)
        self._queue = queue
        queue._take_along(self)
        return self

    def __sizeof__(self) -> int:
        size: int = self._queue.__sizeof__()
        return super().__sizeof__() + size

    async def put(self, item: T) -> None:
        """Put an item, waiting for room.

        If it is cancelled, the item was not put.

        Raises:
            asyncio.QueueShutDown: the queue was shut down (``lockfree.ShutDown`` where
                asyncio does not have it).
        """
        try:
            await self._queue.async_put(item)
        except ShutDown as error:
            raise _translated(error) from None

    def put_nowait(self, item: T) -> None:
        """Put an item without waiting.

        Raises:
            asyncio.QueueFull: there is no room.
            asyncio.QueueShutDown: the queue was shut down.
        """
        try:
            self._queue.put_nowait(item)
        except (Full, ShutDown) as error:
            raise _translated(error) from None

    async def get(self) -> T:
        """Remove and return the first item, waiting for one.

        If it is cancelled, no item was removed.

        Raises:
            asyncio.QueueShutDown: there is no item and the queue was shut down.
        """
        try:
            item: T = await self._queue.async_get()
        except ShutDown as error:
            raise _translated(error) from None
        return item

    def get_nowait(self) -> T:
        """Remove and return the first item without waiting.

        Raises:
            asyncio.QueueEmpty: there is no item.
            asyncio.QueueShutDown: there is none and the queue was shut down.
        """
        try:
            item: T = self._queue.get_nowait()
        except (Empty, ShutDown) as error:
            raise _translated(error) from None
        return item

    async def join(self) -> None:
        """Wait until all items that were put are done."""
        await self._queue.async_join()

    def task_done(self) -> None:
        """Say that an item that was got is done.

        Raises:
            ValueError: all that were put are done.
        """
        self._queue.task_done()

    def shutdown(self, immediate: bool = False) -> None:
        """Refuse further items; with `immediate`, drop those that are in the queue."""
        self._queue.shutdown(immediate)

    def qsize(self) -> int:
        """Return how many items there are."""
        size: int = self._queue.qsize()
        return size

    def empty(self) -> bool:
        """Return whether there is no item."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Return whether there is no room."""
        full: bool = self._queue.full()
        return full

    @property
    def maxsize(self) -> int:
        """How many items there may be; 0 is any number."""
        size: int = self._queue.maxsize
        return size

    @property
    def unfinished_tasks(self) -> int:
        """How many items were put and are not done."""
        count: int = self._queue.unfinished_tasks
        return count

    @property
    def sync_q(self) -> Queue[T]:
        """The same queue for threads: a `Queue`."""
        queue: Queue[T] = self._queue
        return queue

    def __aiter__(self) -> AsyncIterator[T]:
        """Get items until the queue is shut down."""
        items: AsyncIterator[T] = aiter(self._queue)
        return items

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._queue!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot copy or pickle '{type(self).__name__}' object: it is shared state")


def _translated(error: Empty | Full | ShutDown) -> Exception:
    """Return the exception that asyncio has for this, where it has one."""
    import asyncio

    translated: Exception = getattr(asyncio, f"Queue{type(error).__name__}", type(error))()
    return translated
