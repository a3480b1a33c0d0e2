"""``AtomicBool``: one body for the native class and the locked one."""

from __future__ import annotations

import copy
import operator
import pickle
import weakref
from collections.abc import Callable
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lockfree import AtomicInt64
from support import hammer

BOOLS = [False, True]

# Every way to hand a bool to an atomic.
TAKES_BOOL: dict[str, Callable[[Any, Any], Any]] = {
    "AtomicBool": lambda a, value: type(a)(value),
    "store": lambda a, value: a.store(value),
    "exchange": lambda a, value: a.exchange(value),
    "compare_exchange expected": lambda a, value: a.compare_exchange(value, True),
    "compare_exchange desired": lambda a, value: a.compare_exchange(True, value),
    "update": lambda a, value: a.update(lambda _: value),
    "fetch_update": lambda a, value: a.fetch_update(lambda _: value),
    "wait": lambda a, value: a.wait(value, 0),
}


class Truthy:
    def __bool__(self) -> bool:
        raise AssertionError("nobody asks whether it is true")

    def __repr__(self) -> str:
        return "Truthy()"


# --- values --------------------------------------------------------------------


@pytest.mark.parametrize("value", BOOLS)
def test_holds_a_bool(impl: ModuleType, value: bool) -> None:
    a = impl.AtomicBool(value)
    assert a.load() is a.value is bool(a) is value
    assert str(a) == f"{a}" == str(value)
    assert repr(a) == f"AtomicBool({value})"


def test_starts_at_false(impl: ModuleType) -> None:
    assert impl.AtomicBool().load() is False


@pytest.mark.parametrize("bad", [1, 0, None, "True", 1.0, [], Truthy()], ids=repr)
@pytest.mark.parametrize("take", TAKES_BOOL.values(), ids=TAKES_BOOL)
def test_refuses_what_is_no_bool(
    impl: ModuleType, take: Callable[[Any, Any], Any], bad: Any
) -> None:
    a = impl.AtomicBool(True)
    with pytest.raises(TypeError) as caught:
        take(a, bad)
    assert str(caught.value) == f"expected a bool, not {bad!r}"
    assert a.load() is True


def test_value_is_read_only(impl: ModuleType) -> None:
    a = impl.AtomicBool(True)
    with pytest.raises(AttributeError):
        a.value = False
    with pytest.raises(AttributeError):
        a.other = False
    assert a.value is True


# --- operations ----------------------------------------------------------------

# What each makes of the value and its argument, and what it returns.
CHANGES: dict[str, Callable[[bool, bool], tuple[bool, bool | None]]] = {
    "store": lambda _old, new: (new, None),
    "exchange": lambda old, new: (new, old),
    "test_and_set": lambda old, _: (True, old),
    "toggle": lambda old, _: (not old, not old),
    "update": lambda old, new: (old ^ new, old ^ new),
    "fetch_update": lambda old, new: (old ^ new, old),
}


def apply(a: Any, name: str, new: bool) -> Any:
    if name in ("test_and_set", "toggle"):
        return getattr(a, name)()
    return getattr(a, name)((lambda old: old ^ new) if "update" in name else new)


@given(
    value=st.booleans(), steps=st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.booleans()))
)
def test_behaves_as_a_bool(impl: ModuleType, value: bool, steps: list[tuple[str, bool]]) -> None:
    a = impl.AtomicBool(value)
    for name, new in steps:
        value, returned = CHANGES[name](value, new)
        assert apply(a, name, new) is returned
        assert a.load() is value


@pytest.mark.parametrize("value", BOOLS)
@pytest.mark.parametrize("expected", BOOLS)
@pytest.mark.parametrize("desired", BOOLS)
def test_compare_exchange(impl: ModuleType, value: bool, expected: bool, desired: bool) -> None:
    a = impl.AtomicBool(value)
    assert a.compare_exchange(expected, desired) is (value is expected)
    assert a.load() is (desired if value is expected else value)


def test_update_retries_with_the_changed_value(impl: ModuleType) -> None:
    a = impl.AtomicBool()
    seen = []

    def fn(value: bool) -> bool:
        seen.append(value)
        if len(seen) < 4:
            a.toggle()
        return not value

    assert a.update(fn) is False
    assert seen == [False, True, False, True]


def test_an_exception_in_fn_leaves_the_value(impl: ModuleType) -> None:
    a = impl.AtomicBool(True)
    with pytest.raises(ZeroDivisionError):
        a.update(lambda value: bool(value // 0))
    assert a.load() is True


# --- threads -------------------------------------------------------------------


def test_of_all_who_set_it_one_is_the_first(impl: ModuleType) -> None:
    held, inside, entered = impl.AtomicBool(), [0], AtomicInt64()

    def step(_: int) -> None:
        for _ in range(50):
            if not held.test_and_set():
                inside[0] += 1  # not atomic: only who set the flag is here
                entered.increment()
                held.store(False)

    hammer(4, step, rounds=50)
    assert inside[0] == entered


@pytest.mark.parametrize("method", ["toggle", "update", "compare_exchange"])
def test_no_reversal_is_lost(impl: ModuleType, method: str) -> None:
    a, found = impl.AtomicBool(), [0, 0, 0, 0]

    def reverse() -> bool:
        if method == "toggle":
            return bool(a.toggle())
        if method == "update":
            return bool(a.update(operator.not_))
        value = a.load()
        while not a.compare_exchange(value, not value):
            value = a.load()
        return not value

    def step(index: int) -> None:
        for _ in range(50):
            found[index] += 1 if reverse() else -1

    hammer(4, step, rounds=50)
    assert sum(found) == int(a)  # each True was followed by a False, but perhaps the last


# --- as a bool -----------------------------------------------------------------


@pytest.mark.parametrize("other", [False, True, 0, 1, 2, 0.5, 1.0, float("nan"), Decimal(1), 1j])
@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
@pytest.mark.parametrize("value", BOOLS)
def test_compares_as_the_bool_does(impl: ModuleType, value: bool, name: str, other: Any) -> None:
    relation = getattr(operator, name)
    if isinstance(other, complex) and name not in ("eq", "ne"):
        with pytest.raises(TypeError, match="not supported between instances of"):
            relation(impl.AtomicBool(value), other)
        return
    assert relation(impl.AtomicBool(value), other) is relation(value, other)
    assert relation(other, impl.AtomicBool(value)) is relation(other, value)


def test_compares_with_other_atomics(impl: ModuleType) -> None:
    assert impl.AtomicBool(True) == impl.AtomicBool(True)
    assert impl.AtomicBool(True) != impl.AtomicBool()
    assert impl.AtomicBool(True) == impl.AtomicInt64(1)
    assert impl.AtomicInt64(0) == impl.AtomicBool()
    assert impl.AtomicBool() < impl.AtomicFloat64(0.5)


@pytest.mark.parametrize("other", ["True", None, [], object()], ids=lambda n: type(n).__name__)
def test_differs_from_what_is_no_number(impl: ModuleType, other: object) -> None:
    assert (impl.AtomicBool(True) == other) is False
    with pytest.raises(TypeError, match="not supported between instances of"):
        assert impl.AtomicBool() < other


def test_converts_as_the_bool_does(impl: ModuleType) -> None:
    a = impl.AtomicBool(True)
    assert int(a) == 1
    assert ["no", "yes"][a] == "yes"
    assert f"{a}" == "True"
    assert f"{a:d}|{a:>5}" == f"{True:d}|{True:>5}"
    assert impl.AtomicInt64(a).load() == 1


# --- as an object --------------------------------------------------------------


def test_is_unhashable_and_weakly_referenceable(impl: ModuleType) -> None:
    a = impl.AtomicBool()
    with pytest.raises(TypeError, match="unhashable type"):
        hash(a)
    ref = weakref.ref(a)
    assert ref() is a
    del a
    assert ref() is None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_refuses_to_be_copied(impl: ModuleType, copied: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        copied(impl.AtomicBool())
    assert str(caught.value) == (
        "cannot copy or pickle 'AtomicBool' object: it is shared state; copy its value, bool(a)"
    )


def test_is_final(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match="is not an acceptable base type"):
        type("Sub", (impl.AtomicBool,), {})


@pytest.mark.parametrize(
    "call",
    [
        "AtomicBool(flag=True)",
        "AtomicBool(True, False)",
        "a.test_and_set(True)",
        "a.toggle(True)",
        "a.store()",
        "a.store(value=True)",
        "a.compare_exchange(True)",
        "a.update(fn=bool)",
    ],
)
def test_refuses_keywords_and_wrong_counts(impl: ModuleType, call: str) -> None:
    with pytest.raises(TypeError, match="argument"):
        eval(call, {"AtomicBool": impl.AtomicBool, "a": impl.AtomicBool()})
