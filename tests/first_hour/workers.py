"""Queue: jobs for workers, who end when there is nothing left and nothing more will come."""

import threading

from lockfree import Full, Queue, ShutDown

jobs: Queue[int] = Queue(maxsize=10)
results: Queue[tuple[int, int]] = Queue()


def worker() -> None:
    for job in jobs:  # until the queue is shut down and empty
        results.put((job, job * job))
        jobs.task_done()


workers = [threading.Thread(target=worker) for _ in range(3)]
for each in workers:
    each.start()
for number in range(200):
    jobs.put(number)  # waits where ten are on their way
jobs.join()  # all are done
jobs.shutdown()
for each in workers:
    each.join()

assert sorted(results.drain()) == [(n, n * n) for n in range(200)]
small: Queue[str] = Queue(maxsize=1)
small.put_nowait("a")
try:
    small.put_nowait("b")
except Full:
    assert small.force_put("b") == "a"  # the oldest makes room
try:
    jobs.put(1)
except ShutDown:
    pass
else:
    raise AssertionError("it took a job after the end")
