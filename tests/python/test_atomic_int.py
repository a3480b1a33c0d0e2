"""``AtomicInt64``: one body for the native class and the locked one."""

from __future__ import annotations

import copy
import operator
import pickle
import weakref
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial
from operator import add, and_, methodcaller, or_, sub, xor
from types import ModuleType
from typing import Any

import lockfree
import lockfree.locked
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import FailingIndex

MIN, MAX = -(2**63), 2**63 - 1

# What each method makes of the value and its argument, and what it returns.
CHANGES: dict[str, tuple[Callable[[int, int], int], str]] = {
    "store": (lambda _old, n: n, "nothing"),
    "exchange": (lambda _old, n: n, "old"),
    "fetch_add": (add, "old"),
    "fetch_sub": (sub, "old"),
    "fetch_and": (and_, "old"),
    "fetch_or": (or_, "old"),
    "fetch_xor": (xor, "old"),
    "fetch_max": (max, "old"),
    "fetch_min": (min, "old"),
    "add": (add, "new"),
    "sub": (sub, "new"),
    "__iadd__": (add, "itself"),
    "__isub__": (sub, "itself"),
    "__iand__": (and_, "itself"),
    "__ior__": (or_, "itself"),
    "__ixor__": (xor, "itself"),
}


def apply(name: str, a: Any, n: Any) -> Any:
    """Call a method by name, or an operator as its statement does."""
    return getattr(operator, name)(a, n) if name.startswith("__") else getattr(a, name)(n)


# Every way to hand an integer to an atomic.
TAKES_INT: dict[str, Callable[[Any, Any], Any]] = {
    "AtomicInt64": lambda a, n: type(a)(n),
    "compare_exchange expected": lambda a, n: a.compare_exchange(n, 0),
    "compare_exchange desired": lambda a, n: a.compare_exchange(a.load(), n),
    "update": lambda a, n: a.update(lambda _: n),
    "fetch_update": lambda a, n: a.fetch_update(lambda _: n),
    **{name: partial(apply, name) for name in CHANGES},
}


class Index:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __index__(self) -> Any:
        return self.value

    def __repr__(self) -> str:
        return "Index(...)"


class OnlyInt:
    def __int__(self) -> int:
        return 3

    def __repr__(self) -> str:
        return "OnlyInt()"


class Unshowable:
    def __repr__(self) -> str:
        raise ValueError("no repr")


class IntSubclass(int):
    def __add__(self, other: object) -> int:
        raise AssertionError("the atomic takes the value and no method")


# --- values --------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, -1, MIN, MAX, True, Index(7), Index(MIN), IntSubclass(9)])
def test_holds_every_64_bit_integer(impl: ModuleType, n: Any) -> None:
    a = impl.AtomicInt64(n)
    assert a.load() == a.value == int(a) == operator.index(n)
    assert type(a.load()) is int
    assert repr(a) == f"AtomicInt64({operator.index(n)})"


def test_starts_at_zero(impl: ModuleType) -> None:
    assert impl.AtomicInt64().load() == 0


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (1.0, TypeError, "expected an int, not 1.0"),
    (None, TypeError, "expected an int, not None"),
    ("5", TypeError, "expected an int, not '5'"),
    (1j, TypeError, "expected an int, not 1j"),
    (int, TypeError, "expected an int, not <class 'int'>"),
    (OnlyInt(), TypeError, "expected an int, not OnlyInt()"),
    (Unshowable(), TypeError, f"expected an int, not <{Unshowable} object>"),
    ("é" * 79, TypeError, "expected an int, not '" + "é" * 79 + "..."),
    (2**63, OverflowError, "9223372036854775808 does not fit in 64 bits"),
    (-(2**63) - 1, OverflowError, "-9223372036854775809 does not fit in 64 bits"),
    (2**256 - 1, OverflowError, f"{2**256 - 1} does not fit in 64 bits"),
    (2**256, OverflowError, "an int of 257 bits does not fit in 64 bits"),
    (-(2**1000), OverflowError, "an int of 1001 bits does not fit in 64 bits"),
    # More digits than `str` converts.
    (10**5000, OverflowError, "an int of 16610 bits does not fit in 64 bits"),
    (Index(2**63), OverflowError, "Index(...) does not fit in 64 bits"),
    (Index(10**5000), OverflowError, "an int of 16610 bits does not fit in 64 bits"),
    (FailingIndex(), ZeroDivisionError, "from __index__"),
]


@pytest.mark.parametrize("take", TAKES_INT.values(), ids=TAKES_INT)
@pytest.mark.parametrize(("bad", "error", "text"), REFUSED, ids=[text[:45] for *_, text in REFUSED])
def test_refuses_what_is_no_64_bit_integer(
    impl: ModuleType,
    take: Callable[[Any, Any], Any],
    bad: Any,
    error: type[Exception],
    text: str,
) -> None:
    a = impl.AtomicInt64(5)
    with pytest.raises(error) as caught:
        take(a, bad)
    assert str(caught.value) == text
    assert a.load() == 5


@pytest.mark.parametrize("take", TAKES_INT.values(), ids=TAKES_INT)
def test_an_index_that_is_no_int_is_cpythons_error(
    impl: ModuleType, take: Callable[[Any, Any], Any]
) -> None:
    with pytest.raises(TypeError) as theirs:
        operator.index(Index("5"))
    with pytest.raises(TypeError) as ours:
        take(impl.AtomicInt64(), Index("5"))
    assert str(ours.value) == str(theirs.value)


def test_value_is_read_only(impl: ModuleType) -> None:
    a = impl.AtomicInt64(5)
    with pytest.raises(AttributeError):
        a.value = 6
    with pytest.raises(AttributeError):
        del a.value
    with pytest.raises(AttributeError):
        a.other = 6
    assert a.value == 5


# --- operations ----------------------------------------------------------------


@pytest.mark.parametrize("name", CHANGES)
def test_changes_the_value_and_returns_old_or_new(impl: ModuleType, name: str) -> None:
    check_change(impl.AtomicInt64(12), 12, name, 10)


def check_change(a: Any, old: int, name: str, n: int) -> int:
    """Apply the method to an atomic that holds `old`; return what it holds then."""
    change, returned = CHANGES[name]
    new = change(old, n)
    if not MIN <= new <= MAX:
        with pytest.raises(OverflowError):
            apply(name, a, n)
        new = old
    elif returned == "itself":
        assert apply(name, a, n) is a
    else:
        assert apply(name, a, n) == {"nothing": None, "old": old, "new": new}[returned]
    assert a.load() == new
    return new


def test_increment_and_decrement_return_the_new_value(impl: ModuleType) -> None:
    a = impl.AtomicInt64(MAX - 1)
    assert a.increment() == MAX
    assert a.decrement() == MAX - 1
    a.store(0)
    assert a.decrement() == -1
    assert a.increment() == 0


@pytest.mark.parametrize(
    ("start", "operation", "text"),
    [
        (MAX, methodcaller("increment"), f"{MAX} + 1"),
        (MIN, methodcaller("decrement"), f"{MIN} - 1"),
        (MAX, methodcaller("add", 1), f"{MAX} + 1"),
        (MAX, methodcaller("fetch_add", MAX), f"{MAX} + {MAX}"),
        (-1, methodcaller("fetch_add", MIN), f"-1 + {MIN}"),
        (MIN, methodcaller("sub", 1), f"{MIN} - 1"),
        (0, methodcaller("fetch_sub", MIN), f"0 - {MIN}"),
        (MAX, lambda a: apply("__iadd__", a, 1), f"{MAX} + 1"),
        (MIN, lambda a: apply("__isub__", a, 1), f"{MIN} - 1"),
    ],
)
def test_overflow_leaves_the_value(
    impl: ModuleType, start: int, operation: Callable[[Any], Any], text: str
) -> None:
    a = impl.AtomicInt64(start)
    with pytest.raises(OverflowError) as caught:
        operation(a)
    assert str(caught.value) == f"{text} does not fit in 64 bits"
    assert a.load() == start


def test_compare_exchange(impl: ModuleType) -> None:
    a = impl.AtomicInt64(MIN)
    assert a.compare_exchange(MIN, MAX) is True
    assert a.compare_exchange(MIN, 0) is False
    assert a.load() == MAX


@pytest.mark.parametrize(
    "expression",
    ["a + 1", "1 + a", "a - 1", "a & 1", "1 | a", "a ^ a", "a * 2", "a // 2", "-a", "~a", "abs(a)"],
)
def test_is_no_operand(impl: ModuleType, expression: str) -> None:
    with pytest.raises(TypeError, match="operand type"):
        eval(expression, {"a": impl.AtomicInt64(1)})


# --- update --------------------------------------------------------------------


def test_update_returns_new_and_fetch_update_old(impl: ModuleType) -> None:
    a = impl.AtomicInt64(3)
    assert a.update(lambda value: value * 2) == 6
    assert a.fetch_update(lambda value: value * 2) == 6
    assert a.load() == 12


def test_fn_may_return_whatever_is_an_index(impl: ModuleType) -> None:
    a = impl.AtomicInt64(3)
    for result in (a.update(lambda _: Index(7)), a.fetch_update(lambda _: True), a.load()):
        assert type(result) is int
    assert a.load() == 1


def test_update_retries_with_the_changed_value(impl: ModuleType) -> None:
    a = impl.AtomicInt64(0)
    seen = []

    def fn(value: int) -> int:
        seen.append(value)
        if len(seen) < 4:
            a.add(10)
        return value + 1

    assert a.update(fn) == 31
    assert seen == [0, 10, 20, 30]


def test_update_accepts_a_value_that_came_back(impl: ModuleType) -> None:
    a = impl.AtomicInt64(0)

    def there_and_back(value: int) -> int:
        a.store(1)
        a.store(0)
        return value + 5

    assert a.update(there_and_back) == 5


def test_update_may_be_nested(impl: ModuleType) -> None:
    a = impl.AtomicInt64(0)

    def outer(value: int) -> int:
        if value < 3:
            a.update(lambda inner: inner + 1)
        return value + 100

    assert a.fetch_update(outer) == 3
    assert a.load() == 103


def test_an_exception_in_fn_leaves_the_value(impl: ModuleType) -> None:
    a = impl.AtomicInt64(5)
    with pytest.raises(ZeroDivisionError):
        a.update(lambda value: value // 0)
    with pytest.raises(KeyboardInterrupt):
        a.fetch_update(interrupt)
    assert a.load() == 5


def interrupt(_value: int) -> int:
    raise KeyboardInterrupt


def test_fn_must_be_callable(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match="'int' object is not callable"):
        impl.AtomicInt64().update(1)


# --- as a number ---------------------------------------------------------------


RELATIONS = ["eq", "ne", "lt", "le", "gt", "ge"]
NUMBERS: list[Any] = [4, 5, 6, 2**80, -(2**80), True, 4.5, 5.0, 2.0**53, float("inf"), float("nan")]
NUMBERS += [Fraction(9, 2), Fraction(5), Decimal("4.5"), Decimal(5)]


@pytest.mark.parametrize("other", NUMBERS, ids=repr)
@pytest.mark.parametrize("name", RELATIONS)
@pytest.mark.parametrize("value", [5, 2**53 + 1])  # the second one is no float
def test_compares_as_the_int_does(impl: ModuleType, value: int, name: str, other: Any) -> None:
    relation = getattr(operator, name)
    assert relation(impl.AtomicInt64(value), other) is relation(value, other)
    assert relation(other, impl.AtomicInt64(value)) is relation(other, value)


def test_complex_numbers_have_no_order(impl: ModuleType) -> None:
    a = impl.AtomicInt64(5)
    assert a == 5 + 0j
    assert a != 5 + 1j
    with pytest.raises(TypeError, match="'<' not supported between instances of"):
        assert a < 5 + 0j


@pytest.mark.parametrize("other", [lockfree.AtomicInt64, lockfree.locked.AtomicInt64])
def test_compares_with_other_atomics(impl: ModuleType, other: type[lockfree.AtomicInt64]) -> None:
    a = impl.AtomicInt64(5)
    assert a == other(5)
    assert a != other(6)
    assert a < other(6)
    assert a >= other(5)
    assert not a > other(5)


def test_asks_numbers_about_its_value_and_others_about_itself(impl: ModuleType) -> None:
    def asked_about(**members: Any) -> Any:
        members["__eq__"] = lambda _self, other: type(other)
        return impl.AtomicInt64(5) == type("Other", (), members)()

    assert asked_about(__index__=None) is int
    assert asked_about(__int__=None) is int
    assert asked_about(__float__=None) is int
    assert asked_about() is impl.AtomicInt64


@pytest.mark.parametrize("other", ["5", b"5", None, [5], object()], ids=lambda n: type(n).__name__)
def test_differs_from_what_is_no_number(impl: ModuleType, other: object) -> None:
    a = impl.AtomicInt64(5)
    assert (a == other) is False
    assert (a != other) is True
    for name in RELATIONS[2:]:
        with pytest.raises(TypeError, match="not supported between instances of"):
            getattr(operator, name)(a, other)


def test_is_unhashable(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match="unhashable type"):
        hash(impl.AtomicInt64())
    assert impl.AtomicInt64.__hash__ is None


@pytest.mark.parametrize("n", [0, 1, -1, MIN])
def test_is_true_unless_zero(impl: ModuleType, n: int) -> None:
    assert bool(impl.AtomicInt64(n)) is (n != 0)


@pytest.mark.parametrize("spec", ["", "d", "x", "#b", ">8", "+,", ".2e", "08.3f", "n"])
def test_formats_as_the_int_does(impl: ModuleType, spec: str) -> None:
    assert format(impl.AtomicInt64(-1234), spec) == format(-1234, spec)


def test_refuses_bad_format_specs_as_the_int_does(impl: ModuleType) -> None:
    with pytest.raises(ValueError, match="Unknown format code 's' for object of type 'int'"):
        format(impl.AtomicInt64(), "s")
    with pytest.raises(TypeError, match="must be str, not int"):
        impl.AtomicInt64().__format__(3)


def test_converts_and_indexes(impl: ModuleType) -> None:
    a = impl.AtomicInt64(3)
    assert "abcde"[a] == "d"
    assert list(range(a)) == [0, 1, 2]
    assert [0] * a == [0, 0, 0]
    assert hex(a) == "0x3"
    assert float(a) == 3.0
    assert f"{a}" == "3"
    assert str(a) == "%s" % a == f"{a:}" == "3"  # noqa: UP031
    assert repr(a) == f"{a!r}" == "AtomicInt64(3)"
    assert impl.AtomicInt64(a).load() == 3
    assert a.add(a) == 6


NO_OPERATORS: dict[str, str] = {
    "a + 1": "unsupported operand type(s) for +: 'AtomicInt64' and 'int'",
    "1 + a": "unsupported operand type(s) for +: 'int' and 'AtomicInt64'",
    "sum([a])": "unsupported operand type(s) for +: 'int' and 'AtomicInt64'",
    "a + a": "unsupported operand type(s) for +: 'AtomicInt64' and 'AtomicInt64'",
    "a - 1": "unsupported operand type(s) for -: 'AtomicInt64' and 'int'",
    "a * 2.0": "unsupported operand type(s) for *: 'AtomicInt64' and 'float'",
    "a / 2": "unsupported operand type(s) for /: 'AtomicInt64' and 'int'",
    "a // 2": "unsupported operand type(s) for //: 'AtomicInt64' and 'int'",
    "1j % a": "unsupported operand type(s) for %: 'complex' and 'AtomicInt64'",
    "divmod(a, 2)": "unsupported operand type(s) for divmod(): 'AtomicInt64' and 'int'",
    "a << 1": "unsupported operand type(s) for <<: 'AtomicInt64' and 'int'",
    "a >> 1": "unsupported operand type(s) for >>: 'AtomicInt64' and 'int'",
    "a & True": "unsupported operand type(s) for &: 'AtomicInt64' and 'bool'",
    "a | 1": "unsupported operand type(s) for |: 'AtomicInt64' and 'int'",
    "a ^ 1": "unsupported operand type(s) for ^: 'AtomicInt64' and 'int'",
    "2 ** a": "unsupported operand type(s) for ** or pow(): 'int' and 'AtomicInt64'",
    "pow(a, 2)": "unsupported operand type(s) for ** or pow(): 'AtomicInt64' and 'int'",
    "-a": "bad operand type for unary -: 'AtomicInt64'",
    "+a": "bad operand type for unary +: 'AtomicInt64'",
    "abs(a)": "bad operand type for abs(): 'AtomicInt64'",
    "~a": "bad operand type for unary ~: 'AtomicInt64'",
}


@pytest.mark.parametrize("expression", NO_OPERATORS)
@pytest.mark.parametrize("name", ["AtomicInt64", "AtomicBool", "AtomicFloat64", "StripedCounter"])
def test_a_refused_operator_says_what_to_do(impl: ModuleType, name: str, expression: str) -> None:
    a = getattr(impl, name)()
    with pytest.raises(TypeError) as caught:
        eval(expression, {"a": a})
    instead = "its sum, .sum()" if name == "StripedCounter" else "its value, .load()"
    assert str(caught.value) == (
        NO_OPERATORS[expression].replace("AtomicInt64", name) + f"; use {instead}"
    )


def test_other_operands_may_know_what_to_do(impl: ModuleType) -> None:
    class Both:
        def __add__(self, other: object) -> str:
            return "left"

        def __radd__(self, other: object) -> str:
            return "right"

    for name in ("AtomicInt64", "AtomicBool", "AtomicFloat64", "StripedCounter"):
        a = getattr(impl, name)()
        assert a + Both() == "right"
        assert Both() + a == "left"
        with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \+"):
            a + "text"


# --- as an object --------------------------------------------------------------


def test_is_weakly_referenceable(impl: ModuleType) -> None:
    a = impl.AtomicInt64()
    died: list[object] = []
    ref = weakref.ref(a, died.append)
    assert ref() is a
    del a
    assert died == [ref]


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy]
    + [lambda a, n=n: pickle.dumps(a, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)],
)
def test_refuses_to_be_copied(impl: ModuleType, copied: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        copied(impl.AtomicInt64())
    assert str(caught.value) == (
        "cannot copy or pickle 'AtomicInt64' object: it is shared state; copy its value, int(a)"
    )


def test_is_final(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match="is not an acceptable base type"):
        type("Sub", (impl.AtomicInt64,), {})


@pytest.mark.parametrize(
    "call",
    [
        "AtomicInt64(n=1)",
        "AtomicInt64(1, 2)",
        "a.load(1)",
        "a.load(x=1)",
        "a.store()",
        "a.store(value=1)",
        "a.fetch_add(1, 2)",
        "a.add(n=1)",
        "a.compare_exchange(5)",
        "a.compare_exchange(5, 1, 2)",
        "a.compare_exchange(5, desired=1)",
        "a.update()",
        "a.update(fn=abs)",
        "a.update(abs, abs)",
    ],
)
def test_refuses_keywords_and_wrong_counts(impl: ModuleType, call: str) -> None:
    a = impl.AtomicInt64(5)
    with pytest.raises(TypeError, match="argument"):
        eval(call, {"AtomicInt64": impl.AtomicInt64, "a": a})
    assert a.load() == 5


# --- any sequence of operations ------------------------------------------------

edges = st.sampled_from([MIN, MIN + 1, -2, -1, 0, 1, 2, MAX - 1, MAX])
int64s = edges | st.integers(MIN, MAX)
changes = st.tuples(st.sampled_from(sorted(CHANGES)), int64s)
swaps = st.tuples(st.just("compare_exchange"), st.just("the value") | int64s, int64s)


@given(value=int64s, steps=st.lists(changes | swaps))
def test_behaves_as_a_checked_int(impl: ModuleType, value: int, steps: list[Any]) -> None:
    a = impl.AtomicInt64(value)
    for name, *arguments in steps:
        if name == "compare_exchange":
            value = check_swap(a, value, *arguments)
        else:
            value = check_change(a, value, name, *arguments)


def check_swap(a: Any, value: int, expected: Any, desired: int) -> int:
    expected = value if expected == "the value" else expected
    assert a.compare_exchange(expected, desired) is (expected == value)
    value = desired if expected == value else value
    assert a.load() == value
    return value
