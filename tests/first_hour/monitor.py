"""StripedCounter: many count, and a monitor reports what came in since its last report."""

import threading

from lockfree import AtomicInt64, StripedCounter

THREADS, REQUESTS = 4, 2000

served = StripedCounter()
running = AtomicInt64(THREADS)


def server() -> None:
    for _ in range(REQUESTS):
        served.increment()
    running.decrement()


threads = [threading.Thread(target=server) for _ in range(THREADS)]
for thread in threads:
    thread.start()
reports: list[int] = []
while running:
    reports.append(served.reset())
for thread in threads:
    thread.join()
reports.append(served.reset())

assert sum(reports) == THREADS * REQUESTS, reports
assert served.sum() == 0
