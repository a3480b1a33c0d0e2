"""Atomics in awkward moments: forks, the interpreter's end, signals and finalizers.

Native only. ``lockfree.locked`` does not promise these: whoever interrupts its
operation, or forks in the middle of one, may wait for its lock for ever.
"""

from __future__ import annotations

import gc
import signal
import weakref
from itertools import islice

import pytest
from lockfree import AtomicInt64
from support import in_child, needs_fork


@needs_fork
def test_a_forked_child_uses_old_and_new_atomics() -> None:
    child = in_child(
        """
        import os, sys, threading, warnings
        from lockfree import AtomicInt64

        # CPython warns of threads at a fork: they are the point here.
        warnings.simplefilter("ignore", DeprecationWarning)
        inherited, stop = AtomicInt64(), threading.Event()

        def traffic():
            while not stop.is_set():
                inherited.update(lambda value: value + 1)
                inherited.increment()

        def use(a):
            before = a.load()
            for _ in range(10_000):
                a.increment()
            assert a.update(lambda value: value - 10_000) == before, "other threads still run"
            assert a.compare_exchange(before, 5)

        threads = [threading.Thread(target=traffic) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            pid = os.fork()
            if pid == 0:
                use(inherited)
                use(AtomicInt64(7))
                thread = threading.Thread(target=use, args=(inherited,))
                thread.start()
                thread.join()
                assert inherited == 5
                sys.exit()
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        stop.set()
        for thread in threads:
            thread.join()
        """
    )
    assert child == (0, "", "")


DAEMONS = """
import threading, time
from lockfree import AtomicInt64

def pause(*_):
    time.sleep(0.001)

class Slow:
    def __index__(self):
        pause()
        return 1
    def __eq__(self, other):
        pause()
        return True
    def __float__(self):
        return 1.0

class Unwanted:
    def __repr__(self):
        pause()
        return "Unwanted()"

class Dying(int):
    def __del__(self):
        pause()

def update(a): a.update(lambda value: pause() or value + 1)
def fetch_update(a): a.fetch_update(lambda value: pause() or value + 1)
def construct(a): AtomicInt64(Slow())
def add(a): a.add(Slow())
def compare_exchange(a): a.compare_exchange(Slow(), Slow())
def add_in_place(a): a += Slow()
def compare(a): a == Slow()
def drop(a): a.update(lambda value: Dying(1))
def refuse(a):
    try:
        a.add(Unwanted())
    except TypeError:
        pass

def forever(a):
    while True:
        {operation}(a)

a = AtomicInt64()
for _ in range(4):
    threading.Thread(target=forever, args=(a,), daemon=True).start()
time.sleep(0.02)
"""
OPERATIONS = ["update", "fetch_update", "construct", "add", "compare_exchange"]
OPERATIONS += ["add_in_place", "compare", "drop", "refuse"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_daemon_threads_in_user_code_do_not_disturb_the_end(operation: str) -> None:
    for _ in range(20 if operation == "update" else 3):
        assert in_child(DAEMONS.format(operation=operation), timeout=30) == (0, "", "")


def test_atomics_work_until_the_very_end() -> None:
    child = in_child(
        """
        import atexit
        from lockfree import AtomicInt64

        class Last:
            def __init__(self):
                self.a = AtomicInt64(40)
            def __del__(self):
                print(self.a.increment(), self.a)

        last = Last()
        atexit.register(last.a.increment)
        """
    )
    assert child == (0, "42 42\n", "")


# --- interrupted by itself -----------------------------------------------------


def test_a_signal_handler_may_use_the_atomic_it_interrupts() -> None:
    a = AtomicInt64()
    signals = iter([signal.SIGINT] * 3)

    def fn(value: int) -> int:
        for number in islice(signals, 1):
            signal.raise_signal(number)
        return value + 1

    previous = signal.signal(signal.SIGINT, lambda *_: a.add(10))
    try:
        assert a.update(fn) == 31
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs signal.setitimer")
def test_signals_at_any_moment_lose_nothing() -> None:
    child = in_child(
        """
        import signal
        from lockfree import AtomicInt64

        a, handled, n = AtomicInt64(), 0, 0

        def handler(*_):
            global handled
            handled += 1
            a.increment()

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        while handled < 500:
            n += 3
            a.increment()
            a.update(lambda value: value + 1)
            a += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert a == n + handled, (a, n, handled)
        """
    )
    assert child == (0, "", "")


def test_a_finalizer_may_use_the_atomic_that_drops_it() -> None:
    a = AtomicInt64()

    class Result(int):
        def __del__(self) -> None:
            a.add(10)

    # The result has served once it is converted; dropped before it takes effect,
    # it would change the value under itself, and `update` would try again.
    assert a.update(lambda value: Result(value + 1) if value == 0 else value + 1) in (1, 11)
    assert a == 11


def test_collected_garbage_may_use_the_atomic_that_made_it() -> None:
    a = AtomicInt64()

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            a.add(10)

    garbage = Cycle()
    watch = weakref.ref(garbage, lambda _: a.add(100))
    del garbage

    def fn(value: int) -> int:
        gc.collect()
        return value + 1

    assert a.update(fn) == 111
    assert watch() is None


def test_an_argument_may_use_the_atomic_it_is_for() -> None:
    a = AtomicInt64()

    class Argument:
        def __index__(self) -> int:
            return a.add(10)

        def __eq__(self, other: object) -> bool:
            return a.add(10) == other

        def __float__(self) -> float:
            raise AssertionError("only says that this is a number")

        __hash__ = None  # type: ignore[assignment]

    assert a.add(Argument()) == 20
    assert a != Argument()
    assert a == 30
