"""Keys that each thread makes for itself."""

from __future__ import annotations


def for_own_keys(keys: str, statement: str) -> str:
    """Return a loop over `keys`, which a thread makes when it finds that it has none yet."""
    return f"""\
try:
    own
except NameError:
    own = {keys}
for key in own:
    {statement}"""
