"""What the programs of this folder share: threads that do what chance says, and an account of it.

Each program hammers one class, for people and for builds with a sanitizer:

    python tests/stress/NAME.py [--seconds N] [--threads N] [--seed N]

It needs nothing but the package, prints what it did and its seed, and fails if something was lost,
repeated or invented. A seed repeats what each thread chooses, not how the threads interleave.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

AT_ONCE = 50  # actions between two looks at the clock


class Worker:
    """A thread's own dice, and its account of what it did."""

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        self.random = random.Random(f"{seed} {number}")
        self.account: Counter[Any] = Counter()
        self.made = 0

    def number_of_its_own(self) -> int:
        """Return a number that no other worker makes, and this one only once."""
        self.made += 1
        return self.number + self.made * 1000

    def work(self, actions: Sequence[Callable[[Worker], object]], until: float) -> None:
        """Do what chance says until the time is over."""
        done = self.account
        next(deaths.count)  # made before the first token of this thread dies
        self.made += 1
        while time.monotonic() < until:
            for action in self.random.choices(actions, k=AT_ONCE):
                action(self)
                done[action.__name__] += 1


class Deaths(threading.local):
    """How many tokens died on this thread.

    Neither a lock nor a shared number: either would order threads that a sanitizer shall see
    unordered. And a finalizer may interrupt a finalizer: `next` is one step.
    """

    of_all: ClassVar[list[Iterator[int]]] = []

    def __init__(self) -> None:
        self.count = count()
        self.of_all.append(self.count)


deaths = Deaths()
workers: list[Worker] = []


class Token:
    """An object of which one knows how many there are."""

    def __init__(self, worker: Worker) -> None:
        self.number = worker.number_of_its_own()

    def __del__(self) -> None:
        next(deaths.count)

    @classmethod
    def left(cls) -> int:
        """Return how many are alive, once nobody uses any."""
        for _ in range(3):
            gc.collect()
        return sum(each.made for each in workers) - sum(map(next, Deaths.of_all))


Check = Callable[[Counter[Any]], None]


def stress(actions: Sequence[Callable[[Worker], object]], check: Check) -> None:
    """Let threads do the actions; sum up their accounts and check them."""
    options = given_options()
    workers.extend(Worker(number, options.seed) for number in range(options.threads))
    failures: list[object] = []
    threading.excepthook = lambda failure: report(failure, failures)
    sys.unraisablehook = lambda failure: report(failure, failures)
    until = time.monotonic() + options.seconds
    threads = [threading.Thread(target=each.work, args=(actions, until)) for each in workers]
    name = Path(sys.argv[0]).stem
    print(f"{name}: --seed {options.seed} --threads {options.threads}", flush=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"{name}: {len(failures)} exceptions, --seed {options.seed}")
    account: Counter[Any] = Counter()
    for worker in workers:
        account.update(worker.account)  # `+` would leave out what is negative
    done = {each.__name__: account[each.__name__] for each in actions}
    print(*(f"{each} {count:,}" for each, count in done.items()), sep=", ")
    check(account)
    print(f"{name}: {sum(done.values()):,} operations, nothing lost")


def report(failure: Any, failures: list[object]) -> None:
    sys.__excepthook__(failure.exc_type, failure.exc_value, failure.exc_traceback)
    failures.append(failure.exc_type)


def given_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    return parser.parse_args()
