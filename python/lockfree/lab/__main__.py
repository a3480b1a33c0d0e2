"""The command ``python -m lockfree.lab``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from lockfree._shell import in_shell
from lockfree.lab import aba, lost_updates, memory_model, races, stall


class Experiment(Protocol):
    """What a module offers that is an experiment."""

    SUMMARY: str

    def run(self) -> bool:
        """Make it happen and print it; return whether it shows what it claims."""


EXPERIMENTS: Final[Mapping[str, Experiment]] = {
    "aba": aba,
    "atomicity": lost_updates,
    "litmus": memory_model,
    "races": races,
    "stall": stall,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an experiment, or list them; return the exit status."""
    options = _parser().parse_args(arguments)
    if options.experiment is None:
        print(_listing())
        return 0
    return 0 if EXPERIMENTS[options.experiment].run() else 1


def _listing() -> str:
    return "\n".join(f"{name:10}{each.SUMMARY}" for name, each in EXPERIMENTS.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lockfree.lab",
        description="See what goes wrong in lock-free programming. Without an argument, the "
        "experiments are listed.",
    )
    parser.add_argument("experiment", nargs="?", choices=EXPERIMENTS, help="which one to run")
    return parser


if __name__ == "__main__":
    sys.exit(in_shell(main))
