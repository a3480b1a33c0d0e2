"""Stress ``Cache`` and ``cached``: a key has a value of its own, which goes with its entry."""

from __future__ import annotations

from collections import Counter

from harness import Token, Worker, stress
from lockfree import Cache, cached


class Value(Token):
    """An object that knows its key."""

    def __init__(self, key: int, worker: Worker) -> None:
        super().__init__(worker)
        self.key = key


class Key:
    """A key whose comparison is Python code."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number % 7  # so that some collide

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.number == self.number


MAXSIZE = 100
cache: Cache[int, Value] = Cache(MAXSIZE, ttl=0.01)
slow: Cache[Key, Value] = Cache(20)
double = cached(50)(lambda n: n * 2)


def put(worker: Worker) -> None:
    key = worker.random.randrange(200)
    cache.put(key, Value(key, worker))


def get(worker: Worker) -> None:
    key = worker.random.randrange(200)
    value = cache.get(key)
    assert value is None or value.key == key


def get_or_load(worker: Worker) -> None:
    key = worker.random.randrange(200)
    assert cache.get_or_load(key, lambda key: Value(key, worker)).key == key


def delete(worker: Worker) -> None:
    cache.pop(worker.random.randrange(200), None)


def compare_keys(worker: Worker) -> None:
    number = worker.random.randrange(40)
    value = slow.get_or_load(Key(number), lambda key: Value(key.number, worker))
    assert value.key == number


def call_cached(worker: Worker) -> None:
    n = worker.random.randrange(100)
    assert double(n) == n * 2


def look(worker: Worker) -> None:
    if worker.random.random() < 0.01:
        assert all(value.key == key for key, value in list(cache.items()))


def clear(worker: Worker) -> None:
    if worker.random.random() < 0.001:
        cache.clear()


def check(account: Counter[object]) -> None:
    assert len(cache) <= MAXSIZE
    assert len(slow) <= 20
    cache.clear()
    slow.clear()
    assert Token.left() == 0


if __name__ == "__main__":
    stress([put, get, get_or_load, delete, compare_keys, call_cached, look, clear], check)
