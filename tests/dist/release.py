"""Demand that a version is ready to be released, and print what is new: release.py v1.2.3."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def unready(tag: str) -> list[str]:
    """Return what is left to do before that tag may be released."""
    cargo, project = (
        tomllib.loads((ROOT / each).read_text(encoding="utf-8"))
        for each in ("Cargo.toml", "pyproject.toml")
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    reasons = {
        f"Cargo.toml has version {cargo['package']['version']}": (
            tag != f"v{cargo['package']['version']}"
        ),
        "CHANGELOG.md has no dated section of it": not notes(tag),
        "pyproject.toml does not know the repository's address": any(
            ".invalid" in url for url in project["project"]["urls"].values()
        ),
        "README.md says that it is not on the index": "not on the package index" in readme,
    }
    return [reason for reason, applies in reasons.items() if applies]


def notes(tag: str) -> str:
    """Return the changelog's section of a version, without its heading."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = rf"^## \[{re.escape(tag.removeprefix('v'))}\] - \d{{4}}-\d\d-\d\d$"
    section = re.search(rf"{heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return section[1].strip() if section else ""


if __name__ == "__main__":
    if left := unready(sys.argv[1]):
        sys.exit(f"{sys.argv[1]} is not ready:\n" + "\n".join(left))
    print(notes(sys.argv[1]))
