"""The stub tells the truth: native classes, locked classes and ``_native.pyi`` agree."""

from __future__ import annotations

import importlib.util
import inspect
import pydoc
import runpy
import subprocess
import sys
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from unittest import mock

import lockfree
import pytest
from support import THOROUGH

STUB = Path(lockfree.__file__).with_name("_native.pyi")
ALLOWED = Path(__file__).with_name("stubtest-allowlist.txt")
USER_CODE = Path(__file__).parents[1] / "types" / "user_code.py"


def load_stub() -> ModuleType:
    """Run the stub: it is Python, and `inspect` then reads it as it reads the others."""
    module = ModuleType("stub")
    # As in this file, annotations stay unevaluated: a stub may name what follows.
    # What a stub's own `__class_getitem__` returns is no base.
    text = STUB.read_text(encoding="utf-8").replace("(Queue[_T])", "(Queue)")
    code = compile(text, STUB, "exec")
    # Of an overloaded method the last variant counts, which takes what all take.
    with mock.patch("typing.overload", lambda variant: variant):
        exec(code, vars(module))
    return module


def public(cls: type) -> list[str]:
    names = {name for base in cls.__mro__ for name in vars(base)}
    return sorted(name for name in names if not name.startswith("_"))


stub = load_stub()
STATED = [
    name
    for name in lockfree.__all__
    if getattr(vars(stub).get(name), "__module__", None) == stub.__name__
]
CLASSES = [name for name in STATED if isinstance(getattr(stub, name), type)]
MEMBERS = [f"{cls}.{name}" for cls in CLASSES for name in public(getattr(stub, cls))]
METHODS = [name for name in MEMBERS if callable(attrgetter(name)(stub))]


@pytest.mark.parametrize("cls", CLASSES)
def test_public_members_agree(impl: ModuleType, cls: str) -> None:
    assert public(getattr(impl, cls)) == public(getattr(stub, cls))


@pytest.mark.parametrize("name", STATED + METHODS)
def test_signatures_agree(impl: ModuleType, name: str) -> None:
    stated = inspect.signature(attrgetter(name)(stub)).parameters.values()
    actual = inspect.signature(attrgetter(name)(impl)).parameters.values()
    assert [(p.name, p.kind) for p in actual] == [(p.name, p.kind) for p in stated]
    for theirs, ours in zip(stated, actual, strict=True):
        if theirs.default is ...:  # how a stub says that there is a default
            assert ours.default is not ours.empty
        else:
            assert ours.default == theirs.default


def summary(thing: object) -> str:
    """Return the first paragraph of the docstring, however it is broken into lines."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


@pytest.mark.parametrize("name", STATED + MEMBERS)
def test_summaries_agree(impl: ModuleType, name: str) -> None:
    stated = summary(attrgetter(name)(stub))
    assert stated.endswith(".")
    assert summary(attrgetter(name)(impl)) == stated


@pytest.mark.parametrize("name", STATED + MEMBERS)
def test_a_native_docstring_is_the_stubs_whole_text(name: str) -> None:
    native = pytest.importorskip("lockfree._native")
    assert inspect.getdoc(attrgetter(name)(native)) == inspect.getdoc(attrgetter(name)(stub))


@pytest.mark.parametrize("cls", CLASSES)
def test_help_shows_every_member(impl: ModuleType, cls: str) -> None:
    text = pydoc.plain(pydoc.render_doc(getattr(impl, cls)))
    for name in public(getattr(stub, cls)):
        assert f" {name}" in text
        assert summary(getattr(getattr(stub, cls), name)) in " ".join(text.split())


@pytest.mark.parametrize("cls", CLASSES)
def test_classes_say_where_to_import_them_from(cls: str) -> None:
    native = getattr(lockfree, cls)
    assert (native.__module__, native.__qualname__) == ("lockfree", cls)


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_stubtest_agrees(tmp_path: Path) -> None:
    # That the rest agrees with itself is known once it was seen.
    what = "lockfree" if THOROUGH else "lockfree._native"
    command = [sys.executable, "-m", "mypy.stubtest", what, "--ignore-unused-allowlist"]
    run = subprocess.run(
        [*command, "--allowlist", ALLOWED], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_user_code_runs_as_it_is_typed() -> None:
    """What mypy and pyright check in `tests/run`."""
    runpy.run_path(str(USER_CODE), run_name="__main__")
