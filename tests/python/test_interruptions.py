"""Nothing gets between the steps of an operation that it cannot bear.

A build for a GIL has no atomic instructions (`src/shim/attached.rs`): there an operation must be
whole because nobody else runs. So here the interpreter changes threads whenever it can, collects
at every allocation that it counts, and runs finalizers that use the very object.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any, Final

import pytest
from support import repetitions, run_threads

THREADS: Final = 8


@pytest.fixture(autouse=True)
def impatient_interpreter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    # What `run_threads` sets for all other tests would be ten times as patient.
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    gc.set_threshold(1)
    yield
    gc.set_threshold(*thresholds)
    monkeypatch.undo()
    sys.setswitchinterval(interval)


class Litter:
    """A cycle, which only a collection frees; it calls `then` when it does."""

    def __init__(self, then: Callable[[], object]) -> None:
        self.itself, self.then = self, then

    def __del__(self) -> None:
        self.then()


def in_traffic(impl: ModuleType, use: Callable[[], object], again: Callable[[], object]) -> int:
    """Call `use` on many threads, and `again` from finalizers; return how often each was called.

    The locked twins do not promise that they may be called from finalizers: there the litter
    does nothing.
    """
    calls: list[None] = []
    then = again if impl.__name__ == "lockfree" else int

    def count_and_call() -> None:
        calls.append(None)  # of a list, which takes it in one step
        then()

    rounds = repetitions(impl, 4000)

    def work(_: int) -> None:
        for _ in range(rounds):
            Litter(count_and_call)
            use()

    run_threads(THREADS, work)
    gc.collect()
    assert len(calls) == THREADS * rounds
    return THREADS * rounds


def counted(impl: ModuleType, calls: int) -> int:
    """How much `calls` calls add that finalizers repeat, where they do."""
    return 2 * calls if impl.__name__ == "lockfree" else calls


def test_integers(impl: ModuleType) -> None:
    a, b = impl.AtomicInt64(), impl.AtomicInt64()

    def use() -> None:
        a.increment()
        b.fetch_update(lambda n: n + 1)
        a.fetch_xor(1 << 40)

    calls = counted(impl, in_traffic(impl, use, use))
    assert (a.load(), b.load()) == (calls, calls)


def test_floats_and_flags(impl: ModuleType) -> None:
    a, flag, turns = impl.AtomicFloat64(), impl.AtomicBool(), impl.StripedCounter()

    def use() -> None:
        a.add(0.5)
        if not flag.test_and_set():
            turns.increment()
            flag.store(False)

    calls = counted(impl, in_traffic(impl, use, use))
    assert a.load() == calls / 2
    assert 0 < turns.sum() <= calls


def test_striped_counter(impl: ModuleType) -> None:
    counter, taken = impl.StripedCounter(), impl.AtomicInt64()

    def use() -> None:
        counter.add(3)
        taken.add(counter.reset())

    calls = counted(impl, in_traffic(impl, use, use))
    assert taken.load() + counter.sum() == 3 * calls


def test_references(impl: ModuleType) -> None:
    ref: Any = impl.AtomicRef(())

    def use() -> None:
        ref.update(lambda old: (*old[-1:], len(old)))
        while not ref.compare_exchange(old := ref.load(), (old,)):
            pass
        ref.store(())

    in_traffic(impl, use, use)
    assert isinstance(ref.load(), tuple)


def test_stack(impl: ModuleType) -> None:
    stack, tickets, popped = impl.Stack(), impl.AtomicInt64(), []

    def use() -> None:
        stack.push(tickets.increment())
        stack.push_many([tickets.increment(), tickets.increment()])
        with suppress(IndexError):
            popped.append(stack.pop())
        popped.extend(stack.pop_many(1))

    calls = counted(impl, in_traffic(impl, use, use))
    assert sorted(popped + stack.pop_all()) == list(range(1, 3 * calls + 1))


def test_queue(impl: ModuleType) -> None:
    queue, tickets, got = impl.Queue(), impl.AtomicInt64(), []

    def use() -> None:
        queue.put(tickets.increment())
        queue.put_many([tickets.increment(), tickets.increment()])
        got.append(queue.get())
        got.extend(queue.get_many(1))

    calls = counted(impl, in_traffic(impl, use, use))
    assert sorted(got + queue.drain()) == list(range(1, 3 * calls + 1))
    assert queue.unfinished_tasks == 3 * calls


def test_cache(impl: ModuleType) -> None:
    counters, loads = impl.Cache(None), Counter[int]()
    ticket = impl.AtomicInt64()

    def load(key: int) -> Any:
        loads[key] += 1
        return impl.AtomicInt64()

    def use() -> None:
        counters.get_or_load(ticket.increment() % 7, load).increment()

    # A finalizer would wait for the load that it interrupts: it only looks.
    calls = in_traffic(impl, use, lambda: counters.get(3))
    assert set(loads.values()) == {1}
    assert sum(counter.load() for counter in counters.values()) == calls


def test_small_cache(impl: ModuleType) -> None:
    cache, ticket = impl.Cache(5), impl.AtomicInt64()

    def use() -> None:
        n = ticket.increment()
        cache[n % 11] = n
        cache.pop((n + 4) % 11, None)
        assert len(cache) <= 5

    in_traffic(impl, use, use)
    assert cache.weight == len(cache) == len(list(cache))
