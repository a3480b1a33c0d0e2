"""Queue: an executor of one's own, whose submit waits where too much is on its way."""

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

from lockfree import Queue, ShutDown

P = ParamSpec("P")
T = TypeVar("T")


class Pool(Executor):
    def __init__(self, workers: int, bound: int) -> None:
        self._jobs: Queue[tuple[Future[Any], Callable[[], Any]]] = Queue(bound)
        self._threads = [threading.Thread(target=self._work) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        for future, call in self._jobs:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except Exception as error:
                    future.set_exception(error)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            self._jobs.put((future, partial(fn, *args, **kwargs)))
        except ShutDown:
            raise RuntimeError("it was shut down") from None
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            for future, _ in self._jobs.drain():
                future.cancel()
        self._jobs.shutdown()
        for thread in self._threads if wait else ():
            thread.join()


with Pool(3, bound=5) as pool:
    assert list(pool.map(abs, range(-100, 0))) == list(range(100, 0, -1))
    failed = pool.submit(int, "no number")
assert isinstance(failed.exception(), ValueError)
try:
    pool.submit(print)
except RuntimeError:
    pass
else:
    raise AssertionError("it took a job after the end")

go_on = threading.Event()
pool = Pool(1, bound=5)
started = threading.Event()
first = pool.submit(lambda: started.set() or go_on.wait())  # type: ignore[func-returns-value]
started.wait()
waiting = [pool.submit(pow, 2, n) for n in range(5)]
pool.shutdown(wait=False, cancel_futures=True)
go_on.set()
assert first.result() is True
for each in waiting:
    try:
        each.result()
    except CancelledError:
        continue
    raise AssertionError("it was done all the same")
