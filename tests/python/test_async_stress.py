"""Loops and threads on one queue, with cancellation and timeouts: nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import chain
from random import Random
from types import ModuleType
from typing import Any, TypeVar

import pytest
from lockfree import AtomicInt64, Empty, Full, ShutDown
from support import repetitions, run_threads

T = TypeVar("T")
Item = tuple[int, int]  # a producer's number and its item's

LOOPS, TASKS, THREADS = 3, 4, 4
PRODUCERS = (LOOPS * TASKS + THREADS) // 2
ITEMS = 15_000
HASTE = 0.05  # how many attempts are made in a hurry
LONGEST = 5e-4  # seconds that a hurried attempt has


async def attempt(random: Random, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await what `make` makes; when it was cancelled before it was done, once more."""
    while random.random() < HASTE:
        seconds = random.random() * LONGEST
        with suppress(asyncio.TimeoutError):
            match random.randrange(3):
                case 0:
                    return await asyncio.wait_for(make(), seconds)
                case 1:
                    async with asyncio.timeout(seconds):
                        return await make()
                case _:
                    task = asyncio.create_task(make())
                    cancel_soon(task, seconds, from_thread=random.random() < 0.3)
                    await asyncio.wait([task])
                    if not task.cancelled():
                        return task.result()
    return await make()


def cancel_soon(task: asyncio.Task[Any], seconds: float, *, from_thread: bool) -> None:
    loop = asyncio.get_running_loop()
    if not from_thread:
        loop.call_later(seconds, task.cancel)
        return

    def cancel() -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(task.cancel)

    threading.Timer(seconds, cancel).start()


class Traffic:
    """All that happens on one queue, and what came of it."""

    def __init__(self, q: Any, each: int) -> None:
        self.q = q
        self.each = each
        self.got: list[list[Item]] = [[] for _ in range(PRODUCERS)]
        self.producing = AtomicInt64(PRODUCERS)

    def thread(self, index: int) -> None:
        """Produce, or consume, as thread or as tasks of a loop."""
        if index < LOOPS:
            asyncio.run(self._loop(index))
            return
        number, random = LOOPS * TASKS + index - LOOPS, Random(index)
        if number % 2:
            self._consume(random, self.got[number // 2])
        else:
            self._produce(random, number // 2)

    async def _loop(self, index: int) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(index * TASKS, (index + 1) * TASKS):
                if number % 2:
                    consume = self._async_consume(Random(number), self.got[number // 2])
                    group.create_task(consume)
                else:
                    group.create_task(self._async_produce(Random(number), number // 2))

    def _produced(self) -> None:
        if self.producing.decrement() == 0:
            self.q.shutdown()

    def _produce(self, random: Random, producer: int) -> None:
        for number in range(self.each):
            hasty = random.random() < HASTE
            while True:
                with suppress(Full):
                    self.q.put((producer, number), timeout=LONGEST if hasty else None)
                    break
        self._produced()

    def _consume(self, random: Random, got: list[Item]) -> None:
        with suppress(ShutDown):
            while True:
                with suppress(Empty):
                    timeout = random.random() * LONGEST if random.random() < HASTE else None
                    if random.random() < 0.5:
                        got.append(self.q.get(timeout=timeout))
                    else:
                        got += self.q.get_many(3, timeout)

    async def _async_produce(self, random: Random, producer: int) -> None:
        for number in range(self.each):
            item = (producer, number)
            await attempt(random, lambda item=item: self.q.async_put(item))  # type: ignore[misc]
        self._produced()

    async def _async_consume(self, random: Random, got: list[Item]) -> None:
        with suppress(ShutDown):
            while True:
                if random.random() < 0.5:
                    got.append(await attempt(random, self.q.async_get))
                else:
                    got += await attempt(random, lambda: self.q.async_get_many(3))

    def check(self) -> None:
        """See each item exactly once, and those of a producer in their order."""
        every = [(p, number) for p in range(PRODUCERS) for number in range(self.each)]
        assert sorted(chain(*self.got)) == every
        for got in self.got:
            for producer in range(PRODUCERS):
                numbers = [number for p, number in got if p == producer]
                assert numbers == sorted(numbers)
        assert self.q.unfinished_tasks == len(every)
        assert self.q.empty()


@pytest.mark.parametrize("maxsize", [1, 10])
def test_3_loops_and_4_threads_pass_each_item_once_and_in_order(
    impl: ModuleType, maxsize: int
) -> None:
    traffic = Traffic(impl.Queue(maxsize), repetitions(impl, ITEMS) // PRODUCERS)
    run_threads(LOOPS + THREADS, traffic.thread, timeout=200)
    traffic.check()
