"""The decorator ``cached``: as ``functools.lru_cache``, but for the order of evictions."""

# mypy: disable-error-code="untyped-decorator"
# A decorator taken from `impl` has no type.

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import inspect
import pickle
import sys
import time
import unittest
import weakref
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import lockfree
import lockfree.locked
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lockfree import AtomicInt64, _cached
from support import in_child, run_threads

try:
    cpython: Any = import_module("test.test_functools")
except ImportError:  # installed without CPython's tests
    cpython = None


def square(n: float) -> float:
    """Return n * n."""
    return n * n


def test_bare_or_called(impl: ModuleType) -> None:
    for decorate in (impl.cached, impl.cached(), impl.cached(5), impl.cached(maxsize=None)):
        f = decorate(square)
        assert (f(3), f(3), f.__wrapped__) == (9, 9, square)
        assert f.cache_info()[:2] == (1, 1)
    assert impl.cached(square).cache_info() == (0, 0, 128, 0)
    assert repr(impl.cached(square).cache_info()) == repr(functools.lru_cache(square).cache_info())


def test_it_looks_like_the_function(impl: ModuleType) -> None:
    for maxsize in (0, 5, None):
        f = impl.cached(maxsize)(square)
        assert (f.__name__, f.__qualname__, f.__module__) == ("square", "square", __name__)
        assert f.__doc__ == "Return n * n."
        assert inspect.signature(f) == inspect.signature(square)
        assert callable(f)


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ((), {"maxsize": 128, "typed": False}),
        ((3, True), {"maxsize": 3, "typed": True}),
        ((None,), {"maxsize": None, "typed": False}),
        ((0,), {"maxsize": 0, "typed": False}),
        ((-5,), {"maxsize": 0, "typed": False}),
    ],
)
def test_parameters(impl: ModuleType, arguments: Any, parameters: Any) -> None:
    assert impl.cached(*arguments)(square).cache_parameters() == parameters
    assert functools.lru_cache(*arguments)(square).cache_info()[2] == parameters["maxsize"]


def test_what_it_refuses(impl: ModuleType) -> None:
    with pytest.raises(
        TypeError, match=r"^the first argument of cached\(\) is maxsize: .* cache=$"
    ):
        impl.cached(impl.Cache(5))
    with pytest.raises(
        TypeError, match=r"^a cache has its own ttl: pass ttl= or cache=, not both$"
    ):
        impl.cached(ttl=1, cache=impl.Cache(5))
    with pytest.raises(TypeError, match=r"^maxsize must be an int, a function or None, not '5'$"):
        impl.cached("5")
    with pytest.raises(ValueError, match=r"^ttl must be positive or None, but is 0$"):
        impl.cached(ttl=0)(square)


def test_size_zero_keeps_nothing(impl: ModuleType) -> None:
    f = impl.cached(0)(square)
    assert (f(3), f(3), f.cache_info()) == (9, 9, (0, 2, 0, 0))
    f.cache_clear()
    assert f.cache_info() == (0, 0, 0, 0)


def test_clearing_clears_the_statistics(impl: ModuleType) -> None:
    f = impl.cached(square)
    f(3), f(3), f(4)
    f.cache_clear()
    assert f.cache_info() == (0, 0, 128, 0)
    f(3), f(3)
    assert f.cache_info() == (1, 1, 128, 1)


ARGUMENTS = st.lists(
    st.sampled_from([0, 1, True, 1.0, "1", "a", None, (1,), (1.0,), b"a", frozenset([1])]),
    max_size=3,
)
KEYWORDS = st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, 1.0, "a"]))


@settings(max_examples=50)
@given(calls=st.lists(st.tuples(ARGUMENTS, KEYWORDS), max_size=20), typed=st.booleans())
def test_keys_are_those_of_lru_cache(
    impl: ModuleType, calls: list[tuple[list[Any], dict[str, Any]]], typed: bool
) -> None:
    def f(*args: object, **kwargs: object) -> object:
        return args, kwargs

    ours, theirs = impl.cached(None, typed)(f), functools.lru_cache(None, typed)(f)
    for args, kwargs in calls:
        assert repr(ours(*args, **kwargs)) == repr(theirs(*args, **kwargs))
        assert ours.cache_info() == theirs.cache_info()


@pytest.mark.parametrize(
    "args",
    [(), (1, 2), (-1, -2), (2**61 - 1, 2**61), (0.0, "text", b"bytes"), (10**40, None), (1,) * 99],
    ids=repr,
)
def test_a_call_and_a_look_for_it_have_one_key(impl: ModuleType, args: tuple[Any, ...]) -> None:
    f = impl.cached(lambda *args: args)
    assert not f.cache_contains(*args)
    f(*args)
    assert f.cache_contains(*args)
    f(*args)
    assert f.cache_info()[:2] == (1, 1)


def test_arguments_are_compared_as_in_a_tuple(impl: ModuleType) -> None:
    class Equal:
        def __hash__(self) -> int:
            return hash(1000)

        def __eq__(self, other: object) -> bool:
            return other == 1000

    f = impl.cached(lambda *args: args)
    first = f(1000, "".join(["te", "xt"]))
    nan = float("nan")
    assert f(int("1000"), "text") is f(1000.0, "text") is f(Equal(), "text") is first
    assert f(nan, 1) is f(nan, 1)
    assert f(float("nan"), 1) is not f(nan, 1)
    assert f.cache_info().misses == 3


def test_unhashable_arguments(impl: ModuleType) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        impl.cached(len)([])


@pytest.mark.parametrize("equal", [False, True], ids=["by identity", "by __eq__"])
def test_a_method_is_cached_by_its_object(impl: ModuleType, equal: bool) -> None:
    class Shape:
        def __init__(self, side: int) -> None:
            self.side = side

        @impl.cached
        def area(self) -> int:
            return self.side**2

    if equal:
        slots: Any = Shape
        slots.__eq__ = lambda self, other: self.side == other.side
        slots.__hash__ = lambda self: hash(self.side)
    shapes = [Shape(2), Shape(3), Shape(2)]
    assert [shape.area() for shape in shapes for _ in range(2)] == [4, 4, 9, 9, 4, 4]
    assert Shape.area.cache_info().misses == (2 if equal else 3)
    assert Shape.area(shapes[0]) == 4
    bound = shapes[1].area
    assert (bound.__self__, bound()) == (shapes[1], 9)


def test_an_object_and_what_is_equal_to_it_are_one_argument(impl: ModuleType) -> None:
    calls = []

    @impl.cached
    def name(thing: object) -> str:
        calls.append(thing)
        return repr(thing)

    things = [None, int, object(), test_methods, 1, "1", (1,)]
    for thing in things * 2:
        assert name(thing) == repr(thing)
    assert calls == things


def test_calling_a_method_makes_no_bound_method() -> None:
    method_descriptor = 1 << 17  # Py_TPFLAGS_METHOD_DESCRIPTOR
    for fn in [lockfree.cached(repr), functools.lru_cache(repr)]:
        assert type(fn).__flags__ & method_descriptor


def test_methods(impl: ModuleType) -> None:
    class Shape:
        def __init__(self, side: int) -> None:
            self.side = side

        @impl.cached
        def area(self, factor: int = 1) -> int:
            """Return the area."""
            return factor * self.side**2

        @staticmethod
        @impl.cached
        def static(n: int) -> int:
            return n

        @classmethod
        @impl.cached
        def of_class(cls, n: int) -> tuple[type, int]:
            return cls, n

    small, big = Shape(1), Shape(10)
    assert (small.area(), big.area(), big.area(2), Shape.area(big)) == (1, 100, 200, 100)
    assert Shape.area.cache_info() == (1, 3, 128, 3)
    assert big.area.__self__ is big
    assert (Shape.static(3), small.static(3)) == (3, 3)
    assert Shape.of_class(3) == (Shape, 3)


def test_time_to_live(impl: ModuleType) -> None:
    f = impl.cached(ttl=0.01)(square)
    f(3)
    time.sleep(0.02)
    assert f(3) == 9
    assert f.cache_info()[:2] == (0, 2)


def test_a_cache_of_ones_own(impl: ModuleType) -> None:
    c = impl.Cache(5, ttl=1000)
    f = impl.cached(cache=c, key=lambda n: n)(square)
    assert (f(3), c[3]) == (9, 9)
    assert f.cache_parameters() == {"maxsize": 5, "typed": False}
    assert f.cache_info() == (1, 1, 5, 1)
    c[4] = "put"
    assert f(4) == "put"


def test_errors_are_not_kept(impl: ModuleType) -> None:
    calls = []

    @impl.cached
    def f(n: int) -> float:
        calls.append(n)
        return 1 / n

    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            f(0)
        assert caught.value.__context__ is None
    assert calls == [0, 0]


def test_recursion(impl: ModuleType) -> None:
    @impl.cached(maxsize=None)
    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(80) == 23416728348467685
    assert fib.cache_info() == (78, 81, None, 81)


@pytest.mark.parametrize("call", ["hash(Key())", "pair(Key(), 1)", "{MODULE}.Cache(1).get(Key())"])
def test_a_hash_that_is_cached_is_too_deep(impl: ModuleType, call: str) -> None:
    # In a child process, for the stack would have no room, and nobody to say so.
    child = in_child(
        f"""
        import sys
        import {impl.__name__}
        from {impl.__name__} import cached

        class Key:
            __hash__ = cached(lambda self: 1)

        pair = cached(lambda one, other: 1)
        try:
            {call.replace("{MODULE}", impl.__name__)}
        except RecursionError:
            print("too deep")
        except TypeError as error:  # so CPython 3.11 says if binding was too deep
            assert sys.version_info < (3, 12) and "unhashable type" in str(error), error
            print("too deep")
        """
    )
    assert child == (0, "too deep\n", "")


def test_a_function_that_calls_itself_with_the_same_arguments_is_told(impl: ModuleType) -> None:
    @impl.cached
    def f(n: int) -> Any:
        return f(n)

    with pytest.raises(RuntimeError, match=r"^the loader of 3 asks for 3 itself$"):
        f(3)


def test_one_call_per_key_in_flight(impl: ModuleType) -> None:
    calls = AtomicInt64()

    @impl.cached
    def f(n: int) -> int:
        time.sleep(0.03)
        calls.increment()
        return n

    assert run_threads(8, lambda _index: f(7)) == [7] * 8
    assert calls.load() == 1
    assert f.cache_info()[:2] == (7, 1)


def test_coroutine_functions(impl: ModuleType) -> None:
    calls = []

    for maxsize in (5, 0):

        @impl.cached(maxsize)
        async def f(n: int) -> int:
            calls.append(n)
            await asyncio.sleep(0.01)
            return n

        async def main(f: Any = f) -> Any:
            results = await asyncio.gather(*(f(n) for n in (1, 2, 1, 2)))
            return results, await f(1)

        assert inspect.iscoroutinefunction(f)
        assert asyncio.run(main()) == ([1, 2, 1, 2], 1)
        assert f.cache_info() == ((3, 2, 5, 2) if maxsize else (0, 5, 0, 0))
        assert len(calls) == (2 if maxsize else 5)
        assert f.__name__ == "f"
        calls.clear()


def test_coroutine_methods(impl: ModuleType) -> None:
    class Client:
        @impl.cached
        async def fetch(self, url: str) -> str:
            return url * 2

    async def main() -> tuple[str, str]:
        client = Client()
        return await client.fetch("a"), await client.fetch("a")

    assert asyncio.run(main()) == ("aa", "aa")
    assert Client.fetch.cache_info()[:2] == (1, 1)


# Where pickle finds them.
native_square = lockfree.cached(square)
locked_square = lockfree.locked.cached(square)
native_square.__qualname__ = "native_square"  # type: ignore[attr-defined]
locked_square.__qualname__ = "locked_square"


def test_copying_and_pickling_yield_the_function_itself(impl: ModuleType) -> None:
    f = native_square if impl is lockfree else locked_square
    assert copy.copy(f) is f
    assert copy.deepcopy(f) is f
    assert pickle.loads(pickle.dumps(f)) is f


def test_a_cycle_through_the_function_is_collected(impl: ModuleType) -> None:
    class Thing:
        pass

    def make(maxsize: int) -> weakref.ref[Thing]:
        thing: Any = Thing()

        @impl.cached(maxsize)
        def f(n: int) -> object:
            return thing, n

        f(1)
        thing.f = f
        thing.method = f.__get__(thing)
        return weakref.ref(thing)

    refs = [make(maxsize) for maxsize in (0, 5)]
    gc.collect()
    assert [ref() for ref in refs] == [None, None]
    f = impl.cached(square)
    assert weakref.ref(f)() is f


def test_help_is_the_same_for_both() -> None:
    ours, twin = lockfree.cached, lockfree.locked.cached
    for theirs, parameter in zip(
        *(inspect.signature(f).parameters.values() for f in (ours, twin)), strict=True
    ):
        assert theirs.replace(annotation=None) == parameter.replace(annotation=None)
    assert (ours.__doc__ or "").splitlines()[0] == (twin.__doc__ or "").splitlines()[0]


# --- CPython's own tests -------------------------------------------------------

ELSEWHERE = "looks at functions of the module it stands in; above there is one for ours"
SKIPPED = {
    "test_lru_bug_35780": "calls itself with the same arguments, which is refused here",
    "test_lru_cache_threaded2": "wants simultaneous calls with the same arguments",
    "test_lru_method": "counts on the order in which a least-recently-used cache evicts",
    "test_common_signatures": "wants `cache_info` to have no annotation",
    "test_pickle": ELSEWHERE,
    "test_copy": ELSEWHERE,
    "test_deepcopy": ELSEWHERE,
}
LOCKED_SKIPPED = {"test_lru_recursion": "a call that misses takes more frames in pure Python"}
NATIVE_SKIPPED: dict[str, str] = {}
if sys.version_info < (3, 14):
    NATIVE_SKIPPED["test_lru_hash_only_once"] = "before 3.14 tuples do not keep their hash"
CASES = [] if cpython is None else unittest.TestLoader().getTestCaseNames(cpython.TestLRUC)


def test_what_it_has_beside_has_the_signatures_of_functools(impl: ModuleType) -> None:
    for f in (impl.cached(square), impl.cached(maxsize=0)(square)):
        for name in ("cache_info", "cache_clear", "cache_parameters"):
            assert str(inspect.signature(getattr(f, name))) == "()"


def test_functions_in_one_cache_have_keys_of_their_own(impl: ModuleType) -> None:
    c = impl.Cache(100)
    f, g = impl.cached(cache=c)(square), impl.cached(cache=c, typed=True)(lambda *_, **__: "other")
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]]
    calls = [((2,), {}), (("a",), {}), ((1, 2), {}), ((), {}), ((1,), {"a": 2}), (([],), {})]
    assert (f(2), g(2), f(2), g(2), g(2.0)) == (4, "other", 4, "other", "other")
    assert (square, 2) in c
    assert len(c) == 3
    for args, kwargs in calls[1:-1]:
        assert g(*args, **kwargs) == g(*args, **kwargs) == "other"
    assert len(c) == 7
    with pytest.raises(TypeError, match="unhashable"):
        f([])
    assert f.cache_contains(2)
    assert f.cache_invalidate(2)
    assert not f.cache_contains(2)
    assert g.cache_contains(2)


@pytest.mark.skipif(not CASES, reason="the interpreter was installed without CPython's tests")
@pytest.mark.parametrize("name", CASES)
def test_passes_cpythons_own_tests(impl: ModuleType, name: str) -> None:
    reasons = SKIPPED | (NATIVE_SKIPPED if impl is lockfree else LOCKED_SKIPPED)
    if name in reasons:
        pytest.skip(reasons[name])
    module = SimpleNamespace(
        lru_cache=impl.cached,
        cache=impl.cached(maxsize=None),
        _CacheInfo=_cached.CacheInfo,
        WRAPPER_ASSIGNMENTS=functools.WRAPPER_ASSIGNMENTS,
    )
    result = unittest.TestResult()
    case: Any = type("Case", (cpython.TestLRU, unittest.TestCase), {"module": module})
    case(name).run(result)
    assert (result.testsRun, result.errors, result.failures, result.skipped) == (1, [], [], [])
