"""Stress ``Queue``: what is put is got once, in the order of whoever put it, and then freed."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable

from harness import Token, Worker, stress
from lockfree import Empty, Full, Queue

unbounded: Queue[Token] = Queue()
bounded: Queue[Token] = Queue(3)


def put(worker: Worker) -> None:
    token = Token(worker)
    worker.account["sum"] += token.number
    unbounded.put(token)


def get(worker: Worker) -> None:
    with contextlib.suppress(Empty):
        out(worker, [unbounded.get_nowait()])


def put_many(worker: Worker) -> None:
    tokens = [Token(worker) for _ in range(worker.random.randrange(5))]
    worker.account["sum"] += sum(each.number for each in tokens)
    unbounded.put_many(tokens)


def get_many(worker: Worker) -> None:
    try:
        tokens = unbounded.get_many(5, timeout=0)
    except Empty:
        return
    out(worker, tokens)


def drain(worker: Worker) -> None:
    if worker.random.random() < 0.05:
        out(worker, unbounded.drain())


def put_or_wait(worker: Worker) -> None:
    token = Token(worker)
    try:
        bounded.put(token, timeout=0.001)
        worker.account["bounded"] += token.number
    except Full:
        pass


def get_or_wait(worker: Worker) -> None:
    with contextlib.suppress(Empty):
        worker.account["bounded"] -= bounded.get(timeout=0.001).number


def force_put(worker: Worker) -> None:
    token = Token(worker)
    worker.account["bounded"] += token.number
    replaced = bounded.force_put(token)
    if replaced is not None:
        worker.account["bounded"] -= replaced.number


def out(worker: Worker, tokens: Iterable[Token]) -> None:
    for token in tokens:
        worker.account["sum"] -= token.number
        # Of one producer's items a consumer gets the later ones later.
        last = ("last of", token.number % 1000, worker.number)
        assert worker.account[last] < token.number
        worker.account[last] = token.number


def check(account: Counter[object]) -> None:
    assert account["sum"] == sum(each.number for each in unbounded.drain())
    assert account["bounded"] == sum(each.number for each in bounded.drain())
    assert Token.left() == 0


if __name__ == "__main__":
    stress(
        [put, get, put_many, get_many, drain, put_or_wait, get_or_wait, force_put],
        check,
    )
