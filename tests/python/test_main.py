"""``python -m lockfree``: what a report of a bug should say."""

from __future__ import annotations

import platform

import lockfree
import pytest
from lockfree.__main__ import main
from support import FREE_THREADED, SELECTION, in_child


def test_tells_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["lockfree"] == f"{lockfree.__version__}, {lockfree.IMPLEMENTATION}"
    build, gil = ("free-threaded", "off") if FREE_THREADED else ("with the GIL", "on")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    assert lines["Python"] == f"{python}, {build}; the GIL is {gil}"
    assert lines["system"] == platform.platform()
    assert lines["processor"].endswith(" cores")
    crates = dict(each.split() for each in lines["crates"].split(", "))
    assert {"pyo3", "crossbeam-utils"} <= crates.keys()
    assert "loom" not in crates


def test_tells_what_is_served() -> None:
    tell = "import runpy; runpy.run_module('lockfree', run_name='__main__')"
    child = in_child(tell, env={SELECTION: "locked"})
    assert child.stdout.splitlines()[0] == f"lockfree  {lockfree.__version__}, locked"


def test_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"lockfree {lockfree.__version__}\n"
