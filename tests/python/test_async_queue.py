"""The queue among coroutines: one body for the native class and the locked one."""

from __future__ import annotations

import asyncio
import copy
import gc
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from random import Random
from types import ModuleType
from typing import Any, TypeVar

import lockfree
import pytest
from lockfree import Empty, Full, ShutDown
from lockfree._async import URGENT
from support import in_child, repetitions, run_threads, start, steps

T = TypeVar("T")

NEVER = 10  # seconds, after which something that should have happened did not
MOMENT = 0.05  # seconds, for which something waits in vain


async def waiting(*coroutines: Coroutine[Any, Any, T]) -> list[asyncio.Task[T]]:
    """Start them one after the other, each once the one before waits for something."""
    tasks = []
    for coroutine in coroutines:
        tasks.append(asyncio.create_task(coroutine))
        await turns(5)
    assert not [task for task in tasks if task.done()], "does not wait"
    return tasks


async def turns(n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def soon(awaitable: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaitable, NEVER)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(soon(coroutine))


def thread_waits(call: Callable[[], T]) -> Future[T]:
    """Start a call on a thread and return once it waits."""
    future = start(call)
    time.sleep(MOMENT)
    assert not future.done(), "does not wait"
    return future


@contextmanager
def loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Run another event loop on another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(NEVER)
    loop.close()


def other_loop_waits(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]
) -> Future[T]:
    """Start a coroutine in a loop on another thread and return once it waits."""
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    time.sleep(MOMENT)
    assert not future.done(), "does not wait"
    return future


def abandon(task: asyncio.Task[Any]) -> None:
    """Do what happens to a pending task when it is freed, without the complaint."""
    coroutine = task.get_coro()
    assert coroutine is not None
    coroutine.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]


# What waits for what: before, the wait, what ends it, and the result. The bound is 1.
WAITS: dict[str, tuple[Callable[[Any], object], Any, Callable[[Any], object], object]] = {
    "get": (lambda _: None, lambda q: q.async_get(), lambda q: q.put("item"), "item"),
    "get_many": (lambda _: None, lambda q: q.async_get_many(3), lambda q: q.put("item"), ["item"]),
    "iterate": (lambda _: None, lambda q: anext(aiter(q)), lambda q: q.put("item"), "item"),
    "put": (lambda q: q.put("first"), lambda q: q.async_put("item"), lambda q: q.get(), None),
    "join": (
        lambda q: (q.put("item"), q.get()),
        lambda q: q.async_join(),
        lambda q: q.task_done(),
        None,
    ),
}
wait_of_every_kind = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
from_thread_or_loop = pytest.mark.parametrize("thread", [False, True], ids=["loop", "thread"])


async def call(thread: bool, function: Callable[..., T], *args: Any) -> T:
    return await asyncio.to_thread(function, *args) if thread else function(*args)


async def as_coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable


# --- without waiting -----------------------------------------------------------


def test_coroutines_pass_items_in_order(impl: ModuleType) -> None:
    async def main() -> None:
        q = impl.Queue()
        for item in range(200):
            assert await q.async_put(item) is None
        assert await q.async_get() == 0
        assert await q.async_get_many(3) == [1, 2, 3]
        assert await anext(aiter(q)) == 4
        assert await q.async_get_many(1000) == list(range(5, 200))
        q.task_done(200)
        assert await q.async_join() is None
        assert await q.async_get_many(0) == []

    run(main())


def test_what_can_be_done_at_once_gives_way_now_and_then(impl: ModuleType) -> None:
    async def main() -> None:
        q = impl.Queue()
        methods: list[Callable[[], Any]] = [lambda: q.async_put("item"), q.async_get]
        for method in methods:
            gave_way = [steps(method()) for _ in range(1000)]
            assert set(gave_way) == {0, 1}
            assert 5 <= sum(gave_way) <= 100
        q.task_done(1000)
        assert steps(q.async_join()) == 0

    run(main())


def test_tasks_that_do_little_each_keep_their_order(impl: ModuleType) -> None:
    async def main() -> None:
        q = impl.Queue()
        for _ in range(5):
            await asyncio.gather(*(q.async_put(number) for number in range(100)))
            assert q.drain() == list(range(100))

    run(main())


@pytest.mark.parametrize("n", [1, 2])
def test_busy_tasks_do_not_starve_the_others(impl: ModuleType, n: int) -> None:
    async def main() -> None:
        q = impl.Queue()
        q.put_many(range(10))
        rounds = 0

        async def busy() -> None:
            nonlocal rounds
            for _ in range(20_000):
                await q.async_put(await q.async_get())
                rounds += 1

        tasks = [asyncio.create_task(busy()) for _ in range(n)]
        seen = []
        for _ in range(50):
            await asyncio.sleep(0)
            seen.append(rounds)
        await asyncio.gather(*tasks)
        assert max(b - a for a, b in zip([0, *seen], seen, strict=False)) <= 100 * n

    run(main())


@pytest.mark.parametrize("n", [-1, 1.5, "one", None], ids=repr)
def test_refuses_what_is_no_number_of_items(impl: ModuleType, n: Any) -> None:
    async def main() -> None:
        q = impl.Queue()
        with pytest.raises((TypeError, ValueError)) as ours:
            await q.async_get_many(n)
        with pytest.raises(type(ours.value)) as threads:
            q.get_many(n)
        assert str(ours.value) == str(threads.value)

    run(main())


# --- outside of a loop ---------------------------------------------------------


@wait_of_every_kind
def test_needs_a_running_loop(impl: ModuleType, wait: Any) -> None:
    before, wait_for, serve, _ = wait
    q = impl.Queue(1)
    before(q)
    referents = len(gc.get_referents(q))
    for _ in range(3):
        with pytest.raises(RuntimeError, match="no running event loop"):
            as_coroutine(wait_for(q)).send(None)
    assert len(gc.get_referents(q)) == referents
    serve(q)
    assert q.qsize() <= 1


def test_without_a_loop_works_what_need_not_wait(impl: ModuleType) -> None:
    q = impl.Queue()

    def put_until_it_would_give_way() -> None:
        for _ in range(100):
            assert steps(q.async_put("item")) == 0

    with pytest.raises(RuntimeError, match="no running event loop"):
        put_until_it_would_give_way()
    assert 0 < q.qsize() < 100


@pytest.mark.parametrize("module", ["lockfree", "lockfree.locked"])
def test_importing_and_using_it_does_not_import_asyncio(module: str) -> None:
    child = in_child(
        f"""
        import sys
        from {module} import AsyncQueue, Queue
        q = Queue(1)
        q.put("item"), q.get(), q.async_q, AsyncQueue().sync_q
        assert not [name for name in sys.modules if name.startswith("asyncio")]
        """
    )
    assert child == (0, "", "")


# --- waiting -------------------------------------------------------------------


@wait_of_every_kind
@from_thread_or_loop
def test_waits_until_it_is_served(impl: ModuleType, wait: Any, thread: bool) -> None:
    before, wait_for, serve, result = wait

    async def main() -> None:
        q = impl.Queue(1)
        before(q)
        [task] = await waiting(as_coroutine(wait_for(q)))
        await call(thread, serve, q)
        assert await soon(task) == result

    run(main())


@wait_of_every_kind
@from_thread_or_loop
@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_ends_every_wait(
    impl: ModuleType, wait: Any, thread: bool, immediate: bool
) -> None:
    before, wait_for, _, _ = wait

    async def main() -> None:
        q = impl.Queue(1)
        if wait is WAITS["join"]:
            q.put("item")  # is dropped, and so is done
        else:
            before(q)
        tasks = await waiting(*(as_coroutine(wait_for(q)) for _ in range(3)))
        await call(thread, q.shutdown, immediate)
        if wait is WAITS["join"] and not immediate:
            await turns(5)
            assert not any(task.done() for task in tasks)
            q.task_done()
        results = await soon(asyncio.gather(*tasks, return_exceptions=True))
        ends = {WAITS["iterate"][1]: StopAsyncIteration, WAITS["join"][1]: type(None)}
        assert {type(result) for result in results} == {ends.get(wait_for, ShutDown)}

    run(main())


def test_iteration_ends_with_the_shutdown(impl: ModuleType) -> None:
    async def main() -> None:
        q = impl.Queue(2)
        got: list[list[int]] = [[], []]

        async def consume(mine: list[int], items: Any) -> None:
            async for item in items:
                mine.append(item)

        consumers = await waiting(*(consume(mine, q) for mine in got))
        for item in range(100):
            await q.async_put(item)
        q.shutdown()
        await soon(asyncio.gather(*consumers))
        assert sorted(got[0] + got[1]) == list(range(100))

    run(main())


def test_an_iterator_outlives_a_timeout_and_serves_several(impl: ModuleType) -> None:
    async def main() -> None:
        q = impl.Queue()
        items = aiter(q)
        assert aiter(items) is items
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(items), 0.01)
        pair = await waiting(as_coroutine(anext(items)), as_coroutine(anext(items)))
        q.put_many("ab")
        assert await asyncio.gather(*pair) == ["a", "b"]

    run(main())


def test_leaving_an_iteration_loses_nothing(impl: ModuleType) -> None:
    async def main() -> None:
        q = impl.Queue()
        q.put_many("abc")
        async for item in q:
            if item == "b":
                break
        assert q.drain() == ["c"]

    run(main())


def test_one_arrival_order_for_threads_and_tasks(impl: ModuleType) -> None:
    q = impl.Queue()
    with loop_in_thread() as one, loop_in_thread() as other:
        gets = [
            thread_waits(q.get),
            other_loop_waits(one, q.async_get()),
            thread_waits(q.get),
            other_loop_waits(other, q.async_get()),
            other_loop_waits(one, q.async_get()),
            thread_waits(q.get),
        ]
        for number, get in enumerate(gets):
            q.put(number)
            assert get.result(NEVER) == number


def test_one_arrival_order_for_putters_too(impl: ModuleType) -> None:
    q = impl.Queue(1)
    q.put("first")
    with loop_in_thread() as one:
        puts: list[Future[Any]] = [
            thread_waits(lambda: q.put("thread")),
            other_loop_waits(one, q.async_put("task")),
            thread_waits(lambda: q.put("thread again")),
        ]
        for put, item in zip(puts, ["first", "thread", "task"], strict=True):
            assert q.get() == item
            put.result(NEVER)
    assert q.get() == "thread again"


def test_who_is_woken_in_vain_keeps_its_place(impl: ModuleType) -> None:
    q = impl.Queue()
    got: list[tuple[str, int]] = []
    with asyncio.Runner() as runner:

        async def get(name: str) -> None:
            got.append((name, await q.async_get()))

        async def begin() -> list[asyncio.Task[None]]:
            return await waiting(*(get(name) for name in "ABCD"))

        async def serve(*numbers: int) -> None:
            for number in numbers:
                q.put(number)
                await turns(5)

        tasks = runner.run(begin())
        q.put(1)  # for one of them; but does their loop go on?
        runner.run(serve())
        runner.run(serve(2, 3, 4))
        assert all(task.done() for task in tasks)
    assert got == [("A", 1), ("B", 2), ("C", 3), ("D", 4)]


def test_who_was_robbed_keeps_its_place(impl: ModuleType) -> None:
    async def main() -> None:
        q = impl.Queue()
        gets = await waiting(q.async_get(), q.async_get(), q.async_get())
        q.put("stolen")
        q.get_nowait()
        await turns(5)  # the first looks, and finds nothing
        for number, get in enumerate(gets):
            q.put(number)
            assert await soon(get) == number

    run(main())


def test_tasks_that_nobody_holds_stay_alive(impl: ModuleType) -> None:
    async def main() -> None:
        q, full, done = impl.Queue(), impl.Queue(1), []
        full.put("item")

        async def background(wait: Awaitable[Any]) -> None:
            await wait
            done.append(wait)

        for wait in (q.async_get(), anext(aiter(q)), full.async_put("more"), full.async_join()):
            asyncio.create_task(background(wait))  # noqa: RUF006 - the point
        del wait
        await turns(5)
        gc.collect()
        await asyncio.to_thread(q.put_many, "ab")
        gc.collect()
        full.get()
        await turns(5)
        full.get(), full.task_done(2)
        await turns(5)
        assert len(done) == 4

    run(main())


# --- wake-ups ------------------------------------------------------------------


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts the calls from other threads."""

    calls = 0

    def call_soon_threadsafe(  # type: ignore[override]
        self, *args: Any, **kwargs: Any
    ) -> asyncio.Handle:
        self.calls += 1
        return super().call_soon_threadsafe(*args, **kwargs)


@pytest.mark.parametrize("wakers", [1, 3])
def test_a_burst_from_other_threads_is_one_call_at_most(impl: ModuleType, wakers: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        q = impl.Queue()
        for _ in range(3):
            gets = await waiting(*(q.async_get() for _ in range(30)))
            loop.calls = 0
            # The loop does nothing meanwhile.
            run_threads(wakers, lambda _: [q.put("item") for _ in range(30 // wakers)])
            # The native one needs none: the loop watches a descriptor.
            assert loop.calls == (0 if impl is lockfree else 1)
            assert await soon(asyncio.gather(*gets)) == ["item"] * 30

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        runner.run(main())


def test_within_a_loop_tasks_wake_each_other_without_a_call(impl: ModuleType) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        q, full = impl.Queue(), impl.Queue(1)
        gets = await waiting(*(q.async_get() for _ in range(10)))
        full.put("item")
        puts = await waiting(full.async_put("more"), full.async_join())
        loop.calls = 0
        q.put_many(range(10))
        full.get_nowait(), full.task_done()
        await turns(5)
        full.get_nowait(), full.task_done()
        await soon(asyncio.gather(*gets, *puts))
        assert loop.calls == 0

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        runner.run(main())


def test_ping_pong_with_a_thread_never_stops(impl: ModuleType) -> None:
    # The answer comes while the task is about to wait.
    n = repetitions(impl, 3000)
    there, back = impl.Queue(1), impl.Queue(1)

    async def main() -> None:
        player = start(lambda: [back.put(there.get()) for _ in range(n)])
        for number in range(n):
            await there.async_put(number)
            assert await soon(back.async_get()) == number
        await asyncio.to_thread(player.result, NEVER)

    asyncio.run(main())


def test_a_wake_up_amid_another_arrives(impl: ModuleType) -> None:
    # The second one comes while the loop answers the call for the first one.
    random = Random(1)
    q, orders = impl.Queue(), impl.Queue()

    def put() -> None:
        for delay in orders:
            q.put("first")
            end = time.perf_counter() + delay
            while time.perf_counter() < end:
                pass
            q.put("second")

    async def main() -> None:
        putter = start(put)
        for _ in range(repetitions(impl, 500)):
            gets = await waiting(q.async_get(), q.async_get())
            orders.put(random.random() * 3e-4)
            assert await soon(asyncio.gather(*gets)) == ["first", "second"]
        orders.shutdown()
        await asyncio.to_thread(putter.result, NEVER)

    asyncio.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_signal_handler_wakes_a_task_of_the_loop_it_interrupts(impl: ModuleType) -> None:
    # It runs on the loop's own thread, where the loop sleeps.
    child = in_child(
        f"""
        import asyncio, os, signal, threading, time
        from {impl.__name__} import Queue

        q = Queue()
        signal.signal(signal.SIGUSR1, lambda *_: q.put("item"))

        async def main():
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            begin = time.monotonic()
            assert await asyncio.wait_for(q.async_get(), 5) == "item"
            assert time.monotonic() - begin < 3

        asyncio.run(main())
        """
    )
    assert child == (0, "", "")


def test_a_callback_of_the_loop_wakes_its_tasks(impl: ModuleType) -> None:
    async def main() -> None:
        q = impl.Queue()
        [get] = await waiting(q.async_get())
        asyncio.get_running_loop().call_later(0.01, q.put, "item")
        assert await soon(get) == "item"

    run(main())


def test_a_batch_goes_to_a_task_while_a_thread_is_urgent() -> None:
    # Threads that were woken in vain for long are urgent: others stand back, and
    # must not keep the wake-ups meanwhile.
    async def get() -> None:
        with suppress(ShutDown):
            while True:
                await q.async_get_many(2)

    urgent = 0
    with loop_in_thread() as loop:
        for _ in range(50):
            q = lockfree.Queue[Any]()
            task = other_loop_waits(loop, get())
            threads = [start(lambda q=q: list(q)) for _ in range(2)]  # type: ignore[misc]
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                for _ in range(5):
                    q.put_many("abc")
                    q.drain()
                time.sleep(0.005)
                if q._hold(0) == URGENT:
                    urgent += 1
                    q.put("item")
                    taken = time.monotonic() + NEVER
                    while not q.empty():
                        assert time.monotonic() < taken, "all sleep beside an item"
                        time.sleep(0.001)
                    break
                time.sleep(0.0003)
            q.shutdown()
            task.result(NEVER)
            for thread in threads:
                thread.result(NEVER)
            if urgent >= 3:
                return
    pytest.skip("no thread became urgent")


def test_urgent_putters_do_not_hold_up_those_who_get() -> None:
    # A getter that gave way at each attempt would never be done in no time.
    async def poll(q: Any) -> bool:
        for _ in range(20):
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await q.async_get()
                    return True
        return False

    for _ in range(20):
        q = lockfree.Queue[Any](1)
        q.put("item")
        putters = [start(lambda q=q: [q.put("item") for _ in range(200)]) for _ in range(3)]  # type: ignore[misc]
        end = time.monotonic() + 0.1
        urgent = False
        while time.monotonic() < end and not urgent:
            for _ in range(5):
                with suppress(Empty):
                    q.get_nowait()
                with suppress(Full):
                    q.put_nowait("mine")
            urgent = q._hold(1) == URGENT
        assert run(poll(q))
        while not all(putter.done() for putter in putters):
            q.drain()
            time.sleep(0)


# --- cancellation --------------------------------------------------------------

Second = Callable[[Any], Future[Any]]


@contextmanager
def second_waiter(where: str, q: Any, wait: str = "get") -> Iterator[Callable[[], Any]]:
    """Let somebody wait beside a task; yields a function for the result."""
    if where == "thread":
        future = thread_waits(getattr(q, wait))
        yield lambda: future.result(NEVER)
        return
    with loop_in_thread() as loop:
        future = other_loop_waits(loop, getattr(q, f"async_{wait}")())
        yield lambda: future.result(NEVER)


@pytest.mark.parametrize("notified", ["before", "in the same turn", "from a thread"])
@pytest.mark.parametrize("where", ["thread", "loop"])
def test_a_cancelled_getter_passes_its_wake_up_to_others(
    impl: ModuleType, notified: str, where: str
) -> None:
    async def main() -> None:
        q = impl.Queue()
        [get] = await waiting(q.async_get())
        with second_waiter(where, q) as result:
            if notified == "in the same turn":
                q.put("item")
            elif notified == "from a thread":
                start(lambda: q.put("item")).result(NEVER)  # the loop has not heard of it
            get.cancel()
            with pytest.raises(asyncio.CancelledError):
                await get
            if notified == "before":
                q.put("item")
            assert await asyncio.to_thread(result) == "item"
        assert (q.qsize(), q.unfinished_tasks) == (0, 1)

    run(main())


@pytest.mark.parametrize("notified", [False, True])
def test_a_cancelled_getter_passes_its_wake_up_to_its_neighbour(
    impl: ModuleType, notified: bool
) -> None:
    async def main() -> None:
        q = impl.Queue()
        first, second, third = await waiting(*(q.async_get() for _ in range(3)))
        if notified:
            q.put("item")
        first.cancel()
        await turns(5)
        if not notified:
            q.put("item")
        assert await soon(second) == "item"
        assert first.cancelled()
        q.put("more")
        assert await soon(third) == "more"

    run(main())


@pytest.mark.parametrize("notified", [False, True])
def test_a_cancelled_putter_has_not_put(impl: ModuleType, notified: bool) -> None:
    async def main() -> None:
        q = impl.Queue(1)
        q.put("first")
        cancelled, patient = await waiting(q.async_put("lost"), q.async_put("second"))
        if notified:
            assert q.get_nowait() == "first"
        cancelled.cancel()
        await turns(5)
        if not notified:
            assert q.get_nowait() == "first"
        await soon(patient)
        assert cancelled.cancelled()
        assert q.unfinished_tasks == 2
        assert q.drain() == ["second"]

    run(main())


@wait_of_every_kind
def test_a_cancelled_wait_leaves_nothing_behind(impl: ModuleType, wait: Any) -> None:
    before, wait_for, _, _ = wait

    async def main() -> None:
        q = impl.Queue(1)
        before(q)
        referents = len(gc.get_referents(q))
        state = (q.qsize(), q.unfinished_tasks)
        tasks = await waiting(*(as_coroutine(wait_for(q)) for _ in range(5)))
        tasks[2].cancel()
        await turns(3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (len(gc.get_referents(q)), q.qsize(), q.unfinished_tasks) == (referents, *state)

    run(main())


def test_a_coroutine_that_is_closed_passes_its_wake_up_on(impl: ModuleType) -> None:
    q = impl.Queue()

    async def main() -> None:
        closed = as_coroutine(q.async_get())
        # Driven by hand, so that it can be closed while it waits.
        closed.send(None)
        closed.send(None)
        [get] = await waiting(q.async_get())
        q.put("item")
        closed.close()
        assert await soon(get) == "item"

    run(main())


def run_one_turn_and_close(loop: asyncio.AbstractEventLoop, q: Any) -> None:
    """Put an item for a task of the loop, which does not get a turn any more."""
    messages: list[str] = []
    loop.set_exception_handler(lambda _, context: messages.append(context["message"]))
    loop.run_until_complete(waiting(q.async_get()))
    outside = thread_waits(q.get)

    def last() -> None:
        loop.stop()
        q.put("item")

    loop.call_soon(last)
    loop.run_forever()
    loop.close()
    gc.collect()
    assert outside.result(NEVER) == "item"
    assert messages == ["Task was destroyed but it is pending!"]


def test_a_coroutine_that_is_freed_passes_its_wake_up_on(impl: ModuleType) -> None:
    run_one_turn_and_close(asyncio.new_event_loop(), q := impl.Queue())
    assert q.empty()


def test_an_exception_between_enrolling_and_sleeping_loses_no_wake_up(impl: ModuleType) -> None:
    # Of a signal handler, which runs between any two steps.
    class Interrupted(impl.Queue):  # type: ignore[misc, name-defined]
        def _enrol(self, event: int, waiter: Any) -> None:
            super()._enrol(event, waiter)
            raise ZeroDivisionError

    q = Interrupted()

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await q.async_get()
        get = thread_waits(q.get)
        q.put("item")
        assert await soon(asyncio.wrap_future(get)) == "item"

    run(main())


@pytest.mark.parametrize("seconds", [0, 1e-6, 1e-3])
def test_timeouts_take_nothing(impl: ModuleType, seconds: float) -> None:
    async def main() -> None:
        empty, full = impl.Queue(), impl.Queue(1)
        full.put("item")
        for wait in (empty.async_get, lambda: full.async_put("more"), full.async_join):
            for _ in range(20):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(wait(), seconds)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await wait()
        empty.put("item")
        assert empty.drain() == full.drain() == ["item"]

    run(main())


async def hastily(random: Random, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Try until it is done, each time with another way to give up."""
    while True:
        delay = random.random() * 1.5e-3
        with suppress(TimeoutError, asyncio.TimeoutError):
            match random.randrange(3):
                case 0:
                    return await asyncio.wait_for(make(), delay)
                case 1:
                    async with asyncio.timeout(delay):
                        return await make()
                case _:
                    task = asyncio.create_task(make())
                    asyncio.get_running_loop().call_later(delay, task.cancel)
                    await asyncio.wait([task])
                    if not task.cancelled():
                        return task.result()


@pytest.mark.parametrize("maxsize", [0, 1, 5])
@from_thread_or_loop
def test_hasty_tasks_lose_no_item(impl: ModuleType, maxsize: int, thread: bool) -> None:
    q, n = impl.Queue(maxsize), repetitions(impl, 300)
    got: list[int] = []

    async def consume(random: Random) -> None:
        with suppress(ShutDown):
            while True:
                got.append(await hastily(random, q.async_get))

    async def produce(random: Random) -> None:
        for number in range(n):
            await hastily(random, lambda number=number: q.async_put(number))  # type: ignore[misc]

    async def main() -> None:
        consumers = [asyncio.create_task(consume(Random(seed))) for seed in range(4)]
        if thread:
            await asyncio.to_thread(lambda: [q.put(number) for number in range(n)])
        else:
            await produce(Random(5))
        q.shutdown()
        await asyncio.gather(*consumers)

    asyncio.run(asyncio.wait_for(main(), 60))
    assert sorted(got) == list(range(n))
    assert q.unfinished_tasks == n
    assert q.empty()


def test_a_failing_group_loses_no_item(impl: ModuleType) -> None:
    async def main() -> None:
        for number in range(50):
            q = impl.Queue()
            got: list[str] = []

            async def get(q: Any = q, got: list[str] = got) -> None:
                got.append(await q.async_get())

            async def fail(q: Any = q, number: int = number) -> None:
                await turns(number % 7)
                q.put("item")
                raise ZeroDivisionError

            async def several(get: Any = get, fail: Any = fail) -> None:
                async with asyncio.TaskGroup() as group:
                    for wait in (get, get, get, fail):
                        group.create_task(wait())

            [outsider] = await waiting(q.async_get())
            with pytest.raises(ExceptionGroup):
                await several()
            if got:  # one of the group was quicker
                q.put("item")
            assert await soon(outsider) == "item"
            assert q.unfinished_tasks == 1 + len(got)
            assert q.empty()

    run(main())


def test_cancelled_at_the_moment_of_a_put_from_a_thread(impl: ModuleType) -> None:
    random = Random(1)
    q, orders = impl.Queue(), impl.Queue()

    def put() -> None:
        for delay in orders:
            end = time.perf_counter() + delay
            while time.perf_counter() < end:
                pass
            q.put("item")

    async def main() -> None:
        cancelled = 0
        putter = start(put)
        for _ in range(400):
            hasty, patient = await waiting(q.async_get(), q.async_get())
            orders.put(random.random() * 2e-4)
            asyncio.get_running_loop().call_later(random.random() ** 2 * 2e-3, hasty.cancel)
            with suppress(asyncio.CancelledError):
                assert await hasty == "item"
                q.put("item")  # for the other one
            cancelled += hasty.cancelled()
            assert await soon(patient) == "item"
            assert q.empty()
        assert 0 < cancelled < 400
        orders.shutdown()
        await asyncio.to_thread(putter.result, NEVER)

    asyncio.run(asyncio.wait_for(main(), 60))


# --- loops that end ------------------------------------------------------------


@pytest.mark.parametrize("end", ["stopped", "closed", "closed as it is called"])
@pytest.mark.parametrize("where", ["thread", "loop"])
def test_a_loop_that_ended_keeps_no_wake_up(impl: ModuleType, end: str, where: str) -> None:
    q = impl.Queue()
    loop = asyncio.new_event_loop()
    [get] = loop.run_until_complete(waiting(q.async_get()))

    def last() -> None:
        # The thread finds the loop running, but there is no next turn.
        loop.stop()
        start(lambda: q.put("item")).result(NEVER)

    with second_waiter(where, q) as result:
        if end == "closed as it is called":
            loop.call_soon(last)
            loop.run_forever()
        if end != "stopped":
            loop.close()
        if end != "closed as it is called":
            q.put("item")  # nobody sees an error of the loop
        assert result() == "item"
    assert (q.qsize(), get.done()) == (0, False)
    abandon(get)
    loop.close()


def test_many_waiters_of_a_closed_loop_are_passed_over(impl: ModuleType) -> None:
    async def begin() -> list[asyncio.Task[Any]]:
        tasks = [asyncio.create_task(q.async_get()) for _ in range(repetitions(impl, 2000))]
        await turns(5)
        return tasks

    q = impl.Queue()
    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(begin())
    loop.close()
    outside = thread_waits(q.get)
    q.put("item")
    assert outside.result(NEVER) == "item"
    for task in tasks:
        abandon(task)


def test_a_loop_that_goes_on_hears_of_what_happened(impl: ModuleType) -> None:
    q = impl.Queue()
    with asyncio.Runner() as runner:
        gets = runner.run(waiting(q.async_get(), q.async_get(), q.async_get()))
        start(lambda: q.put_many("ab")).result(NEVER)
        q.put("c")
        assert runner.run(asyncio.wait_for(asyncio.gather(*gets), NEVER)) == ["a", "b", "c"]


def test_waits_end_with_the_run(impl: ModuleType) -> None:
    q, full = impl.Queue(), impl.Queue(1)
    full.put("item")

    async def main() -> None:
        global kept
        kept = await waiting(q.async_get(), full.async_put("more"), full.async_join())

    asyncio.run(main())  # which cancels them
    assert all(task.cancelled() for task in kept)
    q.put("item")
    assert q.drain() == full.drain() == ["item"]


kept: list[asyncio.Task[Any]] = []


def test_putters_see_no_error_of_a_loop_that_closes(impl: ModuleType) -> None:
    random = Random(1)
    q = impl.Queue()
    over = threading.Event()
    put = [0, 0]

    def produce(index: int) -> None:
        while not over.is_set():
            q.put("item")
            put[index] += 1
            time.sleep(1e-5)

    got = 0

    async def main() -> int:
        tasks = [asyncio.create_task(q.async_get()) for _ in range(4)]
        await asyncio.wait(tasks, timeout=random.random() * 1e-3)
        abandoned.extend(task for task in tasks if not task.done())
        return sum(task.done() for task in tasks)

    producers = [start(lambda index=index: produce(index)) for index in range(2)]  # type: ignore[misc]
    abandoned: list[asyncio.Task[Any]] = []
    for _ in range(100):
        abandoned.clear()
        loop = asyncio.new_event_loop()
        got += loop.run_until_complete(main())
        loop.close()
        for task in abandoned:
            # Either it got an item at the last moment, or it is closed without one.
            got += task.done()
            if not task.done():
                abandon(task)
    over.set()
    for producer in producers:
        producer.result(NEVER)
    assert got + q.qsize() == sum(put)


# --- garbage -------------------------------------------------------------------


def test_a_cycle_of_loop_task_and_queue_is_collected(impl: ModuleType) -> None:
    messages: list[dict[str, Any]] = []

    def tangle() -> list[weakref.ref[Any]]:
        q = impl.Queue(1)
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda _, context: messages.append(context["message"]))
        q.put((loop, q))
        tasks = loop.run_until_complete(waiting(q.async_put(loop), q.async_join()))
        loop.close()
        return [weakref.ref(it) for it in (q, loop, *tasks)]

    refs = tangle()
    gc.collect()
    gc.collect()
    assert [ref() for ref in refs] == [None] * 4
    assert len(messages) == 2  # that a task was destroyed


def test_a_queue_dies_with_its_last_reference_after_waits(impl: ModuleType) -> None:
    async def main() -> weakref.ref[Any]:
        q = impl.Queue()
        [get] = await waiting(q.async_get())
        q.put("item")
        await get
        [cancelled] = await waiting(q.async_get())
        cancelled.cancel()
        await asyncio.wait([cancelled])
        return weakref.ref(q)

    gc.disable()
    try:
        with asyncio.Runner() as runner:
            ref = runner.run(main())
            runner.run(turns(3))
            assert ref() is None
    finally:
        gc.enable()


def test_waiters_may_be_freed_in_the_middle_of_an_operation(impl: ModuleType) -> None:
    child = in_child(
        f"""
        import asyncio, gc
        from {impl.__name__} import Queue

        q = Queue()

        async def main():
            asyncio.create_task(q.async_get())
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        gc.disable()
        for _ in range(100):
            loop = asyncio.new_event_loop()
            loop.set_exception_handler(lambda *_: None)
            loop.run_until_complete(main())
            loop.close()
            gc.set_threshold(1)
            gc.enable()
            del loop
            for _ in range(20):
                q.put("item")
                q.get()
            gc.disable()
        print("works")
        """
    )
    assert child == (0, "works\n", "")


# --- mixed with threads --------------------------------------------------------


def test_bound_and_tasks_count_for_threads_and_coroutines_alike(impl: ModuleType) -> None:
    async def main() -> None:
        q = impl.Queue(2)
        q.put("thread")
        await q.async_put("task")
        assert q.full()
        with pytest.raises(Full):
            q.put_nowait("more")
        [put] = await waiting(q.async_put("late"))
        assert (q.qsize(), q.unfinished_tasks) == (2, 2)
        assert await asyncio.to_thread(q.get) == "thread"
        await soon(put)
        assert await q.async_get_many(5) == ["task", "late"]
        thread = thread_waits(q.join)
        [join] = await waiting(q.async_join())
        await asyncio.to_thread(q.task_done, 2)
        await turns(5)
        assert [join.done(), thread.done()] == [False, False]
        q.task_done()
        await soon(join)
        await asyncio.to_thread(thread.result, NEVER)
        with pytest.raises(Empty):
            q.get_nowait()

    run(main())


def test_after_shutdown(impl: ModuleType) -> None:
    async def main() -> None:
        q = impl.Queue()
        q.put_many("ab")
        q.shutdown()
        with pytest.raises(ShutDown):
            await q.async_put("c")
        assert [await q.async_get(), *await q.async_get_many(2)] == ["a", "b"]
        for wait in (q.async_get(), q.async_get_many(1)):
            with pytest.raises(ShutDown):
                await wait
        assert [item async for item in q] == []
        q.task_done(2)
        await q.async_join()

    run(main())


# --- under the names of asyncio ------------------------------------------------


def test_both_faces_show_one_queue(impl: ModuleType) -> None:
    async def main() -> None:
        q = impl.Queue(3)
        face = q.async_q
        assert type(face) is impl.AsyncQueue
        assert face.sync_q is q
        other = impl.AsyncQueue(2)
        assert type(other.sync_q) is impl.Queue
        assert other.sync_q is other.sync_q
        assert other.sync_q.async_q.sync_q is other.sync_q
        await face.put("a")
        face.put_nowait("b")
        assert (q.qsize(), face.qsize(), face.maxsize, face.full()) == (2, 2, 3, False)
        assert [q.get(), await face.get()] == ["a", "b"]
        assert face.empty()
        assert repr(q) in repr(face)
        q.task_done()
        face.task_done()
        await face.join()
        with pytest.raises(ValueError, match="too many times"):
            face.task_done()

    run(main())


def test_exceptions_are_those_of_asyncio(impl: ModuleType) -> None:
    async def main() -> None:
        ended = getattr(asyncio, "QueueShutDown", ShutDown)
        q = impl.AsyncQueue(1)
        with pytest.raises(asyncio.QueueEmpty) as caught:
            q.get_nowait()
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        q.put_nowait("item")
        with pytest.raises(asyncio.QueueFull):
            q.put_nowait("item")
        [put] = await waiting(q.put("item"))
        q.shutdown()
        for wait in (put, q.put("item")):
            with pytest.raises(ended):
                await soon(wait)
        with pytest.raises(ended):
            q.put_nowait("item")
        assert await q.get() == "item"
        with pytest.raises(ended):
            await q.get()
        with pytest.raises(ended):
            q.get_nowait()
        assert [item async for item in q] == []
        q = impl.AsyncQueue()
        [get] = await waiting(q.get())
        q.shutdown(immediate=True)
        with pytest.raises(ended):
            await soon(get)

    run(main())


def test_the_face_is_a_class_like_others(impl: ModuleType) -> None:
    q = impl.AsyncQueue[int](5)
    assert isinstance(q, impl.AsyncQueue)
    assert not isinstance(q, asyncio.Queue)
    assert weakref.ref(q)() is q
    with pytest.raises(TypeError, match="cannot copy or pickle"):
        copy.copy(q)
    with pytest.raises(TypeError):
        impl.AsyncQueue("many")
    assert impl.AsyncQueue(-1).maxsize == 0
    assert q


def test_one_face_serves_several_loops(impl: ModuleType) -> None:
    q = impl.AsyncQueue(3)
    n = 500

    async def produce() -> None:
        for number in range(n):
            await q.put(number)

    async def consume() -> int:
        total = 0
        for _ in range(n):
            total += await q.get()
            q.task_done()
        return total

    total = run_threads(4, lambda index: run((produce, consume)[index % 2]()))
    assert (total[1] or 0) + (total[3] or 0) == n * (n - 1)
    run(q.join())


def test_the_example_of_the_tutorials_runs(
    impl: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    async def example() -> None:
        queue = impl.AsyncQueue()

        await queue.put("hello")
        item = await queue.get()
        print(item)  # "hello"

    asyncio.run(example())
    assert capsys.readouterr().out == "hello\n"


# --- other loops ---------------------------------------------------------------


def test_runs_under_uvloop(impl: ModuleType) -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop has no wheel for this interpreter")
    q, n = impl.Queue(3), 300
    got: list[int] = []

    async def consume(random: Random) -> None:
        with suppress(ShutDown):
            while True:
                got.append(await hastily(random, q.async_get))

    async def main() -> None:
        assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")
        consumers = [asyncio.create_task(consume(Random(seed))) for seed in range(3)]
        producer = start(lambda: [q.put(number) for number in range(n)])
        for number in range(n, 2 * n):
            await q.async_put(number)
        await asyncio.to_thread(producer.result, 60)
        q.shutdown()
        await asyncio.gather(*consumers)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 60))
    assert sorted(got) == list(range(2 * n))


def test_a_closed_uvloop_keeps_no_wake_up(impl: ModuleType) -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop has no wheel for this interpreter")
    run_one_turn_and_close(uvloop.new_event_loop(), q := impl.Queue())
    assert q.empty()


def test_runs_under_anyio(impl: ModuleType) -> None:
    anyio = pytest.importorskip("anyio")
    q = impl.Queue(1)
    got: list[int] = []

    async def produce() -> None:
        for number in range(100):
            await q.async_put(number)
        q.shutdown()

    async def consume() -> None:
        async for item in q:
            got.append(item)

    async def main() -> None:
        with anyio.move_on_after(0.01) as scope:
            await q.async_get()
        assert scope.cancelled_caught
        async with anyio.create_task_group() as group:
            group.start_soon(consume)
            group.start_soon(produce)
        with anyio.fail_after(NEVER):
            await anyio.to_thread.run_sync(q.task_done, 100)
            await q.async_join()

    anyio.run(main, backend="asyncio")
    assert got == list(range(100))


@pytest.mark.parametrize("hook", ["_init", "_put", "_get"])
def test_the_hooks_of_asyncio_queue_are_refused(impl: ModuleType, hook: str) -> None:
    text = (
        f"'Q' overrides {hook}(), which AsyncQueue does not call: it has no lock to call it under"
    )
    with pytest.raises(TypeError) as caught:
        type("Q", (impl.AsyncQueue,), {hook: None})
    assert str(caught.value) == text
