"""The benchmark: that its numbers are right, and that it says what it did."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lockfree import AtomicInt64, Queue
from lockfree._native import _baseline
from lockfree.bench import __main__ as command
from lockfree.bench import (
    compare,
    environment,
    handwritten,
    layout,
    peers,
    plan,
    processors,
    report,
    runner,
    worker,
)
from lockfree.bench.cells import CELLS
from lockfree.bench.environment import describe
from lockfree.bench.model import Cell, Contender, RustLoop
from lockfree.bench.processors import usable, waited
from lockfree.bench.runner import Budget, Result, Series, Settings, calibrate, measure
from lockfree.bench.summary import (
    PERCENTILES,
    differ,
    is_resolved,
    percentile,
    percentiles,
    speedup,
    summarize,
)
from lockfree.bench.worker import Run, in_threads, source, workload
from support import CORES, FREE_THREADED, in_child, start

TALLY = AtomicInt64()  # what the cells below count in
QUEUES: list[Queue[int]] = []

COUNTING = Contender("counting", f"from {__name__} import TALLY as c", ("c.increment()",))
RAISING = Contender("raising", "c = None", ("raise RuntimeError('on purpose')",))


def cell_of(*contenders: Contender, **options: Any) -> Cell:
    return Cell("test.cell", "a cell of the tests", contenders, **options)


def only(monkeypatch: pytest.MonkeyPatch, cell: Cell) -> None:
    """Make `cell` the only one that the command knows."""
    monkeypatch.setattr(plan, "CELLS", (cell,))


# Statistics.


def test_a_summary_has_median_best_and_quartiles() -> None:
    summary = summarize([50.0, 10.0, 20.0, 40.0, 30.0])
    assert (summary.median, summary.best, summary.low, summary.high) == (30, 10, 20, 40)
    assert summary.spread == pytest.approx(20 / 30)


def test_a_single_round_has_no_spread() -> None:
    summary = summarize([12.5])
    assert (summary.median, summary.best, summary.low, summary.high) == (12.5,) * 4
    assert summary.spread == 0
    assert not differ(summary, summarize([99.0, 99.0]))  # nor shows a difference


def test_a_speedup_is_by_the_medians_and_above_one_where_faster() -> None:
    fast, slow = summarize([1.0, 10.0, 99.0]), summarize([2.0, 71.0, 72.0])
    assert speedup(fast, slow) == pytest.approx(7.1)
    assert speedup(slow, fast) == pytest.approx(1 / 7.1)


def test_a_difference_shows_where_the_middle_halves_are_apart() -> None:
    low = summarize([1.0, 2.0, 3.0, 4.0, 100.0])  # quartiles 2 and 4
    touching = summarize([0.0, 4.0, 5.0, 6.0, 7.0])  # 4 and 6
    high = summarize([0.0, 4.1, 5.0, 6.0, 7.0])  # 4.1 and 6
    assert not differ(low, touching)
    assert not differ(touching, low)
    assert differ(low, high)
    assert differ(high, low)


@pytest.mark.parametrize(
    ("thousandths", "expected"),
    [(0, 15), (50, 15), (300, 20), (400, 20), (401, 35), (500, 35), (1000, 50)],
)
def test_percentiles_are_by_nearest_rank(thousandths: int, expected: int) -> None:
    assert percentile(Counter([15, 20, 35, 40, 50]), thousandths) == expected


def test_a_percentile_takes_enough_values_to_be_more_than_their_maximum() -> None:
    assert [is_resolved(label, 999) for label in PERCENTILES] == [True, True, False, True]
    assert [is_resolved(label, 1000) for label in PERCENTILES] == [True, True, True, True]
    assert [is_resolved(label, 1) for label in PERCENTILES] == [False, False, False, True]


def test_percentile_ranks_are_exact() -> None:
    # 99.9 / 100 * 1000 is 999.0000000000001 in floats: one rank too many.
    assert percentiles(Counter(range(1, 1001))) == {
        "p50": 500,
        "p99": 990,
        "p99.9": 999,
        "max": 1000,
    }
    assert percentiles({7: 998, 8: 1, 9: 1}) == {"p50": 7, "p99": 7, "p99.9": 8, "max": 9}
    assert percentiles({7: 1}) == {"p50": 7, "p99": 7, "p99.9": 7, "max": 7}


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(1, 1000))
def test_a_percentile_is_the_smallest_value_that_reaches_its_share(
    values: list[int], thousandths: int
) -> None:
    found = percentile(Counter(values), thousandths)
    assert 1000 * sum(value <= found for value in values) >= thousandths * len(values)
    assert 1000 * sum(value < found for value in values) < thousandths * len(values)


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile({}, 500)
    with pytest.raises(ValueError, match="1001"):
        percentile({1: 1}, 1001)


# Loops and runs.


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("scope", ["local", "global"])
def test_each_thread_does_ten_operations_per_iteration(threads: int, scope: str) -> None:
    TALLY.store(0)
    run = workload(cell_of(scope=scope), COUNTING)(threads, 20)
    assert TALLY.load() == threads * 20 * 10 == run.operations
    assert run.seconds > 0
    assert run.ns_per_operation == pytest.approx(run.seconds * 1e9 / run.operations)


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("kind", ["throughput", "latency"])
def test_the_object_is_a_local_or_a_global_as_the_cell_says(kind: str, scope: str) -> None:
    module = compile(source(cell_of(kind=kind, scope=scope), COUNTING), "<test>", "exec")
    (worker,) = (each for each in module.co_consts if isinstance(each, CodeType))
    assert ("c" in worker.co_names) == (scope == "global")
    assert ("c" in worker.co_varnames) == (scope == "local")


def test_items_are_counted_where_an_operation_handles_many() -> None:
    assert workload(cell_of(items=100), COUNTING)(2, 3).operations == 2 * 3 * 100


def test_a_latency_run_times_each_statement_by_itself() -> None:
    TALLY.store(0)
    contender = Contender("pair", COUNTING.setup, ("c.increment()", "c.add(1000)"))
    run = workload(cell_of(kind="latency"), contender)(3, 20)
    assert TALLY.load() == 3 * 20 * 1001
    assert run.operations == run.latencies.total() == 3 * 20 * 2
    assert min(run.latencies) >= 0
    assert max(run.latencies) <= run.seconds * 1e9


def test_a_latency_covers_its_own_statement_only() -> None:
    contender = Contender("mixed", "import time\nc = time.sleep", ("c(0.002)", "pass"))
    run = workload(cell_of(kind="latency"), contender)(1, 10)
    slow = sum(count for time, count in run.latencies.items() if time >= 2_000_000)
    assert slow == 10


def test_every_run_has_a_fresh_object() -> None:
    run = workload(cell_of(), Contender("list", "c = []", ("assert len(c) < 50; c.append(1)",)))
    for _ in range(3):
        run(1, 5)


def test_a_run_lasts_from_the_first_start_to_the_last_end() -> None:
    spans = [(5, 10), (2, 7), (3, 20)]  # of the three threads, in nanoseconds
    took = in_threads(3, lambda index: spans[index])
    assert (took.seconds, took.typical) == (18e-9, 5e-9)
    assert Run(18e-9, 1, typical=5e-9).length == 5e-9


def affinity() -> set[int]:
    return set(os.sched_getaffinity(0))


@pytest.mark.skipif(not usable(), reason="the system does not let threads be pinned")
@pytest.mark.parametrize("here", [True, False])
def test_each_thread_has_a_processor_of_its_own_while_it_runs(here: bool) -> None:
    before = affinity()
    places: dict[int, set[int]] = {}

    def worker(index: int) -> tuple[int, int]:
        places[index] = affinity()
        return 0, 1

    given = usable()
    in_threads(3, worker, given, here=here)
    assert places == {index: {given[index % len(given)]} for index in range(3)}
    assert affinity() == before
    in_threads(2, worker, here=here)
    assert places[0] == places[1] == before


def test_a_thread_that_raises_has_been_put_back() -> None:
    before = processors.usable()
    with pytest.raises(RuntimeError):
        workload(cell_of(), RAISING, before[:1])(1, 1)
    assert processors.usable() == before


needs_schedstat = pytest.mark.skipif(
    waited() is None or not usable(), reason="the system does not say how long threads waited"
)


@needs_schedstat
def test_threads_that_share_a_processor_are_marked_in_every_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = usable()[:1]
    monkeypatch.setattr(processors, "usable", lambda: one)
    monkeypatch.setattr(environment, "cores", lambda: 2)
    cells = ("counter.increment", "queue.transfer", "queue.wakeup", "async.twoloops")
    whom = ["lockfree", "threading.Lock", "queue.SimpleQueue", "rust threads"]
    found = compare(*cells, contenders=whom, threads=2, rounds=2, seconds=0.02)
    rows = [each for result in found.results for each in result.series if each.threads == 2]
    assert len(rows) == 8
    assert [each for each in rows if not each.is_marked] == []


@needs_schedstat
def test_time_asleep_is_no_waiting() -> None:
    asleep = Contender("asleep", "import time\nc = time.sleep", ("c(0.002)",))
    # Beside other processes a thread that wakes does wait: the least disturbed of some runs counts.
    runs = (workload(cell_of(), asleep, usable())(2, 1) for _ in range(50))
    assert any(run.waiting is not None and run.waiting < 0.5 for run in runs)


@pytest.mark.parametrize(
    "text", ["", "1 2", "0 0 0", "one two three"], ids=["none", "two", "zeros", "words"]
)
def test_where_the_kernel_does_not_say_nothing_is_known(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "schedstat"
    if text:
        file.write_text(text)
    monkeypatch.setattr(processors, "_SCHEDSTAT", str(file))
    assert waited() is None
    assert workload(cell_of(), COUNTING)(2, 5).waiting is None
    assert "it does not say" in describe({}, "").placement


def test_no_pin_leaves_threads_to_the_system(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[tuple[int, ...]] = []
    real = worker.workload

    def watched(cell: Cell, contender: Contender, places: tuple[int, ...]) -> Any:
        given.append(places)
        return real(cell, contender, places)

    monkeypatch.setattr(runner, "workload", watched)
    only(monkeypatch, cell_of(COUNTING, baseline="counting"))
    for options in ([], ["--no-pin"]):
        assert command.main(["--quick", "--threads=1", *options]) == 0
    assert given == [usable(), ()]
    assert "where the system puts them (--no-pin)" in capsys.readouterr().out


@pytest.mark.parametrize("role", [0, 1])
def test_a_contender_that_raises_leaves_nobody_waiting(
    role: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_GRACE", 0.05)
    statements = ["c.put(1)", "c.get()"]
    statements[role] = "raise RuntimeError('on purpose')"
    setup = f"from lockfree import Queue\nfrom {__name__} import QUEUES\nc = Queue(1)"
    contender = Contender("half", f"{setup}\nQUEUES.append(c)", tuple(statements))
    with pytest.raises(RuntimeError, match="on purpose"):
        workload(cell_of(kind="transfer"), contender)(2, 3)
    QUEUES.pop().shutdown()  # for who still waits


@pytest.mark.parametrize(
    ("per_iteration", "start_up"), [(1e-6, 0.0), (1e-6, 1e-3), (0.5, 0.0), (1e-9, 0.0)]
)
def test_calibration_sizes_a_run_by_time(per_iteration: float, start_up: float) -> None:
    lengths = []

    def fake(_threads: int, iterations: int) -> Run:
        lengths.append(start_up + iterations * per_iteration)
        return Run(lengths[-1], iterations)

    iterations = calibrate(fake, 1, 0.1)
    assert iterations == 1 or 0.09 <= start_up + iterations * per_iteration <= 0.11
    assert lengths[-1] >= 0.05  # a warm-up
    assert len(lengths) < 10


def test_calibration_survives_a_clock_that_stands_still() -> None:
    assert calibrate(lambda _, n: Run(0.0 if n < 1000 else 1.0, n), 1, 0.1) > 1


def test_calibration_is_not_deceived_by_a_thread_that_lost_its_core() -> None:
    stalls = iter([0.2])
    lengths = []

    def fake(_threads: int, iterations: int) -> Run:
        lengths.append(iterations * 1e-6 + next(stalls, 0))
        return Run(lengths[-1], iterations)

    assert calibrate(fake, 1, 0.1) == pytest.approx(100_000, rel=0.01)


def test_calibration_is_not_deceived_by_threads_that_are_slow_to_start() -> None:
    def fake(_threads: int, iterations: int) -> Run:
        return Run(0.06 + iterations * 1e-6, iterations)

    assert fake(8, calibrate(fake, 8, 0.1)).operations > 10_000


def test_runs_are_cut_short_to_be_over_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(runner, "monotonic", lambda: now)
    budget = Budget(Settings(seconds=0.1, minutes=1), turns=2000)
    assert budget.claim(1000) == pytest.approx(0.03)
    now += 50  # the first half took longer than it should have
    assert budget.claim(900) == pytest.approx(0.01)
    now += 20  # nothing is left; what remains is measured for as short as makes sense
    assert 0 < budget.claim(50) < 0.01
    assert Budget(Settings(seconds=0.1, minutes=60), 2000).claim(2000) == 0.1


def test_all_cells_together_keep_within_the_limits() -> None:
    everything = plan.choose(None, None)
    starting_threads = 0.005
    for settings, minutes in ((runner.QUICK, 1), (Settings(), 10)):
        turns = sum(settings.turns(*each) for each in everything)
        seconds = settings.seconds_each(60 * settings.minutes, turns)
        assert turns * (seconds + starting_threads) < 60 * minutes


def test_contenders_take_turns_within_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []

    def fake(_cell: Cell, contender: Contender, _processors: object) -> Any:
        def run(threads: int, iterations: int) -> Run:
            turns.append((contender.name, threads))
            return Run(1.0, iterations)

        return run

    monkeypatch.setattr(runner, "workload", fake)
    result = Result(cell_of())
    a, b = (Contender(name, "", ()) for name in "ab")
    measure(result, [a, b], Settings(rounds=2, threads=(1, 2)), lambda _step, _turns: None)
    order = [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    warm_up = [turn for turn in order for _ in range(2)]
    assert turns == [*warm_up, *order, *order]
    assert all(len(series.times) == 2 for series in result.series)


# Contenders.


why_not = cache(peers.why_not)


@pytest.mark.parametrize(
    ("cell", "contender"),
    [
        pytest.param(cell, contender, id=f"{cell.name}-{contender.name}")
        for cell in CELLS
        for contender in cell.contenders
    ],
)
def test_every_contender_runs(cell: Cell, contender: Contender | RustLoop) -> None:
    if contender.needs and (reason := why_not(contender.needs)):
        pytest.skip(reason)
    threads = 2 if cell.threads is None else cell.threads[0]
    run = workload(cell, contender)(threads, 3)
    assert run.seconds > 0
    assert run.operations > 0


@pytest.mark.parametrize(
    ("kind", "statements", "threads"),
    [
        ("transfer", ("c.put(1)", "c.get()"), 4),
        ("transfer", ("c.put(1)", "await c.async_get()"), 2),
        ("transfer", ("await c.async_put(1)", "await c.async_get()"), 4),
        ("tasks", ("await c.async_put(1)", "await c.async_get()"), 1),
        ("handoff", ("c.put(clock())", "sent = c.get()"), 2),
    ],
)
def test_what_one_half_puts_the_other_gets(
    kind: Any, statements: tuple[str, str], threads: int
) -> None:
    contender = Contender("queue", "from lockfree import Queue\nc = Queue(5)", statements)
    cell = Cell("x", "", (contender,), kind=kind, threads=(threads,))
    run = workload(cell, contender)(threads, 3)
    items = 3 if kind == "handoff" else 3 * 10 * max(1, threads // 2)
    assert run.operations == items
    assert run.latencies.total() == (items if kind == "handoff" else 0)


@pytest.mark.parametrize(("kind", "timed"), [("throughput", 0), ("latency", 3 * 5 * 2)])
def test_each_thread_has_an_event_loop_where_something_is_awaited(kind: Any, timed: int) -> None:
    statements = ("await c.async_put(1)", "await c.async_get()")
    contender = Contender("queue", "from lockfree import Queue\nc = Queue()", statements)
    run = workload(cell_of(kind=kind), contender)(3, 5)
    assert run.operations == (timed or 3 * 5 * 10)
    assert run.latencies.total() == timed


def test_coroutines_find_the_object_where_threads_do() -> None:
    contender = Contender("queue", "c = None", ("await c.async_put(1)",))
    names: dict[str, Any] = {}
    exec(source(cell_of(), contender), names)
    assert names["role0"].__code__.co_freevars == ()  # those are shared, and counted
    assert "c" in names["role0"].__code__.co_varnames


def test_coroutines_are_measured_where_a_loop_already_runs() -> None:
    async def in_a_notebook() -> Run:
        statements = ("await c.async_put(1)", "await c.async_get()")
        contender = Contender("queue", "from lockfree import Queue\nc = Queue(5)", statements)
        return workload(cell_of(kind="tasks"), contender)(1, 3)

    assert asyncio.run(in_a_notebook()).operations == 3 * 10


def test_cells_are_told_apart_and_have_their_baseline() -> None:
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    for cell in CELLS:
        names = [contender.name for contender in cell.contenders]
        assert len(set(names)) == len(names)
        assert cell.baseline in names


def test_a_loops_queue_keeps_its_bound_for_whoever_puts_from_elsewhere() -> None:
    queue = handwritten.LoopQueue(2)
    got: list[int] = []

    async def consume() -> None:
        while len(got) < 20:
            assert queue._queue.qsize() <= 2
            got.append(await queue.async_get())

    def produce() -> None:
        for number in range(10):
            queue.put(number)

    async def produce_more() -> None:
        for number in range(10, 20):
            await queue.async_put(number)

    producers = [start(produce), start(lambda: asyncio.run(produce_more()))]
    asyncio.run(consume())
    for producer in producers:
        producer.result(10)
    assert sorted(got) == list(range(20))
    assert [each for each in got if each < 10] == list(range(10))


def test_latency_is_measured_with_more_threads_than_cores() -> None:
    for settings, most in ((Settings(), 8), (runner.QUICK, 2)):
        assert settings.thread_counts(cell_of())[-1] == most
        assert settings.thread_counts(cell_of(scope="global"))[0] == 2  # one shares nothing
        assert settings.thread_counts(cell_of(kind="latency")) == (max(8, 2 * CORES),)


def test_the_tutorials_counter_counts() -> None:
    counter = handwritten.LockFreeCounter()
    assert [counter.increment() for _ in range(3)] == [1, 2, 3]


def test_the_tutorials_backoff_is_linear_and_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = handwritten.LockFreeCounter()
    naps: list[float] = []
    monkeypatch.setattr("time.sleep", naps.append)

    class Overtaken:
        """A lock whose holder always finds that another thread was faster."""

        def __enter__(self) -> None:
            counter._value += 1

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(counter, "_lock", Overtaken())
    with pytest.raises(Exception, match="after max retries"):
        counter.increment()
    assert naps == [0.001 * attempt for attempt in range(100)]
    assert counter._value == 100  # the others' increments, and not this one


# The command.


def test_a_quick_run_prints_a_table_and_writes_its_numbers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "result.json"
    arguments = ["--quick", "--cells", "counter.cas", "--threads", "2,1", "--json", str(file)]
    assert command.main(arguments) == 0
    out = capsys.readouterr().out
    record = json.loads(file.read_text())

    environment = record["environment"]
    for name in ("cpu", "interpreter", "lockfree", "date", "command"):
        assert environment[name]
        assert "".join(environment[name].split()) in "".join(out.split())  # it may be wrapped
    assert environment["implementation"] == "native"
    assert environment["command"].startswith("python -m lockfree.bench --quick --cells")
    assert record["settings"]["rounds"] == 3
    assert record["settings"]["threads"] == [1, 2]
    assert not record["interrupted"]

    (cell,) = record["cells"]
    assert cell["name"] == "counter.cas"
    measured = {(series["contender"], series["threads"]) for series in cell["series"]}
    ours = {"lockfree", "lockfree.locked", "threading.Lock", "rust threads"}
    assert measured >= {(name, threads) for name in ours for threads in (1, 2)}
    for series in cell["series"]:
        times = series["ns_per_operation"]
        assert len(times) == 3
        assert series["best"] == min(times) <= series["low"] <= series["median"]
        assert series["median"] == sorted(times)[1]
        assert series["contender"] in out
        assert series["iterations"] > 1
    assert "1 thread" in out
    assert "2 threads" in out
    assert "ratio to threading.Lock" in out
    assert out.endswith("\nThis was a quick run, too short for conclusions.\n")


def test_a_run_ends_with_what_it_comes_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processors, "TOLERATED", 1.0)  # the tests have company
    contenders = "--contenders=lockfree,threading.Lock"
    arguments = ["--cells=flag.load,counter.latency", contenders, "--threads=1"]
    assert command.main([*arguments, "--rounds=2", "--minutes=0.01"]) == 0
    [*_, head, row] = capsys.readouterr().out.splitlines()
    assert "cells threads over a lock over the best of the standard library" in " ".join(
        head.split()
    )
    assert row.split()[:3] == ["flag", "1", "1"]
    assert row.split()[3].startswith("x")


def test_a_latency_cell_shows_percentiles_by_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "result.json"
    contenders = "--contenders=lockfree,threading.Lock"
    arguments = ["--quick", "--cells=counter.latency", "--threads=2", contenders]
    assert command.main([*arguments, f"--json={file}"]) == 0
    lines = capsys.readouterr().out.partition("counter.latency:")[2].splitlines()
    head = next(line for line in lines if "p99.9" in line)
    assert head.split() == ["ns", "p50", "ratio", "p99", "p99.9", "ratio", "max", "operations"]
    (cell,) = json.loads(file.read_text())["cells"]
    assert [s["contender"] for s in cell["series"]] == ["timer alone", "lockfree", "threading.Lock"]
    for series in cell["series"]:
        histogram = dict(map(tuple, series["histogram"]))
        assert series["p50"] <= series["p99"] <= series["p99.9"] <= series["max"]
        assert series["max"] == max(histogram) == max(each["max"] for each in series["rounds"])
        row = next(line for line in lines if line.startswith(f"{series['contender']}  "))
        total = sum(histogram.values())
        assert row.split()[-1] == (f"{total:,}" if total < 10_000 else f"{total // 1000:,}k")


def test_an_unknown_name_is_an_error_that_lists_the_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for option, known in [
        ("--cells", "counter.cas"),
        ("--cells", "--list"),
        ("--contenders", "itertools.count"),
        ("--baseline", "threading.Lock"),
    ]:
        with pytest.raises(SystemExit) as ended:
            command.main([option, "nonsense"])
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert "'nonsense'" in error
        assert known in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threads", "0"],
        ["--threads", "two"],
        ["--threads", "1,99999"],
        ["--rounds", "-1"],
        ["--minutes", "nan"],
        ["--cells", "counter.cas,,counter.add"],
        ["--json", "no/such/folder/x"],
        ["--csv", "no/such/folder/x"],
        ["--plot", f"{__file__}/charts"],
        ["--compare", "no/such/file", "x"],
    ],
)
def test_a_bad_argument_is_refused_before_anything_is_measured(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert arguments[1] in capsys.readouterr().err


def test_the_list_shows_the_code_that_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    out = capsys.readouterr().out
    assert all(f"{cell.name}: {cell.description}" in out for cell in CELLS)
    assert "\n  threading.Lock\n        with c.lock:\n            c.value += 1\n" in out
    code = [textwrap.dedent(block) for block in re.findall("^  \\S.*\n((?: {8}.*\n?)+)", out, re.M)]
    assert len(code) == sum(len(cell.contenders) for cell in CELLS)
    for each in code:
        compile(each, "<list>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_a_contender_that_raises_has_failed_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    only(monkeypatch, cell_of(RAISING, COUNTING, baseline="counting"))
    file = tmp_path / "result.json"
    assert command.main(["--quick", "--rounds", "2", "--threads", "1,2", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert "raising failed, threads: 1, 2 (RuntimeError: on purpose)" in out
    assert next(line.split() for line in out.splitlines() if line.startswith("raising")) == [
        "raising",
        "failed",
        "failed",
    ]
    series = json.loads(file.read_text())["cells"][0]["series"]
    assert [len(s.get("ns_per_operation", [])) for s in series] == [0, 2, 0, 2]
    assert [(s["contender"], s["error"] is None) for s in series] == [
        ("raising", False),
        ("counting", True),
    ] * 2


def test_a_missing_peer_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(peers.DISTRIBUTIONS, "no_such_module", "no-such-peer")
    absent = Contender("absent", "import no_such_module", ("pass",), needs="no_such_module")
    only(monkeypatch, cell_of(absent, COUNTING))
    assert command.main(["--quick", "--threads", "1"]) == 0
    captured = capsys.readouterr()
    mentions = [line for line in captured.out.splitlines() if "absent" in line]
    assert mentions == ["left out     absent: not installed (pip install no-such-peer)"]
    assert "Traceback" not in captured.err


def test_the_missing_peers_are_said_with_one_command_for_all() -> None:
    left_out = {
        "a": "not installed (pip install a-lib)",
        "b": "importing it turns the GIL on",
        "c + Lock": "not installed (pip install c-lib)",
    }
    assert [fact for name, fact in report.facts(describe({}, ""), left_out) if "out" in name] == [
        "a, c + Lock: not installed (pip install a-lib c-lib)",
        "b: importing it turns the GIL on",
    ]


def test_without_the_native_implementation_its_contenders_are_left_out() -> None:
    code = """
        from lockfree.bench import __main__ as command
        assert command.main(["--quick", "--cells", "counter.load", "--threads", "1"]) == 0
    """
    child = in_child(code, env={"LOCKFREE_IMPLEMENTATION": "locked"})
    assert child.returncode == 0, child.stderr
    for name in ("lockfree", "rust threads"):
        assert f"left out     {name}: the native implementation is not in use\n" in child.stdout
    assert "\nlockfree.locked" in child.stdout


# What the operations return together in so many iterations, and what is left of them.
RUST_LOOPS: dict[str, Callable[[int], tuple[int, int]]] = {
    "increment": lambda n: (n * (n + 1) // 2, n + 1),  # from 1 on, each value once
    "load": lambda n: (n, 1),
    "cas": lambda n: (n, 1),
    "striped": lambda n: (0, n),
    "stack.pushpop": lambda n: (n, 0),
    "queue.putget": lambda n: (n, 0),
    "cache.hit": lambda n: (n * sum(range(100)), 100),
}


@pytest.mark.parametrize("loop", RUST_LOOPS)
@pytest.mark.parametrize("threads", [1, 4])
def test_what_rust_threads_did_is_what_was_to_be_done(loop: str, threads: int) -> None:
    each = 20_000
    seconds, total, left = _baseline(loop, threads, each, lambda _: nullcontext())
    if loop == "queue.putget":  # a thread does not wait for what another one is putting
        total, left = total + left, 0
    assert (total, left) == RUST_LOOPS[loop](threads * each)
    assert seconds > 0


def test_all_loops_of_rust_threads_are_looked_at() -> None:
    loops = {each.loop for cell in CELLS for each in cell.contenders if isinstance(each, RustLoop)}
    assert loops == RUST_LOOPS.keys()
    with pytest.raises(ValueError, match='no cell "none"'):
        _baseline("none", 1, 1, lambda _: nullcontext())


def peer(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a module of `source` that this process and its children can import."""
    name = f"peer_of_{folder.name}"  # another one each time: what came of an import is cached
    (folder / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return name


def test_a_peer_that_does_not_import_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = peer(tmp_path, "raise ImportError('wrong build')", monkeypatch)
    assert peers.why_not(module) == "does not import (ImportError: wrong build)"


def test_a_peer_that_kills_the_interpreter_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = peer(tmp_path, "import os; os._exit(7)", monkeypatch)
    assert peers.why_not(module) == "does not import (exit status 7)"


def test_a_peer_whose_import_hangs_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_PATIENCE", 0.5)
    module = peer(tmp_path, "import time; time.sleep(60)", monkeypatch)
    assert peers.why_not(module) == "does not import (not within 0.5 s)"


def test_a_peer_that_turns_the_gil_on_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = peer(tmp_path, "import sys; sys._is_gil_enabled = lambda: True", monkeypatch)
    reason = "importing it turns the GIL on"
    assert peers.why_not(module) == (reason if FREE_THREADED else None)


def test_the_command_says_who_was_left_out_for_the_gil(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = peer(tmp_path, "import sys; sys._is_gil_enabled = lambda: True", monkeypatch)
    lru = Contender("lru", f"import {module} as c", ("pass",), needs=module)
    only(monkeypatch, cell_of(lru, COUNTING, baseline="counting"))
    file = tmp_path / "result.json"
    assert command.main(["--quick", "--threads", "1", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    record = json.loads(file.read_text())
    contenders = [series["contender"] for series in record["cells"][0]["series"]]
    if FREE_THREADED:
        assert "left out     lru: importing it turns the GIL on\n" in out
        assert record["left_out"] == {"lru": "importing it turns the GIL on"}
        assert module not in sys.modules
    assert contenders == (["counting"] if FREE_THREADED else ["lru", "counting"])
    assert record["environment"]["gil_enabled"] != FREE_THREADED


def test_with_nobody_to_measure_it_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = Contender("absent", "import no_such_module", ("pass",), needs="no_such_module")
    only(monkeypatch, cell_of(absent))
    assert command.main(["--quick"]) == 2
    assert "absent: not installed (pip install no_such_module)" in capsys.readouterr().err


STACK = [cell.name for cell in CELLS if cell.name.startswith("stack.")]


def test_a_structure_stands_for_its_cells() -> None:
    chosen = [cell.name for cell, _ in plan.choose(["stack", "counter.cas"], None)]
    assert chosen == [*STACK, "counter.cas"]


def test_a_cell_that_is_named_twice_is_measured_once() -> None:
    chosen = [cell.name for cell, _ in plan.choose(["stack.batch", "stack"], None)]
    assert chosen == ["stack.batch", *(name for name in STACK if name != "stack.batch")]


def test_the_baseline_is_measured_with_the_others() -> None:
    [(_, contenders)] = plan.choose(["stack.pushpop"], ["lockfree"], "deque")
    assert [each.name for each in contenders] == ["lockfree", "deque"]


def test_ctrl_c_prints_what_was_measured_so_far(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # The real thing but for the terminal: SIGINT's handler raises this in the
    # middle of the second contender's second round.
    turns = Counter[str]()
    real = runner._take_turn

    def interrupted(series: Series, *arguments: Any) -> None:
        turns[series.contender] += 1
        if turns["second"] == 3:
            raise KeyboardInterrupt
        real(series, *arguments)

    monkeypatch.setattr(runner, "_take_turn", interrupted)
    first = Contender("first", COUNTING.setup, COUNTING.statements)
    second = Contender("second", COUNTING.setup, COUNTING.statements)
    only(monkeypatch, cell_of(first, second, baseline="first"))
    file = tmp_path / "result.json"
    assert command.main(["--quick", "--threads", "1", "--json", str(file)]) == 130
    out = capsys.readouterr().out
    assert "\nsecond" in out
    assert "Interrupted" in out
    record = json.loads(file.read_text())
    assert record["interrupted"]
    assert [len(s["ns_per_operation"]) for s in record["cells"][0]["series"]] == [2, 1]


def test_ctrl_c_before_the_first_round_prints_no_empty_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "_take_turn", interrupted)
    assert command.main(["--quick", "--cells", "counter.cas"]) == 130
    out = capsys.readouterr().out
    assert "median" not in out.partition("Interrupted")[0]


def test_ctrl_c_while_a_table_is_printed_ends_it_as_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    only(monkeypatch, cell_of(COUNTING, baseline="counting"))
    monkeypatch.setattr(layout, "text", interrupted)
    assert command.main(["--quick", "--threads", "1"]) == 130
    assert "Interrupted" in capsys.readouterr().out


def test_the_package_does_not_load_the_benchmark_nor_that_what_it_can_do_without() -> None:
    code = """
        import sys
        import lockfree
        assert not any(name.startswith("lockfree.bench") for name in sys.modules)
        import lockfree.bench.__main__
        assert not {"rich", "matplotlib", "numpy", "pandas"} & set(sys.modules)
    """
    child = in_child(code)
    assert child.returncode == 0, child.stderr


def test_every_kind_of_cell_is_written_down(tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    cells = "queue.tutorial,queue.wakeup,async.oneloop"
    arguments = ["--quick", "--rounds=1", "--contenders=lockfree", f"--json={file}"]
    assert command.main([*arguments, f"--cells={cells}"]) == 0
    written = {cell["name"]: cell["series"][0] for cell in json.loads(file.read_text())["cells"]}
    assert {name: "median" in series for name, series in written.items()} == {
        "queue.tutorial": True,
        "queue.wakeup": False,
        "async.oneloop": True,
    }
    assert written["queue.wakeup"]["p50"] > 0
