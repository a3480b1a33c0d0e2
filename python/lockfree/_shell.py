"""What a command owes the shell that runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

INTERRUPTED: Final = 130
"""The status of a command that Ctrl-C ended."""

UNREAD: Final = 141
"""Or its output's reader, who had enough."""


def in_shell(main: Callable[[], int]) -> int:
    """Run `main` for a shell, where Ctrl-C and ``| head`` are no errors; return the exit status."""
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()  # rather now than when the interpreter ends, which complains
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
