"""Who is measured: cells and contenders by name, less those who cannot run here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from lockfree.bench import peers
from lockfree.bench.cells import CELLS
from lockfree.bench.model import Cell, Contender, RustLoop

Plan: TypeAlias = list[tuple[Cell, list[Contender | RustLoop]]]


def choose(
    cells: Iterable[str | Cell] | None,
    contenders: Sequence[str] | None,
    baseline: str | None = None,
) -> Plan:
    """Return the chosen cells, each with the chosen among its contenders; None is all.

    The name of a structure chooses all its cells. One of your own is given as it is. A
    `baseline` is chosen with the others.

    Raises:
        ValueError: there is no cell or contender of a name.
    """
    found = CELLS if cells is None else [cell for each in cells for cell in _found(each)]
    chosen = [cell for index, cell in enumerate(found) if cell not in found[:index]]
    known = dict.fromkeys(each.name for cell in chosen for each in cell.contenders)
    named = [*(contenders or ()), *([baseline] if baseline else ())]
    for name in named:
        if name not in known:
            raise ValueError(f"no contender {name!r}; there are {', '.join(known)}")
    wanted = known if contenders is None else named
    return [(cell, [each for each in cell.contenders if each.name in wanted]) for cell in chosen]


def _found(name: str | Cell) -> list[Cell]:
    if isinstance(name, Cell):
        return [name]
    found = [cell for cell in CELLS if cell.is_called(name)]
    if not found:
        known = ", ".join(cell.name for cell in CELLS)
        raise ValueError(
            f"no cell {name!r}; there are {known}: python -m lockfree.bench --list shows them"
        )
    return found


def leave_out(plan: Plan) -> dict[str, str]:
    """Take out of `plan` who cannot run here; return their names and why."""
    needs = {each.name: each.needs for _, contenders in plan for each in contenders}
    reasons = {need: peers.why_not(need) for need in set(needs.values()) if need is not None}
    left_out = {name: why for name, need in needs.items() if need and (why := reasons[need])}
    plan[:] = [
        (cell, able)
        for cell, contenders in plan
        if (able := [each for each in contenders if each.name not in left_out])
    ]
    return left_out
