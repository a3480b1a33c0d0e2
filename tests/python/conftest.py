"""Fixtures of all tests: one body for both implementations."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from types import ModuleType

import hypothesis
import lockfree
import lockfree.locked
import pytest
from lockfree import _loading

if lockfree.IMPLEMENTATION != "native":
    raise pytest.UsageError("without the native extension there is nothing to test against")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# That a busy machine is slow is no failure.
hypothesis.settings.register_profile("lockfree", deadline=None)
hypothesis.settings.load_profile("lockfree")


@pytest.fixture(scope="session", params=[lockfree, lockfree.locked], ids=["native", "locked"])
def impl(request: pytest.FixtureRequest) -> ModuleType:
    """Each of the two modules that have every class."""
    module: ModuleType = request.param
    return module


@pytest.fixture
def nothing_is_left_behind() -> Iterator[None]:
    """See to it that a test's loads are over when it ends."""
    yield
    assert not _loading._process.leading
    assert not _loading._process.waits


@pytest.fixture
def eager_collector() -> Iterator[None]:
    """Collect after nearly every allocation of a container."""
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    yield
    gc.set_threshold(*threshold)
