"""When an atomic dies: at once, unless threads contended for it (free-threaded CPython 3.14+).

Everything goes through local variables, since CPython 3.15 defers the globals of
a module by itself. And the thread that drops an object's last reference is the
one that created it, since any other merely tells that one.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator

import pytest
from lockfree import AtomicInt64
from support import CORES, FREE_THREADED, hammer, run_threads

DEFERS = FREE_THREADED and sys.version_info >= (3, 14)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What dies here is not freed by the garbage collector, unless called."""
    gc.disable()
    yield
    gc.enable()


def use(a: AtomicInt64, times: int = 10) -> None:
    for _ in range(times):
        a.increment()
        a.load()
        a.fetch_add(1)


def use_and_hand_over(a: AtomicInt64) -> None:
    use(a)
    run_threads(1, lambda _index: use(a))
    use(a)


def use_a_million_times(a: AtomicInt64) -> None:
    use(a, 333_334)


def use_a_million_times_elsewhere(a: AtomicInt64) -> None:
    run_threads(1, lambda _index: use(a, 333_334))
    a.load()


def use_in_100_threads_in_turn(a: AtomicInt64) -> None:
    for _ in range(100):
        run_threads(1, lambda _index: use(a))
        a.load()


def contend(a: AtomicInt64) -> None:
    hammer(2, lambda _index: use(a, 1000), rounds=10)


def remains_of(scenario: Callable[[AtomicInt64], None]) -> weakref.ref[AtomicInt64]:
    """Create an atomic, play the scenario on it, and drop the only reference."""
    a = AtomicInt64()
    scenario(a)
    return weakref.ref(a)


@pytest.mark.parametrize(
    "scenario",
    [
        use,
        use_and_hand_over,
        use_a_million_times,
        use_a_million_times_elsewhere,
        use_in_100_threads_in_turn,
    ],
)
def test_dies_at_once(scenario: Callable[[AtomicInt64], None]) -> None:
    assert remains_of(scenario)() is None


@pytest.mark.skipif(not DEFERS, reason="needs deferred reference counts: no GIL, CPython 3.14")
@pytest.mark.skipif(CORES < 2, reason="two threads alternate quickly on two cores only")
def test_contended_dies_by_the_collector() -> None:
    # How quickly two threads alternate is up to the scheduler.
    tries = (remains_of(contend) for _ in range(200))
    ref = next((ref for ref in tries if ref() is not None), None)
    assert ref is not None, "no try was contended enough"
    gc.collect()
    assert ref() is None


@pytest.mark.skipif(DEFERS, reason="contended atomics are freed by the collector")
def test_contended_dies_at_once_where_nothing_defers() -> None:
    assert all(remains_of(contend)() is None for _ in range(10))
