"""The shared queue: ``Queue``."""

from dataclasses import replace

from lockfree.bench.model import NATIVE, Cell, Contender, RustLoop

_LOCKFREE = "from lockfree import Queue\nc = Queue()"
_LOCKED = "from lockfree.locked import Queue\nc = Queue()"
_SIMPLE_QUEUE = "from queue import SimpleQueue\nc = SimpleQueue()"
_QUEUE = "from queue import Queue\nc = Queue()"
_DEQUE = "from collections import deque\nc = deque()"
_FT_UTILS = "from ft_utils.concurrency import ConcurrentQueue\nc = ConcurrentQueue()"
_CULSANS = "from culsans import Queue\nc = Queue()"
_AIOLOGIC = "from aiologic import SimpleQueue\nc = SimpleQueue()"
_PUT_GET = ("c.put(1)", "c.get()")

_UNBOUNDED = (
    Contender("lockfree", _LOCKFREE, _PUT_GET, needs=NATIVE),
    Contender("lockfree.locked", _LOCKED, _PUT_GET),
    Contender("queue.SimpleQueue", _SIMPLE_QUEUE, _PUT_GET),
    Contender("queue.Queue", _QUEUE, _PUT_GET),
    Contender("ft-utils", _FT_UTILS, ("c.push(1)", "c.pop()"), needs="ft_utils.concurrency"),
    Contender("culsans", _CULSANS, ("c.sync_put(1)", "c.sync_get()"), needs="culsans"),
    Contender("aiologic", _AIOLOGIC, ("c.put(1)", "c.green_get()"), needs="aiologic"),
)

# What goes through makes a difference: an int that is always there, ints of which the producer
# makes each and the consumer gets rid, tuples that it makes, instances that hold nothing or an int.
_ITEMS = {
    "ints": ("ints", "i + 1000"),
    "tuples": ("tuples", "(i, 1000)"),
    "instances": ("instances", "Item()"),
    "holders": ("instances with an int", "Holder(i + 1000)"),
}
_CLASSES = """\
class Item:
    pass
class Holder:
    def __init__(self, number):
        self.number = number
"""


def _transferring(item: str) -> tuple[Contender, ...]:
    """Return all with this for an item."""
    return tuple(
        replace(
            each,
            setup=_CLASSES + each.setup,
            statements=(each.statements[0].replace("(1)", f"({item})"), *each.statements[1:]),
        )
        for each in _UNBOUNDED
    )


_DEQUE_PAIR = Contender("deque", _DEQUE, ("c.append(1)", "c.popleft()"))
_EMPTY = (
    Contender("lockfree", _LOCKFREE, ("c.empty()",), needs=NATIVE),
    Contender("lockfree.locked", _LOCKED, ("c.empty()",)),
    Contender("queue.SimpleQueue", _SIMPLE_QUEUE, ("c.empty()",)),
    Contender("queue.Queue", _QUEUE, ("c.empty()",)),
    Contender("deque", _DEQUE, ("not c",)),
)

_BOUNDED = (
    Contender("lockfree", "from lockfree import Queue\nc = Queue(1000)", _PUT_GET, needs=NATIVE),
    Contender("lockfree.locked", "from lockfree.locked import Queue\nc = Queue(1000)", _PUT_GET),
    Contender("queue.Queue", "from queue import Queue\nc = Queue(1000)", _PUT_GET),
    Contender(
        "culsans",
        "from culsans import Queue\nc = Queue(1000)",
        ("c.sync_put(1)", "c.sync_get()"),
        needs="culsans",
    ),
)

_BATCH = "\nbatch = tuple(range(100))"
_ONE_BY_ONE = ("for item in batch:\n    c.put(item)", "for _ in batch:\n    c.get()")
_BATCHES = (
    Contender(
        "lockfree", _LOCKFREE + _BATCH, ("c.put_many(batch)", "c.get_many(100)"), needs=NATIVE
    ),
    Contender("lockfree.locked", _LOCKED + _BATCH, ("c.put_many(batch)", "c.get_many(100)")),
    Contender("queue.SimpleQueue", _SIMPLE_QUEUE + _BATCH, _ONE_BY_ONE),
    Contender("queue.Queue", _QUEUE + _BATCH, _ONE_BY_ONE),
    Contender("deque", _DEQUE + _BATCH, ("c.extend(batch)", "for _ in batch:\n    c.popleft()")),
)

_HANDOFF = ("c.put(clock())", "sent = c.get()")
_HANDOFFS = (
    Contender("lockfree", _LOCKFREE, _HANDOFF, needs=NATIVE),
    Contender("lockfree.locked", _LOCKED, _HANDOFF),
    Contender("queue.SimpleQueue", _SIMPLE_QUEUE, _HANDOFF),
    Contender("queue.Queue", _QUEUE, _HANDOFF),
)


# A tutorial's `benchmark_queues()`. Its queues cannot wait: a consumer asks again at
# once, and what it takes from the producer by that is part of what is measured.
_SPINNING = ("c.put(1)", "while c.get() is None:\n    pass")
_TUTORIAL = (
    Contender(
        "LockedQueue",
        "from lockfree.bench.handwritten import LockedQueue\nc = LockedQueue()",
        _SPINNING,
    ),
    Contender(
        "LockFreeQueue",
        "from lockfree.bench.handwritten import LockFreeQueue\nc = LockFreeQueue()",
        _SPINNING,
    ),
    Contender("lockfree", _LOCKFREE, _PUT_GET, needs=NATIVE),
    Contender("queue.SimpleQueue", _SIMPLE_QUEUE, _PUT_GET),
    Contender("queue.Queue", _QUEUE, _PUT_GET),
)

_CRITIQUE = (
    "In the original it runs once, so that nobody can tell the difference from the noise. Its "
    "consumer spins: what is measured is how it disturbs the producer. And its get() says with "
    "None that there is nothing, so that an item that is None is lost."
)

CELLS = (
    Cell(
        "queue.putget",
        "put an item and get one",
        (*_UNBOUNDED, RustLoop("queue.putget")),
        baseline="queue.SimpleQueue",
    ),
    Cell(
        "queue.global_putget",
        "queue.putget through a module global",
        (*_UNBOUNDED, _DEQUE_PAIR),
        baseline="queue.SimpleQueue",
        scope="global",
    ),
    Cell(
        "queue.global_empty",
        "whether a queue is empty, through a module global",
        _EMPTY,
        baseline="queue.SimpleQueue",
        scope="global",
    ),
    Cell(
        "queue.transfer",
        "through a queue, half of the threads put and half get",
        _UNBOUNDED,
        baseline="queue.SimpleQueue",
        kind="transfer",
        threads=(2, 4, 8),
    ),
    *(
        Cell(
            f"queue.transfer_{name}",
            f"through a queue, one puts {words} that it makes and one gets them",
            _transferring(item),
            baseline="queue.SimpleQueue",
            kind="transfer",
            threads=(2,),
        )
        for name, (words, item) in _ITEMS.items()
    ),
    Cell(
        "queue.tutorial",
        "a tutorial's benchmark_queues(), one producer, one consumer",
        _TUTORIAL,
        baseline="LockedQueue",
        kind="transfer",
        threads=(2,),
        remark=_CRITIQUE,
    ),
    Cell(
        "queue.bounded",
        "through a queue of at most 1000 items, one producer, one consumer",
        _BOUNDED,
        baseline="queue.Queue",
        kind="transfer",
        threads=(2,),
    ),
    Cell(
        "queue.batch",
        "put 100 items and get 100, per item",
        _BATCHES,
        baseline="queue.SimpleQueue",
        items=100,
    ),
    Cell(
        "queue.latency",
        "how long a single put or get takes",
        _UNBOUNDED,
        baseline="queue.SimpleQueue",
        kind="latency",
    ),
    Cell(
        "queue.wakeup",
        "from one thread to another that sleeps",
        _HANDOFFS,
        baseline="queue.SimpleQueue",
        kind="handoff",
        threads=(2,),
    ),
)
