"""What a run comes to, in a dozen lines: what is gained over a lock, and over the best there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lockfree.bench.cells import CELLS
from lockfree.bench.layout import Block, Table
from lockfree.bench.model import Cell, Contender, RustLoop
from lockfree.bench.report import times
from lockfree.bench.runner import Result, Series
from lockfree.bench.summary import is_resolved, percentiles

_OURS = "lockfree"
_TWIN = "lockfree.locked"
_ALSO_LOCKS = {
    "queue.Queue",
    "queue.LifoQueue",
    "queue.PriorityQueue",
    "LockedQueue",
    "simulated CAS",
}
"""What has a lock in Python, without having it in its name."""

_HEAD = ["cells", "threads", "over a lock", "over the best of the standard library"]


def table(results: Sequence[Result]) -> Table | None:
    """Return a line per structure, or None if nothing follows from what was measured.

    Each has the least and the most that its cells gained, with as many threads as ran in
    parallel. Latencies have no part in it.
    """
    rows = {}
    for structure in dict.fromkeys(result.cell.structure for result in results):
        row = _row([result for result in results if result.cell.structure == structure])
        if row is not None:
            rows[structure] = row
    if not rows:
        return None
    title = "Gained, from the least to the most of a structure's cells, by threads in parallel:"
    return Table(title, "", list(rows), [Block("times as fast", [_HEAD, *rows.values()])])


def _row(results: Sequence[Result]) -> list[str] | None:
    """Return what stands in a structure's line, if it has one."""
    measured = [found for each in results if not each.cell.is_timed and (found := gained(each))]
    if not measured:
        return None
    threads = max(each.threads for each in measured)
    measured = [each for each in measured if each.threads == threads]
    locks = _span(each.over(each.lock) for each in measured)
    best = _span(each.over(each.standard) for each in measured)
    return [str(len(measured)), str(threads), locks, best]


class Gain(NamedTuple):
    """What a cell comes to, in nanoseconds: a time, or the latency of 99.9 % of all."""

    threads: int
    own: float
    lock: tuple[str, float] | None
    """The best that has a lock, and its name."""
    standard: tuple[str, float] | None
    """The best of the standard library without one in Python."""

    def over(self, other: tuple[str, float] | None) -> float | None:
        """Return how many times as fast it is as the other."""
        return other and other[1] / self.own


def gained(result: Result, threads: int | None = None) -> Gain | None:
    """Return what the cell comes to, if anything: None is as many threads as ran in parallel.

    A latency is of more threads than that.
    """
    known = {
        (each.contender, each.threads): nanoseconds
        for each in result.series
        if not each.is_marked and (nanoseconds := _nanoseconds(result.cell, each)) is not None
    }
    ours = [count for name, count in known if name == _OURS and threads in (None, count)]
    if not ours:
        return None
    most = max(ours)
    kinds = {each.name: _kind(each) for each in _contenders(result.cell)}

    def best(kind: str) -> tuple[str, float] | None:
        found = [
            (name, nanoseconds)
            for (name, count), nanoseconds in known.items()
            if count == most and kinds.get(name) == kind
        ]
        return min(found, key=lambda each: each[1], default=None)

    return Gain(most, known[_OURS, most], best("lock"), best("standard"))


def _nanoseconds(cell: Cell, series: Series) -> float | None:
    """Return the number that stands for a series, if nothing speaks against it."""
    if cell.is_timed:
        resolved = series.error is None and is_resolved("p99.9", series.latencies.total())
        return percentiles(series.latencies)["p99.9"] if resolved else None
    summary = series.summary()
    return summary.median if summary and series.threads <= series.processors else None


def _contenders(cell: Cell) -> Iterable[Contender | RustLoop]:
    """Return the cell's contenders: a file has their names alone."""
    return cell.contenders or next(
        (each.contenders for each in CELLS if each.name == cell.name), ()
    )


def _kind(contender: Contender | RustLoop) -> str:
    """Return what a contender is: of the standard library, with a lock or without, or neither."""
    if contender.needs or contender.name == _TWIN:
        return "neither"
    name = contender.name
    is_lock = name == "threading.Lock" or name.endswith("+ Lock") or name in _ALSO_LOCKS
    return "lock" if is_lock else "standard"


def _span(ratios: Iterable[float | None]) -> str:
    known = [each for each in ratios if each is not None]
    if not known:
        return "-"
    low, high = times(min(known)), times(max(known))
    return low if low == high else f"{low} to {high}"
