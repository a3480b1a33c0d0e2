"""What a user reads shows public names, and a wrong argument is told where it is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import lockfree
import pytest

PUBLIC = frozenset(lockfree.__all__)
CLASSES = sorted(name for name in PUBLIC if inspect.isclass(getattr(lockfree, name)))


def methods(cls: type) -> Iterator[tuple[str, str]]:
    """Yield the public methods of a class, and the names by which messages call them."""
    for name in dir(cls):
        qualname = getattr(getattr(cls, name), "__qualname__", "")
        if not name.startswith("_") and qualname:
            yield name, qualname


@pytest.mark.parametrize("name", CLASSES)
def test_methods_are_called_by_public_names(impl: ModuleType, name: str) -> None:
    private = {
        qualname
        for _, qualname in methods(getattr(impl, name, getattr(lockfree, name)))
        if "." in qualname and qualname.split(".")[0] not in PUBLIC | {"object", "Exception"}
    }
    assert not {each for each in private if not each.startswith("BaseException.")}


@pytest.mark.parametrize("name", ["Queue", "LifoQueue", "PriorityQueue", "AsyncQueue", "Cache"])
def test_what_cannot_be_deleted_is_named(impl: ModuleType, name: str) -> None:
    queue = getattr(impl, name)(5)
    message = f"^property 'maxsize' of '{name}' object has no deleter$"
    with pytest.raises(AttributeError, match=message):
        del queue.maxsize
    assert queue.maxsize == 5


OPEN = ["Queue", "LifoQueue", "PriorityQueue", "AsyncQueue", "Cache", "ConcurrentDict", "Stack"]


@pytest.mark.parametrize("name", OPEN)
def test_keywords_of_a_class_are_for_its_other_bases(impl: ModuleType, name: str) -> None:
    base = getattr(impl, name)
    with pytest.raises(TypeError, match=r"^Sub\.__init_subclass__\(\) takes no keyword arguments$"):
        type("Sub", (base,), {}, colour="red")

    class Coloured:
        def __init_subclass__(cls, colour: str) -> None:
            cls.colour = colour  # type: ignore[attr-defined]

    sub: Any = type("Sub", (base, Coloured), {}, colour="red")
    assert sub.colour == "red"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda impl: impl.cached(cache={}), "cache must be a Cache or None, not {}"),
        (lambda impl: impl.cached(cache=5), "cache must be a Cache or None, not 5"),
        (lambda impl: impl.cached(ttl=-1), "ttl must be positive or None, but is -1"),
        (lambda impl: impl.cached(ttl="x"), "ttl must be a number of seconds or None, not 'x'"),
        (lambda impl: impl.cached(key=5), "key must be callable or None, not 5"),
        (lambda impl: impl.cached(1.5), "maxsize must be an int, a function or None, not 1.5"),
        (lambda impl: impl.Cache(8, ttl=-1), "ttl must be positive or None, but is -1"),
        (lambda impl: impl.Cache({}), "expected an int, not {}"),
        (lambda impl: impl.Cache(-1), "maxsize must not be negative, but is -1"),
        (lambda impl: impl.KeyedCounter(maxsize=-1), "maxsize must not be negative, but is -1"),
        (lambda impl: impl.Queue("x"), "maxsize must be a number, not 'x'"),
        (lambda impl: impl.AtomicInt64("x"), "expected an int, not 'x'"),
        (lambda impl: impl.AtomicStampedRef(None, 1.5), "expected an int, not 1.5"),
        (lambda impl: impl.AtomicBool(1), "expected a bool, not 1"),
        (lambda impl: impl.AtomicFloat64("x"), "expected a float, not 'x'"),
        (lambda impl: impl.StripedCounter(2**64), f"{2**64} does not fit in 64 bits"),
        (lambda impl: impl.once(5), "once() takes a function, not 5"),
        (lambda impl: impl.cached_property(5), "cached_property() takes a function, not 5"),
        (lambda impl: impl.Queue().async_put(), "Queue.async_put() missing 1 required"),
        (lambda impl: impl.AtomicInt64().async_wait(), "async_wait() missing 1 required"),
    ],
)
def test_a_wrong_argument_is_told_at_once(
    impl: ModuleType, call: Callable[[ModuleType], Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)) as raised:
        call(impl)
    assert str(raised.value).startswith(message)


TAKES = {
    "AtomicBool": ("value", 1),
    "AtomicFloat64": ("value", 1),
    "AtomicInt64": ("value", 1),
    "AtomicRef": (None, 1),
    "AtomicStampedRef": (None, 2),
    "Cache": ("maxsize", 1),
    "ConcurrentDict": (None, 1),
    "KeyedCounter": (None, 1),
    "LifoQueue": ("maxsize", 1),
    "PriorityQueue": ("maxsize", 1),
    "Queue": ("maxsize", 1),
    "Stack": ("iterable", 1),
    "StripedCounter": ("value", 1),
}
"""The parameter that a class takes by name as well, and how many it takes without."""


def test_all_classes_are_looked_at() -> None:
    made_in_python = {"AsyncQueue", "Empty", "Full", "Ordering", "ShutDown", "cached_property"}
    assert set(TAKES) == set(CLASSES) - made_in_python


def wrong_calls(name: str) -> Iterator[tuple[tuple[int, ...], dict[str, int], str]]:
    """Yield what a class does not take, and what it says of that."""
    known, most = TAKES[name]
    s = "" if most == 1 else "s"
    for given in (most + 1, most + 5):
        yield (1,) * given, {}, f"takes at most {most} positional argument{s} ({given} given)"
    for given in (0, 1):
        yield (1,) * given, {"colour": 1}, "got an unexpected keyword argument 'colour'"
    if known:
        yield (1,), {known: 1}, f"got multiple values for argument '{known}'"
    if name == "Cache":
        yield (), {}, "missing 1 required positional argument: 'maxsize'"


@pytest.mark.parametrize("name", TAKES)
def test_a_wrong_call_of_a_class_is_told_by_its_name(impl: ModuleType, name: str) -> None:
    base = getattr(impl, name)
    for cls in (base, type("Sub", (base,), {})) if name in OPEN else (base,):
        for args, kwargs, message in wrong_calls(name):
            with pytest.raises(TypeError) as raised:
                cls(*args, **kwargs)
            assert str(raised.value) == f"{name}() {message}"
