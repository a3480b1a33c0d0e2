"""Ask pip which file of a folder it takes, for interpreters that are not here: resolve.py FOLDER.

A CPython without a wheel gets the sdist, which Rust makes an extension of, and never the wheels
without one. Those are for interpreters that can have nothing else.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pure


class Target(NamedTuple):
    """An interpreter, in pip's words."""

    implementation: str
    version: str
    abi: str
    platform: str

    def taken(self, folder: Path) -> str:
        """Return the name of the file that pip takes for it."""
        with tempfile.TemporaryDirectory() as result:
            pip = [sys.executable, "-m", "pip", "--isolated", "download", "--quiet", "--pre"]
            pip += ["--no-index", f"--find-links={folder}", "--no-deps", "--no-build-isolation"]
            pip += [f"--implementation={self.implementation}", f"--python-version={self.version}"]
            pip += [f"--abi={self.abi}", f"--platform={self.platform}", f"--dest={result}"]
            subprocess.run([*pip, "lockfree"], check=True)
            [file] = Path(result).iterdir()
            return file.name


LINUX = "manylinux2014_x86_64"
WITHOUT_A_WHEEL = [
    Target("cp", "3.16", "cp316", LINUX),
    Target("cp", "3.16", "cp316t", LINUX),
    Target("cp", "3.14", "cp314", "linux_riscv64"),
]
WITHOUT_AN_EXTENSION = [
    (Target("pp", "3.11", "pypy311_pp73", LINUX), pure.PYPY),
    (Target("pp", "3.11", "pypy311_pp73", "linux_riscv64"), pure.PYPY_AND_GRAALPY),
    (Target("graalpy", "3.12", "graalpy250_312_native", LINUX), pure.PYPY_AND_GRAALPY),
    (Target("cp", "3.14", "cp314", "pyemscripten_2026_0_wasm32"), pure.PYODIDE),
]


def main(folder: Path) -> None:
    """Compare what is taken with what should be."""
    for target in WITHOUT_A_WHEEL:
        expect(target, target.taken(folder), ".tar.gz")
    for target, tag in WITHOUT_AN_EXTENSION:
        expect(target, target.taken(folder), f"-{tag}.whl")
    for wheel in folder.glob("*-cp*.whl"):
        python, abi, platforms = wheel.stem.split("-")[2:]
        target = Target("cp", f"3.{python[3:]}", abi, platforms.partition(".")[0])
        expect(target, target.taken(folder), wheel.name)
    # And this can tell: the tag that must not be is taken.
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        [wheel] = Path(copy).glob(f"*-{pure.PYPY_AND_GRAALPY}.whl")
        pure.pure(wheel, "py3-none-any")
        expect(WITHOUT_A_WHEEL[0], WITHOUT_A_WHEEL[0].taken(Path(copy)), "-py3-none-any.whl")


def expect(target: Target, taken: str, ending: str) -> None:
    """Print what was taken; it must end so."""
    assert taken.endswith(ending), f"for {target} pip takes {taken}"
    print(f"{target.abi:22} {target.platform:27} {taken}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
