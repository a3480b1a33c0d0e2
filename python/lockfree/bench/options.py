"""The command's options."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """Return what parses the command line."""
    made = argparse.ArgumentParser(
        prog="python -m lockfree.bench",
        description="Compare lockfree with threading.Lock, the standard library and installed "
        "peers, on this machine. Lists are separated by commas.",
    )
    _add_what_to_measure(made.add_argument_group("what to measure"))
    _add_how_long(made.add_argument_group("how long"))
    _add_results(made.add_argument_group("what to do with it"))
    _add_comparison(made.add_argument_group("two runs, side by side"))
    return made


_MEASURING = ("list", "threads", "no_pin", "quick", "rounds", "minutes", "json", "csv")
_COMPARING = ("relative",)


def unused(options: argparse.Namespace) -> str | None:
    """Return what is wrong with an option that would be ignored."""
    pointless = _MEASURING if options.compare else _COMPARING
    given = [name for name in pointless if getattr(options, name)]
    if not given:
        return None
    with_or_without = "with" if options.compare else "without"
    return f"--{given[0].replace('_', '-')} means nothing {with_or_without} --compare"


def _add_what_to_measure(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--list", action="store_true", help="show cells and contenders, and measure nothing")
    add("--cells", metavar="NAMES", type=_names, action="extend", help="only these, or structures")
    add("--contenders", metavar="NAMES", type=_names, action="extend", help="only these")
    add("--threads", metavar="NUMBERS", type=_threads, help="how many threads, as in 1,2,4,8")
    add("--no-pin", action="store_true", help="leave it to the system where threads run")
    add(
        "--baseline",
        metavar="NAME",
        help="whom the others are compared with, by default threading.Lock or what stands for "
        "it in the cell",
    )


def _add_how_long(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--quick", action="store_true", help="a smoke run of half a minute")
    add("--rounds", metavar="N", type=_whole, help="how often each contender runs")
    add("--minutes", metavar="N", type=_positive, help="how long all may take, about (8)")


def _add_results(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--json", metavar="FILE", type=_writable, help="write all numbers to FILE")
    add("--csv", metavar="FILE", type=_writable, help="write the table to FILE")
    add("--plot", metavar="DIR", type=_folder, help="draw a chart of each cell, PNG and SVG")


def _add_comparison(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--compare",
        nargs=2,
        metavar=("A.json", "B.json"),
        type=Path,
        help="measure nothing, show these; the exit status is 1 if B is slower",
    )
    add(
        "--tolerance",
        metavar="PERCENT",
        type=_positive,
        default=10.0,
        help="how much slower B may be (10)",
    )
    add(
        "--relative",
        action="store_true",
        help="in times of each run's baseline, whatever the speed of the machine",
    )


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of names")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({_whole(number) for number in text.split(",")}))


_MOST_THREADS = 256  # what more would show is how long they take to start


def _threads(text: str) -> tuple[int, ...]:
    numbers = _numbers(text)
    if numbers[-1] > _MOST_THREADS:
        raise argparse.ArgumentTypeError(f"{text!r}: at most {_MOST_THREADS} threads")
    return numbers


def _whole(text: str) -> int:
    if text.strip().isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no positive number")


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if 0 < number < float("inf"):
        return number
    raise argparse.ArgumentTypeError(f"{text!r} is no positive number")


def _writable(text: str) -> Path:
    """Refuse now what would otherwise fail after minutes of measuring."""
    path = Path(text)
    is_new = not path.exists()
    try:
        path.open("a").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write to {text!r}: {error.strerror}") from error
    return path


def _folder(text: str) -> Path:
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror
        raise argparse.ArgumentTypeError(f"cannot make the folder {text!r}: {why}") from error
    return path
