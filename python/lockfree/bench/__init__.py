"""The benchmark: how much faster, on this machine and with this interpreter.

``python -m lockfree.bench`` puts every structure of the package beside
``threading.Lock``, the standard library and whatever peers are installed;
``compare`` does so in a notebook. It needs nothing beyond the standard library,
but for the progress bar (rich), charts (matplotlib) and data frames (pandas).

What is measured stands in ``cells``: a cell is a few lines of data, Python
source to set up a shared object and source of the operation. ``worker`` makes
a loop of it and runs that in threads, ``runner`` decides how long and how
often, ``summary`` has the statistics. A ``comparison`` is what came of it:
``report`` makes tables, ``layout`` text or HTML of them, ``charts`` pictures,
``record`` files; ``regression`` sets two side by side.

Outside the package's promise of stability: cells and formats may change.
"""

from lockfree.bench.comparison import Comparison, compare
from lockfree.bench.model import Cell, Contender

__all__ = ["Cell", "Comparison", "Contender", "compare"]
