"""A bar on a terminal that says what is going on, and how long it will take."""

from __future__ import annotations

import sys
from typing import Protocol

from lockfree.bench.extras import MissingExtra, extra


class Progress(Protocol):
    """Shown while something is measured, hidden while something is printed."""

    def show(self, step: str, turns: int) -> None:
        """Say what is being done, and how much of the whole it is."""

    def hide(self) -> None:
        """Take it off the screen, until the next `show`."""


class Silence:
    """No progress: where nobody looks, or rich is missing."""

    def show(self, step: str, turns: int) -> None:
        """Do nothing."""

    def hide(self) -> None:
        """Do nothing."""


class Bar:
    """A bar of rich, on stderr."""

    def __init__(self, turns: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            BarColumn(bar_width=20),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            transient=True,
            # A thread that draws would take a core, or the GIL, from what is measured.
            auto_refresh=False,
        )
        self._task = self._bar.add_task("", total=turns)
        self._turns = 0  # of the step being done

    def show(self, step: str, turns: int) -> None:
        """Say what is being done; the step before is over."""
        self._bar.update(self._task, advance=self._turns, description=step)
        self._turns = turns
        self._bar.start()
        self._bar.refresh()

    def hide(self) -> None:
        """Blank the line, so that what is printed next starts on an empty one."""
        self._bar.stop()


def progress(turns: int) -> Progress:
    """Return a bar if somebody looks, or say in one line what it needs."""
    if not sys.stderr.isatty():
        return Silence()
    try:
        extra("rich")
    except MissingExtra as missing:
        print(missing, file=sys.stderr)
        return Silence()
    return Bar(turns)
