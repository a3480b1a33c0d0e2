"""A comparison: everything that was measured in one go, and where."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any

from lockfree.bench import layout, peers, report
from lockfree.bench.environment import Environment, describe
from lockfree.bench.extras import extra
from lockfree.bench.model import Cell
from lockfree.bench.plan import Plan, choose, leave_out
from lockfree.bench.runner import Budget, Result, Series, Settings, Watcher, measure
from lockfree.bench.summary import PERCENTILES, is_resolved, percentiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUICK_VARIABLE = "LOCKFREE_BENCH_QUICK"
"""The environment variable that makes `compare` a smoke run, for tests of notebooks."""


@dataclass(slots=True, repr=False)
class Comparison:
    """What was measured, where and with what; a notebook shows it as tables."""

    environment: Environment
    settings: Settings
    left_out: dict[str, str] = field(default_factory=dict)
    """Which contenders could not run here, and why."""
    baseline: str | None = None
    """The contender that the others are compared with; None leaves that to the cell."""
    results: list[Result] = field(default_factory=list)
    interrupted: bool = False
    """Whether Ctrl-C ended it early."""

    def measure(self, plan: Plan, watcher: Watcher) -> Iterator[Result]:
        """Measure cell by cell, and yield what there is to show of each; Ctrl-C ends it."""
        turns = [self.settings.turns(*each) for each in plan]
        budget = Budget(self.settings, sum(turns))
        for (cell, contenders), needed in zip(plan, turns, strict=True):
            result = Result(cell, seconds=budget.claim(needed))
            self.results.append(result)
            try:
                measure(result, contenders, self.settings, watcher)
            except KeyboardInterrupt:
                self.interrupted = True
            if result.has_something:
                yield result
            if self.interrupted:
                return

    def only(self, cells: Sequence[str] | None, contenders: Sequence[str] | None) -> Comparison:
        """Return what it has of these cells and contenders; None is all."""
        results = [
            replace(
                result,
                series=[
                    series
                    for series in result.series
                    if contenders is None or series.contender in contenders
                ],
            )
            for result in self.results
            if cells is None or any(result.cell.is_called(name) for name in cells)
        ]
        return replace(self, results=[result for result in results if result.series])

    def tables(self) -> list[layout.Table]:
        """Return a table per cell."""
        return [report.table(each, self.baseline) for each in self.results if each.has_something]

    def __repr__(self) -> str:
        return f"<Comparison: {', '.join(result.cell.name for result in self.results)}>"

    def __str__(self) -> str:
        facts = report.header(self.environment, self.left_out)
        return "\n\n".join([facts, *map(layout.text, self.tables()), *self._interruption()])

    def _repr_html_(self) -> str:
        facts = "<br>".join(
            f"{name}: {escape(fact)}"
            for name, fact in report.facts(self.environment, self.left_out)
        )
        legend = "".join(f"<p>{escape(each)}</p>" for each in report.legend(self.settings))
        details = f"<details><summary>Where, and what it means</summary>{facts}{legend}</details>"
        return "".join([*map(layout.html, self.tables()), *self._interruption(), details])

    def _interruption(self) -> list[str]:
        return ["Interrupted: this is what was measured so far."] if self.interrupted else []

    def plot(self) -> Figure:
        """Return a chart per cell, one below the other. Needs matplotlib."""
        extra("matplotlib")
        from lockfree.bench.charts import figure

        return figure([self])

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` of `rows`. Needs pandas."""
        return extra("pandas").DataFrame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per cell, contender and number of threads, each with all its context."""
        context = asdict(self.environment)
        context["peers"] = ", ".join(f"{name} {at}" for name, at in context["peers"].items())
        return [
            {"cell": result.cell.name, **_row(result.cell, series), **context}
            for result in self.results
            for series in result.series
        ]


def _row(cell: Cell, series: Series) -> dict[str, Any]:
    """Return the numbers of one series; times are in nanoseconds, per operation or item."""
    row: dict[str, Any] = {"contender": series.contender, "threads": series.threads}
    summary = None if cell.is_timed else series.summary()
    for column in ("rounds", "median", "best", "low", "high"):
        row[column] = getattr(summary, column, None)
    total = series.latencies.total()
    known = percentiles(series.latencies) if total and series.error is None else {}
    for label in PERCENTILES:
        row[label] = known.get(label) if is_resolved(label, total) else None
    row |= {"operations": total or None, "error": series.error}
    return row | {"waiting": series.waited, "marked": series.is_marked}


def compare(
    *cells: str | Cell,
    contenders: Sequence[str] | None = None,
    threads: int | Sequence[int] | None = None,
    baseline: str | None = None,
    rounds: int = 5,
    seconds: float = 0.05,
) -> Comparison:
    """Measure `cells`, all if there are none, and return what came of it.

    In a notebook the value shows itself as tables. Ctrl-C ends it early, and
    what was measured so far is returned.

    Args:
        cells: names as ``python -m lockfree.bench --list`` has them, of a structure for
            all its cells, or cells of your own.
        contenders: names of those to run; None is all.
        threads: how many threads; None leaves that to the cell.
        baseline: whom the others are compared with; None leaves that to the cell.
        rounds: how often each contender runs.
        seconds: about how long a run lasts.

    Raises:
        ValueError: there is no cell or contender of a name.
    """
    counts = (threads,) if isinstance(threads, int) else threads
    if os.environ.get(QUICK_VARIABLE):
        rounds, seconds = 2, 0.002
    settings = Settings(rounds, seconds, None if counts is None else tuple(counts))
    plan = choose(cells or None, contenders, baseline)
    left_out = leave_out(plan)
    names = ", ".join(repr(each if isinstance(each, str) else each.name) for each in cells)
    environment = describe(peers.versions(), f"lockfree.bench.compare({names})")
    comparison = Comparison(environment, settings, left_out, baseline)
    for _ in comparison.measure(plan, lambda _stage, _turns: None):
        pass
    return comparison
