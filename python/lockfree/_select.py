"""Decides once, at import, which implementation ``lockfree`` serves."""

import importlib
import importlib.util
import os
import sys
import warnings
from typing import Final, Literal

from lockfree import _mapping
from lockfree._async import AsyncMethods, AsyncWait, install
from lockfree._keyed import CounterMethods
from lockfree._loading import DictLoadingMethods, LoadingMethods, Plain
from lockfree._mapping import DictMethods, MappingMethods
from lockfree._overrides import CacheRelations, DictRelations, QueueRelations, followed

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
        f"lockfree.locked, which takes locks; {_VARIABLE}=locked in the environment asks for "
        "that, and then nothing warns",
        RuntimeWarning,
        stacklevel=4,
    )
    return "locked"


REFUSAL: ImportError | None = None
"""Why the extension is not served although it is installed: this is a subinterpreter."""


def _import_native() -> None:
    global REFUSAL
    try:
        native = importlib.import_module("lockfree._native")
    except ImportError as error:
        refusal = ImportError(
            f"lockfree's extension module is installed but does not import: {error}. "
            "It works in the main interpreter only, not in subinterpreters, where there is "
            "lockfree.locked, and on the version of CPython it was built for"
        )
        if _in_main_interpreter():
            raise refusal from error
        REFUSAL = refusal
        return
    _mapping.install(native.Cache, MappingMethods, LoadingMethods)
    native.Cache._base = followed(CacheRelations)(native.Cache)
    _mapping.install(native.ConcurrentDict, DictMethods, DictLoadingMethods, Plain)
    native.ConcurrentDict._base = followed(DictRelations)(native.ConcurrentDict)
    _mapping.give(native.KeyedCounter, CounterMethods)
    install(native.Queue, AsyncMethods, native._Waiter)
    followed(QueueRelations)(native.Queue)
    for name in ("AtomicBool", "AtomicFloat64", "AtomicInt64", "AtomicRef"):
        for atomic in (getattr(native, name), getattr(native, f"_{name}View")):
            install(atomic, AsyncWait, native._Waiter)
    native._document()


def _in_main_interpreter() -> bool:
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    try:
        interpreters = importlib.import_module(name)
    except ImportError:
        return True
    return bool(interpreters.get_current() == interpreters.get_main())


IMPLEMENTATION: Final = _select()
