"""LifoQueue: a pool of connections that are taken and given back, the warmest first."""

import threading
from collections.abc import Generator
from contextlib import contextmanager

from lockfree import AtomicInt64, Empty, LifoQueue

pool: LifoQueue[str] = LifoQueue(maxsize=2)
in_use, most = AtomicInt64(), AtomicInt64()
for name in ("cold", "warm"):
    pool.put(name)


@contextmanager
def connection() -> Generator[str, None, None]:
    taken = pool.get(timeout=60)
    try:
        yield taken
    finally:
        pool.put(taken)


with connection() as first:
    assert first == "warm"


def query() -> None:
    for _ in range(200):
        with connection():
            most.fetch_max(in_use.increment())
            in_use.decrement()


threads = [threading.Thread(target=query) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

assert most <= 2
assert sorted(pool.drain()) == ["cold", "warm"]
try:
    pool.get_nowait()
except Empty:
    pool.shutdown()
assert pool.is_shutdown
