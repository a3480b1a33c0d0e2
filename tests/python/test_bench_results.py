"""What the benchmark makes of its numbers: tables, charts, files, and two runs side by side."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from lockfree.bench import (
    Contender,
    compare,
    conclusions,
    layout,
    peers,
    progress,
    regression,
    report,
)
from lockfree.bench import __main__ as command
from lockfree.bench.cells import CELLS
from lockfree.bench.comparison import QUICK_VARIABLE, Comparison
from lockfree.bench.environment import describe
from lockfree.bench.layout import Block, Table
from lockfree.bench.model import NATIVE, Cell
from lockfree.bench.record import read_json, write_csv, write_json
from lockfree.bench.runner import QUICK, Result, Series, Settings
from lockfree.bench.summary import percentiles
from support import in_child

TEN = {"fast": [10.0, 10.2, 10.4], "lock": [100.0, 101.0, 102.0]}


def cell_of(**options: Any) -> Cell:
    return Cell("test.cell", "a cell of the tests", (), **({"baseline": "lock"} | options))


def comparison_of(*results: Result) -> Comparison:
    return Comparison(describe(peers.versions(), "the command"), Settings(), results=list(results))


def throughput(times: dict[str, list[float]], *threads: int, **options: Any) -> Result:
    series = [Series(name, each, times=list(ns)) for each in threads for name, ns in times.items()]
    return Result(cell_of(**options), series)


def latency(threads: int, **rounds: list[dict[int, int]]) -> Result:
    series = [
        Series(
            name,
            threads,
            times=[1.0] * len(histograms),
            latencies=sum(map(Counter, histograms), Counter()),
            percentiles=[percentiles(each) for each in histograms],
        )
        for name, histograms in rounds.items()
    ]
    return Result(cell_of(kind="latency"), series)


def written(folder: Path, name: str, *results: Result) -> str:
    file = folder / f"{name}.json"
    write_json(comparison_of(*results), file)
    return str(file)


# Tables of made-up timings.


def test_a_table_ranks_marks_and_compares() -> None:
    result = Result(
        cell_of(),
        [
            Series("lock", 1, times=[100, 102, 104]),
            Series("fast", 1, times=[14, 15, 16]),
            Series("alike", 1, times=[90, 101, 150]),
            Series("slow", 1, times=[2000, 2040, 2080]),
            Series("lock", 2, times=[200, 204, 208]),
            Series("fast", 2, times=[300, 300, 300]),
            Series("alike", 2, times=[10.2]),
            Series("slow", 2, error="Exception: too slow"),
        ],
    )
    assert layout.text(report.table(result)).splitlines() == [
        "test.cell: a cell of the tests; ratio to lock",
        "",
        "              ---- 1 thread ---  -- 2 threads ---",
        "ns/operation  median iqr  ratio  median iqr ratio",
        "alike            101 30%  ~x1.0    10.2      ~x20",
        "lock             102  2%   x1.0     204  2%  x1.0",
        "fast            15.0  7%   x6.8     300  0% x0.68",
        "slow            2040  2% x0.050  failed",
        "~ no difference shown: the middle halves of the rounds overlap.",
        "slow failed, threads: 2 (Exception: too slow)",
    ]


def test_a_table_without_its_baseline_has_no_ratios() -> None:
    result = throughput({"fast": [15.0]}, 8, items=100)
    assert layout.text(report.table(result)).splitlines() == [
        "test.cell: a cell of the tests",
        "",
        "         -- 8 threads ---",
        "ns/item  median iqr ratio",
        "fast       15.0",
    ]


def test_a_table_tells_what_noise_can_explain_and_only_then() -> None:
    result = throughput(TEN, 1)
    assert "no difference" not in layout.text(report.table(result))
    result.series[0].times[0] = 150.0  # one round in three: the quartile moves beyond the lock's
    result.series[0].times[1] = 103.0
    assert report.NO_DIFFERENCE in layout.text(report.table(result))


def test_a_table_ends_with_what_the_cell_remarks() -> None:
    result = throughput(TEN, 1, remark="Mind the gap.")
    assert layout.text(report.table(result)).splitlines()[-1] == "Mind the gap."


def test_a_latency_table_is_ranked_by_the_tail() -> None:
    result = latency(
        8,
        tailed=[{50: 1000}, {50: 997, 1_234_567: 2, 2_000_000: 1}, {50: 990, 1_000_000: 10}],
        even=[{60: 1000}, {60: 1000}, {60: 1000}],
    )
    result.series.append(Series("failed", 8, error="Exception: no"))
    assert layout.text(report.table(result, "tailed")).splitlines() == [
        "test.cell: a cell of the tests; ratio to tailed",
        "",
        "        --------------------- 8 threads ----------------------",
        "ns         p50 ratio p99     p99.9  ratio       max operations",
        "even        60 x0.83  60        60 x16667        60      3,000",
        "tailed      50  x1.0  50 1,000,000   x1.0 2,000,000      3,000",
        "failed  failed",
        "failed failed, threads: 8 (Exception: no)",
    ]


def test_a_percentile_of_too_few_operations_is_no_number() -> None:
    table = report.table(latency(2, lock=[{10: 500, 20: 4}], few=[{10: 98, 20: 1}]))
    rows = dict(zip(table.names, table.blocks[0].rows[1:], strict=True))
    assert rows["lock"] == ["10", "x1.0", "10", "-", "", "20", "504"]
    assert rows["few"] == ["10", "~x1.0", "-", "-", "", "20", "99"]


def test_a_ratio_of_rounds_too_short_for_the_percentile_is_no_number() -> None:
    # All rounds together are enough for p99.9, each of them is not.
    rounds = [{10: 390, 50: 10}] * 3
    table = report.table(latency(2, lock=rounds, fast=[{1: 390, 5: 10}] * 3))
    assert table.blocks[0].rows[1:] == [
        ["1", "x10", "5", "5", "", "5", "1,200"],
        ["10", "x1.0", "50", "50", "", "50", "1,200"],
    ]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_tables_fit_on_a_terminal(width: int) -> None:
    slow = [12345.6, 99999.0, 99999.0]
    names = dict.fromkeys(["queue.SimpleQueue", "lockfree", "lock"], slow)
    wide = throughput(names, 1, 2, 4, 8)
    tail = latency(128, **{name: [{9999: 9000, 99_999_999: 1000}] for name in names})
    for table in (report.table(wide), report.table(tail)):
        lines = layout.text(table, width).splitlines()
        assert max(map(len, lines)) <= width
    assert layout.text(report.table(wide), 80).count("queue.SimpleQueue") == 2
    assert layout.text(report.table(wide), 120).count("queue.SimpleQueue") == 1


ODD = Table("a <b>", "ns|x", ["x|y"], [Block("1 & 2", [["p", "q"], ["<3", "4"]])], ["note"])


def test_html_and_markdown_escape_what_they_must() -> None:
    html = layout.html(ODD)
    assert all(each in html for each in ("a &lt;b&gt;", "1 &amp; 2", "&lt;3", "x|y", "note"))
    assert html.count("<tr>") == html.count("</tr>") == 3
    assert layout.markdown(ODD).splitlines() == [
        r"| ns\|x | 1 & 2<br>p | q |",
        "| --- | ---: | ---: |",
        r"| x\|y | <3 | 4 |",
        "",
        "note",
    ]


# Comparisons.


def test_compare_measures_and_shows_itself() -> None:
    mine = Contender("mine", "c = [0]", ("c[0] += 1",))
    ours = Contender("ours", "from lockfree import AtomicInt64\nc = AtomicInt64()", ("c.add(1)",))
    cell = Cell("own.cell", "one of the reader's", (mine, ours), baseline="mine")
    found = compare(cell, threads=2, rounds=2, seconds=0.001)
    assert [(each.contender, each.threads) for each in found.results[0].series] == [
        ("mine", 2),
        ("ours", 2),
    ]
    for shown in (str(found), found._repr_html_()):
        assert "own.cell: one of the reader" in shown
        assert "mine" in shown
        assert found.environment.interpreter in shown
        assert found.environment.date in shown
    assert "<table>" in found._repr_html_()


def test_compare_takes_names_and_refuses_unknown_ones() -> None:
    found = compare("counter.cas", contenders=["lockfree"], threads=[1, 2], rounds=1, seconds=0.001)
    assert [series.threads for series in found.results[0].series] == [1, 2]
    assert found.environment.command == "lockfree.bench.compare('counter.cas')"
    with pytest.raises(ValueError, match=r"no cell 'counter\.nonsense'; there are"):
        compare("counter.nonsense")


def test_a_notebook_can_be_made_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(QUICK_VARIABLE, "1")
    found = compare("counter.cas", contenders=["lockfree"], threads=1, rounds=1000, seconds=10)
    assert found.settings.rounds < 10
    assert found.settings.seconds < 0.01


def test_ctrl_c_gives_what_was_compared_so_far() -> None:
    stop = Contender("stop", "def c():\n    raise KeyboardInterrupt", ("c()",))
    go = Contender("go", "c = 1", ("c + 1",))
    first, second = (
        Cell(name, "", (go, stop)[: 1 + more], "go") for name, more in (("a", 0), ("b", 1))
    )
    found = compare(first, second, threads=1, rounds=2, seconds=0.001)
    assert found.interrupted
    assert "Interrupted" in str(found)
    assert "Interrupted" in found._repr_html_()
    assert [result.cell.name for result in found.results if result.has_something] == ["a"]


def test_a_comparison_becomes_a_data_frame() -> None:
    pytest.importorskip("pandas")
    frame = comparison_of(throughput(TEN, 1, 2), latency(8, lock=[{5: 10_000}])).to_pandas()
    assert len(frame) == 5
    fast = frame[(frame.contender == "fast") & (frame.threads == 2)].iloc[0]
    assert (fast["median"], fast["best"], fast["rounds"]) == (10.2, 10.0, 3)
    assert fast["interpreter"].startswith("CPython 3.")
    assert frame["p99.9"].dropna().tolist() == [5]


# Files.


def test_json_brings_back_what_it_was_given(tmp_path: Path) -> None:
    failed = Series("failed", 1, error="Exception: no")
    times = throughput(TEN, 1, 2)
    times.series.append(failed)
    times.series[0].waiting, times.series[0].processors = [0.1, 0.2, 0.3], 2
    before = comparison_of(times, latency(8, lock=[{5: 100, 7: 1}, {6: 50}]))
    file = tmp_path / "x.json"
    write_json(before, file)
    assert read_json(file) == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"environment": {}, "settings": {}}'])
def test_json_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"x\.json has no results"):
        read_json(file)


def test_csv_has_a_line_per_number_with_all_its_context(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    write_csv(comparison_of(throughput(TEN, 1, 2)), file)
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["contender"], row["threads"], row["median"]) for row in rows] == [
        ("fast", "1", "10.2"),
        ("lock", "1", "101.0"),
        ("fast", "2", "10.2"),
        ("lock", "2", "101.0"),
    ]
    context = {
        "cpu",
        "cores",
        "system",
        "interpreter",
        "gil_enabled",
        "lockfree",
        "date",
        "command",
    }
    assert all(row[column] for row in rows for column in context)


# Two runs side by side.


def side_by_side(tmp_path: Path, before: Result, after: Result, *options: str) -> int:
    files = written(tmp_path, "a", before), written(tmp_path, "b", after)
    first, second = (
        {(each.contender, each.threads) for each in run.series} for run in (before, after)
    )
    both = ",".join(sorted({contender for contender, _ in first & second}))
    judged = ["--contenders", both] if both and "--contenders" not in options else []
    return command.main(["--compare", *files, *judged, *options])


def scaled(factor: float, result: Result, *names: str) -> Result:
    for series in result.series:
        if series.contender in (names or TEN):
            series.times = [factor * each for each in series.times]
    return result


@pytest.mark.parametrize(
    ("factor", "options", "status"),
    [
        (1.0, (), 0),
        (0.5, (), 0),
        (1.05, (), 0),
        (1.3, (), 1),
        (1.3, ("--tolerance", "40"), 0),
        (1.05, ("--tolerance", "2"), 1),
    ],
)
def test_the_exit_status_tells_a_regression(
    tmp_path: Path, factor: float, options: tuple[str, ...], status: int
) -> None:
    after = scaled(factor, throughput(TEN, 1), "fast")
    assert side_by_side(tmp_path, throughput(TEN, 1), after, *options) == status


def test_what_noise_explains_is_no_regression(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = {"fast": [10.0, 20.0, 30.0]}
    assert (
        side_by_side(tmp_path, throughput({"fast": [9.0, 12.0, 28.0]}, 1), throughput(noisy, 1))
        == 0
    )
    out = capsys.readouterr().out
    assert "~x0.60" in out
    assert "no difference shown" in out
    assert out.endswith("not by chance, of fast:\nnothing\n")


def test_the_table_has_both_and_the_verdict_names_what_is_slower(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = scaled(2, throughput(TEN, 1), "fast")
    assert side_by_side(tmp_path, throughput(TEN, 1), after) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "fast  10.2 20.4 x0.50" in lines
    assert "lock   101  101 ~x1.0" in lines
    assert lines[-1] == "test.cell, fast, 1 thread: 100% slower"


def test_a_slow_machine_is_no_regression_relative_to_the_baseline(tmp_path: Path) -> None:
    slow = scaled(1.5, throughput(TEN, 1))
    assert side_by_side(tmp_path, throughput(TEN, 1), slow) == 1
    assert side_by_side(tmp_path, throughput(TEN, 1), slow, "--relative") == 0
    slower = scaled(1.5, slow, "fast")
    assert side_by_side(tmp_path, throughput(TEN, 1), slower, "--relative") == 1
    chosen = ("--relative", "--contenders", "lock")
    assert side_by_side(tmp_path, throughput(TEN, 1), slower, *chosen) == 0


def test_what_fails_now_is_a_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = Result(cell_of(), [Series("fast", 1, error="Exception: broken")])
    assert side_by_side(tmp_path, throughput(TEN, 1), after) == 1
    assert capsys.readouterr().out.endswith("test.cell, fast, 1 thread: Exception: broken\n")


def test_latencies_are_judged_by_their_percentiles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = latency(8, lock=[{10: 9000, 500: 90}, {10: 9000, 501: 90}])
    after = latency(8, lock=[{10: 9000, 900: 90}, {10: 9000, 901: 90}])
    assert side_by_side(tmp_path, before, after) == 1
    assert (
        capsys.readouterr().out.splitlines()[-1].startswith("test.cell, lock, p99.9, 8 threads: 8")
    )


def test_the_package_is_judged_unless_somebody_else_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = {"lockfree": TEN["fast"], "lock": TEN["lock"]}
    files = [
        written(tmp_path, "a", throughput(times, 1)),
        written(tmp_path, "b", scaled(2, throughput(times, 1), "lock")),
    ]
    assert command.main(["--compare", *files]) == 0
    out = capsys.readouterr().out
    assert "lock       101  202 x0.50" in out  # it is shown nevertheless
    assert out.endswith("not by chance, of lockfree:\nnothing\n")
    assert command.main(["--compare", *files, "--contenders", "lockfree,lock"]) == 1


def test_where_the_package_has_no_part_it_must_be_said_who_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [written(tmp_path, name, throughput(TEN, 1)) for name in "ab"]
    with pytest.raises(SystemExit) as ended:
        command.main(["--compare", *files])
    assert ended.value.code == 2
    assert "nothing of 'lockfree' in common: name --contenders" in capsys.readouterr().err


def test_a_quick_run_is_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = comparison_of(throughput(TEN, 1)), comparison_of(throughput(TEN, 1))
    runs[1].settings = QUICK
    files = [str(tmp_path / name) for name in "ab"]
    for run, file in zip(runs, files, strict=True):
        write_json(run, Path(file))
    with pytest.raises(SystemExit) as ended:
        command.main(["--compare", *files])
    assert ended.value.code == 2
    assert "B is a quick run, too short for conclusions" in capsys.readouterr().err


CHARTED = {
    "lines": throughput(TEN | {"lockfree": [5.0, 5.0, 6.0], "rust threads": [0.1, 0.1]}, 1, 2, 8),
    "bars": throughput(TEN, 2, kind="transfer"),
    "curves": latency(8, lock=[{10: 9000, 500: 90}], fast=[{10: 90_000}]),
}


# Rows whose threads waited for processors.


def waited(result: Result, share: float, *names: str, processors: int = 2) -> Result:
    for series in result.series:
        series.processors = processors
        series.waiting = [share if series.contender in names else 0.0] * 3
    return result


def test_a_row_whose_threads_waited_is_marked_and_compared_with_nothing() -> None:
    table = report.table(waited(throughput(TEN, 2), 0.06, "fast"))
    assert table.blocks[0].rows[1:] == [["!10.2", "2%", ""], ["101", "1%", "x1.0"]]
    assert table.notes == [report.NO_CONCLUSION]
    table = report.table(waited(throughput(TEN, 2), 0.06, "lock"))
    assert table.blocks[0].rows[1:] == [["10.2", "2%", ""], ["!101", "1%", ""]]
    timed = report.table(waited(latency(2, lock=[{10: 9000}]), 0.06, "lock"))
    assert timed.blocks[0].rows[1][:2] == ["!10", ""]


def test_who_waited_little_or_must_wait_is_not_marked() -> None:
    for share, threads in ((0.049, 2), (0.9, 4)):
        table = report.table(waited(throughput(TEN, threads), share, *TEN))
        assert table.notes == []


@pytest.mark.parametrize("options", [(), ("--relative",)])
def test_two_runs_are_not_judged_by_a_row_whose_threads_waited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    after = scaled(2, throughput(TEN, 1, 2), "fast")
    assert side_by_side(tmp_path, throughput(TEN, 1, 2), after, *options) == 1
    capsys.readouterr()
    for series in after.series:
        series.processors = 2
        series.waiting = [0.5] if series.contender == "fast" and series.threads == 2 else [0.0]
    assert side_by_side(tmp_path, throughput(TEN, 1, 2), after, *options) == 1
    out = capsys.readouterr().out
    assert "test.cell, fast, 1 thread: 100% slower" in out
    assert "test.cell, fast, 2 threads" not in out
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("fast")] == ["!"]
    assert report.NO_CONCLUSION[:60] in out
    for series in after.series:
        series.waiting = [0.5] if series.contender == "fast" else [0.0]
    before = throughput(TEN, 1, 2)
    assert side_by_side(tmp_path, before, after, *options) == 0


def test_the_figure_stands_in_the_files(tmp_path: Path) -> None:
    result = waited(throughput(TEN, 2), 0.25, "fast")
    series = json.loads(Path(written(tmp_path, "x", result)).read_text())["cells"][0]["series"]
    assert [(each["waiting"], each["marked"]) for each in series] == [
        ([0.25] * 3, True),
        ([0.0] * 3, False),
    ]
    rows = comparison_of(result).rows()
    assert [(row["waiting"], row["marked"]) for row in rows] == [(0.25, True), (0.0, False)]


def contest(name: str, times: dict[str, float], *threads: int, **options: Any) -> Result:
    """Return the result of a cell of contenders that need nothing, but for peers and us."""
    needs = {"lockfree": NATIVE, "a peer": "a_peer"}
    contenders = tuple(Contender(each, "", (), needs.get(each)) for each in times)
    series = [
        Series(each, count, times=[ns] * 3, processors=2, waiting=[0.0])
        for count in threads
        for each, ns in times.items()
    ]
    return Result(Cell(name, "", contenders, **options), series)


def concluded(*results: Result) -> list[tuple[str, ...]]:
    table = conclusions.table(results)
    assert table
    return [(name, *row) for name, row in zip(table.names, table.blocks[0].rows[1:], strict=True)]


def test_a_run_comes_to_a_line_for_each_structure() -> None:
    queues = {"lockfree": 10.0, "queue.Queue": 80.0, "queue.SimpleQueue": 20.0, "a peer": 1.0}
    results = [
        contest("queue.a", queues, 1, 2, 8),
        contest("queue.b", queues | {"lockfree": 40.0, "lockfree.locked": 1.0}, 1, 2, 8),
        contest("queue.c", queues, 1, 2, kind="latency"),
        contest("counter.a", {"lockfree": 10.0, "threading.Lock": 50.0}, 1),
        contest("flag.a", {"threading.Lock": 50.0}, 1),
        contest("ordered.a", {"lockfree": 10.0, "queue.PriorityQueue": 50.0}, 1),
    ]
    assert concluded(*results) == [
        ("queue", "2", "2", "x2.0 to x8.0", "x0.50 to x2.0"),
        ("counter", "1", "1", "x5.0", "-"),
        ("ordered", "1", "1", "x5.0", "-"),
    ]
    assert conclusions.table(results[2:3]) is None


def test_nothing_is_concluded_from_rows_whose_threads_waited() -> None:
    counters = {"lockfree": 10.0, "threading.Lock": 50.0, "itertools.count": 20.0}
    for name, line in (
        ("lockfree", ("counter", "1", "1", "x5.0", "x2.0")),
        ("itertools.count", ("counter", "1", "2", "x5.0", "-")),
    ):
        result = contest("counter.a", counters, 1, 2)
        for series in result.series:
            if series.contender == name and series.threads == 2:
                series.waiting = [0.5]
        assert concluded(result) == [line]


@pytest.mark.parametrize("kind", CHARTED)
def test_a_chart_leaves_them_out_and_says_so(kind: str) -> None:
    pytest.importorskip("matplotlib")
    result = deepcopy(CHARTED[kind])
    part = comparison_of(waited(result, 0.5, "fast", processors=8)).plot().subfigs[0]
    marked = 3 if kind == "lines" else 1
    assert f"not shown: {report.count(marked, 'number')}" in part.axes[0].get_title("left")
    shown = part.axes[0].get_yticklabels() if kind == "bars" else part.legends[0].texts
    assert "fast" not in {each.get_text() for each in shown}
    assert "lock (baseline)" in {each.get_text() for each in shown}


def test_runs_without_anything_in_common_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        side_by_side(tmp_path, throughput(TEN, 1), throughput(TEN, 2))
    assert ended.value.code == 2
    assert "nothing in common" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        "--list",
        "--threads=2",
        "--no-pin",
        "--quick",
        "--rounds=3",
        "--minutes=1",
        "--csv={}/a.csv",
    ],
)
def test_what_only_a_measurement_heeds_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        side_by_side(tmp_path, throughput(TEN, 1), throughput(TEN, 1), option.format(tmp_path))
    assert ended.value.code == 2
    name = option.partition("=")[0]
    assert f"{name} means nothing with --compare" in capsys.readouterr().err


def test_what_only_a_comparison_heeds_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--relative"])
    assert ended.value.code == 2
    assert "--relative means nothing without --compare" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--cells", "--contenders"])
def test_a_name_that_both_runs_do_not_have_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        side_by_side(tmp_path, throughput(TEN, 1), throughput(TEN, 1), option, "nonsense")
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "'nonsense' in common" in error
    assert ("test.cell" if option == "--cells" else "fast, lock") in error


def test_relative_to_a_baseline_that_was_not_measured_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = {"fast": TEN["fast"]}
    with pytest.raises(SystemExit) as ended:
        side_by_side(tmp_path, throughput(alone, 1), throughput(alone, 1), "--relative")
    assert ended.value.code == 2
    assert "nothing in common relative to a baseline" in capsys.readouterr().err


def test_relative_means_the_baseline_that_the_first_run_had_or_is_given() -> None:
    names = {"fast": TEN["fast"], "other": [50.0, 50.0, 50.0], "lock": TEN["lock"]}
    before, after = (comparison_of(throughput(names, 1)) for _ in "ab")
    for series in after.results[0].series:  # twice as slow, but for the cell's own baseline
        series.times = [each * (1 if series.contender == "lock" else 2) for each in series.times]
    slower = {
        name: [
            change.contender
            for change in regression.changes(before, after, relative=True, baseline=name)[
                "test.cell"
            ]
            if change.is_regression(0.1)
        ]
        for name in (None, "other")
    }
    assert slower == {None: ["fast", "other"], "other": []}
    before.baseline = "other"
    assert not any(
        change.is_regression(0.1)
        for change in regression.changes(before, after, relative=True)["test.cell"]
    )


def test_what_only_one_run_has_is_said() -> None:
    before, after = comparison_of(throughput(TEN, 1)), comparison_of()
    lines = regression.context(before, after).splitlines()
    assert lines[-1] == "only in     A  test.cell, fast, lock"
    assert regression.context(after, before).splitlines()[-1].startswith("only in     B")


def test_where_they_were_measured_is_said_once_if_it_is_the_same() -> None:
    before, after = comparison_of(), comparison_of()
    assert "\nmachine     A" not in regression.context(before, after)
    after.environment = describe({}, "another command")
    lines = regression.context(before, after).splitlines()
    assert "command     A  the command" in lines
    assert "command     B  another command" in lines


# Charts.


def labelled(contender: str) -> str:
    """Return what a chart calls it."""
    return "lock (baseline)" if contender == "lock" else contender


@pytest.mark.parametrize("kind", CHARTED)
def test_a_chart_names_its_contenders(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("matplotlib")
    from lockfree.bench.charts import draw

    result = CHARTED[kind]
    names = {labelled(series.contender) for series in result.series}
    assert draw([comparison_of(result)], tmp_path, ".png", ".svg") == ["test.cell"]
    assert (tmp_path / "test.cell.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "test.cell.svg").read_text()
    assert all(f">{name}</text>" in svg for name in names)
    assert "a cell of the tests" in svg
    part = comparison_of(result).plot().subfigs[0]
    if kind == "bars":
        assert {label.get_text() for label in part.axes[0].get_yticklabels()} == names
    else:
        assert {text.get_text() for text in part.legends[0].texts} == names
        assert "logarithmic" in part.axes[0].get_ylabel()
    assert "is better" in svg


def test_the_baseline_is_a_line_and_colours_differ() -> None:
    pytest.importorskip("matplotlib")
    [axes] = comparison_of(CHARTED["lines"]).plot().subfigs[0].axes
    bars: list[Any] = axes.containers
    lines = {each.get_label(): each.lines[0] for each in bars}
    assert lines["lock (baseline)"].get_linestyle() == "--"
    looks = {(line.get_color(), line.get_marker()) for line in lines.values()}
    assert len(looks) == len(lines)
    assert list(lines["fast"].get_xdata()) == [1, 2, 8]
    assert lines["fast"].get_ydata()[0] == pytest.approx(1000 / 10.2)


def test_a_contender_looks_the_same_in_every_chart() -> None:
    pytest.importorskip("matplotlib")
    names = ("deque", "lockfree", "queue.LifoQueue", "list")

    def colours(*shown: str, baseline: str) -> dict[str, Any]:
        times = {name: [10.0, 10.2] for name in shown}
        run = comparison_of(throughput(times, 1, 2, baseline=baseline))
        [axes] = run.plot().subfigs[0].axes
        bars: list[Any] = axes.containers
        return {each.get_label().split(" ")[0]: each.lines[0].get_color() for each in bars}

    all_of_them = colours(*names, baseline="list")
    assert len(set(all_of_them.values())) == len(names)
    for name in names:
        assert colours(name, baseline=name) == {name: all_of_them[name]}


def test_all_in_a_cell_look_different() -> None:
    pytest.importorskip("matplotlib")
    from lockfree.bench.charts import _colours

    looks = _colours()
    for cell in CELLS:
        shown = [looks[each.name] for each in cell.contenders]
        assert len(set(shown)) == len(shown), cell.name


def test_two_comparisons_share_their_axes() -> None:
    pytest.importorskip("matplotlib")
    from lockfree.bench.charts import figure

    both = [comparison_of(throughput(TEN, 1, 2)), comparison_of(throughput(TEN, 1, 2))]
    first, second = figure(both).subfigs[0].axes
    assert first.get_ylim() == second.get_ylim()


@pytest.mark.parametrize("kind", CHARTED)
def test_two_comparisons_show_also_who_takes_part_in_one_only(kind: str) -> None:
    pytest.importorskip("matplotlib")
    from lockfree.bench.charts import figure

    whole = comparison_of(CHARTED[kind])
    names = {labelled(series.contender) for series in CHARTED[kind].series}
    part = whole.only(None, ["lock"])
    for both in ([part, whole], [whole, part]):
        panels = figure(both).subfigs[0]
        if kind == "bars":
            assert {each.get_text() for each in panels.axes[0].get_yticklabels()} == names
        else:
            assert {text.get_text() for text in panels.legends[0].texts} == names


def test_a_percentile_curve_ends_with_the_longest() -> None:
    pytest.importorskip("matplotlib")
    from lockfree.bench.charts import _percentile_curve

    odds, values = _percentile_curve(Counter({10: 900, 20: 99, 30: 1}))
    assert (odds[0], odds[-1]) == pytest.approx((1, 1000))
    assert (values[0], values[-2], values[-1]) == (10, 20, 30)
    assert values == sorted(values)


# The pages.


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the script that writes them, which writes them elsewhere."""
    pytest.importorskip("matplotlib")
    script = Path(__file__, "../../../benches/report").resolve()
    made: Any = ModuleType("report")  # a script, whose name has no suffix
    made.__file__ = str(script)
    exec(compile(script.read_text(encoding="utf-8"), script, "exec"), vars(made))
    for name in ("README", "HOME", "PAGE"):
        assert made.BEGIN in getattr(made, name).read_text(encoding="utf-8")
        monkeypatch.setattr(made, name, tmp_path / name)
        getattr(made, name).write_text(f"before\n{made.BEGIN}\nold\n{made.END}\nafter\n")
    monkeypatch.setattr(made, "FOLDER", tmp_path / "benchmarks")
    return made


def test_the_pages_have_what_was_measured_and_keep_the_rest(pages: Any, tmp_path: Path) -> None:
    lock = {"lockfree": 10.0, "threading.Lock": 50.0, "itertools.count": 20.0, "a peer": 1.0}
    results = [
        contest("counter.increment", lock, 1, 2),
        contest("flag.load", {"threading.Lock": 50.0}, 1),
    ]
    files = [written(tmp_path, name, *results) for name in "ab"]

    def outcome() -> dict[str, str]:
        assert pages.main(files) == 0
        return {
            str(each.relative_to(tmp_path)): each.read_text(encoding="utf-8")
            for each in tmp_path.glob("**/*")
            if each.is_file() and each.suffix != ".json"
        }

    made = outcome()
    assert outcome() == made
    assert set(made) == {
        *("README", "HOME", "PAGE", "benchmarks/counter.md", "benchmarks/flag.md"),
        *(f"benchmarks/{name}.svg" for name in ("counter.increment", "flag.load", "summary")),
    }
    for name in ("README", "HOME", "PAGE"):
        assert made[name].startswith(f"before\n{pages.BEGIN}\n\n")
        assert made[name].endswith(f"\n\n{pages.END}\nafter\n")
    row = "| 10 | x5.0: threading.Lock 50 | x2.0: itertools.count 20 |"
    assert made["README"].count(f"| `AtomicInt64.increment()` {row}") == 2
    spans = "| x5.0 | x2.0 | x5.0 | x2.0 |"
    assert f"| [AtomicInt64, StripedCounter](benchmarks/counter.md) {spans}" in made["PAGE"]
    assert "| [AtomicBool](benchmarks/flag.md) | - | - | - | - |" in made["PAGE"]
    assert "**5.0 times as fast:**" in made["HOME"]
    page = made["benchmarks/counter.md"]
    assert page.count(f"| [`counter.increment`](#counterincrement) {row}") == 1
    assert "\n## `counter.increment`\n" in page
    assert "](counter.increment.svg)\n" in page
    assert page.count('\n??? note "CPython') == 2
    assert page.count("\n    | lockfree | 10.0 | ") == 2


def test_each_structure_of_the_benchmark_has_a_title_and_a_page(pages: Any) -> None:
    structures = {each.structure for each in CELLS}
    assert set(pages.TITLES) == structures
    known = {each.name for each in CELLS}
    assert known >= set(pages.CHOSEN) | set(pages.CHARTED) | {pages.HEADLINE}
    navigation = Path(__file__, "../../../mkdocs.yml").resolve().read_text(encoding="utf-8")
    for structure, title in pages.TITLES.items():
        assert re.search(rf"'?{re.escape(title)}'?: benchmarks/{structure}\.md\n", navigation), (
            title
        )


# What may be missing.


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("matplotlib", lambda: comparison_of().plot()),
        ("pandas", lambda: comparison_of().to_pandas()),
    ],
)
def test_what_is_missing_is_named_with_the_remedy(
    name: str, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"need {name}: pip install"):
        call()


def test_a_chart_without_matplotlib_is_refused_in_one_line(tmp_path: Path) -> None:
    code = f"""
        import sys
        from lockfree.bench import __main__ as command
        sys.modules["matplotlib"] = None
        sys.exit(command.main(["--quick", "--cells=counter.cas", "--plot", {str(tmp_path)!r}]))
    """
    child = in_child(code)
    assert child.returncode == 2
    assert child.stdout == ""
    assert child.stderr == "charts need matplotlib: pip install matplotlib\n"


class Terminal:
    """A stderr that is looked at."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


def test_a_bar_without_rich_is_a_hint_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setitem(sys.modules, "rich", None)
    shown = progress.progress(10)
    shown.show("a step", 1)
    shown.hide()
    assert terminal.text == "a progress bar needs rich: pip install rich\n"


def test_the_bar_tells_the_step_and_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = progress.progress(10)
    shown.show("counter.cas, warm-up", 5)
    shown.show("counter.cas, round 1", 1)
    assert "counter.cas, warm-up" in terminal.text
    assert "counter.cas, round 1" in terminal.text
    shown.hide()
    assert terminal.text.rstrip("\n").endswith("\x1b[2K")  # the line is erased


def test_there_is_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress.progress(10)
    shown.show("a step", 1)
    shown.hide()
    assert capsys.readouterr().err == ""


def test_a_quick_run_writes_every_kind_of_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    arguments = ["--quick", "--cells=counter.cas", "--contenders=lockfree,threading.Lock"]
    files = [f"--json={tmp_path / 'x.json'}", f"--csv={tmp_path / 'x.csv'}"]
    assert command.main([*arguments, "--threads=1,2", *files, f"--plot={tmp_path / 'charts'}"]) == 0
    assert json.loads((tmp_path / "x.json").read_text())["cells"][0]["name"] == "counter.cas"
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 5
    assert {each.name for each in (tmp_path / "charts").iterdir()} == {
        "counter.cas.png",
        "counter.cas.svg",
    }
