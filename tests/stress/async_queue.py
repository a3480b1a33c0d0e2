"""Stress the queue between coroutines and threads: a loop in each thread, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

from harness import Token, Worker, stress
from lockfree import AsyncQueue, Empty, Queue

queue: Queue[Token] = Queue(20)
same: AsyncQueue[Token] = queue.async_q


async def give(worker: Worker) -> None:
    """Put an item, or give up."""
    token = Token(worker)
    try:
        await asyncio.wait_for(same.put(token), 0.002)
        worker.account["sum"] += token.number
    except TimeoutError:
        pass


async def take(worker: Worker) -> None:
    """Get an item, or give up."""
    try:
        token = await asyncio.wait_for(same.get(), 0.002)
        worker.account["sum"] -= token.number
    except TimeoutError:
        pass


def tasks(worker: Worker) -> None:
    async def some() -> None:
        chosen = worker.random.choices([give, take], k=20)
        await asyncio.gather(*(each(worker) for each in chosen))

    if worker.random.random() < 0.05:
        asyncio.run(some())


def put(worker: Worker) -> None:
    token = Token(worker)
    worker.account["sum"] += token.number
    replaced = queue.force_put(token)
    if replaced is not None:
        worker.account["sum"] -= replaced.number


def get(worker: Worker) -> None:
    with contextlib.suppress(Empty):
        worker.account["sum"] -= queue.get_nowait().number


def check(account: Counter[object]) -> None:
    assert account["sum"] == sum(each.number for each in queue.drain())
    assert Token.left() == 0


if __name__ == "__main__":
    stress([tasks, put, get], check)
