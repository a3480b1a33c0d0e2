"""Two comparisons side by side: before and after a change, with and without a GIL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lockfree.bench.comparison import Comparison
from lockfree.bench.layout import WIDTH, Block, Table, filled
from lockfree.bench.report import NO_DIFFERENCE, SAME, count, digits, facts, times
from lockfree.bench.runner import Result, Series
from lockfree.bench.summary import Summary, differ, is_resolved, speedup, summarize

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


def changes(
    before: Comparison,
    after: Comparison,
    contenders: Sequence[str] | None = None,
    *,
    relative: bool = False,
) -> dict[str, list[Change]]:
    """Return the changes by cell, of the contenders that both have; None is all.

    Those that are `relative` are of each round's time in times of the baseline's: that
    does not depend on how fast the machine was on the day.
    """
    first = {result.cell.name: result for result in before.results}
    found = {
        result.cell.name: _changes(
            _Side(first[result.cell.name], relative), _Side(result, relative), contenders
        )
        for result in after.results
        if result.cell.name in first
    }
    return {cell: each for cell, each in found.items() if each}


class _Side:
    """A cell's result, as the numbers that are set beside another result's."""

    def __init__(self, result: Result, relative: bool) -> None:
        self.cell = result.cell
        self.series = {(each.contender, each.threads): each for each in result.series}
        self._relative = relative

    def summary(self, key: tuple[str, int], label: str | None) -> Summary | None:
        """Return what the rounds say; None of what is not known well enough."""
        own, baseline = self.series[key], self.series.get((self.cell.baseline, key[1]))
        if not _is_known(own, label):
            return None
        if not self._relative:
            return own.summary(label)
        if baseline is None or not _is_known(baseline, label):
            return None
        pairs = zip(own.rounds(label), baseline.rounds(label), strict=False)
        return summarize([value / unit for value, unit in pairs if unit])


def _is_known(series: Series, label: str | None) -> bool:
    """Whether there are numbers, and of a percentile enough in each round."""
    if series.error is not None or not series.times:
        return False
    return label is None or is_resolved(label, series.latencies.total() // len(series.times))


def _changes(before: _Side, after: _Side, contenders: Sequence[str] | None) -> list[Change]:
    return [
        Change(
            after.cell.name,
            key[0],
            ", ".join(filter(None, [label, count(key[1], "thread")])),
            before.summary(key, label),
            after.summary(key, label),
            series.error,
        )
        for key, series in after.series.items()
        if key in before.series and (contenders is None or key[0] in contenders)
        for label in (_JUDGED if after.cell.is_timed else (None,))
    ]


def table(cell: str, changes: list[Change], unit: str = "ns") -> Table:
    """Return a table of the cell's changes: A, B, and how many times as fast B is."""
    names = list(dict.fromkeys(change.contender for change in changes))
    blocks = []
    for measure in dict.fromkeys(change.measure for change in changes):
        rows = {change.contender: _row(change) for change in changes if change.measure == measure}
        blank = ["-"] * 3
        blocks.append(Block(measure, [["A", "B", "ratio"], *(rows.get(n, blank) for n in names)]))
    marked = any(row[-1].startswith(SAME) for block in blocks for row in block.rows)
    return Table(f"{cell}; ratio of B to A", unit, names, blocks, [NO_DIFFERENCE] * marked)


def _row(change: Change) -> list[str]:
    before, after = change.before, change.after
    texts = [digits(each.median) if each else "-" for each in (before, after)]
    if not before or not after or not after.median:
        return [*texts, ""]
    mark = "" if differ(before, after) else SAME
    return [*texts, f"{mark}{times(speedup(after, before))}"]
