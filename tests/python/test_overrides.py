"""What a subclass overrides, the other methods go by, as in the standard library."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from lockfree import Empty, Full, ShutDown


def unique(base: type) -> Any:
    """Return a queue that takes each item once, by a mixin."""

    class OnlyOnce:
        seen: frozenset[object] = frozenset()

        def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
            if item not in self.seen:
                super().put(item, block, timeout)  # type: ignore[misc]
                self.seen |= {item}

    return type("Unique", (OnlyOnce, base), {})


def doubling(base: type) -> Any:
    """Return a queue whose items come out twice as large."""

    class Doubling(base):  # type: ignore[misc]
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            return 2 * super().get(block, timeout)

    return Doubling


KINDS = ["Queue", "LifoQueue", "PriorityQueue"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_puts_goes_by_an_overridden_put(impl: ModuleType, kind: str) -> None:
    q = unique(getattr(impl, kind))(9)
    q.put(1)
    q.put_nowait(1)
    assert q.put_many(iter([1, 2, 2])) == 3
    asyncio.run(q.async_put(2))
    asyncio.run(q.async_q.put(2))
    q.async_q.put_nowait(1)
    assert sorted(q.drain()) == [1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_what_gets_goes_by_an_overridden_get(impl: ModuleType, kind: str) -> None:
    async def take() -> list[int]:
        taken = [await q.async_get(), *await q.async_get_many(1), await q.async_q.get()]
        taken.append(q.async_q.get_nowait())
        q.shutdown()
        return [*taken, *[item async for item in q]]

    q = doubling(getattr(impl, kind))()
    q.put_many([1] * 12)
    assert (q.get(), q.get_nowait(), q.get_many(2)) == (2, 2, [2, 2])
    assert next(iter(q)) == 2
    assert asyncio.run(take()) == [2] * 7
    assert list(q) == q.drain() == []


def test_batches_end_as_without_an_override(impl: ModuleType) -> None:
    q = doubling(unique(impl.Queue))(2)
    assert (q.drain(), q.get_many(0)) == ([], [])
    with pytest.raises(Empty):
        q.get_many(3, timeout=0)
    with pytest.raises(ValueError, match="n must not be negative, but is -1"):
        q.get_many(-1)
    assert q.put_many("abc", timeout=0) == 2
    with pytest.raises(Full):
        q.put_many("d", timeout=0)
    assert q.get_many(9) == ["aa", "bb"]
    q.put_many("ef")
    q.shutdown()
    with pytest.raises(ShutDown):
        q.put_many("g")
    assert q.drain() == ["ee", "ff"]


def test_a_coroutine_calls_put_once_there_is_room(impl: ModuleType) -> None:
    class Counting(impl.Queue):  # type: ignore[name-defined, misc]
        calls = 0

        def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
            self.calls += 1
            super().put(item, block, timeout)

    async def main() -> None:
        q = Counting(1)
        q.put("a")
        putting = asyncio.create_task(q.async_put("b"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert (q.calls, putting.done()) == (1, False)
        assert q.get() == "a"
        await putting
        assert (q.calls, q.get()) == (2, "b")
        getting = asyncio.create_task(q.async_get())
        await asyncio.sleep(0)
        q.put("c")
        assert await getting == "c"
        waiting = asyncio.create_task(q.async_put("d"))
        q.put("e")
        await asyncio.sleep(0)
        q.shutdown()
        with pytest.raises(ShutDown):
            await waiting

    asyncio.run(main())


def test_force_put_cannot_go_by_them_and_says_so(impl: ModuleType) -> None:
    for kind in (unique, doubling):
        text = "force_put.. does in one step what calls neither: override it as well"
        with pytest.raises(TypeError, match=text):
            kind(impl.Queue)().force_put(1)

    class Own(impl.Queue):  # type: ignore[name-defined, misc]
        def put(self, *_args: object, **_kwargs: object) -> None:
            raise AssertionError

        def force_put(self, item: Any, /, *, default: Any = None) -> Any:
            return super().force_put(item, default=default)

    q = Own(1)
    assert (q.force_put(1), q.force_put(2)) == (None, 1)
    with pytest.raises(AttributeError, match="here nothing is the oldest"):
        unique(impl.LifoQueue)().force_put  # noqa: B018


def test_an_override_is_not_hidden_by_what_goes_by_another(impl: ModuleType) -> None:
    class Puts(impl.Queue):  # type: ignore[name-defined, misc]
        def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
            super().put(("put", item), block, timeout)

    class PutsNowait(impl.Queue):  # type: ignore[name-defined, misc]
        def put_nowait(self, item: object) -> None:
            super().put(("put_nowait", item))

    class Both(Puts, PutsNowait):
        pass

    class Unrelated:
        def put_nowait(self, item: object) -> None:
            self.put(("mixin", item))  # type: ignore[attr-defined]

    class Mixed(Unrelated, Puts):
        pass

    q = Both()
    q.put_nowait(1)
    assert q.get() == ("put_nowait", 1)
    asyncio.run(q.async_put(2))
    assert q.get() == ("put_nowait", 2)
    q = Mixed()
    q.put_nowait(1)
    assert q.get() == ("put", ("mixin", 1))


def test_who_overrides_nothing_of_that_has_the_engines_methods(impl: ModuleType) -> None:
    class Named(impl.Queue):  # type: ignore[name-defined, misc]
        name = "named"

        def qsize(self) -> int:
            raise AssertionError

    class Bounded(impl.Cache):  # type: ignore[name-defined, misc]
        def clear(self) -> None:
            raise AssertionError

    for cls, base in ((Named, impl.Queue), (Bounded, impl.Cache)):
        added = [name for name in vars(cls) if callable(getattr(cls, name)) and name in vars(base)]
        assert {name for name in added if not name.startswith("__")} <= {"qsize", "clear"}
    assert "__getitem__" not in vars(Bounded)
    assert "__iter__" not in vars(Named)


@pytest.mark.parametrize("hook", ["_init", "_put", "_get", "_qsize"])
def test_a_mixin_with_a_hook_is_refused(impl: ModuleType, hook: str) -> None:
    mixin = type("Mixin", (), {hook: None})
    for name in ("Queue", "LifoQueue", "PriorityQueue", "AsyncQueue"):
        cls = getattr(impl, name)
        base = "AsyncQueue" if name == "AsyncQueue" else "Queue"
        text = (
            f"'Q' overrides {hook}(), which {base} does not call: it has no lock to call it under"
        )
        with pytest.raises(TypeError) as caught:
            type("Q", (mixin, cls), {})
        assert str(caught.value) == text
        type("Q", (cls, mixin), {})  # of the standard queue, too, the hook would not be called


# --- AsyncQueue, beside asyncio's -----------------------------------------------


def halves(base: Any) -> Any:
    """Return a queue of coroutines whose methods without waiting are overridden."""

    class Halves(base):  # type: ignore[misc]
        def put_nowait(self, item: int) -> None:
            super().put_nowait(item * 10)

        def get_nowait(self) -> int:
            return super().get_nowait() // 2  # type: ignore[no-any-return]

    return Halves


async def run_halves(q: Any) -> list[int]:
    await q.put(1)
    putting = asyncio.create_task(q.put(2))
    await asyncio.sleep(0)
    first = await q.get()
    await putting
    second = await q.get()
    getting = asyncio.create_task(q.get())
    await asyncio.sleep(0)
    q.put_nowait(3)
    return [first, second, await getting]


def test_async_queue_waits_and_then_calls_what_does_not_wait(impl: ModuleType) -> None:
    expected = asyncio.run(run_halves(halves(asyncio.Queue)(1)))
    assert asyncio.run(run_halves(halves(impl.AsyncQueue)(1))) == expected == [5, 10, 15]


def test_iterating_an_async_queue_goes_by_its_get(impl: ModuleType) -> None:
    class Gets(impl.AsyncQueue):  # type: ignore[name-defined, misc]
        async def get(self) -> tuple[Any]:
            return (await super().get(),)

    async def main(q: Any) -> list[Any]:
        q.put_nowait(2)
        q.shutdown()
        return [item async for item in q]

    assert asyncio.run(main(Gets())) == [(2,)]
    assert asyncio.run(main(halves(impl.AsyncQueue)())) == [10]


def test_async_queue_tells_what_is_unfinished(impl: ModuleType) -> None:
    q = impl.AsyncQueue()
    q.put_nowait(1)
    q.sync_q.put(2)
    assert q.unfinished_tasks == q.sync_q.unfinished_tasks == 2
    q.get_nowait()
    q.task_done()
    assert q.unfinished_tasks == 1


# --- caches ---------------------------------------------------------------------


def test_a_cache_asks_missing_as_a_dict_does(impl: ModuleType) -> None:
    def squares(base: Any) -> Any:
        class Squares(base):  # type: ignore[misc]
            def __missing__(self, key: int) -> int:
                self[key] = value = key * key
                return value

        return Squares

    for c in (squares(dict)(), squares(impl.ConcurrentDict)(), squares(impl.Cache)(9)):
        assert (c.get(3), c.pop(3, None), c.setdefault(2, 0)) == (None, None, 0)
        assert (c[3], c[2], c.get(3), 4 in c, len(c)) == (9, 0, 9, False, 2)
    assert c.stats()[:2] == (2, 3)  # as before: `pop` is no look-up

    class Refusing(impl.Cache):  # type: ignore[name-defined, misc]
        def __missing__(self, key: object) -> object:
            raise KeyError("refused", key)

    with pytest.raises(KeyError, match="'refused', 1"):
        Refusing(1)[1]


@pytest.mark.parametrize(("name", "arguments"), [("Cache", (9,)), ("ConcurrentDict", ())])
def test_a_mapping_goes_by_what_is_overridden_as_a_mutable_mapping(
    impl: ModuleType, name: str, arguments: tuple[int, ...]
) -> None:
    class Boxes(getattr(impl, name)):  # type: ignore[misc]
        deleted: tuple[object, ...] = ()

        def __getitem__(self, key: object) -> Any:
            return super().__getitem__(key)[0]

        def __setitem__(self, key: object, value: object) -> None:
            super().__setitem__(key, [value])

        def __delitem__(self, key: object) -> None:
            super().__delitem__(key)
            self.deleted += (key,)

    c = Boxes(*arguments)
    c.update({"a": 1}, b=2)
    assert (c.setdefault("c", 3), c.setdefault("a", 4)) == (3, 1)
    assert (c.get("b"), c.get("x"), c.get("x", 5)) == (2, None, 5)
    assert (c.pop("a"), c.pop("a", None), c.deleted) == (1, None, ("a",))
    with pytest.raises(KeyError) as caught:
        c.pop("a")
    assert caught.value.args == ("a",)
    assert dict(c.items()) == {"b": [2], "c": [3]}
    assert c.get_or_load("b", str) == 2
    if name == "Cache":
        assert impl.cached(cache=c, key=lambda key: key)(str)("b") == 2


def test_assigning_goes_by_an_overridden_put(impl: ModuleType) -> None:
    class Written(impl.Cache):  # type: ignore[name-defined, misc]
        log: tuple[object, ...] = ()

        def put(self, key: object, value: object, /, *, ttl: float | None = None) -> None:
            self.log += (key,)
            super().put(key, value, ttl=ttl)

        def pop(self, *_args: object) -> Any:
            raise AssertionError

        def get(self, *_args: object) -> Any:
            raise AssertionError

    c = Written(9)
    c["a"] = 1
    c.update(b=2)
    assert (c["a"], c.log) == (1, ("a", "b"))
    del c["a"]
    assert list(c) == ["b"]


def test_the_standard_queue_does_the_same(impl: ModuleType) -> None:
    uses: list[Callable[[Any], object]] = [
        lambda q: q.put(1),
        lambda q: q.put_nowait(1),
        lambda q: q.put_nowait(2),
        lambda q: q.get_nowait(),
        lambda q: q.get(block=False),
    ]
    ours, theirs = doubling(unique(impl.Queue))(), doubling(unique(queue.Queue))()
    assert [use(ours) for use in uses] == [use(theirs) for use in uses]


@pytest.mark.parametrize("name", ["Queue", "LifoQueue", "PriorityQueue"])
def test_who_shows_what_he_does_not_give_keeps_no_event_loop(impl: ModuleType, name: str) -> None:
    class Closed(getattr(impl, name)):  # type: ignore[misc]
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            try:
                return super().get(block, timeout)
            except ShutDown:
                raise Empty from None

    async def main() -> None:
        q = Closed()
        q.shutdown()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(q.async_get(), 0.01)

    asyncio.run(main())
