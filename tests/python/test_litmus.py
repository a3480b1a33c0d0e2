"""Litmus tests: nothing forbidden is seen, and what can be seen is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

import lockfree.lab
import pytest
from lockfree import Ordering
from lockfree.lab import litmus, memory_model
from lockfree.lab.memory_model import ORDERINGS, PROGRAMS, Litmus, python_store_buffering
from support import CORES, in_child

RELAXED, ACQ_REL, SEQ_CST = ORDERINGS

two_cores_of_x86 = pytest.mark.skipif(
    memory_model.PROCESSOR != "x86-64" or CORES < 2, reason="only these are sure to show it"
)


# What a test is.


def interleavings(threads: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Return all orders of the accesses that keep each thread's own."""
    if not any(threads):
        yield []
    for number, thread in enumerate(threads):
        if thread:
            rest = [*threads[:number], thread[1:], *threads[number + 1 :]]
            for accesses in interleavings(rest):
                yield [thread[0], *accesses]


def outcome(accesses: list[str]) -> str:
    variables: dict[str, Any] = {"x": 0, "y": 0}
    exec("\n".join(accesses), {}, variables)
    registers = sorted(name for name in variables if name.startswith("r"))
    return " ".join(f"{name}={variables[name]}" for name in registers)


@pytest.mark.parametrize("name", PROGRAMS)
def test_weak_is_what_no_interleaving_explains(name: str) -> None:
    program = PROGRAMS[name]
    explained = {outcome(accesses) for accesses in interleavings(program.threads)}
    conceivable = set(program.outcomes())
    assert explained <= conceivable
    assert conceivable - explained == program.weak


# What a run shows.


@pytest.mark.parametrize("ordering", ORDERINGS, ids=lambda each: each.name)
@pytest.mark.parametrize("name", PROGRAMS)
def test_all_outcomes_are_counted_and_none_is_forbidden(name: str, ordering: Ordering) -> None:
    result = litmus(name, ordering, 100_001)
    assert (result.name, result.ordering) == (name, ordering)
    assert result.iterations == 100_001
    assert list(result.outcomes) == PROGRAMS[name].outcomes()
    assert result.violations == 0
    if result.processor == "never":
        assert result.seen_weak == 0


@two_cores_of_x86
@pytest.mark.parametrize("ordering", [RELAXED, ACQ_REL], ids=lambda each: each.name)
def test_a_load_overtakes_a_store(ordering: Ordering) -> None:
    runs = (litmus("store_buffering", ordering) for _ in range(5))
    assert any(result.seen_weak for result in runs)


def test_at_seq_cst_no_load_overtakes_a_store() -> None:
    result = litmus("store_buffering", SEQ_CST)
    assert result.forbidden == {"r1=0 r2=0"}
    assert result.outcomes["r1=0 r2=0"] == 0


def test_the_language_forbids_more_at_stronger_orderings() -> None:
    forbidden = [
        {name for name in PROGRAMS if Litmus(name, each, {}).forbidden} for each in ORDERINGS
    ]
    assert forbidden[0] == {"coherence"}
    assert forbidden[1] == {"coherence", "message_passing", "load_buffering"}
    assert forbidden[2] == set(PROGRAMS)


@pytest.mark.parametrize(
    ("processor", "shown"),
    [
        ("x86-64", {("store_buffering", RELAXED): "can", ("store_buffering", ACQ_REL): "can"}),
        (
            "AArch64",
            {
                ("store_buffering", RELAXED): "can",
                ("store_buffering", ACQ_REL): "not known",
                ("message_passing", RELAXED): "can",
                ("load_buffering", RELAXED): "can",
                ("iriw", RELAXED): "can",
            },
        ),
    ],
)
def test_it_says_what_the_processor_shows(
    processor: str, shown: dict[tuple[str, Ordering], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_model, "PROCESSOR", processor)
    for name in PROGRAMS:
        for ordering in ORDERINGS:
            expected = shown.get((name, ordering), "never")
            assert Litmus(name, ordering, {}).processor == expected


def test_of_an_unknown_processor_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_model, "PROCESSOR", "riscv64")
    assert Litmus("message_passing", RELAXED, {}).processor == "not known"
    assert Litmus("message_passing", ACQ_REL, {}).processor == "never"


def test_a_violation_is_counted() -> None:
    result = Litmus("message_passing", ACQ_REL, {"r1=1 r2=0": 3, "r1=1 r2=1": 4})
    assert (result.iterations, result.seen_weak, result.violations) == (7, 3, 3)
    assert Litmus("message_passing", RELAXED, {"r1=1 r2=0": 3}).violations == 0


@pytest.mark.parametrize("accesses", memory_model.PYTHON)
def test_it_runs_from_python_too(accesses: str) -> None:
    counts = python_store_buffering(accesses, 500)
    assert sum(counts.values()) == 500
    if "store" in accesses:
        assert counts["r1=0 r2=0"] == 0


# How it is asked.


def test_it_is_a_function_of_the_laboratory() -> None:
    assert lockfree.lab.litmus is memory_model.litmus
    assert lockfree.lab.__all__ == ["atomicity", "litmus"]
    with pytest.raises(AttributeError, match=r"^module 'lockfree.lab' has no attribute 'magic'$"):
        _ = lockfree.lab.magic


def test_no_iterations_show_nothing() -> None:
    assert set(litmus("coherence", RELAXED, 0).outcomes.values()) == {0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dekker", RELAXED), f"'name' must be one of {', '.join(PROGRAMS)}, not 'dekker'"),
        (
            ("iriw", Ordering.ACQUIRE),
            "'ordering' must be RELAXED, ACQ_REL (stores release, loads acquire) or SEQ_CST, "
            "not <Ordering.ACQUIRE: 'acquire'>",
        ),
        (("iriw", RELAXED, -1), "'iterations' must not be negative, not -1"),
    ],
)
def test_what_cannot_be_run_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        litmus(*arguments)


def test_an_ordering_is_no_string() -> None:
    with pytest.raises(TypeError, match=r"^expected an Ordering, not 'relaxed'$"):
        litmus("iriw", "relaxed")  # type: ignore[arg-type]


def test_the_native_tests_refuse_it_too() -> None:
    from lockfree._native import _litmus

    message = f'no test "dekker" at "relaxed"; there are {", ".join(PROGRAMS)}, at relaxed'
    with pytest.raises(ValueError, match=re.escape(message)):
        _litmus("dekker", "relaxed", 1)
    with pytest.raises(ValueError, match="at relaxed, acq_rel, seq_cst"):
        _litmus("iriw", "acquire", 1)


def test_without_the_extension_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lockfree._native", None)
    with pytest.raises(ImportError, match="the native extension is not there"):
        litmus("iriw", RELAXED)
    assert not memory_model.run()
    assert capsys.readouterr().out.startswith("Nothing to show: the native extension")


# How it is shown.


def test_it_prints_as_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_model, "PROCESSOR", "x86-64")
    title, _, head, *rows = str(Litmus("store_buffering", ACQ_REL, {"r1=0 r2=0": 1234})).split("\n")
    assert title == "store_buffering at ACQ_REL, 1,234 times: x = 1; r1 = y || y = 1; r2 = x"
    assert head.split() == ["outcome", "seen", "explained", "by", "language", "x86-64"]
    assert rows[0].split() == ["r1=0", "r2=0", "1,234", "reordering", "allows", "can"]


def test_it_renders_as_a_table() -> None:
    result = litmus("coherence", SEQ_CST, 100)
    tree = ElementTree.fromstring(result._repr_html_())
    assert tree.findtext("caption", "").startswith("coherence at SEQ_CST, 100 times: x = 1; x = 2")
    assert tree.findtext("thead/tr/th") == "outcome"
    rows = [[cell.text for cell in row] for row in tree.iterfind("tbody/tr")]
    assert [row[:2] for row in rows] == [[each, f"{n:,}"] for each, n in result.outcomes.items()]


# How it is stopped.


@pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be sent to oneself")
def test_ctrl_c_stops_it() -> None:
    code = """
        import os, signal, threading, time
        from lockfree import Ordering, lab

        def interrupt():
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        try:
            lab.litmus("store_buffering", Ordering.RELAXED, 10**12)
        except KeyboardInterrupt:
            print("stopped")
        """
    assert in_child(code).stdout == "stopped\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be sent to oneself")
def test_ctrl_c_leaves_what_was_counted() -> None:
    code = """
        import os, signal
        from lockfree.lab import memory_model

        native = memory_model._native()
        batches = []

        def interrupted(*batch):
            batches.append(batch)
            if len(batches) == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return native(*batch)

        memory_model._native = lambda: interrupted
        memory_model.ITERATIONS = 10**12
        print(memory_model.run())
        """
    child = in_child(code)
    assert child.stderr == ""  # and no progress, which is for terminals
    assert "\nstore_buffering  RELAXED   r1=0 r2=0  " in child.stdout
    assert "store_buffering  ACQ_REL" not in child.stdout
    assert child.stdout.endswith("Interrupted: this is what was counted until then.\nFalse\n")
