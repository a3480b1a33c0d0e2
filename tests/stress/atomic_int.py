"""Stress ``AtomicInt64``: what is added is there."""

from __future__ import annotations

from collections import Counter

from harness import Worker, stress
from lockfree import AtomicInt64

total = AtomicInt64()
greatest = AtomicInt64()


def increment(worker: Worker) -> None:
    total.increment()
    worker.account["sum"] += 1


def decrement(worker: Worker) -> None:
    total.decrement()
    worker.account["sum"] -= 1


def add(worker: Worker) -> None:
    n = worker.random.randrange(-1000, 1000)
    total.add(n)
    worker.account["sum"] += n


def in_place(worker: Worker) -> None:
    global total
    total += 3
    worker.account["sum"] += 3


def update(worker: Worker) -> None:
    total.update(lambda value: value + 7)
    worker.account["sum"] += 7


def compare_exchange(worker: Worker) -> None:
    expected = total.load()
    if total.compare_exchange(expected, expected + 5):
        worker.account["sum"] += 5


def fetch_max(worker: Worker) -> None:
    n = worker.random.randrange(1 << 40)
    greatest.fetch_max(n)
    worker.account["greatest", worker.number] = max(n, worker.account["greatest", worker.number])


def check(account: Counter[object]) -> None:
    assert total.load() == account["sum"]
    reached = [n for key, n in account.items() if isinstance(key, tuple)]
    assert greatest.load() == max(reached, default=0)


if __name__ == "__main__":
    stress(
        [increment, decrement, add, in_place, update, compare_exchange, fetch_max],
        check,
    )
