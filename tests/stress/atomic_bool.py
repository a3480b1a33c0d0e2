"""Stress ``AtomicBool``: only one is the first, and sees what the one before did."""

from __future__ import annotations

from collections import Counter

from harness import Worker, stress
from lockfree import AtomicBool

taken = AtomicBool()
guarded = 0  # no atomic: only who took the flag changes it
toggled = AtomicBool()


def enter(worker: Worker) -> None:
    global guarded
    if not taken.test_and_set():
        guarded += 1
        worker.account["entered"] += 1
        taken.store(False)


def exchange(worker: Worker) -> None:
    global guarded
    if not taken.exchange(True):
        guarded += 1
        worker.account["entered"] += 1
        assert taken.compare_exchange(True, False)


def toggle(worker: Worker) -> None:
    toggled.toggle()
    worker.account["toggled"] += 1


def check(account: Counter[object]) -> None:
    assert guarded == account["entered"] > 0
    assert toggled.load() is bool(account["toggled"] % 2)


if __name__ == "__main__":
    stress([enter, exchange, toggle], check)
