"""What becomes of a cache and of what is in it: collection, re-entry, forks, depth.

And what peers do wrong: each hang and leak that was seen in one is a test here, most in
a process of its own, which is ended if it hangs.
"""

from __future__ import annotations

import gc
import sys
import time
import weakref
from types import ModuleType
from typing import Any

import lockfree
import pytest
from support import MEMORY, in_child, needs_statm


class Thing:
    """What can be referred to weakly."""


# --- collection ----------------------------------------------------------------


def through_values(c: Any, thing: Thing) -> None:
    c["k"] = [c, thing]


def through_keys(c: Any, thing: Any) -> None:
    thing.cache = c
    c[thing] = 1


def through_on_evict(c: Any, thing: Thing) -> None:
    other = type(c)(3, on_evict=lambda *_: (c, thing))
    c["k"] = other


def through_weigher(c: Any, thing: Thing) -> None:
    c["k"] = type(c)(3, weigher=lambda *_: len((c, thing)))


def through_the_cached_function(c: Any, thing: Any) -> None:
    def f(n: int) -> object:
        return c, thing, n

    module = sys.modules[type(c).__module__.removesuffix("._cache")]
    thing.f = module.cached(cache=c)(f)
    thing.f(1)


CYCLES = [
    through_values,
    through_keys,
    through_on_evict,
    through_weigher,
    through_the_cached_function,
]


@pytest.mark.parametrize("close", CYCLES)
def test_a_cycle_is_collected(impl: ModuleType, close: Any) -> None:
    c, thing = impl.Cache(10), Thing()
    refs = weakref.ref(c), weakref.ref(thing)
    close(c, thing)
    del c, thing
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_what_is_still_used_is_not_collected(impl: ModuleType) -> None:
    c = impl.Cache(10)
    c["k"] = [c]
    gc.collect()
    assert c["k"] == [c]


def test_what_is_removed_dies_at_once(impl: ModuleType) -> None:
    removals: list[Any] = [
        lambda c: c.pop("k"),
        lambda c: c.__delitem__("k"),
        lambda c: c.popitem(),
        lambda c: c.clear(),
        lambda c: c.put("k", 1),
        lambda c: c.update((i, i) for i in range(10)),
    ]
    for remove in removals:
        c, thing = impl.Cache(1), Thing()
        c["k"] = thing
        ref = weakref.ref(thing)
        del thing
        gc.disable()
        try:
            assert ref() is not None
            remove(c)
            assert ref() is None
        finally:
            gc.enable()


def test_the_cache_takes_its_entries_with_it(impl: ModuleType) -> None:
    c, key, value = impl.Cache(10), Thing(), Thing()
    c[key] = value
    refs = weakref.ref(key), weakref.ref(value)
    del key, value, c
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


@pytest.mark.parametrize("method", ["get", "pop", "setdefault"])
def test_looking_for_what_is_not_there_keeps_nothing(impl: ModuleType, method: str) -> None:
    c = impl.Cache(10)
    key = Thing()
    ref = weakref.ref(key)
    getattr(c, method)(key, None)
    c.clear()
    del key
    gc.collect()
    assert ref() is None


def test_the_size_of_the_values_does_not_grow(impl: ModuleType) -> None:
    c = impl.Cache(100)
    for number in range(100):
        c[number] = Thing()
    refs = [weakref.ref(value) for value in c.values()]
    for number in range(100, 2000):
        c[number] = Thing()
    gc.collect()
    alive = [ref for ref in refs if ref() is not None]
    assert len(alive) == len([key for key in c if key < 100])
    assert len(c) == 100


# --- depth ---------------------------------------------------------------------


def test_a_chain_of_nested_caches_is_freed(impl: ModuleType) -> None:
    if impl.__name__ == "lockfree.locked" and sys.version_info < (3, 14):
        depth = 2_000  # each level takes several frames of C there
    else:
        depth = 50_000
    child = in_child(
        f"""
        import gc
        from {impl.__name__} import Cache
        for close in (False, True):
            first = chain = Cache(1)
            for _ in range({depth}):
                outer = Cache(1)
                outer["k"] = chain
                chain = outer
            if close:
                first["k"] = chain
            del first, chain, outer
            gc.collect()
        print("freed")
        """,
        timeout=120,
    )
    assert child == (0, "freed\n", "")


# --- re-entry ------------------------------------------------------------------


def test_the_collector_meets_no_list_with_missing_items(impl: ModuleType) -> None:
    """Before CPython 3.12 it may run while the list of the items is made."""
    child = in_child(
        f"""
        import gc
        from {impl.__name__} import Cache

        def look(phase, _info):
            for each in gc.get_objects():
                if type(each) is list and len(each) == 2500:
                    each.copy()

        c = Cache(None)
        for n in range(2500):  # more than there are tuples to be used again
            c[n] = [n]
        gc.set_threshold(1)
        gc.callbacks.append(look)
        assert len(list(c.items())) == len(list(c)) == 2500
        print("whole")
        """
    )
    assert child == (0, "whole\n", "")


USES = """
    import sys, gc, threading
    from {module} import Cache, cached
    def use(c):
        c["used"] = 1
        c.get("used")
        c.pop("used", None)
        c.setdefault("used", 2)
        c.get_or_load("loaded", str)
        list(c), list(c.items()), len(c), repr(c)
        c.expire()
        c.stats()
"""


@pytest.mark.parametrize("maxsize", ["3", "None"])
@pytest.mark.parametrize("method", ["__eq__", "__hash__"])
def test_keys_may_use_the_cache(impl: ModuleType, method: str, maxsize: str) -> None:
    """`cachebox` hangs here."""
    if impl.__name__ == "lockfree.locked":
        pytest.skip("the locked cache does not promise to bear re-entry")
    child = in_child(
        USES.format(module=impl.__name__)
        + f"""
    class Key:
        busy = False
        def __init__(self, n):
            self.n = n
        def meddle(self):
            if not Key.busy:
                Key.busy = True
                use(c)
                Key.busy = False
        def __hash__(self):
            if "{method}" == "__hash__":
                self.meddle()
            return 1
        def __eq__(self, other):
            if "{method}" == "__eq__":
                self.meddle()
            return isinstance(other, Key) and self.n == other.n
        def __repr__(self):
            return "Key"
    c = Cache({maxsize})
    for n in range(3):
        c[Key(n)] = n
        c[Key(n)] = n
        c.get(Key(n)), Key(n) in c, c.setdefault(Key(n), n)
        c.get_or_load(Key(n), lambda key: key.n)
    for n in range(3):
        c.pop(Key(n), None)
    print("done")
    """
    )
    assert child == (0, "done\n", "")


def test_finalizers_may_use_the_cache(impl: ModuleType) -> None:
    """`cachebox` hangs here."""
    child = in_child(
        USES.format(module=impl.__name__)
        + """
    class Value:
        def __del__(self):
            use(c)
            finished.append(1)
    finished = []
    c = Cache(4)
    for n in range(20):
        c[n] = Value()
    c[19] = 0
    c["replaced"] = Value()
    c["replaced"] = 0
    c["popped"] = Value()
    c.pop("popped", None)
    c["last"] = Value()
    c.clear()
    gc.collect()
    print(len(finished) >= 20)
    """
    )
    assert child == (0, "True\n", "")


def test_callbacks_may_use_the_cache(impl: ModuleType) -> None:
    child = in_child(
        USES.format(module=impl.__name__)
        + """
    def on_evict(*args):
        meddle("on_evict")
    def weigher(key, value):
        meddle("weigher")
        return 1
    def loader(key):
        meddle("loader")
        return key
    def meddle(name):
        if not busy:
            busy.append(name)
            use(c)
            called.append(busy.pop())
    busy, called = [], []
    c = Cache(3, on_evict=on_evict, weigher=weigher)
    for n in range(10):
        c[n] = n
        c.get_or_load((n, n), loader)
    print(sorted(set(called)), len(c))
    """
    )
    assert child == (0, "['loader', 'on_evict', 'weigher'] 3\n", "")


def test_the_collector_may_use_the_cache(impl: ModuleType) -> None:
    """A finalizer that the collector calls comes between any two instructions."""
    if impl.__name__ == "lockfree.locked":
        pytest.skip("the locked cache does not promise to bear re-entry")
    child = in_child(
        USES.format(module=impl.__name__)
        + """
    class Cycle:
        def __init__(self):
            self.me = self
        def __del__(self):
            use(c)
    gc.set_threshold(5)
    c = Cache(10)
    for n in range(3000):
        c[n] = [Cycle()]
        c.get_or_load(n % 7, lambda key: [Cycle()])
    print(len(c))
    """
    )
    assert child == (0, "10\n", "")


def test_the_collector_may_load_while_a_load_is_prepared(impl: ModuleType) -> None:
    """On CPython 3.11 it also comes while a dict is made: here, the table of the loads."""
    child = in_child(
        f"""
        import gc
        from {impl.__name__} import Cache
        class Cycle:
            def __init__(self):
                self.me = self
            def __del__(self):
                c._flights(0)
        for _ in range(20):
            c = Cache(10)
            gc.collect()
            gc.disable()
            used_up = [{{}} for _ in range(200)]  # the dicts that CPython keeps for later
            Cycle()
            gc.enable()
            gc.set_threshold(1)
            print(c._flights(0) is c._flights(0))
            gc.set_threshold(700)
        """,
        timeout=10,
    )
    assert child == (0, "True\n" * 20, "")


# --- what peers do wrong -------------------------------------------------------


def test_an_interrupted_load_does_not_hang_the_next_reader(impl: ModuleType) -> None:
    """In `cereggii` the reservation of the key stays."""
    child = in_child(
        f"""
        from {impl.__name__} import Cache, cached
        c = Cache(10)
        def interrupted(key):
            raise KeyboardInterrupt
        try:
            c.get_or_load("k", interrupted)
        except KeyboardInterrupt:
            print(c.get("k"), c.get_or_load("k", str))
        @cached
        def f(n):
            if not calls:
                calls.append(n)
                raise SystemExit
            return n
        calls = []
        try:
            f(1)
        except SystemExit:
            print(f(1))
        """
    )
    assert child == (0, "None k\n1\n", "")


def test_a_failed_load_does_not_hang_later_ones(impl: ModuleType) -> None:
    """In `theine` every later call for the key hangs; `cereggii` keeps the exception."""
    child = in_child(
        f"""
        import asyncio
        from {impl.__name__} import Cache
        c = Cache(10)
        for _ in range(2):
            try:
                c.get_or_load(0, lambda key: 1 // key)
            except ZeroDivisionError:
                print("failed")
        print(c.get_or_load(0, str))
        async def fail(key):
            return 1 // (key - 1)
        async def main():
            for _ in range(2):
                try:
                    await c.async_get_or_load(1, fail)
                except ZeroDivisionError:
                    print("failed")
        asyncio.run(main())
        print(c.get_or_load(1, str))
        """
    )
    assert child == (0, "failed\nfailed\n0\nfailed\nfailed\n1\n", "")


def test_a_recursive_load_does_not_hang(impl: ModuleType) -> None:
    """In `moka-py` it does."""
    child = in_child(
        f"""
        import asyncio
        from {impl.__name__} import Cache, cached
        c = Cache(10)
        try:
            c.get_or_load("k", lambda key: c.get_or_load(key, str))
        except RuntimeError as error:
            print(error)
        @cached
        async def f(n):
            return await f(n)
        try:
            asyncio.run(f(1))
        except RuntimeError as error:
            print(error)
        """
    )
    lines = ["the loader of 'k' asks for 'k' itself", "the loader of 1 asks for 1 itself", ""]
    assert child == (0, "\n".join(lines), "")


def test_a_load_is_made_once(impl: ModuleType) -> None:
    """`setdefault_with` of `cachebox` may call twice."""
    child = in_child(
        f"""
        import threading, time
        from {impl.__name__} import Cache
        c, calls = Cache(10), []
        def loader(key):
            calls.append(key)
            time.sleep(0.05)
            return key
        threads = [threading.Thread(target=c.get_or_load, args=("k", loader)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(calls)
        """
    )
    assert child == (0, "['k']\n", "")


def test_keys_of_one_hash_cost_what_they_cost_a_dict(impl: ModuleType) -> None:
    """Each look-up compares each of them once, and does little else."""
    child = in_child(
        f"""
        import sys
        from {impl.__name__} import Cache
        keys = [n * sys.hash_info.modulus for n in range(1500)]
        c = Cache(None)
        c.update((key, key) for key in keys)
        assert all(c[key] == key for key in keys)
        print(len(c), len(set(map(hash, keys))))
        """,
        timeout=30,
    )
    assert child == (0, "1500 1\n", "")


def test_statistics_do_not_drift(impl: ModuleType) -> None:
    """Each call of `theine`'s `stats()` adds hits and misses."""
    c = impl.Cache(10)
    c["k"] = 1
    c["k"]
    for _ in range(100):
        assert c.stats()[:2] == (1, 0)


def test_the_bound_holds_under_threads(impl: ModuleType) -> None:
    """`functools.lru_cache` exceeds it on free-threaded CPython, for good."""
    child = in_child(
        f"""
        import threading
        from {impl.__name__} import Cache, cached
        c = Cache(10)
        f = cached(10)(str)
        def work(start):
            for n in range(2000):
                c[start + n] = n
                f(start + n)
        threads = [threading.Thread(target=work, args=(n * 10**6,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(c), f.cache_info().currsize)
        """
    )
    assert child == (0, "10 10\n", "")


def test_nothing_polls_or_lingers(impl: ModuleType) -> None:
    """`theine` starts a thread for its timers, and `cachebox` one that sweeps."""
    child = in_child(
        f"""
        import threading, time
        from {impl.__name__} import Cache, cached
        c = Cache(10, ttl=0.01)
        c["k"] = 1
        cached(ttl=0.01)(str)(3)
        time.sleep(0.02)
        print(threading.active_count(), "k" in c)
        """
    )
    assert child == (0, "1 False\n", "")


# --- fork, exit ----------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="no os.fork there")
def test_a_child_process_goes_on_using_it(impl: ModuleType) -> None:
    child = in_child(
        f"""
        import os, threading, warnings
        from {impl.__name__} import Cache
        warnings.simplefilter("ignore")
        c = Cache(100)
        c.update((n, n) for n in range(50))
        stop = threading.Event()
        def work():
            while not stop.is_set():
                c.get(1)
                c[1] = 1
                c.pop(1, None)
        if "{impl.__name__}" == "lockfree":  # a locked one may be forked while it is locked
            threads = [threading.Thread(target=work) for _ in range(2)]
        else:
            threads = []
        for thread in threads:
            thread.start()
        for _ in range(20):
            pid = os.fork()
            if not pid:
                c[1] = 1
                c.update((n, n) for n in range(200))
                os._exit(len(c) - 100)
            assert os.waitpid(pid, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        c[1] = 1
        print(len(c))
        """
    )
    assert child == (0, "50\n", "")


def test_daemon_threads_that_wait_do_not_hang_the_exit(impl: ModuleType) -> None:
    child = in_child(
        f"""
        import threading, time
        from {impl.__name__} import Cache
        c = Cache(10)
        for _ in range(4):
            thread = threading.Thread(
                target=c.get_or_load, args=("k", lambda key: time.sleep(60)), daemon=True
            )
            thread.start()
        time.sleep(0.2)
        print("over")
        """
    )
    assert child == (0, "over\n", "")


@needs_statm
def test_an_idle_cache_is_small() -> None:
    child = in_child(
        MEMORY
        + """
caches = [Cache(10**6) for _ in range(1000)]
before = resident()
caches += [Cache(10**6) for _ in range(10_000)]
each = (resident() - before) / 10_000
assert each < 1024, each
"""
    )
    assert child == (0, "", "")


@needs_statm
@pytest.mark.parametrize("ttl", [None, 1000])
def test_an_entry_is_small(ttl: float | None) -> None:
    """Also where the tables have just grown, and each entry had several deadlines."""
    child = in_child(
        MEMORY
        + f"""
size = 140_000
keys = [object() for _ in range(2 * size)]
before = resident()
c = Cache(size, ttl={ttl})
for _ in range(3):
    for i in range(size):
        c[keys[i]] = None
for key in keys:
    c[key] = None
each = (resident() - before) / size
assert len(c) == size
assert each < 130, each
"""
    )
    assert child == (0, "", "")


@needs_statm
@pytest.mark.parametrize("call", ["get(1)", "get(1, None)", "setdefault(i)"])
def test_no_answer_takes_memory_for_good(call: str) -> None:
    child = in_child(
        MEMORY
        + f"""
c = Cache(2)

def ask(n):
    for i in range(n):
        c.{call}

ask(10_000)
before = resident()
ask(1_000_000)
assert resident() - before < MIB, resident() - before
"""
    )
    assert child == (0, "", "")


def test_a_long_snapshot_is_the_collector_s_if_a_cycle_may_lead_through_it() -> None:
    """Else it is spared going through a million items at a stretch."""
    c: lockfree.Cache[int, Any] = lockfree.Cache(None)
    for key in range(20_000):
        c[key] = str(key)
    items = iter(c.items())
    assert not any(map(gc.is_tracked, (items, next(items), iter(c))))
    thing: Any = Thing()
    c[7] = thing
    thing.itself = items = iter(c.items())
    ref = weakref.ref(thing)
    assert gc.is_tracked(items)
    assert [gc.is_tracked(pair) for pair in c.items() if pair[1] is thing] == [True]
    del c, items, thing
    gc.collect()
    assert ref() is None


def test_expired_entries_are_let_go(impl: ModuleType) -> None:
    c, thing = impl.Cache(10, ttl=0.005), Thing()
    ref = weakref.ref(thing)
    c["k"] = thing
    del thing
    time.sleep(0.02)
    assert c.expire() == 1
    gc.collect()
    assert ref() is None
