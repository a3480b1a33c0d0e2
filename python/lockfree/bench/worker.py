"""Makes a loop of a contender's source and runs it in threads."""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from queue import Empty, SimpleQueue
from statistics import median
from textwrap import indent
from time import monotonic, perf_counter_ns, sleep
from typing import Any, NamedTuple

from lockfree.bench.model import Cell, Contender, RustLoop
from lockfree.bench.processors import Places

# The clock is a local, for where threads share a global, its reference count is a
# bottleneck of its own.
_WORKER = """\
def worker({parameter}, iterations, samples):
    clock = perf_counter_ns
    began = clock()
    for i in range(iterations):
{body}
    return began, clock()
"""

# Starting the event loop is no part of what is measured.
_LOOP = """\
{roles}
def worker({parameter}, iterations, samples):
    clock = perf_counter_ns
    async def main():
        began = clock()
        await asyncio.gather({calls})
        return began, clock()
    return asyncio.run(main())
"""

# A task's variables are its own locals, and none of a closure: see above.
_ROLE = """\
async def role{number}({parameter}, iterations, samples, clock):
    for i in range(iterations):
{body}
"""

_TIMED = """\
before = clock()
{statement}
samples[{count} * i + {index}] = clock() - before"""


# Long enough for the consumer to fall asleep again.
_HANDOFF = ("sleep(0.0002)\n{statement}", "{statement}\nsamples[i] = clock() - sent")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a loop in several threads."""

    seconds: float
    """From the start of the first thread to the end of the last."""
    operations: int
    """Of all threads together."""
    latencies: Counter[int] = field(default_factory=Counter)
    """In a latency cell: how many operations took how many nanoseconds."""
    typical: float = inf
    """How many seconds the median thread ran, from its own start to its own end."""
    waiting: float | None = None
    """The share of what is measured that its threads were ready to run and had no processor."""

    @property
    def length(self) -> float:
        """How many seconds it ran, apart from how long its threads took to start."""
        return min(self.seconds, self.typical)

    @property
    def ns_per_operation(self) -> float:
        """Wall time over the operations of all threads, in nanoseconds."""
        return self.seconds * 1e9 / self.operations


Workload = Callable[[int, int], Run]
"""Runs a loop in so many threads, so many times in each."""


def workload(
    cell: Cell, contender: Contender | RustLoop, processors: Sequence[int] = ()
) -> Workload:
    """Return what runs the contender as the cell's kind asks, pinned to these processors."""
    if isinstance(contender, RustLoop):
        return _rust_loop(cell, contender, processors)
    return _python_loop(cell, contender, processors)


def source(cell: Cell, contender: Contender, role: int = 0) -> str:
    """Return the source of the function that each thread of a role runs."""
    statements = contender.statements
    if cell.kind == "tasks":
        return _coroutines(cell, enumerate([each] * cell.repeats for each in statements))
    if cell.kind == "throughput":
        body = list(statements * cell.repeats)
    elif cell.kind == "transfer":
        body = [statements[role]] * cell.repeats
    elif cell.kind == "handoff":
        body = [_HANDOFF[role].format(statement=statements[role])]
    else:
        count = len(statements)
        body = [
            _TIMED.format(statement=statement, count=count, index=index)
            for index, statement in enumerate(statements)
        ]
    if any(map(_awaits, body)):
        return _coroutines(cell, [(role, body)])
    return _WORKER.format(parameter=_parameter(cell), body=_block(body, 8))


def _coroutines(cell: Cell, bodies: Iterable[tuple[int, Sequence[str]]]) -> str:
    """Return the source of a function that runs each role's body in a task of one loop."""
    parameter = _parameter(cell)
    roles, calls = [], []
    for number, body in bodies:
        block = _block(body, 8)
        roles.append(_ROLE.format(number=number, parameter=parameter, body=block))
        calls.append(f"role{number}({parameter}, iterations, samples, clock)")
    return _LOOP.format(roles="".join(roles), parameter=parameter, calls=", ".join(calls))


def _block(statements: Sequence[str], spaces: int) -> str:
    return indent("\n".join(statements), " " * spaces)


def _awaits(statement: str) -> bool:
    return "await " in statement


def _parameter(cell: Cell) -> str:
    return "c" if cell.scope == "local" else "_"


def _python_loop(cell: Cell, contender: Contender, processors: Sequence[int]) -> Workload:
    where = f"<{cell.name}: {contender.name}>"
    setup = compile(contender.setup, where, "exec")
    namespace: dict[str, Any] = {
        "asyncio": asyncio,
        "perf_counter_ns": perf_counter_ns,
        "sleep": sleep,
    }
    workers = []
    for role in range(2 if cell.has_roles else 1):
        exec(compile(source(cell, contender, role), where, "exec"), namespace)
        workers.append(namespace["worker"])
    timed = len(contender.statements) // len(workers) if cell.is_timed else 0
    operations = timed or cell.repeats * cell.items

    awaits = any(map(_awaits, contender.statements))

    def run(threads: int, iterations: int) -> Run:
        exec(setup, namespace)  # a fresh object: no run inherits another's state
        # Of a hand-off only the consumer, who comes last, takes samples.
        samples = [array("q", bytes(8 * timed * iterations)) for _ in range(threads)]
        took = in_threads(
            threads,
            lambda index: workers[index % len(workers)](namespace["c"], iterations, samples[index]),
            processors,
            here=not (cell.has_roles or (awaits and _runs_a_loop())),
        )
        taken = Counter(chain(*samples[len(workers) - 1 :: len(workers)]))
        # Most of a hand-off's wall time is the producer's sleep.
        measured = _sum(taken) if cell.kind == "handoff" else took.seconds
        return Run(
            took.seconds,
            threads * iterations * operations // len(workers),
            taken,
            took.typical,
            None if took.waited is None else took.waited / measured,
        )

    return run


def _sum(latencies: Counter[int]) -> float:
    """Return how many seconds the operations took together."""
    return sum(time * count for time, count in latencies.items()) / 1e9


def _rust_loop(cell: Cell, contender: RustLoop, processors: Sequence[int]) -> Workload:
    from lockfree._native import _baseline  # absent where the package is pure Python

    def run(threads: int, iterations: int) -> Run:
        each = iterations * cell.repeats
        places = Places(processors)
        seconds, _, _ = _baseline(contender.loop, threads, each, places.of)
        waited = places.waited()
        waiting = None if waited is None else waited / seconds
        return Run(seconds, threads * each * cell.items, waiting=waiting)

    return run


def _runs_a_loop() -> bool:
    """Whether an event loop runs in this thread, as in a notebook: no second one can."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Took(NamedTuple):
    """How long threads took, in seconds."""

    seconds: float
    """From the first start to the last end."""
    typical: float
    """From the median thread's own start to its own end."""
    waited: float | None
    """How long a thread was ready to run and had no processor, on average."""


def in_threads(
    count: int,
    worker: Callable[[int], tuple[int, int]],
    processors: Sequence[int] = (),
    *,
    here: bool = True,
) -> Took:
    """Run `worker` in `count` threads, pinned to these processors; return how long it took.

    The calling thread is one of them, if `here`. Without the GIL an object is cheaper
    for the thread that made it: with one thread only, that saving belongs in the number.
    What a worker raises is raised here, once all have ended: or soon, for some may wait
    for ever for what that worker does no more. They are then left alone.
    """
    barrier = threading.Barrier(count)
    places = Places(processors)
    ended: SimpleQueue[tuple[int, int] | BaseException] = SimpleQueue()

    def body(index: int) -> None:
        try:
            # It may have to wait for a processor as soon as the barrier lets it go.
            with places.of(index):
                barrier.wait()
                span = worker(index)
            ended.put(span)
        except BaseException as error:
            ended.put(error)
            barrier.abort()

    # Daemons, so that Ctrl-C need not wait for a contender that is stuck.
    others = range(1 if here else 0, count)
    threads = [threading.Thread(target=body, args=(i,), daemon=True) for i in others]
    for thread in threads:
        thread.start()
    if here:
        body(0)
    spans = _results(ended, count)
    for thread in threads:
        thread.join()
    whole = max(end for _, end in spans) - min(began for began, _ in spans)
    typical = median(end - began for began, end in spans)
    return Took(whole / 1e9, typical / 1e9, places.waited())


_GRACE = 1.0
"""How many seconds the others may go on when a thread has failed."""


def _results(
    ended: SimpleQueue[tuple[int, int] | BaseException], count: int
) -> list[tuple[int, int]]:
    """Return what so many threads put there, or raise what one of them raised."""
    spans: list[tuple[int, int]] = []
    failure: BaseException | None = None
    deadline = inf
    for _ in range(count):
        try:
            result = ended.get(timeout=None if failure is None else max(0, deadline - monotonic()))
        except Empty:
            break
        if not isinstance(result, BaseException):
            spans.append(result)
        elif failure is None:
            failure, deadline = result, monotonic() + _GRACE
    if failure is not None:
        raise failure
    return spans
