"""Stress ``AtomicRef`` and ``AtomicStampedRef``: each object goes in once and comes out once."""

from __future__ import annotations

from collections import Counter

from harness import Token, Worker, stress
from lockfree import AtomicRef, AtomicStampedRef

ref: AtomicRef[Token | None] = AtomicRef(None)
stamped: AtomicStampedRef[Token | None] = AtomicStampedRef(None)


def exchange(worker: Worker) -> None:
    token = Token(worker)
    worker.account["sum"] += token.number
    out(worker, ref.exchange(token))


def compare_exchange(worker: Worker) -> None:
    old, token = ref.load(), Token(worker)
    if ref.compare_exchange(old, token):
        worker.account["sum"] += token.number
        out(worker, old)


def store(worker: Worker) -> None:
    # What a plain store replaces nobody gets: only that it dies is counted.
    other: AtomicRef[Token] = AtomicRef(Token(worker))
    other.store(Token(worker))


def load(worker: Worker) -> None:
    token = ref.value
    assert token is None or token.number > 0


def stamp(worker: Worker) -> None:
    old, number = stamped.load()
    if stamped.compare_exchange(old, Token(worker), number, number + 1):
        worker.account["stamps"] += 1


def out(worker: Worker, token: Token | None) -> None:
    if token is not None:
        worker.account["sum"] -= token.number


def check(account: Counter[object]) -> None:
    token = ref.exchange(None)
    assert account["sum"] == (token.number if token else 0)
    last, number = stamped.load()
    assert number == account["stamps"]
    assert stamped.compare_exchange(last, None, number, 0)
    del token, last
    assert Token.left() == 0


if __name__ == "__main__":
    stress([exchange, compare_exchange, store, load, stamp], check)
