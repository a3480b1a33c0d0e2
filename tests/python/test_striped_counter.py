"""``StripedCounter``: one body for the native class and the locked one."""

from __future__ import annotations

import copy
import gc
import operator
import pickle
import signal
import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import lockfree
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import hammer, in_child, needs_fork, needs_statm, run_threads

MIN, MAX = -(2**63), 2**63 - 1


class Index:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __index__(self) -> Any:
        return self.value


# --- values --------------------------------------------------------------------


def test_counts(impl: ModuleType) -> None:
    c = impl.StripedCounter()
    assert c.sum() == int(c) == 0
    for step in (c.increment, c.increment, c.add, c.decrement):
        assert step() is None
    assert c.add(40) is None
    assert c.sum() == int(c) == 42
    assert type(c.sum()) is type(int(c)) is int
    assert str(c) == f"{c}" == "42"
    assert f"{c:>5}" == "   42"
    assert repr(c) == "StripedCounter(42)"


def test_reset_returns_the_sum_and_starts_again(impl: ModuleType) -> None:
    c = impl.StripedCounter()
    assert c.reset() == 0
    c.add(7)
    assert c.reset() == 7
    assert c.sum() == c.reset() == 0
    c.decrement()
    assert c.reset() == -1
    assert repr(c) == "StripedCounter(0)"


@pytest.mark.parametrize("n", [0, 1, -1, MIN, MAX, True, Index(7), Index(MIN)])
def test_adds_every_64_bit_integer(impl: ModuleType, n: Any) -> None:
    c = impl.StripedCounter()
    c.increment()
    c.add(n)
    assert c.sum() == 1 + operator.index(n)


@pytest.mark.parametrize("n", [MIN, MAX])
def test_nothing_overflows(impl: ModuleType, n: int) -> None:
    c = impl.StripedCounter()
    for count in range(1, 6):
        c.add(n)
        assert c.sum() == int(c) == count * n
    c.decrement()
    c.increment()
    assert repr(c) == f"StripedCounter({5 * n})"
    assert c.reset() == 5 * n
    c.increment()
    assert c.sum() == 1


@pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        (1.0, TypeError, "expected an int, not 1.0"),
        (None, TypeError, "expected an int, not None"),
        ("5", TypeError, "expected an int, not '5'"),
        (2**63, OverflowError, "9223372036854775808 does not fit in 64 bits"),
        (MIN - 1, OverflowError, "-9223372036854775809 does not fit in 64 bits"),
        (10**5000, OverflowError, "an int of 16610 bits does not fit in 64 bits"),
        (Index(10**5000), OverflowError, "an int of 16610 bits does not fit in 64 bits"),
    ],
    ids=lambda value: str(value)[:45] if isinstance(value, str) else "",
)
def test_refuses_what_is_no_64_bit_integer(
    impl: ModuleType, bad: Any, error: type[Exception], text: str
) -> None:
    c = impl.StripedCounter()
    for count in range(2):  # without a cell, and with one
        with pytest.raises(error) as caught:
            c.add(bad)
        assert str(caught.value) == text
        assert c.sum() == count
        c.increment()


@pytest.mark.parametrize(
    "call",
    [
        "StripedCounter(1, 2)",
        "StripedCounter(n=1)",
        "c.add(1, 2)",
        "c.add(n=1)",
        "c.increment(1)",
        "c.decrement(1)",
        "c.sum(1)",
        "c.reset(x=1)",
    ],
)
def test_refuses_keywords_and_wrong_counts(impl: ModuleType, call: str) -> None:
    c = impl.StripedCounter()
    with pytest.raises(TypeError, match="argument"):
        eval(call, {"StripedCounter": impl.StripedCounter, "c": c})
    assert c.sum() == 0


steps = st.integers(MIN, MAX) | st.sampled_from([MIN, MAX, "reset", "increment", "decrement"])


@given(steps=st.lists(steps))
def test_behaves_as_an_int(impl: ModuleType, steps: list[Any]) -> None:
    c, value = impl.StripedCounter(), 0
    for step in steps:
        if step == "reset":
            assert c.reset() == value
            value = 0
        elif isinstance(step, str):
            getattr(c, step)()
            value += 1 if step == "increment" else -1
        else:
            c.add(step)
            value += step
        assert c.sum() == value


# --- as an object --------------------------------------------------------------


def test_begins_at_a_value(impl: ModuleType) -> None:
    for c in (impl.StripedCounter(5), impl.StripedCounter(value=5)):
        c.increment()
        assert (c.sum(), c.reset(), c.sum()) == (6, 6, 0)
    for bad, error in ((1.5, TypeError), ("5", TypeError), (2**63, OverflowError)):
        with pytest.raises(error):
            impl.StripedCounter(bad)


def test_compares_its_sum_with_numbers(impl: ModuleType) -> None:
    c = impl.StripedCounter(3)
    assert c == 3
    assert c == 3.0
    assert c != 4
    assert 2 < c <= 3 < 3.5
    assert c >= 3
    assert c == impl.StripedCounter(3)
    assert c != impl.StripedCounter(4)
    assert c == impl.AtomicInt64(3)
    assert c != "3"
    assert bool(c) is True
    assert bool(impl.StripedCounter()) is False
    wide = impl.StripedCounter(MAX)
    wide.add(MAX)
    assert wide == 2 * MAX
    with pytest.raises(TypeError, match="unhashable"):
        hash(c)


def test_is_no_integer(impl: ModuleType) -> None:
    c = impl.StripedCounter()
    with pytest.raises(TypeError):
        range(c)
    with pytest.raises(TypeError):
        c += 1
    with pytest.raises(AttributeError):
        c.other = 1


def test_is_weakly_referenceable(impl: ModuleType) -> None:
    c = impl.StripedCounter()
    c.increment()
    ref = weakref.ref(c)
    assert ref() is c
    del c
    assert ref() is None


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy]
    + [lambda c, n=n: pickle.dumps(c, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)],
)
def test_refuses_to_be_copied(impl: ModuleType, copied: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        copied(impl.StripedCounter())
    assert str(caught.value) == (
        "cannot copy or pickle 'StripedCounter' object: it is shared state; copy its sum, int(c)"
    )


def test_is_final(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match="is not an acceptable base type"):
        type("Sub", (impl.StripedCounter,), {})


# --- threads -------------------------------------------------------------------


def test_threads_count_exactly(impl: ModuleType) -> None:
    c = impl.StripedCounter()

    def step(_index: int) -> None:
        for _ in range(100):
            c.increment()
            c.add(3)
            c.add()
            c.decrement()

    steps = hammer(4, step, rounds=200)
    assert c.sum() == 400 * steps


def test_a_sum_contains_what_was_added_before_and_never_goes_back(impl: ModuleType) -> None:
    c = impl.StripedCounter()
    last = [0] * 3

    def step(index: int) -> None:
        for _ in range(20):
            c.increment()
        seen = c.sum()
        assert seen >= last[index] + 20
        last[index] = seen

    steps = hammer(3, step, rounds=200)
    assert c.sum() == 20 * steps


def test_each_addition_is_in_one_reset_or_in_what_remains(impl: ModuleType) -> None:
    c = impl.StripedCounter()
    resets: list[list[int]] = [[] for _ in range(4)]

    def step(index: int) -> None:
        for _ in range(100):
            c.increment()
        resets[index].append(c.reset())

    steps = hammer(4, step, rounds=200)
    taken = [value for row in resets for value in row]
    assert sum(taken) + c.sum() == 100 * steps
    assert min(taken) >= 0


def test_whoever_sees_the_sum_sees_what_was_done_before(impl: ModuleType) -> None:
    def message(_round: int) -> None:
        c, box = impl.StripedCounter(), ["nothing"]

        def work(index: int) -> None:
            if index == 0:
                box[0] = "done"
                c.increment()
            else:
                while c.sum() == 0:
                    pass
                assert box[0] == "done"

        run_threads(2, work)

    for number in range(20):
        message(number)


def test_10_000_threads_leave_their_counts_and_no_growth(impl: ModuleType) -> None:
    child = in_child(
        f"""
        import os, _thread
        from {impl.__name__} import StripedCounter

        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        counters = [StripedCounter() for _ in range(20)]

        def count(done):
            for c in counters:
                c.increment()
            done.release()

        def threads(n):
            done = _thread.allocate_lock(), _thread.allocate_lock()
            for _ in range(n // 2):
                for each in done:
                    each.acquire()
                    _thread.start_new_thread(count, (each,))
                for each in done:
                    with each:
                        pass

        threads(1000)
        before = resident() if os.path.exists("/proc/self/statm") else None
        threads(9000)
        assert {{c.sum() for c in counters}} == {{10_000}}
        if before is not None:
            # A cell for each would take 23 MB.
            assert resident() - before < 4_000_000, resident() - before
        """
    )
    assert child == (0, "", "")


# --- awkward moments: native only ----------------------------------------------


def test_finalizers_count_when_their_thread_ends() -> None:
    c = lockfree.StripedCounter()
    local = threading.local()

    class Last:
        def __del__(self) -> None:
            c.add(10)

    def work(_index: int) -> None:
        local.last = Last()
        c.increment()

    for _ in range(5):
        run_threads(4, work)
    gc.collect()
    assert c.sum() == 220


@needs_fork
def test_a_forked_child_goes_on_counting() -> None:
    child = in_child(
        """
        import os, sys, threading, warnings
        from lockfree import StripedCounter

        # CPython warns of threads at a fork: they are the point here.
        warnings.simplefilter("ignore", DeprecationWarning)
        inherited, stop = StripedCounter(), threading.Event()

        def traffic():
            while not stop.is_set():
                inherited.increment()
                inherited.sum()

        def count(c, barrier):
            barrier.wait()
            for _ in range(50_000):
                c.increment()

        def count_in_threads(c):
            before, barrier = c.sum(), threading.Barrier(3)
            threads = [threading.Thread(target=count, args=(c, barrier)) for _ in range(2)]
            for thread in threads:
                thread.start()
            count(c, barrier)
            for thread in threads:
                thread.join()
            assert c.sum() == before + 150_000, "a cell has two owners, or the others still run"

        inherited.increment()  # so the forking thread is the first to have a cell
        threads = [threading.Thread(target=traffic, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            pid = os.fork()
            if pid == 0:
                count_in_threads(inherited)
                count_in_threads(StripedCounter())
                assert inherited.reset() >= 150_001
                sys.exit()
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        stop.set()
        for thread in threads:
            thread.join()
        """
    )
    assert child == (0, "", "")


@needs_statm
def test_a_forked_child_makes_no_cells_for_threads_it_does_not_have() -> None:
    child = in_child(
        """
        import os, threading, warnings
        from lockfree import StripedCounter

        warnings.simplefilter("ignore", DeprecationWarning)

        def memory():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")

        def live(c, barrier, stop):
            c.increment()
            barrier.wait()
            stop.wait()

        def count_in_many():
            before = memory()
            for c in counters:
                c.increment()
            # With room for the parent's threads it would be 16 MB.
            assert memory() - before < 4_000_000, memory() - before

        c, barrier, stop = StripedCounter(), threading.Barrier(101), threading.Event()
        threads = [threading.Thread(target=live, args=(c, barrier, stop)) for _ in range(100)]
        for thread in threads:
            thread.start()
        barrier.wait()
        counters = [StripedCounter() for _ in range(2000)]
        pid = os.fork()
        if pid == 0:
            thread = threading.Thread(target=count_in_many)
            thread.start()
            thread.join()
            os._exit(any(c.sum() != 1 for c in counters))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        stop.set()
        for thread in threads:
            thread.join()
        """
    )
    assert child == (0, "", "")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs signal.setitimer")
def test_signals_at_any_moment_lose_nothing() -> None:
    child = in_child(
        """
        import signal
        from lockfree import StripedCounter

        c, handled, n = StripedCounter(), 0, 0

        def handler(*_):
            global handled
            handled += 1
            c.increment()
            c.sum()

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        while handled < 500:
            n += 2
            c.increment()
            c.add(1)
            n -= c.reset()
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert c.sum() == n + handled, (c, n, handled)
        """
    )
    assert child == (0, "", "")


def test_counts_until_the_very_end() -> None:
    child = in_child(
        """
        import atexit
        from lockfree import StripedCounter

        class Last:
            def __init__(self):
                self.c = StripedCounter()
            def __del__(self):
                self.c.increment()
                print(self.c)

        last = Last()
        atexit.register(last.c.increment)
        """
    )
    assert child == (0, "2\n", "")


def test_daemon_threads_that_count_do_not_disturb_the_end() -> None:
    code = """
        import threading, time
        from lockfree import StripedCounter

        def forever(c):
            while True:
                c.increment()
                c.sum()
                c.reset()

        c = StripedCounter()
        for _ in range(4):
            threading.Thread(target=forever, args=(c,), daemon=True).start()
        time.sleep(0.02)
        """
    for _ in range(3):
        assert in_child(code, timeout=30) == (0, "", "")
