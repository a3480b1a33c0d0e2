"""Stress ``StripedCounter``: each addition is counted by exactly one ``reset`` or by the sum."""

from __future__ import annotations

from collections import Counter
from threading import Thread

from harness import Worker, stress
from lockfree import StripedCounter

counter = StripedCounter()


def increment(worker: Worker) -> None:
    counter.increment()
    worker.account["sum"] += 1


def add(worker: Worker) -> None:
    n = worker.random.randrange(-100, 100)
    counter.add(n)
    worker.account["sum"] += n


def total(worker: Worker) -> None:
    counter.sum()


def reset(worker: Worker) -> None:
    if worker.random.random() < 0.01:
        worker.account["sum"] -= counter.reset()


def thread(worker: Worker) -> None:
    if worker.random.random() < 0.001:  # whose cell another one inherits
        other = Thread(target=counter.increment)
        other.start()
        other.join()
        worker.account["sum"] += 1


def check(account: Counter[object]) -> None:
    assert counter.sum() == account["sum"]


if __name__ == "__main__":
    stress([increment, add, total, reset, thread], check)
