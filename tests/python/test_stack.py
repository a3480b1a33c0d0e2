"""``Stack``: one body for the native class and the locked one."""

from __future__ import annotations

import copy
import pickle
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, islice
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linearizability import STACK, Call, outcome
from lockfree import AtomicInt64
from support import (
    Index,
    bad_iterables,
    fail_half_way,
    hammer,
    repetitions,
    what_is_no_count,
)

# --- one item ------------------------------------------------------------------


def test_last_in_first_out(impl: ModuleType) -> None:
    s = impl.Stack()
    for item in "abc":
        assert s.push(item) is None
    assert [s.pop(), s.pop()] == ["c", "b"]
    s.push("d")
    assert [s.pop(), s.pop()] == ["d", "a"]


def test_hands_out_the_very_object(impl: ModuleType) -> None:
    item = object()
    s = impl.Stack([item])
    assert s.peek() is item
    assert next(iter(s)) is item
    assert s.pop() is item


def test_holds_an_item_as_often_as_it_was_pushed(impl: ModuleType) -> None:
    s = impl.Stack()
    for _ in range(3):
        s.push(None)
    assert s.pop_all() == [None, None, None]


def test_peek_leaves_the_item(impl: ModuleType) -> None:
    s = impl.Stack([1, 2])
    assert s.peek() == s.peek(default=None) == 2
    assert len(s) == 2


@pytest.mark.parametrize(
    ("name", "text"), [("pop", "pop from an empty Stack"), ("peek", "peek at an empty Stack")]
)
def test_empty_raises_or_gives_the_default(impl: ModuleType, name: str, text: str) -> None:
    s = impl.Stack()
    take = getattr(s, name)
    with pytest.raises(IndexError) as caught:
        take()
    assert str(caught.value) == text
    default = object()
    assert take(default=default) is default
    assert take(default=None) is None
    assert take(default=...) is ...
    s.push("item")
    assert take(default=default) == "item"


# --- batches -------------------------------------------------------------------

ITERABLES: dict[str, Callable[[], Iterable[Any]]] = {
    "list": lambda: ["a", "b", "c"],
    "tuple": lambda: ("a", "b", "c"),
    "str": lambda: "abc",
    "dict": lambda: {"a": 1, "b": 2, "c": 3},
    "generator": lambda: (letter for letter in "abc"),
    "iterator": lambda: iter("abc"),
}


@pytest.mark.parametrize("iterable", ITERABLES.values(), ids=ITERABLES)
def test_pushes_any_iterable_the_last_uppermost(
    impl: ModuleType, iterable: Callable[[], Iterable[Any]]
) -> None:
    s = impl.Stack("z")
    assert s.push_many(iterable()) is None
    assert list(s) == ["c", "b", "a", "z"]
    assert list(impl.Stack(iterable())) == ["c", "b", "a"]
    assert list(impl.Stack(iterable=iterable())) == ["c", "b", "a"]


def test_pushes_nothing_of_an_empty_iterable(impl: ModuleType) -> None:
    s = impl.Stack([])
    s.push_many(iter(()))
    assert list(s) == []


def test_pushes_itself_as_it_is_before(impl: ModuleType) -> None:
    s = impl.Stack([1, 2])
    s.push_many(s)
    assert s.pop_all() == [1, 2, 2, 1]


def test_an_iterable_is_exhausted_before_anything_is_pushed(impl: ModuleType) -> None:
    s = impl.Stack(["a"])

    def items() -> Iterator[str]:
        yield "c"
        assert s.pop() == "a"
        s.push("b")
        yield "d"

    s.push_many(items())
    assert list(s) == ["d", "c", "b"]


@bad_iterables
def test_an_iterable_that_fails_pushes_nothing(
    impl: ModuleType, bad: Callable[[], Any], error: type[Exception], text: str
) -> None:
    s = impl.Stack("ab")
    for take in (s.push_many, impl.Stack):
        with pytest.raises(error) as caught:
            take(bad())
        assert str(caught.value) == text
    assert list(s) == ["b", "a"]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 2**63 - 1, True, Index(2)], ids=repr)
def test_pops_up_to_n(impl: ModuleType, n: Any) -> None:
    items = ["c", "b", "a"]
    s = impl.Stack("abc")
    number = n.__index__()
    assert s.pop_many(n) == items[:number]
    assert s.pop_all() == items[number:]


@what_is_no_count
def test_pops_nothing_for_what_is_no_count(
    impl: ModuleType, bad: Any, error: type[Exception], text: str
) -> None:
    s = impl.Stack("abc")
    with pytest.raises(error) as caught:
        s.pop_many(bad)
    assert str(caught.value) == text
    assert list(s) == ["c", "b", "a"]


def test_a_count_may_use_the_stack_it_is_for(impl: ModuleType) -> None:
    s = impl.Stack("ab")

    class Count:
        def __index__(self) -> int:
            s.push("c")
            return len(s)

    assert s.pop_many(Count()) == ["c", "b", "a"]


@pytest.mark.parametrize("name", ["pop_all", "clear"])
def test_removes_everything(impl: ModuleType, name: str) -> None:
    s = impl.Stack("abc")
    assert getattr(s, name)() == {"pop_all": ["c", "b", "a"], "clear": None}[name]
    assert list(s) == []
    assert getattr(s, name)() == {"pop_all": [], "clear": None}[name]
    s.push("d")
    assert list(s) == ["d"]


def test_large_batches_keep_their_order(impl: ModuleType) -> None:
    n = 100_000
    s = impl.Stack(range(n))
    for _ in range(2):  # in fresh memory, and in memory that was used before
        assert len(s) == n
        assert list(s) == list(range(n))[::-1]
        assert s.pop_many(n // 3) == list(range(n - n // 3, n))[::-1]
        s.push_many(range(n - n // 3, n))
        assert s.pop_all() == list(range(n))[::-1]
        for item in range(n):
            s.push(item)


# --- what is in it -------------------------------------------------------------


def test_has_a_length_and_is_false_when_empty(impl: ModuleType) -> None:
    s = impl.Stack()
    for n in range(3):
        assert len(s) == n
        assert bool(s) is (n > 0)
        s.push(None)


def test_contains_what_it_iterates_over(impl: ModuleType) -> None:
    s = impl.Stack("ab")
    assert "a" in s
    assert "c" not in s


def test_iterates_over_a_snapshot(impl: ModuleType) -> None:
    s = impl.Stack("abc")
    items = iter(s)
    assert next(items) == "c"
    s.clear()
    s.push("d")
    assert list(items) == ["b", "a"]


def test_shows_its_items_the_uppermost_last(impl: ModuleType) -> None:
    assert repr(impl.Stack()) == "Stack([])"
    assert repr(impl.Stack(["a", 1.5, None])) == str(impl.Stack(["a", 1.5, None]))
    assert repr(impl.Stack(["a", 1.5, None])) == "Stack(['a', 1.5, None])"


def test_shows_itself_in_itself(impl: ModuleType) -> None:
    s = impl.Stack([1])
    s.push(s)
    s.push([s])
    assert repr(s) == "Stack([1, Stack(...), [Stack(...)]])"
    s.clear()


class Shown:
    """Something whose `repr` runs some code."""

    def __init__(self, show: Callable[[], object]) -> None:
        self.show = show

    def __repr__(self) -> str:
        return f"<{self.show()}>"


def test_an_item_may_fail_to_be_shown(impl: ModuleType) -> None:
    s = impl.Stack([Shown(lambda: 1 // 0)])
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            repr(s)


def test_an_item_may_change_the_stack_that_shows_it(impl: ModuleType) -> None:
    s = impl.Stack()
    s.push_many([Shown(lambda: s.push("new")), Shown(s.clear)])
    assert repr(s) == "Stack([<None>, <None>])"
    assert list(s) == []


# --- as an object --------------------------------------------------------------


def test_init_starts_over(impl: ModuleType) -> None:
    s = impl.Stack("ab")
    s.__init__("cd")
    assert list(s) == ["d", "c"]
    s.__init__()
    assert list(s) == []


def test_is_generic(impl: ModuleType) -> None:
    alias = impl.Stack[int]
    assert (alias.__origin__, alias.__args__) == (impl.Stack, (int,))
    assert type(alias([1])) is impl.Stack


def test_can_be_subclassed(impl: ModuleType) -> None:
    class Limited(impl.Stack):  # type: ignore[name-defined, misc]
        def __init__(self, limit: int, items: Iterable[int]) -> None:
            super().__init__(items)
            self.limit = limit

        def push(self, item: int) -> None:
            if len(self) < self.limit:
                super().push(item)

    s = Limited(2, [1])
    s.push(2)
    s.push(3)
    assert repr(s) == "Limited([1, 2])"


def test_is_weakly_referenceable(impl: ModuleType) -> None:
    s = impl.Stack("ab")
    died: list[object] = []
    ref = weakref.ref(s, died.append)
    assert ref() is s
    del s
    assert died == [ref]


def test_equals_itself_alone(impl: ModuleType) -> None:
    s, t = impl.Stack([1]), impl.Stack([1])
    assert s == s
    assert s != t
    assert len({s, s, t}) == 2


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy]
    + [lambda s, n=n: pickle.dumps(s, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)],
)
def test_refuses_to_be_copied(impl: ModuleType, copied: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        copied(impl.Stack([1]))
    assert str(caught.value) == (
        "cannot copy or pickle 'Stack' object: it is shared state; copy its items, list(s)"
    )


@pytest.mark.parametrize(
    "call",
    [
        "Stack([], [])",
        "Stack([], True)",
        "Stack(items=[])",
        "s.push()",
        "s.push(1, 2)",
        "s.push(item=1)",
        "s.push_many()",
        "s.push_many([], [])",
        "s.push_many(iterable=[])",
        "s.pop(0)",
        "s.pop(None)",
        "s.pop(item=1)",
        "s.pop(default=1, item=1)",
        "s.peek(0)",
        "s.peek(item=1)",
        "s.pop_many()",
        "s.pop_many(1, 2)",
        "s.pop_many(n=1)",
        "s.pop_all(1)",
        "s.clear(1)",
    ],
)
def test_refuses_keywords_and_wrong_counts(impl: ModuleType, call: str) -> None:
    s = impl.Stack("ab")
    with pytest.raises(TypeError, match="argument"):
        eval(call, {"Stack": impl.Stack, "s": s})
    assert list(s) == ["b", "a"]


USES: dict[str, Callable[[Any, object], object]] = {
    "push": lambda s, item: (s.push(item), s.pop()),
    "push_many": lambda s, item: (s.push_many([item] * 3), s.pop_many(2), s.pop_many(2)),
    "push_many fails": lambda s, item: outcome(s, Call("push_many", (fail_half_way(item),))),
    "pop default": lambda s, item: (s.pop(default=item), s.peek(default=item)),
    "peek": lambda s, item: (s.push(item), s.peek(), s.peek(default=item), s.pop()),
    "pop_all": lambda s, item: (s.push(item), s.pop_all()),
    "clear": lambda s, item: (s.push(item), s.clear()),
    "iterate": lambda s, item: (s.push(item), list(s), next(iter(s)), repr(s), s.clear()),
    "refuse": lambda s, item: outcome(s, Call("pop_many", (item,))),
    "construct": lambda s, item: (s.__init__([item]), s.__init__([item, item]), s.__init__()),
    "free": lambda s, item: type(s)([item] * 3),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_keeps_no_reference_too_many_or_too_few(
    impl: ModuleType, use: Callable[[Any, object], object]
) -> None:
    s, item = impl.Stack(), object()
    use(s, item)
    before = sys.getrefcount(item)
    for _ in range(100):
        use(s, item)
    assert sys.getrefcount(item) == before


# --- any sequence of operations ------------------------------------------------

ARGUMENTS = {
    "push": st.tuples(st.integers()),
    "push_many": st.tuples(st.lists(st.integers(), max_size=200)),
    "pop_many": st.tuples(st.integers(0, 300)),
}
calls = st.one_of(
    [st.builds(Call, st.just(name), ARGUMENTS.get(name, st.just(()))) for name in STACK]
)


@settings(max_examples=300)
@given(st.lists(calls))
def test_behaves_as_a_list(impl: ModuleType, steps: list[Call]) -> None:
    s = impl.Stack()
    state: Any = ()
    for call in steps:
        state, expected = STACK[call.method](state, *call.arguments)
        assert outcome(s, call) == expected
        assert repr(s) == f"Stack({list(state)})"


# --- threads -------------------------------------------------------------------

BATCH = 200  # operations in a step of a thread


@pytest.mark.parametrize("deferred", [False, True])
def test_8_threads_pop_each_item_once(impl: ModuleType, deferred: bool) -> None:
    s = impl.Stack()
    if deferred:
        impl.defer_refcount(s)
    numbers = [count(index, 8) for index in range(8)]
    popped: list[list[int]] = [[] for _ in range(8)]

    def step(index: int) -> None:
        for number in islice(numbers[index], BATCH):
            s.push(number)
            if number % 3:
                popped[index].append(s.pop())

    steps = hammer(8, step, rounds=repetitions(impl, 200))
    left = s.pop_all()
    assert len(left) + sum(map(len, popped)) == steps * BATCH
    pushed = (range(index, next(numbers[index]), 8) for index in range(8))
    assert sorted(chain(left, *popped)) == sorted(chain(*pushed))


def test_one_consumer_finds_each_producers_items_in_order(impl: ModuleType) -> None:
    s = impl.Stack()
    numbers = [count() for _ in range(8)]

    def step(index: int) -> None:
        for _ in range(BATCH // 4):
            s.push((index, next(numbers[index])))
            s.push_many([(index, number) for number in islice(numbers[index], 3)])
            s.pop_many(2)

    hammer(8, step, rounds=repetitions(impl, 100))
    left = s.pop_all()
    assert left
    for producer in range(8):
        mine = [number for index, number in left if index == producer]
        assert mine == sorted(mine, reverse=True)


def test_no_thread_sees_half_of_a_batch(impl: ModuleType) -> None:
    s = impl.Stack()
    size = 5

    def whole(items: list[int]) -> None:
        assert len(items) % size == 0
        assert all(len(set(items[i : i + size])) == 1 for i in range(0, len(items), size))

    def step(index: int) -> None:
        for number in range(BATCH // size):
            s.push_many([index * BATCH + number] * size)
            assert not any(len(s) % size for _ in range(10))
            whole(list(s))
            whole(s.pop_many(size) if number % 4 else s.pop_all())

    hammer(4, step, rounds=repetitions(impl, 200))
    whole(s.pop_all())


def test_mixed_operations_lose_and_duplicate_nothing(impl: ModuleType) -> None:
    s = impl.Stack()
    numbers = [count(index, 8) for index in range(8)]
    taken: list[list[int]] = [[] for _ in range(8)]
    nothing = object()

    def push(index: int) -> None:
        s.push(next(numbers[index]))

    def push_many(index: int) -> None:
        s.push_many(islice(numbers[index], 7))

    def pop(index: int) -> None:
        item = s.pop(default=nothing)
        if item is not nothing:
            taken[index].append(item)

    def pop_many(index: int) -> None:
        taken[index] += s.pop_many(5)

    def pop_all(index: int) -> None:
        taken[index] += s.pop_all()

    def look(_index: int) -> None:
        seen = list(s)
        assert len(set(seen)) == len(seen)

    operations = [push, push, push_many, pop, pop_many, pop, push, push_many, pop_many, look]

    def step(index: int) -> None:
        for operation in operations * 10:
            operation(index)
        pop_all(index)

    hammer(8, step, rounds=100)
    pushed = (range(index, next(numbers[index]), 8) for index in range(8))
    assert sorted(chain(s.pop_all(), *taken)) == sorted(chain(*pushed))


class Item:
    """Knows whether it is alive, and how many are."""

    alive = AtomicInt64()

    def __init__(self) -> None:
        self.intact = True
        self.alive.increment()

    def __del__(self) -> None:
        self.intact = False
        self.alive.decrement()


def test_readers_find_items_alive_that_others_pop(impl: ModuleType) -> None:
    s = impl.Stack()

    def check(items: Iterable[Any]) -> None:
        assert all(type(item) is Item and item.intact for item in items)

    def pop() -> None:
        for _ in range(10):
            s.push(Item())
            check([s.pop(default=spare)])
        check(s.pop_many(100))
        s.push_many([Item() for _ in range(100)])

    def read() -> None:
        for _ in range(10):
            check([s.peek(default=spare)])
        check(s)
        repr(s)

    Item.alive.store(0)
    spare = Item()
    # Deep enough for a reader to be preempted on its way down, while others come and go.
    s.push_many([Item() for _ in range(10_000)])
    hammer(6, lambda index: pop() if index < 2 else read(), rounds=repetitions(impl, 100))
    s.clear()
    assert Item.alive == 1


def test_threads_leave_reference_counts_as_they_were(impl: ModuleType) -> None:
    s = impl.Stack()
    items = [object() for _ in range(16)]
    before = [sys.getrefcount(item) for item in items]

    def step(index: int) -> None:
        for _ in range(BATCH // 4):
            s.push(items[index])
            s.push_many(items)
            s.peek(default=None)
            list(s)
            s.pop(default=None)
            s.pop_many(15)
            s.clear()

    hammer(4, step, rounds=100)
    assert [sys.getrefcount(item) for item in items] == before
