"""Copies of caches: by ``copy``, by ``copy.copy``, by pickling."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import lockfree
import lockfree.locked
import pytest

LONG = 1000.0


def weigh(_key: object, value: Any) -> Any:
    """Be pickled by reference."""
    weighed.append(value)
    return value


weighed: list[Any] = []


def forget(_key: object, _value: object, _reason: str) -> None:
    raise AssertionError("nothing is evicted here")


class NativeChild(lockfree.Cache[Any, Any]):
    """A subclass with attributes, and a slot."""

    __slots__ = ("__dict__", "slot")

    def __init__(self, name: str) -> None:
        super().__init__(5)
        self.name, self.slot = name, [name]


class LockedChild(lockfree.locked.Cache[Any, Any]):
    """The same."""

    __slots__ = ("slot",)

    def __init__(self, name: str) -> None:
        super().__init__(5)
        self.name, self.slot = name, [name]


def by_method(c: Any) -> Any:
    return c.copy()


def by_pickle(c: Any) -> Any:
    return pickle.loads(pickle.dumps(c))


def by_old_pickle(c: Any) -> Any:
    return pickle.loads(pickle.dumps(c, 1))


WAYS = [by_method, copy.copy, copy.deepcopy, by_pickle, by_old_pickle]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Each way to copy."""
    chosen: Callable[[Any], Any] = request.param
    return chosen


def test_a_copy_has_the_entries_and_is_another_cache(
    impl: ModuleType, way: Callable[[Any], Any]
) -> None:
    c = impl.Cache(10)
    c.update(a=1, b=[2])
    c.get("x")
    d = way(c)
    assert type(d) is impl.Cache
    assert (d, d.maxsize, d.ttl, d.grace) == (c, 10, None, None)
    assert d.stats()[:7] == (0,) * 7
    assert (d["b"] is c["b"]) == (way in (by_method, copy.copy))
    del d["a"]
    d["c"] = 3
    assert dict(c) == {"a": 1, "b": [2]}


def test_a_copy_has_the_times_that_are_left_and_the_weights(
    impl: ModuleType, way: Callable[[Any], Any]
) -> None:
    c = impl.Cache(10, ttl=LONG, grace=5, weigher=weigh, on_evict=forget)
    c["a"] = 3
    c.put("b", 0, ttl=None)
    c.put("c", 4, ttl=2 * LONG)
    c.put("over", 1, ttl=1e-9)
    weighed.clear()
    d = way(c)
    assert weighed == []
    assert (d.weight, d.maxsize, d.ttl, d.grace) == (7, 10, LONG, 5)
    left = {key: seconds for key, _, seconds, _ in d._dump()}
    assert left["b"] is None
    assert LONG - 100 < left["a"] < LONG < 2 * LONG - 100 < left["c"] < 2 * LONG
    assert d._arguments()[3:] == (weigh, forget)
    d["d"] = 3
    assert (weighed, d.weight) == ([3], 10)


def test_a_subclass_is_copied_with_its_attributes(
    impl: ModuleType, way: Callable[[Any], Any]
) -> None:
    child = NativeChild if impl is lockfree else LockedChild
    c = child("n")
    if way is by_old_pickle:  # refuses slots, as with any class
        return
    c["a"] = 1
    d = way(c)
    assert (type(d), d.name, d.slot, d) == (child, "n", ["n"], {"a": 1})
    assert (d.slot is c.slot) == (way in (by_method, copy.copy))
    d.name = "d"
    assert c.name == "n"


def test_a_cache_that_is_in_itself_is_copied(impl: ModuleType) -> None:
    c = impl.Cache(2)
    c["c"] = c
    for deep in (copy.deepcopy, by_pickle):
        d = deep(c)
        assert d["c"] is d
    assert copy.copy(c)["c"] is c


def test_a_large_one_is_copied_whole(impl: ModuleType) -> None:
    c = impl.Cache(5000)
    c.update((n, str(n)) for n in range(5000))
    d = by_pickle(c)
    assert (len(d), dict(d) == dict(c)) == (5000, True)


def test_what_is_being_loaded_stays_behind(impl: ModuleType) -> None:
    c = impl.Cache(10)

    def loader(key: str) -> str:
        d = c.copy()
        assert d.get_or_load(key, str.upper) == "K"
        assert list(d) == ["k"]
        return key

    assert c.get_or_load("k", loader) == "k"


def test_what_cannot_be_pickled_is_told(impl: ModuleType) -> None:
    c = impl.Cache(1, on_evict=lambda *_: None)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(c)


def test_what_was_tampered_with_is_refused(impl: ModuleType) -> None:
    c = impl.Cache(3)
    c._restore("a", 1, None, 7)  # nothing is weighed
    assert c.weight == 1
    with pytest.raises(ValueError, match="ttl must be positive or None, but is 0"):
        c._restore("a", 1, 0, 1)
    with pytest.raises(ValueError, match="weight must not be negative, but is -1"):
        impl.Cache(1, weigher=weigh)._restore("a", 1, None, -1)


def test_a_copy_keeps_nothing_of_the_other_alive(impl: ModuleType) -> None:
    c = impl.Cache(1)
    d, ref = c.copy(), weakref.ref(c)
    del c
    gc.collect()
    assert ref() is None
    assert dict(d) == {}


# --- off ------------------------------------------------------------------------


def test_a_cache_of_nothing_is_off(impl: ModuleType) -> None:
    evicted: list[Any] = []
    for weigher in (None, weigh):
        c = impl.Cache(0, weigher=weigher, on_evict=lambda *args: evicted.append(args))
        c["a"] = 0
        assert c.setdefault("a", 0) == 0
        assert [c.get_or_load("a", lambda _key: 0) for _ in range(2)] == [0, 0]
        assert (c.maxsize, c.weight, len(c), dict(c), "a" in c) == (0, 0, 0, {}, False)
        assert (c.stats().loads, c.stats().evictions) == (2, 4)
    assert evicted == [("a", 0, "size")] * 8
    f = impl.cached(cache=impl.Cache(0))(str)
    assert (f(1), f(1), f.cache_info()[:2], f.cache_info()[2:]) == ("1", "1", (0, 2), (0, 0))
    assert by_pickle(impl.Cache(0)).maxsize == 0
