"""The benchmark's command as a shell runs it: pipes, Ctrl-C, files that cannot be written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

QUICK = ["--quick", "--cells=counter.cas", "--contenders=lockfree,threading.Lock", "--threads=1"]


def command(*arguments: str, module: str = "lockfree.bench") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def unread(child: subprocess.Popen[str]) -> tuple[int, str]:
    """Close the pipe, as ``head`` does; return the exit status and what stderr says."""
    assert child.stdout
    assert child.stderr
    child.stdout.close()
    errors = child.stderr.read()
    child.stderr.close()
    return child.wait(60), errors


@pytest.mark.parametrize("arguments", [["--list"], QUICK], ids=lambda each: each[0])
def test_a_reader_who_has_enough_ends_it_without_a_word(
    arguments: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "x.json"
    assert unread(command(*arguments, f"--json={file}")) == (141, "")
    assert file.exists() == (arguments is QUICK)  # what was measured so far


def test_so_it_is_with_the_laboratory() -> None:
    assert unread(command(module="lockfree.lab")) == (141, "")


@pytest.mark.skipif(sys.platform == "win32", reason="there a child cannot be sent Ctrl-C alone")
def test_ctrl_c_ends_it_with_what_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    child = command(*QUICK[2:], "--cells=counter.cas,counter.load", f"--json={file}")
    assert child.stdout
    assert child.stderr
    for line in child.stdout:
        if line.startswith("threading.Lock"):  # the first table is there
            child.send_signal(signal.SIGINT)
            break
    with child.stdout as out, child.stderr as errors:
        assert "Interrupted: this is what was measured so far." in out.read()
        assert errors.read() == ""
    assert child.wait(60) == 130
    first = json.loads(file.read_text())["cells"][0]
    assert all(len(series["ns_per_operation"]) == 9 for series in first["series"])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full disk")
def test_a_full_disk_is_said_in_one_line() -> None:
    child = command(*QUICK, "--json=/dev/full")
    out, errors = child.communicate(timeout=60)
    assert child.returncode == 2
    assert errors == "cannot write the results: [Errno 28] No space left on device\n"
    assert "ratio to threading.Lock" in out
