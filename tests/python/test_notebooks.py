"""The notebooks: they run, with what the first cell promises, and are committed without outputs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from lockfree.bench.comparison import QUICK_VARIABLE
from support import FREE_THREADED, in_child

NOTEBOOKS = sorted(Path(__file__, "../../../notebooks").resolve().glob("*.ipynb"))
EXECUTED = sys.version_info[:2] == (3, 11) or (FREE_THREADED and sys.version_info[:2] == (3, 14))

notebooks = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)

RUN = """
    import nbclient, nbformat
    notebook = nbformat.read(FILE, as_version=4)
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    print(nbformat.writes(notebook))
"""


def cells(file: Path, kind: str) -> list[dict[str, Any]]:
    document = json.loads(file.read_text(encoding="utf-8"))
    return [cell for cell in document["cells"] if cell["cell_type"] == kind]


def text(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) >= 4


@notebooks
def test_it_is_committed_without_outputs(file: Path) -> None:
    for cell in cells(file, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert cell["metadata"] == {}


@notebooks
def test_it_is_a_story_with_exercises_and_solutions(file: Path) -> None:
    story = "\n".join(text(cell) for cell in cells(file, "markdown"))
    assert story.startswith(f"# {int(file.stem[:2])}. ")
    assert story.index("\n## Exercises\n") < story.index("## Solutions\n")
    assert "with the gil" in story.lower()


def test_the_first_cells_are_alike() -> None:
    assert len({text(cells(file, "code")[0]) for file in NOTEBOOKS}) == 1


@pytest.mark.skipif(not FREE_THREADED, reason="the GIL is always on")
def test_the_first_cell_fails_if_the_gil_is_on() -> None:
    first = text(cells(NOTEBOOKS[0], "code")[0]).replace("%matplotlib inline", "")
    on, off = (in_child(first, env={"PYTHON_GIL": gil}) for gil in "10")
    assert on.returncode == 1
    assert "turned the GIL on" in on.stderr
    assert off.returncode == 0
    assert "the GIL is off" in off.stdout


@notebooks
@pytest.mark.skipif(not EXECUTED, reason="executed on CPython 3.11 and 3.14t, to save time")
def test_it_runs(file: Path) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    code = RUN.replace("FILE", repr(os.fspath(file)))
    child = in_child(code, env={QUICK_VARIABLE: "1"}, timeout=120)
    assert child.returncode == 0, child.stderr
    outputs = [cell["outputs"] for cell in json.loads(child.stdout)["cells"] if "outputs" in cell]
    first = "".join(outputs[0][0]["text"])
    assert f"the GIL is {'off' if FREE_THREADED else 'on'}" in first
    shown = [set(each.get("data", ())) for output in outputs for each in output]
    assert any("text/html" in each for each in shown)
    assert any("image/png" in each for each in shown)
