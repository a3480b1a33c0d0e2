"""A producer that the system suspends between claiming a place and filling it.

It is really stopped there: a signal whose handler is libc's own ``sleep`` stops one thread, at
whatever instruction it has come to, until another signal. That is tried until it was between the
two. With a GIL it would hold that, and stop all.
"""

from __future__ import annotations

import sys

import pytest
from support import FREE_THREADED, in_child

pytestmark = pytest.mark.skipif(
    not FREE_THREADED or sys.platform != "linux",
    reason="needs threads that do not stop each other, and the signals of Linux",
)

SUSPEND = """
import asyncio, atexit, ctypes, gc, signal, threading, time
from itertools import count
from pathlib import Path
from lockfree import Empty, Queue, ShutDown

gc.disable()  # a collection would wait for the thread that is suspended
libc = ctypes.CDLL(None)
libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
FREEZE, THAW = signal.SIGUSR2, signal.SIGRTMAX
# They are called with the number of the signal: so many seconds, if no other one comes.
libc.signal(FREEZE, ctypes.cast(libc.sleep, ctypes.c_void_p))
libc.signal(THAW, ctypes.cast(libc.abs, ctypes.c_void_p))

class Alarm(Exception):
    pass

def ring(*_):
    raise Alarm

def interrupted(call, handler=ring):
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        result = call()
    except Alarm:
        return True
    raise AssertionError(result)

def is_empty(call):
    try:
        result = call()
    except (Empty, TimeoutError):
        return True
    raise AssertionError(result)

def produce():
    try:
        for number in count():
            q.put(number)
    except ShutDown:
        pass

def tell(sign):
    signal.pthread_kill(producer.ident, sign)

def is_asleep():
    stat = Path(f"/proc/self/task/{producer.native_id}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "S"

def suspend():
    # Returns the number that is to come, of which the place is claimed.
    expected = 0
    while True:
        tell(FREEZE)
        for look in count(1):
            if is_asleep():
                break
            time.sleep(1e-5)
            if look % 10_000 == 0:
                # It was frozen with a lock in hand that this thread needed, and has slept enough.
                tell(FREEZE)
        while got := q.drain():
            assert got == list(range(expected, expected + len(got)))
            expected += len(got)
        if q.qsize():
            return expected
        tell(THAW)
        time.sleep(1e-4)

async def get():
    turns = 0
    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)
    counting = asyncio.ensure_future(count_turns())
    try:
        return await asyncio.wait_for(q.async_get(), 0.05)
    finally:
        assert turns > 10
        counting.cancel()

q = Queue()
loop = asyncio.new_event_loop()
loop.set_debug(False)  # it would tell of what a busy machine takes long for
atexit.register(loop.close)
loop.run_until_complete(asyncio.sleep(0))  # what is done once may stop the world
producer = threading.Thread(target=produce, daemon=True)
producer.start()
is_asleep()  # the same, of what reads a file
number = suspend()
"""


def test_others_go_on_until_their_time_is_over() -> None:
    code = """
assert is_empty(q.get_nowait)
assert is_empty(lambda: q.get(timeout=0.01))
assert is_empty(lambda: q.get_many(5, timeout=0.01))
assert is_empty(lambda: loop.run_until_complete(get()))
assert interrupted(q.get)
assert q.drain() == []
assert q.qsize() == 1
tell(THAW)
assert q.get() == number
"""
    assert in_child(SUSPEND + code) == (0, "", "")


def test_an_item_behind_that_place_is_waited_for() -> None:
    code = """
q.put("behind")
assert interrupted(q.get_nowait)
assert is_empty(lambda: q.get(timeout=0.01))
q.maxsize = 2
assert interrupted(lambda: q.force_put("more"))
assert q.qsize() == 2
tell(THAW)
assert q.get_nowait() == number
assert q.get() == "behind"
"""
    assert in_child(SUSPEND + code) == (0, "", "")


def test_what_a_handler_raises_does_not_end_the_dropping() -> None:
    code = """
for item in range(1000):
    q.put(item)

def thaw(*_):
    tell(THAW)
    producer.join()
    raise Alarm

assert interrupted(lambda: q.shutdown(immediate=True), thaw)
assert (q.qsize(), q.unfinished_tasks) == (0, number)  # which were got, and not done
"""
    assert in_child(SUSPEND + code) == (0, "", "")


def test_a_shutdown_can_be_interrupted_and_repeated() -> None:
    code = """
q.put("behind")
assert interrupted(lambda: q.shutdown(immediate=True))
assert q.is_shutdown and q.qsize() == 2
tell(THAW)
producer.join()
q.shutdown(immediate=True)
assert q.qsize() == 0
"""
    assert in_child(SUSPEND + code) == (0, "", "")
