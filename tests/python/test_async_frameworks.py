"""Under AnyIO everything works, over asyncio; under trio what has to wait says what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import anyio
import pytest
import trio


def test_tasks_of_anyio_hand_over_and_are_cancelled(impl: ModuleType) -> None:
    q, got = impl.Queue(1), []

    async def put() -> None:
        for item in range(10):
            await q.async_put(item)
        q.shutdown()

    async def get() -> None:
        got.extend([item async for item in q])

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(put)
            tasks.start_soon(get)
        with anyio.move_on_after(0.01) as scope:
            await impl.Queue().async_get()
        assert scope.cancelled_caught

    anyio.run(main)
    assert got == list(range(10))


def test_a_load_of_anyio_ends_with_the_last_who_waits(impl: ModuleType) -> None:
    cancelled = []

    async def slow(_key: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)

    async def main() -> None:
        with anyio.move_on_after(0.01):
            await impl.Cache(10).async_get_or_load("k", slow)
        await anyio.lowlevel.checkpoint()

    anyio.run(main)
    assert cancelled == [True]


async def load(_key: str) -> str:
    return "value"


WAITS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "get": lambda impl: impl.Queue().async_get(),
    "a full queue": lambda impl: full(impl).async_put("item"),
    "join": lambda impl: full(impl).async_join(),
    "AsyncQueue": lambda impl: impl.AsyncQueue().get(),
    "wait": lambda impl: impl.AtomicInt64().async_wait(0),
    "a load": lambda impl: impl.Cache(10).async_get_or_load("k", load),
}


def full(impl: ModuleType) -> Any:
    q = impl.Queue(1)
    q.put("item")
    return q


@pytest.mark.parametrize("name", WAITS)
def test_under_trio_what_has_to_wait_says_what_to_do(impl: ModuleType, name: str) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"by trio\.to_thread\.run_sync\(\)"):
            await WAITS[name](impl)

    trio.run(main)


def test_under_trio_a_thread_can_wait(impl: ModuleType) -> None:
    q = impl.Queue()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, q.get)
            q.put("item")

    trio.run(main)
    assert q.empty()
