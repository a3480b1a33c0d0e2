"""The shared stack: ``Stack``."""

from lockfree.bench.model import NATIVE, Cell, Contender, RustLoop

_LOCKFREE = "from lockfree import Stack\nc = Stack()"
_LOCKED = "from lockfree.locked import Stack\nc = Stack()"
_LOCK = "from lockfree.bench.handwritten import LockedList\nc = LockedList()"
_LIST = "c = []"
_DEQUE = "from collections import deque\nc = deque()"
_LIFO_QUEUE = "from queue import LifoQueue\nc = LifoQueue()"
_FT_UTILS = "from ft_utils.concurrency import ConcurrentDeque\nc = ConcurrentDeque()"

_ITEM = "\nc.push(1)"

# Each thread pops after it pushed: no pop finds the stack empty, though it may
# take what another thread pushed.
_PAIR = (
    Contender("lockfree", _LOCKFREE, ("c.push(1)", "c.pop()"), needs=NATIVE),
    Contender("lockfree.locked", _LOCKED, ("c.push(1)", "c.pop()")),
    Contender(
        "list + Lock",
        _LOCK,
        ("with c.lock:\n    c.items.append(1)", "with c.lock:\n    c.items.pop()"),
    ),
    Contender("list", _LIST, ("c.append(1)", "c.pop()")),
    Contender("deque", _DEQUE, ("c.append(1)", "c.pop()")),
    Contender("queue.LifoQueue", _LIFO_QUEUE, ("c.put(1)", "c.get()")),
    Contender("ft-utils", _FT_UTILS, ("c.append(1)", "c.pop()"), needs="ft_utils.concurrency"),
)

_BATCH = "\nbatch = tuple(range(100))"
_MANY = ("c.push_many(batch)", "c.pop_all()")
# What has no way to take everything at once pops item by item.
_EXTEND = ("c.extend(batch)", "for _ in batch:\n    c.pop()")
_BATCHES = (
    Contender("lockfree", _LOCKFREE + _BATCH, _MANY, needs=NATIVE),
    Contender("lockfree.locked", _LOCKED + _BATCH, _MANY),
    Contender(
        "list + Lock",
        _LOCK + _BATCH,
        (
            "with c.lock:\n    c.items.extend(batch)",
            "with c.lock:\n    taken, c.items = c.items, []",
        ),
    ),
    Contender("list", _LIST + _BATCH, _EXTEND),
    Contender("deque", _DEQUE + _BATCH, _EXTEND),
    Contender(
        "queue.LifoQueue",
        _LIFO_QUEUE + _BATCH,
        ("for item in batch:\n    c.put(item)", "for _ in batch:\n    c.get()"),
    ),
    Contender("ft-utils", _FT_UTILS + _BATCH, _EXTEND, needs="ft_utils.concurrency"),
)

CELLS = (
    Cell(
        "stack.pushpop",
        "push an item and pop one",
        (*_PAIR, RustLoop("stack.pushpop")),
        baseline="list + Lock",
    ),
    Cell(
        "stack.global_pushpop",
        "stack.pushpop through a module global",
        _PAIR,
        baseline="list + Lock",
        scope="global",
    ),
    Cell(
        "stack.batch",
        "push 100 items and pop all, per item",
        _BATCHES,
        baseline="list + Lock",
        items=100,
    ),
    Cell(
        "stack.peek",
        "look at the top item",
        (
            Contender("lockfree", _LOCKFREE + _ITEM, ("c.peek()",), needs=NATIVE),
            Contender("lockfree.locked", _LOCKED + _ITEM, ("c.peek()",)),
            Contender(
                "list + Lock", _LOCK + "\nc.items.append(1)", ("with c.lock:\n    c.items[-1]",)
            ),
            Contender("list", "c = [1]", ("c[-1]",)),
        ),
        baseline="list + Lock",
    ),
    Cell(
        "stack.latency",
        "how long a single push or pop takes",
        _PAIR,
        baseline="list + Lock",
        kind="latency",
    ),
)
