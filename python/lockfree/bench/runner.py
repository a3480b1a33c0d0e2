"""Decides how long, how often and in which order the contenders of a cell run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lockfree.bench import environment
from lockfree.bench.model import Cell, Contender, RustLoop
from lockfree.bench.summary import Summary, summarize
from lockfree.bench.worker import Run, Workload, workload

TIMER = Contender("timer alone", "c = None", ("pass",))
"""Runs in every latency cell: what it shows is the clock's and the scheduler's doing."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much to measure."""

    rounds: int = 9
    """How often each contender runs, with each number of threads."""
    seconds: float = 0.1
    """About how long a run lasts."""
    threads: tuple[int, ...] | None = None
    """The numbers of threads; None leaves them to the cell's kind."""

    def thread_counts(self, cell: Cell) -> tuple[int, ...]:
        """Return with how many threads the cell's contenders run."""
        if cell.threads is not None:
            return cell.threads
        if self.threads is not None:
            return self.threads
        if not cell.is_timed:
            return (1, 2, 4, 8)
        # More than cores, for then the tail shows what it costs the others that
        # a thread is preempted in the middle of an operation.
        return (max(8, 2 * environment.cores()),)


QUICK = Settings(rounds=3, seconds=0.02)
"""A smoke run, too short for conclusions."""


@dataclass(slots=True)
class Series:
    """The runs of one contender with one number of threads, one of each round."""

    contender: str
    threads: int
    iterations: int = 0
    """How often each thread goes through the loop in a run; 0 until calibrated."""
    runs: list[Run] = field(default_factory=list)
    error: str | None = None
    """What it raised; it then runs no more."""

    def times(self) -> list[float]:
        """Return the nanoseconds per operation, of each round."""
        return [run.ns_per_operation for run in self.runs]

    def summary(self) -> Summary | None:
        """Return the summary of `times`; None where it failed or no round is over yet."""
        return summarize(self.times()) if self.runs and self.error is None else None

    def latencies(self) -> Counter[int]:
        """Return how many operations of all rounds took how many nanoseconds."""
        merged: Counter[int] = Counter()
        for run in self.runs:
            merged.update(run.latencies)
        return merged


@dataclass(slots=True)
class Result:
    """What was measured of a cell so far."""

    cell: Cell
    series: list[Series] = field(default_factory=list)


def measure(
    result: Result,
    contenders: Sequence[Contender | RustLoop],
    settings: Settings,
    progress: Callable[[str], None],
) -> None:
    """Measure the result's cell, and put each run into `result` as soon as it is made.

    The contenders take turns within each round, so that a slow spell of the
    machine falls upon all of them.
    """
    if result.cell.kind == "latency":
        contenders = (TIMER, *contenders)
    workloads = {contender.name: workload(result.cell, contender) for contender in contenders}
    result.series = [
        Series(name, threads)
        for threads in settings.thread_counts(result.cell)
        for name in workloads
    ]
    rounds = [f"round {number} of {settings.rounds}" for number in range(1, settings.rounds + 1)]
    for stage in ("warming up", *rounds):
        for series in result.series:
            if series.error is None:
                progress(f"{stage}: {series.contender}, threads: {series.threads}")
                _take_turn(series, workloads[series.contender], settings.seconds)


def _take_turn(series: Series, workload: Workload, seconds: float) -> None:
    """Run once, or find out first how long a run has to be."""
    try:
        if series.iterations == 0:
            series.iterations = calibrate(workload, series.threads, seconds)
        else:
            series.runs.append(workload(series.threads, series.iterations))
    except Exception as error:
        series.error = f"{type(error).__name__}: {error}"


def calibrate(workload: Workload, threads: int, seconds: float) -> int:
    """Return how many iterations make a run of about `seconds`.

    The last run that it makes for that is about as long: it warms up.
    """
    iterations = 1
    while True:
        took = workload(threads, iterations).seconds
        if took >= seconds / 2:
            return max(1, round(iterations * seconds / took))
        # Short runs tell little: they mostly measure how threads start.
        factor = min(seconds / took, 100) if took > 0 else 100
        iterations = max(2 * iterations, round(iterations * factor))
