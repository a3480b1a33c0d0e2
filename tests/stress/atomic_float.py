"""Stress ``AtomicFloat64``: sums of what floats hold exactly are exact."""

from __future__ import annotations

from collections import Counter

from harness import Worker, stress
from lockfree import AtomicFloat64

total = AtomicFloat64()


def add(worker: Worker) -> None:
    halves = worker.random.randrange(-1000, 1000)
    total.add(halves / 2)
    worker.account["halves"] += halves


def fetch_add(worker: Worker) -> None:
    assert (total.fetch_add(0.5) * 2).is_integer()
    worker.account["halves"] += 1


def update(worker: Worker) -> None:
    total.update(lambda value: value + 1.5)
    worker.account["halves"] += 3


def compare_exchange(worker: Worker) -> None:
    expected = total.load()
    if total.compare_exchange(expected, expected + 2.0):
        worker.account["halves"] += 4


def check(account: Counter[object]) -> None:
    assert total.load() * 2 == account["halves"]


if __name__ == "__main__":
    stress([add, fetch_add, update, compare_exchange], check)
