"""What a benchmark is made of: cells, and the contenders of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

NATIVE = "lockfree._native"
"""What a contender needs that runs the package's own engine."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do what a cell measures, as Python source."""

    name: str
    setup: str
    """Binds a fresh shared object to the name ``c``."""
    statements: tuple[str, ...]
    """Together one operation on ``c``; a latency cell times each of them by itself.

    Where threads have roles: what the one half of the threads does, and the other.
    """
    needs: str | None = None
    """The module without which this contender is left out."""


@dataclass(frozen=True, slots=True)
class RustLoop:
    """The cell's operation in Rust threads on the same engine, with no interpreter.

    It is the ceiling: what is above it is the cost of calling from Python.
    """

    loop: str
    name: ClassVar[str] = "rust threads"
    needs: ClassVar[str] = NATIVE


@dataclass(frozen=True, slots=True)
class Cell:
    """One question, put to several contenders."""

    name: str
    """``structure.operation``."""
    description: str
    contenders: tuple[Contender | RustLoop, ...]
    """In the order in which they run."""
    baseline: str = "threading.Lock"
    """The contender that the others are compared with."""
    kind: Literal["throughput", "transfer", "tasks", "latency", "handoff"] = "throughput"
    """What is measured.

    - throughput: the time per operation of all threads together;
    - transfer: the same, of producers and consumers, per item; one whose statement
      awaits something runs in an event loop of its own;
    - tasks: the same, of a producer and a consumer in one event loop;
    - latency: how long single operations take;
    - handoff: how long after a producer begins to put an item a sleeping consumer has
      it. Here ``clock()`` is the time, and the consumer binds the item to ``sent``.
    """
    threads: tuple[int, ...] | None = None
    """With how many threads, where the cell itself says so."""
    scope: Literal["local", "global"] = "local"
    """Where threads find ``c``. A global is what people write; without the GIL, each
    use of a shared one costs the threads a fight over its reference count."""
    items: int = 1
    """How many items one operation handles; times are per item."""
    remark: str = ""
    """What to bear in mind while reading its table; stands below it."""

    @property
    def structure(self) -> str:
        """The first half of its name."""
        return self.name.partition(".")[0]

    def is_called(self, name: str) -> bool:
        """Whether `name` is that of the cell or of its structure."""
        return name in (self.name, self.structure)

    @property
    def repeats(self) -> int:
        """How often a throughput loop's body says the operation, to thin out the loop's cost.

        One of many items does that by itself.
        """
        return 10 if self.items == 1 else 1

    @property
    def unit(self) -> str:
        """What a time is the time of."""
        return "item" if self.items > 1 or self.kind in ("transfer", "tasks") else "operation"

    @property
    def has_roles(self) -> bool:
        """Whether half of the threads produce and the others consume."""
        return self.kind in ("transfer", "handoff")

    @property
    def is_timed(self) -> bool:
        """Whether it yields the times of single operations."""
        return self.kind in ("latency", "handoff")
