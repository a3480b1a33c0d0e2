"""Make the wheels without the extension: python tests/dist/pure.py WHEEL.

They lie beside the wheel of an interpreter that they are made from, and serve `lockfree.locked`
where the extension cannot be had. Never `py3-none-any`: that would suit every CPython, and be
preferred to the sdist by those that have no wheel of their own, but could build one.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import sys
import zipfile
from pathlib import Path

# uv asks for this on PyPy, and for nothing that is pure.
PYPY = (
    "pp311-pypy311_pp73-"
    "manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux2014_aarch64.manylinux_2_17_aarch64."
    "macosx_10_15_x86_64.macosx_11_0_arm64.win_amd64"
)
# pip asks for `pp311-none-any` on PyPy 3.11, others ask for `pp3-none-any`.
PYPY_AND_GRAALPY = "pp3.pp311.graalpy311.graalpy312-none-any"
PYODIDE = "py3-none-pyemscripten_2026_0_wasm32"  # of CPython 3.14

OF_THE_EXTENSION = re.compile(r"lockfree/_native\..*\.(so|pyd)|.*/(sboms/.*|LICENSE-THIRD-PARTY)")


def pure(wheel: Path, tag: str) -> Path:
    """Write the wheel again, without the extension and what belongs to it, under another tag."""
    name, version, *_ = wheel.name.split("-")
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        files = {each: archive.read(each) for each in archive.namelist()}
    kept = {each: files[each] for each in files if not OF_THE_EXTENSION.fullmatch(each)}
    kept[f"{info}/WHEEL"] = _retagged(kept[f"{info}/WHEEL"].decode(), tag).encode()
    metadata = kept[f"{info}/METADATA"].decode()
    kept[f"{info}/METADATA"] = metadata.replace("License-File: LICENSE-THIRD-PARTY\n", "").encode()
    del kept[f"{info}/RECORD"]
    kept[f"{info}/RECORD"] = _record(kept, f"{info}/RECORD").encode()
    result = wheel.with_name(f"{name}-{version}-{tag}.whl")
    with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in kept.items():
            member = zipfile.ZipInfo(path)  # with the date 1980
            member.external_attr = 0o100644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
    return result


def _retagged(text: str, tag: str) -> str:
    lines = [line for line in text.splitlines() if line and not line.startswith(("Tag:", "Root-"))]
    pythons, abi, platforms = tag.split("-")
    tags = [f"Tag: {p}-{abi}-{on}" for p in pythons.split(".") for on in platforms.split(".")]
    return "\n".join([*lines, "Root-Is-Purelib: true", *tags, ""])


def _record(files: dict[str, bytes], own: str) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
        writer.writerow((path, f"sha256={digest.decode()}", len(content)))
    writer.writerow((own, "", ""))
    return lines.getvalue()


if __name__ == "__main__":
    for each in (PYPY, PYPY_AND_GRAALPY, PYODIDE):
        print(pure(Path(sys.argv[1]), each))
