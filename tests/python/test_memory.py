"""What happens where memory runs out: an answer or a `MemoryError`, and never a change without one.

CPython's `_testcapi.set_nomemory` makes its allocations fail from the n-th one on. Children sweep
that over every operation; what fails there is repeated until nothing fails any more.
"""

from __future__ import annotations

import sys
from types import ModuleType

import lockfree
import pytest
from support import in_child, needs_statm

pytest.importorskip("_testcapi", reason="this CPython has no _testcapi")

SWEEP = r"""
import gc, itertools, sys
import _testcapi
import lockfree, lockfree.locked
from lockfree import Ordering

BIG = 1 << 40  # CPython keeps no spare ones of that size
RELAXED = Ordering.RELAXED
ENOUGH = 3  # in a row without a failure: there are no more

class Class:
    pass

one, two = Class(), Class()

def nothing():
    return None

failures = []

# Nothing that the operations could use shall be in the free lists of the interpreter.
hoard = []

def use_up_free_lists():
    hoard.clear()
    gc.collect()
    hoard.append([[BIG * 1.5 for _ in range(120)], [[] for _ in range(100)],
                  [(i, i) for i in range(40)], [(i,) for i in range(40)], [{} for _ in range(100)]])

def attempt(make, call, state, start, stop):
    target = make()
    before = state(target)
    answer, error = None, None
    set_nomemory, remove_mem_hooks = _testcapi.set_nomemory, _testcapi.remove_mem_hooks
    if start is None:
        try:
            answer = call(target)
        except Exception as raised:
            error = raised
    else:
        set_nomemory(start, stop)
        try:
            answer = call(target)
        except BaseException as raised:
            error = raised
        remove_mem_hooks()
    return before, answer, error, state(target)

def plain(answer):
    kinds = (int, float, str, list, tuple, dict, bool)
    return answer if isinstance(answer, kinds) else type(answer)

def sweep(name, make, call, state):
    print(name, file=sys.stderr, flush=True)
    use_up_free_lists()
    _, expected, refusal, after = attempt(make, call, state, None, None)
    for width in (None, 1):
        quiet = 0
        for start in itertools.count():
            stop = 0 if width is None else start + width
            before, answer, error, found = attempt(make, call, state, start, stop)
            problem = None
            if isinstance(error, MemoryError):
                quiet = 0
                if found != before:
                    problem = f"{before} became {found}"
            else:
                quiet += 1
                if type(error) is not type(refusal):
                    problem = f"not {refusal!r}"
                elif found != after:
                    problem = f"{found}, not {after}"
                elif error is None and plain(answer) != plain(expected):
                    problem = f"{answer!r}, not {expected!r}"
            if problem is not None:
                span = f"allocations {start} to {stop or '...'}"
                failures.append(f"{name}, {span}: {error!r}, {problem}")
                break
            if quiet > ENOUGH or start > 500:
                break

def sweep_all(make, state, /, **calls):
    for name, call in calls.items():
        sweep(f"{make.__name__}.{name}", make, call, state)
"""

VERDICT = """
if failures:
    sys.exit("\\n".join(failures))
"""

ATOMICS = r"""
def int64(): return impl.AtomicInt64(BIG)
def int_view(): return at(impl.AtomicInt64(BIG))
def at(a):
    view = a.at(Ordering.ACQ_REL)
    views[id(view)] = a
    return view
views = {}
plus = lambda value: value + BIG
words = dict(
    exchange=lambda a: a.exchange(7), store_wrong=lambda a: a.store("no"),
    compare_exchange=lambda a: a.compare_exchange(BIG, 1), update=lambda a: a.update(plus),
    fetch_update=lambda a: a.fetch_update(plus),
)
sums = dict(
    fetch_add=lambda a: a.fetch_add(BIG), fetch_sub=lambda a: a.fetch_sub(1),
    fetch_and=lambda a: a.fetch_and(7), fetch_or=lambda a: a.fetch_or(7),
    fetch_xor=lambda a: a.fetch_xor(7), fetch_max=lambda a: a.fetch_max(2 * BIG),
    fetch_min=lambda a: a.fetch_min(-BIG), add=lambda a: a.add(BIG), sub=lambda a: a.sub(BIG * 3),
    increment=lambda a: a.increment(), decrement=lambda a: a.decrement(),
    overflow=lambda a: a.add(2**63 - 1), wide=lambda a: a.add(2**63),
    wider=lambda a: a.add(1 << 300),
)
sweep_all(int64, int, **words, **sums,
    load=lambda a: a.load(), value=lambda a: a.value, int=int, repr=repr,
    format=lambda a: f"{a:x}", bool=bool, index=lambda a: a.__index__(),
    eq=lambda a: a == BIG, lt=lambda a: a < 2.5, store=lambda a: a.store(BIG * 7),
    at=lambda a: a.at(RELAXED), at_wrong=lambda a: a.at(5),
    bad_order=lambda a: a.at(Ordering.RELEASE).load(),
    iadd=lambda a: a.__iadd__(BIG), isub=lambda a: a.__isub__(1), iand=lambda a: a.__iand__(1),
    ior=lambda a: a.__ior__(1), ixor=lambda a: a.__ixor__(1),
    wait=lambda a: a.wait(5), wait_late=lambda a: a.wait(BIG, timeout=0),
    wait_wrong=lambda a: a.wait(BIG, timeout=-1),
    notify_one=lambda a: a.notify_one(), notify_all=lambda a: a.notify_all(),
    reduce=lambda a: a.__reduce__(), make=lambda a: impl.AtomicInt64(BIG),
)
sweep_all(int_view, lambda v: views[id(v)].load(), **words, **sums, repr=repr)

def flag(): return impl.AtomicBool(True)
sweep_all(flag, bool,
    load=lambda a: a.load(), store=lambda a: a.store(False), store_wrong=lambda a: a.store(5),
    exchange=lambda a: a.exchange(False),
    compare_exchange=lambda a: a.compare_exchange(True, False),
    test_and_set=lambda a: a.test_and_set(), toggle=lambda a: a.toggle(), repr=repr, int=int,
    format=lambda a: f"{a}", eq=lambda a: a == 1, update=lambda a: a.update(lambda v: not v),
    make=lambda a: impl.AtomicBool(True), at=lambda a: a.at(RELAXED), index=lambda a: a.__index__(),
)

def float64(): return impl.AtomicFloat64(1.5)
sweep_all(float64, float,
    load=lambda a: a.load(), store=lambda a: a.store(2.5), store_wrong=lambda a: a.store("no"),
    exchange=lambda a: a.exchange(2.5), compare_exchange=lambda a: a.compare_exchange(1.5, 2.5),
    fetch_add=lambda a: a.fetch_add(1.0), add=lambda a: a.add(1.0), repr=repr, int=int,
    float=float, value=lambda a: a.value, format=lambda a: f"{a:.3f}", eq=lambda a: a == 1,
    update=lambda a: a.update(lambda v: v + 1),
    fetch_update=lambda a: a.fetch_update(lambda v: v + 1),
    iadd=lambda a: a.__iadd__(1.0), isub=lambda a: a.__isub__(1.0),
    make=lambda a: impl.AtomicFloat64(1.5), at=lambda a: a.at(RELAXED),
)

def ref(): return impl.AtomicRef(one)
sweep_all(ref, lambda a: id(a.load()),
    load=lambda a: a.load(), store=lambda a: a.store(two), exchange=lambda a: a.exchange(two),
    compare_exchange=lambda a: a.compare_exchange(one, two),
    update=lambda a: a.update(lambda _: two),
    fetch_update=lambda a: a.fetch_update(lambda _: two), repr=repr, value=lambda a: a.value,
    wait=lambda a: a.wait(two), make=lambda a: impl.AtomicRef(one), at=lambda a: a.at(RELAXED),
)

def stamped(): return impl.AtomicStampedRef(one, BIG)
def pair(a):
    found, stamp = a.load()
    return id(found), stamp
sweep_all(stamped, pair,
    load=lambda a: a.load(), store=lambda a: a.store(two, BIG + 1),
    exchange=lambda a: a.exchange(two, BIG + 1), value=lambda a: a.value, repr=repr,
    compare_exchange=lambda a: a.compare_exchange(one, two, BIG, BIG + 1),
    compare_keywords=lambda a: a.compare_exchange(
        expected=one, desired=two, expected_stamp=BIG, desired_stamp=BIG + 1),
    missing=lambda a: a.compare_exchange(one, two),
    make=lambda a: impl.AtomicStampedRef(one, BIG), at=lambda a: a.at(RELAXED),
)

def striped():
    counter = impl.StripedCounter()
    counter.add(BIG)
    return counter
def wide():
    counter = impl.StripedCounter()
    for _ in range(4):
        counter.add(2**63 - 1)
    return counter
for make in (striped, wide):
    sweep_all(make, int,
        sum=lambda c: c.sum(), reset=lambda c: c.reset(), int=int, repr=repr,
        add=lambda c: c.add(BIG), increment=lambda c: c.increment(),
        decrement=lambda c: c.decrement(),
        add_wrong=lambda c: c.add("no"), make=lambda c: impl.StripedCounter(),
    )

sweep_all(nothing, lambda _: None,
    fence=lambda _: impl.fence(Ordering.SEQ_CST), fence_wrong=lambda _: impl.fence(3),
    fence_relaxed=lambda _: impl.fence(RELAXED),
)
"""

STACKS = r"""
items = [Class() for _ in range(20)]
more = tuple(Class() for _ in range(20))

def stack(): return impl.Stack(items)
def empty_stack(): return impl.Stack()
stacks = dict(
    push=lambda s: s.push(one), push_many=lambda s: s.push_many(more),
    push_iterator=lambda s: s.push_many(iter(more)), push_nothing=lambda s: s.push_many(5),
    pop=lambda s: s.pop(), pop_default=lambda s: s.pop(default=5), peek=lambda s: s.peek(),
    peek_default=lambda s: s.peek(default=5), pop_many=lambda s: s.pop_many(3),
    pop_more=lambda s: s.pop_many(BIG), pop_negative=lambda s: s.pop_many(-1),
    pop_wrong=lambda s: s.pop_many("x"), pop_all=lambda s: s.pop_all(), clear=lambda s: s.clear(),
    iter=lambda s: list(s), repr=repr, len=len, bool=bool, reduce=lambda s: s.__reduce__(),
    pop_unknown=lambda s: s.pop(unknown=1), pop_positional=lambda s: s.pop(0),
)
contents = lambda s: [id(item) for item in s]
for make in (stack, empty_stack):
    sweep_all(make, contents, **stacks)
sweep_all(nothing, lambda _: None,
    Stack=lambda _: impl.Stack(), Stack_items=lambda _: impl.Stack(items),
    Stack_shared=lambda _: impl.Stack(items),
)
"""

QUEUES = r"""
items = [Class() for _ in range(20)]
more = tuple(Class() for _ in range(20))
sweep_all(nothing, lambda _: None,
    Queue=lambda _: impl.Queue(), Queue_bounded=lambda _: impl.Queue(BIG),
    Queue_wrong=lambda _: impl.Queue("x"),
)

def queue():
    q = impl.Queue()
    q.put_many(items)
    return q
def empty(): return impl.Queue()
def full():
    q = impl.Queue(20)
    q.put_many(items)
    return q
def shut():
    q = queue()
    q.shutdown()
    return q
def queued(q):
    return q.qsize(), q.unfinished_tasks, q.is_shutdown
queues = dict(
    put=lambda q: q.put(one, timeout=0.001), put_nowait=lambda q: q.put_nowait(one),
    put_many=lambda q: q.put_many(more, timeout=0),
    put_iterator=lambda q: q.put_many(iter(more), 0),
    force_put=lambda q: q.force_put(one), get=lambda q: q.get(timeout=0.001),
    get_nowait=lambda q: q.get_nowait(), get_many=lambda q: q.get_many(3, timeout=0),
    get_none=lambda q: q.get_many(0), get_negative=lambda q: q.get_many(-1),
    timeout_negative=lambda q: q.get(timeout=-1), drain=lambda q: q.drain(),
    task_done=lambda q: q.task_done(), task_done_often=lambda q: q.task_done(BIG),
    join=lambda q: q.unfinished_tasks or q.join(), shutdown=lambda q: q.shutdown(),
    shutdown_now=lambda q: q.shutdown(immediate=True), qsize=lambda q: q.qsize(),
    empty=lambda q: q.empty(), full=lambda q: q.full(), maxsize=lambda q: q.maxsize,
    unfinished=lambda q: q.unfinished_tasks, is_shutdown=lambda q: q.is_shutdown, repr=repr,
    contains=lambda q: one in q, mutex=lambda q: q.mutex, reduce=lambda q: q.__reduce__(),
)
for make in (queue, empty, full, shut):
    sweep_all(make, queued, **queues)
sweep_all(shut, queued, iterate=lambda q: next(iter(q)))
"""

CACHES = r"""
sweep_all(nothing, lambda _: None,
    Cache=lambda _: impl.Cache(10), Cache_ttl=lambda _: impl.Cache(None, ttl=5),
    Cache_negative=lambda _: impl.Cache(-1), Cache_wrong=lambda _: impl.Cache(10, weigher=5),
    Cache_ttl_wrong=lambda _: impl.Cache(10, ttl=-1),
)
keys = [BIG + i for i in range(20)]
def cache():
    c = impl.Cache(20)
    for key in keys:
        c[key] = one
    return c
def empty_cache(): return impl.Cache(20)
def mortal():
    c = impl.Cache(20, ttl=1000)
    for key in keys:
        c[key] = one
    return c
def weighed():
    c = impl.Cache(BIG, weigher=lambda key, value: BIG // 20)
    for key in keys:
        c[key] = one
    return c
def told(): return impl.Cache(2, on_evict=lambda *_: None)
key, other = keys[7], BIG * 5
caches = dict(
    get=lambda c: c.get(key), get_missing=lambda c: c.get(other, 5), item=lambda c: c[key],
    item_missing=lambda c: c[other], set=lambda c: c.__setitem__(other, two),
    replace=lambda c: c.__setitem__(key, two), put=lambda c: c.put(other, two, ttl=7),
    put_wrong=lambda c: c.put(other, two, ttl=-1), delete=lambda c: c.__delitem__(key),
    delete_missing=lambda c: c.__delitem__(other), pop=lambda c: c.pop(key),
    pop_default=lambda c: c.pop(other, 5), pop_missing=lambda c: c.pop(other),
    setdefault=lambda c: c.setdefault(other, two),
    setdefault_there=lambda c: c.setdefault(key, two),
    popitem=lambda c: c.popitem(), clear=lambda c: c.clear(), expire=lambda c: c.expire(),
    contains=lambda c: key in c, len=len, iter=lambda c: list(c), repr=repr,
    items=lambda c: list(c.items()), values=lambda c: list(c.values()),
    keys=lambda c: list(c.keys()),
    eq=lambda c: c == {}, maxsize=lambda c: c.maxsize, ttl=lambda c: c.ttl,
    weight=lambda c: c.weight, stats=lambda c: c.stats()[5], bool=bool,
)
def cached(c):
    return sorted((k, id(v)) for k, v in c._items()), c.weight
for make in (cache, empty_cache, mortal, weighed, told):
    sweep_all(make, cached, **caches)

def function(): return impl.cached(maxsize=BIG)(lambda *args, **kwargs: args)
def called():
    f = function()
    f(1), f(1, 2), f(1, a=2)
    return f
for make in (function, called):
    # Loading is Python code, which may fail when the result is kept already.
    sweep_all(make, lambda _: None,
        one=lambda f: f(1), two=lambda f: f(1, 2), keyword=lambda f: f(1, a=2),
        parameters=lambda f: f.cache_parameters(), info=lambda f: f.cache_info()[3],
        clear=lambda f: f.cache_clear(),
    )
"""


needs_exceptions = pytest.mark.skipif(
    sys.version_info < (3, 12),
    reason="CPython 3.11 itself loses an exception that there is no memory for (SystemError)",
)


def sweep(impl: ModuleType, classes: str) -> None:
    """Sweep over these classes in a child; what fails is its verdict."""
    chosen = f"impl = {impl.__name__}\n"
    child = in_child(SWEEP + chosen + classes + VERDICT)
    assert child.returncode == 0, child.stderr[-3000:]


@needs_exceptions
@pytest.mark.parametrize("classes", [ATOMICS, STACKS], ids=["atomics", "stack"])
def test_without_memory_there_is_an_answer_or_no_change(impl: ModuleType, classes: str) -> None:
    sweep(impl, classes)


# Of the twin's queue and cache much is Python code, which may fail when it is nearly done.
@needs_exceptions
@pytest.mark.parametrize("classes", [QUEUES, CACHES], ids=["queue", "cache"])
def test_without_memory_native_containers_are_as_they_were(classes: str) -> None:
    sweep(lockfree, classes)


LIMITED = r"""
import resource
from pathlib import Path
from lockfree import Cache, Queue, Stack

MIB = 2**20
COUNT = 1_000_000
numbers = tuple(range(COUNT))

def limited(extra, call):
    # What the allocator still has of freed memory counts as well: so much is a guess.
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + extra * MIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        call()
    except MemoryError:
        return False
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True

def cache():
    c = Cache(None)
    c.update(small)
    return c

small = dict(zip(range(200_000), range(200_000)))
stack = lambda: Stack(numbers)
def queue():
    q = Queue()
    q.put_many(numbers)
    return q
def check(container, size, count, calls):
    failed = 0
    for name, (call, after) in calls.items():
        for extra in (0, 3, 20):
            target = container()
            done = limited(extra, lambda: call(target))
            found = size(target)
            assert found == (after if done else count), (name, extra, done, found)
            failed += not done
    return failed

# First, while the allocator has nothing yet.
failed = check(cache, len, len(small), {
    "list": (list, len(small)), "items": (lambda c: list(c.items()), len(small)),
    "repr": (repr, len(small)), "==": (lambda c: c == small, len(small)),
    "clear": (Cache.clear, 0),
})
failed += check(stack, len, COUNT, {
    "list": (list, COUNT), "repr": (repr, COUNT), "pop_all": (Stack.pop_all, 0),
    "push_many": (lambda s: s.push_many(numbers), 2 * COUNT),
    "push_many of an iterator": (lambda s: s.push_many(iter(numbers)), 2 * COUNT),
    "clear": (Stack.clear, 0),
})
failed += check(queue, Queue.qsize, COUNT, {
    "put_many": (lambda q: Queue().put_many(numbers), COUNT), "drain": (Queue.drain, 0),
    "put_many of an iterator": (lambda q: Queue().put_many(iter(numbers)), COUNT),
    "shutdown": (lambda q: q.shutdown(immediate=True), 0),
})
# 5 or 6 without the GIL, whose allocator keeps most of what was freed; 12 with it.
assert failed > 2, "hardly anything was refused: the limits are too high"
"""


@needs_statm
def test_beyond_a_limit_of_memory_nothing_aborts_or_is_lost() -> None:
    child = in_child(LIMITED)
    assert child.returncode == 0, child.stderr[-3000:]
