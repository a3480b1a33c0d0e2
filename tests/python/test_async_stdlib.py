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

OTHER_CLASSES = "AsyncQueue has no sibling that is last in, first out or sorted"
PRIVATE = "looks at private attributes of asyncio.Queue"
CLASSES = {
    "QueueBasicTests": None,
    "QueueGetTests": None,
    "QueuePutTests": None,
    "QueueJoinTests": None,
    "QueueShutdownTests": None,
    "LifoQueueTests": OTHER_CLASSES,
    "PriorityQueueTests": OTHER_CLASSES,
    "LifoQueueJoinTests": OTHER_CLASSES,
    "PriorityQueueJoinTests": OTHER_CLASSES,
    "LifoQueueShutdownTests": OTHER_CLASSES,
    "PriorityQueueShutdownTests": OTHER_CLASSES,
}
SKIPS = {
    "QueueBasicTests.test_repr": PRIVATE,
    "QueueBasicTests.test_str": PRIVATE,
    "QueueGetTests.test_cancelled_getters_not_being_held_in_self_getters": PRIVATE,
    "QueueGetTests.test_get_with_putters": PRIVATE,
    "QueuePutTests.test_cancelled_puts_not_being_held_in_self_putters": PRIVATE,
    "QueuePutTests.test_float_maxsize": "a bound of 1.3 items is a TypeError",
    "QueueJoinTests.test_format": PRIVATE,
    "QueueShutdownTests.test_format": PRIVATE,
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
    reason = CLASSES[name] or SKIPS.get(f"{name}.{method}")
    if reason:
        pytest.skip(reason)
    monkeypatch.setattr(asyncio, "Queue", impl.AsyncQueue)
    case = getattr(test_queues, name)
    monkeypatch.setattr(case, "q_class", impl.AsyncQueue, raising=False)
    output = io.StringIO()
    result = unittest.TextTestRunner(output).run(case(method))
    assert result.wasSuccessful(), output.getvalue()
