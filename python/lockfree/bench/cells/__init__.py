"""The cells that ``python -m lockfree.bench`` runs, a module per structure."""

from lockfree.bench.cells import (
    cache,
    counter,
    dictionary,
    flag,
    floating,
    keyed,
    once,
    ordered,
    ordering,
    queue,
    reference,
    stack,
    striped,
    tasks,
)
from lockfree.bench.model import Cell

CELLS: tuple[Cell, ...] = (
    *counter.CELLS,
    *flag.CELLS,
    *floating.CELLS,
    *striped.CELLS,
    *reference.CELLS,
    *ordering.CELLS,
    *stack.CELLS,
    *queue.CELLS,
    *ordered.CELLS,
    *tasks.CELLS,
    *cache.CELLS,
    *dictionary.CELLS,
    *keyed.CELLS,
    *once.CELLS,
)
