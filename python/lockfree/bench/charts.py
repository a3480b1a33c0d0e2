"""Charts of comparisons, one per cell, drawn by matplotlib without a screen."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, chain, cycle
from math import ceil, log10
from pathlib import Path
from textwrap import shorten
from typing import Any, Final, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from lockfree.bench.comparison import Comparison
from lockfree.bench.environment import Environment
from lockfree.bench.model import RustLoop
from lockfree.bench.report import count, digits, ranking
from lockfree.bench.runner import Result
from lockfree.bench.summary import Summary

WIDTH, HEIGHT = 8.0, 4.6
"""Of a chart, in inches: 800 pixels in a README."""

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


# Okabe and Ito's palette, which the colour-blind can tell apart.
_BASELINE: Final = Look("#000000", "s", "--", 2)
_KNOWN: Final = {
    "lockfree": Look("#0072B2", "o", width=2.5),
    "lockfree.locked": Look("#56B4E9", "o", ":"),
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
)

_MANY_NINES: Final = 7
"""So many percentiles have no room for all their labels."""

_LOGARITHMIC: Final = 30
"""Where the best is so many times the worst, a linear scale would show the best alone."""

_STEPS: Final = 400


def draw(comparisons: Sequence[Comparison], folder: Path, *suffixes: str) -> list[str]:
    """Write a chart per cell that the first has; return the cells' names.

    Several comparisons are set side by side. A chart has the name of its cell, and
    is written with each of the suffixes.
    """
    cells = [result.cell.name for result in comparisons[0].results if result.has_something]
    for cell in cells:
        made = figure([each.only([cell], None) for each in comparisons])
        with mpl.rc_context(STYLE):
            for suffix in suffixes:
                metadata = {"Date": None} if suffix == ".svg" else None
                made.savefig(folder / f"{cell}{suffix}", dpi=160, metadata=metadata)
    return cells


def figure(comparisons: Sequence[Comparison]) -> Figure:
    """Return a chart per cell that the first has, one below the other."""
    names = [result.cell.name for result in comparisons[0].results]
    rows = max(1, len(names))
    with mpl.rc_context(STYLE):
        made = Figure(figsize=(WIDTH, HEIGHT * rows), facecolor="white", layout="constrained")
        for part, name in zip(made.subfigures(rows, 1, squeeze=False)[:, 0], names, strict=False):
            _chart(part, [each.only([name], None) for each in comparisons])
    return made


def _chart(part: Any, comparisons: Sequence[Comparison]) -> None:
    """Draw one cell, a panel per comparison, with one legend for all."""
    shown = [each for each in comparisons if each.results]
    results = [each.results[0] for each in shown]
    cell = results[0].cell
    looks = _looks(results, shown[0].baseline or cell.baseline)
    panels = part.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    for axes, comparison, result in zip(panels, shown, results, strict=True):
        _panel(result)(axes, result, looks)
        axes.set_title(_where(comparison.environment), fontsize=8.5, color="#555555", loc="left")
        axes.label_outer()
    part.suptitle(f"{cell.name}: {cell.description}", fontsize=11, fontweight="bold")
    drawn: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        drawn = dict(zip(labels, handles, strict=True)) | drawn
    if drawn:
        names = [name for name in looks if name in drawn]
        part.legend([drawn[name] for name in names], names, loc="outside lower center", ncols=4)


def _panel(result: Result) -> Callable[[Any, Result, Mapping[str, Look]], None]:
    """Return what draws such a result."""
    if result.cell.is_timed:
        return _curves
    several = len({series.threads for series in result.series}) > 1
    return _lines if several else _bars


def _looks(results: Sequence[Result], baseline: str) -> dict[str, Look]:
    """Return a look for each contender of any result, the best one of the first first."""
    others = cycle(_OTHERS)
    names = dict.fromkeys(series.contender for result in results for series in result.series)
    looks = {name: _KNOWN.get(name) or next(others) for name in names if name != baseline}
    looks[baseline] = _BASELINE
    ranked = chain.from_iterable(ranking(result, _most_threads(result)) for result in results)
    return {name: looks[name] for name in dict.fromkeys(ranked)}


def _where(environment: Environment) -> str:
    """Return where it was measured, in lines short enough for a half of the width."""
    gil = "on" if environment.gil_enabled else "off"
    build = " free-threaded" if environment.free_threaded else ""
    lines = (
        f"{environment.interpreter}{build}, GIL {gil}",
        f"lockfree {environment.lockfree}, {environment.date[:10]}",
        f"{environment.cpu}, {count(environment.cores, 'core')}",
    )
    return "\n".join(shorten(line, 56, placeholder=" ...") for line in lines)


def _lines(axes: Any, result: Result, looks: Mapping[str, Look]) -> None:
    """Draw throughput over threads, with the quartiles of the rounds."""
    heights = []
    for name, look in looks.items():
        points = _points(result, name)
        if points:
            middle, errors = _heights([summary for _, summary in points])
            axes.errorbar([each for each, _ in points], middle, errors, label=name, **_style(look))
            heights += middle
    threads = sorted({series.threads for series in result.series})
    axes.set_xscale("log", base=2)
    axes.set_xticks(threads, [str(each) for each in threads], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("threads")
    axes.set_ylabel(f"million {result.cell.unit}s per second")
    if heights and max(heights) > _LOGARITHMIC * min(heights):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_plain)
    elif axes.get_yscale() == "linear":  # the panels share it
        axes.set_ylim(bottom=0)


def _bars(axes: Any, result: Result, looks: Mapping[str, Look]) -> None:
    """Draw the throughput with the one number of threads that there is."""
    measured = [(name, points[0][1]) for name in looks if (points := _points(result, name))]
    lengths, errors = _heights([summary for _, summary in measured])
    colors = [looks[name].color for name, _ in measured]
    bars = axes.barh([name for name, _ in measured], lengths, xerr=errors, color=colors, height=0.6)
    labels = axes.bar_label(bars, [digits(length) for length in lengths], padding=4)
    for label in labels:  # readable also where the baseline's line crosses it
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    axes.margins(x=0.12)
    if not axes.yaxis_inverted():  # the panels share it
        axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"million {result.cell.unit}s per second")
    for (_, summary), color in zip(measured, colors, strict=True):
        if color == _BASELINE.color:
            axes.axvline(1e3 / summary.median, color=color, linestyle=_BASELINE.dashes, zorder=1)


def _curves(axes: Any, result: Result, looks: Mapping[str, Look]) -> None:
    """Draw latency over the share of operations that take no longer."""
    most = _most_threads(result)
    series = {each.contender: each for each in result.series if each.threads == most}
    for name, look in looks.items():
        measured = series.get(name)
        if measured and measured.latencies and measured.error is None:
            odds, values = _percentile_curve(measured.latencies)
            axes.plot(odds, values, label=name, **_style(look) | {"marker": ""})
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
    axes.set_ylabel(f"latency of one operation, {count(most, 'thread')}")


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
        if series.contender == contender and (summary := series.summary())
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
