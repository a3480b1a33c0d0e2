"""``AtomicRef`` and ``AtomicStampedRef``: one body for the native classes and the locked ones."""

from __future__ import annotations

import copy
import ctypes
import gc
import pickle
import sys
import time
import weakref
from collections.abc import Callable
from itertools import count
from operator import attrgetter
from types import GenericAlias, MemberDescriptorType, ModuleType
from typing import Any, assert_type

import lockfree
import pytest
from support import FREE_THREADED, Node, hammer, repetitions, run_threads

BIG = 10**6  # ints beyond the small ones: equal ones may be different objects


def equal_but_not_same() -> tuple[int, int]:
    return BIG + 1, int(str(BIG + 1))


# --- AtomicRef -----------------------------------------------------------------


def test_without_an_object_it_may_hold_none_to_a_type_checker() -> None:
    assert_type(lockfree.AtomicRef[int]().load(), int | None)
    assert_type(lockfree.AtomicRef(1).load(), int)
    assert_type(lockfree.AtomicStampedRef[int]().load()[0], int | None)
    assert_type(lockfree.AtomicStampedRef(1).load()[0], int)


def test_refers_to_any_object(impl: ModuleType) -> None:
    a = impl.AtomicRef()
    assert a.load() is a.value is None
    for obj in (object(), 5, "five", [5], impl.AtomicRef, a):
        a.store(obj)
        assert a.load() is a.value is obj


def test_exchange_returns_the_old_object(impl: ModuleType) -> None:
    first, second = object(), object()
    a = impl.AtomicRef(first)
    assert a.exchange(second) is first
    assert a.load() is second


def test_compare_exchange_goes_by_identity(impl: ModuleType) -> None:
    one, other = equal_but_not_same()
    assert one == other
    assert one is not other
    a = impl.AtomicRef(one)
    assert a.compare_exchange(other, "replaced") is False
    assert a.load() is one
    assert a.compare_exchange(one, "replaced") is True
    assert a.load() == "replaced"


def test_compare_exchange_of_what_is_not_equal_to_itself(impl: ModuleType) -> None:
    nan = float("nan")
    a = impl.AtomicRef(nan)
    assert a.compare_exchange(nan, nan) is True


def test_identity_is_asked_of_nobody(impl: ModuleType) -> None:
    class Haughty:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("asked")

        __hash__ = None  # type: ignore[assignment]

    a = impl.AtomicRef(Haughty())
    assert a.compare_exchange(Haughty(), 1) is False
    assert a.wait(Haughty(), timeout=0) is True


def test_update_and_fetch_update(impl: ModuleType) -> None:
    a = impl.AtomicRef((1,))
    assert a.update(lambda t: (*t, 2)) == (1, 2)
    assert a.fetch_update(lambda t: (*t, 3)) == (1, 2)
    assert a.load() == (1, 2, 3)


def test_update_retries_with_the_new_object(impl: ModuleType) -> None:
    a = impl.AtomicRef(())
    seen = []

    def fn(value: tuple[int, ...]) -> tuple[int, ...]:
        seen.append(value)
        if len(seen) < 3:
            a.store((*value, 0))
        return (*value, 1)

    assert a.update(fn) == (0, 0, 1)
    assert seen == [(), (0,), (0, 0)]


def test_an_exception_in_fn_leaves_the_object(impl: ModuleType) -> None:
    a = impl.AtomicRef("kept")
    with pytest.raises(ZeroDivisionError):
        a.update(lambda _: 1 // 0)
    with pytest.raises(TypeError, match="'int' object is not callable"):
        a.fetch_update(1)
    assert a.load() == "kept"


# --- AtomicStampedRef ----------------------------------------------------------


def test_object_and_stamp_change_together(impl: ModuleType) -> None:
    a = impl.AtomicStampedRef()
    assert a.load() == a.value == (None, 0)
    a.store("x", -(2**63))
    assert a.load() == ("x", -(2**63))
    assert a.exchange("y", 2**63 - 1) == ("x", -(2**63))
    assert type(a.exchange("z", True)[1]) is int
    assert a.load() == ("z", 1)
    assert type(a.load()[1]) is int


@pytest.mark.parametrize(
    ("expected", "stamp", "replaced"),
    [("same", 7, True), ("same", 8, False), ("other", 7, False), ("other", 8, False)],
)
def test_both_must_be_as_expected(
    impl: ModuleType, expected: str, stamp: int, replaced: bool
) -> None:
    same, other = equal_but_not_same()
    a = impl.AtomicStampedRef(same, 7)
    candidate = same if expected == "same" else other
    assert a.compare_exchange(candidate, "new", stamp, 9) is replaced
    assert a.load() == (("new", 9) if replaced else (same, 7))


def test_a_stamp_shows_what_came_back(impl: ModuleType) -> None:
    a = impl.AtomicStampedRef("A")
    seen, stamp = a.load()
    a.store("B", 1)
    a.store(seen, 2)
    assert not a.compare_exchange(seen, "C", stamp, stamp + 1)
    assert a.compare_exchange(expected=seen, desired="C", expected_stamp=2, desired_stamp=3)


@pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        (1.0, TypeError, "expected an int, not 1.0"),
        (2**63, OverflowError, "9223372036854775808 does not fit in 64 bits"),
    ],
)
def test_refuses_what_is_no_stamp(
    impl: ModuleType, bad: Any, error: type[Exception], text: str
) -> None:
    a = impl.AtomicStampedRef("x", 1)
    calls: list[Callable[[], object]] = [
        lambda: impl.AtomicStampedRef("x", bad),
        lambda: a.store("y", bad),
        lambda: a.exchange("y", bad),
        lambda: a.compare_exchange("x", "y", bad, 2),
        lambda: a.compare_exchange("x", "y", 1, bad),
    ]
    for call in calls:
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value) == text
    assert a.load() == ("x", 1)


# --- both as objects -----------------------------------------------------------

BOTH = pytest.mark.parametrize("name", ["AtomicRef", "AtomicStampedRef"])


@BOTH
def test_shows_what_it_holds(impl: ModuleType, name: str) -> None:
    a = getattr(impl, name)("x")
    inside = "'x', 0" if name == "AtomicStampedRef" else "'x'"
    assert repr(a) == f"{name}({inside})"
    a.store(*(a, 5)[: 1 + (name == "AtomicStampedRef")])
    inside = f"{name}(...), 5" if name == "AtomicStampedRef" else f"{name}(...)"
    assert repr(a) == f"{name}({inside})"


@BOTH
def test_is_generic_final_weakly_referenceable_and_itself(impl: ModuleType, name: str) -> None:
    cls = getattr(impl, name)
    assert type(cls[int]) is GenericAlias
    assert cls[int]("x").load() == cls("x").load()
    with pytest.raises(TypeError, match="is not an acceptable base type"):
        type("Sub", (cls,), {})
    a, b = cls(1), cls(1)
    assert a != b
    assert {a: "by identity"}[a]
    ref = weakref.ref(a)
    del a
    assert ref() is None


@BOTH
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_refuses_to_be_copied(impl: ModuleType, name: str, copied: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=f"cannot copy or pickle '{name}' object: it is shared"):
        copied(getattr(impl, name)())


@pytest.mark.parametrize(
    "call",
    [
        "AtomicRef(obj=1)",
        "AtomicRef(1, 2)",
        "a.store()",
        "a.exchange(obj=1)",
        "a.compare_exchange(1)",
        "s.store(1)",
        "s.exchange(1, 2, 3)",
        "s.compare_exchange(1, 2, 3)",
        "s.compare_exchange(1, 2, 3, 4, 5)",
        "s.compare_exchange(1, 2, 3, stamp=4)",
    ],
)
def test_refuses_wrong_arguments(impl: ModuleType, call: str) -> None:
    a, s = impl.AtomicRef("kept"), impl.AtomicStampedRef("kept", 1)
    with pytest.raises(TypeError, match="argument"):
        eval(call, {"AtomicRef": impl.AtomicRef, "a": a, "s": s})
    assert (a.load(), s.load()) == ("kept", ("kept", 1))


# --- references ----------------------------------------------------------------


def replacements(a: Any, obj: object) -> dict[str, Callable[[], object]]:
    """Return every way to replace the object `a` refers to, which is `obj` or unknown."""
    if "Stamped" in type(a).__name__:
        return {
            "store": lambda: a.store(1, 1),
            "exchange": lambda: a.exchange(1, 1),
            "compare_exchange": lambda: a.compare_exchange(obj, 1, 0, 1),
        }
    return {
        "store": lambda: a.store(1),
        "exchange": lambda: a.exchange(1),
        "compare_exchange": lambda: a.compare_exchange(obj, 1),
        "update": lambda: a.update(lambda _: 1),
        "fetch_update": lambda: a.fetch_update(lambda _: 1),
    }


@BOTH
def test_holds_one_reference_and_gives_it_up_at_once(impl: ModuleType, name: str) -> None:
    obj = Node()
    before = sys.getrefcount(obj)
    for way in replacements(getattr(impl, name)(), None):
        a = getattr(impl, name)(obj)
        for _ in range(10):
            a.load()
        assert sys.getrefcount(obj) == before + 1
        ways = replacements(a, obj)
        assert ways[way]() is not False
        del ways  # it refers to the object
        assert sys.getrefcount(obj) == before, way


@BOTH
def test_a_replaced_object_dies_with_its_last_reference(impl: ModuleType, name: str) -> None:
    for way in replacements(getattr(impl, name)(), None):
        if way == "compare_exchange":
            continue  # its caller has a reference
        node = Node()
        died = weakref.ref(node)
        a = getattr(impl, name)(node)
        del node
        replacements(a, None)[way]()
        assert died() is None, way


@BOTH
def test_a_finalizer_may_use_the_atomic_that_drops_it(name: str) -> None:
    a = getattr(lockfree, name)()
    seen = []

    class Last(Node):
        def __del__(self) -> None:
            seen.append(a.load())
            a.exchange(*("again", 9)[: 1 + (name == "AtomicStampedRef")])

    a.store(*(Last(), 1)[: 1 + (name == "AtomicStampedRef")])
    a.store(*("new", 2)[: 1 + (name == "AtomicStampedRef")])
    assert seen == [("new", 2) if name == "AtomicStampedRef" else "new"]
    assert a.load() == (("again", 9) if name == "AtomicStampedRef" else "again")


@BOTH
def test_cycles_are_collected(impl: ModuleType, name: str) -> None:
    node = Node()
    node.link = getattr(impl, name)(node)
    view = Node()
    a = getattr(impl, name)(view)
    view.link = a.at(lockfree.Ordering.RELAXED)
    died = [weakref.ref(node), weakref.ref(view)]
    del node, view, a
    gc.collect()
    assert [ref() for ref in died] == [None, None]


@BOTH
def test_a_long_chain_is_freed(name: str) -> None:
    chain = None
    for _ in range(300_000):
        chain = getattr(lockfree, name)(chain)
    del chain
    gc.collect()


# --- threads -------------------------------------------------------------------


class Pair:
    """Two numbers that belong together: half of an object, or another one, would show."""

    __slots__ = ("number", "twin")

    def __init__(self, number: int) -> None:
        self.number = number
        self.twin = ~number


@BOTH
def test_threads_load_only_what_was_stored(impl: ModuleType, name: str) -> None:
    stamped = name == "AtomicStampedRef"
    a = getattr(impl, name)(Pair(0))

    def step(index: int) -> None:
        a.store(*(Pair(index), index)[: 1 + stamped])
        pair = a.load()
        if stamped:
            pair, stamp = pair
            assert stamp == pair.number
        assert type(pair) is Pair
        assert pair.twin == ~pair.number

    hammer(3, step, rounds=repetitions(impl, 3_000))


def test_value_is_read_while_it_is_replaced(impl: ModuleType) -> None:
    # By the interpreter itself, which has two ways for it.
    a = impl.AtomicRef(Pair(0))
    read = attrgetter("value")

    def work(index: int) -> None:
        for number in range(repetitions(impl, 10_000)):
            if index:
                a.store(Pair(number))
            else:
                pair, other = a.value, read(a)
                assert pair.twin == ~pair.number
                assert other.twin == ~other.number

    run_threads(3, work)


@pytest.mark.skipif(not FREE_THREADED, reason="with a GIL no reader is inside")
@pytest.mark.parametrize(
    "replace",
    [
        lambda a: a.store(1),
        lambda a: a.exchange(1),
        lambda a: a.compare_exchange(a.load(), 1),
        lambda a: a.update(lambda _: 1),
        lambda a: a.at(lockfree.Ordering.RELEASE).store(1),
    ],
    ids=["store", "exchange", "compare_exchange", "update", "view"],
)
def test_a_replaced_object_is_kept_for_a_reader_with_the_lock(
    replace: Callable[[Any], object],
) -> None:
    """As `PyMember_GetOne` reads `value` when it has been disturbed."""
    a = lockfree.AtomicRef(Node())
    steps: list[str] = []
    section = ctypes.create_string_buffer(32)

    def work(index: int) -> None:
        if index:
            while not steps:
                pass
            replace(a)
            steps.append("replaced")
            return
        ctypes.pythonapi.PyCriticalSection_Begin(section, ctypes.py_object(a))
        steps.append("locked")
        end = time.monotonic() + 0.05
        while time.monotonic() < end:  # without waiting, which would unlock
            pass
        steps.append("unlocked")
        ctypes.pythonapi.PyCriticalSection_End(section)

    run_threads(2, work)
    assert steps == ["locked", "unlocked", "replaced"]


def test_value_is_read_only(impl: ModuleType) -> None:
    a = impl.AtomicRef(1)
    with pytest.raises(AttributeError):
        a.value = 2
    with pytest.raises(AttributeError):
        del a.value
    assert a.value == 1


def test_value_is_a_member() -> None:
    # The interpreter reads it by itself, and counts no reference if it need not.
    assert isinstance(vars(lockfree.AtomicRef)["value"], MemberDescriptorType)


def test_updates_are_never_lost(impl: ModuleType) -> None:
    a = impl.AtomicRef(0)
    steps = hammer(3, lambda _: a.update(lambda n: n + 1), rounds=500)
    assert a.load() == steps


def test_a_stamp_counts_every_change(impl: ModuleType) -> None:
    a = impl.AtomicStampedRef("even")
    successes = []

    def step(_index: int) -> None:
        seen, stamp = a.load()
        other = "odd" if seen == "even" else "even"
        if a.compare_exchange(seen, other, stamp, stamp + 1):
            successes.append(stamp)

    hammer(3, step, rounds=1_000)
    assert sorted(successes) == list(range(len(successes)))
    assert a.load() == (("even", "odd")[len(successes) % 2], len(successes))


def test_objects_of_other_threads_die_too(impl: ModuleType) -> None:
    """Whoever makes an object, whoever drops it: in the end all but the last are gone."""
    alive = lockfree.AtomicInt64()

    class Counted:
        def __init__(self) -> None:
            alive.increment()

        def __del__(self) -> None:
            alive.decrement()

    a = impl.AtomicRef()
    numbers = count()

    def work(_index: int) -> None:
        while next(numbers) < 20_000:
            a.exchange(Counted())
            a.load()

    run_threads(3, work)
    gc.collect()
    assert alive == 1
