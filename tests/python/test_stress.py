"""The programs of tests/stress run and find nothing; to find something is for sanitizers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import THOROUGH

FOLDER = Path(__file__).parents[1] / "stress"
PROGRAMS = sorted(each.stem for each in FOLDER.glob("*.py") if each.stem != "harness")


@pytest.mark.skipif(not THOROUGH, reason="on two interpreters, one free-threaded, that is enough")
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_runs(name: str) -> None:
    command = [sys.executable, "-W", "error", "-X", "dev", str(FOLDER / f"{name}.py")]
    options = ["--seconds=0.1", "--threads=2", "--seed=1"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{name}: --seed 1 --threads 2\n")
    assert done.stdout.endswith(" operations, nothing lost\n")
