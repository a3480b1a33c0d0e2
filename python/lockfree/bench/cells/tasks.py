"""The queue shared by coroutines, and by coroutines and threads."""

from lockfree.bench.model import NATIVE, Cell, Contender

_LOCKFREE = "from lockfree import Queue\nc = Queue(100)"
_LOCKED = "from lockfree.locked import Queue\nc = Queue(100)"
_ASYNCIO = "from asyncio import Queue\nc = Queue(100)"
_CULSANS = "from culsans import Queue\nc = Queue(100)"
_AIOLOGIC = "from aiologic import Queue\nc = Queue(100)"
_JANUS = "from janus import Queue\nc = Queue(100)"

_PUT, _GET = "await c.async_put(1)", "await c.async_get()"
_JANUS_GET = "await c.async_q.get()"
# It belongs to one event loop, which others have to ask.
_LOOP_QUEUE = "from lockfree.bench.handwritten import LoopQueue\nc = LoopQueue(100)"

_TASKS = (
    Contender("lockfree", _LOCKFREE, (_PUT, _GET), needs=NATIVE),
    Contender("lockfree.locked", _LOCKED, (_PUT, _GET)),
    Contender("asyncio.Queue", _ASYNCIO, ("await c.put(1)", "await c.get()")),
    Contender("culsans", _CULSANS, (_PUT, _GET), needs="culsans"),
    Contender("aiologic", _AIOLOGIC, (_PUT, _GET), needs="aiologic"),
    Contender("janus", _JANUS, ("await c.async_q.put(1)", _JANUS_GET), needs="janus"),
)

# Only these can be used from several event loops.
_ANYWHERE = tuple(each for each in _TASKS if each.name not in ("asyncio.Queue", "janus"))
_TWO_LOOPS = (*_ANYWHERE, Contender("asyncio.Queue", _LOOP_QUEUE, (_PUT, _GET)))
_THREAD_TO_LOOP = (
    Contender("lockfree", _LOCKFREE, ("c.put(1)", _GET), needs=NATIVE),
    Contender("lockfree.locked", _LOCKED, ("c.put(1)", _GET)),
    Contender("asyncio.Queue", _LOOP_QUEUE, ("c.put(1)", _GET)),
    Contender("culsans", _CULSANS, ("c.sync_put(1)", _GET), needs="culsans"),
    Contender("aiologic", _AIOLOGIC, ("c.green_put(1)", _GET), needs="aiologic"),
    Contender("janus", _JANUS, ("c.sync_q.put(1)", _JANUS_GET), needs="janus"),
)


def _both_ways(each: Contender) -> Contender:
    """Return the contender with two queues, on which two tasks play ping-pong."""
    setup = f"{each.setup}\na = c\n{each.setup}\nb = c\nc = a, b"
    put, get = each.statements
    there, back = put.replace("c.", "c[{}]."), get.replace("c.", "c[{}].")
    statements = (
        f"{there.format(0)}\n{back.format(1)}",
        f"{back.format(0)}\n{there.format(1)}",
    )
    return Contender(each.name, setup, statements, each.needs)


CELLS = (
    Cell(
        "async.oneloop",
        "from one task to another through a queue of at most 100, per item",
        _TASKS,
        baseline="asyncio.Queue",
        kind="tasks",
        threads=(1,),
    ),
    Cell(
        "async.handoff",
        "from a thread to an event loop through a queue of at most 100, per item",
        _THREAD_TO_LOOP,
        baseline="asyncio.Queue",
        kind="transfer",
        threads=(2,),
    ),
    Cell(
        "async.twoloops",
        "from one event loop to another through a queue of at most 100, per item",
        _TWO_LOOPS,
        baseline="asyncio.Queue",
        kind="transfer",
        threads=(2,),
    ),
    Cell(
        "async.loops",
        "put an item and get one, an event loop in each thread",
        _ANYWHERE,
        baseline="lockfree.locked",
    ),
    Cell(
        "async.latency",
        "how long a single put or get takes, an event loop in each thread",
        _ANYWHERE,
        baseline="lockfree.locked",
        kind="latency",
    ),
    Cell(
        "async.pingpong",
        "from one task to another and back, the two waiting for each other",
        tuple(map(_both_ways, _TASKS)),
        baseline="asyncio.Queue",
        kind="tasks",
        threads=(1,),
    ),
)
