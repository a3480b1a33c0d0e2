"""Loads for servers: time limits, shields, times to live of what is loaded."""

# mypy: disable-error-code="untyped-decorator"
# A decorator taken from `impl` has no type.

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from types import ModuleType
from typing import Any

import lockfree
import pytest
from support import run, start, waiting

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

TICK = 0.03


def test_a_load_goes_on_as_long_as_anybody_waits(impl: ModuleType) -> None:
    """Forty requests, each given up before the load is over, but for the last ones."""
    c = impl.Cache(10)

    async def main() -> Any:
        over = asyncio.Event()

        async def loader(_key: object) -> str:
            await over.wait()
            return "loaded"

        async def request() -> Any:
            return await c.async_get_or_load("k", loader)

        tasks: list[asyncio.Task[Any]] = []
        for number in range(40):
            tasks.append(asyncio.create_task(request()))
            await asyncio.sleep(0)
            if number % 2:
                tasks[-2].cancel()
                await asyncio.sleep(0)
        over.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = run(main())
    assert results.count("loaded") == 20
    assert c.stats().loads == 1


def test_a_load_ends_when_the_last_one_leaves(impl: ModuleType) -> None:
    c = impl.Cache(10)
    ended = []

    async def main() -> None:
        async def loader(_key: object) -> None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        tasks = [asyncio.create_task(c.async_get_or_load("k", loader)) for _ in range(3)]
        await asyncio.sleep(TICK / 3)
        for task in tasks:
            assert not ended
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert ended == ["cancelled"]

        async def other(key: str) -> str:
            return key

        assert await c.async_get_or_load("k", other) == "k"

    run(main())


def test_a_thread_that_waits_keeps_a_load_going(impl: ModuleType) -> None:
    c = impl.Cache(10)

    async def main() -> None:
        over = asyncio.Event()

        async def loader(key: str) -> str:
            await over.wait()
            return key

        task = asyncio.create_task(c.async_get_or_load("k", loader))
        await asyncio.sleep(0)
        waiter = start(lambda: c.get_or_load("k", pytest.fail))
        await asyncio.sleep(TICK)
        task.cancel()
        await asyncio.sleep(0)
        over.set()
        assert await asyncio.wrap_future(waiter) == "k"

    run(main())


def test_who_waits_may_have_a_time_limit(impl: ModuleType) -> None:
    c = impl.Cache(10)
    go_on, began = threading.Event(), threading.Event()

    def loader(key: str) -> str:
        began.set()
        go_on.wait(30)
        return key

    leader = start(lambda: c.get_or_load("k", loader, timeout=0))
    assert began.wait(30)
    text = r"^the load of 'k' takes longer than that$"
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError, match=text):
            c.get_or_load("k", pytest.fail, timeout=timeout)
        with pytest.raises(TimeoutError, match=text):
            run(c.async_get_or_load("k", pytest.fail, timeout=timeout))
    [patient] = waiting(lambda: c.get_or_load("k", pytest.fail, timeout=1e9))
    go_on.set()
    assert leader.result(30) == patient.result(30) == "k"


def test_who_asks_first_may_have_a_time_limit_in_a_task(impl: ModuleType) -> None:
    c = impl.Cache(10)

    async def loader(key: str) -> str:
        await asyncio.sleep(TICK)
        return key

    async def main() -> Any:
        impatient = c.async_get_or_load("k", loader, timeout=TICK / 10)
        patient = c.async_get_or_load("k", loader)
        return await asyncio.gather(impatient, patient, return_exceptions=True)

    first, second = run(main())
    assert isinstance(first, TimeoutError)
    assert (second, c.stats().loads) == ("k", 1)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_wrong_time_limit_is_refused(impl: ModuleType, timeout: float) -> None:
    c = impl.Cache(10)
    with pytest.raises(ValueError, match=r"^'timeout' must be a non-negative number, not"):
        c.get_or_load("k", str, timeout=timeout)
    with pytest.raises(ValueError, match=r"^'timeout' must be a non-negative number, not"):
        run(c.async_get_or_load("k", str, timeout=timeout))


def test_what_is_loaded_may_have_a_time_to_live(impl: ModuleType) -> None:
    c = impl.Cache(10, ttl=1000)

    async def loader(key: str) -> str:
        return key

    c.get_or_load("short", str, ttl=0.001)
    run(c.async_get_or_load("shorter", loader, ttl=0.001))
    c.get_or_load("endless", str, ttl=None)
    c.get_or_load("usual", str)
    time.sleep(0.002)
    assert sorted(c) == ["endless", "usual"]
    with pytest.raises(ValueError, match=r"^ttl must be positive or None, but is 0$"):
        c.get_or_load("k", str, ttl=0)


def test_a_shielded_load_needs_nobody(impl: ModuleType) -> None:
    told: list[Any] = []

    @impl.cached(shield=True)
    async def f(n: int) -> int:
        await asyncio.sleep(TICK / 3)
        return 6 // n

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, what: told.append(what))
        for n in (0, 1):
            task = asyncio.create_task(f(n))
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(TICK)
        assert (f.cache_contains(1), f.cache_contains(0)) == (True, False)

    run(main())
    [what] = told
    assert isinstance(what["exception"], ZeroDivisionError)
    assert what["message"] == "nobody waited any more for the load of 0, which failed"


def test_a_shielded_failure_that_is_heard_is_not_reported(impl: ModuleType) -> None:
    told: list[Any] = []
    c = impl.Cache(10)

    async def loader(_key: object) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, what: told.append(what))
        with pytest.raises(ZeroDivisionError):
            await c.async_get_or_load("k", loader, shield=True)

    run(main())
    assert not told


def test_a_loader_runs_in_the_context_of_the_first_to_ask(impl: ModuleType) -> None:
    c = impl.Cache(10)
    who = contextvars.ContextVar("who", default="nobody")

    async def loader(_key: object) -> str:
        await asyncio.sleep(0)
        return who.get()

    async def ask(name: str) -> Any:
        who.set(name)
        return await c.async_get_or_load("k", loader)

    async def main() -> Any:
        return await asyncio.gather(ask("first"), ask("second"))

    assert run(main()) == ["first", "first"]


async def limited(coroutine: Any) -> Any:
    async with asyncio.timeout(TICK / 10):
        return await coroutine


async def grouped(*coroutines: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for coroutine in coroutines:
            group.create_task(coroutine)


def test_eager_tasks_timeouts_and_groups(impl: ModuleType) -> None:
    eager = getattr(asyncio, "eager_task_factory", None)
    for factory in (None, eager):
        c = impl.Cache(10)

        async def quick(key: str) -> str:
            return key

        async def slow(key: str) -> str:
            await asyncio.sleep(TICK)
            return key

        async def fail(_key: object) -> None:
            raise ZeroDivisionError

        async def main(c: Any = c, factory: Any = factory, slow: Any = slow) -> None:
            asyncio.get_running_loop().set_task_factory(factory)
            assert await c.async_get_or_load("quick", quick) == "quick"
            with pytest.raises(ZeroDivisionError):
                await c.async_get_or_load("fail", fail)
            with pytest.raises(TimeoutError):
                await limited(c.async_get_or_load("slow", slow))
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(c.async_get_or_load("slow", slow)) for _ in range(3)]
            assert [task.result() for task in tasks] == ["slow"] * 3
            with pytest.raises(ExceptionGroup):
                await grouped(c.async_get_or_load("later", slow), c.async_get_or_load("fail", fail))

        run(main())
        assert "later" not in c


# --- functions -----------------------------------------------------------------


def test_functions_of_one_cache_do_not_answer_for_each_other(impl: ModuleType) -> None:
    c = impl.Cache(10)
    double, triple = (impl.cached(cache=c)(f) for f in (lambda n: 2 * n, lambda n: 3 * n))
    assert (double(3), triple(3), double(3), len(c)) == (6, 9, 6, 2)
    assert double.cache_invalidate(3)
    assert (double.cache_contains(3), triple.cache_contains(3)) == (False, True)


def test_a_key_of_ones_own(impl: ModuleType) -> None:
    c = impl.Cache(10)

    @impl.cached(cache=c, key=lambda n, **_kwargs: ("f", n % 10))
    def f(n: int, **_kwargs: int) -> int:
        return n

    @impl.cached(key=lambda n: n % 10)
    async def g(n: int) -> int:
        return n

    assert (f(13, a=5), f(3), c["f", 3]) == (13, 13, 13)
    assert (run(g(13)), run(g(3))) == (13, 13)
    assert f.cache_invalidate(23)
    assert not f.cache_invalidate(3)
    with pytest.raises(TypeError, match=r"^key must be callable or None, not 5$"):
        impl.cached(key=5)


def test_invalidation(impl: ModuleType) -> None:
    @impl.cached
    def f(n: int, factor: int = 1) -> int:
        return n * factor

    class Thing:
        @impl.cached
        def m(self, n: int) -> int:
            return n

    f(1), f(1, factor=2)
    assert f.cache_contains(1, factor=2)
    assert f.cache_invalidate(1, factor=2)
    assert not f.cache_invalidate(1, factor=2)
    assert (f.cache_contains(1), f.cache_contains(2)) == (True, False)
    thing = Thing()
    thing.m(5)
    assert Thing.m.cache_invalidate(thing, 5)
    nothing = impl.cached(0)(f)
    nothing(1)
    assert not nothing.cache_contains(1)
    assert not nothing.cache_invalidate(1)


def test_a_cache_has_its_own_size(impl: ModuleType) -> None:
    for maxsize in (5, 128, None):
        with pytest.raises(TypeError, match=r"^a cache has its own maxsize: pass maxsize= or "):
            impl.cached(maxsize, cache=impl.Cache(5))


class Typed:
    """What mypy sees of a decorated method."""

    @lockfree.cached
    def m(self, n: int) -> str:
        return str(n)


def test_a_decorated_method_keeps_its_signature() -> None:
    text: str = Typed().m(5)
    assert text == "5"
    assert Typed.m.cache_info() == Typed().m.cache_info()
    with pytest.raises(AttributeError):
        Typed().m.no_such_name  # type: ignore[attr-defined]  # noqa: B018
