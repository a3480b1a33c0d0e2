"""Stress ``Stack``: what is pushed is popped once, and then freed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness import Token, Worker, stress
from lockfree import Stack

stack: Stack[Token] = Stack()


def push(worker: Worker) -> None:
    token = Token(worker)
    worker.account["sum"] += token.number
    stack.push(token)


def push_many(worker: Worker) -> None:
    tokens = [Token(worker) for _ in range(worker.random.randrange(5))]
    worker.account["sum"] += sum(each.number for each in tokens)
    stack.push_many(tokens)


def pop(worker: Worker) -> None:
    token = stack.pop(default=None)
    out(worker, [] if token is None else [token])


def pop_many(worker: Worker) -> None:
    out(worker, stack.pop_many(worker.random.randrange(8)))


def pop_all(worker: Worker) -> None:
    if worker.random.random() < 0.05:
        out(worker, stack.pop_all())


def peek(worker: Worker) -> None:
    token = stack.peek(default=None)
    assert token is None or token.number > 0


def look(worker: Worker) -> None:
    if worker.random.random() < 0.05:
        assert all(each.number > 0 for each in stack)
        assert len(stack) >= 0


def out(worker: Worker, tokens: Iterable[Token]) -> None:
    worker.account["sum"] -= sum(each.number for each in tokens)


def check(account: Counter[object]) -> None:
    assert account["sum"] == sum(each.number for each in stack.pop_all())
    assert Token.left() == 0


if __name__ == "__main__":
    stress([push, push_many, pop, pop_many, pop_all, peek, look], check)
