"""Tables as text for a terminal, as HTML for a notebook and as Markdown for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import chain
from math import ceil
from textwrap import fill

WIDTH = 100
"""Of text that goes to no terminal."""


@dataclass(frozen=True, slots=True)
class Block:
    """Columns of a table that belong together."""

    heading: str
    rows: Sequence[Sequence[str]]
    """First the names of the columns, then what they hold for each name of the table."""


@dataclass(frozen=True, slots=True)
class Table:
    """Blocks of columns beside a column of names."""

    title: str
    corner: str
    """What stands above the names."""
    names: Sequence[str]
    blocks: Sequence[Block]
    notes: Sequence[str] = field(default=())


def filled(paragraph: str, width: int = WIDTH, indent: int = 0) -> str:
    """Return the paragraph in lines of at most `width` characters."""
    return fill(paragraph, width, subsequent_indent=" " * indent, break_on_hyphens=False)


def text(table: Table, width: int = WIDTH) -> str:
    """Return the table as lines of at most `width` characters, if any block is as narrow.

    Blocks for which there is no room beside the others go below them.
    """
    names = _aligned([[name] for name in ("", table.corner, *table.names)], "<")
    blocks = [_lines(block) for block in table.blocks]
    rows = [
        "\n".join("  ".join(line).rstrip() for line in zip(names, *group, strict=True))
        for group in _groups(blocks, width - len(names[0]))
    ]
    notes = [filled(note, width) for note in table.notes]
    return "\n".join([filled(table.title, width), "", "\n\n".join(rows), *notes])


def _lines(block: Block) -> list[str]:
    lines = _aligned(block.rows, ">")
    heading = f" {block.heading} ".center(len(lines[0]), "-")
    width = len(heading)
    return [heading, *(f"{line:>{width}}" for line in lines)]


def _groups(blocks: list[list[str]], width: int) -> list[list[list[str]]]:
    """Return the blocks in groups that fit side by side, about as many in each."""
    widest = 2 + max(len(lines[0]) for lines in blocks)
    groups = ceil(len(blocks) / max(1, width // widest))
    size = ceil(len(blocks) / groups)
    return [blocks[start : start + size] for start in range(0, len(blocks), size)]


def _aligned(rows: Sequence[Sequence[str]], side: str) -> list[str]:
    """Return a line per row, its columns aligned to the left (``<``) or the right (``>``)."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        " ".join(f"{text:{side}{width}}" for text, width in zip(row, widths, strict=True))
        for row in rows
    ]


def html(table: Table) -> str:
    """Return the table as HTML that needs no style sheet."""
    headings = "".join(
        f'<th colspan="{len(block.rows[0])}" style="text-align:center">{escape(block.heading)}</th>'
        for block in table.blocks
    )
    head, *body = (list(chain(*row)) for row in _rows(table))
    rows = [
        f"<tr><th></th>{headings}</tr>",
        _html_row(table.corner, head, "th"),
        *(_html_row(name, row, "td") for name, row in zip(table.names, body, strict=True)),
    ]
    notes = "".join(f"<div>{escape(note)}</div>" for note in table.notes)
    caption = f"<div><b>{escape(table.title)}</b></div>"
    return f"{caption}<table>{''.join(rows)}</table>{notes}"


def _html_row(name: str, texts: Sequence[str], tag: str) -> str:
    cells = "".join(f'<{tag} style="text-align:right">{escape(text)}</{tag}>' for text in texts)
    return f'<tr><th style="text-align:left">{escape(name)}</th>{cells}</tr>'


def markdown(table: Table) -> str:
    """Return the table as Markdown; each block's first column bears its heading."""
    head = [
        f"{block.heading}<br>{first}" if index == 0 else first
        for block in table.blocks
        for index, first in enumerate(block.rows[0])
    ]
    _, *body = (list(chain(*row)) for row in _rows(table))
    lines = [
        _markdown_row([table.corner, *head]),
        _markdown_row(["---", *("---:" for _ in head)]),
        *(_markdown_row([name, *row]) for name, row in zip(table.names, body, strict=True)),
    ]
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)])


def _markdown_row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"


def _rows(table: Table) -> zip[tuple[Sequence[str], ...]]:
    """Return the rows across all blocks, the names of the columns first."""
    return zip(*(block.rows for block in table.blocks), strict=True)
