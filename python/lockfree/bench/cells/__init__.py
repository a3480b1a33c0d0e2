"""The cells that ``python -m lockfree.bench`` runs, a module per structure."""

from lockfree.bench.cells import cache, counter, queue, stack, tasks
from lockfree.bench.model import Cell

CELLS: tuple[Cell, ...] = counter.CELLS + stack.CELLS + queue.CELLS + tasks.CELLS + cache.CELLS
