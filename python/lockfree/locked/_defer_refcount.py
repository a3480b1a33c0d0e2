"""``defer_refcount``: there is no such call for Python code."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def defer_refcount(obj: T, /) -> T:
    """Stop counting references to an object that many threads name; return it."""
    return obj
