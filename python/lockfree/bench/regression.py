"""Two comparisons side by side: before and after a change, with and without a GIL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from lockfree.bench.comparison import Comparison
from lockfree.bench.layout import WIDTH, Block, Table, filled
from lockfree.bench.report import SAME, WAITED, count, digits, doubts, facts, times
from lockfree.bench.runner import Result
from lockfree.bench.summary import Summary, differ, speedup, summarize

_OURS = "lockfree"

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
    is_marked: bool = False
    """Whether threads waited for processors in one of them: it is passed over."""

    @property
    def can_be_judged(self) -> bool:
        """Whether there is something to set side by side, or it failed since."""
        known = self.before is not None and (self.after or self.error) is not None
        return known and not self.is_marked

    def is_regression(self, tolerance: float) -> bool:
        """Whether B is slower by more than `tolerance`, and noise does not explain it.

        What fails in B and did not in A is one, too.
        """
        if self.before is None or self.after is None or self.is_marked:
            return self.can_be_judged
        slower = self.after.median > (1 + tolerance) * self.before.median
        return slower and differ(self.before, self.after)

    def __str__(self) -> str:
        where = f"{self.cell}, {self.contender}, {self.measure}"
        if self.before is None or self.after is None:
            return f"{where}: {self.error}"
        slower = self.after.median / self.before.median - 1
        return f"{where}: {slower:.0%} slower"


def context(before: Comparison, after: Comparison, width: int = WIDTH) -> str:
    """Return where both were measured, as text, and what only one has.

    What is the same is said once.
    """
    known = [dict(facts(each.environment, {})) for each in (before, after)]
    lines = []
    for name, fact in known[0].items():
        both = [("", fact)] if fact == known[1][name] else [("A", fact), ("B", known[1][name])]
        lines += [f"{name:11} {label:1}  {text}" for label, text in both]
    a, b = (_names(each) for each in (before, after))
    for label, names in (("A", [n for n in a if n not in b]), ("B", [n for n in b if n not in a])):
        if names:
            lines.append(f"{'only in':11} {label}  {', '.join(names)}")
    return "\n".join(filled(line, width, indent=15) for line in lines)


def _names(run: Comparison) -> list[str]:
    """Return the names of the cells, and those of the contenders."""
    contenders = [series.contender for result in run.results for series in result.series]
    return list(dict.fromkeys([*(result.cell.name for result in run.results), *contenders]))


Changes: TypeAlias = Mapping[str, list[Change]]
"""By cell."""


def changes(
    before: Comparison,
    after: Comparison,
    cells: Sequence[str] | None = None,
    contenders: Sequence[str] | None = None,
    *,
    baseline: str | None = None,
    relative: bool = False,
) -> Changes:
    """Return the changes of what both have, and of that only these; None is all.

    Those that are `relative` are of each round's time in times of the baseline's: that
    does not depend on how fast the machine was on the day. The baseline is the first
    run's, unless it is given.

    Raises:
        ValueError: both have nothing of a name, or no numbers to set side by side; or one is
            a quick run.
    """
    for label, run in (("A", before), ("B", after)):
        if run.settings.quick:
            raise ValueError(f"{label} is a quick run, too short for conclusions")
    found = {}
    for a, b in _in_both(before, after, cells):
        unit = (baseline or before.baseline or a.cell.baseline) if relative else None
        found[a.cell.name] = _changes(_Side(a, unit), _Side(b, unit))
    known = dict.fromkeys(change.contender for each in found.values() for change in each)
    for name in contenders or ():
        if name not in known:
            raise _nothing_of("contender", name, known)
    wanted = known if contenders is None else contenders
    found = {
        cell: [change for change in each if change.contender in wanted]
        for cell, each in found.items()
    }
    if not any(change.can_be_judged for each in found.values() for change in each):
        why = " relative to a baseline" if relative else ""
        raise ValueError(f"the two runs have nothing in common{why} that can be judged")
    return {cell: each for cell, each in found.items() if each}


def judged(changes: Changes, contenders: Sequence[str] | None = None) -> list[Change]:
    """Return the changes that the verdict is about: of the package, or of who is named.

    The others are there to compare with: that a lock got slower is no fault of the package.

    Raises:
        ValueError: there are none.
    """
    wanted = contenders or [_OURS]
    found = [change for change in chain(*changes.values()) if change.contender in wanted]
    if not found:
        raise ValueError(f"the two runs have nothing of {_OURS!r} in common: name --contenders")
    return found


def _in_both(
    before: Comparison, after: Comparison, cells: Sequence[str] | None
) -> list[tuple[Result, Result]]:
    """Return the results of the cells that both have, and of those only these."""
    first = {result.cell.name: result for result in before.results}
    pairs = [(first[b.cell.name], b) for b in after.results if b.cell.name in first]
    for name in cells or ():
        if not any(b.cell.is_called(name) for _, b in pairs):
            raise _nothing_of("cell", name, [b.cell.name for _, b in pairs])
    return [(a, b) for a, b in pairs if cells is None or any(map(b.cell.is_called, cells))]


def _nothing_of(kind: str, name: str, known: Iterable[str]) -> ValueError:
    return ValueError(f"the two runs have no {kind} {name!r} in common: {', '.join(known)}")


class _Side:
    """A cell's result, as the numbers that are set beside another result's."""

    def __init__(self, result: Result, baseline: str | None) -> None:
        self.cell = result.cell
        self.series = {(each.contender, each.threads): each for each in result.series}
        self._baseline = baseline
        """In whose times the numbers are; None is nanoseconds."""

    def is_marked(self, key: tuple[str, int]) -> bool:
        """Whether threads waited for processors, its own or those of the unit."""
        unit = self.series.get((self._baseline, key[1])) if self._baseline else None
        return self.series[key].is_marked or (unit is not None and unit.is_marked)

    def summary(self, key: tuple[str, int], label: str | None) -> Summary | None:
        """Return what the rounds say; None of what is not known well enough."""
        own = self.series[key]
        if self._baseline is None:
            return own.summary(label)
        unit = self.series.get((self._baseline, key[1]))
        if unit is None or not own.summary(label) or not unit.summary(label):
            return None
        pairs = zip(own.rounds(label), unit.rounds(label), strict=False)
        ratios = [value / of for value, of in pairs if of]
        return summarize(ratios) if ratios else None


def _changes(before: _Side, after: _Side) -> list[Change]:
    return [
        Change(
            after.cell.name,
            key[0],
            ", ".join(filter(None, [label, count(key[1], "thread")])),
            before.summary(key, label),
            after.summary(key, label),
            series.error,
            before.is_marked(key) or after.is_marked(key),
        )
        for key, series in after.series.items()
        if key in before.series
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
    return Table(f"{cell}; ratio of B to A", unit, names, blocks, doubts(blocks))


def _row(change: Change) -> list[str]:
    before, after = change.before, change.after
    texts = [digits(each.median) if each else "-" for each in (before, after)]
    if change.is_marked:
        return [*texts, WAITED]
    if not before or not after or not after.median:
        return [*texts, ""]
    mark = "" if differ(before, after) else SAME
    return [*texts, f"{mark}{times(speedup(after, before))}"]
