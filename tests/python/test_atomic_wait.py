"""Waiting for an atomic to change: threads, coroutines, and what is built on it."""

from __future__ import annotations

import asyncio
import gc
import math
import re
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from lockfree import AtomicInt64, Ordering
from support import in_child, needs_fork, run_threads, start, steps, waiting

NEVER = 10  # seconds, after which something that should have happened did not
A_WHILE = 0.05  # seconds, in which a thread that was woken would have been done

# Two values of each class.
KINDS: dict[str, tuple[Any, Any]] = {
    "AtomicBool": (False, True),
    "AtomicFloat64": (0.0, -0.0),
    "AtomicInt64": (0, 2**40),
    "AtomicRef": (0, 2**40),
}


@pytest.fixture(params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def make(impl: ModuleType, name: str) -> tuple[Any, Any, Any]:
    old, new = KINDS[name]
    return getattr(impl, name)(old), old, new


# --- one thread ----------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 0, 5, math.inf])
def test_a_different_value_is_not_waited_for(
    impl: ModuleType, name: str, timeout: float | None
) -> None:
    a, _, new = make(impl, name)
    assert a.wait(new, timeout) is True
    assert a.wait(new, timeout=timeout) is True
    assert a.at(Ordering.RELAXED).wait(new, timeout) is True


def test_the_old_value_is_converted_once_and_outside_of_locks(impl: ModuleType) -> None:
    class Index:
        def __index__(self) -> int:
            conversions.append(1)
            notifier = start(a.notify_all)
            notifier.result(NEVER)
            return 0

    conversions: list[int] = []
    a = impl.AtomicInt64(0)
    assert a.wait(Index(), timeout=A_WHILE) is False
    assert len(conversions) == 1


@pytest.mark.parametrize("timeout", [0, 0.0, -0.0, False, 1e-9, 0.05])
def test_a_wait_ends_in_time(impl: ModuleType, name: str, timeout: float) -> None:
    a, old, _ = make(impl, name)
    begin = time.monotonic()
    assert a.wait(old, timeout) is False
    assert timeout <= time.monotonic() - begin < NEVER


@pytest.mark.parametrize("value", ["same", "different"])
def test_refuses_bad_timeouts(impl: ModuleType, name: str, value: str) -> None:
    a, old, new = make(impl, name)
    shown = old if value == "same" else new
    for bad in (-1, -1e-9, math.nan, -math.inf):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            a.wait(shown, bad)
        assert str(caught.value) == f"'timeout' must be a non-negative number, not {bad}"
    with pytest.raises(TypeError, match="must be real number, not str"):
        a.wait(shown, "1")


@pytest.mark.parametrize(
    "call",
    ["a.wait()", "a.wait(old=False)", "a.wait(**{'': False})", "a.wait(1, 2, 3)", "a.wait(1, x=2)"],
)
def test_refuses_wrong_arguments(impl: ModuleType, name: str, call: str) -> None:
    with pytest.raises(TypeError, match="argument"):
        eval(call, {"a": make(impl, name)[0]})


def test_an_old_of_another_type_is_refused(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match="expected an int, not '0'"):
        impl.AtomicInt64().wait("0")
    with pytest.raises(OverflowError, match="does not fit in 64 bits"):
        impl.AtomicInt64().wait(2**63)
    with pytest.raises(TypeError, match="expected an int, not '0'"):
        asyncio.run(impl.AtomicInt64().async_wait("0"))


def test_nobody_need_be_there_to_be_notified(impl: ModuleType, name: str) -> None:
    a, _, _ = make(impl, name)
    assert a.notify_one() is None
    assert a.notify_all() is None


# --- several -------------------------------------------------------------------


# How each class is changed; `n` is the new value.
WRITES = {
    "store": lambda a, n: a.store(n),
    "exchange": lambda a, n: a.exchange(n),
    "compare_exchange": lambda a, n: a.compare_exchange(a.load(), n),
    "update": lambda a, n: a.update(lambda _: n),
    "fetch_update": lambda a, n: a.fetch_update(lambda _: n),
    "relaxed store": lambda a, n: a.at(Ordering.RELAXED).store(n),
    "release store": lambda a, n: a.at(Ordering.RELEASE).store(n),
    "relaxed exchange": lambda a, n: a.at(Ordering.RELAXED).exchange(n),
}
OWN_WRITES: dict[str, list[Callable[[Any], Any]]] = {
    "AtomicBool": [lambda a: a.test_and_set(), lambda a: a.toggle()],
    "AtomicInt64": [
        lambda a: a.increment(),
        lambda a: a.decrement(),
        lambda a: a.add(5),
        lambda a: a.sub(5),
        lambda a: a.fetch_add(5),
        lambda a: a.fetch_sub(5),
        lambda a: a.fetch_or(5),
        lambda a: a.fetch_xor(5),
        lambda a: a.fetch_max(5),
        lambda a: a.fetch_min(-5),
        lambda a: a.at(Ordering.RELAXED).increment(),
        lambda a: a.__iadd__(5),
        lambda a: a.__isub__(5),
        lambda a: a.__ior__(5),
        lambda a: a.__ixor__(5),
    ],
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("timeout", [None, NEVER])
def test_a_write_wakes_all_who_wait(
    impl: ModuleType, name: str, write: Callable[[Any, Any], object], timeout: float | None
) -> None:
    a, old, new = make(impl, name)
    futures = waiting(lambda: a.wait(old, timeout), lambda: a.at(Ordering.ACQUIRE).wait(old))
    futures.append(loop_of_waiters(2, lambda: a.async_wait(old)))
    time.sleep(2 * A_WHILE)  # beyond the time when all look again
    write(a, new)
    assert [future.result(NEVER) for future in futures] == [True, True, None]


@pytest.mark.parametrize(
    ("name", "write"), [(name, write) for name, writes in OWN_WRITES.items() for write in writes]
)
def test_each_write_wakes(impl: ModuleType, name: str, write: Callable[[Any], object]) -> None:
    a, old, _ = make(impl, name)
    [future] = waiting(lambda: a.wait(old))
    time.sleep(2 * A_WHILE)
    write(a)
    assert future.result(NEVER) is True


def test_who_waits_on_the_main_thread_is_woken_as_well(impl: ModuleType, name: str) -> None:
    a, old, new = make(impl, name)
    threading.Timer(A_WHILE, a.store, (new,)).start()
    assert a.wait(old, NEVER) is True


def test_a_write_that_changes_nothing_ends_no_wait(impl: ModuleType, name: str) -> None:
    a, old, new = make(impl, name)
    futures = waiting(lambda: a.wait(old))
    for _ in range(3):
        a.store(old)
        assert not a.compare_exchange(new, new)
    time.sleep(A_WHILE)
    assert not futures[0].done()
    a.store(new)
    assert futures[0].result(NEVER) is True


def test_all_are_notified(impl: ModuleType, name: str) -> None:
    a, old, new = make(impl, name)
    futures = waiting(*[lambda: a.wait(old), lambda: a.at(Ordering.ACQUIRE).wait(old)] * 2)
    a.store(new)
    a.at(Ordering.RELEASE).notify_all()
    assert [future.result(NEVER) for future in futures] == [True] * 4


@pytest.mark.parametrize("notify", ["notify_one", "notify_all"])
def test_a_notification_of_no_change_ends_no_wait(impl: ModuleType, name: str, notify: str) -> None:
    a, old, new = make(impl, name)
    futures = waiting(*[lambda: a.wait(old)] * 2)
    for _ in range(3):
        getattr(a, notify)()
        time.sleep(A_WHILE)
    assert not any(future.done() for future in futures)
    a.store(new)
    a.notify_all()
    assert [future.result(NEVER) for future in futures] == [True] * 2


def test_an_exception_amid_a_wake_up_comes_out_of_the_write(impl: ModuleType, name: str) -> None:
    class Loop(asyncio.SelectorEventLoop):
        fails = 0

        def call_soon(  # type: ignore[override]
            self, *args: Any, **kwargs: Any
        ) -> asyncio.Handle:
            if self.fails:
                self.fails -= 1
                raise ZeroDivisionError
            return super().call_soon(*args, **kwargs)

    a, old, new = make(impl, name)
    loop = Loop()

    async def main() -> None:
        waits = loop.create_task(a.async_wait(old))
        await settle()
        loop.fails = 1
        with pytest.raises(ZeroDivisionError):
            a.store(new)
        assert a.load() == new
        await asyncio.wait_for(waits, NEVER)

    loop.run_until_complete(main())
    loop.close()


def test_a_change_that_was_undone_may_go_unseen_and_the_next_does_not(
    impl: ModuleType, name: str
) -> None:
    a, old, new = make(impl, name)
    (future,) = waiting(lambda: a.wait(old))
    a.store(new)
    a.store(old)
    a.store(new)
    assert future.result(NEVER) is True


def test_a_change_of_the_last_moment_counts(impl: ModuleType, name: str) -> None:
    a, old, new = make(impl, name)
    (future,) = waiting(lambda: a.wait(old, 0.3))
    a.store(new)  # and nobody notifies
    assert future.result(NEVER) is True


@pytest.mark.parametrize("ordering", [Ordering.SEQ_CST, Ordering.RELAXED])
def test_two_threads_take_turns_without_losing_one(
    impl: ModuleType, name: str, ordering: Ordering
) -> None:
    a, old, new = make(impl, name)
    view = a.at(ordering)
    rounds = 1000

    def work(index: int) -> None:
        mine = (old, new)[index]
        for _ in range(rounds):
            assert view.wait(mine)
            view.store(mine)  # the order of store and look is the notification's affair
            view.notify_one()

    run_threads(2, work)


def test_many_wait_for_their_turn_and_none_is_lost(impl: ModuleType) -> None:
    turn, threads, rounds = impl.AtomicInt64(), 5, 100

    def work(index: int) -> None:
        for i in range(rounds):
            mine = i * threads + index
            while (found := turn.load()) != mine:
                turn.wait(found)
            turn.increment()
            turn.notify_all()

    run_threads(threads, work)
    assert turn == threads * rounds


# --- coroutines ----------------------------------------------------------------


async def settle() -> None:
    """Let all tasks of the loop go to sleep."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_thread_and_a_coroutine_take_turns(impl: ModuleType, name: str) -> None:
    a, old, new = make(impl, name)
    rounds = 1000

    async def coroutine() -> None:
        for _ in range(rounds):
            await a.async_wait(old)
            a.store(old)
            a.notify_one()

    def thread() -> None:
        for _ in range(rounds):
            a.store(new)
            a.notify_one()
            assert a.wait(new)

    def work(index: int) -> None:
        if index:
            thread()
        else:
            asyncio.run(coroutine(), debug=False)  # which would make it slow

    run_threads(2, work)


def test_a_different_value_suspends_a_coroutine_only_now_and_then(
    impl: ModuleType, name: str
) -> None:
    async def main() -> None:
        a, _, new = make(impl, name)
        gave_way = [steps(a.async_wait(new)) for _ in range(1000)]
        assert set(gave_way) == {0, 1}
        assert 5 <= sum(gave_way) <= 100

    asyncio.run(main())


def loop_of_waiters(n: int, wait: Callable[[], Coroutine[Any, Any, None]]) -> Future[None]:
    """Start a loop in which `n` coroutines wait; return when they do."""
    asleep = threading.Event()

    async def run() -> None:
        tasks = [asyncio.create_task(wait()) for _ in range(n)]
        await settle()
        asleep.set()
        await asyncio.gather(*tasks)
        # A loop that has just ended counts as one that did not get up: the next one, too,
        # would be notified.
        await asyncio.sleep(A_WHILE)

    future = start(lambda: asyncio.run(run()))
    assert asleep.wait(NEVER)
    return future


def test_coroutines_of_several_loops_are_woken(impl: ModuleType, name: str) -> None:
    a, old, new = make(impl, name)
    woken = AtomicInt64()

    async def wait() -> None:
        await a.async_wait(old)
        woken.increment()

    loops = [loop_of_waiters(3, wait) for _ in range(3)]
    a.store(new)
    for loop in loops:
        loop.result(NEVER)
    assert woken == 9


def test_a_cancelled_coroutine_takes_no_wake_up_from_others(impl: ModuleType, name: str) -> None:
    a, old, new = make(impl, name)

    async def scenario() -> None:
        first, second = (asyncio.create_task(a.async_wait(old)) for _ in range(2))
        await settle()
        thread = start(lambda: a.wait(old))
        await asyncio.sleep(A_WHILE)
        a.store(new)
        first.cancel()
        await asyncio.wait_for(second, NEVER)
        assert first.cancelled()
        await asyncio.wait_for(asyncio.wrap_future(thread), NEVER)

    asyncio.run(scenario())


def test_a_coroutine_cancelled_before_leaves_the_list(impl: ModuleType, name: str) -> None:
    a, old, new = make(impl, name)

    async def scenario() -> None:
        tasks = [asyncio.create_task(a.async_wait(old)) for _ in range(3)]
        await settle()
        tasks[0].cancel()
        tasks[1].cancel()
        await settle()
        a.store(new)
        a.notify_one()
        await asyncio.wait_for(tasks[2], NEVER)
        assert [task.cancelled() for task in tasks] == [True, True, False]

    asyncio.run(scenario())


# --- awkward moments -----------------------------------------------------------


@pytest.mark.parametrize("view", [False, True])
def test_a_waiter_and_what_it_waits_for_are_collected(
    impl: ModuleType, name: str, view: bool
) -> None:
    a, old, _ = make(impl, name)
    ref = weakref.ref(a)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # that a pending task was destroyed
    tasks = [loop.create_task((a.at(Ordering.ACQUIRE) if view else a).async_wait(old))]
    loop.run_until_complete(settle())
    del a
    gc.collect()
    assert ref() is not None  # the task holds it
    loop.close()
    tasks.clear()
    del loop
    gc.collect()
    assert ref() is None


INTERRUPTED = """
import os, signal, threading, time
from {module} import {name}

def interrupt():
    time.sleep(0.2)
    global sent
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)

a = {name}({old})
waits = [lambda: a.wait({old}), lambda: a.wait({old}, 30), lambda: a.wait({old}, float("inf"))]
for wait in waits:
    late = []
    while len(late) < 10 and min(late, default=1) > 0.1:  # beside other processes some are late
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            wait()
        except KeyboardInterrupt:
            late.append(time.monotonic() - sent)
        thread.join()
    assert min(late) <= 0.1, late
print("interrupted")
"""


def test_ctrl_c_interrupts_within_100_ms(impl: ModuleType, name: str) -> None:
    child = in_child(INTERRUPTED.format(module=impl.__name__, name=name, old=KINDS[name][0]))
    assert child == (0, "interrupted\n", "")


@pytest.mark.parametrize("method", ["notify_one", "notify_all"])
def test_a_signal_handler_may_notify_whom_it_interrupts(method: str) -> None:
    child = in_child(
        f"""
        import signal
        from lockfree import AtomicInt64

        a = AtomicInt64()

        def handler(*_):
            a.increment()
            a.{method}()

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.005)
        for i in range(20):
            while a.load() <= i:
                assert a.wait(i, 10)
        signal.setitimer(signal.ITIMER_REAL, 0)
        """,
        timeout=30,
    )
    assert child == (0, "", "")


@needs_fork
def test_who_waited_at_a_fork_is_forgotten_in_the_child() -> None:
    child = in_child(
        """
        import os, sys, threading, time, warnings
        from lockfree import AtomicInt64

        # CPython warns of threads at a fork: they are the point here.
        warnings.simplefilter("ignore", DeprecationWarning)
        a = AtomicInt64()
        old = threading.Thread(target=a.wait, args=(0,))
        old.start()
        time.sleep(0.05)
        for _ in range(5):
            pid = os.fork()
            if pid == 0:
                a.notify_all()
                assert not a.wait(0, 0.01)
                new = threading.Thread(target=a.wait, args=(0,))
                new.start()
                time.sleep(0.05)
                a.store(1)
                a.notify_one()  # the only one
                new.join(10)
                os._exit(new.is_alive())
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert old.is_alive()
        a.store(1)
        a.notify_one()
        old.join(10)
        assert not old.is_alive()
        """,
        timeout=30,
    )
    assert child == (0, "", "")


def test_daemon_threads_that_wait_do_not_disturb_the_end() -> None:
    child = in_child(
        """
        import threading, time
        from lockfree import AtomicBool, AtomicInt64, AtomicRef

        for a in (AtomicBool(), AtomicInt64(), AtomicRef()):
            threading.Thread(target=a.wait, args=(a.load(),), daemon=True).start()
        time.sleep(0.1)
        print("end")
        """,
        timeout=30,
    )
    assert child == (0, "end\n", "")


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="reads memory use from /proc/self/statm"
)
def test_waiting_takes_no_memory_for_good() -> None:
    child = in_child(
        """
        import asyncio, gc, resource
        from pathlib import Path
        from lockfree import AtomicInt64

        def resident():
            gc.collect()
            return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

        async def cancel(a):
            task = asyncio.create_task(a.async_wait(0))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        async def cancel_many(a, n):
            for _ in range(n):
                await cancel(a)

        def use(n):
            kept = AtomicInt64()
            for _ in range(n):
                for a in (kept, AtomicInt64()):
                    assert not a.wait(0, 1e-7)
                    a.notify_all()
            asyncio.run(cancel_many(kept, n), debug=False)

        use(500)
        before = resident()
        use(3000)
        grown = resident() - before
        assert grown < 2**19, grown
        """
    )
    assert child == (0, "", "")


# --- what the documentation builds ---------------------------------------------


@pytest.fixture(scope="session")
def built(impl: ModuleType) -> dict[str, Any]:
    """Run the first recipes of the documentation and return what they define."""
    page = Path(__file__).parents[2] / "docs" / "use" / "recipes.md"
    defined: dict[str, Any] = {}
    for recipe in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        exec(recipe.replace("from lockfree import", f"from {impl.__name__} import"), defined)
        if "Semaphore" in defined:
            return defined
    raise AssertionError("the recipes have no Semaphore")


def test_a_latch_opens_when_all_have_come(built: dict[str, Any]) -> None:
    for _ in range(30):
        latch, come = built["Latch"](3), AtomicInt64()

        def work(index: int, latch: Any = latch, come: AtomicInt64 = come) -> None:
            if index < 3:
                come.increment()
                latch.count_down()
            else:
                latch.wait()
                assert come == 3

        run_threads(6, work)
    built["Latch"](0).wait()


def test_a_semaphore_lets_so_many_in(built: dict[str, Any]) -> None:
    semaphore, inside, most = built["Semaphore"](2), AtomicInt64(), AtomicInt64()

    def work(_: int) -> None:
        for _ in range(200):
            with semaphore:
                most.fetch_max(inside.increment())
                inside.decrement()

    run_threads(6, work)
    assert most <= 2
    with semaphore:
        with semaphore:
            (third,) = waiting(semaphore.__enter__)
        third.result(NEVER)


def test_a_barrier_of_waiters_sees_what_came_before(impl: ModuleType, name: str) -> None:
    a, old, new = make(impl, name)
    written: list[int] = []
    seen = waiting(*[lambda: (a.at(Ordering.ACQUIRE).wait(old), len(written))] * 2)
    written.append(1)
    a.at(Ordering.RELEASE).store(new)
    a.notify_all()
    assert [future.result(NEVER) for future in seen] == [(True, 1)] * 2
