"""The counter per key: what ``collections.Counter`` counts, exactly, whoever counts."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from random import Random
from types import ModuleType
from typing import Any

import lockfree
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from linearizability import Call, Event, overlaps, record
from support import (
    FORKS_IN_TRAFFIC,
    FailingIndex,
    Node,
    bad_iterables,
    in_child,
    needs_fork,
    repetitions,
    run_threads,
)

WIDE = 2**63 - 1
THREADS = 4


# --- what it does --------------------------------------------------------------


def test_it_counts_what_it_is_made_of(impl: ModuleType) -> None:
    for given in ("abca", list("abca"), iter("abca"), Counter("abca"), impl.KeyedCounter("abca")):
        made = impl.KeyedCounter(given)
        assert dict(made.items()) == {"a": 2, "b": 1, "c": 1}
    assert impl.KeyedCounter().items() == []


@bad_iterables
def test_what_an_iterable_raises_reaches_the_caller(
    impl: ModuleType, bad: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text or None):
        impl.KeyedCounter(bad())
    c = impl.KeyedCounter()
    with pytest.raises(error, match=text or None):
        c.update(bad())


def test_what_is_added_is_counted(impl: ModuleType) -> None:
    c = impl.KeyedCounter()
    assert c.add("a") is None
    c.add("a", 5)
    c.add("b", -2)
    c.add("c", 0)
    c.add("d", True)
    assert (c["a"], c["b"], c["c"], c["d"], c["x"]) == (6, -2, 0, 1, 0)
    assert ("a" in c, "c" in c, "x" in c, len(c), bool(c)) == (True, True, False, 4, True)
    assert sorted(c) == sorted(c.keys()) == ["a", "b", "c", "d"]
    assert sorted(c.values()) == [-2, 0, 1, 6]
    assert sorted(c.items()) == [("a", 6), ("b", -2), ("c", 0), ("d", 1)]
    assert c.total() == 5
    assert (len(impl.KeyedCounter()), bool(impl.KeyedCounter())) == (0, False)


def test_equal_keys_are_one_key_and_the_first_stays(impl: ModuleType) -> None:
    c = impl.KeyedCounter()
    for key in (1, 1.0, True, 2**70, 2**70 + 0):
        c.add(key)
    assert sorted(map(repr, c)) == ["1", str(2**70)]
    assert (c[1], c[2**70]) == (3, 2)


def test_update_takes_items_or_counts(impl: ModuleType) -> None:
    c = impl.KeyedCounter()
    c.update("aab")
    c.update({"a": 10, "c": -1})
    c.update()
    c.update(impl.ConcurrentDict({"b": 5}))
    assert sorted(c.items()) == [("a", 12), ("b", 6), ("c", -1)]


def test_the_most_common_come_first(impl: ModuleType) -> None:
    c = impl.KeyedCounter({"a": 3, "b": 7, "c": 5})
    assert c.most_common() == [("b", 7), ("c", 5), ("a", 3)]
    assert c.most_common(2) == c.most_common(n=2) == [("b", 7), ("c", 5)]
    assert c.most_common(0) == []


def test_reset_of_a_key_leaves_it_with_0(impl: ModuleType) -> None:
    c = impl.KeyedCounter({"a": 3, "b": 4})
    assert (c.reset("a"), c["a"], "a" in c, c.reset("a"), c.reset("x")) == (3, 0, True, 0, 0)
    assert "x" not in c
    c.add("a", 2)
    assert (c["a"], c["b"]) == (2, 4)


def test_reset_drops_all_keys(impl: ModuleType) -> None:
    c = impl.KeyedCounter({"a": 3, "b": 4, None: 5})
    counts = c.reset()
    assert type(counts) is dict
    assert counts == {"a": 3, "b": 4, None: 5}
    assert (len(c), c["a"], c.reset()) == (0, 0, {})
    c.add("b")
    assert c.reset() == {"b": 1}


@pytest.mark.parametrize("step", [WIDE, -WIDE - 1])
def test_sums_are_exact_however_large(impl: ModuleType, step: int) -> None:
    c = impl.KeyedCounter()
    for times in range(1, 6):
        c.add("a", step)
        assert c["a"] == c.total() == dict(c.items())["a"] == times * step
    assert c.reset("a") == 5 * step
    for _ in range(4):
        c.add("a", step)
    assert c.reset() == {"a": 4 * step}


@pytest.mark.parametrize(
    ("n", "error", "text"),
    [
        (2**63, OverflowError, f"{2**63} does not fit in 64 bits"),
        (1 << 300, OverflowError, "an int of 301 bits does not fit in 64 bits"),
        (1.5, TypeError, r"expected an int, not 1\.5"),
        (None, TypeError, "expected an int, not None"),
        (FailingIndex(), ZeroDivisionError, "from __index__"),
    ],
)
def test_what_is_no_count_is_refused(
    impl: ModuleType, n: Any, error: type[Exception], text: str
) -> None:
    c = impl.KeyedCounter()
    with pytest.raises(error, match=f"^{text}$"):
        c.add("a", n)
    assert len(c) == 0


def test_counts_are_not_assigned(impl: ModuleType) -> None:
    c = impl.KeyedCounter("a")
    text = r"^a KeyedCounter's counts are not assigned: c\.add\(key, n\) adds to one$"
    with pytest.raises(TypeError, match=text):
        c["a"] = 5
    with pytest.raises(TypeError, match=text):
        c["a"] += 1
    text = r"^a KeyedCounter's keys are not deleted: c\.reset\(\) drops them all$"
    with pytest.raises(TypeError, match=text):
        del c["a"]
    assert c["a"] == 1


def test_keys_that_find_no_room_are_counted_together(impl: ModuleType) -> None:
    c = impl.KeyedCounter("ab", maxsize=3)
    c.update("abcde")
    c.add("e", 10)
    assert (c.maxsize, len(c), c.other, c.total()) == (3, 3, 12, 17)
    assert sorted(c.items()) == [("a", 2), ("b", 2), ("c", 1)]
    assert ("e" in c, c["e"]) == (False, 0)
    # A reset makes room, and takes nothing from what was counted together.
    assert c.reset() == {"a": 2, "b": 2, "c": 1}
    c.update("efgh")
    assert (sorted(c), c.other) == (["e", "f", "g"], 13)
    assert impl.KeyedCounter().maxsize is None
    assert impl.KeyedCounter().other == 0
    assert impl.KeyedCounter("aa", maxsize=0).other == 2
    wide = impl.KeyedCounter(maxsize=0)
    for _ in range(3):
        wide.add("a", WIDE)
    assert wide.other == wide.total() == 3 * WIDE


@pytest.mark.parametrize(
    ("maxsize", "error", "text"),
    [
        (-1, ValueError, "maxsize must not be negative, but is -1"),
        ("3", TypeError, "expected an int, not '3'"),
        (2**63, OverflowError, f"{2**63} does not fit in 64 bits"),
    ],
)
def test_a_bound_is_a_number(
    impl: ModuleType, maxsize: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=f"^{text}$"):
        impl.KeyedCounter(maxsize=maxsize)


def test_it_shows_what_is_in_it(impl: ModuleType) -> None:
    c = impl.KeyedCounter()
    assert repr(c) == str(c) == "KeyedCounter({})"
    c.add("a", 2)
    assert repr(c) == "KeyedCounter({'a': 2})"
    c.reset()

    class Showing:
        def __repr__(self) -> str:
            return repr(c)

    c.add((Showing(),))
    assert repr(c) == "KeyedCounter({(KeyedCounter(...),): 1})"


def test_it_is_not_copied(impl: ModuleType) -> None:
    c = impl.KeyedCounter("a")
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"^cannot copy or pickle 'KeyedCounter' object: "):
            attempt(c)


@pytest.mark.parametrize("make", [dict, Counter, lockfree.KeyedCounter, None])
def test_it_compares_counts(impl: ModuleType, make: Callable[..., Any] | None) -> None:
    make = make or impl.KeyedCounter
    c = impl.KeyedCounter("aab")
    equal: tuple[dict[str, int], ...] = ({"a": 2, "b": 1}, {"b": 1, "a": 2, "never": 0})
    for counts in equal:
        assert c == make(counts)
        assert make(counts) == c
    for counts in ({}, {"a": 2}, {"a": 2, "b": 2}, {"a": 2, "b": 1, "c": 1}):
        assert c != make(counts)
        assert make(counts) != c
    c.reset("b")
    assert c == make({"a": 2})


def test_it_compares_with_a_dict_that_threads_change(impl: ModuleType) -> None:
    counts: dict[Any, int] = {}

    class Key:
        def __hash__(self) -> int:
            return 5

        def __eq__(self, _other: object) -> bool:
            counts[object()] = 1
            return False

    keys = [Key(), Key()]
    counts.update(dict.fromkeys(keys, 1))
    before = len(counts)
    assert impl.KeyedCounter("a") != counts
    assert len(counts) > before


def test_it_is_equal_to_itself_when_keys_became_equal(impl: ModuleType) -> None:
    class Key:
        name = "one"

        def __hash__(self) -> int:
            return 5

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key) and self.name == other.name

    keys = [Key(), Key()]
    keys[1].name = "other"
    c = impl.KeyedCounter({keys[0]: 1, keys[1]: 2})
    keys[1].name = "one"
    assert c == c
    other = lockfree.KeyedCounter({keys[0]: 3})
    assert (c == other, other == c, c == {keys[1]: 3}, c == {keys[1]: 2}) == (*[True] * 3, False)


def test_it_compares_with_nothing_else(impl: ModuleType) -> None:
    c = impl.KeyedCounter()
    assert c == c
    assert c != []
    assert c != 0
    assert c.__eq__([]) is NotImplemented
    assert c != type("Poll", (), {"most_common": None})()
    with pytest.raises(TypeError, match="unhashable"):
        hash(c)


def test_it_may_be_referred_to_weakly(impl: ModuleType) -> None:
    c = impl.KeyedCounter("a")
    assert weakref.ref(c)() is c
    assert impl.KeyedCounter[str].__origin__ is impl.KeyedCounter


@pytest.mark.parametrize("arguments", [(1, 2), ("ab", "c", "d")])
def test_the_number_of_arguments_is_checked(impl: ModuleType, arguments: Any) -> None:
    with pytest.raises(TypeError, match=r"takes at most 1 positional argument \(\d given\)"):
        impl.KeyedCounter(*arguments)
    c: Any = impl.KeyedCounter()
    for method, given in ((c.add, ()), (c.add, (1, 2, 3)), (c.reset, (1, 2))):
        with pytest.raises(TypeError):
            method(*given)


def test_a_subclass_goes_by_its_own_add(impl: ModuleType) -> None:
    class Lower(impl.KeyedCounter):  # type: ignore[name-defined, misc]
        def add(self, key: str, n: int = 1, /) -> None:
            super().add(key.lower(), n)

    c = Lower("aA")
    c.update("Ab")
    c.update({"B": 3})
    assert sorted(c.items()) == [("a", 3), ("b", 4)]
    assert repr(Lower("X")) == "Lower({'x': 1})"


def test_a_subclass_may_have_an_init_of_its_own(impl: ModuleType) -> None:
    class Named(impl.KeyedCounter):  # type: ignore[name-defined, misc]
        def __init__(self, name: str) -> None:
            super().__init__(maxsize=1)
            self.name = name

    c = Named("n")
    c.add("a")
    assert (c.name, c.maxsize, c["a"]) == ("n", 1, 1)


# --- against the standard library's ----------------------------------------------

KEYS = st.one_of(st.integers(0, 5), st.sampled_from(["a", "b", ("a", 1), 2.0, None, -1, 2**70]))
NUMBERS = st.one_of(st.integers(-5, 5), st.sampled_from([WIDE, -WIDE - 1, 2**62]))


class AsACounter(RuleBasedStateMachine):
    """Does the same to both."""

    implementation: ModuleType

    def __init__(self) -> None:
        super().__init__()
        self.ours: Any = self.implementation.KeyedCounter()
        self.theirs: Counter[Any] = Counter()

    @rule(key=KEYS, n=NUMBERS)
    def add(self, key: object, n: int) -> None:
        self.ours.add(key, n)
        self.theirs[key] += n

    @rule(keys=st.lists(KEYS))
    def update(self, keys: list[object]) -> None:
        self.ours.update(keys)
        self.theirs.update(keys)

    @rule(counts=st.dictionaries(KEYS, NUMBERS))
    def update_counts(self, counts: dict[object, int]) -> None:
        self.ours.update(counts)
        self.theirs.update(counts)

    @rule(key=KEYS)
    def reset(self, key: object) -> None:
        assert self.ours.reset(key) == self.theirs[key]
        if key in self.theirs:
            self.theirs[key] = 0

    @rule()
    def reset_all(self) -> None:
        assert self.ours.reset() == self.theirs
        self.theirs.clear()

    @rule(key=KEYS)
    def look(self, key: object) -> None:
        assert self.ours[key] == self.theirs[key]
        assert (key in self.ours) == (key in self.theirs)

    @rule(n=st.integers(0, 4))
    def most_common(self, n: int) -> None:
        counts = [count for _, count in self.theirs.most_common(n)]
        assert [count for _, count in self.ours.most_common(n)] == counts

    @invariant()
    def has_what_a_counter_has(self) -> None:
        assert dict(self.ours.items()) == dict(self.theirs)
        assert len(self.ours) == len(self.theirs)
        assert self.ours.total() == self.theirs.total()


def test_it_does_what_a_counter_does(impl: ModuleType) -> None:
    class Machine(AsACounter):
        implementation = impl

    run_state_machine_as_test(Machine, settings=settings(max_examples=50, stateful_step_count=30))


def test_many_keys_come_and_go(impl: ModuleType) -> None:
    c, n = impl.KeyedCounter(), 20_000
    for _ in range(2):
        c.update(map(str, range(n)))
        c.update(map(str, range(n)))
        assert len(c) == n
        assert len(c.items()) == len(list(c)) == n
        assert c.reset() == dict.fromkeys(map(str, range(n)), 2)
        assert len(c) == 0


# --- threads -------------------------------------------------------------------


def draw(random: Random, number: int) -> Call:
    """Draw a call on the one key; what is added is a bit of its own."""
    added = Call("add", ("k", 1 << number))
    return random.choice(
        [added] * 4 + [Call("reset", ("k",)), Call("reset"), Call("__getitem__", ("k",))]
    )


def bits(event: Event) -> int:
    """Return what a look or a reset found."""
    found: int = event.outcome.get("k", 0) if isinstance(event.outcome, dict) else event.outcome
    return found


def test_the_history_of_a_key_adds_up(impl: ModuleType) -> None:
    """It is not linearizable: one sum may have a later addition of two, and not the earlier one."""
    random, rounds = Random(20), repetitions(impl, 1000)
    plans = [
        [[draw(random, 5 * thread + i) for i in range(5)] for thread in range(3)]
        for _ in range(rounds)
    ]
    histories = record(impl.KeyedCounter, plans)
    assert any(map(overlaps, histories))
    for history in histories:
        resets = [event for event in history if event.call.method == "reset"]
        looks = [event for event in history if event.call.method == "__getitem__"]
        for added in (event for event in history if event.call.method == "add"):
            bit = added.call.arguments[1]
            taken = [reset for reset in resets if bits(reset) & bit]
            assert len(taken) <= 1, history
            gone = taken[0].returned if taken else sys.maxsize
            for event in (*resets, *looks):
                # What is in a sum was begun before its end; what is not in a sum that began when it
                # was done had been taken away by then.
                if bits(event) & bit:
                    assert added.invoked < event.returned, history
                    assert event in resets or not taken or event.invoked < gone, history
                elif added.returned < event.invoked:
                    assert taken, history
                    assert taken[0].invoked < event.returned, history


def test_no_addition_is_lost(impl: ModuleType) -> None:
    c, each = impl.KeyedCounter(), repetitions(impl, 30_000)

    def work(index: int) -> None:
        for i in range(each):
            c.add(i % 5, index)
            c.add("all")

    run_threads(THREADS, work)
    assert c["all"] == THREADS * each
    assert sum(c[i] for i in range(5)) == each * sum(range(THREADS))


def test_each_addition_is_in_one_reset_or_in_what_remains(impl: ModuleType) -> None:
    c, each = impl.KeyedCounter(), repetitions(impl, 20_000)
    taken: list[Counter[int]] = [Counter() for _ in range(2)]
    adding = lockfree.AtomicInt64(2)

    def work(index: int) -> None:
        if index < 2:
            for i in range(each):
                c.add(i % 3)
            adding.decrement()
            return
        mine = taken[index - 2]
        while adding.load():
            mine.update({0: c.reset(0)} if index == 2 else c.reset())

    run_threads(THREADS, work)
    total = Counter(dict(c.items())) + taken[0] + taken[1]
    assert total == Counter(i % 3 for i in range(each)) + Counter(i % 3 for i in range(each))


def test_a_look_has_what_was_added_before(impl: ModuleType) -> None:
    c, each = impl.KeyedCounter(), repetitions(impl, 5_000)

    def work(index: int) -> None:
        last = 0
        for i in range(1, each + 1):
            c.add("all")
            c.add(index)
            assert c[index] == i
            now = c["all"]
            assert max(i, last) <= now <= THREADS * each
            last = now

    run_threads(THREADS, work)


def test_a_bound_is_exact(impl: ModuleType) -> None:
    for _ in range(repetitions(impl, 200)):
        c = impl.KeyedCounter(maxsize=5)

        def work(index: int, c: Any = c) -> None:
            c.update((i * (index + 1)) % 11 for i in range(22))

        run_threads(2, work)
        assert (len(c), c.total()) == (5, 44)


# --- the collector, and user code ----------------------------------------------


def test_the_collector_finds_what_is_in_it(impl: ModuleType) -> None:
    c, node = impl.KeyedCounter(), Node()
    node.link = c
    c.add(node)
    gone = weakref.ref(node)
    del c, node
    gc.collect()
    assert gone() is None


def test_the_keys_of_a_reset_are_the_dicts_alone(impl: ModuleType) -> None:
    c, node = impl.KeyedCounter(), Node()
    gone = weakref.ref(node)
    c.add(node)
    c.add(node)
    del node
    gc.disable()
    try:
        c.reset()
        assert gone() is None
    finally:
        gc.enable()


class Awkward:
    """A key whose comparison does what it is told."""

    told: Callable[[], object] = staticmethod(lambda: None)

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        told, Awkward.told = Awkward.told, staticmethod(lambda: None)
        told()
        return isinstance(other, Awkward)


@pytest.mark.parametrize("method", ["add", "reset", "get", "in"])
def test_a_comparison_may_use_the_counter(impl: ModuleType, method: str) -> None:
    c = impl.KeyedCounter()
    key, equal = Awkward(), Awkward()
    c.add(key)
    use: Any = {
        "add": lambda: c.add(equal, 10),
        "reset": lambda: c.reset(equal),
        "get": lambda: c[equal],
        "in": lambda: equal in c,
    }[method]
    told: list[Callable[[], object]] = [
        lambda: c.add(key, 100),
        lambda: c.add("another"),
        lambda: c.items(),
    ]
    for tell in told:
        Awkward.told = staticmethod(tell)
        use()
    assert len(c) == 2
    before = sum(c.values())
    Awkward.told = staticmethod(lambda: c.reset())
    use()
    assert c.total() in (0, 10), before


@pytest.mark.parametrize("hook", ["__hash__", "__eq__"])
def test_what_a_key_raises_reaches_the_caller(impl: ModuleType, hook: str) -> None:
    def fail(*_args: object) -> Any:
        raise ZeroDivisionError(hook)

    key = Awkward()
    failing = type("Failing", (Awkward,), {"__hash__": Awkward.__hash__, hook: fail})()
    c = impl.KeyedCounter()
    c.add(key)
    for attempt in (c.add, c.reset, c.__getitem__, c.__contains__):
        with pytest.raises(ZeroDivisionError):
            attempt(failing)
    assert c.items() == [(key, 1)]
    with pytest.raises(TypeError, match="unhashable"):
        c.add([])


class FailingKey:
    """A key whose hash raises from some moment on."""

    fails = False

    def __hash__(self) -> int:
        if self.fails:
            raise ZeroDivisionError
        return 5


def test_what_a_reset_cannot_return_is_counted_on() -> None:
    """The twin's dict is made of a dict's keys, which asks them nothing but the hash."""
    c: Any = lockfree.KeyedCounter(maxsize=50)

    key, bad = FailingKey(), FailingKey()
    c.update(range(10))
    for _ in range(3):
        c.add(key, WIDE)
        c.add(bad, -7)
    bad.fails = True
    with pytest.raises(ZeroDivisionError):
        c.reset()
    assert c.keys().count(bad) == 0
    assert sorted(c.values()) == [1] * 10 + [3 * WIDE]
    assert c[key] == 3 * WIDE
    assert (c.other, c.total()) == (-21, 10 + 3 * WIDE - 21)


def test_what_interrupts_the_giving_back_is_raised() -> None:
    """As a signal handler that raises does, whenever a key's code runs."""
    c: Any = lockfree.KeyedCounter()
    errors: list[type[BaseException]] = []

    class Key:
        def __hash__(self) -> int:
            if errors:
                raise errors.pop()
            return 5

    c.update(range(3))
    for _ in range(2):
        c.add(Key(), 7)
    errors += [KeyboardInterrupt, ZeroDivisionError]
    with pytest.raises(KeyboardInterrupt) as raised:
        c.reset()
    assert isinstance(raised.value.__context__, ZeroDivisionError)
    assert (c.other, c.total()) == (7, 17)


def test_counts_of_keys_that_became_equal_are_added_up(impl: ModuleType) -> None:
    class Key:
        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return 5

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key) and self.number == other.number

    keys, c = [Key(number) for number in range(3)], impl.KeyedCounter("ab")
    for key in keys:
        c.add(key, 10 + key.number)
    for key in keys:
        key.number = 7
    counts = c.reset()
    assert sum(counts.values()) == 35
    assert len(counts) == 3
    assert counts[keys[0]] == 33
    assert len(c) == 0


def test_what_the_twin_cannot_return_is_there_still() -> None:
    from lockfree import locked

    bad, c = FailingKey(), locked.KeyedCounter[Any]()
    c.update([bad, 1, 2])
    bad.fails = True
    with pytest.raises(ZeroDivisionError):
        c.reset()
    assert (c.values(), c.other) == ([1, 1, 1], 0)


def test_of_two_resets_one_has_the_count(impl: ModuleType) -> None:
    class Key:
        def __hash__(self) -> int:
            return 5

        def __eq__(self, other: object) -> bool:
            first.append(sum(c.reset().values()))
            return True

    first: list[int] = []
    c: Any = impl.KeyedCounter()
    c.add(Key(), 5)
    second = c.reset(Key())
    assert first.count(5) == 1
    assert sum(first) + second == 5


def test_a_finalizer_may_use_the_counter() -> None:
    c: Any = lockfree.KeyedCounter()

    class Tidy:
        def __del__(self) -> None:
            c.add("gone")
            c.add(Node())
            c.items()

    for _ in range(3):
        c.add(Tidy())
        c.add(Tidy(), WIDE)
        c.reset()
    assert c["gone"] == 2  # of the last reset


def test_counters_in_counters_are_freed(impl: ModuleType) -> None:
    c = impl.KeyedCounter()
    for _ in range(100_000):
        key = Node()  # a counter itself is no key
        key.link = c
        c = impl.KeyedCounter([key])
    del c, key
    gc.collect()


def test_it_knows_its_size() -> None:
    c: Any = lockfree.KeyedCounter()
    empty, n = sys.getsizeof(c), 100_000
    for key in range(n):
        c.add(key)
    # Where an entry lies, and what the table has for it; without the key.
    assert (sys.getsizeof(c) - empty) / n - 16 <= 80
    before = sys.getsizeof(c)
    c.add("wide", WIDE)
    assert sys.getsizeof(c) >= before + 64, "its count has a place of its own"
    c.reset()
    assert sys.getsizeof(c) < empty + n


def test_to_ask_for_its_size_walks_nothing() -> None:
    c: Any = lockfree.KeyedCounter(range(300_000))
    quickest = 1.0
    for _ in range(30):
        begin = time.perf_counter()
        sys.getsizeof(c)
        quickest = min(quickest, time.perf_counter() - begin)
    # To look at each count takes a millisecond; this, a microsecond.
    assert quickest < 0.0001


def test_a_use_before_init_is_an_error() -> None:
    c: Any = lockfree.KeyedCounter.__new__(lockfree.KeyedCounter)
    for attempt in (lambda: c.add(1), lambda: c[1], c.reset, lambda: len(c), lambda: repr(c)):
        with pytest.raises(ValueError, match=r"^KeyedCounter\.__init__\(\) was not called$"):
            attempt()
    c.__init__()
    with pytest.raises(ValueError, match=r"^a KeyedCounter is initialized once$"):
        c.__init__()


@needs_fork
def test_a_child_goes_on() -> None:
    child = in_child(
        FORKS_IN_TRAFFIC
        + """
from lockfree import KeyedCounter

c = KeyedCounter()

def traffic(index):
    for i in range(50):
        c.add(i % 5)
        c.add((index, i))
    c.reset() if index else None

def use(number):
    before = c["child"]
    c.add("child", number + 1)
    assert c["child"] == before + number + 1
    c.reset()
    assert len(c) == 0
    c.add(1)
    assert c.reset() == {1: 1}

fork_in_traffic(10, traffic, use)
"""
    )
    assert child.returncode == 0, child.stderr


def test_threads_that_end_leave_their_counts(impl: ModuleType) -> None:
    c = impl.KeyedCounter()
    for _ in range(20):
        thread = threading.Thread(target=c.update, args=("ab" * 50,))
        thread.start()
        thread.join()
    assert c.reset() == {"a": 1000, "b": 1000}


def test_one_exception_that_all_keys_raise_is_not_its_own_context() -> None:
    c: Any = lockfree.KeyedCounter()
    errors: list[BaseException] = []

    class Key:
        def __hash__(self) -> int:
            if errors:
                raise errors[0]
            return 5

    c.update(range(3))
    for _ in range(4):
        c.add(Key(), 7)
    errors.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt) as raised:
        c.reset()
    assert raised.value is errors[0]
    assert raised.value.__context__ is None
    assert (c.other, c.total()) == (28, 31)
