"""The command ``python -m lockfree.bench``."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from lockfree.bench import peers, report
from lockfree.bench.cells import CELLS
from lockfree.bench.environment import describe
from lockfree.bench.model import Cell, Contender, RustLoop
from lockfree.bench.progress import Progress
from lockfree.bench.record import document
from lockfree.bench.runner import QUICK, Result, Settings, measure

_INTERRUPTED = 130  # the status that a shell gives to a command ended by Ctrl-C

_T = TypeVar("_T")
_Plan = list[tuple[Cell, list[Contender | RustLoop]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        plan = _plan(options)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        print(_listing(plan))
        return 0
    left_out = _leave_out(plan)
    settings = _settings(options)
    command = shlex.join(["python", "-m", "lockfree.bench", *arguments])
    environment = describe(peers.versions(), command)
    print(report.header(environment, left_out), flush=True)
    results: list[Result] = []
    interrupted = _run(plan, settings, options.baseline, results)
    print(f"\n{report.legend(settings)}")
    if options.json:
        record = document(environment, settings, left_out, results, interrupted=interrupted)
        options.json.write_text(json.dumps(record))
    return _INTERRUPTED if interrupted else 0


def _run(plan: _Plan, settings: Settings, baseline: str | None, results: list[Result]) -> bool:
    """Measure and print cell by cell into `results`; return whether Ctrl-C ended it early."""
    progress = Progress(sys.stderr, len(plan))
    for cell, contenders in plan:
        result = Result(cell)
        results.append(result)
        progress.begin(cell.name)
        interrupted = False
        try:
            measure(result, contenders, settings, progress.show)
        except KeyboardInterrupt:
            interrupted = True
        progress.clear()
        if any(series.runs or series.error for series in result.series):
            print(f"\n{report.table(result, baseline or cell.baseline)}", flush=True)
        if interrupted:
            print("\nInterrupted: this is what was measured so far.")
            return True
    return False


def _plan(options: argparse.Namespace) -> _Plan:
    """Return the chosen cells, each with the chosen among its contenders."""
    cells = _named("cell", options.cells, {cell.name: cell for cell in CELLS})
    known = {each.name: each.name for cell in cells for each in cell.contenders}
    contenders = _named("contender", options.contenders, known)
    if options.baseline is not None:
        _named("contender", [options.baseline], known)
    return [(cell, [each for each in cell.contenders if each.name in contenders]) for cell in cells]


def _named(kind: str, names: Sequence[str] | None, known: Mapping[str, _T]) -> list[_T]:
    """Return what `names` name, or everything for None; refuse a name that is unknown."""
    if names is None:
        return list(known.values())
    for name in names:
        if name not in known:
            raise ValueError(f"no {kind} {name!r}; there are {', '.join(known)}")
    return [known[name] for name in names]


def _leave_out(plan: _Plan) -> dict[str, str]:
    """Take out of `plan` who cannot run here; return their names and why."""
    needs = {each.name: each.needs for _, contenders in plan for each in contenders}
    reasons = {need: peers.why_not(need) for need in set(needs.values()) if need is not None}
    left_out = {name: why for name, need in needs.items() if need and (why := reasons[need])}
    plan[:] = [
        (cell, able)
        for cell, contenders in plan
        if (able := [each for each in contenders if each.name not in left_out])
    ]
    return left_out


def _settings(options: argparse.Namespace) -> Settings:
    settings = QUICK if options.quick else Settings()
    return replace(settings, rounds=options.rounds or settings.rounds, threads=options.threads)


def _listing(plan: _Plan) -> str:
    """Return the cells, and for each contender the code that is timed."""
    lines = []
    for cell, contenders in plan:
        lines.append(f"{cell.name}: {cell.description}")
        for each in contenders:
            statements = ("(Rust)",) if isinstance(each, RustLoop) else each.statements
            code = "; ".join(" ".join(statement.split()) for statement in statements)
            lines.append(f"    {each.name:15}  {code}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lockfree.bench",
        description="Compare lockfree with threading.Lock, the standard library and installed "
        "peers, on this machine. Lists are separated by commas.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a smoke run: few and short rounds")
    add("--list", action="store_true", help="show cells and contenders, and measure nothing")
    add("--cells", metavar="NAMES", type=_names, action="extend", help="run only these cells")
    add("--contenders", metavar="NAMES", type=_names, action="extend", help="run only these")
    add("--threads", metavar="NUMBERS", type=_numbers, help="how many threads, as in 1,2,4,8")
    add("--rounds", metavar="N", type=_positive, help="how often each contender runs")
    add("--baseline", metavar="NAME", help="the contender that the others are compared with")
    add("--json", metavar="FILE", type=_writable, help="write all numbers to FILE")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({_positive(number) for number in text.split(",")}))


def _positive(text: str) -> int:
    if text.strip().isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no positive number")


def _writable(text: str) -> Path:
    """Refuse now what would otherwise fail after minutes of measuring."""
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"cannot write to {text!r}")
    return path


if __name__ == "__main__":
    sys.exit(main())
