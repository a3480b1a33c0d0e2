"""Single flight: who loads, who waits, and who gets what."""

from __future__ import annotations

import asyncio
import gc
import sys
import sysconfig
import threading
import time
import types
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from textwrap import indent
from types import ModuleType
from typing import Any

import pytest
from lockfree import AtomicInt64, _loading
from support import FORKS_IN_TRAFFIC, in_child, needs_fork, run, run_threads, start, waiting

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

TICK = 0.03  # long enough for another thread to begin to wait


class Slow:
    """A loader that says that it began, and then waits to be told to go on."""

    def __init__(self, value: object = "value", error: BaseException | None = None) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()
        self.calls = AtomicInt64()
        self.value, self.error = value, error

    def __call__(self, _key: object) -> Any:
        self.calls.increment()
        self.began.set()
        assert self.go_on.wait(30)
        if self.error is not None:
            raise self.error
        return self.value


def begun(slow: Slow, call: Callable[[], Any]) -> Future[Any]:
    """Start a call on a thread of its own, and return once its loader runs."""
    future = start(call)
    assert slow.began.wait(30)
    return future


# --- one loads, the others wait ------------------------------------------------


def test_a_missing_key_is_loaded_and_kept(impl: ModuleType) -> None:
    c = impl.Cache(10)
    assert c.get_or_load(3, lambda key: key * key) == 9
    assert (c.get_or_load(3, pytest.fail), c[3], c.stats().loads) == (9, 9, 1)


def test_of_many_threads_one_loads(impl: ModuleType) -> None:
    c = impl.Cache(10)
    calls = AtomicInt64()

    def loader(_key: object) -> object:
        calls.increment()
        time.sleep(TICK)
        return object()

    results = run_threads(8, lambda _index: c.get_or_load("k", loader))
    assert calls.load() == c.stats().loads == len(set(map(id, results))) == 1


def test_of_many_rounds_each_has_one_load(impl: ModuleType) -> None:
    c = impl.Cache(None)
    calls = [AtomicInt64() for _ in range(300)]

    def worker(_index: int) -> None:
        for key in range(300):
            assert c.get_or_load(key, lambda key: calls[key].increment()) == 1

    run_threads(4, worker)
    assert c.stats().loads == 300


def test_other_keys_need_not_wait(impl: ModuleType) -> None:
    c = impl.Cache(10)
    slow = Slow()
    leader = begun(slow, lambda: c.get_or_load("slow", slow))
    assert start(lambda: c.get_or_load("quick", str)).result(30) == "quick"
    slow.go_on.set()
    assert leader.result(30) == "value"


def test_a_loader_may_load_other_keys(impl: ModuleType) -> None:
    c = impl.Cache(None)

    def fib(n: int) -> int:
        return n if n < 2 else c.get_or_load(n - 1, fib) + c.get_or_load(n - 2, fib)

    assert c.get_or_load(60, fib) == 1548008755920
    assert c.stats().loads == 61


def test_who_comes_late_does_not_load_again(impl: ModuleType) -> None:
    """Between a miss and a look into the table of flights, a whole load may pass."""

    class Late(impl.Cache):  # type: ignore[name-defined, misc]
        def get(self, key: object, default: object = None, /) -> object:
            found = super().get(key, default)
            if found is default:
                self[key] = "meanwhile"
            return found

    assert Late(10).get_or_load("k", pytest.fail) == "meanwhile"


# --- errors --------------------------------------------------------------------


def test_an_error_goes_to_all_who_wait_and_is_not_kept(impl: ModuleType) -> None:
    c = impl.Cache(10)
    error = ZeroDivisionError()
    slow = Slow(error=error)
    leader = begun(slow, lambda: c.get_or_load("k", slow))
    waiters = waiting(*[lambda: c.get_or_load("k", pytest.fail)] * 3)
    slow.go_on.set()
    assert leader.exception(30) is error
    assert [type(waiter.exception(30)) for waiter in waiters] == [ZeroDivisionError] * 3
    assert "k" not in c
    assert c.get_or_load("k", str) == "k"


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
def test_an_interruption_is_ones_own_and_one_other_loads(
    impl: ModuleType, error: type[BaseException]
) -> None:
    c = impl.Cache(10)
    slow, second = Slow(error=error()), Slow(value="second")
    leader = begun(slow, lambda: c.get_or_load("k", slow))
    waiters = waiting(*[lambda: c.get_or_load("k", second)] * 4)
    slow.go_on.set()
    assert second.began.wait(30)
    assert isinstance(leader.exception(30), error)
    time.sleep(TICK)
    second.go_on.set()
    assert [future.result(30) for future in waiters] == ["second"] * 4
    assert (slow.calls.load(), second.calls.load()) == (1, 1)


def test_errors_of_a_key_or_weigher_do_not_keep_the_key_loading(impl: ModuleType) -> None:
    wrong = True

    def weigh(_key: object, _value: object) -> int:
        if wrong:
            raise ZeroDivisionError
        return 1

    c = impl.Cache(10, weigher=weigh)
    with pytest.raises(ZeroDivisionError):
        c.get_or_load("k", str)
    wrong = False
    assert start(lambda: c.get_or_load("k", str)).result(30) == "k"
    with pytest.raises(TypeError, match="unhashable"):
        c.get_or_load([], str)


@pytest.mark.parametrize("name", ["Cache", "ConcurrentDict"])
def test_a_loader_that_is_no_coroutine_function_is_told(impl: ModuleType, name: str) -> None:
    c = impl.Cache(10) if name == "Cache" else impl.ConcurrentDict()
    message = r"^the loader of 'k' returned a 'str', which cannot be awaited: use get_or_load$"
    with pytest.raises(TypeError, match=message):
        asyncio.run(c.async_get_or_load("k", str.upper))
    assert "k" not in c

    @types.coroutine
    def old_style(key: str) -> Generator[None, None, str]:
        yield
        return key.upper()

    class Awaitable:
        def __await__(self) -> Generator[Any, None, str]:
            return (yield from asyncio.sleep(0, "V").__await__())

    message = r"^the loader of 'g' returned a 'generator', which cannot be awaited: use "
    with pytest.raises(TypeError, match=message):
        asyncio.run(c.async_get_or_load("g", lambda key: (letter for letter in key)))
    assert asyncio.run(c.async_get_or_load("k", old_style)) == "K"
    assert asyncio.run(c.async_get_or_load("l", lambda _key: Awaitable())) == "V"


def test_an_error_leaves_no_garbage(impl: ModuleType) -> None:
    c = impl.Cache(10)

    def fail_once_somebody_waits(slow: Slow) -> None:
        while not any(flight._sleepers for flight in _loading._aloft(c).copy()):
            time.sleep(0.001)
        slow.go_on.set()

    def attempt() -> None:
        slow = Slow(error=ZeroDivisionError())
        leader = begun(slow, lambda: c.get_or_load("k", slow))
        start(lambda: fail_once_somebody_waits(slow))
        with pytest.raises(ZeroDivisionError):
            c.get_or_load("k", pytest.fail)
        with pytest.raises(ZeroDivisionError):
            leader.result(30)
        with pytest.raises(ZeroDivisionError):
            c.get_or_load("k", lambda _key: 1 // 0)
        with pytest.raises(TypeError, match="returned a coroutine"):
            c.get_or_load("k", lambda _key: asyncio.sleep(0))
        with pytest.raises(TypeError, match="cannot be awaited"):
            run(c.async_get_or_load("k", str))

    attempt()
    gc.collect()
    gc.disable()
    try:
        attempt()
        assert not [each for each in gc.get_objects() if isinstance(each, _loading._Flight)]
    finally:
        gc.enable()


def test_who_enrols_before_the_task_loads_is_held(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    c, enrolled = impl.Cache(10), threading.Event()
    begin, others = _loading._Flight.begin, []

    async def loader(key: str) -> str:
        [flight] = _loading._aloft(c)
        assert flight._pilot is not None
        pilot = flight._pilot()
        assert pilot is not None
        assert len(pilot.passengers) == len(flight._sleepers) == 2
        return key

    async def wait() -> Any:
        task = asyncio.ensure_future(c.async_get_or_load("k", loader))
        await asyncio.sleep(0)
        enrolled.set()
        return await task

    def begin_late(*args: Any) -> None:
        others.append(start(lambda: run(wait())))
        assert enrolled.wait(30)
        begin(*args)

    monkeypatch.setattr(_loading._Flight, "begin", begin_late)
    assert run(c.async_get_or_load("k", loader)) == "k"
    assert [other.result(30) for other in others] == ["k"]


def test_a_load_that_ends_as_one_is_about_to_wait(impl: ModuleType) -> None:
    c = impl.Cache(10)
    slow = Slow()
    leader = begun(slow, lambda: c.get_or_load("k", slow))

    class Late(dict[Any, Any]):
        """Those who wait, enrolled only when it is too late to be woken."""

        def __setitem__(self, wake: object, nothing: None) -> None:
            slow.go_on.set()
            assert leader.result(30) == "value"
            super().__setitem__(wake, nothing)

    [flight] = _loading._aloft(c)
    flight._sleepers = Late()
    assert start(lambda: c.get_or_load("k", pytest.fail)).result(30) == "value"


# --- waiting for oneself -------------------------------------------------------


def test_a_loader_that_asks_for_its_own_key_is_told(impl: ModuleType) -> None:
    c = impl.Cache(10)

    def loader(key: str) -> object:
        return c.get_or_load(key, loader)

    with pytest.raises(RuntimeError, match=r"^the loader of 'k' asks for 'k' itself$"):
        c.get_or_load("k", loader)
    with pytest.raises(RuntimeError, match="'k'"):
        c.get_or_load("other", lambda _key: c.get_or_load("k", loader))
    assert c.get_or_load("k", str) == "k"


def errors_in_ring(caches: list[Any], ask: Callable[..., Any]) -> list[BaseException | None]:
    """Load a key per cache; once all have begun, each loader asks for the next key."""
    keys = [f"key {number}" for number in range(len(caches))]
    all_began = threading.Barrier(len(keys))

    def loader(key: str) -> Any:
        all_began.wait(30)
        following = (keys.index(key) + 1) % len(keys)
        return ask(caches[following], keys[following], loader)

    calls = [partial(c.get_or_load, key, loader) for c, key in zip(caches, keys, strict=True)]
    return [future.exception(30) for future in [start(call) for call in calls]]


@pytest.mark.parametrize("length", [2, 3, 5])
@pytest.mark.parametrize("shared", [True, False], ids=["one cache", "a cache each"])
def test_a_cycle_of_threads_is_broken(impl: ModuleType, length: int, shared: bool) -> None:
    for _ in range(10):
        first = impl.Cache(10)
        caches = [first if shared else impl.Cache(10) for _ in range(length)]
        for error in errors_in_ring(caches, lambda cache, *args: cache.get_or_load(*args)):
            assert isinstance(error, RuntimeError)
            assert "would never end: its loader waits for the caller" in str(error)


def test_a_loader_that_bears_the_refusal_ends_the_cycle(impl: ModuleType) -> None:
    def ask(cache: Any, key: str, loader: Any) -> object:
        with suppress(RuntimeError):
            return cache.get_or_load(key, loader)
        return "instead"

    c = impl.Cache(10)
    assert errors_in_ring([c, c], ask) == [None, None]
    assert set(c.values()) == {"instead"}


def test_to_wait_for_the_same_load_is_no_cycle(impl: ModuleType) -> None:
    c = impl.Cache(10)

    def ask(key: str) -> object:
        return c.get_or_load(key, pytest.fail)

    slow = Slow()
    bottom = begun(slow, lambda: c.get_or_load("bottom", slow))
    sides = ("left", "right")
    loaders = waiting(*[partial(c.get_or_load, side, lambda _key: ask("bottom")) for side in sides])
    tops = waiting(*[partial(ask, side) for side in sides])
    slow.go_on.set()
    assert {future.result(30) for future in (bottom, *loaders, *tops)} == {"value"}


# --- tasks ---------------------------------------------------------------------


def test_of_many_tasks_one_loads(impl: ModuleType) -> None:
    c = impl.Cache(10)

    async def loader(key: str) -> str:
        await asyncio.sleep(TICK)
        return key

    async def main() -> Any:
        return await asyncio.gather(*(c.async_get_or_load("k", loader) for _ in range(500)))

    assert run(main()) == ["k"] * 500
    assert c.stats().loads == 1


def test_a_hit_does_not_suspend(impl: ModuleType) -> None:
    c = impl.Cache(10)
    c["k"] = 1
    with pytest.raises(StopIteration) as caught:
        c.async_get_or_load("k", pytest.fail).send(None)
    assert caught.value.value == 1


def test_without_an_event_loop_it_says_so(impl: ModuleType) -> None:
    c = impl.Cache(10)
    with pytest.raises(RuntimeError, match="no running event loop"):
        c.async_get_or_load("k", pytest.fail).send(None)


def test_threads_and_tasks_of_several_loops_share_a_load(impl: ModuleType) -> None:
    c = impl.Cache(10)
    calls = AtomicInt64()
    everybody = threading.Barrier(4)

    def loader(_key: object) -> int:
        time.sleep(2 * TICK)
        return calls.increment()

    async def async_loader(_key: object) -> int:
        await asyncio.sleep(2 * TICK)
        return calls.increment()

    async def main() -> Any:
        return await asyncio.gather(*(c.async_get_or_load("k", async_loader) for _ in range(5)))

    def worker(index: int) -> object:
        everybody.wait(30)
        return c.get_or_load("k", loader) if index % 2 else run(main())

    assert run_threads(4, worker) == [[1] * 5, 1, [1] * 5, 1]


def test_an_error_goes_to_all_tasks(impl: ModuleType) -> None:
    c = impl.Cache(10)
    error = ZeroDivisionError()

    async def loader(_key: object) -> None:
        await asyncio.sleep(0)
        raise error

    async def main() -> Any:
        asks = (c.async_get_or_load("k", loader) for _ in range(5))
        return await asyncio.gather(*asks, return_exceptions=True)

    first, *others = run(main())
    assert first is error
    assert [type(other) for other in others] == [ZeroDivisionError] * 4
    assert c.stats().loads == 1


def test_who_is_cancelled_while_waiting_disturbs_nobody(impl: ModuleType) -> None:
    """Also if it is the one who asked first: a task of its own loads."""
    c = impl.Cache(10)

    async def loader(key: str) -> str:
        await asyncio.sleep(TICK)
        return key

    async def main() -> None:
        tasks = [asyncio.create_task(c.async_get_or_load("k", loader)) for _ in range(5)]
        await asyncio.sleep(TICK / 3)
        [flight] = _loading._aloft(c)
        assert len(flight._sleepers) == 5
        tasks[0].cancel()
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert len(flight._sleepers) == 3
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for gone in (results.pop(0), results.pop(0)):
            assert isinstance(gone, asyncio.CancelledError)
        assert results == ["k"] * 3

    run(main())
    assert c.stats().loads == 1


def test_a_coroutine_that_is_closed_leaves_the_load_to_others(impl: ModuleType) -> None:
    c = impl.Cache(10)

    async def main() -> None:
        async def slow(key: str) -> str:
            await asyncio.sleep(TICK)
            return key

        first = c.async_get_or_load("k", slow)
        first.send(None)
        waiter = start(lambda: c.get_or_load("k", pytest.fail))
        await asyncio.sleep(TICK / 3)
        first.close()
        assert await asyncio.wrap_future(waiter) == "k"

    run(main())


def test_a_loop_that_is_closed_keeps_nobody_waiting(impl: ModuleType) -> None:
    c = impl.Cache(10)
    slow = Slow()
    leader = begun(slow, lambda: c.get_or_load("k", slow))
    loop = asyncio.new_event_loop()
    waiter = c.async_get_or_load("k", pytest.fail)
    task = loop.create_task(waiter)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    slow.go_on.set()
    assert leader.result(30) == "value"
    waiter.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_coroutine_outside_any_task_does_not_stand_for_its_thread(impl: ModuleType) -> None:
    c = impl.Cache(10)

    async def loader(_key: object) -> object:
        await asyncio.sleep(TICK)
        return "value"

    async def main() -> None:
        first = c.async_get_or_load("k", loader)
        asyncio.get_running_loop().call_soon(first.send, None)
        waiter = asyncio.create_task(c.async_get_or_load("k", pytest.fail))
        await asyncio.sleep(TICK / 3)
        assert not waiter.done()
        assert await waiter == "value"
        with pytest.raises(StopIteration):
            first.send(None)

    run(main())


def test_a_task_that_asks_for_its_own_key_is_told(impl: ModuleType) -> None:
    c = impl.Cache(10)

    async def other(key: str) -> str:
        return key

    async def loader(key: str) -> object:
        await c.async_get_or_load("other", other)
        return await c.async_get_or_load(key, loader)

    with pytest.raises(RuntimeError, match=r"^the loader of 'k' asks for 'k' itself$"):
        run(c.async_get_or_load("k", loader))


@pytest.mark.parametrize("length", [2, 3])
def test_a_cycle_of_tasks_is_broken(impl: ModuleType, length: int) -> None:
    c = impl.Cache(10)
    keys = list(range(length))

    async def loader(key: int) -> object:
        await asyncio.sleep(TICK)
        return await c.async_get_or_load((key + 1) % length, loader)

    async def main() -> Any:
        asks = (c.async_get_or_load(key, loader) for key in keys)
        return await asyncio.gather(*asks, return_exceptions=True)

    for error in run(main()):
        assert isinstance(error, RuntimeError)
        assert "would never end" in str(error)


def test_a_cycle_of_a_thread_and_a_task_is_broken(impl: ModuleType) -> None:
    c = impl.Cache(10)
    both = threading.Barrier(2)

    def of_thread(_key: object) -> Any:
        both.wait(30)
        return c.get_or_load("task's", pytest.fail)

    async def of_task(_key: object) -> Any:
        await asyncio.to_thread(both.wait, 30)
        return await c.async_get_or_load("thread's", pytest.fail)

    thread = start(lambda: c.get_or_load("thread's", of_thread))
    task = start(lambda: run(c.async_get_or_load("task's", of_task)))
    for future in (thread, task):
        error = future.exception(30)
        assert isinstance(error, RuntimeError)
        assert "would never end" in str(error)


def test_two_tasks_of_which_neither_waits_for_the_other(impl: ModuleType) -> None:
    """Both run in one thread, but only a task's own waiting keeps its load waiting."""
    c = impl.Cache(10)

    async def slow(key: object) -> object:
        await asyncio.sleep(TICK)
        return key

    async def loader(_key: object) -> Any:
        return await c.async_get_or_load("slow", slow)

    async def main() -> Any:
        return await asyncio.gather(
            c.async_get_or_load("slow", slow),
            c.async_get_or_load("a", loader),
            c.async_get_or_load("b", loader),
        )

    assert run(main()) == ["slow"] * 3


def test_who_would_block_the_loop_that_loads_is_told(impl: ModuleType) -> None:
    c = impl.Cache(10)

    async def slow(key: str) -> str:
        await asyncio.sleep(TICK)
        return key

    async def main() -> None:
        leader = asyncio.create_task(c.async_get_or_load("k", slow))
        await asyncio.sleep(0)
        text = r"^waiting for 'k' here would block the event loop that loads it$"
        with pytest.raises(RuntimeError, match=text):
            c.get_or_load("k", pytest.fail)
        # Also through a load in another thread, which waits for this loop.
        [other] = waiting(
            lambda: c.get_or_load("other", lambda _key: c.get_or_load("k", pytest.fail))
        )
        while not _loading._process.waits:
            time.sleep(0.001)
        with pytest.raises(RuntimeError, match="'other' would never end"):
            c.get_or_load("other", pytest.fail)
        assert await leader == "k"
        assert await asyncio.wrap_future(other) == "k"

    run(main())


def test_a_load_inside_an_event_loop_waits_for_none_of_its_tasks(impl: ModuleType) -> None:
    """A task of the loop waits for who waits for the load, which needs no loop to end."""
    c = impl.Cache(10)
    began = threading.Event()
    slow = Slow()

    def of_thread(_key: object) -> Any:
        began.set()
        assert slow.began.wait(30)
        return c.get_or_load("slow", pytest.fail)

    async def of_task(_key: object) -> Any:
        return await c.async_get_or_load("thread's", pytest.fail)

    async def main() -> Any:
        thread = start(lambda: c.get_or_load("thread's", of_thread))
        assert began.wait(30)
        task = asyncio.create_task(c.async_get_or_load("task's", of_task))
        await asyncio.sleep(TICK)
        threading.Timer(TICK, slow.go_on.set).start()
        c.get_or_load("slow", slow)
        return await asyncio.wrap_future(thread), await task

    assert run(main()) == ("value", "value")


def test_an_event_loop_inside_a_loader_is_the_loaders(impl: ModuleType) -> None:
    c = impl.Cache(10)

    async def pointless(_key: object) -> None:
        raise AssertionError

    def loader(key: str) -> Any:
        return run(c.async_get_or_load(key, pointless))

    text = "the loader of 'k' asks for 'k' itself"
    [asked] = [start(lambda: c.get_or_load("k", loader))]
    assert str(asked.exception(30)) == text
    assert start(lambda: c.get_or_load("k", lambda _key: run(asyncio.sleep(0, 3)))).result(30) == 3


# --- keys with code ------------------------------------------------------------


class Meddler:
    """A key whose comparison calls something."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self.meddle = meddle

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        self.meddle()
        return isinstance(other, Meddler)


def test_comparing_keys_may_load(impl: ModuleType) -> None:
    c = impl.Cache(10)
    loaded: list[str] = []

    def meddle() -> None:
        if not loaded:
            loaded.append("not yet")
            loaded.append(c.get_or_load(1, str))

    slow = Slow()
    first, second = Meddler(meddle), Meddler(meddle)
    leader = begun(slow, lambda: c.get_or_load(first, slow))
    [waiter] = waiting(lambda: c.get_or_load(second, pytest.fail))
    slow.go_on.set()
    assert leader.result(30) == waiter.result(30) == "value"
    assert loaded == ["not yet", "1"]


class Wrong(Meddler):
    """A key whose comparison fails."""

    def __init__(self) -> None:
        super().__init__(lambda: 1 // 0)

    __hash__ = Meddler.__hash__


def test_an_error_of_a_comparison_with_a_loading_key_reaches_the_caller(impl: ModuleType) -> None:
    c = impl.Cache(10)
    slow = Slow()
    leader = begun(slow, lambda: c.get_or_load(Wrong(), slow))
    with pytest.raises(ZeroDivisionError):
        c.get_or_load(Wrong(), pytest.fail)
    slow.go_on.set()
    assert leader.result(30) == "value"


def test_landing_compares_no_keys(impl: ModuleType) -> None:
    c = impl.Cache(10)

    class Odd:
        equal = True

        def __hash__(self) -> int:
            return 5

        def __eq__(self, other: object) -> bool:
            if not self.equal:
                raise ZeroDivisionError
            return self is other

    first, second = Slow(), Slow(error=KeyError())
    leaders = [begun(first, lambda: c.get_or_load(Odd(), first))]
    leaders.append(begun(second, lambda: c.get_or_load(Odd(), second)))
    Odd.equal = False
    second.go_on.set()
    assert isinstance(leaders[1].exception(30), KeyError)
    Odd.equal = True
    first.go_on.set()
    assert leaders[0].result(30) == "value"
    assert not _loading._aloft(c)


# --- signals, forks ------------------------------------------------------------


PRELUDE = """
    import os, signal, threading, time
    import lockfree, lockfree.locked
    c = {module}.Cache(10)
    go_on, began = threading.Event(), threading.Event()
    def slow(key):
        began.set()
        go_on.wait(30)
        return key
    def interrupt(after):
        threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signal can be sent there")
def test_who_waits_on_the_main_thread_answers_ctrl_c(impl: ModuleType) -> None:
    child = in_child(
        PRELUDE.format(module=impl.__name__)
        + """
    leader = threading.Thread(target=c.get_or_load, args=("k", slow))
    leader.start()
    began.wait(30)
    late = []
    while len(late) < 10 and min(late, default=1) >= 0.1:  # beside other processes some are late
        start = time.monotonic()
        interrupt(0.2)
        try:
            c.get_or_load("k", slow)
        except KeyboardInterrupt:
            late.append(time.monotonic() - start - 0.2)
    print(min(late) < 0.1)
    go_on.set()
    leader.join()
    print(c["k"], c.stats().loads)
    """
    )
    assert child == (0, "True\nk 1\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="no signal can be sent there")
def test_ctrl_c_in_a_loader_leaves_the_key_to_others(impl: ModuleType) -> None:
    child = in_child(
        PRELUDE.format(module=impl.__name__)
        + """
    interrupt(0.3)
    try:
        c.get_or_load("k", slow)
    except KeyboardInterrupt:
        print(c.get_or_load("k", str), c.stats().loads)
    """
    )
    assert child == (0, "k 2\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="no signal can be sent there")
def test_exceptions_of_signal_handlers_hang_nobody() -> None:
    """Whatever instruction they come between, each key is loaded by somebody in the end.

    Over a `dict`, each of whose methods either happens or does not: the locked cache
    can be interrupted half-way.
    """
    child = in_child(
        """
    import signal, threading, time
    from lockfree._loading import Flights, LoadingMethods, Plain, _aloft
    class Cache(Plain, LoadingMethods):
        def __init__(self):
            self._values, self._flights = {}, Flights()
            self.get = self._peek = self._values.get
            self._ticket = lambda *_: None
        def _keep(self, ticket, key, value):
            self._values[key] = value
    c = Cache()
    class Alarm(BaseException):
        pass
    def ring(*_):
        raise Alarm
    signal.signal(signal.SIGALRM, ring)
    rounds, alarms = 3000, 0
    position = [0]
    def follow():
        for key in range(rounds):
            while position[0] < key:
                time.sleep(0)
            assert c.get_or_load(key, str) == str(key)
    followers = [threading.Thread(target=follow) for _ in range(2)]
    for follower in followers:
        follower.start()
    for key in range(rounds):
        try:
            signal.setitimer(signal.ITIMER_REAL, 1e-6 + (key % 97) * 5e-7)
            position[0] = key
            c.get_or_load(key, str)
            c.get_or_load(("own", key), str)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Alarm:
            alarms += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    position[0] = rounds
    for follower in followers:
        follower.join()
    for key in range(rounds):
        assert c.get_or_load(("own", key), str)
    print(alarms > 100, len(_aloft(c)))
    """,
        timeout=100,
    )
    assert child == (0, "True 0\n", "")


# CPython warns of threads at a fork: they are the point here.
FORKS = (
    PRELUDE
    + """
    import asyncio, faulthandler, itertools, warnings
    from lockfree import _loading
    warnings.simplefilter("ignore", DeprecationWarning)
    faulthandler.register(signal.SIGALRM, chain=True)
    def fork():
        pid = os.fork()
        assert not _loading._forks.begun
        if not pid:
            signal.alarm(30)
        return pid
    def await_child(pid):
        assert os.waitpid(pid, 0)[1] == 0
    def begin(key, loader):
        thread = threading.Thread(target=c.get_or_load, args=(key, loader))
        thread.start()
        return thread
    def is_told(key):
        try:
            c.get_or_load(key, str)
        except RuntimeError:
            return True
    def nothing_is_left():
        return not (_loading._aloft(c) or _loading._process.leading or _loading._process.waits)
    """
)


@needs_fork
def test_a_child_process_loads_what_its_parent_was_loading(impl: ModuleType) -> None:
    child = in_child(
        FORKS.format(module=impl.__name__)
        + """
    leader = begin("k", slow)
    began.wait(30)
    waiter = begin("k", str)
    time.sleep(0.1)
    def fork_inside(key):
        pid = fork()
        if pid:
            await_child(pid)
            return "parent"
        # The thread that forked goes on with its own loads, in the child as well.
        assert is_told("own") and is_told("outer")
        assert not _loading._process.waits
        assert c.get_or_load("k", len) == 1
        others = [begin(n, str) for n in range(5)]
        for other in others:
            other.join()
        waiters.extend(begin(key, str) for key in ("own", "outer"))
        time.sleep(0.1)
        assert all(waiter.is_alive() for waiter in waiters)
        return "child"
    waiters = []
    who = c.get_or_load("outer", lambda key: c.get_or_load("own", fork_inside))
    if who == "child":
        for waiter in waiters:
            waiter.join()
        assert (c["own"], c["outer"], c.stats().loads, len(c)) == ("child", "child", 9, 8)
        assert nothing_is_left()
        os._exit(0)
    go_on.set()
    leader.join()
    waiter.join()
    print(c["k"], c["own"], nothing_is_left())
    """
    )
    assert child == (0, "k parent True\n", "")


@needs_fork
def test_a_child_process_goes_on_with_the_tasks_of_the_thread_that_forked(
    impl: ModuleType,
) -> None:
    child = in_child(
        FORKS.format(module=impl.__name__)
        + """
    async def wait(key):
        await over.wait()
        return os.getpid()
    async def begin_tasks():
        global over
        over = asyncio.Event()
        tasks = [asyncio.create_task(c.async_get_or_load("k", wait)) for _ in range(3)]
        await asyncio.sleep(0.01)
        return tasks
    async def end(tasks):
        over.set()
        return await asyncio.gather(*tasks)
    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(begin_tasks())
    pid = fork()
    if pid:
        await_child(pid)
    assert is_told("k")
    waiter = begin("k", str)
    time.sleep(0.1)
    assert waiter.is_alive()
    assert loop.run_until_complete(end(tasks)) == [os.getpid()] * 3
    waiter.join()
    assert nothing_is_left() and c.stats().loads == 1
    if not pid:
        os._exit(0)
    loop.close()
    """
    )
    assert child == (0, "", "")


@needs_fork
def test_a_signal_handler_may_fork_while_its_thread_waits_for_a_load(impl: ModuleType) -> None:
    child = in_child(
        FORKS.format(module=impl.__name__)
        + """
    pids = []
    signal.signal(signal.SIGINT, lambda *_: pids.append(fork()))
    leader = begin("k", slow)
    began.wait(30)
    interrupt(0.1)
    def look_in_parent(key):
        # Where the thread waits for another one's load, it has no load of its own.
        assert pids == [0]
        return "child's"
    timer = threading.Timer(0.5, go_on.set)
    timer.start()
    value = c.get_or_load("other", lambda key: c.get_or_load("k", look_in_parent))
    if pids == [0]:
        assert value == "child's" and c.stats().loads == 3 and nothing_is_left()
        os._exit(0)
    leader.join()
    await_child(pids[0])
    print(value, c.stats().loads)
    """
    )
    assert child == (0, "k 2\n", "")


@needs_fork
def test_threads_that_fork_at_once_go_on_with_their_own_loads(impl: ModuleType) -> None:
    child = in_child(
        FORKS.format(module=impl.__name__)
        + """
    both = threading.Barrier(2)
    def fork_inside(key):
        both.wait(30)
        pid = fork()
        if pid:
            both.wait(30)  # until both have forked, both load
            await_child(pid)
            return key
        assert is_told(key) and c.get_or_load(1 - key, str) == str(1 - key)
        os._exit(0)
    for _ in range(20):
        threads = [begin(key, fork_inside) for key in (0, 1)]
        for thread in threads:
            thread.join()
        print(sorted(c), nothing_is_left())
        c.clear()
    """
    )
    assert child == (0, "[0, 1] True\n" * 20, "")


@needs_fork
def test_in_a_child_process_nobody_clears_a_dict_in_which_a_thread_stood(impl: ModuleType) -> None:
    """It may be locked for ever, and the collector locks what it clears."""
    child = in_child(
        FORKS.format(module=impl.__name__)
        + """
    import gc, weakref
    class Other:  # what another thread leads, or who waits
        thread = 0
    class Stop(Other):  # in a dict, it stops the thread that meets it there
        def __init__(self, number):
            self.number = number
        def __hash__(self):
            return hash(self.number)
        def __eq__(self, other):
            met.release()
            threading.Event().wait()
    class Wait(_loading._Wait):
        def __hash__(self):
            return 7
    met, flight, others = threading.Semaphore(0), _loading._Flight(c, "k"), []
    def put(table, number):
        other, stop = Other(), Stop(number)
        others.append(weakref.ref(other))
        table[other], table[stop] = other, stop
    def stand(last):
        for number in range(200):  # until CPython has specialized it
            c.get_or_load(number, str)
            wait = Wait(flight, None, str)
            wait.announce()
            wait.withdraw()
        last()
    def stand_among_leaders():
        put(_loading._process.leading, threading.get_ident())
        c.get_or_load("own", str)
    def stand_among_those_who_wait():
        put(_loading._process.waits, 7)
        Wait(flight, None, str).announce()
    for last in (stand_among_leaders, stand_among_those_who_wait):
        threading.Thread(target=stand, args=(last,), daemon=True).start()
        assert met.acquire(timeout=30)
    pid = fork()
    if not pid:
        gc.collect()
        assert all(other() is not None for other in others)
        os._exit(0)
    await_child(pid)
    os._exit(0)
    """
    )
    assert child == (0, "", "")


@needs_fork
@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="with a GIL no dict has a lock"
)
@pytest.mark.skipif(
    sys.version_info[:2] not in ((3, 14), (3, 15)), reason="where the lock lies is not known"
)
def test_a_child_loads_whatever_dict_its_parent_left_locked() -> None:
    """A thread of the parent's may have been handed the lock of one as the process forked."""
    child = in_child(
        FORKS.format(module="lockfree")
        + """
    import ctypes, gc
    from lockfree import AtomicRef, Cache, ConcurrentDict, cached_property
    class Owner:
        @cached_property
        def value(self):
            return "own"
    d = ConcurrentDict()
    def use():
        assert (c.get_or_load(7, str), d.get_or_load(7, str)) == ("7", "7")
        assert Owner().value == "own"
        c.clear(), d.clear()
    def lock(table):
        # Behind the number of its thread, and two bytes of flags.
        place = id(table) + ctypes.sizeof(ctypes.c_void_p) + 2
        mutex = ctypes.c_uint8.from_address(place)
        assert mutex.value == 0
        mutex.value = 1
    def dicts_in(thing):
        found = [thing] if type(thing) is dict else []
        if type(thing) in (AtomicRef, dict, list, tuple):
            found += [each for part in gc.get_referents(thing) for each in dicts_in(part)]
        return found
    def dicts_of(flight):
        pilot = flight._pilot and flight._pilot()
        return [flight._sleepers, pilot.passengers if pilot else flight._held]
    async def wait(key):
        await over.wait()
        return "task's"
    async def begin_tasks(*keys):
        tasks = [asyncio.create_task(c.async_get_or_load(key, wait)) for key in keys]
        await asyncio.sleep(0.01)
        return tasks
    async def end(task):
        over.set()
        return await task
    async def cancel(tasks):
        for task in tasks:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)
    use()
    tables = vars(Owner)["value"]._flights
    garbage = [Cache(10), ConcurrentDict()]
    for each in garbage:
        each["itself"] = each
        each.get_or_load(7, str)
    del each
    others = begin("theirs", slow)  # another thread leads it, and a task waits
    began.wait(30)
    loop, over = asyncio.new_event_loop(), asyncio.Event()
    keys = "ours", "ours", "ours", "theirs"
    first, second, *waiting = loop.run_until_complete(begin_tasks(*keys))
    flights = {flight._key: flight for flight in _loading._aloft(c)}
    assert flights["theirs"]._held
    def fork_inside(key):
        flights[key] = _loading._process.leading[threading.get_ident()]
        left = [dicts_in(gc.get_referents(mapping)) for mapping in (c, d, tables, *garbage)]
        left += map(dicts_of, flights.values())
        assert all(left) and len(left) == 8
        pid = fork()
        if not pid:
            for each in itertools.chain(*left):
                lock(each)
            left = each = None
            garbage.clear()
            gc.collect()
            use()
            ended = loop.run_until_complete(cancel(waiting))
            assert all(type(error) is asyncio.CancelledError for error in ended)
            ends.append(loop.run_until_complete(end(first)))
            threading.Thread(target=wait_in_a_task, args=(key,)).start()
            while not flights[key]._held:
                time.sleep(0.01)
            return "child"
        return "parent"
    def wait_in_a_task(key):
        ends.append(asyncio.run(c.async_get_or_load(key, wait)))
        over_there.set()
    ends, over_there = [], threading.Event()
    if c.get_or_load("thread's", fork_inside) == "child":
        assert over_there.wait(30)
        ends.append(loop.run_until_complete(second))
        assert ends == ["task's", "child", "task's"]
        os._exit(0)
    go_on.set()
    assert os.wait()[1] == 0
    os._exit(0)
    """
    )
    assert child == (0, "", "")


@needs_fork
def test_children_forked_in_traffic_load(impl: ModuleType) -> None:
    code = (
        FORKS.format(module=impl.__name__)
        + indent(FORKS_IN_TRAFFIC, "    ")
        + f"""
    # A locked cache may be forked while it is locked.
    inherited = c if {impl.__name__!r} == "lockfree" else {impl.__name__}.Cache(10)
    """
        + """
    def load(cache, number):
        assert cache.get_or_load(number % 30, lambda key: [key]) == [number % 30]
    numbers = [itertools.count() for _ in range(4)]
    def use(_number):
        for number in range(60):
            load(inherited, number)
        thread = threading.Thread(target=load, args=(inherited, 3))
        thread.start()
        thread.join()
        pid = fork()
        if pid:
            await_child(pid)
        load(inherited, 4)
    fork_in_traffic(40, lambda index: load(c, next(numbers[index])), use, fork)
    print(nothing_is_left())
    """
    )
    child = in_child(code)
    assert child == (0, "True\n", "")
