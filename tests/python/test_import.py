"""What ``import lockfree`` serves, loads and refuses; each in an interpreter of its own."""

from __future__ import annotations

import importlib.machinery
import shutil
import sys
from pathlib import Path

import lockfree
import pytest
from support import SELECTION, in_child

TELL = "import lockfree; print(lockfree.IMPLEMENTATION, lockfree.AtomicInt64(1).increment())"


@pytest.fixture
def pure(tmp_path: Path) -> dict[str, str]:
    """Install the package without its extension; the environment that imports it."""
    package = tmp_path / "lockfree"
    ignored = shutil.ignore_patterns("_native*", "__pycache__")
    shutil.copytree(Path(lockfree.__file__).parent, package, ignore=ignored)
    info = tmp_path / f"lockfree-{lockfree.__version__}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: lockfree\nVersion: {lockfree.__version__}\n")
    return {"PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize("wanted", ["", "native"])
def test_serves_the_native_classes(wanted: str) -> None:
    child = in_child(TELL, "-W", "error", env={SELECTION: wanted})
    assert child == (0, "native 2\n", "")


def test_serves_the_locked_classes_on_request() -> None:
    child = in_child(
        f"""
        {TELL}
        import sys
        from lockfree.locked import AtomicInt64
        print(lockfree.AtomicInt64 is AtomicInt64, "lockfree._native" in sys.modules)
        """,
        "-W",
        "error",
        env={SELECTION: "locked"},
    )
    assert child == (0, "locked 2\nTrue False\n", "")


def test_has_the_locked_classes_when_asked_for() -> None:
    child = in_child(
        """
        import sys, lockfree
        print("lockfree.locked" in sys.modules)
        print(lockfree.locked.AtomicInt64(1).increment(), "locked" in vars(lockfree))
        print(hasattr(lockfree, "lockd"))
        """,
        "-W",
        "error",
    )
    assert child == (0, "False\n2 True\nFalse\n", "")


def test_shows_what_is_for_users() -> None:
    public = [name for name in dir(lockfree) if not name.startswith("_")]
    imported = {"bench", "lab"} & vars(lockfree).keys()
    assert public == sorted({*lockfree.__all__, "locked"} | imported)
    assert "__version__" in dir(lockfree)
    child = in_child(
        """
        import lockfree
        print({"bench", "lab"} & set(dir(lockfree)))
        import lockfree.lab
        print("lab" in dir(lockfree))
        """
    )
    assert child == (0, "set()\nTrue\n", "")


def test_refuses_to_guess_what_is_wanted() -> None:
    child = in_child("import lockfree", env={SELECTION: "fast"})
    assert child.returncode == 1
    assert child.stderr.endswith(
        f"ImportError: {SELECTION} must be 'native' or 'locked', not 'fast'\n"
    )


def test_keeps_the_gil_off() -> None:
    child = in_child(
        """
        import sys, sysconfig
        import lockfree
        enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
        assert enabled is not bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
        """,
        "-W",
        "error",
    )
    assert child == (0, "", "")


def test_loads_nothing_it_does_not_need() -> None:
    child = in_child(
        """
        import sys
        import lockfree
        unneeded = {"asyncio", "lockfree.bench", "lockfree.lab"}
        print(unneeded & sys.modules.keys())
        """
    )
    assert child == (0, "set()\n", "")


def test_without_extension_serves_the_locked_classes_and_warns_once(pure: dict[str, str]) -> None:
    child = in_child(
        f"""
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            {TELL}
            import lockfree.locked
        for warning in caught:
            print(warning.category.__name__, warning.filename, warning.message, sep="|")
        """,
        env=pure,
    )
    assert child.returncode == 0, child.stderr
    served, *warned = child.stdout.splitlines()
    assert served == "locked 2"
    assert warned == [
        "RuntimeWarning|<string>|this installation of lockfree was built without its extension "
        f"module: serving lockfree.locked, which takes locks; {SELECTION}=locked in the "
        "environment asks for that, and then nothing warns"
    ]


def test_without_extension_the_locked_classes_may_be_asked_for(pure: dict[str, str]) -> None:
    assert in_child(TELL, "-W", "error", env={**pure, SELECTION: "locked"}) == (0, "locked 2\n", "")


def test_without_extension_the_native_classes_are_refused(pure: dict[str, str]) -> None:
    child = in_child("import lockfree", env={**pure, SELECTION: "native"})
    assert child.returncode == 1
    assert f"ImportError: {SELECTION} is 'native', but this installation" in child.stderr


@pytest.mark.parametrize("wanted", ["", "native"])
def test_a_broken_extension_is_never_replaced(pure: dict[str, str], wanted: str) -> None:
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    Path(pure["PYTHONPATH"], "lockfree", f"_native{suffix}").touch()
    child = in_child(
        """
        try:
            import lockfree
        except ImportError as error:
            print(error)
            print(type(error.__cause__).__name__, str(error.__cause__) in str(error))
        """,
        env={**pure, SELECTION: wanted},
    )
    assert child.returncode == 0, child.stderr
    text, cause = child.stdout.splitlines()
    assert text.startswith("lockfree's extension module is installed but does not import: ")
    assert cause == "ImportError True"


SUBINTERPRETERS = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
CONFIGURATIONS = (
    ["'isolated'", "'legacy'"]
    if sys.version_info >= (3, 13)
    else ["isolated=True", "isolated=False"]
)


@pytest.mark.parametrize("order", ["main first", "subinterpreter first"])
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_subinterpreters_are_served_the_locked_classes_under_their_own_name_only(
    configuration: str, order: str
) -> None:
    main_first = "import lockfree" if order == "main first" else ""
    child = in_child(
        f"""
        import {SUBINTERPRETERS} as interpreters
        {main_first}
        sub = interpreters.create({configuration})
        interpreters.run_string(sub, '''if True:
            from lockfree import Empty, Full, Ordering, ShutDown, locked
            import lockfree
            print(locked.Queue().qsize(), locked.AtomicInt64(1).increment(), lockfree.__version__)
            served = {{"Empty", "Full", "Ordering", "ShutDown"}}
            refused = set()
            for name in set(lockfree.__all__) - served:
                try:
                    exec("from lockfree import " + name)
                except ImportError as error:
                    refused.add(str(error))
            [text] = refused
            print(text)
            assert not hasattr(lockfree, "nonsense")
        ''')
        interpreters.destroy(sub)
        {TELL}
        """
    )
    assert child.returncode == 0, child.stderr
    locked, refused, served = child.stdout.splitlines()
    assert locked == f"0 2 {lockfree.__version__}"
    assert "not in subinterpreters, where there is lockfree.locked" in refused
    assert served == "native 2"


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_subinterpreters_may_be_told_to_use_the_locked_classes(configuration: str) -> None:
    child = in_child(
        f"""
        import {SUBINTERPRETERS} as interpreters
        sub = interpreters.create({configuration})
        interpreters.run_string(sub, {TELL!r})
        interpreters.destroy(sub)
        """,
        env={SELECTION: "locked"},
    )
    assert child == (0, "locked 2\n", "")
