"""``AtomicFloat64``: one body for the native class and the locked one."""

from __future__ import annotations

import copy
import math
import operator
import pickle
import struct
import weakref
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import product
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import hammer

INF, NAN, BIGGEST = math.inf, math.nan, 1.7976931348623157e308
OTHER_NAN: float = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_0001))[0]


def bits(value: float) -> bytes:
    """Tell -0.0 from 0.0, and find NaN equal to itself."""
    return struct.pack("<d", value)


class Floating:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __float__(self) -> Any:
        return self.value

    def __repr__(self) -> str:
        return "Floating(...)"


class Index:
    def __index__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "Index()"


class FloatSubclass(float):
    def __float__(self) -> float:
        raise AssertionError("the atomic takes the value and no method")

    __add__ = __radd__ = __float__  # type: ignore[assignment]


# Every way to hand a number to an atomic.
TAKES_FLOAT: dict[str, Callable[[Any, Any], Any]] = {
    "AtomicFloat64": lambda a, n: type(a)(n),
    "store": lambda a, n: a.store(n),
    "exchange": lambda a, n: a.exchange(n),
    "compare_exchange expected": lambda a, n: a.compare_exchange(n, 0),
    "compare_exchange desired": lambda a, n: a.compare_exchange(a.load(), n),
    "fetch_add": lambda a, n: a.fetch_add(n),
    "add": lambda a, n: a.add(n),
    "+=": operator.iadd,
    "-=": operator.isub,
    "update": lambda a, n: a.update(lambda _: n),
    "fetch_update": lambda a, n: a.fetch_update(lambda _: n),
}

# --- values --------------------------------------------------------------------

VALUES = [0.0, -0.0, 1.5, -INF, NAN, -NAN, BIGGEST, 5e-324, 0.1]


@pytest.mark.parametrize("value", VALUES)
def test_holds_every_float(impl: ModuleType, value: float) -> None:
    a = impl.AtomicFloat64(value)
    assert bits(a.load()) == bits(a.value) == bits(float(a)) == bits(value)
    assert str(a) == f"{a}" == str(value)
    assert repr(a) == f"AtomicFloat64({value})"
    a.store(1.0)
    assert a.exchange(value) == 1.0
    assert bits(a.load()) == bits(value)


def test_starts_at_zero(impl: ModuleType) -> None:
    assert bits(impl.AtomicFloat64().load()) == bits(0.0)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (3, 3.0),
        (True, 1.0),
        (2**64, 2.0**64),
        (Index(), 7.0),
        (Floating(0.25), 0.25),
        (Fraction(1, 4), 0.25),
        (Decimal("0.25"), 0.25),
        (FloatSubclass(0.25), 0.25),
    ],
    ids=repr,
)
@pytest.mark.parametrize("take", TAKES_FLOAT.values(), ids=TAKES_FLOAT)
def test_takes_what_converts_to_float(
    impl: ModuleType, take: Callable[[Any, Any], Any], given: Any, value: float
) -> None:
    a, b = impl.AtomicFloat64(0.25), impl.AtomicFloat64(0.25)
    result = take(a, given)
    assert result == take(b, value)
    assert a.load() == b.load()
    assert type(a.load()) is float
    assert type(result) in (float, bool, type(None), impl.AtomicFloat64)


REFUSED: list[tuple[Any, type[Exception], str]] = [
    ("x", TypeError, "expected a float, not 'x'"),
    ("1.5", TypeError, "expected a float, not '1.5'"),
    (b"1", TypeError, "expected a float, not b'1'"),
    (None, TypeError, "expected a float, not None"),
    (1j, TypeError, "expected a float, not 1j"),
    ([], TypeError, "expected a float, not []"),
    (10**400, OverflowError, "int too large to convert to float"),
]


@pytest.mark.parametrize("take", TAKES_FLOAT.values(), ids=TAKES_FLOAT)
@pytest.mark.parametrize(("bad", "error", "text"), REFUSED, ids=[text for *_, text in REFUSED])
def test_refuses_what_is_no_float(
    impl: ModuleType,
    take: Callable[[Any, Any], Any],
    bad: Any,
    error: type[Exception],
    text: str,
) -> None:
    a = impl.AtomicFloat64(0.25)
    with pytest.raises(error) as caught:
        take(a, bad)
    assert str(caught.value) == text
    assert a.load() == 0.25


@pytest.mark.parametrize("take", TAKES_FLOAT.values(), ids=TAKES_FLOAT)
def test_what_float_raises_is_raised(impl: ModuleType, take: Callable[[Any, Any], Any]) -> None:
    class Failing:
        def __float__(self) -> float:
            raise ZeroDivisionError("from __float__")

    with pytest.raises(ZeroDivisionError, match="from __float__"):
        take(impl.AtomicFloat64(), Failing())
    with pytest.raises(TypeError) as theirs:
        float(Floating("0.25"))
    with pytest.raises(TypeError) as ours:
        take(impl.AtomicFloat64(), Floating("0.25"))
    assert str(ours.value) == str(theirs.value)


def test_value_is_read_only(impl: ModuleType) -> None:
    a = impl.AtomicFloat64(0.5)
    with pytest.raises(AttributeError):
        a.value = 1.5
    with pytest.raises(AttributeError):
        a.other = 1.5
    assert a.value == 0.5


# --- operations ----------------------------------------------------------------


def test_compare_exchange_compares_bits(impl: ModuleType) -> None:
    def swaps(value: float, expected: float) -> bool:
        a = impl.AtomicFloat64(value)
        swapped = a.compare_exchange(expected, 7.0)
        assert bits(a.load()) == bits(7.0 if swapped else value)
        return bool(swapped)

    assert swaps(0.1, 0.1)
    assert swaps(1.0, 1)
    assert not swaps(0.1, 0.1 + 2e-17 + 1e-16)
    assert swaps(NAN, NAN)
    assert not swaps(NAN, OTHER_NAN)
    assert not swaps(0.0, -0.0)
    assert not swaps(-0.0, 0)


def test_additions_return_old_or_new(impl: ModuleType) -> None:
    a = impl.AtomicFloat64(0.5)
    assert a.fetch_add(0.25) == 0.5
    assert a.add(0.25) == 1.0
    same = a
    a += 1
    assert a == 2
    a -= 0.5
    assert a == 1.5
    assert a is same


def test_what_add_returns_is_what_it_stored(impl: ModuleType) -> None:
    for value, n in product((NAN, -NAN, OTHER_NAN, INF, 0.1), repeat=2):
        a = impl.AtomicFloat64(value)
        assert a.compare_exchange(a.add(n), 0.5)
        a.store(value)
        assert a.compare_exchange(a.sub(n), 0.5)


@pytest.mark.parametrize(
    ("value", "n", "result"),
    [
        (BIGGEST, BIGGEST, INF),
        (INF, -INF, NAN),
        (NAN, 1.0, NAN),
        (1e16, 1.0, 1e16),
        (-0.0, 0.0, 0.0),
    ],
)
def test_additions_follow_ieee_754(impl: ModuleType, value: float, n: float, result: float) -> None:
    added = [impl.AtomicFloat64(value) for _ in range(4)]
    added[0].fetch_add(n)
    added[1].add(n)
    added[2] += n
    added[3] -= -n
    results = [a.load() for a in added]
    if math.isnan(result):
        assert all(map(math.isnan, results))
    else:
        assert [bits(each) for each in results] == [bits(result)] * 4


@pytest.mark.parametrize("value", [NAN, OTHER_NAN, -0.0, 1.5])
def test_the_larger_and_the_smaller_leave_the_very_bits(impl: ModuleType, value: float) -> None:
    for name in ("fetch_max", "fetch_min"):
        a = impl.AtomicFloat64(value)
        assert bits(getattr(a, name)(NAN)) == bits(value)
        assert bits(a.load()) == bits(value)


def test_update_ends_at_nan(impl: ModuleType) -> None:
    a = impl.AtomicFloat64(NAN)
    assert a.update(lambda _: 0.5) == 0.5
    assert a.fetch_update(lambda _: NAN) == 0.5
    assert math.isnan(a.update(lambda value: value + 1))


def test_update_retries_with_the_changed_value(impl: ModuleType) -> None:
    a = impl.AtomicFloat64()
    seen = []

    def fn(value: float) -> float:
        seen.append(value)
        if len(seen) < 4:
            a.add(0.5)
        return value * 2

    assert a.update(fn) == 3.0
    assert seen == [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize(
    "expression", ["a + 1", "1 + a", "a - 1", "a * 2", "a / 2", "-a", "abs(a)"]
)
def test_is_no_operand(impl: ModuleType, expression: str) -> None:
    with pytest.raises(TypeError, match="operand type"):
        eval(expression, {"a": impl.AtomicFloat64(1)})


floats = st.floats() | st.sampled_from(VALUES)
names = st.sampled_from(
    [
        "store",
        "exchange",
        "fetch_add",
        "fetch_sub",
        "fetch_max",
        "fetch_min",
        "add",
        "sub",
        "compare_exchange",
    ]
)


def extreme(of: Callable[..., float], a: float, b: float) -> float:
    """Return what IEEE 754's `maximumNumber` and `minimumNumber` do."""
    numbers = [each for each in (a, b) if not math.isnan(each)]
    return of(numbers, key=lambda each: (each, math.copysign(1, each)), default=NAN)


CHANGES: dict[str, Callable[[float, float], float]] = {
    "store": lambda _, n: n,
    "exchange": lambda _, n: n,
    "add": operator.add,
    "sub": operator.sub,
    "max": lambda a, b: extreme(max, a, b),
    "min": lambda a, b: extreme(min, a, b),
}


@given(value=floats, steps=st.lists(st.tuples(names, st.none() | floats, floats)))
def test_behaves_as_a_float(
    impl: ModuleType, value: float, steps: list[tuple[str, float | None, float]]
) -> None:
    a = impl.AtomicFloat64(value)
    for name, expected, n in steps:
        if name == "compare_exchange":
            expected = value if expected is None else expected
            hit = bits(expected) == bits(value)
            assert a.compare_exchange(expected, n) is hit
            value = n if hit else value
        else:
            new = CHANGES[name.removeprefix("fetch_")](value, n)
            returned = {"store": None, "add": new, "sub": new}.get(name, value)
            assert same(getattr(a, name)(n), returned)
            value = new
        assert same(a.load(), value)
        value = a.load()  # which NaN a sum is, nobody promises


def same(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return bits(a) == bits(b) or (math.isnan(a) and math.isnan(b))


# --- threads -------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fetch_add", "add", "__iadd__", "update", "compare_exchange"])
def test_no_addition_is_lost(impl: ModuleType, method: str) -> None:
    a = impl.AtomicFloat64()

    def add() -> None:
        if method == "update":
            a.update(lambda value: value + 0.25)
        elif method == "compare_exchange":
            value = a.load()
            while not a.compare_exchange(value, value + 0.25):
                value = a.load()
        else:
            getattr(a, method)(0.25)

    def step(_: int) -> None:
        for _ in range(50):
            add()

    steps = hammer(4, step, rounds=50)
    assert a == steps * 50 * 0.25  # quarters are added exactly, in whatever order


# --- as a number ---------------------------------------------------------------

NUMBERS: list[Any] = [0, 1, 2**80, True, 0.25, 0.1, INF, NAN, Fraction(1, 4), Decimal("0.25")]


@pytest.mark.parametrize("other", NUMBERS, ids=repr)
@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
@pytest.mark.parametrize("value", [0.25, 0.1, NAN, -0.0])
def test_compares_as_the_float_does(impl: ModuleType, value: float, name: str, other: Any) -> None:
    relation = getattr(operator, name)
    if isinstance(other, Decimal) and math.isnan(value) and name not in ("eq", "ne"):
        pytest.skip("decimal signals")
    assert relation(impl.AtomicFloat64(value), other) is relation(value, other)
    assert relation(other, impl.AtomicFloat64(value)) is relation(other, value)


def test_compares_with_other_atomics(impl: ModuleType) -> None:
    assert impl.AtomicFloat64(1.5) == impl.AtomicFloat64(1.5)
    assert impl.AtomicFloat64(-0.0) == impl.AtomicFloat64()
    assert impl.AtomicFloat64(1) == impl.AtomicInt64(1)
    assert impl.AtomicInt64(1) < impl.AtomicFloat64(1.5)
    nan = impl.AtomicFloat64(NAN)
    assert (nan == nan) is False


@pytest.mark.parametrize("other", ["0.5", None, [0.5], object()], ids=lambda n: type(n).__name__)
def test_differs_from_what_is_no_number(impl: ModuleType, other: object) -> None:
    assert (impl.AtomicFloat64(0.5) == other) is False
    with pytest.raises(TypeError, match="not supported between instances of"):
        assert impl.AtomicFloat64() < other


def test_converts_as_the_float_does(impl: ModuleType) -> None:
    a = impl.AtomicFloat64(-2.75)
    assert int(a) == -2
    assert f"{a}|{a:.1f}|{a:+e}" == f"{-2.75}|{-2.75:.1f}|{-2.75:+e}"
    assert math.sqrt(impl.AtomicFloat64(4)) == 2.0
    assert impl.AtomicFloat64(a).load() == -2.75
    assert a.add(a) == -5.5
    for value in (INF, NAN):
        with pytest.raises((OverflowError, ValueError)) as theirs:
            int(value)
        with pytest.raises(theirs.type) as ours:
            int(impl.AtomicFloat64(value))
        assert str(ours.value) == str(theirs.value)
    with pytest.raises(TypeError, match="list indices must be integers"):
        [0][a]
    with pytest.raises(ValueError, match="Unknown format code 'd' for object of type 'float'"):
        format(a, "d")


@pytest.mark.parametrize("value", VALUES)
def test_is_true_unless_zero(impl: ModuleType, value: float) -> None:
    assert bool(impl.AtomicFloat64(value)) is bool(value)


# --- as an object --------------------------------------------------------------


def test_is_unhashable_and_weakly_referenceable(impl: ModuleType) -> None:
    a = impl.AtomicFloat64()
    with pytest.raises(TypeError, match="unhashable type"):
        hash(a)
    ref = weakref.ref(a)
    assert ref() is a
    del a
    assert ref() is None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_refuses_to_be_copied(impl: ModuleType, copied: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        copied(impl.AtomicFloat64())
    assert str(caught.value) == (
        "cannot copy or pickle 'AtomicFloat64' object: it is shared state; copy its value, float(a)"
    )


def test_is_final(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match="is not an acceptable base type"):
        type("Sub", (impl.AtomicFloat64,), {})


@pytest.mark.parametrize(
    "call",
    [
        "AtomicFloat64(n=1)",
        "AtomicFloat64(1, 2)",
        "a.add()",
        "a.fetch_add(n=1)",
        "a.compare_exchange(1)",
        "a.compare_exchange(1, desired=2)",
        "a.update(fn=abs)",
    ],
)
def test_refuses_keywords_and_wrong_counts(impl: ModuleType, call: str) -> None:
    with pytest.raises(TypeError, match="argument"):
        eval(call, {"AtomicFloat64": impl.AtomicFloat64, "a": impl.AtomicFloat64()})
