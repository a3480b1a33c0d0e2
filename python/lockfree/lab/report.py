"""What the experiments found as text, for a terminal 80 columns wide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from textwrap import dedent, fill

_WIDTH = 79


def paragraphs(text: str) -> str:
    """Return `text` with its paragraphs, which empty lines separate, wrapped anew."""
    return "\n\n".join(
        fill(each, _WIDTH, break_on_hyphens=False) for each in dedent(text).strip().split("\n\n")
    )


def table(rows: Iterable[Sequence[object]]) -> str:
    """Return a line per row, its columns aligned to the left."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    )


def missing(items: Iterable[int], among: Iterable[int]) -> list[int]:
    """Return what occurs in `items` more often than in `among`, in order."""
    return sorted((Counter(items) - Counter(among)).elements())


def listed(items: Iterable[int]) -> str:
    """Return the items in a row, or that there are none."""
    return " ".join(map(str, items)) or "none"


def verdict(claims: Mapping[str, bool]) -> bool:
    """Print which of the claims hold; return whether all do."""
    print("\nVerdict")
    for claim, holds in claims.items():
        print(f"  {'yes' if holds else 'NO':5}{claim}")
    return all(claims.values())
