"""The comparison of two builds: what follows from its numbers, and how they come about."""

from __future__ import annotations

import sys
from argparse import Namespace
from importlib.machinery import SourceFileLoader
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__, "../../../benches/ab").resolve()


@pytest.fixture(scope="module")
def ab() -> Any:
    made = ModuleType("ab")  # a script, whose name has no suffix
    made.__file__ = str(SCRIPT)
    sys.modules["ab"] = made  # its named tuples look for it
    SourceFileLoader("ab", str(SCRIPT)).exec_module(made)
    yield made
    del sys.modules["ab"]


@pytest.mark.parametrize(
    ("count", "ends"),
    [(1, (1, 1)), (5, (1, 5)), (6, (1, 6)), (15, (4, 12)), (75, (29, 47))],
)
def test_an_interval_is_that_of_the_sign_test(ab: Any, count: int, ends: tuple[int, int]) -> None:
    values = list(range(1, count + 1))
    Random(1).shuffle(values)
    assert ab.interval(values) == ends


def test_an_interval_has_the_true_median_in_95_of_100_cases(ab: Any) -> None:
    random = Random(1)
    intervals = [ab.interval([random.gauss(1, 0.1) for _ in range(15)]) for _ in range(1000)]
    assert 930 <= sum(low <= 1 <= high for low, high in intervals) <= 990


@pytest.mark.parametrize(
    ("factor", "spread", "verdict"),
    [
        (1.0, 0.05, "no slower by 3 %"),
        (0.8, 0.05, "no slower by 3 %"),
        (1.01, 0.02, "no slower by 3 %"),
        (1.2, 0.05, "slower"),
        (1.0, 0.9, "not shown to be no slower"),
    ],
)
def test_the_verdict_is_by_where_the_interval_ends(
    ab: Any, factor: float, spread: float, verdict: str
) -> None:
    random = Random(2)
    pairs = [(100.0, 100 * factor * random.uniform(1 - spread, 1 + spread)) for _ in range(75)]
    row = ab.row("a.cell", 2, pairs)
    assert row.verdict == verdict
    assert row.passes == (verdict == "no slower by 3 %") == (row.interval[1] < 1.05)
    assert row.a == 100
    assert verdict in ab.table([row])


def test_instructions_do_not_vary(ab: Any) -> None:
    rows = [ab.Row("a.cell", 1, 100.0, b, b / 100) for b in (102.9, 103.1)]
    assert [row.verdict for row in rows] == ["no slower by 3 %", "slower"]


OPTIONS = {"contender": "lockfree", "rounds": 1, "threads": [1, 2]}


@pytest.mark.skipif(sys.platform == "win32", reason="an environment has its Python elsewhere")
def test_processes_of_both_take_turns(ab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ab, "PROCESSES", 2)
    monkeypatch.setattr(ab, "SECONDS", 0.002)
    command = [sys.executable, str(SCRIPT), "--side"]
    cells = ["counter.load", "queue.transfer"]
    rows = ab.times([command, command], Namespace(cells=cells, **OPTIONS))
    assert [(row.cell, row.threads) for row in rows] == [
        ("counter.load", 1),
        ("counter.load", 2),
        ("queue.transfer", 2),
    ]
    assert all(row.a > 0 and row.b > 0 for row in rows)


def test_an_unknown_cell_ends_it_with_what_there_is(
    ab: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, str(SCRIPT), "--side"]
    with pytest.raises(SystemExit):
        ab.times([command, command], Namespace(cells=["nope"], **OPTIONS))
    assert "no cell 'nope'; there are counter.increment" in capfd.readouterr().err
