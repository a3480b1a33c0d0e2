"""For the site: what a page says of itself where it is not seen, and how large its pictures are."""

from __future__ import annotations

import re
from html import escape, unescape
from pathlib import Path
from posixpath import dirname, normpath
from typing import Any

# Where there are several pages of one name, their titles differ in what a search finds.
TITLES = {"notebooks": "Notebook {}", "reference": "{}, reference"}
MEASURED = "{}: what it takes from one thread and from several, beside locks and other packages."
LONGEST = 160  # characters of a description, of which others show no more
# What the theme leaves out: the name of the search's dialog, and the size of the logo.
LEFT_OUT = {
    ' role="dialog"': ' aria-label="Search"',
    ' alt="logo"': ' width="24" height="24"',
}

HEADING = re.compile(r"(<h1\b[^>]*>)(.*?)((?:\s*<a\b[^>]*\bheaderlink\b.*?)?</h1>)", re.DOTALL)
PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
PICTURE = re.compile(r'<img (?=[^>]*\bsrc="([^"]+\.svg)")')
SIZE = re.compile(r'<svg\b[^>]*?\bwidth="([\d.]+)(pt)?" height="([\d.]+)')


def on_page_content(html: str, page: Any, config: Any, **_: Any) -> str:
    """Give the page a title and a description of its own, and its pictures their sizes."""
    folder = dirname(page.url.rstrip("/"))
    if folder in TITLES:
        html = HEADING.sub(lambda it: it[1] + TITLES[folder].format(it[2]) + it[3], html, count=1)
    if heading := HEADING.search(html):
        title = text(heading[2])
        page.meta.setdefault("title", escape(title))
        page.meta.setdefault("description", escape(described(folder, title, html)))
    docs = Path(config.docs_dir)
    return PICTURE.sub(lambda it: it[0] + size(docs / normpath(page.url + it[1])), html)


def on_post_page(output: str, **_: Any) -> str:
    """Add what the theme leaves out."""
    for there, added in LEFT_OUT.items():
        if there not in output:
            raise ValueError(f"the theme has changed: a page without{there}")
        output = output.replace(there, there + added)
    return output


def on_post_template(output: str, template_name: str, **_: Any) -> str:
    """Add it to the page for what is not there, too."""
    return on_post_page(output) if template_name.endswith(".html") else output


def described(folder: str, title: str, html: str) -> str:
    """Return the title and the first sentences of the page that are more than a few words."""
    if folder == "benchmarks":
        return MEASURED.format(title)
    found = (text(each) for each in PARAGRAPH.findall(html) if not each.startswith("<em>"))
    sentences = next((each for each in found if len(each) > LONGEST // 4), "")
    words = f"{title}. {sentences}".rstrip(":. ")
    if len(words) > LONGEST:
        words = words[: words.rindex(" ", 0, LONGEST)].rstrip(",;:.") + "…"
    return words


def text(html: str) -> str:
    """Return what of it is read."""
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


def size(picture: Path) -> str:
    """Return the attributes that keep the page from moving when the picture arrives."""
    found = SIZE.search(picture.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{picture} does not say how large it is")
    scale = 4 / 3 if found[2] else 1
    width, height = (float(each) * scale for each in (found[1], found[3]))
    return f'width="{width:.0f}" height="{height:.0f}" loading="lazy" '
