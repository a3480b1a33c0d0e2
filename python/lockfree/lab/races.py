"""The tutorials' queues and cache without a lock, and the races in them.

``LockFreeBuffer`` is a ``deque`` whose append and popleft are atomic, and an event
for those who find it empty. Each call in it is atomic; what lies between two of
them is not. ``AsyncLockFreeQueue`` is the same for coroutines: what lies between
two of its steps is an ``await``. The cache is in ``caching``.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lockfree import AsyncQueue, Empty, Queue
from lockfree.lab import caching
from lockfree.lab.report import listed, paragraphs, table, verdict
from lockfree.lab.steps import Moment, Steps, play, step, whole

SUMMARY = "a queue of atomic parts loses wake-ups and items, a cache its bound"

TIMEOUT: Final = 1.0
"""What the impatient consumer asks for, in seconds of the lab's clock."""


class LockFreeBuffer:
    """The buffer of the tutorials, each operation cut into its atomic steps.

    ``Event`` is played: a consumer that sleeps takes turns in which nothing
    happens, until the event is set or, by the lab's own clock, time is up.
    """

    def __init__(self, maxsize: int = 1000) -> None:
        self._buffer: deque[int] = deque(maxlen=maxsize)
        self._not_empty = False
        self.clock: float = 0.0

    def put(self, item: int) -> Steps[None]:
        """Append an item and signal the consumers."""
        self._buffer.append(item)
        yield f"put({item}): append({item})"
        self._not_empty = True
        yield f"put({item}): not_empty.set()"

    def get(self, timeout: float | None = None) -> Steps[int]:
        """Take the first item, and wait where there is none."""
        while True:
            if self._buffer:
                item = self._buffer.popleft()
                yield f"get: popleft() -> {item}"
                return item
            yield "get: popleft() finds nothing"
            end = None if timeout is None else self.clock + timeout
            while not self._not_empty:
                if end is not None and self.clock >= end:
                    raise Empty
                yield "get: sleeps"
            yield "get: wait() returns"
            self._not_empty = False
            yield "get: not_empty.clear()"

    def state(self) -> Mapping[str, str]:
        """Return the items and whether the event is set."""
        return {"buffer": listed(self._buffer), "event": "set" if self._not_empty else "-"}

    def __len__(self) -> int:
        return len(self._buffer)


_LOST_WAKE_UP: Final = (
    *(step(1), step(1), step(2), step(2)),  # both find nothing and sleep
    whole(3),  # puts 7
    *(step(1), step(2)),  # both wake up
    *(step(1), step(1)),  # the first clears, and takes 7
    step(1),  # it comes again and finds nothing
    *(whole(3), whole(3)),  # puts 8 and 9
    *(step(2), step(2)),  # the second clears, and takes 8
    *(step(1), step(1)),  # the first sleeps on
)


def lose_a_wake_up() -> list[Moment]:
    """Let two consumers wait for one producer; return what happened."""
    buffer = LockFreeBuffer()

    def consume() -> Steps[None]:
        while True:
            yield from buffer.get()

    programs = {1: [consume()], 2: [consume()], 3: [buffer.put(item) for item in (7, 8, 9)]}
    return list(play(_LOST_WAKE_UP, programs, buffer.state))


def lose_items(maxsize: int, items: int) -> int:
    """Put more than there is room for, one after the other; return how many are missing."""
    buffer = LockFreeBuffer(maxsize)
    for item in range(items):
        for _ in buffer.put(item):
            pass
    return items - len(buffer)


def wait_too_long(thefts: int) -> float:
    """Return how long a get waits whose item another consumer takes so many times.

    It is woken shortly before its time is up. Each time it waits its whole time again.
    """
    buffer = LockFreeBuffer()
    impatient = buffer.get(TIMEOUT)
    for _ in range(thefts):
        while next(impatient) != "get: sleeps":
            pass
        buffer.clock += 0.9 * TIMEOUT
        for operation in (buffer.put(0), buffer.get()):
            for _ in operation:
                pass
    try:
        while True:
            if next(impatient) == "get: sleeps":
                buffer.clock += TIMEOUT
    except Empty:
        return buffer.clock


class AsyncLockFreeQueue:
    """The queue of the tutorials for coroutines, word by word."""

    def __init__(self) -> None:
        self._queue: deque[int] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def put(self, item: int) -> None:
        """Append an item and wake a consumer."""
        self._queue.append(item)
        if self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.cancelled():
                waiter.set_result(None)

    async def get(self) -> int:
        """Take the first item, and wait where there is none."""
        if self._queue:
            return self._queue.popleft()
        waiter: asyncio.Future[None] = asyncio.Future()
        self._waiters.append(waiter)
        await waiter
        return self._queue.popleft()

    def qsize(self) -> int:
        """Return how many items there are."""
        return len(self._queue)


async def steal_an_item(queue: Any) -> str:
    """Get an item that a consumer was just woken for; return how that one fares."""
    [consumer] = await _asleep(queue, 1)
    await queue.put(7)
    await queue.get()
    await asyncio.wait([consumer], timeout=SECONDS)
    if not consumer.done():
        consumer.cancel()
        return "waits on"
    return type(consumer.exception()).__name__


async def cancel_a_consumer(queue: Any) -> int:
    """Put an item when the first of two consumers was cancelled; return how many lie there."""
    first, second = await _asleep(queue, 2)
    first.cancel()
    await queue.put(7)
    await asyncio.wait([second], timeout=SECONDS)
    second.cancel()
    left: int = queue.qsize()
    return left


async def _asleep(queue: Any, consumers: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(queue.get()) for _ in range(consumers)]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


@dataclass(frozen=True, slots=True)
class Outcome:
    """What ``lockfree.Queue`` did in the same three situations."""

    got: int
    """Items that two consumers got, of those that were put while they waited."""
    refused: int
    """Items beyond the bound that the producer was told of."""
    waited: float
    """Seconds that a get with a timeout waited while its items were stolen."""


ROUNDS: Final = 500
_THREADS: Final = 4
SECONDS: Final = 0.2


def observe_queue() -> Outcome:
    """Put ``Queue`` into the same three situations, with threads."""
    return Outcome(_items_got(), _items_refused(), _seconds_waited())


def _items_got() -> int:
    queue: Queue[int] = Queue()
    got: list[int] = []
    consumers = [threading.Thread(target=lambda: got.extend(queue)) for _ in range(2)]
    for consumer in consumers:
        consumer.start()
    for number in range(ROUNDS):
        queue.put(3 * number)
        queue.put_many((3 * number + 1, 3 * number + 2))
        time.sleep(0)  # so that they fall asleep now and then
    queue.shutdown()
    for consumer in consumers:
        consumer.join()
    return len(set(got))


def _items_refused() -> int:
    queue: Queue[int] = Queue(maxsize=2)
    return 3 - queue.put_many(range(3), timeout=0)


def _seconds_waited() -> float:
    queue: Queue[int] = Queue()
    over = threading.Event()

    def tease() -> None:
        while not over.wait(SECONDS / 10):
            queue.put(0)
            queue.drain()  # mostly quicker than whoever was woken

    teaser = threading.Thread(target=tease)
    teaser.start()
    start = time.perf_counter()
    try:
        while True:
            queue.get(timeout=SECONDS - (time.perf_counter() - start))
    except (Empty, ValueError):  # it was quicker than the thief, up to the last moment
        return time.perf_counter() - start
    finally:
        over.set()
        teaser.join()


def run() -> bool:
    """Show the races, and that ``Queue`` and ``Cache`` have none of them."""
    queue, cache = _queue_claims(), _cache_claims()
    return verdict(queue | cache)


def _queue_claims() -> dict[str, bool]:
    moments = lose_a_wake_up()
    print(f"{paragraphs(_WAKE_UP)}\n\n{_timeline(moments)}\n")
    lost, late = lose_items(2, 3), wait_too_long(thefts=4)
    print(f"{paragraphs(_ITEMS)}\n\n{paragraphs(_TIME)}\n")
    print(f"{paragraphs(_COROUTINES)}\n\n{paragraphs(_QUEUE)}")
    robbed = asyncio.run(steal_an_item(AsyncLockFreeQueue()))
    beside = asyncio.run(cancel_a_consumer(AsyncLockFreeQueue()))
    queue = observe_queue()
    waits = asyncio.run(steal_an_item(AsyncQueue()))
    left = asyncio.run(cancel_a_consumer(AsyncQueue()))
    asleep = moments[-1].step == "get: sleeps" and moments[-1].state["buffer"] == "9"
    return {
        "a consumer of the buffer sleeps while an item lies in it": asleep,
        f"of three items put into a buffer for two, {lost} is gone without a word": lost == 1,
        f"get(timeout={TIMEOUT:g}) gives up after {late:.1f} s": late > 4 * TIMEOUT,
        f"a coroutine whose item was stolen ends with {robbed}": robbed == "IndexError",
        "a cancelled coroutine swallows a wake-up, and another sleeps on": beside == 1,
        "all that is put into a Queue reaches one of two consumers": (queue.got == 3 * ROUNDS),
        "put_many tells how many items a full Queue did not take": queue.refused == 1,
        f"Queue.get(timeout={SECONDS:g}) gives up after {queue.waited:.2f} s": (
            queue.waited < 2 * SECONDS
        ),
        f"a coroutine whose item was stolen from an AsyncQueue {waits}": waits == "waits on",
        "a coroutine that was cancelled there swallows nothing": left == 0,
    }


def _cache_claims() -> dict[str, bool]:
    theirs, ours = caching.comparisons_of_a_hit(1000)
    moments = caching.exceed_the_bound()
    print(f"\n{paragraphs(_CACHE)}\n\n{_timeline(moments)}\n\n{paragraphs(_OUR_CACHE)}")
    kept, grown = moments[-1].state["cache"].split(), caching.grow(races=90)
    cache = caching.observe_cache()
    return {
        f"a hit in the tutorials' cache of 1000 compares {theirs} keys": theirs == 999,
        f"two look-ups at once, and a cache for two has {len(kept)} entries": len(kept) == 3,
        f"after 90 such races a cache for ten has {grown}": grown == 100,
        f"a hit in a Cache of 1000 compares {ours}": ours == 0,
        f"a Cache for ten has never more than ten and {_THREADS} being put": (
            cache.largest <= 10 + _THREADS and cache.repeated == 0
        ),
        f"of {cache.lookups} look-ups the tutorials' own test makes, {cache.hits} hit": (
            cache.hits == 0 and cache.lookups == 4000
        ),
    }


def _timeline(moments: list[Moment]) -> str:
    rows: list[tuple[object, ...]] = [("time", "thread", "step", *moments[0].state)]
    for now, (thread, done, state) in enumerate(moments, start=1):
        rows.append((f"{now:4}", f"{thread:^6}", done, *state.values()))
    return table(rows)


_WAKE_UP = """
    1. A wake-up is lost

    The tutorials' LockFreeBuffer is a deque and an event. A get that finds nothing waits for the
    event and clears it. Threads 1 and 2 get, thread 3 puts 7, 8 and 9. At time 13, thread 2 clears
    the event, which by now speaks of 8 and 9; it takes 8 alone. Thread 1 had found nothing
    before: it sleeps beside the 9, until somebody puts something else.
"""

_ITEMS = """
    2. Items are lost

    deque(maxlen=n) makes room by dropping the item at the other end, and says nothing. Nor can the
    producer know: asking for the length first is a step of its own.
"""

_TIME = f"""
    3. Time is lost

    A get that is woken in vain waits its whole timeout again. With get(timeout={TIMEOUT:g}), and
    another consumer that takes the item just before it four times, each time after
    {0.9 * TIMEOUT:g} s, it comes back after more than four times what was asked for.
"""

_COROUTINES = """
    4. Wake-ups and items are lost among coroutines

    The tutorials' AsyncLockFreeQueue is a deque and a future for each coroutine that found it
    empty. One that was woken pops without looking again; but between put and its turn another one
    may get. And a put takes the first future off the list even if it was cancelled, and then wakes
    nobody else.
"""

_QUEUE = """
    5. lockfree.Queue

    Whoever finds nothing enrols, and then looks once more before it sleeps; whoever puts something
    looks after that whether anybody is enrolled, and wakes one of them per item. The end of a
    timeout is fixed when the call begins, and a bounded queue is full when it is full. A coroutine
    waits in the same list. Who is woken looks again, and who is cancelled passes the wake-up on.
"""

_CACHE = """
    6. A cache loses its bound

    The tutorials' LockFreeCache is a dict and a deque of its keys, the one used last at the
    end; who hits removes the key there and appends it. To remove it, the deque compares key after
    key: a hit takes longer the more there is in the cache. And two who hit the same key at once
    remove it once and append it twice. The deque, full, drops the oldest key without a
    word: its entry stays in the dict for good, for whoever makes room looks in the deque. Threads 1
    and 2 get b from a full cache for two; then thread 3 puts c and d.
"""

_OUR_CACHE = """
    7. lockfree.Cache

    A hit marks its entry and moves nothing, so there is no order for two hits to disagree on;
    entries come and go under a lock, together with their place in the queue for eviction. And it
    counts: the tutorials' own test of their cache looks only for keys that it never puts.
"""
