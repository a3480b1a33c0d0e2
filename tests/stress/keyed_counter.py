"""Stress ``KeyedCounter``: each addition is in one reset, or in what remains, and keys die."""

from __future__ import annotations

import gc
from collections import Counter

from harness import Token, Worker, stress
from lockfree import KeyedCounter

sums: KeyedCounter[object] = KeyedCounter()
bounded: KeyedCounter[int] = KeyedCounter(maxsize=50)


def add(worker: Worker) -> None:
    n = worker.random.choice([1, -1, 7, 2**63 - 1, -(2**63)])
    sums.add(worker.random.randrange(8), n)
    worker.account["sum"] += n


def add_token(worker: Worker) -> None:
    sums.add(Token(worker))
    worker.account["sum"] += 1


def add_bounded(worker: Worker) -> None:
    bounded.add(worker.random.randrange(100))
    worker.account["bounded"] += 1
    assert len(bounded) <= 50


def reset_key(worker: Worker) -> None:
    worker.account["sum"] -= sums.reset(worker.random.randrange(8))


def reset(worker: Worker) -> None:
    if worker.random.random() < 0.02:
        worker.account["sum"] -= sum(sums.reset().values())
        worker.account["bounded"] -= sum(bounded.reset().values())


def look(worker: Worker) -> None:
    key = worker.random.randrange(8)
    assert isinstance(sums[key], int)
    if worker.random.random() < 0.01:
        keys = list(sums)
        assert len(keys) == len(set(keys))
        repr(bounded)


def check(account: Counter[object]) -> None:
    assert sums.total() == account["sum"]
    assert bounded.total() == account["bounded"]
    sums.reset()
    gc.collect()
    assert Token.left() == 0


if __name__ == "__main__":
    stress([add, add, add_token, add_bounded, reset_key, reset, look], check)
