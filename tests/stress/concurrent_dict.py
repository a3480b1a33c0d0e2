"""Stress ``ConcurrentDict``: each key has its own value, no sum is lost, weak values are one."""

from __future__ import annotations

import gc
from collections import Counter

from harness import Token, Worker, stress
from lockfree import ConcurrentDict


class Value(Token):
    """An object that knows its key."""

    def __init__(self, key: int, worker: Worker) -> None:
        super().__init__(worker)
        self.key = key


class Shared:
    """What is held weakly."""


values: ConcurrentDict[int, Value] = ConcurrentDict()
sums: ConcurrentDict[int, int] = ConcurrentDict()
weak: ConcurrentDict[int, Shared] = ConcurrentDict(weak_values=True)


def put(worker: Worker) -> None:
    key = worker.random.randrange(200)
    values[key] = Value(key, worker)


def get(worker: Worker) -> None:
    key = worker.random.randrange(200)
    value = values.get(key)
    assert value is None or value.key == key


def remove(worker: Worker) -> None:
    key = worker.random.randrange(200)
    value = values.get(key)
    if value is not None and values.compare_remove(key, value):
        assert value.key == key


def replace(worker: Worker) -> None:
    key = worker.random.randrange(200)
    new = Value(key, worker)
    assert values.exchange(key, new, new).key == key
    values.compare_exchange(key, new, Value(key, worker))


def load(worker: Worker) -> None:
    key = worker.random.randrange(200)
    assert values.get_or_load(key, lambda key: Value(key, worker)).key == key


def look(worker: Worker) -> None:
    if worker.random.random() < 0.01:
        assert all(value.key == key for key, value in values.items())


def clear(worker: Worker) -> None:
    if worker.random.random() < 0.001:
        values.clear()
    elif worker.random.random() < 0.01 and values:
        try:
            key, value = values.popitem()
        except KeyError:
            return
        assert value.key == key


def add(worker: Worker) -> None:
    n = worker.random.randrange(-100, 100)
    sums.compute(worker.random.randrange(5), lambda old: old + n, 0)
    worker.account["sum"] += n


def intern(worker: Worker) -> None:
    key = worker.random.randrange(3)
    mine = weak.setdefault(key, Shared())
    assert weak.get_or_load(key, lambda _key: Shared()) is mine
    assert weak.setdefault(key, Shared()) is mine


def check(account: Counter[object]) -> None:
    assert sum(sums.values()) == account["sum"]
    values.clear()
    assert Token.left() == 0
    gc.collect()
    assert len(weak) == 0


if __name__ == "__main__":
    stress([put, get, remove, replace, load, look, clear, add, intern], check)
