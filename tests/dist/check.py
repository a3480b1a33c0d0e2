"""Check what is in the files of a release, as far as no public tool does: check.py FILE..."""

from __future__ import annotations

import json
import re
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

from sdist import LINK

ROOT = Path(__file__).parents[2]
LIMIT = 1_000_000  # bytes of a wheel
CRATE = re.compile(r"^\| `([\w-]+)` \| (inside|build) \|", re.MULTILINE)
EXTENSION = re.compile(r"lockfree/_native\.[^/]+\.(so|pyd)")


def check_wheel(wheel: Path) -> None:
    """Demand of a wheel what its tag and the documentation say."""
    tags = wheel.stem.split("-")[2:]
    assert tags != ["py3", "none", "any"], "every CPython without a wheel of its own would take it"
    assert wheel.stat().st_size < LIMIT, f"{wheel.stat().st_size} bytes"
    with zipfile.ZipFile(wheel) as archive:
        files = {each: archive.read(each) for each in archive.namelist()}
    extensions = list(filter(EXTENSION.fullmatch, files))
    [info] = {each.partition("/")[0] for each in files if ".dist-info/" in each}
    check_description(files[f"{info}/METADATA"])
    if not tags[1].startswith("cp"):
        assert not extensions, "a pure wheel"
        return
    assert len(extensions) == 1, extensions
    sbom = json.loads(files[f"{info}/sboms/lockfree.cyclonedx.json"])
    documented = dict(CRATE.findall((ROOT / "docs/policy.md").read_text(encoding="utf-8")))
    inside = {each["name"] for each in sbom["components"]}
    assert inside == documented.keys(), f"docs/policy.md: {inside ^ documented.keys()}"
    licences = files[f"{info}/licenses/LICENSE-THIRD-PARTY"].decode()
    for crate, where in documented.items():
        assert where == "build" or re.search(rf"\b{crate}\b", licences), f"no notice of {crate}"


def check_sdist(sdist: Path) -> None:
    """Demand of an sdist what is needed to build and to test, and nothing of its host."""
    with tarfile.open(sdist) as archive:
        files = {each.name.partition("/")[2]: each for each in archive.getmembers()}
        member = archive.extractfile(files["PKG-INFO"])
        assert member
        check_description(member.read())
    assert not [each for each in files if each.startswith((".ci/", ".github/"))]
    for script in ("tests/run", "tests/uv", "tests/docs", "tests/mutants", "tests/wheels"):
        assert files[script].mode & 0o111, f"{script} cannot be run"


def check_description(metadata: bytes) -> None:
    """Demand links that the index can follow."""
    text = message_from_bytes(metadata).get_payload()
    links = [link["link"] for link in LINK.finditer(str(text))]
    relative = [link for link in links if "://" not in link]
    assert not relative, f"the index cannot follow {relative}"


if __name__ == "__main__":
    for each in map(Path, sys.argv[1:]):
        (check_wheel if each.suffix == ".whl" else check_sdist)(each)
        print(f"{each.name}: {each.stat().st_size:,} bytes, as it should be")
