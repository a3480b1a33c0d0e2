"""The benchmark's results as tables, and what there is to say about them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from lockfree.bench.environment import Environment
from lockfree.bench.layout import WIDTH, Block, Table, filled
from lockfree.bench.model import Cell, RustLoop
from lockfree.bench.processors import TOLERATED
from lockfree.bench.runner import Result, Series, Settings
from lockfree.bench.summary import Summary, differ, is_resolved, percentiles, speedup

SAME = "~"
NO_DIFFERENCE = f"{SAME} no difference shown: the middle halves of the rounds overlap."
"""The mark of a ratio that noise can explain, and the note below a table that has one."""

WAITED = "!"
NO_CONCLUSION = (
    f"{WAITED} its threads were ready to run and waited for a processor for more than "
    f"{TOLERATED:.0%} of the time: nothing follows from this number."
)
"""The mark of a number that says something else than it should, and the note for that."""


def facts(environment: Environment, left_out: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return where and with what it was measured, and who is left out."""
    peers = ", ".join(f"{name} {version}" for name, version in environment.peers.items())
    return [
        ("machine", f"{environment.cpu}, {count(environment.cores, 'core')} available"),
        ("system", environment.system),
        ("interpreter", interpreter(environment)),
        ("lockfree", f"{environment.lockfree}, {environment.implementation}"),
        ("peers", peers or "none installed"),
        *(("left out", each) for each in _left_out(left_out)),
        ("threads", environment.placement),
        ("date", environment.date),
        ("command", environment.command),
    ]


def _left_out(left_out: Mapping[str, str]) -> list[str]:
    """Return a line for each, but one for all that only have to be installed."""
    absent = {
        name: found[1]
        for name, reason in left_out.items()
        if (found := re.fullmatch(r"not installed \(pip install (.+)\)", reason))
    }
    lines = [f"{name}: {reason}" for name, reason in left_out.items() if name not in absent]
    if not absent:
        return lines
    packages = " ".join(dict.fromkeys(absent.values()))
    return [f"{', '.join(absent)}: not installed (pip install {packages})", *lines]


def interpreter(environment: Environment) -> str:
    """Return the interpreter's name and what became of its GIL."""
    build = "free-threaded" if environment.free_threaded else "with a GIL"
    gil = "on" if environment.gil_enabled else "off"
    return f"{environment.interpreter}, built {build}, the GIL is {gil}"


def header(environment: Environment, left_out: Mapping[str, str], width: int = WIDTH) -> str:
    """Return the facts as text."""
    return "\n".join(
        filled(f"{name:11}  {fact}", width, indent=13)
        for name, fact in facts(environment, left_out)
    )


def legend(settings: Settings) -> list[str]:
    """Return how to read the tables, and how their numbers came about, in paragraphs."""
    return [
        "A time per operation is the wall time from the first thread's start to the last one's "
        "end, over the operations of all threads together. The operation stands ten times in the "
        "loop, one of many items once; the loop's own cost is not subtracted.",
        "x7.1 is 7.1 times as fast as the baseline, by the medians; below x1 is slower. iqr is how "
        "far the quartiles of the rounds are apart, in percent of the median. Where the middle "
        f"halves overlap, or there is one round only, {SAME} marks that no difference is shown.",
        "Each thread is kept on a processor of its own, as far as there are enough. "
        f"{WAITED} marks a number whose threads were ready to run and waited for a processor for "
        f"more than {TOLERATED:.0%} of the time, though there were enough: something else wanted "
        "them, too, and nothing follows from it. Time asleep in a lock is a result.",
        f"The {RustLoop.name} run the same engine without an interpreter: the ceiling.",
        "A latency is that of a single operation between two readings of the clock; percentiles "
        "are by nearest rank, of all rounds and threads together, and stand only where there are "
        "enough operations. The timer alone has nothing between the readings: what it shows is in "
        "all the others. A hand-off is the time from before the put to after the get, in a thread "
        "that was asleep.",
        f"Each number comes from {count(settings.rounds, 'round')} of about {settings.seconds:g} s "
        f"(shorter where {settings.minutes:g} minutes would not do for all), after a warm-up, the "
        "contenders in turn within a round.",
    ]


def table(result: Result, baseline: str | None = None) -> Table:
    """Return the cell's table, with the notes that belong under it."""
    cell = result.cell
    baseline = baseline or cell.baseline
    title = f"{cell.name}: {cell.description}"
    if any(series.contender == baseline for series in result.series):
        title += f"; ratio to {baseline}"
    counts = list(dict.fromkeys(series.threads for series in result.series))
    names = ranking(result, counts[-1])
    blocks = [_block(result, threads, names, baseline) for threads in counts]
    unit = "ns" if cell.is_timed else f"ns/{cell.unit}"
    remarks = [cell.remark] if cell.remark else []
    return Table(title, unit, names, blocks, [*doubts(blocks), *_failures(result), *remarks])


def ranking(result: Result, threads: int) -> list[str]:
    """Return the contenders by their time with so many threads, those without one last.

    In a latency cell by the tail: that is what it is about.
    """
    times = {
        series.contender: _rank(result.cell, series)
        for series in result.series
        if series.threads == threads
    }
    return sorted(times, key=times.__getitem__)


def _rank(cell: Cell, series: Series) -> float:
    """Return the number of the table by which its rows are sorted."""
    if cell.is_timed and series.latencies and series.error is None:
        return percentiles(series.latencies)["p99.9" if cell.kind == "latency" else "p50"]
    summary = series.summary()
    return math.inf if cell.is_timed or summary is None else summary.median


def _block(result: Result, threads: int, names: Sequence[str], baseline: str) -> Block:
    """Return the columns for so many threads."""
    series = {each.contender: each for each in result.series if each.threads == threads}
    compared = series.get(baseline)
    head, row = (_LATENCIES, _latencies) if result.cell.is_timed else (_TIMES, _times)
    rows = [head, *(row(series[name], compared) for name in names)]
    return Block(count(threads, "thread"), rows)


_TIMES = ["median", "iqr", "ratio"]


def _times(series: Series, baseline: Series | None) -> list[str]:
    """Return what stands below `_TIMES`, as far as it is known."""
    summary = series.summary()
    if summary is None:
        return ["-" if series.error is None else "failed", "", ""]
    return [_mark(series) + digits(summary.median), _spread(summary), _ratio(series, baseline)]


_LATENCIES = ["p50", "ratio", "p99", "p99.9", "ratio", "max", "operations"]


def _latencies(series: Series, baseline: Series | None) -> list[str]:
    """Return what stands below `_LATENCIES`, as far as it is known."""
    if not series.latencies or series.error is not None:
        return ["-" if series.error is None else "failed", *[""] * (len(_LATENCIES) - 1)]
    total = series.latencies.total()
    at = {
        label: f"{value:,}" if is_resolved(label, total) else "-"
        for label, value in percentiles(series.latencies).items()
    }
    middle, tail = (_ratio(series, baseline, label) for label in ("p50", "p99.9"))
    typical = _mark(series) + at["p50"]
    return [typical, middle, at["p99"], at["p99.9"], tail, at["max"], _thousands(total)]


def _mark(series: Series) -> str:
    return WAITED if series.is_marked else ""


def _ratio(series: Series, baseline: Series | None, label: str | None = None) -> str:
    """Return how many times as fast as the baseline, and whether noise can explain it."""
    own, other = series.summary(label), baseline.summary(label) if baseline else None
    if own is None or other is None or own.median == 0:
        return ""
    if series.is_marked or (baseline and baseline.is_marked):
        return ""
    mark = "" if series is baseline or differ(own, other) else SAME
    return f"{mark}{times(speedup(own, other))}"


def _spread(summary: Summary) -> str:
    return f"{summary.spread:.0%}" if summary.rounds > 1 else ""


def doubts(blocks: Sequence[Block]) -> list[str]:
    """Return the notes on ratios that show no difference and on marked rows, if there are any."""
    first = {text[:1] for block in blocks for row in block.rows for text in row}
    return [note for note in (NO_DIFFERENCE, NO_CONCLUSION) if note[0] in first]


def _failures(result: Result) -> list[str]:
    """Return a line per contender and error, with the numbers of threads that met it."""
    threads: dict[tuple[str, str], list[int]] = {}
    for series in result.series:
        if series.error is not None:
            threads.setdefault((series.contender, series.error), []).append(series.threads)
    return [
        f"{name} failed, threads: {', '.join(map(str, counts))} ({error})"
        for (name, error), counts in threads.items()
    ]


def times(ratio: float) -> str:
    """Return a ratio as tables show it."""
    return f"x{digits(ratio, 2)}"


def digits(value: float, significant: int = 3) -> str:
    """Return a number to so many significant digits but at most 3 decimals."""
    if value <= 0:
        return "0"
    decimals = significant - 1 - math.floor(math.log10(value))
    return f"{value:.{min(max(0, decimals), 3)}f}"


def count(number: int, noun: str) -> str:
    """Return the number with its noun, in the plural unless it is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _thousands(number: int) -> str:
    return f"{number:,}" if number < 10_000 else f"{number // 1000:,}k"
