"""What is atomic in Python: losses are counted, promises kept, and nothing more is said."""

from __future__ import annotations

import re
import sys
from typing import Final
from xml.etree import ElementTree

import lockfree.lab
import pytest
from lockfree.lab import lost_updates
from lockfree.lab.lost_updates import CASES, LINKS, Atomicity, Case, Observation, atomicity
from support import CORES, in_child

GIL: Final = lost_updates._has_gil()
BY_CODE: Final = {case.code: case for case in CASES}


def lost(code: str) -> int:
    """Return how many effects got lost, in several tries if need be."""
    for _ in range(10):
        seen = lost_updates._observe(BY_CODE[code], 0.2, GIL)
        if seen.lost:
            return seen.lost
    return 0


@pytest.fixture(scope="module")
def seen() -> Atomicity:
    return atomicity(seconds=0.02)


# What is lost.


@pytest.mark.skipif(GIL or CORES < 2, reason="needs two threads that run at once")
@pytest.mark.parametrize("code", ["x += 1", "x = x + 1", "o.a += 1", "d['k'] += 1"])
def test_without_a_gil_counts_are_lost(code: str) -> None:
    assert lost(code)


@pytest.mark.skipif(not GIL, reason="needs a GIL")
@pytest.mark.parametrize("code", ["x += f()", "x += o.one", "n += 1"])
def test_with_a_gil_counts_are_lost_where_there_is_a_call(code: str) -> None:
    assert lost(code)


@pytest.mark.skipif(not GIL, reason="needs a GIL")
def test_with_a_gil_a_generator_is_split() -> None:
    assert lost("items.extend(gen())")


def test_nothing_is_lost_that_is_promised(seen: Atomicity) -> None:
    promised = [each for each in seen.observations if each.promise is not None]
    assert len(promised) > 5
    for each in promised:
        assert each.lost == 0, each.code


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_alone_nothing_is_lost(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_updates, "TIMES", 100)
    monkeypatch.setattr(lost_updates, "THREADS", 1)
    assert lost_updates._lost_in_a_round(case) == 0


# What is said of it.


def test_every_statement_is_run_and_counted(seen: Atomicity) -> None:
    assert [each.code for each in seen.observations] == [case.code for case in CASES]
    for each in seen.observations:
        assert each.of >= lost_updates.THREADS * lost_updates.TIMES
        assert 0 <= each.lost <= each.of


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("x = me", "one store"),
        ("x += 1", "4 instructions"),
        ("x = x + 1", "4 instructions"),
        ("d[me, i] = 1", "one store"),
        ("items.append(1)", "one call"),
        ("items.extend(gen())", "one call"),
        ("full.pop()", "one call"),
    ],
)
def test_the_bytecode_says_how_far_apart_load_and_store_are(code: str, text: str) -> None:
    assert lost_updates._observe(BY_CODE[code], 0, GIL).bytecode == text


@pytest.mark.parametrize(
    ("code", "load"),
    [
        ("x += 1", "LOAD_GLOBAL"),
        ("o.a += 1", "LOAD_ATTR"),
        ("numbers[0] += 1", "BINARY_"),
        ("d['k'] += f()", "BINARY_"),
    ],
)
def test_the_instructions_go_from_the_load_of_the_target_to_its_store(code: str, load: str) -> None:
    found = lost_updates.instructions(BY_CODE[code])
    assert 4 <= len(found) <= 10
    assert found[0].startswith(load)
    assert "BINARY_OP" in found[1:-1]
    assert found[-1].startswith("STORE_")


@pytest.mark.parametrize(
    ("lost", "promise", "verdict"),
    [
        (0, None, "none seen"),
        (0, "dict", "guaranteed: dict"),
        (1234, None, "lost 1,234 of 5,000"),
        (1, "dict", "lost 1 of 5,000"),  # seeing is believing
    ],
)
def test_no_verdict_says_atomic(lost: int, promise: str | None, verdict: str) -> None:
    assert Observation("x += 1", ["ADD"], "atomic", lost, 5000, promise).verdict == verdict


def test_what_the_gil_promises_is_not_promised_without_it() -> None:
    case = BY_CODE["items.extend(three)"]
    assert lost_updates._observe(case, 0, gil=True).promise == "FAQ"
    assert lost_updates._observe(case, 0, gil=False).promise is None


def test_promises_have_links() -> None:
    promises = {case.with_gil for case in CASES} | {case.without_gil for case in CASES}
    assert promises - {None} == set(LINKS)
    assert all(
        re.match(r"https://docs\.python\.org/3\.14/[\w/.#-]+$", link) for link in LINKS.values()
    )


def test_it_prints_as_a_table(seen: Atomicity) -> None:
    title, _, head, *_ = str(seen).split("\n")
    assert title.endswith(", with the GIL" if GIL else ", without a GIL")
    assert head.split() == ["statement", "bytecode", "the", "tutorial", "seen"]
    used = {each.promise for each in seen.observations if each.promise is not None}
    links = str(seen).rpartition("\n\n")[2].splitlines()
    assert links == [f"{name}: {link}" for name, link in LINKS.items() if name in used]


def test_it_renders_as_a_table(seen: Atomicity) -> None:
    tree = ElementTree.fromstring(f"<div>{seen._repr_html_()}</div>")
    rows = [[cell.text for cell in row] for row in tree.iterfind("table/tbody/tr")]
    assert [row[0] for row in rows] == [case.code for case in CASES]
    assert [row[1] for row in rows if row[0] == "x = me"] == ["STORE_GLOBAL"]
    assert [row[1] for row in rows if row[0] == "q.append(1)"] == ["one call"]
    assert [row[3] for row in rows] == [each.verdict for each in seen.observations]
    links = {link.text: link.get("href") for link in tree.iterfind("p/a")}
    assert links.items() <= LINKS.items()
    assert "dict" in links or GIL


# How it is run.


def test_it_is_a_function_of_the_laboratory() -> None:
    assert lockfree.lab.atomicity is lost_updates.atomicity


def test_the_switch_interval_is_restored() -> None:
    before = sys.getswitchinterval()
    atomicity(seconds=0)
    assert sys.getswitchinterval() == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be sent to oneself")
def test_ctrl_c_stops_it_and_restores_the_switch_interval() -> None:
    code = """
        import os, signal, sys, threading, time
        from lockfree import lab

        def interrupt():
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

        before = sys.getswitchinterval()
        threading.Thread(target=interrupt).start()
        try:
            lab.atomicity(seconds=100)
        except KeyboardInterrupt:
            print("stopped", sys.getswitchinterval() == before)
        """
    child = in_child(code)
    assert child.stdout == "stopped True\n", child.stderr
