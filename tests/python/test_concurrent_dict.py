"""The dictionary: what ``dict`` does, and what it lacks."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import sys
import threading
import weakref
from collections.abc import Callable, ItemsView, KeysView, Mapping, MutableMapping, ValuesView
from itertools import count
from random import Random
from types import ModuleType
from typing import Any

import lockfree
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from linearizability import Call, Specification, linearize, overlaps, record
from support import (
    FORKS_IN_TRAFFIC,
    FREE_THREADED,
    Node,
    hammer,
    in_child,
    needs_fork,
    repetitions,
    run_threads,
)

BIG = 10**6  # and what is above it: ints that the interpreter makes anew each time


# --- a mapping -----------------------------------------------------------------


def test_it_is_made_of_what_a_dict_is_made_of(impl: ModuleType) -> None:
    pairs = [("a", 1), ("b", 2)]
    for given in (pairs, dict(pairs), iter(pairs), impl.ConcurrentDict(pairs), ["a1", "b2"]):
        made = impl.ConcurrentDict(given)
        assert {key: int(value) for key, value in made.items()} == dict(pairs)
    assert impl.ConcurrentDict() == {}


@pytest.mark.parametrize("bad", [5, None, [1], ["abc"], [("a",)]])
def test_it_refuses_what_is_no_mapping(impl: ModuleType, bad: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        impl.ConcurrentDict(bad)


def test_weak_values_is_a_bool(impl: ModuleType) -> None:
    for wrong in (1, None):
        with pytest.raises(TypeError, match=rf"^expected a bool, not {wrong}$"):
            impl.ConcurrentDict(weak_values=wrong)


def test_it_is_a_mapping(impl: ModuleType) -> None:
    d = impl.ConcurrentDict({"a": 1})
    assert isinstance(d, Mapping)
    assert isinstance(d, MutableMapping)
    assert isinstance(d.keys(), KeysView)
    assert isinstance(d.values(), ValuesView)
    assert isinstance(d.items(), ItemsView)
    match d:
        case {"a": 1}:
            pass
        case _:
            pytest.fail("matches no pattern")


def test_what_is_put_is_there(impl: ModuleType) -> None:
    d = impl.ConcurrentDict()
    d["a"] = 1
    d.update({"b": 2}, c=3)
    d.update([("d", 4)])
    assert (d["a"], d.get("b"), d.get("x"), d.get("x", 5)) == (1, 2, None, 5)
    assert ("c" in d, "x" in d, len(d), bool(d)) == (True, False, 4, True)
    assert sorted(d) == sorted(d.keys()) == ["a", "b", "c", "d"]
    assert sorted(d.values()) == [1, 2, 3, 4]
    assert sorted(d.items()) == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]
    assert ("a", 1) in d.items()
    assert ("a", 2) not in d.items()


def test_what_is_missing_is_a_key_error(impl: ModuleType) -> None:
    d = impl.ConcurrentDict()
    asks: list[Callable[[str], object]] = [
        d.__getitem__,
        d.__delitem__,
        d.pop,
        lambda key: d.exchange(key, 1),
        lambda key: d.compute(key, pytest.fail),
    ]
    for ask in asks:
        with pytest.raises(KeyError) as caught:
            ask("a")
        assert caught.value.args == ("a",)
    with pytest.raises(KeyError) as caught:
        d.popitem()
    assert caught.value.args == ("popitem(): dictionary is empty",)
    assert len(d) == 0


def test_what_is_removed_is_gone(impl: ModuleType) -> None:
    d = impl.ConcurrentDict({"a": 1, "b": 2, "c": 3, "d": 4})
    del d["a"]
    assert (d.pop("b"), d.pop("b", None), d.pop("x", 7)) == (2, None, 7)
    popped = dict([d.popitem()])
    assert {**popped, **d} == {"c": 3, "d": 4}
    d.clear()
    assert (len(d), list(d), bool(d)) == (0, [], False)


def test_setdefault_puts_what_is_missing(impl: ModuleType) -> None:
    d = impl.ConcurrentDict()
    assert (d.setdefault("a", 1), d.setdefault("a", 2), d["a"]) == (1, 1, 1)
    assert (d.setdefault("b"), d["b"], d.setdefault("b", 3)) == (None, None, None)


def test_equal_keys_are_one_key_and_the_first_stays(impl: ModuleType) -> None:
    d = impl.ConcurrentDict()
    d[1] = "int"
    d[1.0] = "float"
    d[True] = "bool"
    assert (len(d), d[1], type(next(iter(d)))) == (1, "bool", int)
    nan = float("nan")
    d[nan] = 1
    assert (d[nan], float("nan") in d) == (1, False)


def test_fromkeys_gives_all_keys_a_value(impl: ModuleType) -> None:
    assert impl.ConcurrentDict.fromkeys("ab") == {"a": None, "b": None}
    made = impl.ConcurrentDict.fromkeys(["a"], 1)
    assert (made, type(made)) == ({"a": 1}, impl.ConcurrentDict)


def test_a_copy_is_another_one(impl: ModuleType) -> None:
    d = impl.ConcurrentDict({"a": []})
    for other in (d.copy(), copy.copy(d)):
        assert type(other) is impl.ConcurrentDict
        assert other == d
        assert other["a"] is d["a"]
        other["b"] = 1
        assert "b" not in d


def test_mappings_are_merged(impl: ModuleType) -> None:
    d, more = impl.ConcurrentDict({"a": 1, "b": 2}), {"b": 3, "c": 4}
    ours = d | more
    assert (ours, type(ours)) == ({"a": 1, "b": 3, "c": 4}, impl.ConcurrentDict)
    theirs = more | d
    assert (theirs, type(theirs)) == ({"a": 1, "b": 2, "c": 4}, impl.ConcurrentDict)
    with pytest.raises(TypeError):
        d | [("c", 4)]
    with pytest.raises(TypeError):
        [("c", 4)] | d
    same = d
    same |= [("c", 4)]
    same |= {"d": 5}
    assert same is d
    assert d == {"a": 1, "b": 2, "c": 4, "d": 5}


def test_it_compares_with_mappings_and_is_unhashable(impl: ModuleType) -> None:
    d = impl.ConcurrentDict({"a": 1})
    assert d == {"a": 1}
    assert d == impl.ConcurrentDict({"a": 1})
    assert d != {"a": 2}
    assert d != [("a", 1)]
    with pytest.raises(TypeError, match="unhashable type"):
        hash(d)
    with pytest.raises(TypeError):
        reversed(d)


def test_it_shows_what_is_in_it(impl: ModuleType) -> None:
    d = impl.ConcurrentDict()
    assert repr(d) == "ConcurrentDict({})"
    d["a"] = d
    assert repr(d) == "ConcurrentDict({'a': ConcurrentDict(...)})"

    class Named(impl.ConcurrentDict):  # type: ignore[misc, name-defined]
        pass

    assert repr(Named({1: "b"})) == "Named({1: 'b'})"


def test_it_is_not_pickled(impl: ModuleType) -> None:
    d = impl.ConcurrentDict({"a": 1})
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            attempt(d)
        assert str(caught.value) == (
            "cannot copy or pickle 'ConcurrentDict' object: it is shared state; "
            "copy its items, dict(d.items())"
        )


def test_iteration_goes_on_whatever_changes(impl: ModuleType) -> None:
    d = impl.ConcurrentDict.fromkeys(range(100))
    seen = []
    for key in d:
        seen.append(key)
        d.pop(key)
        d[key + BIG] = None
    assert sorted(seen) == list(range(100))


@pytest.mark.parametrize(
    "use",
    [
        lambda d, key: d[key],
        lambda d, key: d.get(key),
        lambda d, key: key in d,
        lambda d, key: d.setdefault(key, 1),
        lambda d, key: d.compute(key, abs, 1),
        lambda d, key: d.exchange(key, 1, default=1),
        lambda d, key: d.compare_exchange(key, 1, 2),
        lambda d, key: d.compare_remove(key, 1),
        lambda d, key: d.pop(key, None),
        lambda d, key: d.get_or_load(key, abs),
    ],
)
def test_what_a_key_raises_reaches_the_caller(
    impl: ModuleType, use: Callable[[Any, Any], object]
) -> None:
    class Bad:
        def __hash__(self) -> int:
            return 5

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

    d = impl.ConcurrentDict({5: 1})
    with pytest.raises(TypeError, match="unhashable type"):
        use(d, [])
    with pytest.raises(ZeroDivisionError):
        use(d, Bad())
    assert d == {5: 1}


def test_a_subclass_may_have_an_init_of_its_own(impl: ModuleType) -> None:
    class Numbered(impl.ConcurrentDict):  # type: ignore[misc, name-defined]
        def __init__(self, *, number: int) -> None:
            super().__init__({"number": number})

    assert Numbered(number=3) == {"number": 3}


# --- updates of a key ----------------------------------------------------------


def test_compute_replaces_the_value_by_what_is_made_of_it(impl: ModuleType) -> None:
    d = impl.ConcurrentDict({"a": 1})
    assert (d.compute("a", lambda n: n + 1), d["a"]) == (2, 2)
    assert (d.compute("b", lambda n: n + 1, 5), d["b"]) == (6, 6)
    assert d.compute("a", lambda _: None) is None
    assert d.compute("a", lambda n: n is None, default=pytest.fail) is True
    assert dict(d) == {"a": True, "b": 6}


def test_a_failing_compute_changes_nothing(impl: ModuleType) -> None:
    d = impl.ConcurrentDict({"a": 0})
    with pytest.raises(ZeroDivisionError):
        d.compute("a", lambda n: 1 / n)
    with pytest.raises(ZeroDivisionError):
        d.compute("b", lambda n: 1 / n, 0)
    with pytest.raises(TypeError):
        d.compute("a", 5)
    assert d == {"a": 0}


def test_compute_starts_again_if_the_key_was_changed(impl: ModuleType) -> None:
    d, seen = impl.ConcurrentDict({"a": BIG}), []

    def meddle(n: int) -> int:
        seen.append(n)
        if len(seen) == 1:
            d["a"] = BIG + 10
        elif len(seen) == 2:
            del d["a"]
        elif len(seen) == 3:
            d.clear()
            d["a"] = BIG + 20
        return n + 1

    assert d.compute("a", meddle, 5) == BIG + 21
    assert seen == [BIG, BIG + 10, 5, BIG + 20]


def test_exchange_returns_what_was_there(impl: ModuleType) -> None:
    d = impl.ConcurrentDict({"a": 1})
    assert (d.exchange("a", 2), d.exchange("b", 3, None), d.exchange("c", 4, default=5)) == (
        1,
        None,
        5,
    )
    assert d == {"a": 2, "b": 3, "c": 4}


PLAIN = [
    (BIG, BIG + 0, True),
    (1.5, float("1.5"), True),
    ("ab" * 50, "".join(["ab"] * 50), True),
    (b"ab" * 50, b"".join([b"ab"] * 50), True),
    (True, True, True),
    (True, 1, False),
    (1, True, False),
    (1, 1.0, False),
    ("a", b"a", False),
    (BIG, BIG + 1, False),
    (float("nan"), float("nan"), False),
    ([1], [1], False),
    ([], [], False),
]


@pytest.mark.parametrize(("value", "expected", "matches"), PLAIN)
def test_expected_is_identical_or_plain_and_equal(
    impl: ModuleType, value: object, expected: object, matches: bool
) -> None:
    d = impl.ConcurrentDict({"a": value})
    assert d.compare_exchange("a", expected, "new") is matches
    assert d["a"] is ("new" if matches else value)
    d["a"] = value
    assert d.compare_remove("a", expected) is matches
    assert ("a" in d) is not matches
    d["a"] = value
    assert d.compare_exchange("a", value, "same") is True


def test_a_subclass_of_a_plain_type_is_expected_by_identity(impl: ModuleType) -> None:
    class Int(int):
        def __eq__(self, other: object) -> bool:
            pytest.fail("compared")

        __hash__ = int.__hash__

    value = Int(5)
    d = impl.ConcurrentDict({"a": value})
    assert not d.compare_exchange("a", 5, 6)
    assert not d.compare_exchange("a", Int(5), 6)
    assert d.compare_exchange("a", value, 5)
    assert not d.compare_remove("a", Int(5))


def test_a_missing_key_has_no_expected_value(impl: ModuleType) -> None:
    d = impl.ConcurrentDict()
    assert not d.compare_exchange("a", None, 1)
    assert not d.compare_remove("a", None)
    assert len(d) == 0


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("compute", ("a",)),
        ("exchange", ("a",)),
        ("compare_exchange", ("a", 1)),
        ("compare_remove", ("a",)),
        ("compare_remove", ("a", 1, 2)),
        ("compute", ("a", abs, 1, 2)),
        ("get", ()),
        ("setdefault", ()),
        ("pop", ("a", 1, 2)),
    ],
)
def test_the_number_of_arguments_is_checked(
    impl: ModuleType, method: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(TypeError):
        getattr(impl.ConcurrentDict({"a": 1}), method)(*arguments)


# --- against dict --------------------------------------------------------------

KEYS = st.sampled_from([0, 1, 2.0, "a", "b", (1, 2), None])
VALUES = st.integers(BIG, BIG + 3)


class AsADict(RuleBasedStateMachine):
    """Whatever is done to both, the dictionary has what a ``dict`` has."""

    implementation: ModuleType

    def __init__(self) -> None:
        super().__init__()
        self.ours, self.dict = self.implementation.ConcurrentDict(), dict[Any, int]()

    @rule(key=KEYS, value=VALUES)
    def put(self, key: object, value: int) -> None:
        self.ours[key] = self.dict[key] = value

    @rule(key=KEYS, value=VALUES)
    def setdefault(self, key: object, value: int) -> None:
        assert self.ours.setdefault(key, value) == self.dict.setdefault(key, value)

    @rule(key=KEYS)
    def pop(self, key: object) -> None:
        assert self.ours.pop(key, None) == self.dict.pop(key, None)

    @rule(key=KEYS)
    def compute(self, key: object) -> None:
        self.dict[key] = self.dict.get(key, 0) + 1
        assert self.ours.compute(key, lambda n: n + 1, 0) == self.dict[key]

    @rule(key=KEYS, value=VALUES)
    def exchange(self, key: object, value: int) -> None:
        assert self.ours.exchange(key, value, None) == self.dict.get(key)
        self.dict[key] = value

    @rule(key=KEYS, expected=VALUES, desired=VALUES)
    def compare_exchange(self, key: object, expected: int, desired: int) -> None:
        is_there = self.dict.get(key) == expected
        assert self.ours.compare_exchange(key, expected, desired) is is_there
        if is_there:
            self.dict[key] = desired

    @rule(key=KEYS, expected=VALUES)
    def compare_remove(self, key: object, expected: int) -> None:
        is_there = self.dict.get(key) == expected
        assert self.ours.compare_remove(key, expected) is is_there
        if is_there:
            del self.dict[key]

    @rule()
    def popitem(self) -> None:
        if self.dict:
            key, value = self.ours.popitem()
            assert self.dict.pop(key) == value

    @rule(more=st.dictionaries(KEYS, VALUES))
    def merge(self, more: dict[Any, int]) -> None:
        assert self.ours | more == self.dict | more
        self.ours |= more
        self.dict |= more

    @rule()
    def clear(self) -> None:
        self.ours.clear()
        self.dict.clear()

    @invariant()
    def has_what_a_dict_has(self) -> None:
        assert self.ours == self.dict
        assert len(self.ours) == len(self.dict)
        assert set(self.ours) == set(self.dict)


def test_it_does_what_a_dict_does(impl: ModuleType) -> None:
    class Machine(AsADict):
        implementation = impl

    run_state_machine_as_test(Machine, settings=settings(max_examples=60, stateful_step_count=30))


def test_many_keys_come_and_go(impl: ModuleType) -> None:
    d, n = impl.ConcurrentDict(), 20_000
    for key in range(n):
        d[str(key)] = key
    assert len(d) == n
    assert all(d[str(key)] == key for key in range(n))
    assert dict(d.popitem() for _ in range(n)) == {str(key): key for key in range(n)}
    assert len(d) == 0


# --- linearizability -----------------------------------------------------------


def _put(_state: Any, _key: str, value: int) -> tuple[Any, Any]:
    return value, None


def _compare_exchange(state: Any, _key: str, expected: int, desired: int) -> tuple[Any, Any]:
    return (desired, True) if state == expected else (state, False)


def _compare_remove(state: Any, _key: str, expected: int) -> tuple[Any, Any]:
    return (None, True) if state == expected else (state, False)


def _setdefault(state: Any, _key: str, value: int) -> tuple[Any, Any]:
    return (value, value) if state is None else (state, state)


def _compute(state: Any, _key: str, fn: Callable[[int], int], default: int) -> tuple[Any, Any]:
    new = fn(default if state is None else state)
    return new, new


# Of one key; None is that it is missing.
ONE_KEY: Specification = {
    "get": lambda state, _key: (state, state),
    "__contains__": lambda state, _key: (state, state is not None),
    "__setitem__": _put,
    "setdefault": _setdefault,
    "pop": lambda state, _key, _default: (None, state),
    "compute": _compute,
    "exchange": lambda state, _key, value, _default: (value, state),
    "compare_exchange": _compare_exchange,
    "compare_remove": _compare_remove,
    "__len__": lambda state: (state, int(state is not None)),
    "clear": lambda _state: (None, None),
}


def step_on(n: int) -> int:
    return n + BIG


def draw(random: Random, number: int) -> Call:
    """Draw a call on the one key; the number tells what it puts from what others do."""
    return random.choice(
        [
            Call("get", ("k",)),
            Call("__contains__", ("k",)),
            Call("__setitem__", ("k", number)),
            Call("setdefault", ("k", number)),
            Call("pop", ("k", None)),
            *[Call("compute", ("k", step_on, 0))] * 3,
            Call("exchange", ("k", number, None)),
            Call("compare_exchange", ("k", number - 1, number)),
            Call("compare_exchange", ("k", BIG, number)),
            Call("compare_remove", ("k", BIG)),
            Call(random.choice(["__len__", "clear"])),
        ]
    )


def test_the_history_of_a_key_is_linearizable(impl: ModuleType) -> None:
    random, rounds = Random(20), repetitions(impl, 1000)
    plans = [
        [[draw(random, 10 * thread + i) for i in range(6)] for thread in range(3)]
        for _ in range(rounds)
    ]
    histories = record(impl.ConcurrentDict, plans)
    assert any(map(overlaps, histories))
    for history in histories:
        assert linearize(history, ONE_KEY, None) is not None, history


# --- threads -------------------------------------------------------------------

THREADS = 4


def test_no_compute_is_lost(impl: ModuleType) -> None:
    d, each = impl.ConcurrentDict(), repetitions(impl, 5_000)

    def work(_index: int) -> None:
        for i in range(each):
            d.compute(i % 7, step_on, 0)

    run_threads(THREADS, work)
    assert sum(d.values()) == THREADS * each * BIG


def test_setdefault_has_one_winner(impl: ModuleType) -> None:
    d, rounds = impl.ConcurrentDict(), repetitions(impl, 2_000)

    def work(index: int) -> list[Any]:
        return [d.setdefault(i, (index, i)) for i in range(rounds)]

    first, *others = run_threads(THREADS, work)
    for other in others:
        assert all(a is b for a, b in zip(first, other, strict=True))


def test_compare_exchange_counts_exactly(impl: ModuleType) -> None:
    d, each = impl.ConcurrentDict({"n": BIG}), repetitions(impl, 2_000)

    def work(_index: int) -> None:
        for _ in range(each):
            while not d.compare_exchange("n", n := d["n"], n + 1):
                pass

    run_threads(THREADS, work)
    assert d["n"] == BIG + THREADS * each


def test_each_item_is_removed_once(impl: ModuleType) -> None:
    n = repetitions(impl, 10_000)
    d = impl.ConcurrentDict.fromkeys(range(n), 0)

    def work(index: int) -> list[int]:
        got = []
        for i in range(n):
            if index > 1:
                try:
                    got.append(d.popitem()[0])
                except KeyError:
                    break
            elif d.compare_remove(i, 0) if index else d.pop(i, None) is not None:
                got.append(i)
        return got

    removed = [key for keys in run_threads(THREADS, work) for key in keys]
    assert len(removed) == len(set(removed))
    assert set(removed) | set(d) == set(range(n))


def test_iteration_has_what_is_there_throughout_once(impl: ModuleType) -> None:
    stay = range(200)
    d = impl.ConcurrentDict.fromkeys(stay)
    fresh = count(1000)

    def step(index: int) -> None:
        if index:
            key = next(fresh)
            d[key] = None
            d.pop(key - 50, None)
        else:
            seen = list(d)
            assert len(seen) == len(set(seen))
            assert set(stay) <= set(seen)

    hammer(3, step, rounds=repetitions(impl, 300))


# --- loads ---------------------------------------------------------------------


def test_one_loads_what_many_miss(impl: ModuleType) -> None:
    d, calls = impl.ConcurrentDict(), impl.StripedCounter()

    def load(_key: int) -> object:
        calls.increment()
        return object()

    rounds = repetitions(impl, 300)
    first, *others = run_threads(
        THREADS, lambda _index: [d.get_or_load(i, load) for i in range(rounds)]
    )
    for other in others:
        assert all(a is b for a, b in zip(first, other, strict=True))
    assert calls.sum() == rounds


def test_coroutines_load_too(impl: ModuleType) -> None:
    d = impl.ConcurrentDict()

    async def load(key: str) -> str:
        await asyncio.sleep(0)
        return key.upper()

    async def main() -> list[str]:
        loads = [d.async_get_or_load("a", load) for _ in range(3)]
        return list(await asyncio.gather(*loads))

    assert asyncio.run(main()) == ["A"] * 3
    assert d.get_or_load("a", pytest.fail) == "A"


@pytest.mark.parametrize(
    "write",
    [
        lambda d: d.__setitem__("a", "written"),
        lambda d: d.setdefault("a", "written"),
        lambda d: d.exchange("a", "written", None),
        lambda d: d.compute("a", lambda _: "written", None),
    ],
)
def test_a_load_does_not_overwrite_a_newer_write(
    impl: ModuleType, write: Callable[[Any], object]
) -> None:
    d = impl.ConcurrentDict()

    def load(_key: str) -> str:
        write(d)
        return "loaded"

    assert d.get_or_load("a", load) == "loaded"
    assert d["a"] == "written"


@pytest.mark.parametrize(
    "remove",
    [lambda d: d.pop("a", None), lambda d: d.clear(), lambda d: d.compare_remove("a", "x")],
    ids=["pop", "clear", "compare_remove"],
)
def test_a_load_does_not_bring_back_what_was_removed(
    impl: ModuleType, remove: Callable[[Any], object]
) -> None:
    d = impl.ConcurrentDict()

    def load(_key: str) -> str:
        d["a"] = "x"
        remove(d)
        return "loaded"

    assert d.get_or_load("a", load) == "loaded"
    assert "a" not in d


# --- the collector, and user code ----------------------------------------------


def test_the_collector_finds_what_is_in_it(impl: ModuleType) -> None:
    d, node = impl.ConcurrentDict(), Node()
    node.link = d
    d["a"] = node
    gone = weakref.ref(node)
    del d, node
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    "drop",
    [
        lambda d: d.pop("a"),
        lambda d: d.clear(),
        lambda d: d.__setitem__("a", None),
        lambda d: d.exchange("a", None),
        lambda d: d.compute("a", lambda _: None),
        lambda d: d.compare_exchange("a", d["a"], None),
        lambda d: d.compare_remove("a", d["a"]),
        lambda d: d.popitem(),
    ],
)
def test_what_is_removed_is_freed_at_once(impl: ModuleType, drop: Callable[[Any], object]) -> None:
    d, node = impl.ConcurrentDict(), Node()
    gone = weakref.ref(node)
    d["a"] = node
    del node
    gc.disable()
    try:
        drop(d)
        assert gone() is None
    finally:
        gc.enable()


def test_a_finalizer_may_use_the_dictionary() -> None:
    d: Any = lockfree.ConcurrentDict()

    class Tidy:
        def __del__(self) -> None:
            d.compute("n", step_on, 0)
            d.pop("key", None)
            len(d)

    for _ in range(3):
        d["key"] = Tidy()
        d["key"] = None
        d["key"] = Tidy()
        d.clear()  # what the finalizer puts meanwhile may stay
    d["key"] = Tidy()
    del d["key"]
    assert d["n"] >= BIG


def test_a_comparison_may_use_the_dictionary() -> None:
    d: Any = lockfree.ConcurrentDict()

    class Key:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            d.pop(self, None) if depth.pop() else None
            return self is other

    depth = [0, 0, 0, 0, 1, 0, 0, 0, 1, 0]
    a, b = Key(), Key()
    d[a] = 1
    depth += [0] * 50
    d[b] = 2
    assert d.compute(b, step_on, 0) in (2 + BIG, BIG)


def test_dictionaries_in_dictionaries_are_freed(impl: ModuleType) -> None:
    d = impl.ConcurrentDict()
    for _ in range(100_000):
        d = impl.ConcurrentDict({"in": d})
    del d
    gc.collect()


def test_it_knows_its_size() -> None:
    d: Any = lockfree.ConcurrentDict()
    empty = sys.getsizeof(d)
    n = 100_000
    for key in range(n):
        d[key] = None
    # Where an entry lies, and what the table has for it; without key and value.
    assert (sys.getsizeof(d) - empty) / n - 16 <= 80
    d.clear()
    assert sys.getsizeof(d) < empty + n


@needs_fork
def test_a_child_goes_on() -> None:
    child = in_child(
        FORKS_IN_TRAFFIC
        + """
from lockfree import ConcurrentDict

d = ConcurrentDict(weak_values=False)

def traffic(index):
    for i in range(50):
        d.compute(i % 5, lambda n: n + 1, 0)
        d[index, i] = i
        d.pop((index, i), None)

def use(number):
    d.compute("child", lambda n: n + 1, 0)
    assert d["child"] == 1
    d.clear()
    assert d.get_or_load("x", lambda key: number) == number

fork_in_traffic(10, traffic, use)
"""
    )
    assert child.returncode == 0, child.stderr


# --- weak values ---------------------------------------------------------------


def test_an_entry_goes_with_its_value(impl: ModuleType) -> None:
    d, node = impl.ConcurrentDict(weak_values=True), Node()
    d["a"] = node
    assert (d["a"] is node, "a" in d, len(d), list(d)) == (True, True, 1, ["a"])
    assert list(d.values()) == [node]
    del node
    gc.collect()
    assert (d.get("a"), "a" in d, len(d), list(d), list(d.items())) == (None, False, 0, [], [])
    with pytest.raises(KeyError):
        d["a"]


def test_a_later_value_stays_when_the_first_goes(impl: ModuleType) -> None:
    d, first, second = impl.ConcurrentDict(weak_values=True), Node(), Node()
    d["a"] = first
    d["a"] = second
    del first
    gc.collect()
    assert d["a"] is second


def test_not_everything_can_be_a_weak_value(impl: ModuleType) -> None:
    d = impl.ConcurrentDict(weak_values=True)
    uses: list[Callable[[], object]] = [
        lambda: d.__setitem__("a", 5),
        lambda: d.setdefault("a", 5),
        lambda: d.exchange("a", 5, None),
        lambda: d.get_or_load("a", lambda _key: 5),
    ]
    for use in uses:
        with pytest.raises(TypeError, match="cannot create weak reference to 'int' object"):
            use()
    assert len(d) == 0


def test_updates_of_weak_values(impl: ModuleType) -> None:
    d, a, b = impl.ConcurrentDict(weak_values=True), Node(), Node()
    d["a"] = a
    assert d.exchange("a", b) is a
    swap = {a: b, b: a}.__getitem__
    assert d.compute("a", swap) is a
    assert d.compare_exchange("a", b, a) is False
    assert d.compare_exchange("a", a, b) is True
    assert d.compare_remove("a", a) is False
    assert d.compare_remove("a", b) is True
    d["a"] = a
    other = d.copy()
    assert other["a"] is a
    assert (d | {"b": b})["b"] is b
    assert d.pop("a") is a
    d["a"] = a
    assert d.popitem() == ("a", a)
    del a, b, swap
    gc.collect()
    assert len(other) == 0
    assert d.setdefault("a", c := Node()) is c


def test_weak_values_and_their_dictionary_are_freed(impl: ModuleType) -> None:
    node = Node()
    d = node.link = impl.ConcurrentDict(weak_values=True)
    d[node] = node  # a key keeps it
    gone = weakref.ref(node)
    del d, node
    gc.collect()
    assert gone() is None


def test_a_dictionary_may_go_before_its_values(impl: ModuleType) -> None:
    d, node = impl.ConcurrentDict(weak_values=True), Node()
    d["a"] = node
    del d
    gc.collect()
    assert weakref.getweakrefcount(node) == 0
    del node


@pytest.mark.parametrize("method", ["setdefault", "get_or_load"])
def test_no_two_live_objects_have_one_key(impl: ModuleType, method: str) -> None:
    """Each keeps what it got until all have theirs; then it goes, and the next round begins."""
    d, rounds = impl.ConcurrentDict(weak_values=True), repetitions(impl, 1_000)
    barrier = threading.Barrier(3)
    got: list[Any] = [None] * 3

    def intern(key: str) -> Any:
        return d.setdefault(key, Node()) if method == "setdefault" else d.get_or_load(key, make)

    def make(_key: str) -> Node:
        return Node()

    def work(index: int) -> int:
        different = 0
        for _ in range(rounds):
            got[index] = intern("key")
            barrier.wait()
            different += any(each is not got[0] for each in got)
            barrier.wait()
            got[index] = None
        return different

    assert run_threads(3, work, timeout=120) == [0] * 3


def test_objects_that_come_and_go_are_one_at_a_time(impl: ModuleType) -> None:
    """Whoever has the object finds it again, however often it is lost and made anew."""
    d = impl.ConcurrentDict(weak_values=True)

    def step(_index: int) -> None:
        mine = d.setdefault("key", Node())
        assert d.setdefault("key", Node()) is mine
        assert d.get_or_load("key", lambda _key: Node()) is mine

    hammer(3, step, rounds=repetitions(impl, 2_000))
    gc.collect()
    assert FREE_THREADED or len(d) == 0
