"""Stress ``wait`` and ``notify`` of the atomics: nobody sleeps through a change."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from threading import Thread

from harness import Worker, stress
from lockfree import AtomicInt64, AtomicRef

NEVER = 30.0  # seconds, after which somebody has slept through one

number = AtomicInt64()
ref: AtomicRef[object] = AtomicRef(None)


def change(worker: Worker) -> None:
    number.increment()
    number.notify_all()


def replace(worker: Worker) -> None:
    ref.store(object())
    ref.notify_one()


def wait(worker: Worker) -> None:
    number.wait(number.load() - 1, timeout=NEVER)  # has changed since: must not sleep


def wait_in_vain(worker: Worker) -> None:
    if worker.random.random() < 0.1:
        number.wait(number.load(), timeout=0.001)
        ref.wait(ref.load(), timeout=0.001)


def wait_in_a_task(worker: Worker) -> None:
    async def one() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(number.async_wait(number.load()), 0.002)

    if worker.random.random() < 0.02:
        asyncio.run(one())


def wake(worker: Worker) -> None:
    if worker.random.random() < 0.02:
        flag = AtomicInt64()
        other = Thread(target=_set, args=(flag,))
        other.start()
        assert flag.wait(0, timeout=NEVER), "slept through it"
        other.join()


def wake_a_task(worker: Worker) -> None:
    async def one() -> None:
        await asyncio.wait_for(flag.async_wait(0), NEVER)

    if worker.random.random() < 0.02:
        flag = AtomicInt64()
        other = Thread(target=_set, args=(flag,))
        other.start()
        asyncio.run(one())
        other.join()


def _set(flag: AtomicInt64) -> None:
    flag.store(1)
    flag.notify_all()


def check(account: Counter[object]) -> None:
    assert number.load() == account["change"]


if __name__ == "__main__":
    stress([change, replace, wait, wait_in_vain, wait_in_a_task, wake, wake_a_task], check)
