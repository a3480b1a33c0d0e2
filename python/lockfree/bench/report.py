"""The benchmark's results as text, for a terminal 100 columns wide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from textwrap import fill

from lockfree.bench.environment import Environment
from lockfree.bench.model import RustLoop
from lockfree.bench.runner import Result, Series, Settings
from lockfree.bench.summary import PERCENTILES, Summary, differ, percentiles, speedup

_WIDTH = 100


def header(environment: Environment, left_out: Mapping[str, str]) -> str:
    """Return where and with what it is measured, and who is left out."""
    build = "free-threaded" if environment.free_threaded else "with a GIL"
    gil = "on" if environment.gil_enabled else "off"
    peers = ", ".join(f"{name} {version}" for name, version in environment.peers.items())
    facts = [
        ("machine", f"{environment.cpu}, {_count(environment.cores, 'core')} available"),
        ("system", environment.system),
        ("interpreter", f"{environment.interpreter}, built {build}, the GIL is {gil}"),
        ("lockfree", f"{environment.lockfree}, {environment.implementation}"),
        ("peers", peers or "none installed"),
        *(("left out", f"{name}: {reason}") for name, reason in left_out.items()),
        ("date", environment.date),
        ("command", environment.command),
    ]
    return "\n".join(f"{name:11}  {fact}" for name, fact in facts)


def table(result: Result, baseline: str) -> str:
    """Return the cell's table, with the notes that belong under it."""
    cell = result.cell
    title = f"{cell.name}: {cell.description}"
    if not cell.is_timed:
        if any(series.contender == baseline for series in result.series):
            title += f"; ratio to {baseline}"
        parts = [_throughput(result, baseline), *_spread(result)]
    else:
        counts = dict.fromkeys(series.threads for series in result.series)
        parts = ["\n\n".join(_latency(result, threads) for threads in counts)]
    return "\n".join([title, "", *parts, *_failures(result)])


def legend(settings: Settings) -> str:
    """Return how to read the tables, and how their numbers came about."""
    paragraphs = (
        "A time per operation is the wall time from the first thread's start to the last one's "
        "end, over the operations of all threads together. The operation stands ten times in the "
        "loop, whose own cost is not subtracted.",
        "x7.1 is 7.1 times as fast as the baseline, by the medians; below x1 is slower. "
        "~ marks where no difference is shown: the middle halves of the rounds overlap, or there "
        "is one round only.",
        f"The {RustLoop.name} run the same engine without an interpreter: the ceiling.",
        "A latency is that of a single operation between two readings of the clock; percentiles "
        "are by nearest rank, of all rounds and threads together. The timer alone has nothing "
        "between the readings: what it shows is in all the others. A hand-off is the time from "
        "before the put to after the get, in a thread that was asleep.",
        f"Each number comes from {_count(settings.rounds, 'round')} of about "
        f"{settings.seconds:g} s, after a warm-up, the contenders in turn within a round.",
    )
    return "\n".join(fill(paragraph, _WIDTH) for paragraph in paragraphs)


def _throughput(result: Result, baseline: str) -> str:
    """Return a table with a row per contender and a block per number of threads."""
    counts = list(dict.fromkeys(series.threads for series in result.series))
    names = _ranking(result, counts[-1])
    unit = "ns/operation" if result.cell.items == 1 else "ns/item"
    left = max(map(len, [unit, *names]))
    blocks = [[f"{text:{left}}" for text in ("", unit, *names)]]
    blocks += [_block(result, threads, names, baseline) for threads in counts]
    return "\n".join("  ".join(line) for line in zip(*blocks, strict=True))


def _ranking(result: Result, threads: int) -> list[str]:
    """Return the contenders by their time with so many threads, those without one last."""
    times = {}
    for series in result.series:
        if series.threads == threads:
            summary = series.summary()
            times[series.contender] = math.inf if summary is None else summary.median
    return sorted(times, key=times.__getitem__)


def _block(result: Result, threads: int, names: Sequence[str], baseline: str) -> list[str]:
    """Return the lines of the columns for so many threads."""
    series = {each.contender: each for each in result.series if each.threads == threads}
    compared = series[baseline].summary() if baseline in series else None
    rows = [["median", "best", "ratio"], *(_numbers(series[name], compared) for name in names)]
    lines = _aligned(rows, gap=1)
    return [f" {_count(threads, 'thread')} ".center(len(lines[0]), "-"), *lines]


def _numbers(series: Series, baseline: Summary | None) -> list[str]:
    """Return median, best and ratio, as far as they are known."""
    summary = series.summary()
    if summary is None:
        return ["-" if series.error is None else "failed", "", ""]
    times = [_digits(summary.median, 3), _digits(summary.best, 3)]
    if baseline is None:
        return [*times, ""]
    mark = "" if summary == baseline or differ(summary, baseline) else "~"
    return [*times, f"{mark}x{_digits(speedup(summary, baseline), 2)}"]


def _spread(result: Result) -> list[str]:
    """Return how far the rounds were apart: a measure of the noise."""
    spreads = [
        (summary.spread, series)
        for series in result.series
        if (summary := series.summary()) and summary.rounds > 1
    ]
    if not spreads:
        return []
    typical = median(spread for spread, _ in spreads)
    widest, series = max(spreads, key=lambda pair: pair[0])
    text = (
        f"Between the quartiles of the rounds: typically {typical:.0%} of the median, at most "
        f"{widest:.0%} ({series.contender}, {_count(series.threads, 'thread')})."
    )
    return [fill(text, _WIDTH)]


def _latency(result: Result, threads: int) -> str:
    """Return a table with a row per contender and a column per percentile."""
    measured = []
    for series in result.series:
        if series.threads == threads and series.runs and series.error is None:
            latencies = series.latencies()
            measured.append((series.contender, percentiles(latencies), latencies.total()))
    measured.sort(key=lambda row: row[1]["p99.9"])
    numbers = [[*PERCENTILES, "operations"]]
    numbers += [[f"{n:,}" for n in (*at.values(), total)] for _, at, total in measured]
    names = [f"ns, {_count(threads, 'thread')}", *(name for name, _, _ in measured)]
    left = max(map(len, names))
    lines = zip(names, _aligned(numbers, gap=3), strict=True)
    return "\n".join(f"{name:{left}}  {line}" for name, line in lines)


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


def _aligned(rows: Sequence[Sequence[str]], gap: int) -> list[str]:
    """Return a line per row, its columns aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (" " * gap).join(f"{text:>{width}}" for text, width in zip(row, widths, strict=True))
        for row in rows
    ]


def _digits(value: float, digits: int) -> str:
    """Return a positive number, to so many significant digits but at most 3 decimals."""
    decimals = digits - 1 - math.floor(math.log10(value))
    return f"{value:.{min(max(0, decimals), 3)}f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
