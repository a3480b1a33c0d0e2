"""What the locked classes share: checks of values, worded as the native ones."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import wraps
from types import MethodType
from typing import Any, ClassVar, NoReturn, SupportsFloat, SupportsIndex, TypeVar

from lockfree._mapping import part_of

C = TypeVar("C", bound=type)

_MIN, _MAX = -(2**63), 2**63 - 1
_LONGEST = 80  # characters of a value shown in a message
_WIDEST = 256  # bits of an int shown in full


class _Missing:
    """The default of a `default`, shown as the native signatures show it."""

    def __repr__(self) -> str:
        return "..."


MISSING: Any = _Missing()


def called_by_name(cls: C) -> C:
    """Let the errors of wrong calls name the class, as those of native ones do."""
    method = "__new__" if "__new__" in vars(cls) else "__init__"
    function = getattr(cls, method)
    most = function.__code__.co_argcount - 1

    @wraps(function)
    def construct(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if len(args) > most:
            s = "" if most == 1 else "s"
            takes = f"takes at most {most} positional argument{s} ({len(args)} given)"
            raise TypeError(f"{cls.__name__}() {takes}")
        # Of a method, for CPython 3.14 may crash where a function's frame finds no memory here.
        return MethodType(function, self)(*args, **kwargs)

    function.__qualname__ = cls.__name__  # by which CPython's own errors call it
    setattr(cls, method, staticmethod(construct) if method == "__new__" else construct)
    return cls


def int64(value: SupportsIndex) -> int:
    """Return the value of an int, or of anything with `__index__`, in 64 bits."""
    if not hasattr(type(value), "__index__"):
        raise TypeError(f"expected an int, not {shown(value)}")
    number = operator.index(value)
    if _MIN <= number <= _MAX:
        return number
    wide = number.bit_length() > _WIDEST
    text = f"an int of {number.bit_length()} bits" if wide else shown(value)
    raise OverflowError(f"{text} does not fit in 64 bits")


def boolean(value: bool) -> bool:
    """Return the value of a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"expected a bool, not {shown(value)}")
    return value


def float64(value: SupportsFloat | SupportsIndex) -> float:
    """Return the value of a float, or of anything with `__float__` or `__index__`."""
    if isinstance(value, float):
        return float.__float__(value)  # that of a subclass, too, and none of its methods
    if not any(hasattr(type(value), name) for name in ("__float__", "__index__")):
        raise TypeError(f"expected a float, not {shown(value)}")
    return float(value)


def limit(maxsize: SupportsFloat | SupportsIndex) -> int:
    """Return how many items `maxsize` allows; 0 is any number."""
    kind = type(maxsize)
    if hasattr(kind, "__index__"):
        items = operator.index(maxsize)  # type: ignore[arg-type]
        return items if 0 < items <= _MAX else 0
    if not hasattr(kind, "__float__"):
        raise TypeError(f"maxsize must be a number, not {shown(maxsize)}")
    least = float(maxsize)
    return max(0, math.ceil(least)) if -math.inf < least < 2.0**63 else 0


def count(value: SupportsIndex) -> int:
    """Return the value of an argument `n`, a number of items."""
    n = int64(value)
    if n < 0:
        raise ValueError(f"n must not be negative, but is {n}")
    return n


def result64(result: int, value: int, sign: str, n: int) -> int:
    """Return the result of `value sign n` if it fits."""
    if _MIN <= result <= _MAX:
        return result
    raise OverflowError(f"{value} {sign} {n} does not fit in 64 bits")


def is_number(value: object) -> bool:
    """Whether `value` is of a type that converts to a number."""
    kind = type(value)
    return isinstance(value, complex) or any(
        hasattr(kind, name) for name in ("__index__", "__int__", "__float__")
    )


@part_of()
class Compared:
    """Compares, prints and formats as the number that it shows."""

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def _shown(self) -> Any:
        raise NotImplementedError

    def _compare(self, relation: Callable[[Any, Any], Any], other: object) -> Any:
        return relation(self._shown(), other) if is_number(other) else NotImplemented

    def __eq__(self, other: object) -> Any:
        return self._compare(operator.eq, other)

    def __ne__(self, other: object) -> Any:
        return self._compare(operator.ne, other)

    def __lt__(self, other: object) -> Any:
        return self._compare(operator.lt, other)

    def __le__(self, other: object) -> Any:
        return self._compare(operator.le, other)

    def __gt__(self, other: object) -> Any:
        return self._compare(operator.gt, other)

    def __ge__(self, other: object) -> Any:
        return self._compare(operator.ge, other)

    def __bool__(self) -> bool:
        return bool(self._shown())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._shown()!r})"

    def __str__(self) -> str:
        return str(self._shown())

    def __format__(self, spec: str) -> str:
        return format(self._shown(), spec)


def refuse_operators(cls: type, instead: str) -> None:
    """Give a class all operators it does not have, with an error that says what to do."""

    def binary(symbol: str) -> tuple[Any, Any]:
        def refuse(left: object, right: object) -> NoReturn:
            raise TypeError(
                f"unsupported operand type(s) for {symbol}: {type(left).__name__!r} and "
                f"{type(right).__name__!r}; use {instead}"
            )

        def forward(self: object, other: object) -> Any:
            return refuse(self, other) if known(other) else NotImplemented

        def reflected(self: object, other: object) -> Any:
            return refuse(other, self) if known(other) else NotImplemented

        return forward, reflected

    def known(other: object) -> bool:
        return type(other) is cls or type(other) in _PLAIN

    def unary(symbol: str) -> Any:
        def refuse(self: object) -> NoReturn:
            raise TypeError(
                f"bad operand type for {symbol}: {type(self).__name__!r}; use {instead}"
            )

        return refuse

    for name, symbol in _BINARY.items():
        for method, function in zip((f"__{name}__", f"__r{name}__"), binary(symbol), strict=True):
            setattr(cls, method, function)
    for name, symbol in _UNARY.items():
        setattr(cls, f"__{name}__", unary(symbol))


_PLAIN = frozenset((int, float, bool, complex))
"""The numbers that know nothing of the classes here."""
_BINARY = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "truediv": "/",
    "floordiv": "//",
    "mod": "%",
    "divmod": "divmod()",
    "lshift": "<<",
    "rshift": ">>",
    "and": "&",
    "or": "|",
    "xor": "^",
    "pow": "** or pow()",
}
_UNARY = {"neg": "unary -", "pos": "unary +", "abs": "abs()", "invert": "unary ~"}


def shown(value: object) -> str:
    """Return how messages show a value: its `repr`, shortened; never an error."""
    try:
        text = repr(value)
    except Exception:
        return f"<{type(value)} object>"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def not_copyable(name: str, instead: str) -> NoReturn:
    """Refuse to copy or pickle: the copy would no longer be shared."""
    raise TypeError(f"cannot copy or pickle '{name}' object: {instead}")


def function_or_none(name: str, value: Any) -> Any:
    """Return what was given for a parameter, if it can be called or is None."""
    if value is None or callable(value):
        return value
    raise TypeError(f"{name} must be callable or None, not {shown(value)}")
