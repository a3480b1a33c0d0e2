"""What the experiments found as text, for a terminal 80 columns wide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
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


def html_table(rows: Iterable[Sequence[object]], caption: str) -> str:
    """Return the table for a notebook; the first row is its head."""
    head, *body = ([escape(str(cell)) for cell in row] for row in rows)
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in body]
    return (
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr></thead>"
        f"<tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody></table>"
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
