"""``once`` and ``cached_property``: one call, however many ask."""

# mypy: disable-error-code="untyped-decorator"
# A decorator taken from `impl` has no type.

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import threading
import weakref
from functools import partial
from types import ModuleType
from typing import Any

import lockfree
import lockfree.locked
import pytest
from lockfree import AtomicInt64
from support import in_child, needs_fork, repetitions, run, run_threads, start, waiting

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

TICK = 0.03


def test_it_is_called_once(impl: ModuleType) -> None:
    calls = []

    @impl.once
    def f() -> list[int]:
        """Return a list."""
        calls.append(1)
        return calls

    assert f() is f() is calls
    assert calls == [1]
    assert (f.__name__, f.__doc__, callable(f)) == ("f", "Return a list.", True)
    assert inspect.signature(f).parameters == {}
    assert f.__wrapped__() == [1, 1]


@pytest.mark.parametrize("value", [None, 0, False, "text", [1]])
def test_any_value_is_one(impl: ModuleType, value: object) -> None:
    calls = AtomicInt64()

    @impl.once
    def f() -> object:
        calls.increment()
        return value

    assert (f(), f(), f.peek(5), calls.load()) == (value, value, value, 1)


def test_peek_and_reset(impl: ModuleType) -> None:
    calls = AtomicInt64()
    f = impl.once(calls.increment)
    assert (f.peek(), f.peek("none")) == (None, "none")
    assert (f(), f.peek()) == (1, 1)
    f.reset()
    assert (f.peek(), f(), f()) == (None, 2, 2)


def make(calls: AtomicInt64) -> object:
    calls.increment()
    return object()


def test_of_many_threads_one_calls(impl: ModuleType) -> None:
    for _ in range(repetitions(impl, 1000)):
        calls = AtomicInt64()
        f = impl.once(partial(make, calls))
        results = run_threads(4, lambda _index: f())  # noqa: B023
        assert len(set(map(id, results))) == calls.load() == 1


def test_threads_and_loops_share_a_call(impl: ModuleType) -> None:
    calls = AtomicInt64()

    @impl.once
    async def f() -> int:
        await asyncio.sleep(TICK)
        return calls.increment()

    async def main() -> Any:
        return await asyncio.gather(*(f() for _ in range(5)))

    assert inspect.iscoroutinefunction(f)
    assert run_threads(3, lambda _index: run(main())) == [[1] * 5] * 3
    assert (run(f()), f.peek()) == (1, 1)
    f.reset()
    assert (f.peek(), run(f())) == (None, 2)


def test_an_exception_is_not_kept(impl: ModuleType) -> None:
    results = iter([ZeroDivisionError(), KeyboardInterrupt(), "value"])

    @impl.once
    def f() -> object:
        result = next(results)
        if isinstance(result, BaseException):
            raise result
        return result

    with pytest.raises(ZeroDivisionError):
        f()
    with pytest.raises(KeyboardInterrupt):
        f()
    assert f() == f() == "value"


def test_who_is_interrupted_leaves_it_to_the_next(impl: ModuleType) -> None:
    began, go_on = threading.Event(), threading.Event()

    @impl.once
    def f() -> object:
        if began.is_set():
            return "second"
        began.set()
        go_on.wait(30)
        raise KeyboardInterrupt

    first = start(f)
    assert began.wait(30)
    others = waiting(f, f)
    go_on.set()
    assert isinstance(first.exception(30), KeyboardInterrupt)
    assert [other.result(30) for other in others] == ["second"] * 2


def test_recursion_is_told(impl: ModuleType) -> None:
    @impl.once
    def f() -> Any:
        return f()

    @impl.once
    async def g() -> Any:
        return await g()

    name = "test_recursion_is_told.<locals>."
    with pytest.raises(RuntimeError) as caught:
        f()
    assert str(caught.value) == f"the loader of {name}f() asks for {name}f() itself"
    with pytest.raises(RuntimeError, match=r"asks for .* itself"):
        run(g())


def test_a_call_does_not_outlive_a_reset(impl: ModuleType) -> None:
    began, go_on = threading.Event(), threading.Event()
    calls = AtomicInt64()

    @impl.once
    def f() -> int:
        number = calls.increment()
        if number == 1:
            began.set()
            go_on.wait(30)
        return number

    first = start(f)
    assert began.wait(30)
    [second] = waiting(f)
    f.reset()
    go_on.set()
    assert first.result(30) == second.result(30) == 1
    assert f.peek() is None
    assert f() == 2


def test_what_it_refuses(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match=r"^once\(\) takes a function, not 5$"):
        impl.once(5)
    text = r"^once\(\) takes a function without arguments, not <function .*: use cached$"
    with pytest.raises(TypeError, match=text):
        impl.once(lambda n: n)
    f = impl.once(lambda n=5: n)
    assert f() == 5
    for args, kwargs in (((1,), {}), ((), {"n": 1})):
        with pytest.raises(TypeError, match=r"^a function of once\(\) takes no arguments$"):
            f(*args, **kwargs)


def answer() -> int:
    return 42


native_answer, locked_answer = lockfree.once(answer), lockfree.locked.once(answer)
native_answer.__qualname__ = "native_answer"  # type: ignore[attr-defined]
locked_answer.__qualname__ = "locked_answer"


def test_copying_and_pickling_yield_the_function_itself(impl: ModuleType) -> None:
    f = native_answer if impl is lockfree else locked_answer
    assert copy.copy(f) is copy.deepcopy(f) is pickle.loads(pickle.dumps(f)) is f


def test_a_cycle_through_it_is_collected(impl: ModuleType) -> None:
    class Thing:
        pass

    def make() -> weakref.ref[Thing]:
        thing: Any = Thing()
        thing.f = impl.once(lambda: thing)
        thing.f()
        return weakref.ref(thing)

    ref = make()
    gc.collect()
    assert ref() is None


@needs_fork
def test_a_child_calls_what_its_parent_was_calling(impl: ModuleType) -> None:
    child = in_child(
        f"""
    import os, threading, warnings
    import {impl.__name__}
    warnings.simplefilter("ignore", DeprecationWarning)
    began, go_on = threading.Event(), threading.Event()
    parent = os.getpid()
    @{impl.__name__}.once
    def f():
        if os.getpid() == parent:
            began.set()
            go_on.wait(30)
        return os.getpid()
    thread = threading.Thread(target=f)
    thread.start()
    began.wait(30)
    pid = os.fork()
    if not pid:
        os._exit(f() != os.getpid())
    print(os.waitpid(pid, 0)[1])
    go_on.set()
    thread.join()
    """
    )
    assert child == (0, "0\n", "")


# --- cached_property -----------------------------------------------------------


class Slotted:
    """Without a `__dict__`; its property is put in by the tests."""

    __slots__ = ("__weakref__", "n")


def test_a_property_is_computed_once_per_instance(impl: ModuleType) -> None:
    calls = AtomicInt64()

    class Thing:
        @impl.cached_property
        def prop(self) -> int:
            """Documented."""
            return calls.increment()

    first, second = Thing(), Thing()
    assert (first.prop, first.prop, second.prop) == (1, 1, 2)
    assert (vars(first), Thing.prop.__doc__) == ({"prop": 1}, "Documented.")
    del first.prop
    assert first.prop == 3
    first.prop = 5
    assert first.prop == 5
    assert inspect.isdatadescriptor(Thing.prop) is False
    assert impl.cached_property[int] is not None


def test_of_many_threads_one_computes(impl: ModuleType) -> None:
    calls = AtomicInt64()

    class Thing:
        @impl.cached_property
        def prop(self) -> object:
            calls.increment()
            return object()

    for number in range(repetitions(impl, 300)):
        thing = Thing()
        results = run_threads(4, lambda _index: thing.prop)  # noqa: B023
        assert (len(set(map(id, results))), calls.load()) == (1, number + 1)


def test_instances_do_not_wait_for_each_other(impl: ModuleType) -> None:
    began, go_on = threading.Event(), threading.Event()

    class Thing:
        def __init__(self, *, slow: bool) -> None:
            self.slow = slow

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

        @impl.cached_property
        def prop(self) -> bool:
            if self.slow:
                began.set()
                go_on.wait(30)
            return self.slow

    slow = start(lambda: Thing(slow=True).prop)
    assert began.wait(30)
    assert Thing(slow=False).prop is False
    go_on.set()
    assert slow.result(30) is True


def test_what_is_assigned_meanwhile_stays(impl: ModuleType) -> None:
    class Thing:
        @impl.cached_property
        def prop(self) -> str:
            self.prop = "assigned"
            return "computed"

    thing = Thing()
    assert (thing.prop, thing.prop) == ("computed", "assigned")


def test_a_property_without_a_dict(impl: ModuleType) -> None:
    calls = AtomicInt64()

    class Thing(Slotted):
        __slots__ = ()

        @impl.cached_property
        def prop(self) -> object:
            calls.increment()
            return object()

    thing = Thing()
    assert thing.prop is thing.prop
    assert calls.load() == 1
    del thing
    gc.collect()
    assert not Thing.prop._beside


def test_a_property_that_has_no_place_is_told_before_it_is_computed(impl: ModuleType) -> None:
    class Thing:
        __slots__ = ()

        @impl.cached_property
        def prop(self) -> None:
            pytest.fail("computed")

        @impl.cached_property
        async def later(self) -> None:
            pytest.fail("computed")

    message = "^No '__dict__' and no '__weakref__' on 'Thing' instance to cache '{}' property.$"
    for name in ("prop", "later"):
        with pytest.raises(TypeError, match=message.format(name)):
            getattr(Thing(), name)


def test_a_property_of_a_class_is_told_before_it_is_computed(impl: ModuleType) -> None:
    class Meta(type):
        @impl.cached_property
        def prop(cls) -> None:
            pytest.fail("computed")

    class Thing(metaclass=Meta):
        pass

    message = "^The '__dict__' attribute on 'Meta' instance does not support item assignment for "
    with pytest.raises(TypeError, match=message + "caching 'prop' property.$"):
        Thing.prop  # noqa: B018


def test_a_property_may_be_copied_and_pickled(impl: ModuleType) -> None:
    prop = impl.cached_property(len)
    prop.__set_name__(str, "length")
    for copied in (copy.copy(prop), copy.deepcopy(prop), pickle.loads(pickle.dumps(prop))):
        copy_of = type("Thing", (list,), {"length": copied})([1, 2])
        assert (type(copied), copied.attrname, copy_of.length) == (type(prop), "length", 2)


def test_a_property_of_a_coroutine_function(impl: ModuleType) -> None:
    calls = AtomicInt64()

    class Thing:
        @impl.cached_property
        async def prop(self) -> int:
            await asyncio.sleep(TICK)
            return calls.increment()

    class SlottedThing(Slotted):
        __slots__ = ()
        prop = Thing.__dict__["prop"]

    async def main(thing: Any) -> Any:
        async def ask() -> Any:
            return await thing.prop

        return await asyncio.gather(ask(), ask()), await thing.prop, await thing.prop

    assert run(main(Thing())) == ([1, 1], 1, 1)
    assert run(main(SlottedThing())) == ([2, 2], 2, 2)


def test_a_property_that_asks_for_itself_is_told(impl: ModuleType) -> None:
    class Thing:
        @impl.cached_property
        def prop(self) -> Any:
            return self.prop

    with pytest.raises(RuntimeError, match=r"Thing\.prop asks for .*Thing\.prop itself$"):
        Thing().prop  # noqa: B018


def test_a_property_must_have_one_name(impl: ModuleType) -> None:
    prop = impl.cached_property(lambda _self: 1)
    with pytest.raises(TypeError, match="without calling __set_name__"):
        prop.__get__(object())
    with pytest.raises((TypeError, RuntimeError)):
        type("Thing", (), {"a": prop, "b": prop})
    with pytest.raises(TypeError, match=r"^cached_property\(\) takes a function, not 5$"):
        impl.cached_property(5)
