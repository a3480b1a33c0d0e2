"""The laboratory: each experiment shows what it claims, and can tell when it does not."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from threading import Thread
from typing import Any

import pytest
from lockfree._native import _InterruptibleStack
from lockfree.lab import __main__ as command
from lockfree.lab import aba, caching, races, report, stall
from lockfree.lab.progress import Progress
from lockfree.lab.steps import Steps, play, step, whole
from lockfree.lab.threads import Meet, at_once
from support import in_child

EXPERIMENTS = command.EXPERIMENTS

CAS = 7  # when the interrupted thread compares and swaps


# The command.


def test_without_an_argument_it_lists_the_experiments(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1)[0] for line in lines] == list(EXPERIMENTS)
    for line, experiment in zip(lines, EXPERIMENTS.values(), strict=True):
        assert line.endswith(experiment.SUMMARY)
        assert len(line) < 80


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_shows_what_it_claims_in_80_columns(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([name]) == 0
    text = capsys.readouterr().out
    assert text.isascii()
    assert all(len(line) < 80 or "https://" in line for line in text.splitlines())
    claims = text.partition("\nVerdict\n")[2].splitlines()
    assert claims
    assert all(claim.startswith("  yes  ") for claim in claims)


def test_the_exit_status_says_whether_it_was_shown() -> None:
    code = """
        import runpy, sys
        from lockfree.lab import aba
        aba.TAG_BITS = 1  # too short
        sys.argv[1:] = ["aba"]
        runpy.run_module("lockfree.lab", run_name="__main__")
        """
    child = in_child(code)
    assert child.returncode == 1, child.stderr
    assert "\n  NO   a tag beside it loses nothing" in child.stdout
    child = in_child(code.replace("aba.TAG_BITS = 1", ""))
    assert child.returncode == 0, child.stderr


def test_an_unknown_experiment_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["magic"])
    assert caught.value.code == 2
    assert "'magic'" in capsys.readouterr().err


# Text.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals_only() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        progress = Progress(stream, parts=2)
        progress.begin("races")
        progress.show("round 1 of 3")
        progress.clear()
    assert "\r[1/2] races, round 1 of 3" in terminal.getvalue()
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith(" \r")
    assert file.getvalue() == ""


def test_what_is_missing_is_counted() -> None:
    assert report.missing([1, 2, 2, 3, 3], among=[3, 2, 4]) == [1, 2, 3]
    assert report.listed([1, 2]) == "1 2"
    assert report.listed([]) == "none"


def test_a_verdict_is_good_if_all_claims_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert report.verdict({"one": True, "two": True})
    assert not report.verdict({"one": True, "two": False})
    assert capsys.readouterr().out.endswith("Verdict\n  yes  one\n  NO   two\n")


def test_a_table_for_a_notebook_shows_text_as_it_is() -> None:
    assert report.html_table([("a < b", 1), ("&", "")], caption="<i>") == (
        "<table><caption>&lt;i&gt;</caption>"
        "<thead><tr><th>a &lt; b</th><th>1</th></tr></thead>"
        "<tbody><tr><td>&amp;</td><td></td></tr></tbody></table>"
    )


# Steps.


def test_a_schedule_says_who_goes_next() -> None:
    log: list[str] = []

    def operation(name: str) -> Steps[None]:
        for number in range(3):
            log.append(f"{name}{number}")
            yield f"did {name}{number}"

    programs = {1: [operation("a"), operation("b")], 2: [operation("c")]}
    schedule = [step(1), step(2), step(1), whole(2), whole(1), step(1)]
    moments = list(play(schedule, programs, lambda: {"steps": str(len(log))}))
    assert log == ["a0", "c0", "a1", "c1", "c2", "a2", "b0"]
    assert [moment.thread for moment in moments] == [1, 2, 1, 2, 1, 1]
    assert [moment.step for moment in moments][-3:] == ["did c2", "did a2", "did b0"]
    assert [moment.state["steps"] for moment in moments] == ["1", "2", "3", "5", "6", "7"]


# Threads.


def test_threads_meet_again_and_again() -> None:
    arrived = [0, 0, 0]

    def work(me: int, meet: Meet) -> None:
        for number in range(1, 20):
            arrived[me] = number
            meet()
            assert min(arrived) >= number
        ended.append(me)

    ended: list[int] = []
    at_once([partial(work, me) for me in range(3)])
    assert sorted(ended) == [0, 1, 2]


def test_nobody_waits_for_a_thread_that_was_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def start_one(thread: Thread, start: Callable[[Thread], None] = Thread.start) -> None:
        if started:
            raise KeyboardInterrupt
        started.append(thread)
        start(thread)

    started: list[Thread] = []
    monkeypatch.setattr(Thread, "start", start_one)
    with pytest.raises(KeyboardInterrupt):
        at_once([lambda meet: meet()] * 2)
    started[0].join(30)
    assert not started[0].is_alive()


def test_what_a_thread_raises_is_raised_and_keeps_nobody_waiting() -> None:
    def fail(_meet: Meet) -> None:
        raise ValueError("no result")

    with pytest.raises(ValueError, match="no result"):
        at_once([fail, lambda meet: meet()])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has affinities")
def test_threads_need_no_core_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    ended: list[int] = []
    at_once([lambda _meet: ended.append(1)] * 2)
    assert ended == [1, 1]


# The buffer of atomic parts.


def test_a_consumer_sleeps_beside_an_item() -> None:
    *_, before, last = races.lose_a_wake_up()
    assert before.step == last.step == "get: sleeps"
    assert last.state == {"buffer": "9", "event": "-"}


def test_a_lone_consumer_is_woken() -> None:
    buffer = races.LockFreeBuffer()
    programs: dict[int, list[Steps[object]]] = {1: [buffer.get()], 2: [buffer.put(7)]}
    schedule = [step(1), step(1), whole(2), whole(1)]
    *_, last = play(schedule, programs, buffer.state)
    assert last.step == "get: popleft() -> 7"


def test_a_full_buffer_forgets() -> None:
    assert races.lose_items(maxsize=2, items=2) == 0
    assert races.lose_items(maxsize=2, items=5) == 3


def test_a_get_woken_in_vain_starts_to_wait_again() -> None:
    assert races.wait_too_long(thefts=0) == pytest.approx(races.TIMEOUT)
    assert races.wait_too_long(thefts=4) == pytest.approx(4.6 * races.TIMEOUT)


# The queue of atomic parts, for coroutines.


def test_a_coroutine_is_robbed() -> None:
    assert asyncio.run(races.steal_an_item(races.AsyncLockFreeQueue())) == "IndexError"
    assert asyncio.run(races.steal_an_item(asyncio.Queue())) == "waits on"


def test_a_cancelled_coroutine_swallows_a_wake_up() -> None:
    assert asyncio.run(races.cancel_a_consumer(races.AsyncLockFreeQueue())) == 1
    assert asyncio.run(races.cancel_a_consumer(asyncio.Queue())) == 0


# The cache of atomic parts.


def test_two_hits_at_once_break_the_bound() -> None:
    moments = caching.exceed_the_bound()
    assert moments[1].state == {"cache": "a b", "order": "a b"}
    assert moments[7].state == {"cache": "a b", "order": "b b"}
    assert moments[-1].state == {"cache": "a c d", "order": "c d"}


def test_each_such_race_costs_an_entry() -> None:
    assert [caching.grow(races) for races in (0, 1, 2, 90)] == [10, 11, 12, 100]


def test_undisturbed_it_is_a_cache() -> None:
    cache = caching.LockFreeCache(2)

    def get(key: str) -> Iterator[str]:
        found.append((yield from cache.get(key)))

    found: list[object] = []
    operations: list[Iterator[str]] = [
        *(cache.put("a", 1), cache.put("b", 2), get("a")),
        *(cache.put("c", 3), get("b"), get("a"), get("c")),
    ]
    for operation in operations:
        assert list(operation)
    assert found == [1, None, 1, 3]


def test_a_hit_compares_all_keys_or_none() -> None:
    assert caching.comparisons_of_a_hit(50) == (49, 0)


# The ABA problem.


def test_a_bare_index_loses_an_item_and_yields_another_twice() -> None:
    outcome = aba.observe(aba.IndexStack(tag_bits=0))
    assert (outcome.lost, outcome.repeated) == ([3], [2])
    read, before, after = (outcome.moments[time] for time in (1, CAS - 1, CAS))
    assert before.state["head"] == read.state["head"] == "A"
    assert before.state["stack"] != read.state["stack"]
    assert after.step == "pop: CAS(head, A, B) succeeds"
    assert after.state["stack"] == "B=2"
    assert "B" in after.state["free"]


def test_a_tag_makes_the_same_compare_and_swap_fail() -> None:
    outcome = aba.observe(aba.IndexStack(tag_bits=aba.TAG_BITS))
    assert outcome.intact
    assert sorted(outcome.popped) == [1, 1, 2, 3]
    assert outcome.moments[CAS].step == "pop: CAS(head, A#0, B#1) fails"
    assert outcome.moments[CAS].state["head"] == "A#2"


def test_a_tag_that_wraps_in_between_does_not() -> None:
    assert not aba.observe(aba.IndexStack(tag_bits=1)).intact
    assert aba.observe(aba.IndexStack(tag_bits=2)).intact


def test_a_new_node_with_the_same_value_is_not_the_same_node() -> None:
    outcome = aba.observe(aba.LockFreeStack())
    assert outcome.intact
    assert outcome.moments[1].state["stack"].startswith("A=1")
    assert outcome.moments[CAS - 1].state["stack"].startswith("D=1")
    assert outcome.moments[CAS].step == "pop: CAS(head, A, B) fails"


@pytest.mark.parametrize(
    "make",
    [lambda: aba.IndexStack(tag_bits=0), lambda: aba.IndexStack(tag_bits=5), aba.LockFreeStack],
    ids=["bare", "tagged", "fresh"],
)
def test_undisturbed_each_is_a_stack(make: Callable[[], aba.Stack]) -> None:
    stack = make()
    popped: list[int] = []

    def pop() -> Iterator[str]:
        popped.append((yield from stack.pop()))

    for operation in (stack.push(1), stack.push(2), pop(), stack.push(3), pop(), pop()):
        assert list(operation)
    assert popped == [2, 3, 1]
    with pytest.raises(IndexError, match="empty"):
        next(stack.pop())


def test_a_push_that_loses_a_race_tries_again() -> None:
    for stack in (aba.IndexStack(tag_bits=0), aba.LockFreeStack()):
        programs = {1: [stack.push(1)], 2: [stack.push(2)]}
        schedule = [step(1), whole(2), step(1), whole(1)]
        moments = list(play(schedule, programs, stack.state))
        assert moments[2].step == "push: CAS fails"
        assert [link[-1] for link in moments[-1].state["stack"].split(" > ")] == ["1", "2"]


# The stopped thread.


def test_the_others_finish_while_one_is_frozen_in_the_engine() -> None:
    outcome = stall.freeze_one(_InterruptibleStack(), patience=30)
    assert outcome.finished
    assert outcome.pairs == stall.OTHERS * stall.PAIRS
    assert (outcome.lost, outcome.repeated) == ([], [])


def test_the_others_hang_while_one_is_frozen_with_the_lock() -> None:
    outcome = stall.freeze_one(stall.LockedStack(), patience=0.3)
    assert not outcome.finished
    assert outcome.pairs == 0
    assert outcome.seconds >= 0.3
    assert (outcome.lost, outcome.repeated) == ([], [])


def test_without_the_extension_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lockfree._native", None)
    assert command.main(["stall"]) == 1
    assert "extension" in capsys.readouterr().out
    assert command.main(["aba"]) == 0


# The stack that can be interrupted.


def stack_of(*items: int) -> _InterruptibleStack:
    stack = _InterruptibleStack()
    for item in items:
        stack.push(item)
    return stack


def test_the_callback_runs_before_the_head_is_swung() -> None:
    stack = stack_of(1, 2)
    seen: list[int] = []
    assert stack.interrupted_pop(lambda it: seen.append(len(it))) == 2
    assert seen == [2]
    assert stack.pop() == 1


def test_what_the_callback_changes_the_pop_notices() -> None:
    stack = stack_of(1, 2)
    assert stack.interrupted_pop(lambda it: it.push(10 * it.pop())) == 20
    assert stack.interrupted_pop(lambda it: it.push(3)) == 3
    assert len(stack) == 1
    with pytest.raises(IndexError):
        stack.interrupted_pop(_InterruptibleStack.pop)


def test_the_callback_is_called_once_and_by_its_own_pop_only() -> None:
    calls: list[int] = []

    def between(it: _InterruptibleStack) -> None:
        calls.append(it.pop())
        it.interrupted_pop(lambda it: calls.append(it.pop()))

    with pytest.raises(IndexError):
        stack_of().interrupted_pop(between)
    assert stack_of(1).pop() == 1  # the callback is not left over
    assert calls == []
    stack = stack_of(1, 2, 3, 4)
    assert stack.interrupted_pop(between) == 1
    assert calls == [4, 3]
    assert len(stack) == 0


def test_an_exception_of_the_callback_is_reported_and_the_pop_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_type))
    assert stack_of(1).interrupted_pop(lambda _: 1 // 0) == 1
    assert reported == [ZeroDivisionError]


def test_the_callback_is_let_go() -> None:
    def between(_stack: object) -> None: ...

    watch = weakref.ref(between)
    stack_of(1).interrupted_pop(between)
    with pytest.raises(IndexError):
        stack_of().interrupted_pop(between)
    del between
    assert watch() is None


def test_a_collection_does_not_wait_for_a_frozen_thread() -> None:
    stack, freezer = stack_of(1, 2), stall.Freezer()
    frozen = Thread(target=stack.interrupted_pop, args=(freezer,), daemon=True)
    frozen.start()
    freezer.wait_until_reached()
    collector = Thread(target=gc.collect, daemon=True)
    collector.start()
    collector.join(30)
    assert not collector.is_alive()
    assert frozen.is_alive()
    freezer.release()
    frozen.join(30)
    assert not frozen.is_alive()
    assert stack.pop() == 1


@pytest.mark.parametrize("wait", ["Event().wait()", "any(time.sleep(1e-4) for _ in count())"])
def test_a_frozen_daemon_does_not_keep_the_process(wait: str) -> None:
    child = in_child(
        f"""
        import time
        from itertools import count
        from threading import Event, Thread
        from lockfree._native import _InterruptibleStack
        inside = Event()
        def freeze(stack):
            inside.set()
            {wait}
        stack = _InterruptibleStack()
        stack.push(1)
        Thread(target=stack.interrupted_pop, args=(freeze,), daemon=True).start()
        inside.wait(30)
        """
    )
    assert child == (0, "", "")
