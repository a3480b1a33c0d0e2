"""When an object dies: at once, unless threads contended for it (free-threaded CPython 3.14+).

Everything goes through local variables, since CPython 3.15 defers the globals of
a module by itself. And the thread that drops an object's last reference is the
one that created it, since any other merely tells that one.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import lockfree
import pytest
from lockfree import (
    AsyncQueue,
    AtomicInt64,
    AtomicRef,
    Cache,
    ConcurrentDict,
    KeyedCounter,
    LifoQueue,
    PriorityQueue,
    Queue,
    Stack,
    StripedCounter,
    cached,
    defer_refcount,
    once,
)
from support import CORES, FREE_THREADED, Node, in_child, needs_statm, run_threads

DEFERS = FREE_THREADED and sys.version_info >= (3, 14)
needs_deferral = pytest.mark.skipif(not DEFERS, reason="no GIL, CPython 3.14")
needs_cores = pytest.mark.skipif(
    CORES < 2, reason="two threads alternate quickly on two cores only"
)

ENOUGH = 20_000
"""So many hand-overs make an object contended, if they are quick."""


class Kind(NamedTuple):
    """A class, and one operation."""

    make: Callable[[], Any]
    use: Callable[[Any], object]


def put_and_get(q: Any) -> object:
    q.put(1)
    return q.get()


def push_and_pop(s: Any) -> object:
    s.push(1)
    return s.pop()


def set_and_get(c: Any) -> object:
    c["k"] = 1
    return c["k"]


def tick_off(q: Any) -> None:
    q.put_nowait(None)
    q.task_done()


async def double(n: int) -> int:
    return 2 * n


def cached_coroutine_function() -> Any:
    fn = cached(double)
    asyncio.run(fn(1))  # so that it waits for nothing from now on
    return fn


def run_a_step(coroutine: Any) -> None:
    """Run a coroutine that waits for nothing."""
    with suppress(StopIteration):
        coroutine.send(None)


KINDS = {
    "AtomicInt64": Kind(AtomicInt64, lambda a: a.increment()),
    "AtomicInt64.value": Kind(AtomicInt64, lambda a: a.value),
    "AtomicRef": Kind(AtomicRef, lambda a: a.load()),
    "StripedCounter": Kind(StripedCounter, lambda c: c.increment()),
    "Stack": Kind(Stack, push_and_pop),
    "Stack.len": Kind(Stack, len),
    "Queue": Kind(Queue, put_and_get),
    "Queue.empty": Kind(Queue, lambda q: q.empty()),
    "Queue.task_done": Kind(Queue, tick_off),
    "LifoQueue": Kind(LifoQueue, put_and_get),
    "PriorityQueue": Kind(PriorityQueue, put_and_get),
    "AsyncQueue": Kind(AsyncQueue, lambda q: q.put_nowait(None)),
    "Cache": Kind(partial(Cache, 10), set_and_get),
    "Cache.in": Kind(partial(Cache, 10), lambda c: "k" in c),
    "ConcurrentDict": Kind(ConcurrentDict, set_and_get),
    "ConcurrentDict.in": Kind(ConcurrentDict, lambda d: "k" in d),
    "KeyedCounter": Kind(KeyedCounter, lambda c: c.add("k")),
    "KeyedCounter.in": Kind(KeyedCounter, lambda c: "k" in c),
    "cached": Kind(lambda: cached(lambda n: n), lambda f: f(1)),
    "cached method": Kind(lambda: cached(lambda _self, n: n), lambda f: f(None, 1)),
    "once": Kind(lambda: once(lambda: 1), lambda f: f()),
    "cached coroutine function": Kind(cached_coroutine_function, lambda f: run_a_step(f(1))),
}
all_kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture(autouse=True)
def idle_collector() -> Iterator[None]:
    """Leave the garbage collector enabled, but let it do nothing unless it is called."""
    before = gc.get_threshold()
    gc.set_threshold(2**31 - 1)
    yield
    gc.set_threshold(*before)


def use_for_long(kind: Kind, obj: Any) -> None:
    for _ in range(ENOUGH):
        kind.use(obj)


def use_for_long_elsewhere(kind: Kind, obj: Any) -> None:
    run_threads(1, lambda _index: use_for_long(kind, obj))
    kind.use(obj)


def use_in_100_threads_in_turn(kind: Kind, obj: Any) -> None:
    for _ in range(100):
        run_threads(1, lambda _index: kind.use(obj))
        kind.use(obj)


def use_in_two_threads(kind: Kind, obj: Any, times: int) -> None:
    def work(_index: int) -> None:
        for _ in range(times):
            kind.use(obj)

    run_threads(2, work)


def use_in_two_threads_for_a_moment(kind: Kind, obj: Any) -> None:
    use_in_two_threads(kind, obj, 500)


def remains_of(kind: Kind, scenario: Callable[[Kind, Any], None]) -> weakref.ref[Any]:
    """Create an object, play the scenario on it, and drop the only reference."""
    obj = kind.make()
    scenario(kind, obj)
    return weakref.ref(obj)


@all_kinds
@pytest.mark.parametrize(
    "scenario", [use_for_long, use_for_long_elsewhere, use_in_100_threads_in_turn]
)
def test_dies_at_once(kind: Kind, scenario: Callable[[Kind, Any], None]) -> None:
    assert remains_of(kind, scenario)() is None


@all_kinds
@needs_cores
def test_contended_for_a_moment_dies_at_once(kind: Kind) -> None:
    assert remains_of(kind, use_in_two_threads_for_a_moment)() is None


def contend(kind: Kind, obj: Any) -> None:
    """Use `obj` in two threads until it is deferred; how quick they are is up to the scheduler."""
    end = time.monotonic() + 60  # where other tests have the processors, it takes a while
    while time.monotonic() < end:
        use_in_two_threads(kind, obj, ENOUGH)
        if is_deferred(obj):
            return
    pytest.fail("no try was contended enough")


def is_deferred(obj: object) -> bool:
    return sys.getrefcount(obj) > 2**40


@all_kinds
@needs_deferral
@needs_cores
def test_contended_dies_by_the_collector(kind: Kind) -> None:
    ref = remains_of(kind, contend)
    assert ref() is not None
    gc.collect()
    assert ref() is None


@needs_deferral
@needs_cores
def test_contended_dies_with_its_items_and_its_cycles() -> None:
    q, node = Queue[Any](), Node()
    contend(KINDS["Queue"], q)
    q.put(node)
    q.put(q)
    refs = weakref.ref(q), weakref.ref(node)
    del q, node
    assert None not in [ref() for ref in refs]
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


@needs_deferral
@needs_cores
def test_what_is_removed_from_a_deferred_one_dies_at_once() -> None:
    q, node = Queue[Any](), Node()
    contend(KINDS["Queue"], q)
    ref = weakref.ref(node)
    q.put(node)
    del node
    q.shutdown(immediate=True)
    assert ref() is None


@needs_cores
@pytest.mark.parametrize("name", ["AtomicInt64", "Queue"])
def test_contended_dies_at_once_without_the_collector(name: str) -> None:
    kind = KINDS[name]
    gc.disable()
    try:
        ref = remains_of(kind, lambda kind, obj: use_in_two_threads(kind, obj, 5 * ENOUGH))
        assert ref() is None
    finally:
        gc.enable()


@needs_cores
@pytest.mark.skipif(DEFERS, reason="contended objects are freed by the collector")
def test_contended_dies_at_once_where_nothing_defers() -> None:
    kind = KINDS["Queue"]
    assert remains_of(kind, lambda kind, obj: use_in_two_threads(kind, obj, ENOUGH))() is None


@needs_deferral
@needs_cores
def test_an_async_queue_takes_its_queue_along() -> None:
    q = AsyncQueue[None]()
    contend(KINDS["AsyncQueue"], q)
    assert is_deferred(q.sync_q)
    assert is_deferred(q.sync_q.async_q)  # made afterwards
    gc.disable()
    try:
        assert not is_deferred(q.sync_q.async_q)  # nobody would free it
    finally:
        gc.enable()


@needs_cores
def test_queues_of_a_hundred_items_die_at_once() -> None:
    # As many as a program makes for its requests.
    queues = [Queue[int]() for _ in range(200)]
    refs = [weakref.ref(q) for q in queues]

    def work(index: int) -> None:
        for q in queues:
            for number in range(100):
                q.put(number) if index else q.get()

    run_threads(2, work)
    queues.clear()
    assert not any(ref() is not None for ref in refs)


@needs_cores
@needs_statm
@pytest.mark.parametrize("collector", ["enabled", "disabled"])
def test_20_000_queues_that_pass_a_hundred_items_take_no_memory(collector: str) -> None:
    child = in_child(
        f"""
import gc, threading
from lockfree import Queue

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

def work(queues, index):
    for q in queues:
        for number in range(100):
            q.put(number) if index else q.get()

def pass_on(count):
    for _ in range(count // 200):
        queues = [Queue() for _ in range(200)]
        threads = [threading.Thread(target=work, args=(queues, i)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

gc.{collector[:-1]}()
pass_on(2_000)
before = resident()
pass_on(20_000)
# One queue that stays takes more than a kilobyte.
assert resident() - before < 4_000_000, resident() - before
"""
    )
    assert child == (0, "", "")


# --- what a name costs ----------------------------------------------------------

THING: Any = None
"""What is named as a global."""


class Owner:
    """It has one attribute."""

    def __init__(self, thing: object) -> None:
        self.thing = thing


def references_taken(thing: object) -> dict[str, int]:
    """Name `thing` in a thread that did not make it; tell how many references that took."""
    # Before it lie the owner's identity, flags and the owner's own count.
    address = id(thing) + 16

    def shared_count(_named: object = None) -> int:
        return ctypes.c_ssize_t.from_address(address).value >> 2

    owner, ref = defer_refcount(Owner(thing)), defer_refcount(AtomicRef(thing))
    forms: dict[str, Callable[[], int]] = {
        "global": lambda: shared_count(THING),
        "closure": lambda: shared_count(thing),
        "attribute": lambda: shared_count(owner.thing),
        "AtomicRef.value": lambda: shared_count(ref.value),
    }
    taken = {}

    def name_it(_index: int) -> None:
        for form, named in forms.items():
            for _ in range(1000):  # until the interpreter has specialized the code
                taken[form] = named() - shared_count()

    global THING
    THING = thing
    try:
        run_threads(1, name_it)
    finally:
        THING = None
    return taken


@needs_deferral
@pytest.mark.parametrize("make", [Node, Queue, partial(Cache, 10)], ids=["Node", "Queue", "Cache"])
def test_names_of_a_deferred_object_are_not_counted(make: Callable[[], Any]) -> None:
    assert references_taken(defer_refcount(make())) == {
        "global": 0,
        "closure": 0,
        "attribute": 0,
        "AtomicRef.value": 0,
    }


@pytest.mark.skipif(
    not FREE_THREADED or sys.version_info[:2] != (3, 14), reason="3.15 defers by itself"
)
def test_names_of_another_object_are_counted() -> None:
    assert set(references_taken(Node()).values()) == {1}


# --- defer_refcount -------------------------------------------------------------


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    "make",
    [dict, list, Node, Stack, lambda: Stack().push, lambda: Point(1, 2), lambda: lambda: None],
    ids=["dict", "list", "instance", "Stack", "bound method", "named tuple", "function"],
)
def test_defer_refcount(impl: ModuleType, make: Callable[[], Any]) -> None:
    obj = make()
    for _ in range(2):
        assert impl.defer_refcount(obj) is obj
    assert is_deferred(obj) == (DEFERS and impl is lockfree)


@needs_deferral
def test_defer_refcount_works_without_the_collector() -> None:
    node = Node()
    ref = weakref.ref(node)
    gc.disable()
    try:
        assert defer_refcount(node) is node
        del node
        assert ref() is not None
    finally:
        gc.enable()
    gc.collect()
    assert ref() is None


@needs_deferral
@pytest.mark.parametrize("obj", [1, "text", b"", 1.5, None, Ellipsis, (), (1, [])], ids=repr)
def test_defer_refcount_refuses_what_it_cannot_help(obj: object) -> None:
    with pytest.raises(TypeError) as caught:
        defer_refcount(obj)
    assert str(caught.value) == (
        "the garbage collector must track the object and free it by itself, "
        f"which it does not for {obj!r}"
    )


def test_defer_refcount_takes_one_object(impl: ModuleType) -> None:
    for args in [(), (impl, impl)]:
        with pytest.raises(TypeError):
            impl.defer_refcount(*args)
