"""Decides once, at import, which implementation ``lockfree`` serves."""

import importlib
import importlib.util
import os
import warnings
from typing import Final, Literal

from lockfree import _mapping
from lockfree._async import AsyncMethods, AsyncWait, install
from lockfree._loading import LoadingMethods
from lockfree._mapping import MappingMethods

_VARIABLE = "LOCKFREE_IMPLEMENTATION"


def _select() -> Literal["native", "locked"]:
    wanted = os.environ.get(_VARIABLE)
    if wanted not in (None, "", "native", "locked"):
        raise ImportError(f"{_VARIABLE} must be 'native' or 'locked', not {wanted!r}")
    if wanted == "locked":
        return "locked"
    if importlib.util.find_spec("lockfree._native") is not None:
        _import_native()
        return "native"
    if wanted == "native":
        raise ImportError(
            f"{_VARIABLE} is 'native', but this installation of lockfree was built without "
            "its extension module"
        )
    warnings.warn(
        "this installation of lockfree was built without its extension module: serving "
        "lockfree.locked, which takes locks",
        RuntimeWarning,
        stacklevel=4,
    )
    return "locked"


def _import_native() -> None:
    try:
        native = importlib.import_module("lockfree._native")
    except ImportError as error:
        raise ImportError(
            f"lockfree's extension module is installed but does not import: {error}. "
            "It works in the main interpreter only, not in subinterpreters, and on the "
            "version of CPython it was built for"
        ) from error
    _mapping.install(native.Cache, MappingMethods, LoadingMethods)
    install(native.Queue, AsyncMethods, native._Waiter)
    for name in ("AtomicBool", "AtomicInt64", "AtomicRef"):
        for atomic in (getattr(native, name), getattr(native, f"_{name}View")):
            install(atomic, AsyncWait, native._Waiter)
    native._document()


IMPLEMENTATION: Final = _select()
