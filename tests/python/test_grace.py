"""Entries in their grace: served to loading calls while one of them loads anew.

No test waits for time to pass by chance: a time to live of a nanosecond is over when `put`
returns, a grace of a week lasts as long as the tests.
"""

# mypy: disable-error-code="untyped-decorator"
# A decorator taken from `impl` has no type.

from __future__ import annotations

import asyncio
import sys
import threading
from types import ModuleType
from typing import Any

import pytest
from support import hammer, repetitions, run, start, waiting

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

OVER = 1e-9
WEEK = 604_800


def stale_cache(impl: ModuleType, **options: Any) -> Any:
    """Return a cache with "k" in its grace."""
    c = impl.Cache(10, ttl=OVER, grace=WEEK, **options)
    c["k"] = "old"
    return c


def new(key: str) -> str:
    return f"new {key}"


def fail(_key: object) -> Any:
    raise ZeroDivisionError


# --- what it is ----------------------------------------------------------------


def test_loading_calls_alone_find_it(impl: ModuleType) -> None:
    c = stale_cache(impl)
    assert c.get("k") is None
    assert "k" not in c
    assert (len(c), list(c), dict(c.items()), c == {}) == (0, [], {}, True)
    with pytest.raises(KeyError):
        c["k"]
    assert c.expire() == 0
    assert (c.weight, c.stats().size, c.stats().expirations) == (1, 0, 0)
    assert c._stale("k", None) == "old"
    assert c._stale("other", None) is None
    c.put("fresh", 1, ttl=WEEK)
    assert c._stale("fresh", None) is None
    assert (len(c), list(c), c.stats().size) == (1, ["fresh"], 1)


def test_without_grace_nothing_is_served(impl: ModuleType) -> None:
    c = impl.Cache(10, ttl=OVER)
    c["k"] = "old"
    assert (c.grace, c._stale("k", None)) == (None, None)
    assert c.get_or_load("k", new) == "new k"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda c: c.pop("k", None), "loaded"),
        (lambda c: c.put("k", "put", ttl=WEEK), "put"),
        (lambda c: c.setdefault("k", "put"), "loaded"),
        (lambda c: c.clear(), "loaded"),
        (lambda c: [c.put(n, n, ttl=WEEK) for n in range(20)], "loaded"),
    ],
    ids=["pop", "put", "setdefault", "clear", "evicted"],
)
def test_it_ends_when_its_key_is_changed(impl: ModuleType, change: Any, found: str) -> None:
    told: list[Any] = []
    c = stale_cache(impl, on_evict=lambda *args: told.append(args))
    change(c)
    assert ("k", "old", "expired") in told or "k" not in c
    if found == "loaded":
        c.pop("k", None)
    assert c.get_or_load("k", lambda _key: "loaded") == found
    assert told.count(("k", "old", "expired")) <= 1


@pytest.mark.parametrize("change", ["pop", "put", "setdefault"])
def test_what_it_ends_by_is_told_once(impl: ModuleType, change: str) -> None:
    told: list[Any] = []
    c = stale_cache(impl, on_evict=lambda *args: told.append(args))
    getattr(c, change)("k", "other")
    assert told == [("k", "old", "expired")]
    assert c.stats().expirations == 1


def test_popitem_returns_none_of_it(impl: ModuleType) -> None:
    c = stale_cache(impl)
    with pytest.raises(KeyError):
        c.popitem()
    assert c._stale("k", None) is None


def test_it_ends_with_its_time(impl: ModuleType) -> None:
    told: list[Any] = []
    c = impl.Cache(10, ttl=OVER, grace=OVER, on_evict=lambda *args: told.append(args))
    c["k"] = "old"
    assert c.get_or_load("k", new) == "new k"
    assert told == [("k", "old", "expired")]
    assert c.expire() == 1
    assert (c.weight, c.stats().stale) == (0, 0)
    with pytest.raises(ZeroDivisionError):
        c.get_or_load("k", fail)


@pytest.mark.parametrize(
    ("grace", "error", "text"),
    [
        (0, ValueError, "grace must be positive or None, but is 0"),
        (float("nan"), ValueError, "grace must be positive or None, but is nan"),
        ("1", TypeError, "grace must be a number of seconds or None, not '1'"),
    ],
)
def test_wrong_grace(impl: ModuleType, grace: Any, error: Any, text: str) -> None:
    for make in (impl.Cache, impl.cached):
        with pytest.raises(error, match=f"^{text}$"):
            make(1, ttl=1, grace=grace)
    assert impl.Cache(1, grace=2).grace == 2.0


def test_wrong_use_with_cached(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match="pass grace= or cache=, not both"):
        impl.cached(cache=impl.Cache(1), grace=1)
    with pytest.raises(TypeError, match="pass ttl= as well"):
        impl.cached(grace=1)


# --- who loads -----------------------------------------------------------------


def test_one_thread_loads_and_the_others_do_not_wait(impl: ModuleType) -> None:
    c = stale_cache(impl)
    began, go_on = threading.Event(), threading.Event()

    def loader(_key: object) -> str:
        began.set()
        assert go_on.wait(30)
        return "new"

    leader = start(lambda: c.get_or_load("k", loader, ttl=WEEK))
    assert began.wait(30)
    for _ in range(3):
        assert c.get_or_load("k", pytest.fail) == "old"
        assert run(c.async_get_or_load("k", pytest.fail)) == "old"
    assert c.stats()[:7] == (0, 7, 0, 0, 1, 0, 6)
    go_on.set()
    assert leader.result(30) == "new"
    assert (c.get("k"), c._stale("k", None), c.stats().loads) == ("new", None, 1)


def test_the_first_task_does_not_wait_either(impl: ModuleType) -> None:
    c = stale_cache(impl)

    async def main() -> None:
        go_on = asyncio.Event()

        async def loader(_key: object) -> str:
            await go_on.wait()
            return "new"

        for _ in range(3):
            assert await c.async_get_or_load("k", loader, ttl=WEEK) == "old"
            await asyncio.sleep(0)
        assert await asyncio.wrap_future(start(lambda: c.get_or_load("k", pytest.fail))) == "old"
        assert c.stats()[4:7] == (1, 0, 4)
        go_on.set()
        while "k" not in c:
            await asyncio.sleep(0)
        assert await c.async_get_or_load("k", pytest.fail) == "new"

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks")
def test_what_an_eager_task_has_loaded_is_returned(impl: ModuleType) -> None:
    c = stale_cache(impl)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        heard: list[Any] = []
        loop.set_exception_handler(lambda _loop, context: heard.append(context))

        async def failing(_key: object) -> None:
            raise ZeroDivisionError

        async def loader(key: str) -> str:
            return new(key)

        assert await c.async_get_or_load("k", failing) == "old"
        assert [type(context["exception"]) for context in heard] == [ZeroDivisionError]
        assert await c.async_get_or_load("k", loader) == "new k"

    run(main())


def test_who_comes_after_its_end_waits_for_the_load(impl: ModuleType) -> None:
    c = stale_cache(impl)

    async def main() -> None:
        go_on = asyncio.Event()

        async def loader(_key: object) -> str:
            await go_on.wait()
            return "new"

        assert await c.async_get_or_load("k", loader) == "old"
        c.pop("k", None)
        task = asyncio.create_task(c.async_get_or_load("k", pytest.fail))
        await asyncio.sleep(0)
        assert c.stats().waits == 1
        # Nor does the load end when those who wait leave: it began without them.
        task.cancel()
        last = asyncio.create_task(c.async_get_or_load("k", pytest.fail))
        await asyncio.sleep(0)
        go_on.set()
        assert await last == "new"

    run(main())


def test_a_loader_that_asks_for_its_own_key_has_what_was(impl: ModuleType) -> None:
    c = stale_cache(impl)
    assert c.get_or_load("k", lambda key: c.get_or_load(key, pytest.fail) + "er") == "older"


def test_exactly_one_loads(impl: ModuleType) -> None:
    """However threads meet, of those who ask in a grace one loads at a time."""
    c = impl.Cache(10, ttl=OVER, grace=WEEK)
    c["k"] = "old"
    loading = [0]
    most: list[int] = []
    lock = threading.Lock()

    def loader(_key: object) -> str:
        with lock:
            loading[0] += 1
            most.append(loading[0])
        with lock:
            loading[0] -= 1
        return "new"

    calls = hammer(4, lambda _: c.get_or_load("k", loader), rounds=repetitions(impl, 2000))
    stats = c.stats()
    assert max(most) == 1
    assert stats.loads == len(most)
    # Between two loads of others it may come that there is neither.
    assert stats.stale + stats.loads + stats.waits >= calls == stats.misses


# --- loads that fail ------------------------------------------------------------


def test_a_failed_load_leaves_it(impl: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    c = stale_cache(impl)
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: unraisable.append(args.exc_type))
    for _ in range(2):
        assert c.get_or_load("k", fail) == "old"
    assert unraisable == [ZeroDivisionError] * 2
    assert c.stats()[4:7] == (2, 0, 2)
    c.pop("k", None)
    with pytest.raises(ZeroDivisionError):
        c.get_or_load("k", fail)
    assert len(unraisable) == 2


def test_a_failed_load_of_a_task_is_told_to_its_loop(impl: ModuleType) -> None:
    c = stale_cache(impl)

    async def main() -> None:
        told = asyncio.Event()
        contexts: list[Any] = []

        def handler(_loop: object, context: Any) -> None:
            contexts.append(context)
            told.set()

        asyncio.get_running_loop().set_exception_handler(handler)

        async def loader(key: object) -> None:
            fail(key)

        assert await c.async_get_or_load("k", loader) == "old"
        await told.wait()
        assert type(contexts[0]["exception"]) is ZeroDivisionError
        assert c._stale("k", None) == "old"

    run(main())


def test_a_grace_that_ends_during_a_failing_load(impl: ModuleType) -> None:
    c = stale_cache(impl)

    def loader(key: str) -> None:
        c.pop(key, None)
        fail(key)

    with pytest.raises(ZeroDivisionError):
        c.get_or_load("k", loader)


def test_an_interruption_is_no_failed_load(impl: ModuleType) -> None:
    c = stale_cache(impl)

    def loader(_key: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        c.get_or_load("k", loader)
    assert c._stale("k", None) == "old"


def test_what_was_written_meanwhile_stays(impl: ModuleType) -> None:
    c = stale_cache(impl)

    def loader(key: str) -> str:
        c.put(key, "put", ttl=WEEK)
        return "new"

    assert c.get_or_load("k", loader) == "new"
    assert c["k"] == "put"


# --- cached functions, and who waits ---------------------------------------------


def test_cached_functions(impl: ModuleType) -> None:
    calls: list[int] = []

    @impl.cached(ttl=OVER, grace=WEEK)
    def f(n: int) -> int:
        calls.append(n)
        if len(calls) == 2:
            assert f(n) == 1
        return len(calls)

    assert [f(7), f(7)] == [1, 2]
    assert f.cache_info()[:2] == (1, 2)
    f.cache_invalidate(7)
    assert not f.cache_contains(7)

    @impl.cached(ttl=OVER, grace=WEEK)
    async def g(_n: int) -> int:
        calls.append(0)
        return len(calls)

    async def main() -> list[int]:
        first = await g(1)
        again = await g(1)
        while len(calls) < 4:
            await asyncio.sleep(0)
        return [first, again]

    assert run(main()) == [3, 3]


def test_who_waits_is_counted(impl: ModuleType) -> None:
    c = impl.Cache(10)
    began, go_on = threading.Event(), threading.Event()

    def loader(key: str) -> str:
        began.set()
        assert go_on.wait(30)
        return key

    leader = start(lambda: c.get_or_load("k", loader))
    assert began.wait(30)
    others = waiting(*[lambda: c.get_or_load("k", pytest.fail)] * 2)
    task = start(lambda: run(c.async_get_or_load("k", pytest.fail)))
    while c.stats().waits < 3:
        pass
    go_on.set()
    assert [future.result(30) for future in (leader, *others, task)] == ["k"] * 4
    assert c.stats()[:7] == (0, 4, 0, 0, 1, 3, 0)


@pytest.mark.parametrize(
    ("ttl", "error"), [(0, ValueError), ("1", TypeError), (float("nan"), ValueError)]
)
def test_a_wrong_ttl_is_told_before_the_loader_runs(
    impl: ModuleType, ttl: Any, error: type[Exception]
) -> None:
    c = impl.Cache(10)
    with pytest.raises(error, match=r"^ttl must be"):
        c.get_or_load("k", pytest.fail, ttl=ttl)
    with pytest.raises(error, match=r"^ttl must be"):
        run(c.async_get_or_load("k", pytest.fail, ttl=ttl))
    assert c.get_or_load("k", new, ttl=None) == c["k"] == "new k"
