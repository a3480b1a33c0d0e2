"""Memory orderings: views of every atomic at one, and fences.

``lockfree.locked`` refuses what the native classes refuse, in the same words.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import operator
import pickle
import weakref
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import lockfree.locked
import pytest
from lockfree import Ordering
from lockfree.locked import _atomic
from support import hammer, waiting

RELAXED, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST = Ordering
LOADS = {RELAXED: RELAXED, ACQUIRE: ACQUIRE, RELEASE: RELAXED, ACQ_REL: ACQUIRE, SEQ_CST: SEQ_CST}
"""The part of each ordering that concerns reading."""

Method = Callable[[Any, Any, Any], Any]


class Kind(NamedTuple):
    """A class of atomics: two values, and its methods, called with them."""

    old: Any
    new: Any
    methods: dict[str, Method]


VALUES: dict[str, Method] = {
    "load": lambda a, _old, _new: a.load(),
    "store": lambda a, _old, new: a.store(new),
    "exchange": lambda a, _old, new: a.exchange(new),
    "compare_exchange": lambda a, old, new: a.compare_exchange(old, new),
    "update": lambda a, _old, new: a.update(lambda _: new),
    "fetch_update": lambda a, _old, new: a.fetch_update(lambda _: new),
}
WAITING: dict[str, Method] = {
    "wait": lambda a, old, _new: a.wait(old, 0),
    "async_wait": lambda a, _old, new: asyncio.run(until_different(a, new)),
    "notify_one": lambda a, _old, _new: a.notify_one(),
    "notify_all": lambda a, _old, _new: a.notify_all(),
}


async def until_different(a: Any, value: Any) -> None:
    await a.async_wait(value)


def with_new(*names: str) -> dict[str, Method]:
    """Methods that take one value."""
    return {name: partial(_call, name, 1) for name in names}


def bare(*names: str) -> dict[str, Method]:
    """Methods that take none."""
    return {name: partial(_call, name, 0) for name in names}


def _call(name: str, n: int, a: Any, _old: Any, new: Any) -> Any:
    return getattr(a, name)(*[new] * n)


FETCHES = [f"fetch_{name}" for name in ("add", "sub", "and", "or", "xor", "max", "min")]
INTEGER = with_new("add", "sub", *FETCHES) | bare("increment", "decrement")

FLOAT = with_new("add", "sub", *(f"fetch_{name}" for name in ("add", "sub", "max", "min")))

KINDS = {
    "AtomicBool": Kind(False, True, VALUES | WAITING | bare("test_and_set", "toggle")),
    "AtomicFloat64": Kind(0.5, 2.25, VALUES | WAITING | FLOAT),
    "AtomicInt64": Kind(5, 12, VALUES | WAITING | INTEGER),
    "AtomicRef": Kind(5, 12, VALUES | WAITING),  # of small ints there is one object each
}

READS = {"load", "wait", "async_wait"}
METHODS = [(name, method) for name, kind in KINDS.items() for method in kind.methods]


def refusal(method: str, ordering: Ordering) -> str | None:
    """What a method says at an ordering that it cannot have."""
    if method in READS and ordering in (RELEASE, ACQ_REL):
        return f"a load takes RELAXED, ACQUIRE or SEQ_CST, not {ordering.name}"
    if method == "store" and ordering in (ACQUIRE, ACQ_REL):
        return f"a store takes RELAXED, RELEASE or SEQ_CST, not {ordering.name}"
    return None


@pytest.fixture(params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def make(impl: ModuleType, name: str) -> Any:
    return getattr(impl, name)(KINDS[name].old)


# --- methods -------------------------------------------------------------------


def test_these_are_all_methods(impl: ModuleType, name: str) -> None:
    public = {member for member in dir(getattr(impl, name)) if not member.startswith("_")}
    assert public == set(KINDS[name].methods) | {"at", "value"}


@pytest.mark.parametrize("ordering", Ordering)
@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_view_does_as_its_atomic_or_refuses(
    impl: ModuleType, name: str, method: str, ordering: Ordering
) -> None:
    kind = KINDS[name]
    a, b = make(impl, name), make(impl, name)
    view = a.at(ordering)
    text = refusal(method, ordering)
    if text is None:
        result = kind.methods[method](view, kind.old, kind.new)
        assert result == kind.methods[method](b, kind.old, kind.new)
    else:
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            kind.methods[method](view, kind.old, kind.new)
        assert str(caught.value) == text
    assert a.load() == b.load()


STAMPED: dict[str, Method] = {
    "load": lambda a, _old, _new: a.load(),
    "store": lambda a, _old, new: a.store(new, 1),
    "exchange": lambda a, _old, new: a.exchange(new, 1),
    "compare_exchange": lambda a, old, new: a.compare_exchange(old, new, 0, 1),
}


@pytest.mark.parametrize("ordering", Ordering)
@pytest.mark.parametrize("method", STAMPED)
def test_a_view_of_a_stamped_reference_does_so_too(
    impl: ModuleType, method: str, ordering: Ordering
) -> None:
    a, b = impl.AtomicStampedRef("old"), impl.AtomicStampedRef("old")
    text = refusal(method, ordering)
    if text is None:
        result = STAMPED[method](a.at(ordering), "old", "new")
        assert result == STAMPED[method](b, "old", "new")
    else:
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            STAMPED[method](a.at(ordering), "old", "new")
        assert str(caught.value) == text
    assert a.load() == b.load()


def test_a_view_has_no_more_than_the_methods(impl: ModuleType, name: str) -> None:
    view = make(impl, name).at(RELAXED)
    for absent in ("at", "value", "other", "_lock"):
        assert not hasattr(view, absent)
    with pytest.raises(AttributeError):
        view.other = 1
    operations: list[Callable[[Any, Any], Any]] = [operator.iadd, operator.add, operator.iand]
    for operation in operations:
        with pytest.raises(TypeError, match="operand type"):
            operation(view, KINDS[name].new)
    with pytest.raises(TypeError):
        int(view)


def test_view_and_atomic_share_one_value(impl: ModuleType, name: str) -> None:
    old, new, _ = KINDS[name]
    a = make(impl, name)
    relaxed, strict = a.at(RELAXED), a.at(SEQ_CST)
    a.store(new)
    assert relaxed.load() == strict.load() == new
    assert relaxed.exchange(old) == new
    assert a.load() == strict.load() == a.value == old


@pytest.mark.parametrize("ordering", Ordering)
@pytest.mark.parametrize("name", ["AtomicFloat64", "AtomicInt64"])
def test_no_addition_is_lost_at_any_ordering(
    impl: ModuleType, name: str, ordering: Ordering
) -> None:
    a = getattr(impl, name)()
    view = a.at(ordering)

    def step(_: int) -> None:
        for _ in range(50):
            view.add(1)

    assert hammer(2, step, rounds=10) * 50 == a


# --- what `at` takes -----------------------------------------------------------


@pytest.mark.parametrize("bad", [1, "RELAXED", None, Ordering, RELAXED.value])
def test_an_ordering_is_a_member(impl: ModuleType, name: str, bad: Any) -> None:
    a = make(impl, name)
    text = f"expected an Ordering, not {bad!r}"
    calls: list[Callable[[], Any]] = [lambda: a.at(bad)]
    if bad is not None:
        calls += [lambda: a.at(RELAXED, bad), lambda: a.at(RELAXED, failure=bad)]
    for call in calls:
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == text


@pytest.mark.parametrize(
    "call", ["a.at()", "a.at(o, o, o)", "a.at(ordering=o)", "a.at(o, order=o)"]
)
def test_at_refuses_wrong_counts_and_keywords(impl: ModuleType, name: str, call: str) -> None:
    with pytest.raises(TypeError, match="argument"):
        eval(call, {"a": make(impl, name), "o": RELAXED})


@pytest.mark.parametrize("ordering", Ordering)
@pytest.mark.parametrize("failure", Ordering)
def test_a_failure_is_a_load(
    impl: ModuleType, name: str, ordering: Ordering, failure: Ordering
) -> None:
    old, new, _ = KINDS[name]
    a = make(impl, name)
    if failure in (RELEASE, ACQ_REL):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            a.at(ordering, failure)
        assert str(caught.value) == (
            f"a failed exchange takes RELAXED, ACQUIRE or SEQ_CST, not {failure.name}"
        )
        return
    view = a.at(ordering, failure=failure)
    assert view.compare_exchange(new, new) is False
    assert view.compare_exchange(old, new) is True
    assert view.update(lambda _: old) == a.load() == old


# --- as an object --------------------------------------------------------------


@pytest.mark.parametrize("ordering", Ordering)
def test_repr_tells_the_ordering_and_an_unusual_failure(
    impl: ModuleType, name: str, ordering: Ordering
) -> None:
    old, new, _ = KINDS[name]
    a = make(impl, name)
    shown = f".at(Ordering.{ordering.name}"
    assert repr(a.at(ordering)) == repr(a.at(ordering, None)) == f"{name}({old}){shown})"
    a.store(new)
    for failure in (RELAXED, ACQUIRE, SEQ_CST):
        unusual = "" if failure is LOADS[ordering] else f", Ordering.{failure.name}"
        assert repr(a.at(ordering, failure)) == f"{name}({new}){shown}{unusual})"


def test_a_view_is_final(impl: ModuleType) -> None:
    view = impl.AtomicInt64().at(Ordering.RELAXED)
    with pytest.raises(TypeError, match="is not an acceptable base type"):
        type("Sub", (type(view),), {})


def test_a_view_keeps_its_atomic_alive(impl: ModuleType, name: str) -> None:
    a = make(impl, name)
    ref = weakref.ref(a)
    view = a.at(RELAXED)
    del a
    assert view.load() == KINDS[name].old
    views = weakref.ref(view)
    del view
    assert ref() is None
    assert views() is None


def test_a_view_in_a_cycle_is_collected(impl: ModuleType, name: str) -> None:
    class Node:
        pass

    a = make(impl, name)
    ref = weakref.ref(a)
    node: Any = Node()
    node.itself, node.view = node, a.at(RELAXED)
    assert any(each is a for each in gc.get_referents(node.view))
    del a, node
    gc.collect()
    assert ref() is None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_view_refuses_to_be_copied(
    impl: ModuleType, name: str, copied: Callable[[Any], Any]
) -> None:
    text = r"cannot copy or pickle '\w*View' object: it is a view of shared state"
    with pytest.raises(TypeError, match=text):
        copied(make(impl, name).at(RELAXED))


# --- fences --------------------------------------------------------------------


@pytest.mark.parametrize("ordering", Ordering)
def test_a_fence_orders_something(impl: ModuleType, ordering: Ordering) -> None:
    if ordering is not RELAXED:
        impl.fence(ordering)
        return
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        impl.fence(ordering)
    assert str(caught.value) == "a fence takes ACQUIRE, RELEASE, ACQ_REL or SEQ_CST, not RELAXED"


def test_all_locked_fences_are_under_one_lock() -> None:
    with _atomic._FENCE:
        (other,) = waiting(partial(lockfree.locked.fence, Ordering.SEQ_CST))
    other.result(10)


@pytest.mark.parametrize("bad", [1, "SEQ_CST", None])
def test_a_fence_takes_an_ordering(impl: ModuleType, bad: Any) -> None:
    with pytest.raises(TypeError) as caught:
        impl.fence(bad)
    assert str(caught.value) == f"expected an Ordering, not {bad!r}"
    with pytest.raises(TypeError, match="argument"):
        impl.fence()
