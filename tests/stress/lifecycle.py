"""Stress what comes and goes: containers in cycles, full ones dropped, the collector in between."""

from __future__ import annotations

import gc
from collections import Counter
from typing import Any

from harness import Token, Worker, stress
from lockfree import AtomicRef, Cache, Queue, Stack, StripedCounter


def container(worker: Worker) -> Any:
    """Return one with tokens inside, and itself."""
    tokens = [Token(worker) for _ in range(3)]
    kind = worker.random.randrange(4)
    if kind == 0:
        stack: Stack[Any] = Stack(tokens)
        stack.push(stack)
        return stack
    if kind == 1:
        queue: Queue[Any] = Queue()
        queue.put_many(tokens)
        queue.put(queue)
        return queue
    if kind == 2:
        cache: Cache[int, Any] = Cache(10)
        cache.update(enumerate(tokens))
        cache[3] = cache
        return cache
    ref: AtomicRef[Any] = AtomicRef(None)
    ref.store((ref, tokens))
    return ref


shared: AtomicRef[Any] = AtomicRef(None)


def make(worker: Worker) -> None:
    container(worker)


def hand_over(worker: Worker) -> None:
    shared.store(container(worker))


def collect(worker: Worker) -> None:
    if worker.random.random() < 0.01:
        gc.collect()


def count(worker: Worker) -> None:
    StripedCounter().increment()


def check(account: Counter[object]) -> None:
    shared.store(None)
    assert Token.left() == 0


if __name__ == "__main__":
    stress([make, hand_over, collect, count], check)
