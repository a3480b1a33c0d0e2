"""The command ``python -m lockfree``: what is installed here, and on what it runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution

import lockfree
from lockfree._shell import in_shell
from lockfree.bench.environment import describe


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what a report of a bug should say; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m lockfree",
        description="Print what a report of a bug should say: versions, implementation, GIL, "
        "processor, and the crates that the extension was built with.",
    )
    parser.add_argument("--version", action="version", version=f"lockfree {lockfree.__version__}")
    parser.parse_args(arguments)
    for name, text in _facts():
        print(f"{name:10}{text}")
    return 0


def _facts() -> Iterator[tuple[str, str]]:
    here = describe(peers={}, command="")
    build = "free-threaded" if here.free_threaded else "with the GIL"
    yield "lockfree", f"{here.lockfree}, {here.implementation}"
    yield "Python", f"{here.interpreter}, {build}; the GIL is {'on' if here.gil_enabled else 'off'}"
    yield "system", here.system
    yield "processor", f"{here.cpu}, {here.cores} cores"
    yield "crates", ", ".join(_crates()) or "none"


def _crates() -> list[str]:
    """Return the crates that the extension was built with, from the SBOM in its wheel."""
    for file in distribution("lockfree").files or ():
        if file.name == "lockfree.cyclonedx.json":
            components = json.loads(file.read_text())["components"]
            return [f"{each['name']} {each['version']}" for each in components]
    return []


if __name__ == "__main__":
    sys.exit(in_shell(main))
