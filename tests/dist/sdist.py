"""Finish the sdist that maturin built: python tests/dist/sdist.py SDIST.

What maturin leaves as it is: README's links, of which the index can follow absolute ones only, and
the modes of the scripts, without which `tests/run` of an unpacked sdist does not run.
"""

from __future__ import annotations

import gzip
import io
import posixpath
import re
import sys
import tarfile
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

LINK = re.compile(r"(?P<before>\]\(|^\[[\w-]+\]: )(?P<link>[^)\s]+)", re.MULTILINE)
SHOWN_BY_THE_INDEX = {"README.md", "PKG-INFO"}


def absolute_links(text: str, base: str) -> str:
    """Return the page with its relative links led to `base`."""

    def absolute(match: re.Match[str]) -> str:
        before, link = match["before"], match["link"]
        return match[0] if urlsplit(link).scheme else f"{before}{base}/{link}"

    return LINK.sub(absolute, text)


def finish(sdist: Path) -> None:
    """Rewrite the archive; the same contents give the same bytes."""
    with tarfile.open(sdist) as archive:
        members = {each: _read(archive, each) for each in archive if each.isfile()}
    root = posixpath.commonpath([each.name for each in members])
    files = {posixpath.relpath(each.name, root): content for each, content in members.items()}
    source = tomllib.loads(files["pyproject.toml"].decode())["project"]["urls"]["Source"]
    base = f"{source}/blob/v{root.partition('-')[2]}"
    for name in SHOWN_BY_THE_INDEX:
        files[name] = absolute_links(files[name].decode(), base).encode()
    with (
        sdist.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name, content in sorted(files.items()):
            archive.addfile(_member(f"{root}/{name}", content), io.BytesIO(content))


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file, member.name
    return file.read()


def _member(name: str, content: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o755 if content.startswith(b"#!") else 0o644
    member.mtime = 315532800  # 1980, before which zip archives have no dates
    return member


if __name__ == "__main__":
    finish(Path(sys.argv[1]))
