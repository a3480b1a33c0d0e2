"""Updates that get lost, and those that do not.

The bank account is the classic of a lost update. ``LockFreeCounter`` is what the
tutorial that this package grew from offers against it: CAS-style over a lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain, count, islice
from operator import methodcaller
from types import ModuleType, TracebackType
from typing import Any

import lockfree.locked
import pytest
from lockfree.bench.handwritten import LockFreeCounter
from support import hammer, run_threads

INT64_MAX = 2**63 - 1


class Account:
    """Anything may happen between its read and its write."""

    def __init__(self, balance: int) -> None:
        self.balance = balance

    def deposit(self, amount: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        current = self.balance
        meanwhile()
        self.balance = current + amount


class AtomicAccount:
    """The same, but it writes only over the balance that it read."""

    def __init__(self, impl: ModuleType, balance: int) -> None:
        self._balance = impl.AtomicInt64(balance)

    @property
    def balance(self) -> int:
        return int(self._balance)

    def deposit(self, amount: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        while True:
            current = self._balance.load()
            meanwhile()
            if self._balance.compare_exchange(current, current + amount):
                return


def test_two_deposits_on_one_balance_lose_one() -> None:
    account = Account(100)
    account.deposit(50, meanwhile=lambda: account.deposit(30))
    assert account.balance == 150


def test_compare_exchange_sees_the_other_deposit(impl: ModuleType) -> None:
    account = AtomicAccount(impl, 100)
    others = [30]

    def other_deposit() -> None:
        while others:
            account.deposit(others.pop())

    account.deposit(50, meanwhile=other_deposit)
    assert account.balance == 180


def test_threads_lose_money_without_atomics() -> None:
    # With a GIL too: the call between read and write is where it changes hands.
    assert any(deposit_1_on_4_threads(Account(0)) for _ in range(50))


def test_threads_lose_no_money_with_atomics(impl: ModuleType) -> None:
    assert not any(deposit_1_on_4_threads(AtomicAccount(impl, 0)) for _ in range(5))


def deposit_1_on_4_threads(account: Account | AtomicAccount) -> int:
    """Return how much of the money is lost."""

    def step(_index: int) -> None:
        for _ in range(100):
            account.deposit(1)

    return hammer(4, step, rounds=50) * 100 - account.balance


@pytest.fixture(scope="session")
def batch(impl: ModuleType) -> int:
    """Operations in one step of a thread; the locked class is slow, its lock not on trial."""
    return 100 if impl is lockfree.locked else 2_500


def test_2_million_increments_are_exact(impl: ModuleType, batch: int) -> None:
    a = impl.AtomicInt64()

    def step(_index: int) -> None:
        for _ in range(batch):
            a.increment()

    steps = hammer(8, step, rounds=100)
    assert a.load() == steps * batch


def cas_loop(a: Any) -> None:
    while not a.compare_exchange(value := a.load(), value + 1):
        pass


ADD_1: dict[str, Callable[[Any], object]] = {
    "add": methodcaller("add", 1),
    "sub": methodcaller("sub", -1),
    "fetch_add": methodcaller("fetch_add", 1),
    "fetch_sub": methodcaller("fetch_sub", -1),
    "update": methodcaller("update", lambda value: value + 1),
    "fetch_update": methodcaller("fetch_update", lambda value: value + 1),
    "iadd": methodcaller("__iadd__", 1),
    "isub": methodcaller("__isub__", -1),
    "compare_exchange": cas_loop,
}


@pytest.mark.parametrize("add_1", ADD_1.values(), ids=ADD_1)
def test_no_way_to_add_1_loses_one(
    impl: ModuleType, batch: int, add_1: Callable[[Any], object]
) -> None:
    a = impl.AtomicInt64()

    def step(_index: int) -> None:
        for _ in range(batch):
            add_1(a)

    steps = hammer(4, step, rounds=50)
    assert a.load() == steps * batch


def test_exchange_hands_each_value_to_one_thread(impl: ModuleType, batch: int) -> None:
    a = impl.AtomicInt64(-1)
    tokens = [count(index, 4) for index in range(4)]
    received: list[list[int]] = [[], [], [], []]

    def step(index: int) -> None:
        received[index].extend(a.exchange(token) for token in islice(tokens[index], batch))

    hammer(4, step, rounds=50)
    handed_in = (range(index, next(tokens[index]), 4) for index in range(4))
    assert sorted([*chain(*received), a.load()]) == sorted([-1, *chain(*handed_in)])


def test_bit_operations_leave_the_bits_of_others(impl: ModuleType, batch: int) -> None:
    a = impl.AtomicInt64()

    def step(index: int) -> None:
        mine = 1 << index
        for _ in range(batch // 4):
            assert not a.fetch_or(mine) & mine
            assert a.fetch_and(~mine) & mine
            assert not a.fetch_xor(mine) & mine
            assert a.fetch_xor(mine) & mine

    hammer(4, step, rounds=50)
    assert a == 0


def test_maximum_never_falls_and_minimum_never_rises(impl: ModuleType, batch: int) -> None:
    largest, smallest = impl.AtomicInt64(), impl.AtomicInt64()
    numbers = [count(index, 4) for index in range(4)]

    def step(index: int) -> None:
        for number in islice(numbers[index], batch // 4):
            largest.fetch_max(number)
            assert largest.load() >= number
            smallest.fetch_min(-number)
            assert smallest.load() <= -number

    hammer(4, step, rounds=50)
    last = max(map(next, numbers)) - 4
    assert (largest.load(), smallest.load()) == (last, -last)


def test_overflow_is_exact_and_nobody_sees_a_wrapped_value(impl: ModuleType, batch: int) -> None:
    room = 50 * batch
    a = impl.AtomicInt64(INT64_MAX - room)
    reached: list[int] = []
    refused: list[None] = []
    seen_negative: list[int] = []

    def step(_index: int) -> None:
        for _ in range(batch):
            try:
                reached.append(a.increment())
            except OverflowError:
                refused.append(None)
            if a.load() < 0:
                seen_negative.append(a.load())

    steps = hammer(4, step, rounds=50)
    assert not seen_negative
    assert sorted(reached) == list(range(INT64_MAX - room + 1, INT64_MAX + 1))
    assert len(refused) == steps * batch - room


class Meddler:
    """A lock before which another thread always gets in, `times` times."""

    def __init__(self, counter: LockFreeCounter, times: int) -> None:
        self.counter = counter
        self.left = times

    def __enter__(self) -> None:
        if self.left:
            self.left -= 1
            self.counter._value += 10

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What `time.sleep` was asked for; it returns at once."""
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    return naps


def test_tutorial_counter_counts_what_it_does_not_refuse() -> None:
    counter = LockFreeCounter()
    refused: list[str] = []

    def worker(_index: int) -> None:
        for _ in range(1000):
            try:
                counter.increment()
            except Exception as error:
                refused.append(str(error))

    run_threads(4, worker)
    assert counter._value == 4000 - len(refused)
    assert set(refused) <= {"Failed to increment after max retries"}


def test_tutorial_counter_backs_off_linearly(slept: list[float]) -> None:
    counter = LockFreeCounter()
    counter._lock = Meddler(counter, times=20)  # type: ignore[assignment]
    assert counter.increment() == 201
    assert slept == [0.001 * attempt for attempt in range(20)]


def test_tutorial_counter_can_give_up(slept: list[float]) -> None:
    counter = LockFreeCounter()
    counter._lock = Meddler(counter, times=100)  # type: ignore[assignment]
    with pytest.raises(Exception, match="Failed to increment after max retries"):
        counter.increment()
    assert counter._value == 1000  # what the others added
    assert sum(slept) == pytest.approx(4.95)  # seconds it would have taken


def test_atomic_increment_neither_gives_up_nor_sleeps(impl: ModuleType, slept: list[float]) -> None:
    a = impl.AtomicInt64()
    others = iter(range(1000))

    def add_1(value: int) -> int:
        if next(others, None) is not None:
            a.add(10)
        return value + 1

    assert a.update(add_1) == 10_001
    assert not slept
