"""Charts of comparisons, one per cell, drawn by matplotlib without a screen."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, chain
from math import ceil, log10
from pathlib import Path
from textwrap import fill, shorten
from typing import Any, Final, NamedTuple, Protocol

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from lockfree.bench.cells import CELLS
from lockfree.bench.environment import Environment
from lockfree.bench.model import RustLoop
from lockfree.bench.report import count, digits, ranking
from lockfree.bench.runner import Result
from lockfree.bench.summary import Summary

WIDTH, HEIGHT = 4.4, 3.1
"""Of a panel, in inches: narrow enough to be read on a telephone."""

_LINE: Final = 0.22
"""How high a line of the legend is."""

STYLE: Final[Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "lockfree",  # the same numbers make the same file
}


class Look(NamedTuple):
    """How a contender is drawn: told apart also without its colour."""

    color: str
    marker: str
    dashes: str = "-"
    width: float = 1.5


# Okabe and Ito's palette, which the colour-blind can tell apart, and two more.
_KNOWN: Final = {
    "lockfree": Look("#0072B2", "o", width=2.5),
    "lockfree.locked": Look("#56B4E9", "o", ":"),
    "threading.Lock": Look("#000000", "s"),
    RustLoop.name: Look("#999999", "", ":"),
    "timer alone": Look("#999999", "", ":"),
}
_OTHERS: Final = (
    Look("#D55E00", "^"),
    Look("#009E73", "v"),
    Look("#CC79A7", "D"),
    Look("#E69F00", "P"),
    Look("#8C6D31", "X"),
    Look("#5D3A9B", "*"),
    Look("#B2182B", "<"),
    Look("#44AA99", ">"),
)
_BASELINE_DASHES: Final = "--"

_MANY_NINES: Final = 7
"""So many percentiles have no room for all their labels."""

_LOGARITHMIC: Final = 30
"""Where the best is so many times the worst, a linear scale would show the best alone."""

_STEPS: Final = 400

_TITLE: Final = 46
"""So many characters of a title stand beside each other."""

_NAME: Final = 20
"""Of names that are longer there is no room for two beside each other."""


class Run(Protocol):
    """What is drawn: a comparison."""

    environment: Environment
    baseline: str | None
    results: list[Result]


def draw(runs: Sequence[Run], folder: Path, *suffixes: str) -> list[str]:
    """Write a chart per cell that the first has; return the cells' names.

    Several runs are set one below the other. A chart has the name of its cell, and
    is written with each of the suffixes.
    """
    cells = [result.cell.name for result in runs[0].results if result.has_something]
    for cell in cells:
        made = _figure(runs, [cell])
        with mpl.rc_context(STYLE):
            for suffix in suffixes:
                metadata = {"Date": None} if suffix == ".svg" else None
                made.savefig(folder / f"{cell}{suffix}", dpi=160, metadata=metadata)
    return cells


def figure(runs: Sequence[Run]) -> Figure:
    """Return a chart per cell that the first has, one below the other."""
    return _figure(runs, [result.cell.name for result in runs[0].results])


def _figure(runs: Sequence[Run], cells: Sequence[str]) -> Figure:
    shown = [
        [(run, result) for run in runs for result in run.results if result.cell.name == cell]
        for cell in cells
    ]
    heights = [HEIGHT * len(each) + _LINE * _lines_below(each) for each in shown] or [HEIGHT]
    with mpl.rc_context(STYLE):
        size = (WIDTH, sum(heights))
        made = Figure(figsize=size, facecolor="white", layout="constrained")
        parts = made.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, each in zip(parts, shown, strict=False):
            _chart(part, each)
    return made


def _chart(part: Any, shown: Sequence[tuple[Run, Result]]) -> None:
    """Draw one cell, a panel per run, with one legend for all."""
    results = [result for _, result in shown]
    cell = results[0].cell
    looks = _looks(results, shown[0][0].baseline or cell.baseline)
    panels = part.subplots(len(shown), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (run, result) in zip(panels, shown, strict=True):
        _panel(result)(axes, result, looks)
        title = _where(run.environment) + _left_out(result)
        axes.set_title(title, fontsize=8.5, color="#555555", loc="left")
        axes.label_outer()
    title = fill(f"{cell.name}: {cell.description}", _TITLE)
    part.suptitle(title, fontsize=11, fontweight="bold")
    drawn: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        drawn = dict(zip(labels, handles, strict=True)) | drawn
    if drawn:
        names = [label for name, look in looks.items() if (label := _label(name, look)) in drawn]
        part.legend(
            [drawn[name] for name in names],
            names,
            loc="outside lower center",
            ncols=_columns(names),
        )


def _columns(names: Iterable[str]) -> int:
    """Return how many of a legend's names are beside each other."""
    return 1 if max(map(len, names)) > _NAME else 2


def _lines_below(shown: Sequence[tuple[Run, Result]]) -> int:
    """Return how many lines a cell's legend has, if it has one, and a line of room."""
    run, result = shown[0]
    if _panel(result) is _bars:
        return 1
    looks = _looks([each for _, each in shown], run.baseline or result.cell.baseline)
    return ceil(len(looks) / _columns(_label(*each) for each in looks.items())) + 1


def _panel(result: Result) -> Callable[[Any, Result, Mapping[str, Look]], None]:
    """Return what draws such a result."""
    if result.cell.is_timed:
        return _curves
    several = len({series.threads for series in result.series}) > 1
    return _lines if several else _bars


def _looks(results: Sequence[Result], baseline: str) -> dict[str, Look]:
    """Return a look for each contender of any result, the best one of the first first."""
    names = dict.fromkeys(series.contender for result in results for series in result.series)
    looks = _colours()
    for name in names:
        if name not in looks:  # one of the reader's
            looks[name] = _free(looks, names)
    looks[baseline] = looks.get(baseline, _OTHERS[0])._replace(dashes=_BASELINE_DASHES)
    ranked = chain.from_iterable(ranking(result, _most_threads(result)) for result in results)
    return {name: looks[name] for name in dict.fromkeys(ranked)}


def _colours() -> dict[str, Look]:
    """Return the looks of all that the benchmark knows, the same in whatever charts they are."""
    cells = [[each.name for each in cell.contenders] for cell in CELLS]
    looks = dict(_KNOWN)
    for name in chain.from_iterable(cells):
        if name not in looks:
            looks[name] = _free(looks, chain.from_iterable(each for each in cells if name in each))
    return looks


def _free(looks: Mapping[str, Look], beside: Iterable[str]) -> Look:
    """Return a look that nobody beside it has, if there is one left."""
    taken = {looks[name] for name in beside if name in looks}
    return next((look for look in _OTHERS if look not in taken), _OTHERS[0])


def _label(name: str, look: Look) -> str:
    return f"{name} (baseline)" if look.dashes == _BASELINE_DASHES else name


def _where(environment: Environment) -> str:
    """Return where it was measured, in short lines."""
    gil = "on" if environment.gil_enabled else "off"
    build = " free-threaded" if environment.free_threaded else ""
    lines = (
        f"{environment.interpreter}{build}, GIL {gil}",
        f"lockfree {environment.lockfree}, {environment.date[:10]}",
        f"{environment.cpu}, {count(environment.cores, 'core')}",
    )
    return "\n".join(shorten(line, 56, placeholder=" ...") for line in lines)


def _left_out(result: Result) -> str:
    """Return how much is not drawn because nothing follows from it, as another line."""
    marked = sum(series.is_marked for series in result.series)
    return f"\nnot shown: {count(marked, 'number')} of threads that waited" if marked else ""


def _lines(axes: Any, result: Result, looks: Mapping[str, Look]) -> None:
    """Draw throughput over threads, with the quartiles of the rounds."""
    heights = []
    for name, look in looks.items():
        points = _points(result, name)
        if points:
            middle, errors = _heights([summary for _, summary in points])
            threads = [each for each, _ in points]
            axes.errorbar(threads, middle, errors, label=_label(name, look), **_style(look))
            heights += middle
    threads = sorted({series.threads for series in result.series})
    axes.set_xscale("log", base=2)
    axes.set_xticks(threads, [str(each) for each in threads], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("threads")
    axes.set_ylabel(f"million {result.cell.unit}s per second\nhigher is better")
    if heights and max(heights) > _LOGARITHMIC * min(heights):
        _make_logarithmic(axes)
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)
    else:  # the panels share it
        axes.set_ylabel(f"{axes.get_ylabel()}, logarithmic")


def _make_logarithmic(axes: Any) -> None:
    """Give it a logarithmic scale whose ticks are plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(_plain)
    axes.yaxis.set_minor_formatter(NullFormatter())


def _bars(axes: Any, result: Result, looks: Mapping[str, Look]) -> None:
    """Draw the throughput with the one number of threads that there is."""
    measured = [
        (_label(name, look), look, points[0][1])
        for name, look in looks.items()
        if (points := _points(result, name))
    ]
    lengths, errors = _heights([summary for *_, summary in measured])
    colors = [look.color for _, look, _ in measured]
    names = [name for name, *_ in measured]
    bars = axes.barh(names, lengths, xerr=errors, color=colors, height=0.6)
    axes.bar_label(bars, [digits(length) for length in lengths], padding=4)
    axes.margins(x=0.15)
    if not axes.yaxis_inverted():  # the panels share it
        axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"million {result.cell.unit}s per second, longer is better")


def _curves(axes: Any, result: Result, looks: Mapping[str, Look]) -> None:
    """Draw latency over the share of operations that take no longer."""
    most = _most_threads(result)
    series = {each.contender: each for each in result.series if each.threads == most}
    for name, look in looks.items():
        measured = series.get(name)
        if measured and measured.latencies and not (measured.error or measured.is_marked):
            odds, values = _percentile_curve(measured.latencies)
            axes.plot(odds, values, label=_label(name, look), **_style(look) | {"marker": ""})
    axes.set_xscale("log")
    axes.set_yscale("log")
    rarest = max(10, axes.get_xlim()[1])  # the panels share it
    nines = range(1 + int(log10(rarest)))
    every = 1 if len(nines) < _MANY_NINES else 2  # their labels would touch
    labels = [_share(each) if each % every == 0 else "" for each in nines]
    axes.set_xticks([10.0**each for each in nines], labels, fontsize=8.5)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(_duration)
    axes.set_xlabel("share of operations that took no longer")
    axes.set_ylabel(
        f"latency of one operation, {count(most, 'thread')}\nlower is better, logarithmic"
    )


def _percentile_curve(latencies: Counter[int]) -> tuple[list[float], list[int]]:
    """Return points of the curve: one in how many operations took longer, and than what.

    The last point is the longest of all: one in as many as there are took that long.
    """
    values = sorted(latencies)
    ranks = list(accumulate(latencies[value] for value in values))
    odds = [ranks[-1] ** (step / _STEPS) for step in range(_STEPS + 1)]
    at = [bisect_left(ranks, ceil(ranks[-1] * (1 - 1 / each))) for each in odds]
    return odds, [*(values[index] for index in at[:-1]), values[-1]]


def _share(nines: int) -> str:
    """Return the share of all but one in ``10**nines``."""
    return f"{100 - 10.0 ** (2 - nines):.{max(0, nines - 2)}f}%"


def _points(result: Result, contender: str) -> list[tuple[int, Summary]]:
    """Return what is known of the contender, by the number of threads."""
    return [
        (series.threads, summary)
        for series in result.series
        if series.contender == contender and not series.is_marked and (summary := series.summary())
    ]


def _heights(summaries: Sequence[Summary]) -> tuple[list[float], list[list[float]]]:
    """Return million operations per second, and how far the quartiles are below and above."""
    middle = [1e3 / summary.median for summary in summaries]
    below = [1e3 / each.median - 1e3 / each.high for each in summaries]
    above = [1e3 / each.low - 1e3 / each.median for each in summaries]
    return middle, [below, above]


def _most_threads(result: Result) -> int:
    return max(series.threads for series in result.series)


def _style(look: Look) -> dict[str, Any]:
    return {
        "color": look.color,
        "marker": look.marker,
        "linestyle": look.dashes,
        "linewidth": look.width,
    }


def _plain(value: float, _position: int) -> str:
    return f"{value:g}"


def _duration(nanoseconds: float, _position: int) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("\N{MICRO SIGN}s", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:g} {unit}"
    return f"{nanoseconds:g} ns"
