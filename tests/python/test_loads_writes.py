"""A load belongs to its key, not to who began it: what is written, removed or lost meanwhile."""

# mypy: disable-error-code="untyped-decorator"
# A decorator taken from `impl` has no type.

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import traceback
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

import pytest
from support import repetitions, run, run_threads, start, waiting

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

TICK = 0.03  # long enough for another thread to begin to wait

Change = Callable[[Any], object]


# --- a load never overwrites what was put after it began -----------------------


def fails_with_key_error(remove: Callable[[object], object]) -> None:
    with pytest.raises(KeyError):
        remove("k")


WRITES: dict[str, Change] = {
    "c[k] = v": lambda c: c.__setitem__("k", "put"),
    "put": lambda c: c.put("k", "put"),
    "update": lambda c: c.update(k="put"),
    "setdefault": lambda c: c.setdefault("k", "put"),
}
REMOVALS: dict[str, Change] = {
    "pop": lambda c: c.pop("k", None),
    "pop, which fails": lambda c: fails_with_key_error(c.pop),
    "del c[k]": lambda c: fails_with_key_error(c.__delitem__),
    "clear": lambda c: c.clear(),
    "put, pop": lambda c: (c.put("k", "put"), c.pop("k")),
    "put, popitem": lambda c: (c.put("k", "put"), c.popitem()),
    "put, clear": lambda c: (c.put("k", "put"), c.clear()),
    "put, expired": lambda c: (c.put("k", "put", ttl=1e-9), c.expire()),
    "put, evicted": lambda c: (c.put("k", "put"), [c.put(n, n) for n in range(200)]),
}
CHANGES = WRITES | REMOVALS


def loaded_meanwhile(c: Any, change: Change) -> list[object]:
    """Change a cache while a thread loads "k", and others wait for it; return what they got."""
    began, changed = threading.Barrier(2), threading.Barrier(2)

    def loader(_key: object) -> str:
        began.wait(30)
        changed.wait(30)
        return "loaded"

    leader = start(lambda: c.get_or_load("k", loader))
    began.wait(30)
    waiters = waiting(*[lambda: c.get_or_load("k", pytest.fail)] * 2)
    change(c)
    changed.wait(30)
    return [future.result(30) for future in (leader, *waiters)]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_load_keeps_nothing_once_its_key_has_changed(impl: ModuleType, change: Change) -> None:
    c = impl.Cache(100)
    assert loaded_meanwhile(c, change) == ["loaded"] * 3
    assert c.get("k") == ("put" if change in WRITES.values() else None)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_so_does_that_of_a_coroutine(impl: ModuleType, change: Change) -> None:
    c = impl.Cache(100)

    async def main() -> Any:
        async def loader(_key: object) -> str:
            change(c)
            await asyncio.sleep(0)
            return "loaded"

        return await asyncio.gather(*(c.async_get_or_load("k", loader) for _ in range(3)))

    assert run(main()) == ["loaded"] * 3
    assert c.get("k") == ("put" if change in WRITES.values() else None)


class Watched:
    """A key in whose comparisons loads of it begin, as `_loading` begins one."""

    def __init__(self, number: int, begin: Callable[[Watched], object] = id) -> None:
        self.number, self._begin = number, begin

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Watched)
        for each in (self, other):
            begin, each._begin = each._begin, id  # not again as it looks the key up
            begin(each)
            each._begin = begin
        return self.number == other.number


@pytest.mark.parametrize("write", ["__setitem__", "setdefault"])
@pytest.mark.parametrize("name", ["Cache", "ConcurrentDict"])
def test_so_does_one_that_begins_as_its_key_is_written(
    impl: ModuleType, name: str, write: str
) -> None:
    c = impl.Cache(100) if name == "Cache" else impl.ConcurrentDict()
    c[Watched(1)] = "another"
    tickets = []

    def begin(key: Watched) -> None:
        ticket = c._ticket(key)
        if c._peek(key, None) is None:
            tickets.append(ticket)

    key = Watched(2, begin)
    getattr(c, write)(key, "put")
    assert tickets
    for ticket in tickets:
        c._keep(ticket, Watched(2), "loaded")
    assert c[Watched(2)] == "put"
    while c:
        c.popitem()
    for ticket in tickets:
        c._keep(ticket, Watched(2), "loaded")
    assert not c


OF_A_DICTIONARY = {name: change for name, change in CHANGES.items() if "put" not in name}


@pytest.mark.parametrize("change", OF_A_DICTIONARY.values(), ids=OF_A_DICTIONARY)
def test_so_does_that_of_a_dictionary(impl: ModuleType, change: Change) -> None:
    d = impl.ConcurrentDict()
    assert loaded_meanwhile(d, change) == ["loaded"] * 3
    assert d.get("k") == ("put" if change in WRITES.values() else None)


@pytest.mark.parametrize("maxsize", [10, 100_000], ids=["undivided", "divided"])
def test_other_keys_may_change(impl: ModuleType, maxsize: int) -> None:
    c = impl.Cache(maxsize)
    c["other"] = 1

    def change(c: Any) -> None:
        c["another"] = c.pop("other")
        c.get("k"), "k" in c, list(c), len(c), c.stats()

    assert loaded_meanwhile(c, change) == ["loaded"] * 3
    assert c["k"] == "loaded"


def test_a_later_load_is_kept(impl: ModuleType) -> None:
    c = impl.Cache(10)
    loaded_meanwhile(c, lambda c: c.clear())
    assert (c.get_or_load("k", str), c["k"]) == ("k", "k")
    if tickets := getattr(c, "_tickets", None):  # of the twin
        assert not tickets.listed


def test_clearing_a_cached_function_clears_what_it_is_computing(impl: ModuleType) -> None:
    @impl.cached
    def f(n: int) -> int:
        f.cache_clear()
        return n

    @impl.cached
    async def g(n: int) -> int:
        g.cache_clear()
        return n

    assert (f(1), run(g(1))) == (1, 1)
    assert (f.cache_info().currsize, g.cache_info().currsize) == (0, 0)


def test_what_is_put_meanwhile_is_a_hit(impl: ModuleType) -> None:
    c = impl.Cache(10)

    def change(c: Any) -> None:
        c["k"] = "put"
        assert c.get_or_load("k", pytest.fail) == "put"

    assert loaded_meanwhile(c, change) == ["loaded"] * 3


def test_what_is_too_heavy_ends_a_load_as_well(impl: ModuleType) -> None:
    told: list[object] = []
    c = impl.Cache(
        10,
        weigher=lambda _key, value: 99 if value == "heavy" else 1,
        on_evict=lambda *args: told.append(args),
    )
    loaded_meanwhile(c, lambda c: c.put("k", "heavy"))
    assert "k" not in c
    assert told == [("k", "heavy", "size")]
    c.get_or_load("k", lambda _key: "heavy")
    assert told == [("k", "heavy", "size")] * 2


def test_after_a_removal_no_look_finds_an_older_value(impl: ModuleType) -> None:
    c = impl.Cache(100)
    source = [0]

    def write() -> None:
        for version in range(1, repetitions(impl, 5000)):
            source[0] = version
            c.pop("k", None)
            assert c.get("k", version) >= version
        source[0] = -1

    def read() -> None:
        while source[0] >= 0:
            c.get_or_load("k", lambda _key: source[0])

    run_threads(3, lambda index: read() if index else write())


# --- a load whose event loop is gone -------------------------------------------


async def never(_key: object) -> object:
    await asyncio.get_running_loop().create_future()
    return None


def abandoned(c: Any) -> asyncio.AbstractEventLoop:
    """Begin to load "k" in an event loop that is closed then, its tasks pending."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # of tasks that are destroyed pending
    kept = []

    async def never(_key: object) -> object:
        kept.append(asyncio.get_running_loop().create_future())
        await kept[0]
        return None

    async def main() -> None:
        kept.append(asyncio.ensure_future(c.async_get_or_load("k", never)))
        await asyncio.sleep(TICK / 3)

    loop.run_until_complete(main())
    loop.close()
    return loop


@pytest.mark.parametrize("is_alone", [False, True], ids=["who asked waits", "nobody waits"])
def test_loads_that_wait_for_one_another_outlive_a_collection(
    impl: ModuleType, is_alone: bool
) -> None:
    c, reported = impl.Cache(10), []

    async def main() -> object:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        began, go_on = asyncio.Event(), asyncio.Event()
        calls = []

        async def inner(key: str) -> str:
            calls.append(key)
            began.set()
            await go_on.wait()
            return key

        async def outer(key: str) -> str:
            calls.append(key)
            return f"{key}{await c.async_get_or_load('b', inner)}"

        first = asyncio.ensure_future(c.async_get_or_load("a", outer, shield=True))
        await began.wait()
        if is_alone:
            first.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
            gc.collect()
        go_on.set()
        with suppress(asyncio.CancelledError):
            await first
        assert await c.async_get_or_load("a", outer) == "ab"
        return calls

    assert (run(main()), reported) == (["a", "b"], [])


def test_a_load_that_waits_for_a_threads_outlives_a_collection(impl: ModuleType) -> None:
    c, began, go_on, calls = impl.Cache(10), threading.Event(), threading.Event(), []

    def inner(key: str) -> str:
        calls.append(key)
        began.set()
        assert go_on.wait(30)
        return key

    async def outer(key: str) -> str:
        calls.append(key)
        return f"{key}{await c.async_get_or_load('b', pytest.fail)}"

    async def main() -> object:
        first = asyncio.ensure_future(c.async_get_or_load("a", outer))
        while "a" not in calls:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()
        go_on.set()
        return await first

    thread = start(lambda: c.get_or_load("b", inner))
    assert began.wait(30)
    assert (run(main()), thread.result(30), calls) == ("ab", "b", ["b", "a"])


def test_a_loader_that_goes_on_when_nobody_waits_is_no_error(impl: ModuleType) -> None:
    c, reported = impl.Cache(10), []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        began, ended = asyncio.Event(), asyncio.Event()

        async def loader(_key: str) -> str:
            began.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            ended.set()
            return "late"

        first = asyncio.ensure_future(c.async_get_or_load("k", loader))
        await began.wait()
        first.cancel()
        await ended.wait()
        await asyncio.sleep(0)

    run(main())
    assert (reported, c.get("k")) == ([], None)


def test_the_next_to_ask_takes_over_from_a_closed_loop(impl: ModuleType) -> None:
    c = impl.Cache(10)
    loops = [abandoned(c)]
    assert start(lambda: c.get_or_load("k", str)).result(30) == "k"
    c.clear()
    loops.append(abandoned(c))

    async def loader(key: str) -> str:
        return key

    assert run(c.async_get_or_load("k", loader)) == "k"
    del loops
    gc.collect()


def test_those_who_wait_take_over_from_a_closed_loop(impl: ModuleType) -> None:
    c = impl.Cache(10)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    kept: list[Any] = [loop.create_future()]  # or the task would be collected
    kept.append(loop.create_task(c.async_get_or_load("k", lambda _key: kept[0])))
    loop.run_until_complete(asyncio.sleep(TICK / 3))

    async def loader(key: str) -> str:
        return key

    waiters = waiting(
        lambda: c.get_or_load("k", str), lambda: run(c.async_get_or_load("k", loader))
    )
    loop.close()
    assert [waiter.result(30) for waiter in waiters] == ["k", "k"]
    kept.clear()
    gc.collect()


class Dropped(asyncio.SelectorEventLoop):
    """A loop that a collection ends together with its sockets, and perhaps after them."""

    def __del__(self) -> None:
        """Close nothing: that fails if the sockets were closed before."""


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "dropped"])
def test_a_cache_whose_loop_is_gone_is_freed(impl: ModuleType, closed: bool) -> None:
    def lose() -> weakref.ref[Any]:
        c = impl.Cache(10)
        if closed:
            abandoned(c)
        else:
            loop = Dropped()
            loop.set_exception_handler(lambda *_: None)
            task = loop.create_task(c.async_get_or_load("k", never))
            with suppress(KeyboardInterrupt):
                loop.call_later(TICK / 3, _interrupt)
                loop.run_until_complete(task)
        return weakref.ref(c)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of loops that are not closed
        refs = [lose() for _ in range(5)]
        gc.collect()
    assert [ref() for ref in refs] == [None] * 5


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_a_loader_that_waits_for_nothing_is_taken_over_from(impl: ModuleType) -> None:
    """Its loop lives, but nobody holds the future that it awaits."""
    c = impl.Cache(10)

    async def loader(key: str) -> str:
        return key

    async def main() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        first = asyncio.create_task(c.async_get_or_load("k", lambda key: loaders.pop()(key)))
        second = asyncio.create_task(c.async_get_or_load("k", loader))
        await asyncio.sleep(TICK / 3)
        gc.collect()
        return await asyncio.gather(first, second)

    loaders = [loader, never]
    assert run(main()) == ["k", "k"]


# --- loaders that are not what they seem ---------------------------------------


class AsyncCallable:
    """An object with an asynchronous `__call__`."""

    async def __call__(self, n: int) -> int:
        return n


async def answer(n: int) -> int:
    return n


@functools.wraps(answer)
def passes_on(n: int) -> Any:
    return answer(n)


@functools.wraps(answer)
def bridges(n: int) -> int:
    return asyncio.run(answer(n))


ASYNCHRONOUS = [
    AsyncCallable(),
    AsyncCallable().__call__,
    partial(answer),
    partial(partial(AsyncCallable())),
    passes_on,
    partial(passes_on),
]


@pytest.mark.parametrize("function", ASYNCHRONOUS)
@pytest.mark.parametrize("maxsize", [10, 0])
def test_what_is_asynchronous_is_known_as_such(
    impl: ModuleType, function: Any, maxsize: int
) -> None:
    f = impl.cached(maxsize)(function)

    async def main() -> Any:
        return await f(1), await f(1), await asyncio.gather(f(2), f(2))

    assert run(main()) == (1, 1, [2, 2])
    assert f.cache_info().misses == (2 if maxsize else 4) or maxsize


def test_a_function_that_wraps_a_coroutine_function_may_be_none(impl: ModuleType) -> None:
    f = impl.cached(bridges)
    assert (f(1), f(1), f.cache_info()[:2]) == (1, 1, (1, 1))


def test_a_coroutine_from_a_function_is_refused(impl: ModuleType) -> None:
    c = impl.Cache(10)
    text = r"^the loader of 1 returned a coroutine: await async_get_or_load$"
    with pytest.raises(TypeError, match=text):
        c.get_or_load(1, answer)
    with pytest.raises(TypeError, match=text):
        impl.cached(lambda n: answer(n))(1)
    assert not c
    gc.collect()  # nothing was never awaited


def test_an_asynchronous_loader_must_be_one(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match="await"):
        run(impl.Cache(10).async_get_or_load("k", str))


# --- greenlets -----------------------------------------------------------------


def test_greenlets_of_a_thread_are_not_taken_for_each_other(impl: ModuleType) -> None:
    greenlet = pytest.importorskip("greenlet")
    main = greenlet.getcurrent()

    @impl.cached
    def f(n: int) -> int:
        main.switch("waits")
        return n + 1

    tasks = [greenlet.greenlet(f) for _ in range(3)]
    assert [task.switch(1) for task in tasks] == ["waits"] * 3
    assert [task.switch() for task in tasks] == [2, 2, 2]
    assert f(1) == 2


def test_a_greenlet_that_is_gone_loads_nothing(impl: ModuleType) -> None:
    greenlet = pytest.importorskip("greenlet")
    main = greenlet.getcurrent()
    c = impl.Cache(10)
    task = greenlet.greenlet(lambda: c.get_or_load("k", lambda _key: main.switch()))
    task.switch()
    waiter = start(lambda: c.get_or_load("k", str))
    del task
    gc.collect()
    assert waiter.result(30) == "k"


def test_a_greenlet_that_asks_for_its_own_key_is_told(impl: ModuleType) -> None:
    greenlet = pytest.importorskip("greenlet")

    @impl.cached
    def f(n: int) -> int:
        return f(n)  # type: ignore[no-any-return]

    for call in (f, greenlet.greenlet(f).switch):
        with pytest.raises(RuntimeError, match=r"^the loader of 3 asks for 3 itself$"):
            call(3)


def test_sqlalchemys_bridge_to_a_loop(impl: ModuleType) -> None:
    concurrency = pytest.importorskip("sqlalchemy.util.concurrency")

    @impl.cached
    def f(n: int) -> int:
        concurrency.await_only(asyncio.sleep(TICK))
        return n + 1

    async def main() -> Any:
        return await asyncio.gather(*(concurrency.greenlet_spawn(f, 1) for _ in range(3)))

    assert run(main()) == [2, 2, 2]
    assert run(main()) == [2, 2, 2]


# --- one exception, raised to many ---------------------------------------------


class PlainError(Exception):
    """Has a member, and an attribute."""

    __slots__ = ("member",)


class DemandingError(Exception):
    """Has an `__init__` of its own, which no copy may run."""

    def __init__(self, first: int, *, second: int) -> None:
        super().__init__(first)
        self.second = second


def plain() -> PlainError:
    error = PlainError(1)
    error.member, error.attribute = 2, 3  # type: ignore[attr-defined]
    return error


ERRORS: list[Callable[[], Exception]] = [
    lambda: ValueError(1, 2),
    lambda: FileNotFoundError(2, "no such file", "name", None, "other"),
    lambda: ModuleNotFoundError("text", name="name", path="path"),
    lambda: AttributeError("text", name="name", obj=5),
    lambda: NameError("text", name="name"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "reason"),
    lambda: SyntaxError("text", ("file", 1, 2, "line", 3, 4)),
    lambda: ExceptionGroup("text", [ValueError(1), ExceptionGroup("inner", [KeyError(2)])]),
    lambda: StopAsyncIteration(5),
    lambda: DemandingError(1, second=2),
    plain,
]
SHOWN = (
    "args", "errno", "strerror", "filename", "filename2", "name", "path", "obj", "encoding",
    "object", "start", "end", "reason", "lineno", "offset", "text", "end_lineno", "message",
    "exceptions", "member", "attribute", "second", "__notes__", "__cause__",
    "__suppress_context__",
)  # fmt: skip


def fails(make: Callable[[], Exception]) -> Exception:
    """Raise what `make` makes, with a note, a cause and a context."""
    error = make()
    error.add_note("a note")
    try:
        raise KeyError("context")
    except KeyError:
        raise error from LookupError("cause")


def failures(c: Any, make: Callable[[], Exception], waiters: int = 3) -> list[BaseException]:
    """Let several wait for a load that fails; return what each of them caught."""
    go_on = threading.Event()
    began = threading.Event()

    def loader(_key: object) -> Any:
        began.set()
        go_on.wait(30)
        fails(make)

    def ask() -> BaseException:
        try:
            raise OSError("what the caller happens to handle")
        except OSError:
            try:
                c.get_or_load("k", loader)
            except Exception as error:
                return error
        raise AssertionError

    futures = [start(ask)]
    assert began.wait(30)
    futures += waiting(*[ask] * waiters)
    go_on.set()
    return [future.result(30) for future in futures]


@pytest.mark.parametrize("make", ERRORS, ids=lambda make: type(make()).__name__)
def test_each_gets_all_that_an_error_has(impl: ModuleType, make: Callable[[], Exception]) -> None:
    first, *others = failures(impl.Cache(10), make)
    for other in others:
        assert type(other) is type(first)
        assert str(other) == str(first)
        for name in SHOWN:
            assert getattr(other, name, "none") == getattr(first, name, "none"), name
        assert repr(other.__context__) == repr(KeyError("context"))
    if type(first) is not DemandingError:
        for other in others:
            names = [frame.name for frame in traceback.extract_tb(other.__traceback__)]
            assert (names.count("ask"), names.count("fails")) == (1, 1)
        assert len({id(error) for error in (first, *others)}) == 4
        assert len({id(error.__notes__) for error in (first, *others)}) == 4


@pytest.mark.parametrize("make", [ERRORS[0], lambda: DemandingError(1, second=2)])
def test_tracebacks_do_not_grow_with_those_who_wait(
    impl: ModuleType, make: Callable[[], Exception]
) -> None:
    c = impl.Cache(10)

    async def loader(_key: object) -> None:
        await asyncio.sleep(0)
        fails(make)

    async def ask() -> int:
        try:
            await c.async_get_or_load("k", loader)
        except Exception as error:
            return len(traceback.format_exception(error))
        return 0

    async def main() -> Any:
        return await asyncio.gather(*(ask() for _ in range(50)))

    lengths = run(main())
    assert len(set(lengths)) == 1
    assert lengths[0] < 30


def test_an_error_that_its_class_makes_is_shared(impl: ModuleType) -> None:
    errors = failures(impl.Cache(10), lambda: DemandingError(1, second=2))
    assert len({id(error) for error in errors}) == 1


def test_what_the_first_to_ask_happens_to_handle_is_its_own(impl: ModuleType) -> None:
    def make_bare() -> Any:
        raise ValueError(1)

    first, *others = failures(impl.Cache(10), make_bare)
    assert isinstance(first.__context__, OSError)
    for other in others:
        assert isinstance(other.__context__, OSError)
        assert other.__context__ is not first.__context__


# --- bad input -----------------------------------------------------------------


def test_a_cache_that_is_none_is_refused_when_decorating(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match=r"^cache must be a Cache or None, not \{\}$"):
        impl.cached(cache={})
    with pytest.raises(ValueError, match=r"^ttl must be positive or None, but is -1$"):
        impl.cached(ttl=-1)
    with pytest.raises(ValueError, match=r"^ttl must be positive or None, but is -1$"):
        impl.cached(0, ttl=-1)
    with pytest.raises(TypeError, match=r"^ttl must be a number of seconds or None, not '1'$"):
        impl.cached(ttl="1")
    with pytest.raises(TypeError, match=r"^the first argument must be callable"):
        impl.cached(5)(5)


def test_private_names_are_not_shown(impl: ModuleType) -> None:
    c = impl.Cache(10)
    shown = [repr(c.items()), repr(c.values()), repr(c.keys())]
    for call in (c.get_or_load, c.async_get_or_load, c.update, c.stats):
        shown.append(repr(call))
        with pytest.raises(TypeError) as caught:
            call(1, 2, 3)
        shown.append(str(caught.value))
    for text in shown:
        assert "Methods" not in text
        assert "_Items" not in text
        assert "_Values" not in text
