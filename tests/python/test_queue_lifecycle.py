"""Queues in awkward moments: garbage collection, finalizers, forks, the interpreter's end.

What has no ``impl`` concerns the native queue alone: ``lockfree.locked`` promises no
re-entry, and whoever forks in the middle of its operations may wait for its lock for ever.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
from lockfree import AtomicInt64, Empty, Full, Queue, ShutDown
from support import (
    FORKS_IN_TRAFFIC,
    FREE_THREADED,
    MEMORY,
    Node,
    hammer,
    in_child,
    needs_fork,
    needs_statm,
    run_threads,
    waiting,
)

NEVER = 10  # seconds, after which something that should have happened did not


# --- garbage collection --------------------------------------------------------


@pytest.mark.parametrize("maxsize", [0, 2000])
def test_cycles_through_a_queue_are_collected(impl: ModuleType, maxsize: int) -> None:
    node = Node()
    node.link = impl.Queue(maxsize)
    node.link.put_many([None] * 600 + [node, node.link, iter(node.link)])
    ref = weakref.ref(node)
    del node
    assert ref() is not None
    gc.collect()
    assert ref() is None


def test_cycles_through_an_iterator_are_collected(impl: ModuleType) -> None:
    node = Node()
    q = impl.Queue()
    q.put(node)
    node.link = iter(q)
    ref = weakref.ref(node)
    del node, q
    gc.collect()
    assert ref() is None


@pytest.mark.parametrize("before", [0, 1, 510, 511, 512, 1023, 1024])
@pytest.mark.parametrize("n", [1, 2, 512, 1025])
def test_collector_sees_each_reference_once(before: int, n: int) -> None:
    q = Queue[Any]()
    for _ in range(before):  # so that the items lie elsewhere in the segments
        q.put(None)
        q.get()
    items = [Node() for _ in range(n)]

    def seen() -> list[int]:
        referents = [id(referent) for referent in gc.get_referents(q)]
        return [referents.count(id(item)) for item in (items[0], items[-1])]

    assert gc.is_tracked(q)
    assert gc.get_referents(q) == [Queue]
    q.put_many([*items, items[0]])
    assert len(gc.get_referents(q)) == n + 2
    assert seen() == ([2, 1] if n > 1 else [2, 2])
    q.get()
    assert seen() == [1, 1]
    q.drain()
    assert seen() == [0, 0]


def test_a_finalizer_may_revive_a_cycle(impl: ModuleType) -> None:
    revived: list[Node] = []

    class Lazarus(Node):
        def __del__(self) -> None:
            revived.append(self)

    node = Lazarus()
    node.link = impl.Queue()
    node.link.put_many([node, "kept"])
    del node
    gc.collect()
    assert revived[0].link.drain() == [revived[0], "kept"]


# --- from thread to thread -------------------------------------------------------


@pytest.mark.parametrize("item", ["instance", "in a tuple"])
@pytest.mark.parametrize("how", ["put", "put_nowait", "put_many", "force_put"])
def test_what_another_thread_made_is_freed_where_it_is_dropped(how: str, item: str) -> None:
    # Even if the thread that made it does not run meanwhile.
    q = Queue[Any]()
    refs: list[weakref.ref[Node]] = []
    put, dropped, resume = getattr(q, how), threading.Semaphore(0), threading.Semaphore(0)

    def produce() -> None:
        for _ in range(2):
            node = Node()
            refs.append(weakref.ref(node))
            sent = node if item == "instance" else (None, node)
            put([sent] if how == "put_many" else sent)
            del node, sent
            dropped.release()
            resume.acquire()

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    dropped.acquire()
    q.get()  # by which the queue learns that it leads from thread to thread
    resume.release()
    dropped.acquire()
    q.get()
    assert refs[1]() is None
    resume.release()
    thread.join()
    assert refs[0]() is None


SMALL: dict[str, Callable[[int], object]] = {
    "int": lambda i: i + 10**6,
    "float": lambda i: i + 0.5,
    "str": lambda i: f"{i:064}",
    "bytes": lambda i: b"%064d" % i,
    "tuple": lambda i: (i + 10**6, f"{i:020}", None, 0.5 + i),
}
LARGE: dict[str, Callable[[int], object]] = {
    "int": lambda i: i + 2**64,
    "str": lambda i: f"{i:065}",
    "wide str": lambda i: f"{i:033}\u20ac",
    "bytes": lambda i: b"%065d" % i,
    "tuple": lambda i: (i + 10**6,) * 5,
    "nested": lambda i: ((i,), i),
    "list": lambda i: [i],
    "instance": lambda _: Node(),
}


class Producer:
    """A thread that puts 200 items, keeps them, and stays until it is told to end."""

    def __init__(self, q: Queue[Any], make: Callable[[int], object]) -> None:
        self.items: list[object] = []
        self.goes_on = threading.Semaphore(0)
        self.is_done = threading.Semaphore(0)
        self.thread = threading.Thread(target=self.run, args=(q, make), daemon=True)
        self.thread.start()

    def run(self, q: Queue[Any], make: Callable[[int], object]) -> None:
        for i in range(200):
            self.items.append(make(i))
            q.put(self.items[i])
            if i == 0:
                # By the first one the queue learns that it leads from thread to thread.
                self.is_done.release()
                self.goes_on.acquire()
        self.is_done.release()
        self.goes_on.acquire()

    def put_all(self, q: Queue[Any]) -> None:
        self.is_done.acquire()
        q.get()
        self.goes_on.release()
        self.is_done.acquire()
        q.drain()

    def retained(self) -> int:
        """Return how many references there are beside those of `items` and this loop."""
        counts = [sys.getrefcount(self.items[i]) for i in range(len(self.items))]
        self.items[0] = alone = object.__new__(object)
        del alone
        usual = sys.getrefcount(self.items[0])
        return sum(count - usual for count in counts)

    def end(self) -> None:
        self.goes_on.release()
        self.thread.join()


@pytest.mark.parametrize("kind", SMALL)
def test_a_few_small_objects_are_retained_until_their_thread_ends(kind: str) -> None:
    q = Queue[Any]()
    for _ in range(10):  # more than may retain at a time
        producer = Producer(q, SMALL[kind])
        producer.put_all(q)
        retained = producer.retained()
        producer.end()
        assert producer.retained() == 0
        assert 15 <= retained <= 64 if FREE_THREADED else retained == 0


@pytest.mark.parametrize("kind", LARGE)
def test_nothing_else_is_retained(kind: str) -> None:
    q = Queue[Any]()
    producer = Producer(q, LARGE[kind])
    producer.put_all(q)
    retained = producer.retained()
    producer.end()
    assert retained == 0


def test_a_process_retains_64_kb() -> None:
    q = Queue[Any]()
    producers = []
    for _ in range(20):
        producers.append(Producer(q, SMALL["bytes"]))
        producers[-1].put_all(q)
    retained = [producer.retained() for producer in producers]
    for producer in producers:
        producer.end()
    assert sum(retained) * len(bytes(64)) <= 64 << 10
    # Some other thread of this process may do so as well.
    assert (0 < sum(map(bool, retained)) <= 8) is FREE_THREADED
    assert [producer.retained() for producer in producers] == [0] * 20


class Counted(Node):
    """What is counted as long as it is alive."""

    alive = AtomicInt64()

    def __init__(self) -> None:
        self.alive.increment()

    def __del__(self) -> None:
        self.alive.decrement()


def test_items_from_thread_to_thread_die_once_each() -> None:
    q = Queue[Any](100)
    common = Counted()
    keep: list[Any] = [None] * 3
    Counted.alive.store(1)

    def produce() -> None:
        node = Counted()
        ref = weakref.ref(node)
        with suppress(Full):
            q.put(node, timeout=1e-3)
            q.put((1000 + len(keep), node, common, None), timeout=1e-3)
            q.put_many([node, (node, Counted()), Counted()], timeout=1e-3)
        if (again := ref()) is not None:
            keep[0] = again

    def consume(index: int) -> None:
        with suppress(Empty):
            keep[index] = q.get(timeout=1e-3)
            for item in q.get_many(3, timeout=1e-3):
                assert item is not None
                keep[index] = item if type(item) is tuple else weakref.ref(item)

    def step(index: int) -> None:
        if index == 0:
            gc.collect()
        elif index == 1:
            produce()
        elif index == 2:  # its thread ends before its items are dropped
            thread = threading.Thread(target=produce)
            thread.start()
            thread.join()
        else:
            consume(index - 2)

    hammer(5, step, rounds=100)
    q.drain()
    keep.clear()
    gc.collect()
    assert Counted.alive.load() == 1
    assert type(common) is Counted


class Ring:
    """What dies by the collector alone, which empties the instance and the inner queue."""

    alive = AtomicInt64()

    def __init__(self) -> None:
        self.itself = self
        self.inner = Queue[Any]()
        self.inner.put(self)
        self.alive.increment()

    def __del__(self) -> None:
        self.alive.decrement()

    def check(self) -> None:
        assert self.itself is self
        assert self.inner.qsize() == 1


@pytest.mark.usefixtures("eager_collector")
@pytest.mark.parametrize("maxsize", [0, 6])
def test_collections_during_traffic_free_nothing_alive(maxsize: int) -> None:
    q = Queue[Ring](maxsize)
    Ring.alive.store(0)

    def step(index: int) -> None:
        if index == 4:
            gc.collect()
            return
        for _ in range(5):
            q.force_put(Ring())
            with suppress(Full):
                q.put_many([Ring(), Ring()], timeout=0)
                q.put(Ring(), timeout=1e-5)
            with suppress(Empty):
                for ring in [q.get_nowait(), *q.get_many(2, 1e-5), q.get(timeout=1e-5)]:
                    ring.check()

    hammer(5, step, rounds=20)
    while not q.empty():
        q.get().check()
    gc.collect()
    assert Ring.alive == 0


def test_collections_while_threads_wait_free_nothing_alive() -> None:
    full = Queue[Any](1)
    full.put(Node())
    item = Node()
    item.link = item
    ref = weakref.ref(item)
    [put] = waiting(lambda item=item: full.put(item))  # type: ignore[misc]
    del item
    gc.collect()
    assert ref() is not None
    full.get()
    put.result(NEVER)
    gc.collect()
    assert full.get() is ref()


# --- finalizers ----------------------------------------------------------------

REMOVALS: dict[str, Callable[[Any], object]] = {
    "get": lambda q: q.get(),
    "get with timeout": lambda q: q.get(timeout=1),
    "get_nowait": lambda q: q.get_nowait(),
    "get_many": lambda q: q.get_many(2),
    "drain": lambda q: q.drain(),
    "iterate": lambda q: next(iter(q)),
    "shutdown": lambda q: q.shutdown(immediate=True),
}
LASTING: dict[str, Callable[[Any], object]] = {
    name: remove for name, remove in REMOVALS.items() if name != "shutdown"
} | {"force_put": lambda q: q.force_put("new")}
REENTRIES: dict[str, Callable[[Any], object]] = {
    "put": lambda q: q.put_nowait("new"),
    "put_many": lambda q: q.put_many(["new", "new"], 0),
    "force_put": lambda q: q.force_put("new"),
    "get": lambda q: q.get(timeout=0),
    "get_many": lambda q: q.get_many(2, 0),
    "drain": lambda q: q.drain(),
    "task_done": lambda q: q.task_done(),
    "shutdown": lambda q: q.shutdown(),
    "shutdown at once": lambda q: q.shutdown(immediate=True),
    "look": lambda q: (q.qsize(), q.empty(), q.full(), q.unfinished_tasks, repr(q)),
}


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What dies here is not freed by the garbage collector."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_removed_items_die_at_once(impl: ModuleType, remove: Callable[[Any], object]) -> None:
    q = impl.Queue(1)
    node = Node()
    ref = weakref.ref(node)
    q.put(node)
    del node
    run_threads(2, lambda _index: (q.qsize(), repr(q)))
    assert ref() is not None
    remove(q)
    assert ref() is None


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("n", [1, 600])
def test_items_die_with_the_queue(impl: ModuleType, n: int) -> None:
    q = impl.Queue()
    nodes = [Node() for _ in range(n)]
    refs = [weakref.ref(node) for node in nodes]
    q.put_many(nodes)
    del nodes
    items = iter(q)
    del q
    assert None not in [ref() for ref in refs]
    del items
    assert {ref() for ref in refs} == {None}


@pytest.mark.usefixtures("no_collector")
def test_what_is_displaced_dies_at_once(impl: ModuleType) -> None:
    q = impl.Queue(1)
    q.put(Node())
    ref = weakref.ref(q.get())
    assert ref() is None
    node = Node()
    ref = weakref.ref(node)
    q.put(node)
    del node
    q.force_put("new")
    assert ref() is None


class Mortal:
    def __init__(self, last_words: Callable[[], object]) -> None:
        self.last_words = last_words

    def __del__(self) -> None:
        self.last_words()


@pytest.mark.parametrize("witness", ["finalizer", "weakref callback"])
@pytest.mark.parametrize("remove", (LASTING | REMOVALS).values(), ids=LASTING | REMOVALS)
@pytest.mark.parametrize("reenter", REENTRIES.values(), ids=REENTRIES)
@pytest.mark.parametrize("maxsize", [0, 3])
def test_dying_items_may_use_the_queue(
    reenter: Callable[[Any], object], remove: Callable[[Any], object], witness: str, maxsize: int
) -> None:
    q = Queue[Any](maxsize)
    died: list[None] = []
    refs: list[weakref.ref[Node]] = []

    def last_words() -> None:
        died.append(None)
        with suppress(Empty, Full, ShutDown, ValueError):
            reenter(q)

    for _ in range(3):
        if witness == "finalizer":
            q.put(Mortal(last_words))
        else:
            node = Node()
            refs.append(weakref.ref(node, lambda _: last_words()))
            q.put(node)
            del node
    remove(q)
    q.drain()
    assert len(died) == 3
    assert set(q.drain()) <= {"new"}
    if not q.is_shutdown:
        q.put_many("ab")
        assert q.drain() == ["a", "b"]


def test_what_dying_items_put_survives() -> None:
    q = Queue[Any]()
    q.put_many([Mortal(lambda: q.put("new")) for _ in range(100)])
    q.drain()
    assert q.drain() == ["new"] * 100


@pytest.mark.parametrize(
    "code",
    [
        "q = Queue(); q.put_many(object() for _ in range(1_000_000)); del q",
        "q = nested(200_000); del q",
        "q = nested(100_000); q.drain()",
        "q = nested(100_000); q.get()",
        "q = nested(100_000); q.shutdown(immediate=True)",
        "q = nested(100_000); q.force_put(None)",
        "q = nested(100_000); q.put(q) if not q.full() else q.force_put([q.get(), q]); "
        "del q; gc.collect()",
        "q = nested(100_000, between=lambda inner: [inner]); del q",
        "q = nested(100_000, between=iter); del q",
    ],
)
def test_many_levels_are_freed(code: str) -> None:
    child = in_child(
        f"""
        import gc
        from lockfree import Queue

        def nested(levels, between=lambda inner: inner):
            q = Queue()
            for _ in range(levels):
                outer = Queue(1)
                outer.put(between(q))
                q = outer
            del outer
            return q

        {code}
        print("alive")
        """
    )
    assert child == (0, "alive\n", "")


def test_a_second_init_does_no_harm(impl: ModuleType) -> None:
    child = in_child(
        f"""
        from {impl.__name__} import Queue

        q = Queue()
        q.put_many(range(5))
        try:
            q.__init__(2)
        except ValueError:
            pass
        q.force_put("item")
        q.drain()
        print("alive")
        """,
        timeout=10,
    )
    assert child == (0, "alive\n", "")


# --- re-entry ------------------------------------------------------------------

# A put that interrupts a put or a get, over and over. The standard library's queue takes
# a lock twice and hangs: the watchdog sees that nothing moves.
REENTRY = """
import gc, os, queue, signal, threading, time, weakref
from lockfree import Queue

kind, q, n = {kind!r}, {queue}, {n}
interruptions = progress = 0

def watch():
    seen = -1
    while seen != progress:
        seen = progress
        time.sleep(1)
    print("hangs", flush=True)
    os._exit(0)

def interrupt(*_):
    global interruptions
    interruptions += 1
    q.put(interruptions)
    if kind == "signal handler":
        signal.setitimer(signal.ITIMER_REAL, 0.0003)

class Circular:
    def __init__(self):
        self.itself = self
    if kind == "finalizer":
        __del__ = interrupt

def on_collection(phase, info):
    interrupt()

if kind == "signal handler":
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0003)
else:
    gc.set_threshold(1)
if kind == "gc callback":
    gc.callbacks.append(on_collection)
threading.Thread(target=watch, daemon=True).start()
got, refs = [], []
while interruptions < n:
    progress += 1
    cycle = [Circular() for _ in range(progress % 7)]  # so that collections begin anywhere
    if kind == "weakref callback":
        refs = [weakref.ref(circular, interrupt) for circular in cycle]
    del cycle
    q.put(0)
    got.append(q.get())
if kind == "signal handler":
    signal.setitimer(signal.ITIMER_REAL, 0)
gc.callbacks.clear()
gc.disable()
while not q.empty():
    got.append(q.get())
assert [number for number in got if number] == list(range(1, interruptions + 1))
assert len(got) == interruptions + progress
print("works")
"""
INTERRUPTIONS = ["finalizer", "weakref callback", "gc callback", "signal handler"]
needs_signals = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@needs_signals
@pytest.mark.parametrize("maxsize", [0, 10**9])
@pytest.mark.parametrize("kind", INTERRUPTIONS)
def test_a_put_may_interrupt_a_put_and_a_get(kind: str, maxsize: int) -> None:
    code = REENTRY.format(kind=kind, queue=f"Queue({maxsize})", n=300)
    assert in_child(code) == (0, "works\n", "")


@needs_signals
def test_the_standard_library_hangs_there() -> None:
    code = REENTRY.format(kind="signal handler", queue="queue.Queue()", n=10**9)
    assert in_child(code) == (0, "hangs\n", "")


@needs_signals
def test_a_signal_handler_may_use_the_queue_that_is_waited_for() -> None:
    child = in_child(
        """
        import os, queue, signal, threading, time
        from lockfree import Queue

        def after_a_while(do):
            def run():
                time.sleep(0.1)
                do()
            threading.Thread(target=run).start()

        def on_signal(do):
            signal.signal(signal.SIGUSR1, lambda *_: do())
            after_a_while(lambda: os.kill(os.getpid(), signal.SIGUSR1))

        q = Queue(2)
        for wait in (q.get, lambda: q.get(timeout=30), lambda: q.get_many(2)[0]):
            on_signal(lambda: q.put("from the handler"))
            assert wait() == "from the handler"

        q.put_many("ab")
        on_signal(q.get)
        q.put("c")
        on_signal(lambda: q.force_put("d"))
        try:
            q.put("e", timeout=0.3)
        except queue.Full:
            pass
        assert q.drain() == ["c", "d"]
        on_signal(lambda: q.task_done(q.unfinished_tasks))
        q.join()
        on_signal(q.shutdown)
        assert list(q) == []
        print("works")
        """
    )
    assert child == (0, "works\n", "")


@needs_signals
def test_a_signal_handler_may_wait_for_what_it_interrupts() -> None:
    child = in_child(
        """
        import os, signal, threading, time
        from lockfree import Queue

        def after_a_while(do):
            def run():
                time.sleep(0.1)
                do()
            threading.Thread(target=run).start()

        def handler(*_):
            after_a_while(lambda: q.put("inner"))
            print(q.get())
            after_a_while(lambda: q.put("outer"))

        q = Queue()
        signal.signal(signal.SIGUSR1, handler)
        after_a_while(lambda: os.kill(os.getpid(), signal.SIGUSR1))
        print(q.get())
        """,
        timeout=10,
    )
    assert child == (0, "inner\nouter\n", "")


@needs_signals
def test_nobody_waits_for_a_signal_handler_to_end() -> None:
    child = in_child(
        """
        import os, signal, threading, time
        from lockfree import Queue

        q, took = Queue(), []

        def other():
            time.sleep(0.1)  # the main thread waits in front
            took.append(q.get())

        def act():
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.3)
            q.put("item")

        def handler(*_):
            time.sleep(1)
            assert took == ["item"], "the item lies there while the handler runs"
            q.put("another")

        signal.signal(signal.SIGUSR1, handler)
        threads = [threading.Thread(target=other), threading.Thread(target=act)]
        for thread in threads:
            thread.start()
        assert q.get() == "another"
        """
    )
    assert child == (0, "", "")


@needs_signals
@pytest.mark.parametrize("delay", [0, 0.001])
def test_a_signal_handler_that_raises_loses_no_wake_up(delay: float) -> None:
    child = in_child(
        f"""
        import os, queue, random, signal, threading, time
        from lockfree import Queue

        class Interrupted(Exception):
            pass

        def interrupt(*_):
            raise Interrupted

        def act():
            time.sleep(0.003)
            threading.Thread(target=follow).start()
            time.sleep(0.003)
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(random.random() * {delay})
            q.put("item")

        def follow():  # behind the main thread
            got.put(q.get(timeout=20))

        signal.signal(signal.SIGUSR1, interrupt)
        q, got = Queue(), Queue()
        for _ in range(40):
            item = None
            try:
                threading.Thread(target=act).start()
                item = q.get()
                time.sleep(20)
            except Interrupted:
                pass
            if item:
                q.put("item")
            assert got.get(timeout=10) == "item"
        print("works")
        """
    )
    assert child == (0, "works\n", "")


# --- processes -----------------------------------------------------------------


# CPython warns of threads at a fork: they are the point here.
FORKS = """
import os, queue, signal, sys, threading, time, warnings, faulthandler
from lockfree import Queue, ShutDown, Empty, Full

warnings.simplefilter("ignore", DeprecationWarning)

def in_thread(do):
    results = []
    thread = threading.Thread(target=lambda: results.append(do()))
    thread.start()
    return thread, results

def use(bounded, unbounded):
    for q in (bounded, unbounded):
        q.drain()
        q.task_done(q.unfinished_tasks)
        q.join()
        # Others wait for us.
        waits = [in_thread(q.get), in_thread(lambda: q.get(timeout=30))]
        waits += [in_thread(lambda: q.get_many(1)[0]), in_thread(lambda: next(iter(q)))]
        time.sleep(0.001)
        q.put("a"), q.put_nowait("b"), q.put_many("cd")
        for thread, _ in waits:
            thread.join()
        assert sorted(results[0] for _, results in waits) == list("abcd")
        joiner, _ = in_thread(q.join)
        q.task_done(4)
        joiner.join()
        # We wait for others.
        in_thread(lambda: q.put_many("abc"))
        assert [q.get(), q.get(timeout=30), *q.get_many(1)] == list("abc")
        for method in (lambda: q.get(timeout=0.001), q.get_nowait):
            try:
                method()
                assert False
            except Empty:
                pass
        for number in range(600):
            q.put(number)
            assert q.get() == number
    n = bounded.maxsize
    assert bounded.put_many(range(2 * n), timeout=0) == n
    try:
        bounded.put("more", timeout=0.001)
        assert False
    except Full:
        pass
    puts = [in_thread(lambda: bounded.put("x")), in_thread(lambda: bounded.put_many("xx"))]
    time.sleep(0.001)
    assert bounded.force_put("y") == 0
    for _ in range(n + 3):
        bounded.get()
    for thread, _ in puts:
        thread.join()
    assert bounded.empty()
    getters = [in_thread(lambda: list(bounded)) for _ in range(2)]
    bounded.shutdown()
    for thread, results in getters:
        thread.join()
        assert results == [[]]

def hand_over(q):
    q.drain()
    thread, results = in_thread(q.get)
    time.sleep(0.001)
    q.put("there")
    thread.join()
    assert results == ["there"]
    in_thread(lambda: q.put("back"))
    assert q.get() == "back"
    q.task_done(q.unfinished_tasks)
    q.join()

def fork():
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(15, exit=True)
    return pid

def await_child(pid):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


@needs_fork
def test_children_forked_while_threads_contend_for_locks_contend_for_them_too() -> None:
    child = in_child(
        FORKS_IN_TRAFFIC
        + """
from lockfree import Cache, LifoQueue, PriorityQueue, StripedCounter

queues, cache, counter = (LifoQueue(), PriorityQueue()), Cache(10), StripedCounter()

def traffic(index):
    for number in range(20):
        for queue in queues:
            queue.put(number)
            queue.get()
        cache[number] = number
        counter.add(counter.sum() % 2)

def use(_):
    threads = [threading.Thread(target=traffic, args=(i,), daemon=True) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)

fork_in_traffic(50, traffic, use)
"""
    )
    assert child == (0, "", "")


@needs_fork
def test_200_children_forked_in_traffic_use_the_queues() -> None:
    child = in_child(
        FORKS
        + FORKS_IN_TRAFFIC
        + """
bounded, unbounded = Queue(4), Queue()

def traffic(index):
    q = (bounded, unbounded)[index % 2]
    for number in range(10):
        try:
            q.put(number, timeout=0.0002)
            q.put_many([number] * 3, timeout=0.0002)
            q.force_put(number)
            q.get(timeout=0.0002), q.get_many(3, 0.0002)
        except (Empty, Full):
            pass
        if q.qsize() > 1000:
            q.drain()

def use_one_or_all(number):
    assert 0 <= bounded.qsize() <= 4
    if number % 10 == 0:
        use(bounded, unbounded)
        use(Queue(4), Queue())
    else:
        hand_over(bounded)
        hand_over(unbounded)

fork_in_traffic(200, traffic, use_one_or_all, fork)
use(bounded, unbounded)
""",
        timeout=200,
    )
    assert child == (0, "", "")


@needs_fork
def test_children_forked_while_threads_wait_use_the_queues() -> None:
    child = in_child(
        FORKS
        + """
full, empty, busy = Queue(4), Queue(), Queue()
full.put_many("abcd")
busy.put("unfinished"), busy.get()
waits = [empty.get, lambda: empty.get(timeout=30), lambda: empty.get_many(1)]
waits += [lambda: next(iter(empty))]
puts = [lambda: full.put("x"), lambda: full.put("x", timeout=30), lambda: full.put_many("xx")]
parked = [in_thread(wait) for wait in [*waits, *puts, busy.join]]
time.sleep(0.1)
for _ in range(20):
    pid = fork()
    if pid == 0:
        # Nobody waits here but these.
        get, put = in_thread(empty.get), in_thread(lambda: full.put("y"))
        join = in_thread(busy.join)
        time.sleep(0.02)
        assert (empty.qsize(), full.qsize(), busy.unfinished_tasks) == (0, 4, 1)
        empty.put("item"), full.get(), busy.task_done()
        for thread, _ in (get, put, join):
            thread.join()
        assert get[1] == ["item"] and full.drain() == list("bcdy")
        use(full, empty)
        os._exit(0)
    await_child(pid)
    assert all(thread.is_alive() for thread, _ in parked)
empty.put_many("abcd")
got = [full.get() for _ in range(8)]
busy.task_done()
for thread, _ in parked:
    thread.join()
assert sorted(got) == list("abcdxxxx"), got
""",
        timeout=100,
    )
    assert child == (0, "", "")


@needs_fork
def test_a_signal_handler_may_fork_while_its_thread_waits() -> None:
    child = in_child(
        FORKS
        + """
q, full = Queue(), Queue(4)
full.put_many("abcd")
pids = []

def handler(*_):
    pids.append(fork())
    # In the child and in the parent: somebody new serves the wait that goes on.
    in_thread(serve)

def late(do):
    def run():
        time.sleep(0.1)
        do()
    return run

signal.signal(signal.SIGUSR1, handler)
for wait, serve in [
    (q.get, late(lambda: q.put("item"))),
    (lambda: q.get(timeout=30), late(lambda: q.put("item"))),
    (lambda: q.get_many(3), late(lambda: q.put("item"))),
    (lambda: full.put("second"), late(full.get)),
    (full.join, late(lambda: full.task_done(full.unfinished_tasks))),
]:
    pids.clear()
    in_thread(late(lambda: os.kill(os.getpid(), signal.SIGUSR1)))
    result = wait()
    assert result in ("item", ["item"], None)
    if pids == [0]:
        use(full, q)
        os._exit(0)
    await_child(*pids)
""",
        timeout=60,
    )
    assert child == (0, "", "")


# --- memory --------------------------------------------------------------------


@needs_statm
@pytest.mark.parametrize("maxsize", [0, 1_000_000])
def test_a_million_items_take_20_bytes_each(maxsize: int) -> None:
    child = in_child(
        MEMORY
        + f"""
n = 1_000_000
q = Queue({maxsize})
before = resident()
for _ in range(n):
    q.put(None)
used = resident() - before
assert used <= 20 * n, used
while not q.empty():
    q.get()
assert resident() - before < 4 * MIB, resident() - before
"""
    )
    assert child == (0, "", "")


@needs_statm
def test_an_empty_queue_gives_its_memory_back() -> None:
    child = in_child(
        MEMORY
        + """
n = 10_000_000
q = Queue()
batch = [None] * 1000
def fill():
    for _ in range(n // len(batch)):
        q.put_many(batch)

fill()
for _ in range(n // len(batch)):
    q.get_many(len(batch))
before = resident()
for _ in range(2):
    fill()
    assert resident() - before > n * 8 - MIB
    if q.qsize() == n:
        for _ in range(n // len(batch)):
            q.get_many(len(batch))
    assert abs(resident() - before) < MIB, resident() - before
fill()
q.shutdown(immediate=True)
assert abs(resident() - before) < MIB, resident() - before
bare = Queue()
whole = resident()
del q
assert whole - resident() < 4 * MIB, whole - resident()
"""
    )
    assert child == (0, "", "")


@needs_statm
@pytest.mark.parametrize("maxsize", [0, 100, 1000])
def test_memory_does_not_grow_with_what_passes(maxsize: int) -> None:
    child = in_child(
        MEMORY
        + f"""
q = Queue({maxsize})
def work(index):
    for number in range(250_000):
        q.force_put(number)
        q.get()
        q.put(number)
        q.get_many(1)

run_threads(2, work)
q.drain()
before = resident()
run_threads(2, work)
q.drain()
assert resident() - before < 5 * MIB, resident() - before
"""
    )
    assert child == (0, "", "")


# --- the interpreter's end -----------------------------------------------------

DAEMONS = """
import queue, threading, time
from lockfree import Queue, Empty, Full, ShutDown

def pause(*_):
    time.sleep(0.001)

class Slow:
    def __index__(self):
        pause()
        return 1
    def __float__(self):
        pause()
        return 0.0001
    def __bool__(self):
        pause()
        return True
    def __repr__(self):
        pause()
        return "Slow()"

class Dying:
    def __del__(self):
        pause()

def slowly():
    yield pause()
    yield pause()

full, empty, q = Queue(1), Queue(), Queue(4)
full.put("item")

def get(): empty.get()
def get_with_timeout(): empty.get(timeout=60)
def get_in_short_time(): empty.get(timeout=0.001)
def get_many(): empty.get_many(2)
def iterate(): list(empty)
def put(): full.put("item")
def put_with_timeout(): full.put("item", timeout=60)
def put_in_short_time(): full.put("item", timeout=0.001)
def put_many(): full.put_many("abc")
def join(): full.join()
def pass_on(): q.put("item"); q.get()
def list_slowly(): q.put_many(slowly()); q.drain()
def slow_count(): q.put("item"); q.get_many(Slow())
def slow_timeout(): empty.get(True, Slow())
def slow_block(): empty.get(Slow(), 0.0001)
def slow_shutdown(): Queue().shutdown(Slow())
def refuse(): q.task_done([Slow()])
def refuse_timeout(): q.get(timeout=-Negative())
def displace(): q.force_put(Dying())
def drain(): q.put_many([Dying(), Dying()], 0); q.drain()
def end():
    mine = Queue()
    mine.put_many([Dying(), Dying()])
    mine.shutdown(immediate=True)
def free(): Queue().put_many([Dying(), Dying()])

class Negative(float):
    def __neg__(self):
        return Negative(-1)
    def __repr__(self):
        pause()
        return "Negative()"

def forever(operation):
    while True:
        try:
            operation()
        except (Empty, Full, TypeError, ValueError):
            pass

for operation in [{operations}]:
    for _ in range({threads}):
        threading.Thread(target=forever, args=(operation,), daemon=True).start()
time.sleep({seconds})
"""
WAITS = ["get", "get_with_timeout", "get_many", "iterate", "put", "put_with_timeout"]
WAITS += ["put_many", "join"]
OPERATIONS = ["get_in_short_time", "put_in_short_time", "pass_on", "list_slowly", "slow_count"]
OPERATIONS += ["slow_timeout", "slow_block", "slow_shutdown", "refuse", "refuse_timeout"]
OPERATIONS += ["displace", "drain", "end", "free"]


def test_waiting_daemon_threads_do_not_disturb_the_end() -> None:
    code = DAEMONS.format(operations=", ".join(WAITS), threads=1, seconds=0.02)
    for _ in range(25):
        assert in_child(code, timeout=30) == (0, "", "")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_busy_daemon_threads_do_not_disturb_the_end(operation: str) -> None:
    code = DAEMONS.format(operations=operation, threads=4, seconds=0.02)
    for _ in range(3):
        assert in_child(code, timeout=30) == (0, "", "")


def test_the_queue_works_at_the_interpreters_end() -> None:
    child = in_child(
        """
        import atexit, threading, time
        from lockfree import Empty, Queue

        q = Queue()
        class Last:
            def __del__(self):
                q.put("last")
                try:
                    print(q.get(timeout=0.01), q.get(timeout=0.01))
                except Empty:
                    print("empty")

        threading.Thread(target=q.get, daemon=True).start()
        time.sleep(0.05)

        def wake():
            q.put("for the daemon")
            time.sleep(0.05)
            assert q.empty()
        atexit.register(wake)
        last = Last()
        """
    )
    assert child.returncode == 0
    assert child.stderr == ""
