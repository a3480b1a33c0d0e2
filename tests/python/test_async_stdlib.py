"""CPython's own tests of ``asyncio.Queue``, where the interpreter ships them, on ``AsyncQueue``."""

from __future__ import annotations

import asyncio
import io
import unittest
from types import ModuleType
from typing import Any

import pytest

test_queues = pytest.importorskip(
    "test.test_asyncio.test_queues", reason="this interpreter does not ship CPython's tests"
)

PRIVATE = "looks at private attributes of asyncio.Queue"
CLASSES = (
    "QueueBasicTests",
    "QueueGetTests",
    "QueuePutTests",
    "QueueJoinTests",
    "QueueShutdownTests",
    "LifoQueueTests",
    "PriorityQueueTests",
    "LifoQueueJoinTests",
    "PriorityQueueJoinTests",
    "LifoQueueShutdownTests",
    "PriorityQueueShutdownTests",
)
SKIPS = {
    "QueueBasicTests.test_repr": PRIVATE,
    "QueueBasicTests.test_str": PRIVATE,
    "QueueGetTests.test_cancelled_getters_not_being_held_in_self_getters": PRIVATE,
    "QueueGetTests.test_get_with_putters": PRIVATE,
    "QueuePutTests.test_cancelled_puts_not_being_held_in_self_putters": PRIVATE,
    "QueueJoinTests.test_format": PRIVATE,
    "LifoQueueJoinTests.test_format": PRIVATE,
    "PriorityQueueJoinTests.test_format": PRIVATE,
    "QueueShutdownTests.test_format": PRIVATE,
    "LifoQueueShutdownTests.test_format": PRIVATE,
    "PriorityQueueShutdownTests.test_format": PRIVATE,
}


def cases() -> list[Any]:
    loader = unittest.TestLoader()
    return [
        pytest.param(name, method, id=f"{name}.{method}")
        for name in CLASSES
        if hasattr(test_queues, name)
        for method in loader.getTestCaseNames(getattr(test_queues, name))
    ]


def test_every_class_is_accounted_for() -> None:
    classes = {
        name
        for name, it in vars(test_queues).items()
        if isinstance(it, type) and issubclass(it, unittest.TestCase)
    }
    assert classes <= set(CLASSES)


@pytest.mark.parametrize(("name", "method"), cases())
def test_as_asyncio_has_it(
    impl: ModuleType, name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = SKIPS.get(f"{name}.{method}")
    if reason:
        pytest.skip(reason)

    def last_in_first_out(maxsize: int = 0) -> Any:
        return impl.LifoQueue(maxsize).async_q

    def smallest_first(maxsize: int = 0) -> Any:
        # Some of the items are strings, which are no numbers.
        key = lambda item: item if isinstance(item, int) else 0  # noqa: E731
        return impl.PriorityQueue(maxsize, key=key).async_q

    made = {
        "Queue": impl.AsyncQueue,
        "LifoQueue": last_in_first_out,
        "PriorityQueue": smallest_first,
    }
    case = getattr(test_queues, name)
    for kind, make in made.items():
        monkeypatch.setattr(asyncio, kind, make)
        if getattr(getattr(case, "q_class", None), "__name__", "Queue") == kind:
            monkeypatch.setattr(case, "q_class", staticmethod(make), raising=False)
    output = io.StringIO()
    result = unittest.TextTestRunner(output).run(case(method))
    assert result.wasSuccessful(), output.getvalue()
