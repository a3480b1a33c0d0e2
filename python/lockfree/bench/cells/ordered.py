"""The queues in another order: ``LifoQueue`` and ``PriorityQueue``."""

from lockfree.bench.model import NATIVE, Cell, Contender


def _pair(name: str, filling: str = "") -> tuple[Contender, ...]:
    """Return the classes of that name, put to and got from in turn."""
    setup = f"import {name}\nc = {name}()" + filling
    statements = ("c.put(1)", "c.get()")
    return (
        Contender("lockfree", f"from lockfree {setup}", statements, needs=NATIVE),
        Contender("lockfree.locked", f"from lockfree.locked {setup}", statements),
        Contender(f"queue.{name}", f"from queue {setup}", statements),
    )


CELLS = (
    Cell(
        "ordered.lifo",
        "put an item and get the last one",
        _pair("LifoQueue"),
        baseline="queue.LifoQueue",
    ),
    Cell(
        "ordered.priority",
        "put an item among 1000 and get the smallest",
        _pair("PriorityQueue", "\nfor item in range(1000):\n    c.put(item)"),
        baseline="queue.PriorityQueue",
    ),
)
