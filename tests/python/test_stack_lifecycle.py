"""Stacks in awkward moments: garbage collection, finalizers, forks, the interpreter's end.

What has no ``impl`` concerns the native stack alone: ``lockfree.locked`` promises no
re-entry, and whoever forks in the middle of its operations may wait for its lock for ever.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from lockfree import AtomicInt64, Stack
from support import (
    FORKS_IN_TRAFFIC,
    MEMORY,
    Node,
    hammer,
    in_child,
    needs_fork,
    needs_statm,
    run_threads,
)

# --- garbage collection --------------------------------------------------------


def test_cycles_through_a_stack_are_collected(impl: ModuleType) -> None:
    node = Node()
    node.link = impl.Stack([None, node, node])
    node.link.push(node.link)
    ref = weakref.ref(node)
    del node
    assert ref() is not None
    gc.collect()
    assert ref() is None


def test_a_cycle_of_stacks_alone_is_collected(impl: ModuleType) -> None:
    item = object()
    before = sys.getrefcount(item)
    s = impl.Stack([item])
    s.push(impl.Stack([s]))
    del s
    gc.collect()
    assert sys.getrefcount(item) == before


def test_collector_sees_each_reference_once() -> None:
    items = [Node(), Node()]
    s = Stack([*items, items[0]])

    def seen() -> list[int]:
        referents = gc.get_referents(s)
        return [sum(referent is item for referent in referents) for item in items]

    assert gc.is_tracked(s)
    assert seen() == [2, 1]
    s.pop()
    assert seen() == [1, 1]
    s.clear()
    assert seen() == [0, 0]


def test_a_finalizer_may_revive_a_cycle(impl: ModuleType) -> None:
    revived: list[Node] = []

    class Lazarus(Node):
        def __del__(self) -> None:
            revived.append(self)

    node = Lazarus()
    node.link = impl.Stack([node, "kept"])
    del node
    gc.collect()
    assert revived[0].link.pop_all() == ["kept", revived[0]]


class Ring:
    """What dies by the collector alone, which empties the instance and the inner stack."""

    alive = AtomicInt64()

    def __init__(self) -> None:
        self.itself = self
        self.inner = Stack[Any]([self])
        self.alive.increment()

    def __del__(self) -> None:
        self.alive.decrement()

    def check(self) -> None:
        assert self.itself is self
        assert self.inner.peek() is self


@pytest.mark.usefixtures("eager_collector")
def test_collections_during_traffic_free_nothing_alive() -> None:
    s = Stack[Ring]()
    Ring.alive.store(0)

    def step(index: int) -> None:
        if index == 4:
            gc.collect()
            return
        for _ in range(5):
            s.push_many([Ring(), Ring()])
            s.push(Ring())
            for ring in [*s.pop_many(2), *s, *s.pop_many(1)]:
                ring.check()

    hammer(5, step, rounds=15)
    s.clear()
    gc.collect()
    assert Ring.alive == 0


# --- finalizers ----------------------------------------------------------------

REMOVALS: dict[str, Callable[[Any], object]] = {
    "pop": lambda s: s.pop(),
    "pop_many": lambda s: s.pop_many(2),
    "pop_all": lambda s: s.pop_all(),
    "clear": lambda s: s.clear(),
    "init": lambda s: s.__init__(),
}
REENTRIES: dict[str, Callable[[Any], object]] = {
    "push": lambda s: s.push("new"),
    "push_many": lambda s: s.push_many(["new", "new"]),
    "pop": lambda s: s.pop(default=None),
    "pop_many": lambda s: s.pop_many(2),
    "pop_all": lambda s: s.pop_all(),
    "clear": lambda s: s.clear(),
    "init": lambda s: s.__init__(["new"]),
    "look": lambda s: (s.peek(default=None), list(s), repr(s), len(s), bool(s)),
}


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What dies here is not freed by the garbage collector."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_removed_items_die_at_once(impl: ModuleType, remove: Callable[[Any], object]) -> None:
    s = impl.Stack()
    for _ in range(2):  # in a fresh place, and in one that was used before
        s.push(Node())
        ref = weakref.ref(s.peek())
        run_threads(2, lambda _index: (s.peek(), list(s), repr(s)))
        assert ref() is not None
        remove(s)
        assert ref() is None


@pytest.mark.usefixtures("no_collector")
def test_items_die_with_the_stack(impl: ModuleType) -> None:
    s = impl.Stack([Node()])
    ref = weakref.ref(s.peek())
    del s
    assert ref() is None


class Mortal:
    def __init__(self, last_words: Callable[[], object]) -> None:
        self.last_words = last_words

    def __del__(self) -> None:
        self.last_words()


@pytest.mark.parametrize("witness", ["finalizer", "weakref callback"])
@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
@pytest.mark.parametrize("reenter", REENTRIES.values(), ids=REENTRIES)
def test_dying_items_may_use_the_stack(
    reenter: Callable[[Any], object], remove: Callable[[Any], object], witness: str
) -> None:
    s = Stack[Any]()
    died: list[None] = []
    refs: list[weakref.ref[Node]] = []

    def last_words() -> None:
        died.append(None)
        reenter(s)

    for _ in range(3):
        if witness == "finalizer":
            s.push(Mortal(last_words))
        else:
            s.push(Node())
            refs.append(weakref.ref(s.peek(), lambda _: last_words()))
    remove(s)
    while len(died) < 3:
        s.pop()
    assert set(s) <= {"new"}
    s.push_many("ab")
    assert s.pop_many(2) == ["b", "a"]


def test_what_dying_items_push_survives_clear() -> None:
    s = Stack[Any]()
    s.push_many([Mortal(lambda: s.push("new")) for _ in range(3)])
    s.clear()
    assert s.pop_all() == ["new", "new", "new"]


@pytest.mark.parametrize(
    "code",
    [
        "s = Stack([object() for _ in range(1_000_000)]); del s",
        "s = nested(1_000_000); del s",
        "s = nested(200_000); s.clear()",
        "s = nested(200_000); s.push(s); del s; gc.collect()",
        "s = nested(200_000, between=lambda inner: [inner]); del s",
    ],
)
def test_a_million_levels_are_freed(code: str) -> None:
    child = in_child(
        f"""
        import gc
        from lockfree import Stack

        def nested(levels, between=lambda inner: inner):
            s = Stack()
            for _ in range(levels):
                s = Stack([between(s)])
            return s

        {code}
        print("alive")
        """
    )
    assert child == (0, "alive\n", "")


# --- processes -----------------------------------------------------------------


@needs_fork
def test_200_forked_children_use_old_and_new_stacks() -> None:
    child = in_child(
        FORKS_IN_TRAFFIC
        + """
import weakref
from lockfree import Stack

inherited = Stack()

class Item:
    pass

def traffic(_index):
    inherited.push_many([Item()] * 3)
    inherited.peek(default=None)
    list(inherited), repr(inherited)
    inherited.pop_many(3)
    inherited.push_many([Item()] * 3)
    inherited.pop_all()

def use(s, times):
    for number in range(times // 10):
        s.push(number)
        s.push_many((number, number, number))
        s.peek(), len(s), bool(s), list(s)
        s.pop(), s.pop_many(2), s.pop_all()
        s.clear()
    s.push(Item())
    item = weakref.ref(s.peek())
    s.pop()
    assert item() is None, "a reader that was left behind keeps it"

def use_all(number):
    items = inherited.pop_all()
    assert len(items) % 3 == 0
    assert items[::3] == items[1::3] == items[2::3]
    use(inherited, times=20_000 if number % 20 == 0 else 1_000)
    use(Stack([1, 2]), times=100)
    thread = threading.Thread(target=use, args=(inherited, 100))
    thread.start()
    thread.join()
    assert inherited.pop(default="empty") == "empty"

fork_in_traffic(200, traffic, use_all)
use(inherited, times=1_000)
""",
        timeout=120,
    )
    assert child == (0, "", "")


@needs_statm
def test_a_million_items_take_32_bytes_each_and_their_places_are_reused() -> None:
    child = in_child(
        MEMORY
        + """
n = 1_000_000
def fill(s):
    for _ in range(n):
        s.push(None)

s = Stack()
before = resident()
fill(s)
full = resident()
assert full - before <= 32 * n, full - before
s.clear()
fill(s)
assert resident() - full < 2**20, resident() - full
"""
    )
    assert child == (0, "", "")


@needs_statm
@pytest.mark.parametrize("collector", ["enable", "disable", "freeze"])
def test_memory_comes_back_with_some_further_use(collector: str) -> None:
    child = in_child(
        MEMORY
        + f"""
import gc, time
gc.{collector}()
s = Stack()
before = resident()
for _ in range(2_000_000):
    s.push(None)
grown = resident() - before
for _ in range(2_000_000):
    s.pop()
end = time.monotonic() + 60  # a second is enough, and a busy machine takes longer
while resident() - before > grown / 10:
    assert time.monotonic() < end, (grown, resident() - before)
    s.push(None)
    s.pop()
"""
    )
    assert child == (0, "", "")


@needs_statm
def test_2_million_pairs_take_no_memory() -> None:
    child = in_child(
        MEMORY
        + """
s = Stack()
def pairs(_):
    for number in range(500_000):
        s.push(number)
        s.pop()

run_threads(4, pairs)
before = resident()
run_threads(4, pairs)
assert resident() - before < 5 * 2**20, resident() - before
"""
    )
    assert child == (0, "", "")


DAEMONS = """
import threading, time
from lockfree import Stack

def pause(*_):
    time.sleep(0.001)

class Slow:
    def __init__(self, *_):
        self.itself = self
    def __index__(self):
        pause()
        return 1
    def __repr__(self):
        pause()
        return "Slow()"

class Dying:
    def __del__(self):
        pause()

class Leaving(Dying):
    def __init__(self, s):
        self.s = s
        s.push(self)
    def __repr__(self):
        self.s.clear()
        return "Leaving()"

def slowly():
    yield pause()
    yield pause()

def push_and_pop(s):
    s.push(Dying())
    s.push_many([1, 2, 3])
    s.peek(), list(s), repr(s)
    s.pop_many(3)
    s.pop()
def push_many(s): s.push_many(slowly())
def construct(s): Stack(slowly())
def pop_many(s): s.pop_many(Slow())
def refuse(s):
    try:
        s.pop_many([Slow()])
    except TypeError:
        pass
def show(s): repr(Stack([Slow()]))
def show_last(s): repr(Leaving(Stack()).s)
def drop(s): s.push(Dying()); s.pop(default=None)
def clear(s): s.push_many([Dying(), Dying()]); s.clear()
def drop_list(s): s.push_many([Dying(), Dying()]); s.pop_all()
def free(s): Stack([Dying(), Dying()])
def start_over(s): s.push(Dying()); s.__init__()

def forever(s):
    while True:
        {operation}(s)

s = Stack()
for _ in range(4):
    threading.Thread(target=forever, args=(s,), daemon=True).start()
time.sleep(0.02)
"""
OPERATIONS = ["push_and_pop", "push_many", "construct", "pop_many", "refuse", "show"]
OPERATIONS += ["show_last", "drop", "clear", "drop_list", "free", "start_over"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_daemon_threads_do_not_disturb_the_end(operation: str) -> None:
    for _ in range(20 if operation == "push_and_pop" else 3):
        assert in_child(DAEMONS.format(operation=operation), timeout=30) == (0, "", "")
