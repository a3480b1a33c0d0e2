"""Finds out which peers this interpreter can be compared with."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import lockfree
from lockfree.bench.environment import gil_enabled
from lockfree.bench.model import NATIVE

DISTRIBUTIONS = {
    "aiologic": "aiologic",
    "cachebox": "cachebox",
    "cachetools": "cachetools",
    "cereggii": "cereggii",
    "culsans": "culsans",
    "ft_utils.concurrency": "ft-utils",
    "janus": "janus",
    "moka_py": "moka-py",
    "theine": "theine",
}
"""The peers' modules, and what pip calls them (``benches/peers.txt``)."""

_PATIENCE = 60  # seconds

_PROBE = """\
import importlib, sys
importlib.import_module(sys.argv[1])
print(getattr(sys, "_is_gil_enabled", lambda: True)())
"""


def versions() -> dict[str, str]:
    """Return the versions of the peers that are installed."""
    found = {}
    for distribution in DISTRIBUTIONS.values():
        with suppress(PackageNotFoundError):
            found[distribution] = version(distribution)
    return found


def why_not(module: str) -> str | None:
    """Return why contenders that need `module` are left out, or None if they are not."""
    if module == NATIVE:
        native = lockfree.IMPLEMENTATION == "native"
        return None if native else "the native implementation is not in use"
    if not _found(module):
        return f"not installed (pip install {DISTRIBUTIONS.get(module, module)})"
    return _import_trouble(module)


def _found(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


@cache
def _import_trouble(module: str) -> str | None:
    """Import in a child process, for an import cannot be taken back.

    An extension that does not declare itself safe turns the GIL on, for good
    and for all contenders.
    """
    command = [sys.executable, "-c", _PROBE, module]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"does not import (not within {_PATIENCE} s)"
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines()
        return f"does not import ({lines[-1] if lines else f'exit status {child.returncode}'})"
    if child.stdout.split()[-1:] == ["True"] and not gil_enabled():
        return "importing it turns the GIL on"
    return None
