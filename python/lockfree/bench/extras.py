"""What the benchmark can do without: said in one line where it is missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

_HINTS = {
    "matplotlib": "charts need matplotlib: pip install matplotlib",
    "pandas": "data frames need pandas: pip install pandas",
    "rich": "a progress bar needs rich: pip install rich",
}


class MissingExtra(ImportError):  # noqa: N818
    """Says what is missing, what for, and how to get it."""


def extra(name: str) -> ModuleType:
    """Return the module.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # it is there, and itself lacks something
            raise
        raise MissingExtra(_HINTS[name], name=name) from None
