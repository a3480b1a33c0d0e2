"""The command ``python -m lockfree.bench``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shutil import get_terminal_size
from textwrap import indent

from lockfree._shell import INTERRUPTED, in_shell
from lockfree.bench import conclusions, layout, peers, regression, report
from lockfree.bench.comparison import Comparison
from lockfree.bench.environment import describe
from lockfree.bench.extras import MissingExtra, extra
from lockfree.bench.model import RustLoop
from lockfree.bench.options import parser as make_parser
from lockfree.bench.options import unused
from lockfree.bench.plan import Plan, choose, leave_out
from lockfree.bench.progress import progress
from lockfree.bench.record import read_json, write_csv, write_json
from lockfree.bench.regression import Change, Changes
from lockfree.bench.runner import QUICK, Settings

_REGRESSION = 1
_UNABLE = 2  # that of argparse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, or compare two runs of it; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = make_parser()
    options = parser.parse_args(arguments)
    if complaint := unused(options):
        parser.error(complaint)
    try:
        if options.plot:
            extra("matplotlib")  # rather now than after minutes of measuring
        if options.compare:
            before, after = (read_json(path) for path in options.compare)
            changes = regression.changes(
                before,
                after,
                options.cells,
                options.contenders,
                baseline=options.baseline,
                relative=options.relative,
            )
            judged = regression.judged(changes, options.contenders)
        else:
            plan = choose(options.cells, options.contenders, options.baseline)
    except MissingExtra as missing:
        print(missing, file=sys.stderr)
        return _UNABLE
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if options.compare:
        print(regression.context(before, after, _width()))
        _set_side_by_side([before, after], changes, options)
        return _verdict(judged, options.tolerance)
    if options.list:
        print(_listing(plan))
        return 0
    return _measure(plan, options, shlex.join(["python", "-m", "lockfree.bench", *arguments]))


def _measure(plan: Plan, options: argparse.Namespace, command: str) -> int:
    """Measure, print and write what was chosen; return the exit status."""
    left_out = leave_out(plan)
    if not plan:
        print("Nothing to measure:", *map(": ".join, left_out.items()), sep="\n", file=sys.stderr)
        return _UNABLE
    settings = _settings(options)
    environment = describe(peers.versions(), command, pin=settings.pin)
    comparison = Comparison(environment, settings, left_out, options.baseline)
    try:
        _run(comparison, plan)
        _print(*report.legend(settings))
        _conclude(comparison)
    finally:  # also where nobody reads the tables any more
        status = _write(comparison, options)
    return status or (INTERRUPTED if comparison.interrupted else 0)


def _run(comparison: Comparison, plan: Plan) -> None:
    """Measure, and print each table as soon as it is whole."""
    print(report.header(comparison.environment, comparison.left_out, _width()), flush=True)
    bar = progress(sum(comparison.settings.turns(*each) for each in plan))
    try:
        for result in comparison.measure(plan, bar.show):
            bar.hide()
            table = report.table(result, comparison.baseline)
            print(f"\n{layout.text(table, _width())}", flush=True)
    except KeyboardInterrupt:  # it came while nothing was measured
        comparison.interrupted = True
    bar.hide()
    if comparison.interrupted:
        print("\nInterrupted: this is what was measured so far.")


def _conclude(comparison: Comparison) -> None:
    """Print what it comes to; nothing follows from a quick run."""
    if comparison.settings.quick:
        _print("This was a quick run, too short for conclusions.")
    elif gained := conclusions.table(comparison.results):
        print(f"\n{layout.text(gained, _width())}")


def _write(comparison: Comparison, options: argparse.Namespace) -> int:
    """Write the files that were asked for; return the exit status."""
    try:
        if options.json:
            write_json(comparison, options.json)
        if options.csv:
            write_csv(comparison, options.csv)
        if options.plot:
            _draw([comparison], options.plot)
    except BrokenPipeError:  # no file's
        raise
    except OSError as error:
        print(f"cannot write the results: {error}", file=sys.stderr)
        return _UNABLE
    return 0


def _draw(comparisons: Sequence[Comparison], folder: Path) -> None:
    from lockfree.bench.charts import draw

    cells = draw(comparisons, folder, ".png", ".svg")
    _print(f"{report.count(len(cells), 'chart')} in {folder}, as PNG and SVG.")


def _set_side_by_side(
    runs: Sequence[Comparison], changes: Changes, options: argparse.Namespace
) -> None:
    """Print and draw two runs side by side."""
    unit = "baselines" if options.relative else "ns"
    for cell, each in changes.items():
        print(f"\n{layout.text(regression.table(cell, each, unit), _width())}")
    if options.plot:
        chosen = [each.only(options.cells, options.contenders) for each in runs]
        _draw(chosen, options.plot)


def _verdict(judged: Sequence[Change], tolerance: float) -> int:
    """Print what is slower; return the exit status: 1 if anything is."""
    slower = [change for change in judged if change.is_regression(tolerance / 100)]
    whose = ", ".join(dict.fromkeys(change.contender for change in judged))
    _print(f"Slower by more than {tolerance:g} %, and not by chance, of {whose}:")
    print("\n".join(map(str, slower)) or "nothing")
    return _REGRESSION if slower else 0


def _settings(options: argparse.Namespace) -> Settings:
    """Return the preset, with what was asked for instead."""
    settings = QUICK if options.quick else Settings()
    given = {name: getattr(options, name) for name in ("rounds", "threads", "minutes")}
    given["pin"] = not options.no_pin
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def _listing(plan: Plan) -> str:
    """Return the cells, and for each contender the code that is timed, line by line."""
    lines = []
    for cell, contenders in plan:
        lines.append(f"{cell.name}: {cell.description}")
        for each in contenders:
            code = "# Rust" if isinstance(each, RustLoop) else "\n".join(each.statements)
            lines += [f"  {each.name}", indent(code, " " * 8)]
    return "\n".join(lines)


def _print(*paragraphs: str) -> None:
    print()
    for paragraph in paragraphs:
        print(layout.filled(paragraph, _width()))


def _width() -> int:
    """Return how wide a line may be: the terminal, but no wider than what reads well."""
    return min(get_terminal_size((layout.WIDTH, 24)).columns, 120)


if __name__ == "__main__":
    sys.exit(in_shell(main))
