"""What a run comes to, in a dozen lines: what is gained over a lock, and over the best there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lockfree.bench.layout import Block, Table
from lockfree.bench.model import Contender, RustLoop
from lockfree.bench.report import times
from lockfree.bench.runner import Result, Series
from lockfree.bench.summary import speedup

_OURS = "lockfree"
_TWIN = "lockfree.locked"
_ALSO_LOCKS = {"queue.Queue", "queue.LifoQueue", "LockedQueue"}
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
    measured = [found for result in results if (found := _in_parallel(result))]
    if not measured:
        return None
    threads = max(series[_OURS].threads for _, series in measured)
    measured = [each for each in measured if each[1][_OURS].threads == threads]
    locks, best = [], []
    for result, series in measured:
        kinds = {each.name: _kind(each) for each in result.cell.contenders if each.name in series}
        locks += _gained(series, (name for name, kind in kinds.items() if kind == "lock"))
        best += _gained(series, (name for name, kind in kinds.items() if kind == "standard"))
    return [str(len(measured)), str(threads), _span(locks), _span(best)]


def _in_parallel(result: Result) -> tuple[Result, dict[str, Series]] | None:
    """Return the series with the most threads that ran in parallel, by contender."""
    known = [
        each
        for each in result.series
        if each.threads <= each.processors and not each.is_marked and each.summary() is not None
    ]
    ours = [each.threads for each in known if each.contender == _OURS]
    if not ours or result.cell.is_timed:
        return None
    return result, {each.contender: each for each in known if each.threads == max(ours)}


def _kind(contender: Contender | RustLoop) -> str:
    """Return what a contender is: of the standard library, with a lock or without, or neither."""
    if contender.needs or contender.name == _TWIN:
        return "neither"
    name = contender.name
    is_lock = name == "threading.Lock" or name.endswith("+ Lock") or name in _ALSO_LOCKS
    return "lock" if is_lock else "standard"


def _gained(series: dict[str, Series], names: Iterable[str]) -> list[float]:
    """Return how many times as fast as the best of them, if there is one."""
    summaries = [summary for name in names if (summary := series[name].summary())]
    own = series[_OURS].summary()
    if not summaries or own is None:
        return []
    return [speedup(own, min(summaries, key=lambda each: each.median))]


def _span(ratios: Sequence[float]) -> str:
    if not ratios:
        return "-"
    low, high = times(min(ratios)), times(max(ratios))
    return low if low == high else f"{low} to {high}"
