"""Litmus tests: what the processor and the compiler do to the order of accesses.

Not called ``litmus``: the package has a function of that name, which a module would hide.
"""

from __future__ import annotations

import os
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from threading import Event
from typing import Any, Final

from lockfree import AtomicInt64, Ordering
from lockfree.lab.progress import Progress
from lockfree.lab.report import html_table, paragraphs, table, verdict
from lockfree.lab.threads import Meet, at_once

SUMMARY = "memory orderings: what may happen out of order, and what does here"

ITERATIONS: Final = 200_000
"""How often the experiment runs each test at each ordering."""

_BATCH: Final = 1 << 13  # 1 or 2 ms, some 50 on a busy machine: often enough for Ctrl-C
_NO_ENGINE: Final = "the native extension is not there, hence no threads that are quick enough"


@dataclass(frozen=True, slots=True)
class Program:
    """A litmus test: x and y are 0 at first, each line is one thread."""

    threads: tuple[tuple[str, ...], ...]
    registers: int
    values: int
    """A register holds one of so many values, 0 being the first."""
    weak: frozenset[str]
    """The outcomes that no interleaving of the threads explains."""
    forbidden_at: frozenset[Ordering]
    """The orderings at which C++20 and Rust forbid these."""

    def outcomes(self) -> list[str]:
        """Return all that the registers could hold."""
        return [_text(values) for values in product(range(self.values), repeat=self.registers)]


def _text(registers: Iterable[int]) -> str:
    return " ".join(f"r{number}={value}" for number, value in enumerate(registers, start=1))


ORDERINGS: Final = (Ordering.RELAXED, Ordering.ACQ_REL, Ordering.SEQ_CST)
_RELAXED, _ACQ_REL, _SEQ_CST = ORDERINGS

PROGRAMS: Final[Mapping[str, Program]] = {
    "store_buffering": Program(
        threads=(("x = 1", "r1 = y"), ("y = 1", "r2 = x")),
        registers=2,
        values=2,
        weak=frozenset({"r1=0 r2=0"}),
        forbidden_at=frozenset({_SEQ_CST}),
    ),
    "message_passing": Program(
        threads=(("x = 1", "y = 1"), ("r1 = y", "r2 = x")),
        registers=2,
        values=2,
        weak=frozenset({"r1=1 r2=0"}),
        forbidden_at=frozenset({_ACQ_REL, _SEQ_CST}),
    ),
    "load_buffering": Program(
        threads=(("r1 = x", "y = 1"), ("r2 = y", "x = 1")),
        registers=2,
        values=2,
        weak=frozenset({"r1=1 r2=1"}),
        forbidden_at=frozenset({_ACQ_REL, _SEQ_CST}),
    ),
    "iriw": Program(
        threads=(("x = 1",), ("y = 1",), ("r1 = x", "r2 = y"), ("r3 = y", "r4 = x")),
        registers=4,
        values=2,
        weak=frozenset({"r1=1 r2=0 r3=1 r4=0"}),
        forbidden_at=frozenset({_SEQ_CST}),
    ),
    "coherence": Program(
        threads=(("x = 1", "x = 2"), ("r1 = x", "r2 = x")),
        registers=2,
        values=3,
        weak=frozenset({"r1=1 r2=0", "r1=2 r2=0", "r1=2 r2=1"}),
        forbidden_at=frozenset(ORDERINGS),
    ),
}
"""The tests, named as in the literature. IRIW: independent reads of independent writes."""

PROCESSOR: Final = {
    "x86_64": "x86-64",
    "AMD64": "x86-64",
    "aarch64": "AArch64",
    "arm64": "AArch64",
}.get(platform.machine(), platform.machine())

_SHOWN_BY: Final[Mapping[str, Mapping[tuple[str, Ordering], str]]] = {
    # Total store order: a store waits in a buffer while later loads go ahead.
    "x86-64": dict.fromkeys((("store_buffering", _RELAXED), ("store_buffering", _ACQ_REL)), "can"),
    # Of the acquiring loads of AArch64, LDAPR may overtake a releasing store and LDAR may
    # not. Compilers emit either.
    "AArch64": {
        **{(name, _RELAXED): "can" for name in PROGRAMS if name != "coherence"},
        ("store_buffering", _ACQ_REL): "not known",
    },
}


@dataclass(frozen=True, slots=True)
class Litmus:
    """How often a litmus test ended how. It prints as a table, in notebooks too."""

    name: str
    ordering: Ordering
    outcomes: Mapping[str, int]
    """How often each outcome was seen, of all that the registers could hold."""

    @property
    def iterations(self) -> int:
        """How often the test was run."""
        return sum(self.outcomes.values())

    @property
    def weak(self) -> frozenset[str]:
        """The outcomes that no interleaving of the threads explains."""
        return PROGRAMS[self.name].weak

    @property
    def forbidden(self) -> frozenset[str]:
        """The outcomes that the language's memory model forbids at this ordering."""
        return self.weak if self.ordering in PROGRAMS[self.name].forbidden_at else frozenset()

    @property
    def seen_weak(self) -> int:
        """How often an outcome was seen that no interleaving explains."""
        return sum(self.outcomes[outcome] for outcome in self.weak)

    @property
    def violations(self) -> int:
        """How often a forbidden outcome was seen: 0, unless something is broken."""
        return sum(self.outcomes[outcome] for outcome in self.forbidden)

    @property
    def processor(self) -> str:
        """Whether this processor shows weak outcomes: ``can``, ``never`` or ``not known``."""
        if self.forbidden:
            return "never"
        shown = _SHOWN_BY.get(PROCESSOR)
        return "not known" if shown is None else shown.get((self.name, self.ordering), "never")

    def __str__(self) -> str:
        return f"{self._title()}\n\n{table(self._rows())}"

    def _repr_html_(self) -> str:
        return html_table(self._rows(), caption=self._title())

    def _title(self) -> str:
        threads = " || ".join("; ".join(thread) for thread in PROGRAMS[self.name].threads)
        return f"{self.name} at {self.ordering.name}, {self.iterations:,} times: {threads}"

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("outcome", "seen", "explained by", "language", PROCESSOR)]
        for outcome, seen in self.outcomes.items():
            weak = outcome in self.weak
            rows.append(
                (
                    outcome,
                    f"{seen:,}",
                    "reordering" if weak else "interleaving",
                    "forbids" if outcome in self.forbidden else "allows",
                    self.processor if weak else "can",
                )
            )
        return rows


def litmus(name: str, ordering: Ordering, iterations: int = 1_000_000) -> Litmus:
    """Run a litmus test on native threads, and count how it ends.

    All loads and stores are at `ordering`. A load cannot release and a store cannot
    acquire, so ``ACQ_REL`` stands for stores that release and loads that acquire.

    Args:
        name: ``store_buffering``, ``message_passing``, ``load_buffering``, ``iriw`` or
            ``coherence``.
        ordering: ``RELAXED``, ``ACQ_REL`` or ``SEQ_CST``.
        iterations: how often to run it.

    Raises:
        TypeError: `ordering` is not an ``Ordering``.
        ValueError: there is no such test, it has no such ordering, or `iterations` is
            negative.
        ImportError: the installation is without the native extension.
    """
    if name not in PROGRAMS:
        raise ValueError(f"'name' must be one of {', '.join(PROGRAMS)}, not {name!r}")
    if not isinstance(ordering, Ordering):
        raise TypeError(f"expected an Ordering, not {ordering!r}")
    if ordering not in ORDERINGS:
        raise ValueError(
            f"'ordering' must be RELAXED, ACQ_REL (stores release, loads acquire) or SEQ_CST, "
            f"not {ordering!r}"
        )
    if iterations < 0:
        raise ValueError(f"'iterations' must not be negative, not {iterations!r}")
    counts: Counter[str] = Counter()
    progress = Progress(sys.stderr, 1)
    progress.begin(f"{name} at {ordering.name}")
    try:
        _run(name, ordering, iterations, counts, progress)
    finally:
        progress.clear()
    return _result(name, ordering, counts)


def _run(
    name: str, ordering: Ordering, iterations: int, counts: Counter[str], progress: Progress
) -> None:
    """Add to `counts` in small batches: between two of them a signal is handled."""
    native = _native()
    for done in range(0, iterations, _BATCH):
        progress.show(f"{done / iterations:.0%}")
        seen = native(name, ordering.value, min(_BATCH, iterations - done))
        counts.update({_text(registers): count for registers, count in seen.items()})


def _native() -> Callable[[str, str, int], dict[bytes, int]]:
    try:
        from lockfree._native import _litmus
    except ImportError as error:
        raise ImportError(_NO_ENGINE) from error
    return _litmus


def _result(name: str, ordering: Ordering, counts: Counter[str]) -> Litmus:
    return Litmus(name, ordering, {each: counts[each] for each in PROGRAMS[name].outcomes()})


# The same from Python.


class Flag:
    """An object with an attribute."""

    def __init__(self) -> None:
        self.a = 0


def _plain(mine: Flag, theirs: Flag) -> int:
    mine.a = 1
    return theirs.a


def _with_event(mine: Flag, theirs: Flag) -> int:
    mine.a = 1
    Event().set()  # "implicit memory barrier", says the tutorial
    return theirs.a


def _atomic(mine: AtomicInt64, theirs: AtomicInt64) -> int:
    mine.store(1)
    return theirs.load()


_ATOMIC: Final = "x.store(1); r1 = y.load()"

PYTHON: Final[Mapping[str, tuple[type, Callable[[Any, Any], int]]]] = {
    "x.a = 1; r1 = y.a": (Flag, _plain),
    "x.a = 1; Event().set(); r1 = y.a": (Flag, _with_event),
    _ATOMIC: (AtomicInt64, _atomic),
}
"""Store buffering in Python: what the variables are, and what a thread does."""


def python_store_buffering(accesses: str, iterations: int = 5_000) -> Mapping[str, int]:
    """Run store buffering on two Python threads; return how often each outcome was seen.

    They are hundreds of times slower than the native ones, so they have less chance to
    show anything.
    """
    variable, access = PYTHON[accesses]
    x, y = ([variable() for _ in range(iterations)] for _ in range(2))
    seen: dict[int, list[int]] = {}

    def work(number: int, mine: list[Any], theirs: list[Any], meet: Meet) -> None:
        registers = []
        for one, other in zip(mine, theirs, strict=True):
            meet()
            registers.append(access(one, other))
        seen[number] = registers

    at_once([partial(work, 1, x, y), partial(work, 2, y, x)])
    counts = Counter(_text(registers) for registers in zip(seen[1], seen[2], strict=True))
    return {each: counts[each] for each in PROGRAMS["store_buffering"].outcomes()}


# The experiment.


def run() -> bool:
    """Run every test at every ordering, and store buffering from Python."""
    try:
        _native()
    except ImportError as error:
        print(f"Nothing to show: {error}.")
        return False
    print(f"{paragraphs(_INTRODUCTION)}\n\n{_programs()}\n\n{paragraphs(_TESTS)}\n")
    tallies = {(name, each): Counter[str]() for name in PROGRAMS for each in ORDERINGS}
    python: dict[str, Mapping[str, int]] = {}
    complete = _observe(tallies, python)
    results = [_result(*key, counts) for key, counts in tallies.items() if counts]
    print(f"{_overview(results)}\n\n{paragraphs(_EXPLANATION)}\n\n{paragraphs(_PYTHON)}\n")
    print(_from_python(python))
    if not complete:
        print("\nInterrupted: this is what was counted until then.")
        return False
    return verdict(_claims(results, python))


def _observe(
    tallies: Mapping[tuple[str, Ordering], Counter[str]], python: dict[str, Mapping[str, int]]
) -> bool:
    """Fill in what is seen; return whether all was run, which Ctrl-C prevents."""
    progress = Progress(sys.stderr, len(tallies) + len(PYTHON))
    try:
        for (name, ordering), counts in tallies.items():
            progress.begin(f"{name} at {ordering.name}")
            _run(name, ordering, ITERATIONS, counts, progress)
        for accesses in PYTHON:
            progress.begin("store_buffering from Python")
            progress.show(accesses)
            python[accesses] = python_store_buffering(accesses)
    except KeyboardInterrupt:
        return False
    finally:
        progress.clear()
    return True


def _claims(results: list[Litmus], python: Mapping[str, Mapping[str, int]]) -> dict[str, bool]:
    surprises = sum(each.seen_weak for each in results if each.processor == "never")
    claims = {
        "nothing was seen that the language forbids": not any(each.violations for each in results),
        f"nothing was seen that {PROCESSOR} never shows": surprises == 0,
        "AtomicInt64 never shows store buffering": python[_ATOMIC]["r1=0 r2=0"] == 0,
    }
    if PROCESSOR == "x86-64" and _cores() > 1:
        for each in results:
            if each.processor == "can":
                claims[f"{each.name} at {each.ordering.name} shows it"] = each.seen_weak > 0
    return claims


def _cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _programs() -> str:
    width = max(len(each.threads) for each in PROGRAMS.values())
    rows = [("test", *(f"thread {number}" for number in range(1, width + 1)))]
    for name, program in PROGRAMS.items():
        threads = ["; ".join(thread) for thread in program.threads]
        rows.append((name, *threads, *[""] * (width - len(threads))))
    return table(rows)


def _overview(results: list[Litmus]) -> str:
    rows = [("test", "ordering", "weak outcome", "seen", "language", PROCESSOR)]
    for each in results:
        first, *others = sorted(each.weak)
        rows.append(
            (
                each.name,
                each.ordering.name,
                f"{first} ..." if others else first,
                f"{each.seen_weak:,}",
                "forbids" if each.forbidden else "allows",
                each.processor,
            )
        )
    return table(rows)


def _from_python(python: Mapping[str, Mapping[str, int]]) -> str:
    outcomes = PROGRAMS["store_buffering"].outcomes()
    rows = [("thread 1", *outcomes)]
    rows += [(each, *(f"{seen[one]:,}" for one in outcomes)) for each, seen in python.items()]
    return table(rows)


_INTRODUCTION = """
    A litmus test is the smallest program whose outcome tells one memory ordering from another. The
    variables x and y are 0 at first, and each thread makes its accesses once. An outcome that no
    interleaving of the accesses explains is called weak: an access has overtaken another one.
"""

_TESTS = f"""
    Each test is run {ITERATIONS:,} times on native threads, at three orderings. A load cannot
    release and a store cannot acquire, so ACQ_REL stands for stores that release and loads that
    acquire.
"""

_EXPLANATION = """
    Two parties reorder. The language (the memory model of C++20, which Rust has taken over) says
    what the compiler and the processor together may do; the last column says what this processor
    does to the instructions it is given.

    x86-64 keeps loads in order, and stores in order. But a store waits in a buffer before others
    see it, and later loads do not wait: that is store buffering, on which Dekker's and Peterson's
    locks fail. Acquire and release do not forbid it; SEQ_CST does, for the price of an exchange or
    a fence per store. AArch64 may show the others at RELAXED, too. No test shows what the compiler
    might have done: that a weak outcome is missing here does not make RELAXED code right.

    message_passing is how data is handed over: x is the data, y the flag, and ACQ_REL is enough. In
    iriw, threads 3 and 4 would disagree about which write came first: only SEQ_CST rules that out.
    Of one variable all threads agree, at any ordering: coherence.
"""

_PYTHON = """
    Store buffering from Python: thread 2 does the same with x and y exchanged. The tutorial has an
    Event().set() for a memory barrier. Plain attributes show r1=0 r2=0 neither with nor without
    it, as far as was ever seen on x86-64: with a GIL the threads take turns, and without one
    CPython's reference counts and locks are fences themselves. Nothing in its documentation
    promises either. An AtomicInt64 does: its operations are SEQ_CST.
"""
