"""Decides how long, how often and in which order the contenders of a cell run."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from statistics import fmean
from time import monotonic
from typing import TypeAlias

from lockfree.bench import environment, processors
from lockfree.bench.model import Cell, Contender, RustLoop
from lockfree.bench.summary import Summary, is_resolved, percentiles, summarize
from lockfree.bench.worker import Run, Workload, workload

TIMER = Contender("timer alone", "c = None", ("pass",))
"""Runs in every latency cell: what it shows is the clock's and the scheduler's doing."""

_WARM_UP = 4
"""How many runs' time it takes to find out how long a run has to be."""

SHORTEST = 0.005
"""A run of fewer seconds tells more about how threads start than about what they do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much to measure."""

    rounds: int = 9
    """How often each contender runs, with each number of threads."""
    seconds: float = 0.1
    """About how long a run lasts, if time allows."""
    threads: tuple[int, ...] | None = None
    """The numbers of threads; None leaves them to the cell's kind."""
    most: int = 8
    """The largest number of threads of a throughput cell, if it is left to that."""
    minutes: float = 8
    """How long all cells together may take; for that, runs are made shorter."""
    pin: bool = True
    """Whether each thread is kept on a processor of its own, where the system lets it be."""
    quick: bool = False
    """Whether it is a smoke run, from which nothing follows."""

    def thread_counts(self, cell: Cell) -> tuple[int, ...]:
        """Return with how many threads the cell's contenders run."""
        if cell.threads is not None:
            return cell.threads
        if self.threads is not None:
            return self.threads
        if not cell.is_timed:
            # One thread shares nothing by naming a global.
            usual = (1, 2, 4, 8) if cell.scope == "local" else (2, 8)
            return tuple(count for count in usual if count <= self.most)
        # More than cores, for then the tail shows what it costs the others that
        # a thread is preempted in the middle of an operation.
        return (max(8, 2 * environment.cores()),)

    def turns(self, cell: Cell, contenders: Sequence[Contender | RustLoop]) -> int:
        """Return how many runs' time the cell takes."""
        series = len(_starters(cell, contenders)) * len(self.thread_counts(cell))
        return series * (_WARM_UP + self.rounds)

    def seconds_each(self, seconds_left: float, turns_left: int) -> float:
        """Return how long a run may last, so that all are over in time."""
        return min(self.seconds, max(SHORTEST, seconds_left / turns_left))


QUICK = Settings(rounds=3, seconds=0.02, most=2, minutes=0.5, quick=True)
"""A smoke run, too short for conclusions."""


@dataclass(slots=True)
class Series:
    """What one contender did with one number of threads, round by round."""

    contender: str
    threads: int
    iterations: int = 0
    """How often each thread goes through the loop in a run; 0 until calibrated."""
    times: list[float] = field(default_factory=list)
    """The nanoseconds per operation, of each round."""
    latencies: Counter[int] = field(default_factory=Counter)
    """In a latency cell: how many operations of all rounds took how many nanoseconds."""
    percentiles: list[dict[str, int]] = field(default_factory=list)
    """In a latency cell: those of each round."""
    error: str | None = None
    """What it raised; it then runs no more."""
    waiting: list[float] = field(default_factory=list)
    """The share of each round that its threads waited for a processor; none if not known."""
    processors: int = 0
    """How many there were for its threads."""

    def add(self, run: Run) -> None:
        """Take up the numbers of another round."""
        self.times.append(run.ns_per_operation)
        if run.waiting is not None:
            self.waiting.append(run.waiting)
        if run.latencies:
            self.latencies.update(run.latencies)
            self.percentiles.append(percentiles(run.latencies))

    @property
    def waited(self) -> float | None:
        """The share of the time that its threads waited for a processor; None if not known."""
        return fmean(self.waiting) if self.waiting else None

    @property
    def is_marked(self) -> bool:
        """Whether its threads waited for processors though there are enough.

        What it measured is then not what it is said to be, and nothing follows from it.
        """
        return self.threads <= self.processors and (self.waited or 0) > processors.TOLERATED

    def summary(self, percentile: str | None = None) -> Summary | None:
        """Return what `rounds` say; None where it failed or no round is over yet.

        Of a percentile also where a round has too few operations for it.
        """
        values = self.rounds(percentile)
        return summarize(values) if values and self.error is None else None

    def rounds(self, percentile: str | None = None) -> Sequence[float]:
        """Return the time per operation of each round, or a percentile of its latencies."""
        if percentile is None:
            return self.times
        operations = self.latencies.total() // max(1, len(self.percentiles))
        if not is_resolved(percentile, operations):
            return ()
        return [each[percentile] for each in self.percentiles]


@dataclass(slots=True)
class Result:
    """What was measured of a cell so far."""

    cell: Cell
    series: list[Series] = field(default_factory=list)
    seconds: float = 0
    """About how long each run lasted."""

    @property
    def has_something(self) -> bool:
        """Whether there is anything to show."""
        return any(series.times or series.error for series in self.series)


Watcher: TypeAlias = Callable[[str, int], None]
"""Is told before each run what it is, and how many runs' time it takes."""


class Budget:
    """The time that is left, and what it has to suffice for."""

    def __init__(self, settings: Settings, turns: int) -> None:
        self._settings = settings
        self._turns = turns
        self._deadline = monotonic() + 60 * settings.minutes

    def claim(self, turns: int) -> float:
        """Return how long a run of the next cell may last, which has so many turns."""
        seconds = self._settings.seconds_each(self._deadline - monotonic(), self._turns)
        self._turns -= turns
        return seconds


def measure(
    result: Result,
    contenders: Sequence[Contender | RustLoop],
    settings: Settings,
    watcher: Watcher,
) -> None:
    """Measure the result's cell, and put each run into `result` as soon as it is made.

    The contenders take turns within each round, so that a slow spell of the
    machine falls upon all of them.
    """
    places = processors.usable() if settings.pin else ()
    workloads = {
        each.name: workload(result.cell, each, places)
        for each in _starters(result.cell, contenders)
    }
    result.series = [
        Series(name, threads, processors=environment.cores())
        for threads in settings.thread_counts(result.cell)
        for name in workloads
    ]
    rounds = [
        (f"round {number} of {settings.rounds}", 1) for number in range(1, settings.rounds + 1)
    ]
    with _frozen_heap():
        for stage, turns in (("warming up", _WARM_UP), *rounds):
            for series in result.series:
                if series.error is None:
                    step = f"{result.cell.name}, {stage}: {series.contender}, {series.threads}"
                    watcher(step, turns)
                    _take_turn(series, workloads[series.contender], result.seconds)


def _starters(cell: Cell, contenders: Sequence[Contender | RustLoop]) -> list[Contender | RustLoop]:
    return [TIMER, *contenders] if cell.kind == "latency" else list(contenders)


@contextmanager
def _frozen_heap() -> Iterator[None]:
    """Keep what exists out of garbage collections: a notebook's heap is no contender's fault."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _take_turn(series: Series, workload: Workload, seconds: float) -> None:
    """Run once, or find out first how long a run has to be."""
    gc.collect()  # what the one before left behind
    try:
        if series.iterations == 0:
            series.iterations = calibrate(workload, series.threads, seconds)
        else:
            series.add(workload(series.threads, series.iterations))
    except Exception as error:
        series.error = f"{type(error).__name__}: {error}"


def calibrate(workload: Workload, threads: int, seconds: float) -> int:
    """Return how many iterations make a run of about `seconds`.

    The last runs that it makes for that are about as long: they warm up.
    """
    iterations, before = 1, inf
    while True:
        took = workload(threads, iterations).length
        if _is_work(took, before, seconds):
            # Once more, for a thread may have been off its core for that long.
            took = min(took, workload(threads, iterations).length)
        if _is_work(took, before, seconds):
            return max(1, round(iterations * seconds / took))
        before = took
        factor = seconds / took if took > 0 else inf
        iterations = round(iterations * min(max(2, factor), 100))


def _is_work(took: float, before: float, seconds: float) -> bool:
    """Whether a run was long because of its iterations, and not because of how threads start.

    It then takes longer than the run before, which had at most half of them.
    """
    return (took >= seconds / 2 and took >= 1.3 * before) or took >= 10 * seconds
