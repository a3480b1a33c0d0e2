"""Coroutines that are woken from outside: what may go wrong on the way into their loop."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import lockfree
import pytest
from support import THOROUGH, in_child, needs_fork, start, waiting

NEVER = 10  # seconds, after which something that should have happened did not


class Interrupted(Exception):  # noqa: N818 - no error
    """What a signal handler raises."""


class HandlersRaise(asyncio.SelectorEventLoop):
    """A loop in whose methods signal handlers raise: at their begin, or at their end."""

    moment = ""
    method = ""
    times = 0

    def raises(self, method: str, moment: str) -> None:
        if self.times and (self.method, self.moment) == (method, moment):
            self.times -= 1
            raise Interrupted

    def call_soon_threadsafe(  # type: ignore[override]
        self, *args: Any, **kwargs: Any
    ) -> asyncio.Handle:
        self.raises("call_soon_threadsafe", "begin")
        handle = super().call_soon_threadsafe(*args, **kwargs)
        self.raises("call_soon_threadsafe", "end")
        return handle

    def call_soon(  # type: ignore[override]
        self, *args: Any, **kwargs: Any
    ) -> asyncio.Handle:
        self.raises("call_soon", "begin")
        handle = super().call_soon(*args, **kwargs)
        self.raises("call_soon", "end")
        return handle


class Selecting(HandlersRaise):
    """Watches descriptors."""


class Refusing(HandlersRaise):
    """Watches none, as on Windows."""

    def add_reader(self, *_: Any) -> None:  # type: ignore[override]
        raise NotImplementedError


class Pretending(HandlersRaise):
    """Watches none and does not say so, as loops made for tests do."""

    def add_reader(self, *args: Any) -> None:  # type: ignore[override]
        self.readers = [args]


class Ignoring(HandlersRaise):
    """Does nothing when it is asked to watch one."""

    def add_reader(self, *_: Any) -> None:  # type: ignore[override]
        pass


LOOPS = [Selecting, Refusing, Pretending, Ignoring]


@contextmanager
def consumer(loop: Any, q: Any) -> Iterator[list[Any]]:
    """Get items in a task of a loop that runs in another thread, until `None` comes."""
    got: list[Any] = []

    async def consume() -> None:
        while (item := await q.async_get()) is not None:
            got.append(item)

    end = start(lambda: loop.run_until_complete(consume()))
    q.put("first")
    until(lambda: got)
    yield got
    q.put(None)
    end.result(NEVER)
    loop.close()


def until(true: Callable[[], object]) -> None:
    """Wait until that is so."""
    over = threading.Event()
    for _ in range(1000):
        if true():
            return
        over.wait(NEVER / 1000)
    pytest.fail("did not come true")


@pytest.mark.parametrize("make", LOOPS)
@pytest.mark.parametrize("moment", ["begin", "end"])
def test_an_exception_amid_a_wake_up_comes_out_of_put_and_the_loop_hears_of_the_item(
    impl: ModuleType, make: type[Any], moment: str
) -> None:
    loop, q = make(), impl.Queue()
    loop.method, loop.moment = "call_soon_threadsafe", moment
    with consumer(loop, q) as got:
        for number in range(20):
            loop.times = 1
            with suppress(Interrupted):
                q.put(number)
                assert loop.times == 1, "the exception was swallowed"
            until(lambda number=number: got[-1] == number)  # type: ignore[misc]
            loop.times = 0
        q.put("last")
        until(lambda: got[-1] == "last")
    assert got == ["first", *range(20), "last"]


@pytest.mark.parametrize("make", LOOPS)
@pytest.mark.parametrize("moment", ["begin", "end"])
def test_an_exception_amid_waking_another_task_comes_out_of_put(
    impl: ModuleType, make: type[Any], moment: str
) -> None:
    loop, q = make(), impl.Queue()

    async def main() -> None:
        gets = [loop.create_task(q.async_get()) for _ in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        for number in range(3):
            loop.method, loop.moment, loop.times = "call_soon", moment, 1
            with pytest.raises(Interrupted):
                q.put(number)
            assert await asyncio.wait_for(gets[number], NEVER) == number
        if impl is not lockfree:
            return
        # As often as one likes: the loop then hears of it from outside.
        get = loop.create_task(q.async_get())
        for _ in range(5):
            await asyncio.sleep(0)
        loop.times = 100
        with pytest.raises(Interrupted) as caught:
            q.put("item")
        loop.times = 0
        assert isinstance(caught.value.__context__, Interrupted)
        if make is not Selecting:
            q.put("next")
        assert await asyncio.wait_for(get, NEVER) == "item"

    loop.run_until_complete(main())
    loop.close()


TAKES: dict[str, Callable[[Any], Any]] = {
    "get": lambda q: q.get(),
    "get_nowait": lambda q: q.get_nowait(),
    "get with a timeout": lambda q: q.get(timeout=1),
    "get_many": lambda q: q.get_many(5)[0],
    "drain": lambda q: q.drain()[0],
    "_grab": lambda q: q._grab(None),
    "_some": lambda q: q._some(5, None)[0],
}


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue"])
@pytest.mark.parametrize("moment", ["begin", "end"])
@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_an_exception_amid_waking_who_waits_for_room_costs_no_item(
    impl: ModuleType, take: Callable[[Any], Any], moment: str, kind: str
) -> None:
    loop, q = Selecting(), getattr(impl, kind)(1)

    async def main() -> None:
        q.put("first")
        puts = [loop.create_task(q.async_put(item)) for item in ("second", "third")]
        for _ in range(5):
            await asyncio.sleep(0)
        loop.method, loop.moment, loop.times = "call_soon", moment, 1
        with pytest.raises(Interrupted):
            take(q)
        loop.times = 0
        assert take(q) == "first"
        await asyncio.wait_for(puts[0], NEVER)
        assert take(q) == "second"
        await asyncio.wait_for(puts[1], NEVER)
        assert take(q) == "third"

    loop.run_until_complete(main())
    loop.close()


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
@pytest.mark.parametrize("moment", ["begin", "end"])
@pytest.mark.parametrize(
    "get",
    [
        lambda q: q.async_get(),
        lambda q: q.async_get_many(2),
        lambda q: q.async_q.get(),
        lambda q: anext(aiter(q)),
    ],
    ids=["async_get", "async_get_many", "async_q.get", "anext"],
)
def test_an_exception_as_a_getter_leaves_costs_no_item(
    impl: ModuleType, get: Callable[[Any], Any], moment: str, kind: str
) -> None:
    raised: list[bool] = []

    class Leaving(getattr(impl, kind)):  # type: ignore[misc]
        def _enrol(self, *args: Any) -> None:
            super()._enrol(*args)
            self.put_nowait(7)  # so that it need not fall asleep

        def _leave(self, *args: Any) -> None:
            if moment == "end":
                super()._leave(*args)
            if not raised:
                raised.append(True)
                raise Interrupted
            if moment == "begin":
                super()._leave(*args)

    q: Any = Leaving()
    with pytest.raises(Interrupted):
        asyncio.run(get(q))
    assert q.drain() == [7]


def test_who_was_asked_in_too_early_is_told_again() -> None:
    """A loop that a signal handler runs inside of another one, as notebooks do it."""
    loop, q = HandlersRaise(), lockfree.Queue[str](1)

    async def main() -> None:
        q.put("first")
        put = loop.create_task(q.async_put("second"))
        for _ in range(5):
            await asyncio.sleep(0)
        schedule = loop.call_soon

        def run_at_once(callback: Any, *args: Any, **kwargs: Any) -> Any:
            del loop.call_soon
            handle = schedule(callback, *args, **kwargs)
            task = asyncio.current_task()
            assert task is not None
            asyncio.tasks._leave_task(loop, task)
            loop._run_once()  # type: ignore[attr-defined]
            asyncio.tasks._enter_task(loop, task)
            return handle

        loop.call_soon = run_at_once  # type: ignore[method-assign]
        assert q.get() == "first"
        await asyncio.wait_for(put, NEVER)
        assert q.get() == "second"

    loop.run_until_complete(main())
    loop.close()


def test_what_comes_of_telling_others_does_not_cost_a_result() -> None:
    loop = Selecting()

    async def main() -> None:
        ref, number = lockfree.AtomicRef("old"), lockfree.AtomicInt64(5)
        waits = [loop.create_task(ref.async_wait("old")), loop.create_task(number.async_wait(5))]
        for _ in range(5):
            await asyncio.sleep(0)
        results: list[Any] = []
        changes: list[tuple[Any, Any]] = [(ref.exchange, "new"), (number.fetch_add, 1)]
        for change, argument in changes:
            loop.method, loop.moment, loop.times = "call_soon", "begin", 1
            # No byte code runs between the two calls: there the exception would come.
            with pytest.raises(Interrupted):
                results.extend(map(change, [argument]))
        assert results == ["old", 5]
        await asyncio.wait_for(asyncio.gather(*waits), NEVER)

    loop.run_until_complete(main())
    loop.close()


@pytest.mark.parametrize("moment", ["begin", "end"])
def test_an_exception_as_a_load_ends_comes_out_of_it_and_wakes_who_waits(
    impl: ModuleType, moment: str
) -> None:
    loop, cache = Selecting(), impl.Cache(10)

    async def main() -> None:
        go = asyncio.Event()

        async def load(_key: str) -> str:
            await go.wait()
            loop.method, loop.moment, loop.times = "call_soon", moment, 1
            return "value"

        gets = [loop.create_task(cache.async_get_or_load("key", load)) for _ in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        go.set()
        done, late = await asyncio.wait(gets, timeout=NEVER)
        assert not late
        errors = [task.exception() for task in done]
        assert Interrupted in map(type, errors)
        assert all(
            error or task.result() == "value" for task, error in zip(done, errors, strict=True)
        )

    loop.run_until_complete(main())
    loop.close()


@pytest.mark.parametrize("moment", ["begin", "end"])
def test_an_exception_amid_a_cancellation_cancels(impl: ModuleType, moment: str) -> None:
    loop, q = Selecting(), impl.Queue()

    async def main() -> None:
        get = loop.create_task(q.async_get())
        for _ in range(5):
            await asyncio.sleep(0)
        loop.method, loop.moment, loop.times = "call_soon", moment, 1
        with pytest.raises(Interrupted):
            get.cancel("why")
        with pytest.raises(asyncio.CancelledError) as caught:
            await asyncio.wait_for(get, NEVER)
        assert caught.value.args == ("why",)

    loop.run_until_complete(main())
    loop.close()


# An exception at any moment, none of which may be swallowed.
ALARMS = """
import asyncio, signal, sys, threading
from {module} import Queue

class Alarm(Exception):
    pass

rung = heard = 0

def ring(*_):
    global rung
    rung += 1
    raise Alarm

def unraisable(args):
    print("swallowed", args.exc_type, args.object, file=sys.stderr)

sys.unraisablehook = unraisable
"""

# Until `main` has got through.
RINGING = """
signal.setitimer(signal.ITIMER_REAL, 4e-4, 4e-4)
while True:
    try:
        main()
        signal.setitimer(signal.ITIMER_REAL, 0)
        break
    except Alarm:
        heard += 1
signal.signal(signal.SIGALRM, signal.SIG_IGN)
"""

ALARMS_OF_PUTS = (
    ALARMS
    + """
puts, q, got = {puts}, Queue(), []

async def consume():
    while (item := await q.async_get()) is not None:
        got.append(item)

consumer = threading.Thread(target=lambda: asyncio.run(consume(), debug=False))
consumer.start()
signal.signal(signal.SIGALRM, ring)

def main():
    global heard
    number = 0
    while number < puts or rung < 20:
        try:
            while number < puts or rung < 20:
                q.put(number)
                number += 1
        except Alarm:
            heard += 1

"""
    + RINGING
    + """
q.put(None)
consumer.join(20)
assert not consumer.is_alive(), (len(got), q)
different = set(got)
assert different == set(range(len(different))), len(got)
assert len(different) >= puts
assert rung == heard >= 20, (rung, heard)
print("rang")
"""
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs alarms")
def test_alarms_while_putting_lose_nothing() -> None:
    code = ALARMS_OF_PUTS.format(module="lockfree", puts=20_000 if THOROUGH else 5_000)
    assert in_child(code) == (0, "rang\n", "")


ALARMS_OF_GETS = (
    ALARMS
    + """
gets, q, got, go_on = {gets}, Queue(10), [], True

async def produce():
    number = 0
    while number < gets or go_on:
        await q.async_put(number)
        number += 1
    q.shutdown()

producer = threading.Thread(target=lambda: asyncio.run(produce(), debug=False))
producer.start()
signal.signal(signal.SIGALRM, ring)

def main():
    global heard, go_on
    while True:
        try:
            # All of it native: between two byte codes an exception would cost what the first left.
            got.extend(q)
            return
        except Alarm:
            heard += 1
            go_on = rung < 20

"""
    + RINGING
    + """
producer.join(20)
assert not producer.is_alive(), (len(got), q)
assert got == list(range(len(got))), len(got)
assert len(got) >= gets
assert rung == heard >= 20, (rung, heard)
print("rang")
"""
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs alarms")
def test_alarms_while_getting_lose_nothing() -> None:
    code = ALARMS_OF_GETS.format(module="lockfree", gets=20_000 if THOROUGH else 5_000)
    assert in_child(code) == (0, "rang\n", "")


@pytest.mark.parametrize("method", ["add_reader", "call_soon_threadsafe", "call_soon"])
def test_the_interpreter_may_end_while_a_loop_is_called(method: str) -> None:
    child = in_child(
        f"""
        import asyncio, sys, threading, time
        from lockfree import Queue

        inside, waits = threading.Event(), threading.Event()

        class Slow(asyncio.SelectorEventLoop):
            def slowly(self, method):
                if method == "{method}" and waits.is_set():
                    inside.set()
                    time.sleep(0.2)

            def add_reader(self, *args):
                waits.set()
                self.slowly("add_reader")
                raise NotImplementedError

            def call_soon(self, *args, **kwargs):
                self.slowly("call_soon")
                return super().call_soon(*args, **kwargs)

            def call_soon_threadsafe(self, *args, **kwargs):
                self.slowly("call_soon_threadsafe")
                return super().call_soon_threadsafe(*args, **kwargs)

        class Lingers:
            # What is freed at the very end lets the other threads go on until they want the GIL.
            def __del__(self, sleep=time.sleep):
                sleep(0.4)

        q, loop = Queue(), Slow()
        sys.lingers = Lingers()  # the globals live as long as the threads

        def put():
            waits.wait()
            while not inside.is_set():
                q.put(1)
                time.sleep(0.01)

        async def get():
            while True:
                await q.async_get()

        threading.Thread(target=put, daemon=True).start()
        threading.Thread(target=lambda: loop.run_until_complete(get()), daemon=True).start()
        inside.wait()
        """
    )
    assert child == (0, "", "")


def descriptors() -> set[str]:
    """Return the numbers of the descriptors that are open."""
    listed = os.listdir("/proc/self/fd")  # it opens one itself
    return {number for number in listed if Path("/proc/self/fd", number).exists()}


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc/self/fd")


def waiting_in(loop: Any, q: Any) -> asyncio.Task[Any]:
    """Begin a wait in a loop."""

    async def begin() -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(q.async_get())
        for _ in range(5):
            await asyncio.sleep(0)
        return task

    task: asyncio.Task[Any] = loop.run_until_complete(begin())
    return task


@needs_proc
def test_a_loop_has_one_descriptor_and_closing_it_closes_that() -> None:
    before = descriptors()
    gc.disable()
    try:
        loop, q = asyncio.SelectorEventLoop(), lockfree.Queue[str]()
        made = descriptors()
        tasks = [waiting_in(loop, q) for _ in range(5)]
        tasks += [waiting_in(loop, lockfree.Queue())]
        [number] = descriptors() - made
        assert not os.get_inheritable(int(number))
        [other] = waiting(q.get)
        q.put("item")  # for the first task, whose loop does not run, and for the next ones
        assert other.result(NEVER) == "item"
        loop.close()
        assert descriptors() == before
    finally:
        gc.enable()
    for task in tasks:
        coroutine = task.get_coro()
        assert coroutine is not None
        coroutine.close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]


@needs_proc
@needs_fork
def test_a_forked_child_has_no_descriptor_of_a_loop() -> None:
    child = in_child(
        """
        import asyncio, os
        from lockfree import Queue

        q = Queue()

        def descriptors():
            listed = os.listdir("/proc/self/fd")
            return {name for name in listed if os.path.exists("/proc/self/fd/" + name)}

        async def main():
            before = descriptors()
            get = asyncio.ensure_future(q.async_get())
            for _ in range(5):
                await asyncio.sleep(0)
            [number] = descriptors() - before
            if (pid := os.fork()) == 0:
                assert number not in descriptors()
                again = os.open("/dev/null", os.O_RDONLY)
                q.put("child's")
                os.fstat(again)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            await asyncio.sleep(0.05)
            assert not get.done()
            await asyncio.to_thread(q.put, "item")
            assert await get == "item"

        asyncio.run(main(), debug=False)
        """,
        "-W",
        "ignore::DeprecationWarning",
    )
    assert child == (0, "", "")


def test_a_loop_may_go_on_in_another_thread(impl: ModuleType) -> None:
    loop, q = asyncio.new_event_loop(), impl.Queue()

    async def get() -> list[Any]:
        return [await asyncio.wait_for(q.async_get(), NEVER) for _ in range(2)]

    task = loop.create_task(get())
    for _ in range(5):
        loop.call_soon(loop.stop)
        start(loop.run_forever).result(NEVER)
    goes_on = start(lambda: loop.run_until_complete(task))
    q.put("a")
    start(lambda: q.put("b")).result(NEVER)
    assert goes_on.result(NEVER) == ["a", "b"]
    loop.close()


def test_a_task_of_pure_python_waits(impl: ModuleType) -> None:
    q = impl.Queue()

    def make(loop: Any, coroutine: Any, **kwargs: Any) -> Any:
        return asyncio.tasks._PyTask(coroutine, loop=loop, **kwargs)  # type: ignore[attr-defined]

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(make)
        get, cancelled = asyncio.ensure_future(q.async_get()), asyncio.ensure_future(q.async_get())
        await asyncio.sleep(0.01)
        cancelled.cancel()
        start(lambda: q.put("item")).result(NEVER)
        assert await asyncio.wait_for(get, NEVER) == "item"
        assert cancelled.cancelled()

    with asyncio.Runner() as runner:
        runner.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are of 3.12")
def test_an_eager_task_waits(impl: ModuleType) -> None:
    q = impl.Queue()

    async def main() -> None:
        if sys.version_info >= (3, 12):  # which the type checker wants to hear here
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        get = asyncio.create_task(q.async_get())
        await asyncio.sleep(0.01)
        start(lambda: q.put("item")).result(NEVER)
        assert await asyncio.wait_for(get, NEVER) == "item"

    asyncio.run(main())
