"""The cells that ``python -m lockfree.bench`` runs, a module per structure."""

from lockfree.bench.cells import counter, queue, reference, stack, tasks
from lockfree.bench.model import Cell

CELLS: tuple[Cell, ...] = (
    *counter.CELLS,
    *reference.CELLS,
    *stack.CELLS,
    *queue.CELLS,
    *tasks.CELLS,
)
