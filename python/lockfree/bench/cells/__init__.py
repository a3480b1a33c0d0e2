"""The cells that ``python -m lockfree.bench`` runs, a module per structure."""

import lockfree
from lockfree.bench.cells import counter, stack
from lockfree.bench.model import Cell

CELLS: tuple[Cell, ...] = counter.CELLS + (stack.CELLS if hasattr(lockfree, "Stack") else ())
