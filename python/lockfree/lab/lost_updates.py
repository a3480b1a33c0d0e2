"""What is atomic in Python: statements run by two threads at once, and what gets lost.

Not called ``atomicity``: the package has a function of that name, which a module would hide.
"""

from __future__ import annotations

import dis
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from html import escape
from types import FunctionType
from typing import Any, Final

from lockfree.lab.progress import Progress
from lockfree.lab.report import html_table, paragraphs, table, verdict
from lockfree.lab.threads import Meet, at_once

SUMMARY = "what is atomic in Python: two threads at x += 1, append and the like"

THREADS: Final = 2
TIMES: Final = 20_000
"""How often each thread runs the statement in a round."""

_SWITCH_INTERVAL: Final = 1e-5  # of the GIL; the default of 5 ms needs long runs to show much

FAQ: Final = (
    "https://docs.python.org/3.14/faq/library.html"
    "#what-kinds-of-global-value-mutation-are-thread-safe"
)
_GUARANTEES: Final = "https://docs.python.org/3.14/library/threadsafety.html"
LINKS: Final[Mapping[str, str]] = {
    "FAQ": FAQ,
    "list": f"{_GUARANTEES}#thread-safety-list",
    "dict": f"{_GUARANTEES}#thread-safety-dict",
    "deque": "https://docs.python.org/3.14/library/collections.html#collections.deque",
}
"""Where CPython's documentation promises something. The FAQ speaks of the GIL."""


@dataclass(frozen=True, slots=True)
class Case:
    """A statement, and how to tell how many of its executions had their effect."""

    code: str
    found: str
    """An expression: how many effects are there in the end."""
    tutorial: str = "-"
    """What the tutorial says of it."""
    with_gil: str | None = None
    """The link that promises that no effect is lost, where there is a GIL."""
    without_gil: str | None = None
    """The same where there is none."""
    fault: str = "lost"
    collected: bool = False
    """Whether each thread keeps the results, for `found`."""

    def function(self) -> str:
        """Return what a thread runs, as source."""
        statement = f"mine.append({self.code})" if self.collected else self.code
        return (
            "def work(me, mine, times):\n"
            "    global x, n, items, d, q\n"
            f"    for i in range(times):\n        {statement}\n"
        )


_SETUP: Final = """
from collections import deque

class Number(int):
    def __add__(self, other):
        return Number(int(self) + other)

class Thing:
    one = property(lambda self: 1)
    a = 0

def f():
    return 1

def gen():
    for each in three:
        yield each

def unbroken(items):
    return sum(items[i : i + 3] == three for i in range(len(items)))

x, n, o, items, d, q = 0, Number(), Thing(), [], {"k": 0}, deque()
numbers, three, results = [0], [1, 2, 3], []
full = deque(range(total))
"""

CASES: Final = (
    Case("x = me", "total * (x in everyone)", "atomic", "FAQ", "dict"),
    Case("x += 1", "x", "atomic"),
    Case("x = x + 1", "x", "not atomic"),
    Case("x += f()", "x"),
    Case("x += o.one", "x"),
    Case("n += 1", "n", "not atomic"),
    Case("o.a += 1", "o.a"),
    Case("numbers[0] += 1", "numbers[0]"),
    Case("d['k'] += 1", "d['k']"),
    Case("d['k'] += f()", "d['k']"),
    Case("d[me, i] = 1", "len(d) - 1", "atomic", "FAQ", "dict"),
    Case("items.append(1)", "len(items)", "atomic", "FAQ", "list"),
    Case("items.extend(three)", "unbroken(items)", "not atomic", "FAQ", fault="split"),
    Case("items.extend(gen())", "unbroken(items)", "not atomic", fault="split"),
    Case("q.append(1)", "len(q)", "atomic", "deque", "deque"),
    Case("q.appendleft(1)", "len(q)", "atomic", "deque", "deque"),
    Case("full.pop()", "len(set(results))", "atomic", "deque", "deque", collected=True),
    Case("full.popleft()", "len(set(results))", "atomic", "deque", "deque", collected=True),
)
"""The tutorial's list, with other right-hand sides and other places to store to."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What came of a statement."""

    code: str
    instructions: Sequence[str]
    """From reading the variable to storing it, by ``dis``; none if both are inside a call."""
    tutorial: str
    lost: int
    of: int
    promise: str | None
    """Which of the `LINKS` promises that nothing is lost, if any does."""
    fault: str = "lost"

    @property
    def bytecode(self) -> str:
        """Say how far apart reading and storing are."""
        match len(self.instructions):
            case 0:
                return "one call"
            case 1:
                return "one store"
            case count:
                return f"{count} instructions"

    @property
    def verdict(self) -> str:
        """Say what was seen. No run shows that a statement is atomic."""
        if self.lost:
            return f"{self.fault} {self.lost:,} of {self.of:,}"
        return "none seen" if self.promise is None else f"guaranteed: {self.promise}"


@dataclass(frozen=True, slots=True)
class Atomicity:
    """What came of all statements. It prints as a table, in notebooks too."""

    interpreter: str
    observations: Sequence[Observation]

    def __getitem__(self, code: str) -> Observation:
        return next(each for each in self.observations if each.code == code)

    def __str__(self) -> str:
        links = "\n".join(f"{name}: {link}" for name, link in self._links().items())
        rows = self._rows(each.bytecode for each in self.observations)
        return f"{self.interpreter}\n\n{table(rows)}\n\n{links}"

    def _repr_html_(self) -> str:
        links = (f'<a href="{escape(link)}">{name}</a>' for name, link in self._links().items())
        rows = self._rows(
            ", ".join(each.instructions) or each.bytecode for each in self.observations
        )
        return f"{html_table(rows, self.interpreter)}<p>{', '.join(links)}</p>"

    def _links(self) -> dict[str, str]:
        promises = {each.promise for each in self.observations}
        return {name: link for name, link in LINKS.items() if name in promises}

    def _rows(self, bytecodes: Iterable[str]) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("statement", "bytecode", "the tutorial", "seen")]
        rows += [
            (each.code, bytecode, each.tutorial, each.verdict)
            for each, bytecode in zip(self.observations, bytecodes, strict=True)
        ]
        return rows


def atomicity(seconds: float = 0.1) -> Atomicity:
    """Let two threads run each statement at once, and count the effects that get lost.

    Args:
        seconds: how long to try each statement, about.
    """
    gil = _has_gil()
    build = "with the GIL" if gil else "without a GIL"
    name = f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}, {build}"
    progress = Progress(sys.stderr, len(CASES))
    observations = []
    try:
        for case in CASES:
            progress.begin(case.code)
            progress.show(f"{seconds:g} s")
            observations.append(_observe(case, seconds, gil))
    finally:
        progress.clear()
    return Atomicity(name, observations)


def _has_gil() -> bool:
    if sys.version_info >= (3, 13):
        return sys._is_gil_enabled()
    return True


@contextmanager
def _frequent_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def _observe(case: Case, seconds: float, gil: bool) -> Observation:
    end = time.perf_counter() + seconds
    lost = of = 0
    with _frequent_switches():
        while of == 0 or time.perf_counter() < end:
            lost += _lost_in_a_round(case)
            of += THREADS * TIMES
    promise = case.with_gil if gil else case.without_gil
    return Observation(case.code, instructions(case), case.tutorial, lost, of, promise, case.fault)


def _lost_in_a_round(case: Case) -> int:
    total = THREADS * TIMES
    namespace: dict[str, Any] = {"everyone": range(THREADS), "total": total}
    exec(_SETUP + case.function(), namespace)
    mine: list[list[object]] = [[] for _ in range(THREADS)]

    def run(me: int, meet: Meet) -> None:
        meet()
        namespace["work"](me, mine[me], TIMES)

    at_once([partial(run, me) for me in range(THREADS)])
    namespace["results"] = [each for results in mine for each in results]
    return total - int(eval(case.found, namespace))


def instructions(case: Case) -> list[str]:
    """Return the names of the instructions from reading the variable to storing it."""
    namespace: dict[str, FunctionType] = {}
    exec(case.function(), {}, namespace)
    code = list(dis.get_instructions(namespace["work"]))
    stores = [each for each in code if each.opname in _READS]
    if not stores:
        return []
    store = stores[-1]
    first = next((each for each in code if _is_read(each, store)), store)
    return [each.opname for each in code[code.index(first) : code.index(store) + 1]]


_READS: Final = {
    "STORE_GLOBAL": {"LOAD_GLOBAL"},
    "STORE_ATTR": {"LOAD_ATTR"},
    "STORE_SUBSCR": {"BINARY_SUBSCR", "BINARY_OP"},
}


def _is_read(instruction: dis.Instruction, store: dis.Instruction) -> bool:
    """Whether the instruction reads what `store` then writes."""
    if instruction.opname not in _READS[store.opname]:
        return False
    if instruction.opname == "BINARY_OP":  # since 3.14, of which a subscript is one
        return instruction.argrepr == "[]"
    return bool(instruction.argval == store.argval)


# The experiment.


def run() -> bool:
    """Run all statements, and say where the tutorial is wrong."""
    print(f"{paragraphs(_INTRODUCTION)}\n")
    seen = atomicity(seconds=0.2)
    addition = ", ".join(seen["x += 1"].instructions)
    print(f"{seen}\n\n{paragraphs(_EXPLANATION.format(addition))}")
    return verdict(_claims(seen, _has_gil()))


_ADDING: Final = {
    True: {"x += f()", "x += o.one", "n += 1", "d['k'] += f()"},
    False: {case.code for case in CASES if "+=" in case.code or "+ 1" in case.code},
}
"""The statements that lose counts sooner or later, with a GIL and without one."""


def _claims(seen: Atomicity, gil: bool) -> dict[str, bool]:
    guaranteed = [each for each in seen.observations if each.promise is not None]
    claims = {"nothing is lost that CPython guarantees": not any(each.lost for each in guaranteed)}
    adding = [each for each in seen.observations if each.code in _ADDING[gil]]
    losing = sum(each.lost > 0 for each in adding)
    where = "with a call between load and store" if gil else "that load, add and store"
    claims[f"{losing} of {len(adding)} statements {where} lose counts"] = losing > 0
    return claims


_INTRODUCTION = f"""
    {THREADS} threads run the same statement, {TIMES:,} times each and again and again; then the
    effects are counted. The tutorial says that x = 1, x += 1 "for integers (single bytecode
    instruction)", list.append, dict[key] = value and the operations of deque are atomic, and that
    x = x + 1, x += 1 "for complex objects" and list.extend are not. A run can refute the one; it
    cannot prove anything: "none seen" is no promise. "guaranteed" names the page of CPython's
    documentation that promises it.
"""

_EXPLANATION = """
    x += 1 is not a single instruction: it loads, adds and stores, just as x = x + 1 does. Here it
    is {}. With a GIL, CPython since 3.10 lets another thread run only at calls and where a loop
    starts over, and in x += 1 there is neither between load and store. That is an accident of the
    implementation, not a promise: x += f() has a call there, a property is one, and so is an
    addition written in Python. Without a GIL nothing keeps any of them together, whatever is on the
    right.

    list.extend of a list is one call, into which nobody comes with a GIL, as the FAQ says. Of a
    generator it runs Python between any two items. AtomicInt64.increment() counts exactly.
"""
"""With a place for the instructions of ``x += 1``."""
