"""Whether a faster queue helps threads that wait for I/O.

Worker threads take a job, wait as for a network, and put a result. The wait is a
sleep, which lets the others run as a blocking read does. The shorter it is, the more of
the time is the queues'.

    python benches/io_bound.py
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import lockfree

WORKERS = 32
JOBS = 6400
ROUNDS = 5
WAITS = (0.0, 0.0001, 0.001, 0.01)
QUEUES: dict[str, Callable[[], Any]] = {
    "queue.Queue": queue.Queue,
    "queue.SimpleQueue": queue.SimpleQueue,
    "lockfree.Queue": lockfree.Queue,
}


def seconds(make: Callable[[], Any], wait: float) -> float:
    """Return how long it takes to get all jobs done."""
    jobs, results = make(), make()

    def work() -> None:
        while (job := jobs.get()) is not None:
            if wait:
                time.sleep(wait)
            results.put(job)

    workers = [threading.Thread(target=work) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    start = time.perf_counter()
    for job in range(JOBS):
        jobs.put(job)
    for _ in range(JOBS):
        results.get()
    elapsed = time.perf_counter() - start
    for _ in workers:
        jobs.put(None)
    for worker in workers:
        worker.join()
    return elapsed


def main() -> None:
    """Print jobs per second, of the best round, for each wait and queue."""
    print(f"{sys.version}\n{WORKERS} threads, {JOBS} jobs, best of {ROUNDS}; jobs per second")
    print(f"{'wait':>9}", *(f"{name:>18}" for name in QUEUES))
    for wait in WAITS:
        best = dict.fromkeys(QUEUES, float("inf"))
        for _ in range(ROUNDS):  # in turn, so that a busy moment hits all of them
            for name, make in QUEUES.items():
                best[name] = min(best[name], seconds(make, wait))
        print(f"{wait * 1e3:6.1f} ms", *(f"{JOBS / each:18,.0f}" for each in best.values()))


if __name__ == "__main__":
    main()
