"""One line on a terminal that says what is going on."""

from __future__ import annotations

from typing import TextIO

_WIDTH = 79


class Progress:
    """Counts the parts, and writes over its own line; silent without a terminal."""

    def __init__(self, stream: TextIO, parts: int) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._parts = parts
        self._begun = 0
        self._part = ""

    def begin(self, part: str) -> None:
        """Go on to the next part."""
        self._begun += 1
        self._part = part

    def show(self, step: str) -> None:
        """Show what is being done in this part."""
        self._write(f"[{self._begun}/{self._parts}] {self._part}, {step}")

    def clear(self) -> None:
        """Blank the line, so that what is printed next starts on an empty one."""
        self._write("")

    def _write(self, text: str) -> None:
        if self._terminal:
            self._stream.write(f"\r{text[:_WIDTH]:{_WIDTH}}\r")
            self._stream.flush()
