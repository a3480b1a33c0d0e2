"""The raw slots of the hot methods: panics, introspection, and errors as CPython words them."""

from __future__ import annotations

import inspect
import operator
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from lockfree import AtomicInt64, Queue, StripedCounter, _native
from support import run_threads

# One method of each calling convention that `AtomicInt64` has, and its like in CPython.
CONVENTIONS = {"load": "clear", "store": "append", "compare_exchange": "insert"}
ARGUMENTS = {"load": "", "store": "value, /", "compare_exchange": "expected, desired, /"}


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda probe: probe.noargs(), "deliberate"),
        (lambda probe: probe.quick(), "deliberate"),
        (lambda probe: probe.one(1), "deliberate: 1"),
        (lambda probe: probe.optional(1), "deliberate: true"),
        (lambda probe: probe.one_or_two(1), "deliberate: 1 false"),
        (lambda probe: probe.quick_one_or_two(1, 2), "deliberate: 1 true"),
        (lambda probe: probe.two(1, "b"), "deliberate: 1 b"),
        (lambda probe: probe.keywords(a=1), "deliberate: true"),
        (lambda probe: probe[1], "deliberate: 1"),
        (lambda probe: operator.setitem(probe, 1, 2), "deliberate: 1 true"),
        (lambda probe: operator.delitem(probe, 1), "deliberate: 1 false"),
    ],
    ids=[
        "noargs",
        "quick",
        "one",
        "optional",
        "one_or_two",
        "quick_one_or_two",
        "two",
        "keywords",
        "get",
        "set",
        "delete",
    ],
)
def test_a_panic_is_an_exception(call: Callable[[Any], object], text: str) -> None:
    probe = _native._PanicProbe()
    for _ in range(3):
        with pytest.raises(BaseException, match=f"^{text}$") as caught:
            call(probe)
        kind = type(caught.value)
        assert f"{kind.__module__}.{kind.__name__}" == "pyo3_runtime.PanicException"
        assert not isinstance(caught.value, Exception)
    assert AtomicInt64(1).increment() == 2


def test_a_panic_on_another_thread_is_an_exception_there() -> None:
    with pytest.raises(BaseException, match="deliberate"):
        run_threads(2, lambda _index: _native._PanicProbe().noargs())


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_slot_looks_like_a_method(name: str) -> None:
    method: Any = vars(AtomicInt64)[name]
    bound: Any = getattr(AtomicInt64(), name)
    assert method.__objclass__ is AtomicInt64
    for either in (method, bound):
        assert either.__name__ == name
        assert either.__qualname__ == f"AtomicInt64.{name}"
        assert either.__doc__.endswith(".")
        assert "--\n" not in either.__doc__
        assert either.__text_signature__ == f"($self, {ARGUMENTS[name] or '/'})"
    assert type(method) is types.MethodDescriptorType
    assert type(bound) is types.BuiltinMethodType
    assert str(inspect.signature(bound)) == f"({ARGUMENTS[name]})"


def refusal(call: Callable[..., object], *args: object, **keywords: object) -> str:
    with pytest.raises(TypeError) as caught:
        call(*args, **keywords)
    return str(caught.value)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_wrong_calls_are_refused_in_cpythons_words(name: str) -> None:
    twin = CONVENTIONS[name]
    ours, theirs = getattr(AtomicInt64(), name), getattr([], twin)

    def as_ours(text: str) -> str:
        return text.replace("list", "AtomicInt64").replace(twin, name)

    wrong_counts = {0, 1, 2, 3, 4} - {list(CONVENTIONS).index(name)}
    for count in wrong_counts:
        arguments = [1] * count
        assert refusal(ours, *arguments) == as_ours(refusal(theirs, *arguments))
    assert refusal(ours, x=1) == as_ours(refusal(theirs, x=1))
    assert refusal(ours, 1, x=1) == as_ours(refusal(theirs, 1, x=1))


def test_an_optional_argument_is_refused_in_cpythons_words() -> None:
    def as_ours(text: str) -> str:
        return text.replace("list.pop", "StripedCounter.add").replace("pop", "add")

    ours, theirs = StripedCounter().add, [1].pop
    for count in (2, 3):
        assert refusal(ours, *[1] * count) == as_ours(refusal(theirs, *[1] * count))
    assert refusal(ours, x=1) == as_ours(refusal(theirs, x=1))
    assert refusal(ours, 1, x=1) == as_ours(refusal(theirs, 1, x=1))


@pytest.mark.parametrize("name", ["nonsense", "", "\ud800"])
def test_a_keyword_that_no_parameter_has_is_refused(name: str) -> None:
    q: Any = Queue()
    with pytest.raises(TypeError, match=r"^put\(\) got an unexpected keyword argument '"):
        q.put(1, **{name: 2})
    assert q.empty()


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_slot_takes_instances_of_its_class_only(name: str) -> None:
    method, theirs = getattr(AtomicInt64, name), getattr(list, CONVENTIONS[name])
    assert refusal(method) == f"unbound method AtomicInt64.{name}() needs an argument"
    for other in (5, None, AtomicInt64, _native._PanicProbe()):
        text = refusal(theirs, other, 1, 1)
        text = text.replace("'list'", "'lockfree.AtomicInt64'").replace(CONVENTIONS[name], name)
        assert refusal(method, other, 1, 1) == text


def test_slots_may_be_called_in_every_way() -> None:
    a = AtomicInt64()
    assert AtomicInt64.increment(a) == 1
    assert list(map(a.add, [1, 2, 3])) == [2, 4, 7]
    assert partial(a.compare_exchange, 7)(10)
    assert a.compare_exchange(*[10, 20], **dict[str, int]())
    assert list(iter(a.increment, 23)) == [21, 22]
