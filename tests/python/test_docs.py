"""The documentation tells the truth: every example runs, and does what the page says.

The ``python`` blocks of a page run in order, as one program; one that awaits something runs in
an event loop, as in a notebook. Checked is:

- ``expression  # value, and more``: the comment begins with the value's ``repr``, or with the
  name of the exception that the expression raises. If the value is None, it is prose.
- A ``text`` block below is what the block printed; ``...`` in it stands for anything.

A block that cannot run has a title, ``not run: `` and the reason, which readers see. The
commands of the laboratory and the benchmark that pages name must exist; their own tests run them.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import io
import re
import runpy
import shlex
import tokenize
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from itertools import pairwise
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any, Final, NamedTuple

import lockfree
import pytest
from lockfree.bench.__main__ import main as bench
from lockfree.lab.__main__ import EXPERIMENTS
from test_stub import load_stub

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = {
    str(page.relative_to(ROOT)): page
    for page in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")))
    if page.parent.name != "notebooks"  # rendered: test_notebooks.py runs them
}

FENCE: Final = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
TITLE: Final = re.compile(r'title="(.*?)"')
VALUE: Final = re.compile(r"""['"\[({\d-]|True\b|False\b""")
COMMAND: Final = re.compile(r"python -m lockfree\.(lab|bench)\b([^`&|\n]*)")
LINK: Final = re.compile(r"\]\(([^)\s]+)\)|^\[[\w-]+\]: (\S+)$", re.MULTILINE)
HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A ``python`` block, and what the page says that it prints."""

    line: int
    code: str
    printed: str


def blocks(page: Path) -> Iterator[Block]:
    """Yield what there is to run."""
    text = page.read_text(encoding="utf-8")
    for fence, following in pairwise([*FENCE.finditer(text), None]):
        assert fence
        indent, language, rest, code = fence.groups()
        title = TITLE.search(rest)
        if language != "python" or (title and re.match("not run: .", title[1])):
            continue
        line = text.count("\n", 0, fence.start(4)) + 1
        assert not indent, f"{page}:{line}: an indented block"
        shown = following and not text[fence.end() : following.start()].strip()
        printed = following[4] if following and shown and following[2] == "text" else ""
        yield Block(line, code, printed)


def run_page(page: Path) -> None:
    """Run the blocks of a page, and compare what they do with what it says."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with asyncio.Runner() as runner:
        for block in blocks(page):
            output = io.StringIO()
            with redirect_stdout(output):
                run_block(block, page, namespace, runner)
            compare_output(block, output.getvalue(), page)


def run_block(block: Block, page: Path, namespace: dict[str, Any], runner: asyncio.Runner) -> None:
    """Run a block, in an event loop if it awaits something, as in a notebook."""
    statements = list(compiled(block, page))
    program = run_statements(statements, namespace)
    if any(awaits(each.code) for each in statements):
        runner.run(program)
    else:
        with suppress(StopIteration):  # which is how it ends: it never suspends
            program.send(None)


class Statement(NamedTuple):
    """A statement, where it stands, and the comment behind it."""

    code: CodeType
    place: str
    comment: str | None
    is_expression: bool


def compiled(block: Block, page: Path) -> Iterator[Statement]:
    """Compile one statement after the other; tracebacks name the line of the page."""
    comments = comments_of(block)
    for node in ast.parse("\n" * (block.line - 1) + block.code, str(page)).body:
        comment, mode = None, "exec"
        tree: ast.Module | ast.Expression = ast.Module([node], [])
        if isinstance(node, ast.Expr):
            comment, mode = comments.get(node.end_lineno), "eval"
            tree = ast.Expression(node.value)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(tree, str(page), mode, flags, dont_inherit=True)
        yield Statement(code, f"{page}:{node.lineno}", comment, mode == "eval")


def comments_of(block: Block) -> dict[int | None, str]:
    """Return the comments, by their line in the page."""
    tokens = tokenize.generate_tokens(io.StringIO(block.code).readline)
    return {
        block.line - 1 + each.start[0]: each.string.lstrip("# ")
        for each in tokens
        if each.type == tokenize.COMMENT
    }


def awaits(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_COROUTINE)


async def run_statements(statements: list[Statement], namespace: dict[str, Any]) -> None:
    for code, place, comment, is_expression in statements:
        try:
            value = eval(code, namespace)
            if awaits(code):
                value = await value
        except Exception as error:
            if comment is None or not begins(comment, type(error).__name__):
                raise
        else:
            assert not is_expression or says(comment, value), (
                f"{place}: the page says {comment!r}, and it is {value!r}"
            )


def says(comment: str | None, value: object) -> bool:
    """Whether the comment behind an expression is right about its value."""
    if comment is None or (value is None and not VALUE.match(comment)):
        return True
    return begins(comment, repr(value))


def begins(note: str, value: str) -> bool:
    """Whether the comment is that value, or that and then words."""
    return note.startswith(value) and note[len(value) :][:1] in ("", ",", ";", ":")


def compare_output(block: Block, output: str, page: Path) -> None:
    checker = doctest.OutputChecker()
    example = doctest.Example(block.code, block.printed)
    if not checker.check_output(example.want if block.printed else "", output, doctest.ELLIPSIS):
        difference = checker.output_difference(example, output, doctest.ELLIPSIS)
        pytest.fail(f"{page}:{block.line}: it prints something else\n{difference}")


@pytest.mark.timeout(60)  # an example that waits for something waits for good
@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(PAGES[name])


@pytest.mark.parametrize("name", PAGES)
def test_commands_exist(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for module, rest in COMMAND.findall(PAGES[name].read_text(encoding="utf-8")):
        # A measured run names files in directories of the machine that it was made on.
        arguments = [Path(each).name for each in shlex.split(rest, comments=True)]
        if "--compare" in arguments:
            continue  # of files that are not there
        if module == "bench":
            # A command that was measured elsewhere has that machine's folders in it.
            local = [Path(each).name if Path(each).is_absolute() else each for each in arguments]
            assert bench([*local, "--list"]) == 0
        else:
            assert set(arguments) <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    page = PAGES[name]
    for link in map("".join, LINK.findall(page.read_text(encoding="utf-8"))):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_what_two_pages_show_has_its_links_on_both() -> None:
    readme, home = (
        PAGES[name].read_text(encoding="utf-8") for name in ("README.md", "docs/index.md")
    )
    defined = dict(re.findall(r"^\[([\w-]+)\]: docs/(\S+)$", readme, re.MULTILINE))
    assert defined == dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", home, re.MULTILINE))
    assert defined.keys() == set(re.findall(r"\]\[([\w-]+)\]", readme))


def on_config(folder: Path, address: str) -> Any:
    """Return what becomes of the site's configuration beside a project of that address."""
    (folder / "pyproject.toml").write_text(f'[project.urls]\nSource = "{address}"\n')
    hook = runpy.run_path(str(ROOT / "docs/repository.py"))["on_config"]
    return hook(SimpleNamespace(config_file_path=str(folder / "mkdocs.yml")))


def test_the_site_links_to_the_repository_once_there_is_one(tmp_path: Path) -> None:
    assert not hasattr(on_config(tmp_path, "https://lockfree.invalid"), "repo_url")
    found = on_config(tmp_path, "https://example.com/us/lockfree")
    assert (found.repo_url, found.repo_name) == ("https://example.com/us/lockfree", "us/lockfree")


def test_no_page_of_the_site_asks_the_host_for_anything() -> None:
    hooks = runpy.run_path(str(ROOT / "docs/repository.py"))
    link = '<a href="https://example.com/us/lockfree" class="md-source"{}>'
    asks = link.format(' data-md-component="source"')
    assert hooks["on_post_page"](asks, page=None, config=None) == link.format("")
    found = hooks["on_post_template"](asks, template_name="404.html", config=None)
    assert found == link.format("")


def test_the_site_adds_what_its_theme_leaves_out_and_says_if_the_theme_has_changed() -> None:
    hooks = runpy.run_path(str(ROOT / "docs/pages.py"))
    dialog, logo = '<div role="dialog">', '<img src="logo.svg" alt="logo">'
    found = hooks["on_post_page"](dialog + logo, page=None, config=None)
    assert '<div role="dialog" aria-label="Search">' in found
    assert '<img src="logo.svg" alt="logo" width="24" height="24">' in found
    template = hooks["on_post_template"]
    assert template(dialog + logo, template_name="404.html", config=None) == found
    assert template("<urlset/>", template_name="sitemap.xml", config=None) == "<urlset/>"
    for changed in (dialog, logo):
        with pytest.raises(ValueError, match="the theme has changed"):
            hooks["on_post_page"](changed, page=None, config=None)


def test_a_page_of_the_site_has_a_title_of_its_own_and_pictures_with_a_size(tmp_path: Path) -> None:
    (tmp_path / "chart.svg").write_text('<svg width="30pt" height="15pt">')
    hook = runpy.run_path(str(ROOT / "docs/pages.py"))["on_page_content"]
    page = SimpleNamespace(url="reference/queue/", meta={})
    content = '<h1 id="q">Queue</h1><p>Any number of threads &amp; any number of event loops:</p>'
    content = hook(
        content + '<img alt="" src="../../chart.svg">', page, SimpleNamespace(docs_dir=tmp_path)
    )
    assert '<h1 id="q">Queue, reference</h1>' in content
    assert '<img width="40" height="20" loading="lazy" alt="" src=' in content
    described = "Queue, reference. Any number of threads &amp; any number of event loops"
    assert page.meta == {"title": "Queue, reference", "description": described}
    first = SimpleNamespace(url="reference/", meta={})
    content = "<h1>Names &amp; <code>list&lt;T&gt;</code></h1>"
    assert hook(content, first, SimpleNamespace(docs_dir=tmp_path)) == content
    assert first.meta["title"] == "Names &amp; list&lt;T&gt;"


def anchors(page: Path) -> set[str]:
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


DOCUMENTED: Final = [name for name in lockfree.__all__ if isinstance(getattr(lockfree, name), type)]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_of_docstrings(impl: ModuleType, name: str) -> None:
    described = (impl, load_stub()) if hasattr(impl, name) else (lockfree,)
    names = vars(lockfree) | vars(impl)
    for module in described:
        text = inspect.getdoc(getattr(module, name, None)) or ""
        test = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
        report = io.StringIO()
        assert doctest.DocTestRunner().run(test, out=report.write).failed == 0, report.getvalue()


# And these tests can tell.


def fence(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```\n"


RIGHT: Final = {
    "a value": fence("python", "1 + 1  # 2: words"),
    "an exception": fence("python", "[].pop()  # IndexError: pop from an empty list"),
    "output": fence("python", "print(15.02, 's')  # in words") + "\n" + fence("text", "15... s"),
    "one program": fence("python", "x = 1") + fence("python", "x  # 1"),
    "await": fence("python", "import asyncio\nawait asyncio.sleep(0, 7)  # 7"),
    "not run": fence('python title="not run: it does not end"', "1 / 0"),
}
WRONG: Final = {
    "another value": fence("python", "1 + 1  # 3"),
    "a value begun": fence("python", "10 + 5  # 1"),
    "a value where there is none": fence("python", "[].sort()  # []"),
    "no exception": fence("python", "[1].pop()  # IndexError"),
    "another exception": fence("python", "[].pop()  # KeyError"),
    "other output": fence("python", "print(1)") + fence("text", "2"),
    "output not shown": fence("python", "print(1)"),
    "no output": fence("python", "pass") + fence("text", "1"),
    "a title that is no reason": fence('python title="the tutorial"', "1 / 0"),
    "no reason": fence('python title="not run: "', "1 / 0"),
    "an indented block": "    ```python\n    1  # 1\n    ```\n",
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=list(RIGHT))
def test_what_is_right_passes(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    run_page(page)


@pytest.mark.parametrize("text", WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_fails(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises((AssertionError, ArithmeticError, LookupError, pytest.fail.Exception)):
        run_page(page)
