"""CPython's own tests of its first-in, first-out queues, run on ours."""

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
    "test_shrinking_queue": "sets `maxsize`, which is read-only here",
    "test_failing_queue": "overrides `_put` and `_get`, which is refused here",
    "test_is_default": "is about which class `queue.SimpleQueue` is",
}
CASES = [
    (case, name)
    for case in (cpython.QueueTest, cpython.FailingQueueTest, cpython.CSimpleQueueTest)
    for name in unittest.TestLoader().getTestCaseNames(case)
]


@pytest.mark.parametrize(("case", "name"), CASES)
def test_passes_cpythons_own_tests(impl: ModuleType, case: type, name: str) -> None:
    if name in SKIPPED:
        pytest.skip(SKIPPED[name])
    if name == "test_reentrancy" and impl.__name__ == "lockfree.locked":
        pytest.skip("puts from finalizers, which the locked queue does not promise to bear")
    module = SimpleNamespace(
        Queue=impl.Queue, SimpleQueue=impl.Queue, Empty=Empty, Full=Full, ShutDown=ShutDown
    )
    bases = (case,) if issubclass(case, unittest.TestCase) else (case, unittest.TestCase)
    result = unittest.TestResult()
    type("Case", bases, {"queue": module})(name).run(result)
    assert (result.testsRun, result.errors, result.failures, result.skipped) == (1, [], [], [])
