"""CPython's own tests of its queues, run on ours."""

from __future__ import annotations

import unittest
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from lockfree import Empty, Full, ShutDown

cpython: Any = pytest.importorskip(
    "test.test_queue", reason="the interpreter was installed without CPython's tests"
)

SKIPPED = {
    "test_failing_queue": "overrides `_put` and `_get`, which is refused here",
    "test_is_default": "is about which class `queue.SimpleQueue` is",
}
CASES = [
    (case, name)
    for case in (
        cpython.QueueTest,
        cpython.LifoQueueTest,
        cpython.PriorityQueueTest,
        cpython.FailingQueueTest,
        cpython.CSimpleQueueTest,
    )
    for name in unittest.TestLoader().getTestCaseNames(case)
]


@pytest.mark.parametrize(("case", "name"), CASES)
def test_passes_cpythons_own_tests(impl: ModuleType, case: type, name: str) -> None:
    if name in SKIPPED:
        pytest.skip(SKIPPED[name])
    if name == "test_reentrancy" and impl.__name__ == "lockfree.locked":
        pytest.skip("puts from finalizers, which the locked queue does not promise to bear")

    class PriorityQueue(impl.PriorityQueue):  # type: ignore[misc,name-defined]
        """Some of the items are strings, which are no numbers."""

        def __init__(self, maxsize: int = 0) -> None:
            super().__init__(maxsize, key=lambda item: item if isinstance(item, int) else 0)

    module = SimpleNamespace(
        Queue=impl.Queue,
        LifoQueue=impl.LifoQueue,
        PriorityQueue=PriorityQueue,
        SimpleQueue=impl.Queue,
        Empty=Empty,
        Full=Full,
        ShutDown=ShutDown,
    )
    bases = (case,) if issubclass(case, unittest.TestCase) else (case, unittest.TestCase)
    result = unittest.TestResult()
    type("Case", bases, {"queue": module})(name).run(result)
    assert (result.testsRun, result.errors, result.failures, result.skipped) == (1, [], [], [])
