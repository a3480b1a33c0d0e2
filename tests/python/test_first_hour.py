"""Programs of a first hour, one for each class, against what is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lockfree
import pytest

PROGRAMS = sorted((Path(__file__).parents[1] / "first_hour").glob("*.py"))


@pytest.mark.parametrize("implementation", ["native", "locked"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_of_a_first_hour_runs(program: Path, implementation: str, tmp_path: Path) -> None:
    # Not in development mode, in which asyncio tells of what takes long on a busy machine.
    environment = {"LOCKFREE_IMPLEMENTATION": implementation, "PYTHONDEVMODE": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error", program],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_each_name_has_a_program() -> None:
    text = "".join(program.read_text(encoding="utf-8") for program in PROGRAMS)
    assert [name for name in lockfree.__all__ if name not in text] == ["IMPLEMENTATION"]
