"""Two comparisons side by side: before and after a change, with and without a GIL."""

from __future__ import annotations

from dataclasses import dataclass

from lockfree.bench.comparison import Comparison
from lockfree.bench.layout import WIDTH, Block, Table, filled
from lockfree.bench.report import NO_DIFFERENCE, SAME, count, digits, facts, times
from lockfree.bench.runner import Result, Series
from lockfree.bench.summary import Summary, differ, is_resolved, speedup

_JUDGED = ("p50", "p99", "p99.9")
"""What is judged of latencies; the longest of all is chance."""


@dataclass(frozen=True, slots=True)
class Change:
    """One number of the first comparison, A, and of the second, B."""

    cell: str
    contender: str
    measure: str
    """The number of threads, and of a latency the percentile."""
    before: Summary | None
    after: Summary | None
    error: str | None
    """Why there is nothing in B."""

    def is_regression(self, tolerance: float) -> bool:
        """Whether B is slower by more than `tolerance`, and noise does not explain it.

        What fails in B and did not in A is one, too.
        """
        if self.before is None or self.after is None:
            return self.before is not None and self.error is not None
        slower = self.after.median > (1 + tolerance) * self.before.median
        return slower and differ(self.before, self.after)

    def __str__(self) -> str:
        where = f"{self.cell}, {self.contender}, {self.measure}"
        if self.before is None or self.after is None:
            return f"{where}: {self.error}"
        slower = self.after.median / self.before.median - 1
        return f"{where}: {slower:.0%} slower"


def context(before: Comparison, after: Comparison, width: int = WIDTH) -> str:
    """Return where both were measured, as text; one line for what is the same."""
    known = [dict(facts(each.environment, {})) for each in (before, after)]
    lines = []
    for name, fact in known[0].items():
        both = [("", fact)] if fact == known[1][name] else [("A", fact), ("B", known[1][name])]
        lines += [f"{name:11} {label:1}  {text}" for label, text in both]
    return "\n".join(filled(line, width, indent=15) for line in lines)


def changes(before: Comparison, after: Comparison) -> dict[str, list[Change]]:
    """Return the changes of each cell and contender that both have."""
    first = {result.cell.name: result for result in before.results}
    found = {
        result.cell.name: _changes(first[result.cell.name], result)
        for result in after.results
        if result.cell.name in first
    }
    return {cell: each for cell, each in found.items() if each}


def _changes(before: Result, after: Result) -> list[Change]:
    first = {(series.contender, series.threads): series for series in before.series}
    return [
        Change(
            after.cell.name,
            series.contender,
            ", ".join(filter(None, [label, count(series.threads, "thread")])),
            _judged(old, label),
            _judged(series, label),
            series.error,
        )
        for series in after.series
        if (old := first.get((series.contender, series.threads))) is not None
        for label in (_JUDGED if after.cell.is_timed else (None,))
    ]


def _judged(series: Series, label: str | None) -> Summary | None:
    """Return what the rounds say; None of a percentile that a round has too few operations for."""
    each = series.latencies.total() // max(1, len(series.percentiles))
    return series.summary(label) if label is None or is_resolved(label, each) else None


def table(cell: str, changes: list[Change]) -> Table:
    """Return a table of the cell's changes: A, B, and how many times as fast B is."""
    names = list(dict.fromkeys(change.contender for change in changes))
    blocks = []
    for measure in dict.fromkeys(change.measure for change in changes):
        rows = {change.contender: _row(change) for change in changes if change.measure == measure}
        blank = ["-"] * 3
        blocks.append(Block(measure, [["A", "B", "ratio"], *(rows.get(n, blank) for n in names)]))
    marked = any(row[-1].startswith(SAME) for block in blocks for row in block.rows)
    return Table(f"{cell}; ratio of B to A", "ns", names, blocks, [NO_DIFFERENCE] * marked)


def _row(change: Change) -> list[str]:
    before, after = change.before, change.after
    texts = [digits(each.median) if each else "-" for each in (before, after)]
    if not before or not after or not after.median:
        return [*texts, ""]
    mark = "" if differ(before, after) else SAME
    return [*texts, f"{mark}{times(speedup(after, before))}"]
