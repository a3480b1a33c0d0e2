"""What the tests share: threads that start together, and children with a time limit."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeVar

import lockfree
import pytest

T = TypeVar("T")

SELECTION: Final = "LOCKFREE_IMPLEMENTATION"
FREE_THREADED: Final = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
THOROUGH: Final = sys.version_info[:2] == ((3, 14) if FREE_THREADED else (3, 11))
"""Whether everything is tried at length. Other interpreters are spared some repetition."""
CORES: Final = (
    len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
)


class Node:
    """Something to refer to, weakly too, and to refer from."""

    link: Any


class Index:
    """What is a number where an integer is expected."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __index__(self) -> Any:
        return self.value

    def __repr__(self) -> str:
        return f"Index({self.value!r})"


class FailingIndex:
    """What an integer is expected for, and is none."""

    def __index__(self) -> int:
        raise ZeroDivisionError("from __index__")


NO_COUNTS: list[tuple[Any, type[Exception], str]] = [
    (1.0, TypeError, "expected an int, not 1.0"),
    (None, TypeError, "expected an int, not None"),
    ("1", TypeError, "expected an int, not '1'"),
    (-1, ValueError, "n must not be negative, but is -1"),
    (Index(-2), ValueError, "n must not be negative, but is -2"),
    (10**30, OverflowError, f"{10**30} does not fit in 64 bits"),
    (-(10**30), OverflowError, f"{-(10**30)} does not fit in 64 bits"),
    (Index(2**63), OverflowError, "Index(9223372036854775808) does not fit in 64 bits"),
    (FailingIndex(), ZeroDivisionError, "from __index__"),
]

what_is_no_count = pytest.mark.parametrize(
    ("bad", "error", "text"), NO_COUNTS, ids=[text for *_, text in NO_COUNTS]
)


def fail_half_way(item: object = None) -> Iterator[object]:
    """Yield one item, and raise."""
    yield item
    raise ZeroDivisionError


bad_iterables = pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        (fail_half_way, ZeroDivisionError, ""),
        (lambda: 5, TypeError, "'int' object is not iterable"),
        (lambda: None, TypeError, "'NoneType' object is not iterable"),
    ],
    ids=["raises half-way", "int", "None"],
)


def repetitions(impl: ModuleType, native: int) -> int:
    """How often to repeat on `impl` what is done `native` times on the native implementation.

    Its twin takes one lock for each operation. That it passes too shows that the test is right,
    for which a fifth will do, as it will where nothing is tried at length.
    """
    return native if impl is lockfree and THOROUGH else native // 5


def run_threads(n: int, fn: Callable[[int], T], *, timeout: float = 60) -> list[T]:
    """Call `fn(0)` ... `fn(n - 1)` on `n` threads at once and return the results.

    An exception in a thread is raised here. Threads that do not end in time are
    a failure, with the traceback of every thread on stderr.
    """
    results: dict[int, T] = {}
    errors: list[BaseException] = []
    barrier = threading.Barrier(n)

    def worker(index: int) -> None:
        try:
            barrier.wait(timeout)
            results[index] = fn(index)
        except BaseException as error:
            errors.append(error)

    # Daemons, so that hung ones do not keep the test run from ending.
    threads = [threading.Thread(target=worker, args=(i,), daemon=True) for i in range(n)]
    with _frequent_switches():
        for thread in threads:
            thread.start()
        _join(threads, time.monotonic() + timeout)
    if errors:
        raise errors[0]
    return [results[index] for index in range(n)]


def _join(threads: list[threading.Thread], deadline: float) -> None:
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    hung = sum(thread.is_alive() for thread in threads)
    if hung:
        faulthandler.dump_traceback(all_threads=True)
        pytest.fail(f"{hung} of {len(threads)} threads did not end in time")


@contextmanager
def _frequent_switches() -> Iterator[None]:
    """Make a GIL change hands often, so that short runs overlap too."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def hammer(n: int, step: Callable[[int], object], *, rounds: int, timeout: float = 60) -> int:
    """Call `step(index)` on `n` threads, at least `rounds` times on each; return how often.

    Threads that ran one after the other show nothing. So each looks, after a
    step, whether another one finished a step meanwhile, and they go on until
    that was so `rounds` times, or for half of `timeout`, if it was a tenth of that: on a
    machine that does much else besides.
    """
    finished, overlapped = [0] * n, [0] * n
    deadline = time.monotonic() + timeout / 2

    def worker(index: int) -> None:
        nonlocal deadline
        try:
            while finished[index] < rounds or (
                sum(overlapped) < rounds and time.monotonic() < deadline
            ):
                before = sum(finished)
                step(index)
                overlapped[index] += sum(finished) != before
                finished[index] += 1
        except BaseException:
            deadline = 0  # nobody needs to wait for this thread
            raise

    run_threads(n, worker, timeout=timeout)
    assert sum(overlapped) >= rounds / 10, f"of {sum(finished)} steps {sum(overlapped)} overlapped"
    return sum(finished)


class Child(NamedTuple):
    """How a child process ended."""

    returncode: int
    stdout: str
    stderr: str


MEMORY: Final = """
import os, threading
from pathlib import Path
import lockfree
from lockfree import *

MIB = 2**20

def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

def run_threads(n, fn):
    threads = [threading.Thread(target=fn, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

"""
"""Begins the code of a child that measures how much memory it has."""

FORKS_IN_TRAFFIC: Final = """
import os, sys, threading, time, warnings

# CPython warns of threads at a fork: they are the point here.
warnings.simplefilter("ignore", DeprecationWarning)

def fork_in_traffic(children, traffic, use, fork=os.fork):
    # Threads do traffic(index) again and again; each child does use(number).
    go, stop = threading.Event(), threading.Event()

    def work(index):
        while go.wait() and not stop.is_set():
            traffic(index)

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(4)]
    for thread in threads:
        thread.start()
    for number in range(children):
        go.set()
        time.sleep(0.002)
        pid = fork()
        if pid == 0:
            use(number)
            if number % 10 == 0:
                sys.exit()
            os._exit(0)  # the end of an interpreter takes longer than all this
        go.clear()  # the child needs the cores
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    stop.set()
    go.set()
    for thread in threads:
        thread.join()

"""
"""Begins the code of a child that forks while its threads are busy."""

SANITIZED: Final = "ASAN_OPTIONS" in os.environ
"""Whether it runs under tests/sanitize."""

needs_fork: Final = pytest.mark.skipif(
    SANITIZED or not hasattr(os, "fork"),
    reason="needs os.fork, and an allocator that no other thread has locked then",
)

needs_statm: Final = pytest.mark.skipif(
    SANITIZED or not Path("/proc/self/statm").exists(),
    reason="reads memory use from /proc/self/statm, and a sanitizer keeps what is freed",
)


def in_child(
    code: str, *flags: str, env: Mapping[str, str] | None = None, timeout: float = 60
) -> Child:
    """Run `code` in a fresh interpreter, with `flags` for it and `env` added.

    One that does not end in time is a failure, with its traceback in the message.
    """
    inherited = {key: value for key, value in os.environ.items() if key != SELECTION}
    child = subprocess.Popen(
        [sys.executable, "-X", "dev", "-X", "faulthandler", *flags, "-c", textwrap.dedent(code)],
        env=inherited | dict(env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # its own forks end with it
    )
    try:
        stdout, stderr = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _abort(child)
        stdout, stderr = child.communicate()
        pytest.fail(f"the child did not end in time\n{stdout}\n{stderr}")
    return Child(child.returncode, stdout, stderr)


def _abort(child: subprocess.Popen[str]) -> None:
    if sys.platform == "win32":
        child.kill()
    else:
        os.killpg(child.pid, signal.SIGABRT)  # on which faulthandler reports


def start(call: Callable[[], T]) -> Future[T]:
    """Make the call on a thread of its own; the future tells what comes of it."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    # A daemon, so that one that hangs does not keep the test run from ending.
    threading.Thread(target=run, daemon=True).start()
    return future


def waiting(*calls: Callable[[], T]) -> list[Future[T]]:
    """Start the calls one after the other, each once the one before waits for something."""
    futures = []
    for call in calls:
        futures.append(start(call))
        time.sleep(0.03)
    early = [future.result() for future in futures if future.done()]
    assert not early, "does not wait"
    return futures


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; one that hangs is a failure."""
    return asyncio.run(asyncio.wait_for(main, 30))


def steps(coroutine: Coroutine[Any, Any, Any]) -> int:
    """Run a coroutine that needs nobody else; return how often it gave way."""
    gave_way = 0
    while True:
        try:
            assert coroutine.send(None) is None, "waits"
        except StopIteration:
            return gave_way
        gave_way += 1
