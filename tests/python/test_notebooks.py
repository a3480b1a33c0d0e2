"""The notebooks: they run, with what the first cell promises, and are committed without outputs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import lockfree
import pytest
from lockfree.bench.comparison import QUICK_VARIABLE
from support import FREE_THREADED, THOROUGH, in_child

NOTEBOOKS = sorted(Path(__file__, "../../../notebooks").resolve().glob("*.ipynb"))
PAGES = Path(__file__, "../../../docs/notebooks").resolve()

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
def test_the_documentation_has_it_as_executed_for_this_version(file: Path) -> None:
    page = PAGES / f"{file.stem}.md"
    rendered = page.read_text(encoding="utf-8")
    title = text(cells(file, "markdown")[0]).partition("\n")[0]
    assert rendered.startswith(f"{title}\n\n*`notebooks/{file.name}`, executed for lockfree ")
    assert f"executed for lockfree {lockfree.__version__} on " in rendered
    assert "the GIL is off\n```" in rendered
    assert f"{page.parent.name}/{page.name}" in (PAGES.parent.parent / "mkdocs.yml").read_text()
    figures = re.findall(r"!\[chart\]\((.+)\)", rendered)
    assert figures
    assert {PAGES / figure for figure in figures} == set((PAGES / file.stem).iterdir())


def test_a_notebook_becomes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nbclient")
    script = Path(__file__, "../../../notebooks/render").resolve()
    render: Any = ModuleType("render")  # a script, whose name has no suffix
    render.__file__ = str(script)
    exec(compile(script.read_text(encoding="utf-8"), script, "exec"), vars(render))
    monkeypatch.setattr(render, "PAGES", tmp_path)
    data = [
        {"text/plain": "<a table>", "text/html": "<table></table>"},
        {"text/plain": "a figure", "image/svg+xml": "<svg/>"},
        {"text/plain": "7"},
    ]
    outputs: list[dict[str, Any]] = [{"output_type": "stream", "text": "printed\n"}]
    outputs += [{"output_type": "execute_result", "data": each} for each in data]
    story = "# 9. A story\n\nOnce.\n\nTwice."
    render.write(
        "09_story",
        [
            {"cell_type": "markdown", "source": story},
            {"cell_type": "code", "source": "1 + 1", "outputs": outputs},
        ],
    )
    page = (tmp_path / "09_story.md").read_text()
    title, origin, *rest = page.split("\n\n")
    assert title == "# 9. A story"
    assert origin.startswith(
        f"*`notebooks/09_story.ipynb`, executed for lockfree {lockfree.__version__}"
    )
    assert rest == [
        "Once.",
        "Twice.",
        "```python\n1 + 1\n```",
        "```text\nprinted\n```",
        "<table></table>",
        "![chart](09_story/1.svg)",
        "```text\n7\n```\n",
    ]
    assert (tmp_path / "09_story/1.svg").read_text() == "<svg/>"


@notebooks
@pytest.mark.skipif(not THOROUGH, reason="executed on CPython 3.11 and 3.14t, to save time")
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
