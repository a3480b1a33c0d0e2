"""Native atomics and lock-free containers.

Every class here is safe to use from any number of threads at once, and from
finalizers, weakref callbacks and signal handlers that interrupt it.
"""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from contextlib import AbstractContextManager
from types import GenericAlias
from typing import (
    Any,
    ClassVar,
    Generic,
    NoReturn,
    Self,
    SupportsFloat,
    SupportsIndex,
    TypeVar,
    final,
    overload,
)

from typing_extensions import disjoint_base

from lockfree._async_queue import AsyncQueue
from lockfree._mapping import CacheStats
from lockfree._ordering import Ordering

_T = TypeVar("_T")
_D = TypeVar("_D")
_K = TypeVar("_K")
_V = TypeVar("_V")

@final
class AtomicBool:
    """A boolean that threads can share and change without a lock.

    Each operation is atomic and sequentially consistent: all threads see all
    operations on all atomics in one order, and whatever a thread did before an
    operation is seen by a thread that reads its effect.

    ``test_and_set``, ``exchange`` and ``fetch_update`` return the value before,
    ``toggle`` and ``update`` the value after.

    It is true where its value is, compares by value with bools and numbers, and
    converts as a bool does: by ``int(a)``, ``str(a)``, as an index and in format strings;
    its ``repr`` names the class. Because it is mutable and compares by value it is
    unhashable, like a list. Copying and pickling are refused, since a copy would not be
    shared.

    A value is a ``bool``, not just something true or false: all else is a
    ``TypeError``.

    On free-threaded CPython 3.14 and later, an object for which threads
    contend stops being reference counted, which makes sharing it cheap; it is
    then freed by the garbage collector and no longer at once.

    Args:
        value: the first value.

    Raises:
        TypeError: `value` is not a ``bool``.

    Progress: wait-free or lock-free, as each method says ("wait-free" where the processor
    has an instruction for it: see guarantees.md). Source: C's
    ``atomic_flag``, and the test-and-set instruction of the IBM System/360 (1964).

    Examples:
        >>> started = AtomicBool()
        >>> started.test_and_set()  # of all threads one gets False: the first
        False
        >>> started.test_and_set()
        True
        >>> started.toggle()
        False
        >>> started
        AtomicBool(False)
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __new__(cls, value: bool = False) -> Self: ...
    @property
    def value(self) -> bool:
        """The value, as `load()` reads it. Read-only: write with `store()`."""

    def load(self, /) -> bool:
        """Return the value.

        Progress: wait-free.
        """

    def store(self, value: bool, /) -> None:
        """Replace the value.

        Progress: wait-free.
        """

    def exchange(self, value: bool, /) -> bool:
        """Replace the value and return the old one.

        Progress: wait-free.
        """

    def compare_exchange(self, expected: bool, desired: bool, /) -> bool:
        """Replace `expected` by `desired`; return whether that happened.

        On False nothing was written: the other value was there at that moment. It
        never fails spuriously.

        Progress: wait-free.
        """

    def test_and_set(self, /) -> bool:
        """Make it true and return the old value.

        False tells the caller, and nobody else, that it was the first.

        Progress: wait-free.
        """

    def toggle(self, /) -> bool:
        """Make it the opposite and return the new value.

        Progress: lock-free.
        """

    def fetch_update(self, fn: Callable[[bool], bool], /) -> bool:
        """Replace the value by `fn(value)` and return the old one.

        As `update`, but the value before is returned.
        """

    def update(self, fn: Callable[[bool], bool], /) -> bool:
        """Replace the value by `fn(value)` and return the new one.

        `fn` runs with no lock held, any number of times: where another thread
        changed the value meanwhile, its result is thrown away and it is called
        again with the new value. So it should have no side effects. It may use
        this very atomic.

        Raises:
            TypeError: `fn` returned no ``bool``.
            Exception: whatever `fn` raises. In each case the value is as it was.

        Progress: lock-free, as far as `fn` returns.
        """

    def at(self, ordering: Ordering, /, failure: Ordering | None = None) -> _AtomicBoolView:
        """Return a view whose methods work at another memory ordering.

        As that of `AtomicInt64`.
        """

    def wait(self, old: bool, /, timeout: float | None = None) -> bool:
        """Wait until the value is not `old`; return whether it came to that in time.

        As that of `AtomicInt64`.

        Raises:
            TypeError: `old` is not a ``bool``.
            ValueError: `timeout` is negative.

        Progress: parks.
        """

    async def async_wait(self, old: bool, /) -> None:
        """Wait until the value is not `old`, without blocking the event loop.

        As `wait`, for a coroutine of any event loop. Threads and coroutines wait in
        one list. Cancelled, it passes on a notification that it does not use.
        """

    def notify_one(self, /) -> None:
        """Let the one who has waited longest look again.

        Each write does so by itself, promptly if it is sequentially consistent, as the plain
        methods' are. Where nobody waits this costs a fence.

        Progress: wait-free where nobody waits; else it takes the lock of the list.
        """

    def notify_all(self, /) -> None:
        """Let all who wait look again.

        Each write does so by itself, promptly if it is sequentially consistent, as the plain
        methods' are. Where nobody waits this costs a fence.

        Progress: wait-free where nobody waits; else it takes the lock of the list.
        """

    def __eq__(self, other: object, /) -> Any: ...
    def __ne__(self, other: object, /) -> Any: ...
    def __lt__(self, other: object, /) -> Any: ...
    def __le__(self, other: object, /) -> Any: ...
    def __gt__(self, other: object, /) -> Any: ...
    def __ge__(self, other: object, /) -> Any: ...
    def __int__(self, /) -> int: ...
    def __index__(self, /) -> int: ...
    def __bool__(self, /) -> bool: ...
    def __format__(self, spec: str, /) -> str: ...
    def __reduce__(self, /) -> NoReturn: ...

@final
class _AtomicBoolView:
    """An atomic's methods at another memory ordering; made by `at()`."""

    def load(self, /) -> bool: ...
    def store(self, value: bool, /) -> None: ...
    def exchange(self, value: bool, /) -> bool: ...
    def compare_exchange(self, expected: bool, desired: bool, /) -> bool: ...
    def test_and_set(self, /) -> bool: ...
    def toggle(self, /) -> bool: ...
    def fetch_update(self, fn: Callable[[bool], bool], /) -> bool: ...
    def update(self, fn: Callable[[bool], bool], /) -> bool: ...
    def wait(self, old: bool, /, timeout: float | None = None) -> bool: ...
    async def async_wait(self, old: bool, /) -> None: ...
    def notify_one(self, /) -> None: ...
    def notify_all(self, /) -> None: ...
    def __reduce__(self, /) -> NoReturn: ...

@final
class AtomicFloat64:
    """A 64-bit floating-point number that threads can share and change without a lock.

    Each operation is atomic and sequentially consistent: all threads see all
    operations on all atomics in one order, and whatever a thread did before an
    operation is seen by a thread that reads its effect.

    ``fetch_*`` methods return the value before, ``add`` and ``update`` the value
    after. Additions follow IEEE 754: they round, and their results may be infinite or
    NaN, but never an ``OverflowError``. They are not associative: the last digits of
    what several threads add up together depend on the order in which they come.

    ``compare_exchange`` compares bits, not values: 0.0 is not -0.0, and NaN is equal
    to a NaN of the same bits. All other comparisons (``a == 0.5``, ``a < b``) are by
    value with numbers, as a float's. It is true where the value is not zero,
    supports ``+= -=``, and converts by ``float(a)``, ``int(a)``, ``str(a)`` and in format
    strings; its ``repr`` names the class. Because it is mutable and compares by value it is
    unhashable, like a list; ``a + 1`` is a ``TypeError``: say ``a.load() + 1``. Copying and
    pickling are refused, since a copy would not be shared.

    An argument is a ``float`` or anything with ``__float__`` or ``__index__``;
    another type, such as ``str``, is a ``TypeError``.

    On free-threaded CPython 3.14 and later, an object for which threads
    contend stops being reference counted, which makes sharing it cheap; it is
    then freed by the garbage collector and no longer at once.

    Args:
        value: the first value.

    Raises:
        TypeError: `value` is not a number.
        OverflowError: `value` is an integer beyond the range of a float.

    Progress: wait-free or lock-free, as each method says ("wait-free" where the processor
    has an instruction for it: see guarantees.md). Source: P0020, "Floating
    Point Atomic", C++20.

    Examples:
        >>> total = AtomicFloat64()
        >>> total.add(0.5)
        0.5
        >>> total += 1
        >>> total.fetch_add(float("inf"))
        1.5
        >>> total
        AtomicFloat64(inf)
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __new__(cls, value: SupportsFloat | SupportsIndex = 0.0) -> Self: ...
    @property
    def value(self) -> float:
        """The value, as `load()` reads it. Read-only: write with `store()`."""

    def load(self, /) -> float:
        """Return the value.

        Progress: wait-free.
        """

    def store(self, value: SupportsFloat | SupportsIndex, /) -> None:
        """Replace the value.

        Progress: wait-free.
        """

    def exchange(self, value: SupportsFloat | SupportsIndex, /) -> float:
        """Replace the value and return the old one.

        Progress: wait-free.
        """

    def compare_exchange(
        self, expected: SupportsFloat | SupportsIndex, desired: SupportsFloat | SupportsIndex, /
    ) -> bool:
        """Replace `expected` by `desired`; return whether that happened.

        It compares bits: where the value is -0.0 and 0.0 is expected it returns False,
        although they are equal. Expect what you have loaded. On False nothing was
        written. It never fails spuriously.

        Progress: wait-free.
        """

    def fetch_add(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Add `n` and return the old value.

        Progress: lock-free: it retries when another thread's change came between.
        """

    def fetch_sub(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Subtract `n` and return the old value.

        Progress: lock-free.
        """

    def fetch_max(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Raise the value to at least `n`; return the old value.

        A NaN is missing data, as to IEEE 754's `maximumNumber`: where one of the two is
        NaN, the other remains; and -0.0 is below 0.0.

        Progress: lock-free.
        """

    def fetch_min(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Lower the value to at most `n`; return the old value.

        NaN and zeros are as `fetch_max` has them.

        Progress: lock-free.
        """

    def add(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Add `n` and return the new value.

        Progress: lock-free.
        """

    def sub(self, n: SupportsFloat | SupportsIndex, /) -> float:
        """Subtract `n` and return the new value.

        Progress: lock-free.
        """

    def fetch_update(self, fn: Callable[[float], SupportsFloat | SupportsIndex], /) -> float:
        """Replace the value by `fn(value)` and return the old one.

        As `update`, but the value before is returned.
        """

    def update(self, fn: Callable[[float], SupportsFloat | SupportsIndex], /) -> float:
        """Replace the value by `fn(value)` and return the new one.

        `fn` runs with no lock held, any number of times: where another thread
        changed the value meanwhile, its result is thrown away and it is called
        again with the new value. So it should have no side effects. It may use
        this very atomic.

        Raises:
            TypeError: `fn` returned no number.
            OverflowError: `fn` returned an integer beyond the range of a float.
            Exception: whatever `fn` raises. In each case the value is as it was.

        Progress: lock-free, as far as `fn` returns.
        """

    def at(self, ordering: Ordering, /, failure: Ordering | None = None) -> _AtomicFloat64View:
        """Return a view whose methods work at another memory ordering.

        As that of `AtomicInt64`.
        """

    def wait(self, old: SupportsFloat | SupportsIndex, /, timeout: float | None = None) -> bool:
        """Wait until the value is not `old`; return whether it came to that in time.

        As that of `AtomicInt64`. It compares bits, as `compare_exchange` does.

        Raises:
            TypeError: `old` is not a number.
            ValueError: `timeout` is negative.

        Progress: parks.
        """

    async def async_wait(self, old: SupportsFloat | SupportsIndex, /) -> None:
        """Wait until the value is not `old`, without blocking the event loop.

        As `wait`, for a coroutine of any event loop. Threads and coroutines wait in
        one list. Cancelled, it passes on a notification that it does not use.
        """

    def notify_one(self, /) -> None:
        """Let the one who has waited longest look again.

        Each write does so by itself, promptly if it is sequentially consistent, as the plain
        methods' are. Where nobody waits this costs a fence.

        Progress: wait-free where nobody waits; else it takes the lock of the list.
        """

    def notify_all(self, /) -> None:
        """Let all who wait look again.

        Each write does so by itself, promptly if it is sequentially consistent, as the plain
        methods' are. Where nobody waits this costs a fence.

        Progress: wait-free where nobody waits; else it takes the lock of the list.
        """

    def __iadd__(self, n: SupportsFloat | SupportsIndex, /) -> Self: ...
    def __isub__(self, n: SupportsFloat | SupportsIndex, /) -> Self: ...
    def __eq__(self, other: object, /) -> Any: ...
    def __ne__(self, other: object, /) -> Any: ...
    def __lt__(self, other: object, /) -> Any: ...
    def __le__(self, other: object, /) -> Any: ...
    def __gt__(self, other: object, /) -> Any: ...
    def __ge__(self, other: object, /) -> Any: ...
    def __float__(self, /) -> float: ...
    def __int__(self, /) -> int: ...
    def __bool__(self, /) -> bool: ...
    def __format__(self, spec: str, /) -> str: ...
    def __reduce__(self, /) -> NoReturn: ...

@final
class _AtomicFloat64View:
    """An atomic's methods at another memory ordering; made by `at()`."""

    def load(self, /) -> float: ...
    def store(self, value: SupportsFloat | SupportsIndex, /) -> None: ...
    def exchange(self, value: SupportsFloat | SupportsIndex, /) -> float: ...
    def compare_exchange(
        self, expected: SupportsFloat | SupportsIndex, desired: SupportsFloat | SupportsIndex, /
    ) -> bool: ...
    def fetch_add(self, n: SupportsFloat | SupportsIndex, /) -> float: ...
    def fetch_sub(self, n: SupportsFloat | SupportsIndex, /) -> float: ...
    def fetch_max(self, n: SupportsFloat | SupportsIndex, /) -> float: ...
    def fetch_min(self, n: SupportsFloat | SupportsIndex, /) -> float: ...
    def add(self, n: SupportsFloat | SupportsIndex, /) -> float: ...
    def sub(self, n: SupportsFloat | SupportsIndex, /) -> float: ...
    def fetch_update(self, fn: Callable[[float], SupportsFloat | SupportsIndex], /) -> float: ...
    def update(self, fn: Callable[[float], SupportsFloat | SupportsIndex], /) -> float: ...
    def wait(self, old: SupportsFloat | SupportsIndex, /, timeout: float | None = None) -> bool: ...
    async def async_wait(self, old: SupportsFloat | SupportsIndex, /) -> None: ...
    def notify_one(self, /) -> None: ...
    def notify_all(self, /) -> None: ...
    def __reduce__(self, /) -> NoReturn: ...

@final
class AtomicInt64:
    """A 64-bit signed integer that threads can share and change without a lock.

    Each operation is atomic and sequentially consistent: all threads see all
    operations on all atomics in one order, and whatever a thread did before an
    operation is seen by a thread that reads its effect.

    ``fetch_*`` methods return the value before, the bare verbs (``add``,
    ``increment``, ``update``) the value after. Arithmetic is exact: what would
    not fit in 64 bits raises ``OverflowError`` and leaves the value as it was, and
    no other thread ever sees a wrapped value.

    It compares by value with numbers (``a == 5``, ``a < b``), is true where the
    value is not zero, and converts by ``int(a)``, ``str(a)``, as an index and in format
    strings; its ``repr`` names the class. A comparison reads the value once. Because it is
    mutable and compares by value it is unhashable, like a list. It supports ``+= -= &= |= ^=``;
    ``a + 1`` is a ``TypeError``: say ``a.load() + 1``. Copying and pickling are
    refused, since a copy would not be shared.

    An integer argument is an ``int`` or anything with ``__index__``; another type
    is a ``TypeError``, a value that does not fit in 64 bits an ``OverflowError``.

    On free-threaded CPython 3.14 and later, an object for which threads
    contend stops being reference counted, which makes sharing it cheap; it is
    then freed by the garbage collector and no longer at once.

    Args:
        value: the first value.

    Raises:
        TypeError: `value` is not an integer.
        OverflowError: `value` does not fit in 64 bits.

    Progress: wait-free or lock-free, as each method says ("wait-free" where the processor
    has an instruction for it: see guarantees.md). Source: M. Herlihy,
    "Wait-Free Synchronization", TOPLAS 1991.

    Examples:
        >>> hits = AtomicInt64()
        >>> hits.increment()
        1
        >>> hits.compare_exchange(1, 10)
        True
        >>> hits += 5
        >>> hits
        AtomicInt64(15)
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __new__(cls, value: SupportsIndex = 0) -> Self: ...
    @property
    def value(self) -> int:
        """The value, as `load()` reads it. Read-only: write with `store()`.

        There is no setter because ``a.value += 1`` would be a read and a write
        with a gap between them.
        """

    def load(self, /) -> int:
        """Return the value.

        Progress: wait-free.
        """

    def store(self, value: SupportsIndex, /) -> None:
        """Replace the value.

        Progress: wait-free.
        """

    def exchange(self, value: SupportsIndex, /) -> int:
        """Replace the value and return the old one.

        Progress: wait-free.
        """

    def compare_exchange(self, expected: SupportsIndex, desired: SupportsIndex, /) -> bool:
        """Replace `expected` by `desired`; return whether that happened.

        On False nothing was written: another value was there at that moment. It
        never fails spuriously. A value that went from A to B and back to A counts
        as unchanged (the ABA problem).

        Progress: wait-free.
        """

    def fetch_add(self, n: SupportsIndex, /) -> int:
        """Add `n` and return the old value.

        Raises:
            OverflowError: the sum does not fit; the value is as it was.

        Progress: lock-free: it retries when another thread's change came between.
        """

    def fetch_sub(self, n: SupportsIndex, /) -> int:
        """Subtract `n` and return the old value.

        Raises:
            OverflowError: the difference does not fit; the value is as it was.

        Progress: lock-free.
        """

    def fetch_and(self, n: SupportsIndex, /) -> int:
        """Keep the bits also set in `n`; return the old value.

        Bits as in two's complement. Progress: lock-free.
        """

    def fetch_or(self, n: SupportsIndex, /) -> int:
        """Set the bits of `n`; return the old value.

        Bits as in two's complement. Progress: lock-free.
        """

    def fetch_xor(self, n: SupportsIndex, /) -> int:
        """Flip the bits of `n`; return the old value.

        Bits as in two's complement. Progress: lock-free.
        """

    def fetch_max(self, n: SupportsIndex, /) -> int:
        """Raise the value to at least `n`; return the old value.

        Progress: lock-free.
        """

    def fetch_min(self, n: SupportsIndex, /) -> int:
        """Lower the value to at most `n`; return the old value.

        Progress: lock-free.
        """

    def add(self, n: SupportsIndex, /) -> int:
        """Add `n` and return the new value.

        Raises:
            OverflowError: the sum does not fit; the value is as it was.

        Progress: lock-free.
        """

    def sub(self, n: SupportsIndex, /) -> int:
        """Subtract `n` and return the new value.

        Raises:
            OverflowError: the difference does not fit; the value is as it was.

        Progress: lock-free.
        """

    def increment(self, /) -> int:
        """Add 1 and return the new value.

        Raises:
            OverflowError: the value is 2**63 - 1; it stays.

        Progress: lock-free.
        """

    def decrement(self, /) -> int:
        """Subtract 1 and return the new value.

        Raises:
            OverflowError: the value is -2**63; it stays.

        Progress: lock-free.
        """

    def fetch_update(self, fn: Callable[[int], SupportsIndex], /) -> int:
        """Replace the value by `fn(value)` and return the old one.

        As `update`, but the value before is returned.
        """

    def update(self, fn: Callable[[int], SupportsIndex], /) -> int:
        """Replace the value by `fn(value)` and return the new one.

        `fn` runs with no lock held, any number of times: where another thread
        changed the value meanwhile, its result is thrown away and it is called
        again with the new value. So it should have no side effects. It may use
        this very atomic.

        Raises:
            TypeError: `fn` returned no integer.
            OverflowError: `fn` returned one that does not fit in 64 bits.
            Exception: whatever `fn` raises. In each case the value is as it was.

        Progress: lock-free, as far as `fn` returns.
        """

    def at(self, ordering: Ordering, /, failure: Ordering | None = None) -> _AtomicInt64View:
        """Return a view whose methods work at another memory ordering.

        The view is of this very atomic and has its methods, not its operators. A
        load of it takes RELAXED, ACQUIRE or SEQ_CST, a store RELAXED, RELEASE or
        SEQ_CST, all else any ordering. Keep a view for repeated use.

        Args:
            ordering: of each operation.
            failure: of a ``compare_exchange`` that fails, and so has only read:
                RELAXED, ACQUIRE or SEQ_CST; by default, what `ordering` says
                about reading.

        Raises:
            TypeError: an argument is no ``Ordering``.
            ValueError: `failure` is none that a load can have. Methods of the view
                raise it where `ordering` is none that they can have, and say which
                ones are.
        """

    def wait(self, old: SupportsIndex, /, timeout: float | None = None) -> bool:
        """Wait until the value is not `old`; return whether it came to that in time.

        It looks, and looks again at each write, on whatever thread it waits; a
        change that was undone before it looked may go unseen. False only if `timeout`
        seconds (None: for ever) passed first. A wait releases the GIL. On the main
        thread it answers signals, such as Ctrl-C, within 100 ms.

        Raises:
            TypeError: `old` is not an integer.
            OverflowError: `old` does not fit in 64 bits.
            ValueError: `timeout` is negative.

        Progress: parks.
        """

    async def async_wait(self, old: SupportsIndex, /) -> None:
        """Wait until the value is not `old`, without blocking the event loop.

        As `wait`, for a coroutine of any event loop. Threads and coroutines wait in
        one list. Cancelled, it passes on a notification that it does not use.
        """

    def notify_one(self, /) -> None:
        """Let the one who has waited longest look again.

        Each write does so by itself, promptly if it is sequentially consistent, as the plain
        methods' are. Where nobody waits this costs a fence.

        Progress: wait-free where nobody waits; else it takes the lock of the list.
        """

    def notify_all(self, /) -> None:
        """Let all who wait look again.

        Each write does so by itself, promptly if it is sequentially consistent, as the plain
        methods' are. Where nobody waits this costs a fence.

        Progress: wait-free where nobody waits; else it takes the lock of the list.
        """

    def __iadd__(self, n: SupportsIndex, /) -> Self: ...
    def __isub__(self, n: SupportsIndex, /) -> Self: ...
    def __iand__(self, n: SupportsIndex, /) -> Self: ...
    def __ior__(self, n: SupportsIndex, /) -> Self: ...
    def __ixor__(self, n: SupportsIndex, /) -> Self: ...
    def __eq__(self, other: object, /) -> Any: ...
    def __ne__(self, other: object, /) -> Any: ...
    def __lt__(self, other: object, /) -> Any: ...
    def __le__(self, other: object, /) -> Any: ...
    def __gt__(self, other: object, /) -> Any: ...
    def __ge__(self, other: object, /) -> Any: ...
    def __int__(self, /) -> int: ...
    def __index__(self, /) -> int: ...
    def __bool__(self, /) -> bool: ...
    def __format__(self, spec: str, /) -> str: ...
    def __reduce__(self, /) -> NoReturn: ...

@final
class _AtomicInt64View:
    """An atomic's methods at another memory ordering; made by `at()`."""

    def load(self, /) -> int: ...
    def store(self, value: SupportsIndex, /) -> None: ...
    def exchange(self, value: SupportsIndex, /) -> int: ...
    def compare_exchange(self, expected: SupportsIndex, desired: SupportsIndex, /) -> bool: ...
    def fetch_add(self, n: SupportsIndex, /) -> int: ...
    def fetch_sub(self, n: SupportsIndex, /) -> int: ...
    def fetch_and(self, n: SupportsIndex, /) -> int: ...
    def fetch_or(self, n: SupportsIndex, /) -> int: ...
    def fetch_xor(self, n: SupportsIndex, /) -> int: ...
    def fetch_max(self, n: SupportsIndex, /) -> int: ...
    def fetch_min(self, n: SupportsIndex, /) -> int: ...
    def add(self, n: SupportsIndex, /) -> int: ...
    def sub(self, n: SupportsIndex, /) -> int: ...
    def increment(self, /) -> int: ...
    def decrement(self, /) -> int: ...
    def fetch_update(self, fn: Callable[[int], SupportsIndex], /) -> int: ...
    def update(self, fn: Callable[[int], SupportsIndex], /) -> int: ...
    def wait(self, old: SupportsIndex, /, timeout: float | None = None) -> bool: ...
    async def async_wait(self, old: SupportsIndex, /) -> None: ...
    def notify_one(self, /) -> None: ...
    def notify_all(self, /) -> None: ...
    def __reduce__(self, /) -> NoReturn: ...

@final
class AtomicRef(Generic[_T]):
    """A reference to an object that threads can share and replace without a lock.

    Each operation is atomic and sequentially consistent, and what a thread did
    before it stored an object is seen by whoever loads that object. An object that
    is loaded is one that was stored, and the caller's own reference to it.

    Objects are compared by identity, as with ``is``. Equal ints or strings may be
    different objects, or the same: compare with what ``load()`` returned, not with
    a literal. While a thread holds a reference to ``expected``, nothing else can be
    taken for it; but an object that was replaced and put back counts as unchanged
    (the ABA problem; see ``AtomicStampedRef``).

    A replaced object is released by the call that replaces it, at once. Cycles
    through an ``AtomicRef`` are collected. Copying and pickling are refused.

    On free-threaded CPython 3.14 and later, an ``AtomicRef`` for which threads
    contend stops being reference counted, which makes sharing it cheap; it is
    then freed by the garbage collector, with the object it refers to at that time.

    Args:
        obj: the first object.

    Progress: wait-free or lock-free, as each method says ("wait-free" where the processor
    has an instruction for it: see guarantees.md). Source: readers take their
    reference as free-threaded CPython does from a dict ("optimistically avoiding
    locking", S. Gross, PEP 703).

    Examples:
        >>> config = AtomicRef({"level": 1})
        >>> old = config.load()
        >>> config.compare_exchange(old, old | {"level": 2})
        True
        >>> config.load()
        {'level': 2}
    """

    @overload
    def __new__(cls, /) -> AtomicRef[_T | None]: ...
    @overload
    def __new__(cls, obj: _T = ..., /) -> Self: ...
    @property
    def value(self) -> _T:
        """The object, as `load()` reads it. Read-only: write with `store()`.

        The interpreter reads it without a call, and where the object is deferred (`defer_refcount`)
        without a reference that is counted.
        """

    def load(self, /) -> _T:
        """Return the object.

        Progress: lock-free: it retries when another thread replaced the object.
        """

    def store(self, obj: _T, /) -> None:
        """Replace the object.

        The old one is released before this returns, which may run its finalizer.

        Progress: wait-free, but for a thread that is just reading `value`.
        """

    def exchange(self, obj: _T, /) -> _T:
        """Replace the object and return the old one.

        Progress: as `store`.
        """

    def compare_exchange(self, expected: _T, desired: _T, /) -> bool:
        """Replace `expected`, that very object, by `desired`; return whether that happened.

        On False nothing was written: another object was there at that moment. It
        never fails spuriously.

        Progress: as `store`.
        """

    def fetch_update(self, fn: Callable[[_T], _T], /) -> _T:
        """Replace the object by `fn(object)` and return the old one.

        As `update`, but the object before is returned.
        """

    def update(self, fn: Callable[[_T], _T], /) -> _T:
        """Replace the object by `fn(object)` and return the new one.

        `fn` runs with no lock held, any number of times: where another thread
        replaced the object meanwhile, its result is thrown away and it is called
        again with the new one. It must return a new object and leave the old one as
        it is, because others may be reading that. It may use this very atomic.

        Raises:
            Exception: whatever `fn` raises; the object is as it was.

        Progress: lock-free, as far as `fn` returns.
        """

    def at(self, ordering: Ordering, /, failure: Ordering | None = None) -> _AtomicRefView[_T]:
        """Return a view whose methods work at another memory ordering.

        As with ``AtomicInt64.at``. The object itself is always published and
        received whole: RELAXED means no less than that.

        Raises:
            TypeError: an argument is no ``Ordering``.
            ValueError: `failure` is none that a load can have; methods of the view
                raise it where `ordering` is none that they can have.
        """

    def wait(self, old: object, /, timeout: float | None = None) -> bool:
        """Wait until the value is not `old`; return whether it came to that in time.

        As ``AtomicInt64.wait``, by identity.

        Raises:
            ValueError: `timeout` is negative.

        Progress: parks.
        """

    async def async_wait(self, old: object, /) -> None:
        """Wait until the value is not `old`, without blocking the event loop.

        As `wait`, for a coroutine of any event loop. Threads and coroutines wait in
        one list. Cancelled, it passes on a notification that it does not use.
        """

    def notify_one(self, /) -> None:
        """Let the one who has waited longest look again.

        Progress: wait-free where nobody waits; else it takes the lock of the list.
        """

    def notify_all(self, /) -> None:
        """Let all who wait look again.

        Progress: wait-free where nobody waits; else it takes the lock of the list.
        """

    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    def __reduce__(self, /) -> NoReturn: ...

@final
class _AtomicRefView(Generic[_T]):
    """An atomic's methods at another memory ordering; made by `at()`."""

    def load(self, /) -> _T: ...
    def store(self, obj: _T, /) -> None: ...
    def exchange(self, obj: _T, /) -> _T: ...
    def compare_exchange(self, expected: _T, desired: _T, /) -> bool: ...
    def fetch_update(self, fn: Callable[[_T], _T], /) -> _T: ...
    def update(self, fn: Callable[[_T], _T], /) -> _T: ...
    def wait(self, old: object, /, timeout: float | None = None) -> bool: ...
    async def async_wait(self, old: object, /) -> None: ...
    def notify_one(self, /) -> None: ...
    def notify_all(self, /) -> None: ...
    def __reduce__(self, /) -> NoReturn: ...

@final
class AtomicStampedRef(Generic[_T]):
    """A reference to an object, with a stamp, that threads can replace together without a lock.

    The answer to the ABA problem: who reads A, and replaces it if it still is A,
    cannot tell whether it was B meanwhile. With a stamp that every change
    increments, it can. Otherwise as ``AtomicRef``: objects are compared by identity,
    a replaced object is released at once, cycles are collected.

    Args:
        obj: the first object.
        stamp: the first stamp, an integer of 64 bits.

    Raises:
        TypeError: `stamp` is not an integer.
        OverflowError: `stamp` does not fit in 64 bits.

    Progress: lock-free, allocation aside. Source: ``AtomicStampedReference`` of D.
    Lea's ``java.util.concurrent`` (JSR 166): one reference to an immutable pair.

    Examples:
        >>> top = AtomicStampedRef("A")
        >>> seen, stamp = top.load()
        >>> top.store("B", 1)
        >>> top.store(seen, 2)  # A again
        >>> top.compare_exchange(seen, "C", stamp, stamp + 1)
        False
        >>> top
        AtomicStampedRef('A', 2)
    """

    @overload
    def __new__(cls, /) -> AtomicStampedRef[_T | None]: ...
    @overload
    def __new__(cls, obj: _T = ..., stamp: SupportsIndex = 0, /) -> Self: ...
    @property
    def value(self) -> tuple[_T, int]:
        """The object and its stamp, as `load()` reads them. Read-only: write with `store()`."""

    def load(self, /) -> tuple[_T, int]:
        """Return the object and its stamp.

        Progress: lock-free.
        """

    def store(self, obj: _T, stamp: SupportsIndex, /) -> None:
        """Replace the object and its stamp.

        Raises:
            TypeError: `stamp` is not an integer.
            OverflowError: `stamp` does not fit in 64 bits. In both cases nothing
                was replaced.

        Progress: wait-free, allocation aside.
        """

    def exchange(self, obj: _T, stamp: SupportsIndex, /) -> tuple[_T, int]:
        """Replace the object and its stamp, and return the old ones.

        Raises and progress: as `store`.
        """

    def compare_exchange(
        self,
        /,
        expected: _T,
        desired: _T,
        expected_stamp: SupportsIndex,
        desired_stamp: SupportsIndex,
    ) -> bool:
        """Replace object and stamp if both are as expected; return whether that happened.

        On False nothing was written: another object or another stamp was there at
        that moment. It never fails spuriously.

        Raises:
            TypeError: a stamp is not an integer.
            OverflowError: a stamp does not fit in 64 bits.

        Progress: lock-free.
        """

    def at(
        self, ordering: Ordering, /, failure: Ordering | None = None
    ) -> _AtomicStampedRefView[_T]:
        """Return a view whose methods work at another memory ordering.

        As with ``AtomicRef.at``.

        Raises:
            TypeError: an argument is no ``Ordering``.
            ValueError: `failure` is none that a load can have; methods of the view
                raise it where `ordering` is none that they can have.
        """

    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    def __reduce__(self, /) -> NoReturn: ...

@final
class _AtomicStampedRefView(Generic[_T]):
    """An atomic's methods at another memory ordering; made by `at()`."""

    def load(self, /) -> tuple[_T, int]: ...
    def store(self, obj: _T, stamp: SupportsIndex, /) -> None: ...
    def exchange(self, obj: _T, stamp: SupportsIndex, /) -> tuple[_T, int]: ...
    def compare_exchange(
        self,
        /,
        expected: _T,
        desired: _T,
        expected_stamp: SupportsIndex,
        desired_stamp: SupportsIndex,
    ) -> bool: ...
    def __reduce__(self, /) -> NoReturn: ...

@disjoint_base
class Queue(Generic[_T]):
    """A first-in, first-out queue for any number of producers and consumers.

    It has the methods, exceptions and corner cases of ``queue.Queue`` (those of
    CPython 3.14, on every version), takes no lock, and may be used from
    finalizers, weakref callbacks and signal handlers that interrupt it. Beyond
    that it has batches, ``drain``, ``force_put`` and iteration until shutdown.

    What one thread puts comes out in that order. Each item is got exactly once.
    What a thread did before it put an item is seen by the thread that gets it.
    There are never more than `maxsize` items.

    ``qsize()``, ``empty()``, ``full()`` and ``unfinished_tasks`` tell what was true
    at one moment during the call.

    Threads that wait are woken in the order in which they began to, but a thread
    that finds an item takes it without queuing up behind them; one that was woken
    in vain for some milliseconds comes first. A wait releases the GIL. On the main
    thread it answers signals, such as Ctrl-C, within 100 ms.

    A queue is always true and has no ``len()``: use ``qsize()``. There is no
    ``mutex``, and a subclass cannot override ``_put`` or ``_get``. If it overrides ``put``
    or ``get``, the other methods, the coroutines' and iteration go by them, as in the
    standard library; ``force_put`` cannot, and is a ``TypeError`` then.

    On free-threaded CPython 3.14 and later, a queue that threads keep contending for stops
    being reference counted, which makes sharing it cheap; it is then freed by the
    garbage collector, and its items with it, and no longer at once.

    Args:
        maxsize: how many items there may be; any number if 0 or negative. A real number
            will do: there is no room for a further item once there are so many or more.

    Raises:
        TypeError: `maxsize` is not a number.

    Progress: no operation takes a lock unless a thread has to sleep or be woken.
    A thread that is suspended between claiming a place and filling it, some
    nanoseconds, delays those who need that place; all else is lock-free,
    allocation aside. Source: positions as in D. Vyukov's bounded MPMC queue
    (2010), on segments as in M. M. Michael and M. L. Scott's queue (PODC 1996).

    Examples:
        >>> q = Queue(maxsize=2)
        >>> q.put("a")
        >>> q.put_many(["b", "c"], timeout=0)
        1
        >>> q.force_put("c")
        'a'
        >>> q.shutdown()
        >>> list(q)
        ['b', 'c']
    """

    def __init__(self, maxsize: SupportsFloat | SupportsIndex = 0) -> None: ...
    def put(self, /, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room.

        Args:
            item: any object.
            block: whether to wait; if false, `timeout` is of no account.
            timeout: for how many seconds to wait at most; None is for ever.

        Raises:
            queue.Full: there was no room in time.
            queue.ShutDown: the queue was shut down (``lockfree.ShutDown`` where
                ``queue`` does not have it).
            ValueError: `timeout` is negative, and the queue is bounded.
            MemoryError: there is no memory for a place. In each case nothing was put.

        Progress: no lock is taken; where there is no room it parks.
        """

    def put_nowait(self, /, item: _T) -> None:
        """Put an item without waiting.

        Raises: as ``put(item, block=False)``.
        """

    def put_many(self, iterable: Iterable[_T], /, timeout: float | None = None) -> int:
        """Put the items of `iterable` in their order; return how many went in.

        The iterable is listed first: if it raises, nothing is put. The items keep
        their order; other producers' may come between them.

        Args:
            iterable: the items.
            timeout: for how many seconds to wait for room, in all; None is for
                ever, 0 puts what there is room for.

        Raises:
            queue.Full: there was no room in time for any.
            queue.ShutDown: the queue was shut down before any went in.
            ValueError: `timeout` is negative.

        Progress: as `put`; one step per run of free places.
        """

    @overload
    def force_put(self, item: _T, /) -> _T | None: ...
    @overload
    def force_put(self, item: _T, /, *, default: _T | _D = ...) -> _T | _D: ...
    @overload
    def force_put(self, item: _T, /, *, default: Any = None) -> Any:
        """Put an item, and if the queue is full take the first one out for it.

        Both happen in one step. The displaced item is returned and counts as done;
        where none was displaced, `default` is returned.

        Args:
            item: any object.
            default: what to return if there was room.

        Raises:
            queue.ShutDown: the queue was shut down; nothing was put.

        Progress: no lock is taken; one thread displaces at a time.
        """

    def get(self, /, block: bool = True, timeout: float | None = None) -> _T:
        """Remove and return the first item, waiting for one.

        Args:
            block: whether to wait; if false, `timeout` is of no account.
            timeout: for how many seconds to wait at most; None is for ever.

        Raises:
            queue.Empty: there was no item in time.
            queue.ShutDown: there is no item and the queue was shut down.
            ValueError: `timeout` is negative.

        Progress: no lock is taken; where there is no item it parks.
        """

    def get_nowait(self, /) -> _T:
        """Remove and return the first item without waiting.

        Raises: as ``get(block=False)``.
        """

    def get_many(self, n: SupportsIndex, /, timeout: float | None = None) -> list[_T]:
        """Remove and return up to `n` items, waiting for the first.

        At least one, unless `n` is 0; never more than there were when it was called
        or, if there were none, when it was woken.

        Args:
            n: how many at most.
            timeout: for how many seconds to wait at most; None is for ever.

        Raises:
            queue.Empty: there was no item in time.
            queue.ShutDown: there is no item and the queue was shut down.
            TypeError: `n` is not an integer.
            ValueError: `n` or `timeout` is negative.

        Progress: as `get`; one step per 64 items at most.
        """

    def drain(self, /) -> list[_T]:
        """Remove and return all items.

        As many as there were when it was called. They do not count as done: call
        ``task_done(len(items))`` for that.

        Progress: as `get`, without waiting.
        """

    def task_done(self, /, n: SupportsIndex = 1) -> None:
        """Say that `n` items that were got are done.

        Raises:
            ValueError: fewer were put and are not done, or `n` is negative; nothing
                has changed.

        Progress: lock-free, apart from waking those in `join`.
        """

    def join(self, /) -> None:
        """Wait until all items that were put are done.

        Progress: parks.
        """

    def shutdown(self, /, immediate: bool = False) -> None:
        """Refuse further items; with `immediate`, drop those that are in the queue.

        Whoever waits in `put` gets ``queue.ShutDown``; whoever waits in `get` too,
        once the queue is empty. Items dropped count as done.

        Args:
            immediate: whether what is in the queue is dropped, at once.

        Progress: lock-free, apart from waking those who wait.
        """

    def qsize(self, /) -> int:
        """Return how many items there are.

        Progress: lock-free.
        """

    def empty(self, /) -> bool:
        """Return whether there is no item.

        Progress: lock-free.
        """

    def full(self, /) -> bool:
        """Return whether there is no room.

        Progress: lock-free.
        """

    async def async_get(self) -> _T:
        """Remove and return the first item, waiting for one.

        For coroutines, of any event loop in any thread. It completes without
        suspending where it can, but lets the loop run others now and then. If it is
        cancelled, no item was removed.

        Raises:
            queue.ShutDown: there is no item and the queue was shut down.
            RuntimeError: it has to wait, and no event loop of asyncio is running.

        Progress: as `get`; it suspends the coroutine, never the thread.
        """

    async def async_get_many(self, n: SupportsIndex) -> list[_T]:
        """Remove and return up to `n` items, waiting for the first.

        For coroutines, as `async_get`.

        Raises:
            queue.ShutDown: there is no item and the queue was shut down.
            TypeError: `n` is not an integer.
            ValueError: `n` is negative.

        Progress: as `get_many`; it suspends the coroutine, never the thread.
        """

    async def async_put(self, item: _T) -> None:
        """Put an item, waiting for room.

        For coroutines, as `async_get`. If it is cancelled, the item was not put.

        Raises:
            queue.ShutDown: the queue was shut down; the item was not put.

        Progress: as `put`; it suspends the coroutine, never the thread.
        """

    async def async_join(self) -> None:
        """Wait until all items that were put are done.

        Progress: it suspends the coroutine, never the thread.
        """

    @property
    def async_q(self) -> AsyncQueue[_T]:
        """The same queue under the names of `asyncio.Queue`."""

    @property
    def maxsize(self) -> int:
        """How many items there may be; 0 is any number.

        It can be set. If there are more items than that, they stay, and nothing is put
        until there is room.
        """

    @maxsize.setter
    def maxsize(self, maxsize: SupportsFloat | SupportsIndex) -> None: ...
    @property
    def unfinished_tasks(self) -> int:
        """How many items were put and are not done."""

    @property
    def is_shutdown(self) -> bool:
        """Whether the queue was shut down."""

    @property
    def mutex(self) -> NoReturn:
        """Absent: there is no lock; each method is atomic by itself."""

    @property
    def queue(self) -> NoReturn:
        """Absent: use `qsize()` or `drain()`."""

    @property
    def not_empty(self) -> NoReturn:
        """Absent: use `get()`."""

    @property
    def not_full(self) -> NoReturn:
        """Absent: use `put()`."""

    @property
    def all_tasks_done(self) -> NoReturn:
        """Absent: use `join()`."""

    def __init_subclass__(cls, /, **keywords: Any) -> None: ...
    def __sizeof__(self, /) -> int: ...
    def __iter__(self, /) -> Iterator[_T]: ...
    def __aiter__(self) -> AsyncIterator[_T]: ...
    def __contains__(self, item: object, /) -> NoReturn: ...
    def __reduce__(self, /) -> NoReturn: ...
    @classmethod
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...

    # What the asynchronous methods are made of; `event` is one of lockfree._async.
    _waiter: type[_Waiter]
    def _hold(self, event: int, /) -> int:
        """Whether it is time for a pause."""

    def _grab(self, nothing: Any, /) -> Any:
        """Get an item, or `nothing`."""

    def _some(self, n: SupportsIndex, nothing: Any, /) -> Any:
        """One attempt to get up to `n` items, for a coroutine; else `nothing`."""

    def _press(self, item: Any, /) -> Any:
        """Put an item; else what to press next, or False if that is the item."""

    def _enrol(self, event: int, waiter: _Waiter, /) -> None:
        """Enrol a coroutine."""

    def _leave(self, event: int, waiter: _Waiter, /) -> None:
        """Take a coroutine off the list; pass on a notification that it does not use."""

    def _take_along(self, other: object, /) -> None:
        """Defer the counting of references to `other` as well, once this queue's is."""

    def _notify(self, event: int, /) -> None:
        """Wake the next one."""

class LifoQueue(Queue[_T]):
    """A queue from which the item that was put last comes out first.

    It has all that `Queue` has but ``force_put``. What was put last is got first; several
    that are got at once come in that order, too.

    Args:
        maxsize: as for `Queue`.

    Progress: putting and getting take a lock for some instructions, in which nothing
    else runs: a finalizer or a signal handler may use the queue that it interrupts.

    Examples:
        >>> q = LifoQueue()
        >>> q.put_many(["a", "b", "c"])
        3
        >>> q.get()
        'c'
        >>> q.drain()
        ['b', 'a']
    """

    def __init__(self, maxsize: SupportsFloat | SupportsIndex = 0) -> None: ...
    @property
    def force_put(self) -> NoReturn:
        """Absent: only a `Queue` has it."""

class PriorityQueue(Queue[_T]):
    """A queue from which the smallest item comes out first.

    It has all that `Queue` has but ``force_put``. Of items of the same priority, the one
    that was put first comes out first. An item's priority is the number that it is, or
    all the numbers that it begins with, if it is a tuple: that of ``(1, 30, job)`` is
    ``(1, 30)``, and ``job`` is never compared. A number is as good as a tuple of one.
    Numbers are those of ``int`` and ``float`` and compare exactly.

    Args:
        maxsize: as for `Queue`.
        key: called with each item that is put, with nothing held, once; returns its
            priority, a number or a tuple of numbers. The items themselves may be anything
            then.

    Raises:
        TypeError: `key` cannot be called. From all that put: an item has no priority, or what `key`
            returned is none.
        ValueError: the same: NaN has no order. Nothing was put.

    Progress: putting and getting take a lock for some instructions, in which nothing
    else runs: a finalizer or a signal handler may use the queue that it interrupts.
    They take time logarithmic in the number of items.

    Examples:
        >>> q = PriorityQueue()
        >>> q.put_many([(2, "later"), (1, "b"), (1, "a")])
        3
        >>> q.drain()
        [(1, 'b'), (1, 'a'), (2, 'later')]
        >>> q = PriorityQueue(key=len)
        >>> q.put_many(["ccc", "a", "bb"])
        3
        >>> q.get()
        'a'
    """

    def __init__(
        self,
        maxsize: SupportsFloat | SupportsIndex = 0,
        *,
        key: Callable[[_T], Any] | None = None,
    ) -> None: ...
    @property
    def force_put(self) -> NoReturn:
        """Absent: only a `Queue` has it."""

@final
class _Waiter:
    """A coroutine that waits for an event of its owner."""

    def __new__(cls, owner: Any, event: int, event_loop: Any, /) -> Self: ...
    _asyncio_future_blocking: bool
    def get_loop(self) -> Any:
        """The loop in which it is awaited."""

    def __await__(self) -> Self: ...
    def __next__(self) -> Self:
        """Give itself to the task, unless it is woken already."""

    def add_done_callback(self, callback: Any, /, *, context: Any = None) -> None:
        """What the task asks for when it falls asleep."""

    def cancel(self, msg: Any = None) -> bool:
        """Wake the task with a `CancelledError`, unless it is woken already."""

    def rouse(self) -> None:
        """Wake the task, whoever else waits."""

    def done(self) -> bool:
        """Whether the task is to be awake."""

    def cancelled(self) -> bool:
        """Whether it was cancelled."""

    def result(self) -> None:
        """Raise the `CancelledError`, if it was cancelled."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Wake the task, if it sleeps and is to be woken."""

@final
class _Door:
    """A loop's hold of its door."""

@final
class _Reader:
    """What a loop calls when the descriptor is readable."""

    def __call__(self, *args: Any, **kwargs: Any) -> None: ...

@final
class _Call:
    """What a loop calls that was asked to."""

    def __call__(self, *args: Any, **kwargs: Any) -> None: ...

@disjoint_base
class Stack(Generic[_T]):
    """A last-in, first-out stack that threads can share without a lock.

    Each operation is one atomic step, batches too: no other thread sees half of
    a ``push_many``, and each item is popped exactly once. What a thread did
    before it pushed an item is seen by the thread that pops it.

    ``len(s)``, ``bool(s)`` and iteration tell what was true at one moment during
    the call; by the time one looks at the answer, other threads may have changed
    it. Iteration goes over a snapshot, the uppermost item first, and never fails
    because of a change.

    Every method may be called from a finalizer, a weakref callback or a signal
    handler, also while the same thread is inside the same stack.

    When a method that removes items returns, the stack's references to them are
    gone, unless another thread was just looking at them (iteration, ``repr``, the first
    ``peek`` at an item); the last such thread to leave then drops them. The memory of the items'
    places, 16 bytes each, is kept for later pushes; what was not needed for a second
    goes back to the system in a later ``pop``, ``pop_many``, ``pop_all`` or ``clear``.

    Prefer ``collections.deque`` unless you need ``pop_all``, batches, re-entry, or
    its tail latency.

    On free-threaded CPython 3.14 and later, a stack that threads keep contending for stops
    being reference counted, which makes sharing it cheap; it is then freed by the
    garbage collector, and its items with it, and no longer at once.

    Args:
        iterable: items to push, the last one uppermost.

    Progress: lock-free, allocation aside, as each method says. Source: R. K.
    Treiber, "Systems Programming: Coping with Parallelism", IBM RJ 5118, 1986, with
    a version tag against ABA and announced readers.

    Examples:
        >>> s = Stack([1, 2])
        >>> s.push(3)
        >>> s.pop()
        3
        >>> s.pop_all()
        [2, 1]
        >>> s.pop(default=None) is None
        True
    """

    def __init__(self, iterable: Iterable[_T] = ()) -> None: ...
    def push(self, item: _T, /) -> None:
        """Put `item` on top.

        Raises:
            MemoryError: there is no memory for a place; nothing was pushed.

        Progress: lock-free.
        """

    def push_many(self, iterable: Iterable[_T], /) -> None:
        """Push the items of `iterable` in one step, the last one uppermost.

        The result is as if the items had been pushed one after the other with
        nothing in between. The iterable is exhausted first: if it raises, nothing
        is pushed.

        Raises:
            TypeError: it is not iterable.
            MemoryError: there is no memory for the places; nothing was pushed.
            Exception: whatever the iterable raises.

        Progress: lock-free; linear in the number of items.
        """

    @overload
    def pop(self, /) -> _T: ...
    @overload
    def pop(self, /, *, default: _D = ...) -> _T | _D:
        """Remove the top item and return it.

        Args:
            default: what to return if the stack is empty.

        Raises:
            IndexError: the stack is empty and there is no `default`.

        Progress: lock-free.
        """

    @overload
    def peek(self, /) -> _T: ...
    @overload
    def peek(self, /, *, default: _D = ...) -> _T | _D:
        """Return the top item and leave it there.

        Args:
            default: what to return if the stack is empty.

        Raises:
            IndexError: the stack is empty and there is no `default`.

        Progress: lock-free; it makes no other thread wait.
        """

    def pop_many(self, n: SupportsIndex, /) -> list[_T]:
        """Remove up to `n` items in one step and return them, the uppermost first.

        Fewer are returned only if there were fewer. The list is made before
        anything is popped.

        Raises:
            TypeError: `n` is not an integer.
            ValueError: `n` is negative. In each case nothing was popped.
            OverflowError: `n` does not fit in 64 bits.
            MemoryError: there is no memory for the list.

        Progress: lock-free; linear in the number of items.
        """

    def pop_all(self, /) -> list[_T]:
        """Remove all items in one step and return them, the uppermost first.

        Raises:
            MemoryError: there is no memory for the list; nothing was popped.

        Progress: lock-free; linear in the number of items.
        """

    def clear(self, /) -> None:
        """Remove all items in one step.

        Their finalizers run afterwards, one after the other, and may use this
        stack: what they push stays.

        Progress: lock-free; linear in the number of items.
        """

    def __len__(self, /) -> int: ...
    def __bool__(self, /) -> bool: ...
    def __sizeof__(self, /) -> int: ...
    def __iter__(self, /) -> Iterator[_T]: ...
    def __reduce__(self, /) -> NoReturn: ...
    @classmethod
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...

@disjoint_base
class Cache(MutableMapping[_K, _V]):
    """A mapping of bounded size that threads can share, and whose hits take no lock.

    When there is no room for a new entry another one is evicted. Which one is
    decided by S3-FIFO: what was used again since it came in stays, what came in and
    was not used goes early. `[]`, ``get``, ``setdefault`` and ``get_or_load`` count as a
    hit or a miss, and mark the entry as used; ``in``, ``len``, iteration, the
    views, ``==`` and ``pop`` do neither. An entry whose time to live is over is absent
    everywhere, also before it is dropped; in its grace it is served by ``get_or_load`` and
    ``async_get_or_load``, and absent everywhere else.

    Iteration never fails because of a change: keys that are there throughout appear
    once, others at most once. ``==`` compares with any mapping, so a cache is
    unhashable, like a dict. It can be copied and pickled, with what its entries weigh and have left
    to live; the copy shares nothing with it, and counts from the beginning.

    In a subclass, what you override the other methods go by, as with a ``MutableMapping``:
    ``get``, ``setdefault``, ``pop``, ``update`` and loads by ``[]``, ``[]=`` and ``del``; ``[]=``
    by ``put``; and ``[]``, alone, by ``__missing__``. They are several steps then, no longer
    one. What was loaded is kept without any of them.

    No code of yours (``__hash__``, ``__eq__``, ``__del__``, loaders, `weigher`,
    `on_evict`) runs while anything is locked: each may use the cache, and an
    exception in ``__hash__`` or ``__eq__`` reaches the caller. Every method may be called
    from a finalizer, a weakref callback or a signal handler.

    On free-threaded CPython 3.14 and later, a cache that threads keep contending for stops
    being reference counted, which makes sharing it cheap; it is then freed by the
    garbage collector, and its entries with it, and no longer at once.

    Args:
        maxsize: what the entries may weigh together; None is no bound, nor is ``math.inf``.
            Without a `weigher` each weighs 1. With 0 nothing is kept. It is exceeded, if at all,
            by no more than one entry for each thread that is just putting one.
        ttl: how many seconds an entry lives after it was put; None is for ever.
        grace: for how many seconds after that ``get_or_load`` and ``async_get_or_load`` serve
            it as it is, while one of their callers loads it anew; None is for none.
        weigher: called as ``weigher(key, value)``, returns what the entry weighs. One that
            weighs more than `maxsize` is evicted at once. What weighs 0 is never evicted for
            others; of such there are at most 10,000, or `maxsize`, if that is more.
        on_evict: called as ``on_evict(key, value, reason)`` after an entry was dropped
            without being asked for; the reason is ``'size'`` or ``'expired'``. It is not told of
            what goes by ``pop``, ``popitem``, ``del`` or ``clear``, of a value that is replaced,
            nor of what is left when the cache itself goes. What it raises goes to
            ``sys.unraisablehook``.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: `maxsize` is negative, or `ttl` or `grace` is not positive.
        OverflowError: `maxsize` does not fit in 64 bits.

    Progress: hits take no lock, changes lock one shard, as each method says. Source: J. Yang,
    Y. Zhang, Z. Qiu, Y. Yue, K. V. Rashmi, "FIFO Queues are All You Need for Cache
    Eviction", SOSP 2023.

    Examples:
        >>> squares = Cache(2)
        >>> squares[3] = 9
        >>> squares.get_or_load(4, lambda n: n * n)
        16
        >>> squares.get(5) is None
        True
        >>> squares.stats()
        CacheStats(hits=0, misses=2, evictions=0, expirations=0, loads=1, waits=0, stale=0, size=2)
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]
    __reversed__: ClassVar[None]

    def __init__(
        self,
        maxsize: SupportsIndex | float | None,
        *,
        ttl: float | None = None,
        grace: float | None = None,
        weigher: Callable[[_K, _V], int] | None = None,
        on_evict: Callable[[_K, _V, str], object] | None = None,
    ) -> None: ...
    @property
    def maxsize(self) -> int | None:
        """The bound of `weight`; None is no bound.

        It can be set. What is too much then is evicted, which `on_evict` and ``stats`` are told.
        """

    @maxsize.setter
    def maxsize(self, maxsize: SupportsIndex | float | None) -> None: ...
    @property
    def ttl(self) -> float | None:
        """How many seconds an entry lives, where `put` says nothing else; None is for ever."""

    @property
    def grace(self) -> float | None:
        """How many seconds more loading calls have an entry while one of them loads it anew."""

    @property
    def weight(self) -> int:
        """What the entries weigh together: their number, if there is no `weigher`.

        What has expired counts until it is dropped.
        """

    @overload
    def get(self, key: _K, /) -> _V | None: ...
    @overload
    def get(self, key: _K, default: _V | _D = ..., /) -> _V | _D: ...
    @overload
    def get(self, key: _K, default: Any = None, /) -> Any:
        """Return the value of a key, or `default`.

        Counts a hit or a miss, and marks the entry as used.

        Progress: lock-free; a key's ``__eq__`` aside.
        """

    def __getitem__(self, key: _K, /) -> _V: ...
    def __setitem__(self, key: _K, value: _V, /) -> None: ...
    def __delitem__(self, key: _K, /) -> None: ...
    def put(self, key: _K, value: _V, /, *, ttl: float | None = ...) -> None:
        """Give a key a value, with a time to live of its own if `ttl` is given.

        Args:
            key: the key.
            value: its value; one that it had before is replaced.
            ttl: how many seconds it lives; None is for ever, whatever the cache's own.

        Raises:
            TypeError: `ttl` is not a number, or `weigher` returned no integer.
            ValueError: `ttl` is not positive, or the entry's weight negative.
            Exception: whatever `weigher` raises; nothing was put.

        Progress: locks one shard.
        """

    @overload
    def setdefault(self: Cache[_K, _D | None], key: _K, default: None = None, /) -> _D | None: ...
    @overload
    def setdefault(self, key: _K, default: _V, /) -> _V: ...
    @overload
    def setdefault(self, key: _K, default: Any = None, /) -> Any:
        """Return the value of a key, after giving it `default` if it has none.

        Of several threads that do so at once all return the same value. Counts a
        hit or a miss.

        Progress: lock-free if the key is there, else locks one shard.
        """

    @overload
    def pop(self, key: _K, /) -> _V: ...
    @overload
    def pop(self, key: _K, default: _V | _D = ..., /) -> _V | _D: ...
    @overload
    def pop(self, key: _K, default: Any = ..., /) -> Any:
        """Remove a key and return its value, or `default`.

        Raises:
            KeyError: it is not there and there is no `default`.

        Progress: locks one shard.
        """

    def popitem(self, /) -> tuple[_K, _V]:
        """Remove the next victim of an eviction and return it with its key.

        Raises:
            KeyError: the cache is empty.

        Progress: locks one shard at a time.
        """

    def clear(self, /) -> None:
        """Remove all entries.

        What other threads put meanwhile may stay. The statistics go on.

        Progress: locks one shard at a time.
        """

    def expire(self, /) -> int:
        """Drop the entries whose time is up, and their grace; return how many.

        They are absent without it, too, but their memory is kept until a look-up, a
        ``put`` or ``len`` comes upon them.

        Progress: locks one shard at a time; linear in the number of entries.
        """

    def update(self, other: Any = (), /, **kwds: _V) -> None:
        """Put the entries of a mapping, or of an iterable of pairs, and `kwds`.

        One after the other: other threads see what was put so far.

        Progress: as `put`.
        """

    def copy(self) -> Self:
        """Return a cache of its own with the same entries.

        They weigh and have left to live what they do here; those in their grace stay behind. It
        is of the same class, with the same bound, times, `weigher` and `on_evict`, of which none
        is called, and with the attributes that a subclass adds. Loads that are under way
        and the statistics are not copied.

        ``copy.copy`` does the same, ``copy.deepcopy`` copies keys and values as well, and
        pickling takes down the times that are left: they begin to run again with the
        unpickling. A `weigher` and an `on_evict` are pickled by reference, as functions are.

        Progress: as iteration, then as ``put`` for each entry.
        """

    def keys(self) -> KeysView[_K]:
        """Return a view of the keys."""

    def values(self) -> ValuesView[_V]:
        """Return a view of the values.

        To iterate over it is to iterate over a snapshot; nothing is counted or marked.
        """

    def items(self) -> ItemsView[_K, _V]:
        """Return a view of the keys with their values.

        To iterate over it is to iterate over a snapshot; nothing is counted or marked.
        """

    def get_or_load(
        self,
        key: _K,
        loader: Callable[[_K], _V],
        /,
        *,
        ttl: float | None = ...,
        timeout: float | None = None,
    ) -> _V:
        """Return the value of a key, which is `loader(key)` if it has none.

        Of several threads and tasks that miss a key at the same time one calls its
        loader, and the others wait for what comes of it. They all return the same
        value, or raise the same ``Exception``, which is not kept: each a copy of it, with
        the loader's frames and its own, if its class leaves copying to Python. An
        exception that is no ``Exception`` (``KeyboardInterrupt``, ``SystemExit``, a
        cancellation) is its own caller's alone: then one of those who waited calls its
        own loader. Who waits can be interrupted.

        The value is put when it is there, unless the key, or another one of the same hash,
        was put or removed since the loader was called: what was written last stays.

        In its grace an entry is served as it is while a caller loads it anew: a thread that
        asks first, itself. If that load fails the entry stays, and is served until its grace
        ends, to that thread as well; the ``Exception`` then goes to ``sys.unraisablehook``.

        Whatever the loader asks for on its own thread counts as asked by it. What it
        asks for through other threads cannot be known: if that is its own key,
        it waits for itself for ever. Greenlets of one thread do not wait for each other:
        each loads.

        Args:
            key: the key.
            loader: is called with the key.
            ttl: how many seconds what is loaded lives, as for `put`.
            timeout: how many seconds to wait for another's load; None is for ever. The load
                goes on.

        Raises:
            TimeoutError: another's load took longer than `timeout`.
            RuntimeError: the loader asks for its own key, directly or through loads in
                other threads and tasks that it waits for; or the wait would block the
                event loop in which the key is loaded.
            TypeError: the loader returned a coroutine; or `ttl` is not a number.
            ValueError: `ttl` is not positive, or `timeout` negative.
            Exception: whatever the loader raises.

        Progress: lock-free if the key is there; parks while another loads it.
        """

    async def async_get_or_load(
        self,
        key: _K,
        loader: Callable[[_K], Awaitable[_V]],
        /,
        *,
        ttl: float | None = ...,
        timeout: float | None = None,
        shield: bool = False,
    ) -> _V:
        """Return the value of a key, which is `await loader(key)` if it has none.

        As `get_or_load`, with which it shares its loads: threads, and tasks of any
        number of event loops, wait for each other. The loader runs in a task of its own,
        in a copy of the caller's context, and goes on as long as anybody waits for it: when
        the last one is cancelled, it is. If its event loop is closed, one of those who
        wait calls its own loader.

        In its grace an entry is served as it is, to the first who asks as well, whose loader
        then runs in a task that goes on by itself. If that fails the entry stays until its
        grace ends, and the event loop's exception handler is told.

        What the loader asks for in that task counts as asked by it. What it asks for
        through tasks that it makes cannot be known: if that is its own key, it waits
        for itself for ever.

        Args:
            key: the key.
            loader: is called with the key, and awaited.
            ttl: how many seconds what is loaded lives, as for `put`.
            timeout: how many seconds to wait for the load, one's own as well; None is for ever.
            shield: whether the load goes on when nobody waits for it any more. If it fails
                then, the event loop's exception handler is told.

        Raises:
            TimeoutError: the load took longer than `timeout`.
            RuntimeError: the loader asks for its own key, as with `get_or_load`; or it
                has to load or wait, and no event loop of asyncio is running.
            TypeError: `ttl` is not a number, or what the loader returned cannot be awaited.
            ValueError: `ttl` is not positive, or `timeout` negative.
            Exception: whatever the loader raises.

        Progress: lock-free if the key is there; suspends the task, never the thread.
        """

    def stats(self) -> CacheStats:
        """Return how often the cache was asked, and what became of its entries.

        A named tuple of ``hits``, ``misses``, ``evictions``, ``expirations``, ``loads``,
        ``waits`` (for another's load), ``stale`` (served in its grace) and ``size``: each exact
        by itself, not all of the same moment.

        Progress: takes the lock of the statistics' sums, which no look-up takes; `size` as ``len``.
        """

    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self, /) -> int: ...
    def __sizeof__(self, /) -> int: ...
    def __iter__(self, /) -> Iterator[_K]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __init_subclass__(cls, /, **keywords: Any) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __setstate__(self, state: Any) -> None: ...
    @classmethod
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...

    # What the shared methods are made of.
    _cached_function: type[_CachedFunction]
    def _flights(self, process: int, /) -> dict[Any, Any]:
        """Return the loads of a process that are under way; of lockfree._loading."""

    _base: ClassVar[type[Cache[Any, Any]]]
    def _arguments(self, /) -> tuple[Any, ...]:
        """Return what `__init__` got."""

    def _dump(self, /) -> list[tuple[_K, _V, float | None, int]]:
        """Return a snapshot of keys, values, seconds left to live and weights."""

    def _restore(self, key: _K, value: _V, left: float | None, weight: int, /) -> None:
        """Put one of another cache's `_dump`, with what it weighed there."""

    def _items(self, /) -> Iterable[tuple[_K, _V]]:
        """Return a snapshot of keys and values."""

    def _peek(self, key: object, default: Any, /) -> Any:
        """Return the value of a key, or `default`; neither count nor mark."""

    def _stale(self, key: object, default: Any, /) -> Any:
        """Return the value of a key whose time is over, and its grace not yet, or `default`."""

    def _stats(self, /) -> tuple[int, int, int, int, int, int, int, int]:
        """Return what `stats` names."""

    def _take_along(self, other: object, /) -> None:
        """Defer the counting of references to `other` as well, once this cache's is."""

    def _count_load(self, /) -> None:
        """Count the call of a loader."""

    def _count_wait(self, /) -> None:
        """Count that a caller waits for the load of another."""

    def _count_stale(self, /) -> None:
        """Count that a caller has what is in its grace."""

    def _seconds(self, ttl: float | None, /) -> float | None:
        """Return how long what is loaded is to live, as a number."""

    def _ticket(self, key: _K, /) -> _Ticket:
        """Return what `_keep` wants of who began to load the key now."""

    def _keep(self, ticket: _Ticket, key: _K, value: _V, /, *ttl: float | None) -> None:
        """Put what was loaded, unless the key was put or removed since the ticket was issued."""

@disjoint_base
class ConcurrentDict(MutableMapping[_K, _V]):
    """A dictionary that threads can share, whose updates of a key are atomic.

    It has what ``dict`` has, except an order: iteration comes upon the keys as it may. It never
    fails because of a change: keys that are there throughout appear once, others at most
    once. ``==`` compares with any mapping, so it is unhashable. ``copy()`` and ``|`` make another
    one; pickling is refused.

    What a ``dict`` lacks is the update that depends on the value before, as ``d[k] += 1`` does:
    here it is ``d.compute(k, lambda n: n + 1, 0)``, and no other thread's comes between. An
    *expected* value is the very object, or equal to it if both are of exactly the same type and
    that is ``int``, ``float``, ``str`` or ``bytes``.

    No code of yours (``__hash__``, ``__eq__``, ``__del__``, loaders, `fn`) runs while anything is
    locked: each may use the dictionary, and an exception in it reaches the caller. Every method
    may be called from a finalizer, a weakref callback or a signal handler.

    On free-threaded CPython 3.14 and later, a dictionary that threads keep contending for stops
    being reference counted, which makes sharing it cheap; it is then freed by the garbage
    collector, and what is in it as well, and no longer at once.

    Args:
        iterable: what is put first: a mapping, or an iterable of pairs.
        weak_values: whether an entry goes with its value: the dictionary does not keep it
            alive. Then ``get_or_load`` and ``setdefault`` never return two objects for one key
            that are alive at once, unless the key was removed or given another value.

    Raises:
        TypeError: an argument is of the wrong type; with `weak_values`, one of the values
            cannot be referred to weakly.

    Progress: what looks takes no lock; what changes waits for others who change the same key,
    or locks one shard, as each method says.

    Examples:
        >>> stock = ConcurrentDict({"apples": 3})
        >>> stock.compute("apples", lambda n: n - 1)
        2
        >>> stock.compute("pears", lambda n: n + 5, 0)
        5
        >>> stock.compare_exchange("pears", 5, 4)
        True
        >>> stock.compare_remove("apples", 3)
        False
        >>> sorted(stock.items())
        [('apples', 2), ('pears', 4)]
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]
    __reversed__: ClassVar[None]

    def __init__(
        self,
        iterable: Mapping[_K, _V] | Iterable[tuple[_K, _V]] = (),
        /,
        *,
        weak_values: bool = False,
    ) -> None: ...
    @overload
    def get(self, key: _K, /) -> _V | None: ...
    @overload
    def get(self, key: _K, default: _V | _D = ..., /) -> _V | _D: ...
    @overload
    def get(self, key: _K, default: Any = None, /) -> Any:
        """Return the value of a key, or `default`.

        Progress: lock-free; a key's ``__eq__`` aside.
        """

    def __getitem__(self, key: _K, /) -> _V: ...
    def __setitem__(self, key: _K, value: _V, /) -> None: ...
    def __delitem__(self, key: _K, /) -> None: ...
    @overload
    def setdefault(
        self: ConcurrentDict[_K, _D | None], key: _K, default: None = None, /
    ) -> _D | None: ...
    @overload
    def setdefault(self, key: _K, default: _V, /) -> _V: ...
    @overload
    def setdefault(self, key: _K, default: Any = None, /) -> Any:
        """Return the value of a key, after giving it `default` if it has none.

        Of several threads that do so at once all return the same value.

        Progress: lock-free if the key is there, else locks one shard.
        """

    @overload
    def compute(self, key: _K, fn: Callable[[_V], _V], /) -> _V: ...
    @overload
    def compute(self, key: _K, fn: Callable[[_V | _D], _V], /, default: _D = ...) -> _V:
        """Give a key the value `fn(old)`, and return it; `fn` may be called several times.

        It is called with the value of the key, with nothing locked; if the key has another one
        when it returns, it is called again. So it should do nothing but compute. It cannot
        remove the key.

        Args:
            key: the key.
            fn: is called with the old value, and returns the new one.
            default: the old value, if there is none.

        Raises:
            KeyError: the key is not there and there is no `default`.
            Exception: whatever `fn` raises; nothing was changed.

        Progress: if `fn` is called again, another thread has changed the key. To put what it
        returned waits for others who change the key, for some instructions; or, where the key is
        new, locks one shard.
        """

    @overload
    def exchange(self, key: _K, value: _V, /) -> _V: ...
    @overload
    def exchange(self, key: _K, value: _V, /, default: _V | _D) -> _V | _D: ...
    @overload
    def exchange(self, key: _K, value: _V, /, default: Any = ...) -> Any:
        """Give a key a value, and return the one that it had, or `default`.

        Raises:
            KeyError: the key is not there and there is no `default`; it was not put.

        Progress: as `compute`.
        """

    def compare_exchange(self, key: _K, expected: Any, desired: _V, /) -> bool:
        """Give a key a value if it has the expected one; return whether it had.

        Progress: as `compute`.
        """

    def compare_remove(self, key: _K, expected: Any, /) -> bool:
        """Remove a key if it has the expected value; return whether it had.

        Progress: locks one shard.
        """

    @overload
    def pop(self, key: _K, /) -> _V: ...
    @overload
    def pop(self, key: _K, default: _V | _D = ..., /) -> _V | _D: ...
    @overload
    def pop(self, key: _K, default: Any = ..., /) -> Any:
        """Remove a key and return its value, or `default`.

        Raises:
            KeyError: it is not there and there is no `default`.

        Progress: locks one shard.
        """

    def popitem(self, /) -> tuple[_K, _V]:
        """Remove some key and return it with its value.

        Which one is not said.

        Raises:
            KeyError: there is none.

        Progress: locks one shard at a time.
        """

    def clear(self, /) -> None:
        """Remove everything.

        What other threads put meanwhile may stay.

        Progress: locks one shard at a time.
        """

    def update(self, other: Any = (), /, **kwds: _V) -> None:
        """Put the entries of a mapping, or of an iterable of pairs, and `kwds`.

        One after the other: other threads see what was put so far.

        Progress: locks one shard if the key is new, else waits for others who change it.
        """

    @classmethod
    def fromkeys(cls, iterable: Iterable[_K], value: Any = None, /) -> Any:
        """Return a dictionary in which each key of an iterable has the same value."""

    def copy(self) -> Any:
        """Return another dictionary with the same keys and values.

        They are a snapshot, a thousand keys at a time; each value is of a moment of its own.
        """

    def keys(self) -> KeysView[_K]:
        """Return a view of the keys."""

    def values(self) -> ValuesView[_V]:
        """Return a view of the values.

        To iterate over it is to iterate over a snapshot.
        """

    def items(self) -> ItemsView[_K, _V]:
        """Return a view of the keys with their values.

        To iterate over it is to iterate over a snapshot.
        """

    def get_or_load(
        self, key: _K, loader: Callable[[_K], _V], /, *, timeout: float | None = None
    ) -> _V:
        """Return the value of a key, which is `loader(key)` if it has none.

        As ``Cache.get_or_load``: of several threads and tasks that miss a key at the same time
        one calls its loader, and the others wait for what comes of it.

        Args:
            key: the key.
            loader: is called with the key.
            timeout: how many seconds to wait for another's load; None is for ever. The load
                goes on.

        Raises:
            TimeoutError: another's load took longer than `timeout`.
            RuntimeError: the loader asks for its own key, or the wait would block the event
                loop in which the key is loaded.
            TypeError: the loader returned a coroutine.
            Exception: whatever the loader raises.

        Progress: lock-free if the key is there; parks while another loads it.
        """

    async def async_get_or_load(
        self,
        key: _K,
        loader: Callable[[_K], Awaitable[_V]],
        /,
        *,
        timeout: float | None = None,
        shield: bool = False,
    ) -> _V:
        """Return the value of a key, which is `await loader(key)` if it has none.

        As ``Cache.async_get_or_load``; it shares its loads with `get_or_load`.

        Args:
            key: the key.
            loader: is called with the key, and awaited.
            timeout: how many seconds to wait for the load, one's own as well; None is for ever.
            shield: whether the load goes on when nobody waits for it any more. If it fails
                then, the event loop's exception handler is told.

        Raises:
            TimeoutError: the load took longer than `timeout`.
            RuntimeError: the loader asks for its own key, as with `get_or_load`; or it
                has to load or wait, and no event loop of asyncio is running.
            TypeError: what the loader returned cannot be awaited.
            Exception: whatever the loader raises.

        Progress: lock-free if the key is there; suspends the task, never the thread.
        """

    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self, /) -> int: ...
    def __iter__(self, /) -> Iterator[_K]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __init_subclass__(cls, /, **keywords: Any) -> None: ...
    def __or__(self, other: Mapping[Any, Any], /) -> Any: ...
    def __ror__(self, other: Mapping[Any, Any], /) -> Any: ...
    def __ior__(self, other: Any, /) -> Self: ...  # type: ignore[misc]
    def __copy__(self) -> Any: ...
    def __reduce__(self, /) -> NoReturn: ...
    @classmethod
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...

    # What the shared methods are made of.
    _base: ClassVar[type[ConcurrentDict[Any, Any]]]
    def _flights(self, process: int, /) -> dict[Any, Any]:
        """Return the loads of a process that are under way; of lockfree._loading."""

    @property
    def _weak_values(self) -> bool:
        """Whether an entry goes with its value."""

    def _items(self, /) -> list[tuple[_K, _V]]:
        """Return a snapshot of keys and values."""

    def _peek(self, key: object, default: Any, /) -> Any:
        """Return the value of a key, or `default`."""

    def _ticket(self, key: _K, /) -> _Ticket:
        """Return what `_keep` wants of who began to load the key now."""

    def _keep(self, ticket: _Ticket, key: _K, value: _V, /) -> None:
        """Put what was loaded, unless the key was put or removed since the ticket was issued."""

@disjoint_base
class KeyedCounter(Generic[_K]):
    """A counter for each key, which many threads add to; it hands out none of them.

    It counts as ``collections.Counter`` does, and exactly: ``c[key] += 1`` of that loses
    additions of threads that run at the same time, ``c.add(key)`` of this loses none. A count is
    an ``int`` of any size. A key that was never added to counts 0, and is not in it.

    An addition to a key that is there takes no lock, and threads that add to the same key do
    not slow each other down for long: its count is then kept in several places, whose sum it
    is. It contains every addition that happened before one looks, and none twice; of two
    additions that other threads make meanwhile it may contain the later and not the earlier.

    Each addition is in exactly one ``reset``, or in what remains.

    With `maxsize`, a new key is let in only while there are fewer; what is added to others is
    counted together, as `other`. So labels that come from outside cannot fill the memory.

    ``==`` compares the counts with those of a mapping or another counter, as two
    ``collections.Counter`` do: a key that is not there counts 0. So a counter is unhashable, like a
    dict. `other` is not compared.

    No code of yours (``__hash__``, ``__eq__``, ``__del__``) runs while anything is locked: each may
    use the counter, and an exception in it reaches the caller. Every method may be called from
    a finalizer, a weakref callback or a signal handler. Copying and pickling are refused, since a
    copy would not be shared.

    On free-threaded CPython 3.14 and later, a counter that threads keep contending for stops
    being reference counted, which makes sharing it cheap; it is then freed by the garbage
    collector, and its keys as well, and no longer at once.

    Args:
        iterable: what is counted first, as by `update`.
        maxsize: how many keys there may be; None is any number.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: `maxsize` is negative.

    Progress: adding to a key that is there is lock-free; a new key locks one shard. Source: D. Lea,
    ``LongAdder``, JDK 8, for each key that goes from thread to thread all the time.

    Examples:
        >>> requests = KeyedCounter()
        >>> requests.add("GET")
        >>> requests.add("PUT", 5)
        >>> requests["PUT"], requests["POST"]
        (5, 0)
        >>> requests.most_common(1)
        [('PUT', 5)]
        >>> requests.reset("PUT")
        5
        >>> sorted(requests.reset().items())
        [('GET', 1), ('PUT', 0)]
        >>> requests
        KeyedCounter({})
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(
        self,
        iterable: Mapping[_K, SupportsIndex] | Iterable[_K] = (),
        /,
        *,
        maxsize: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def maxsize(self) -> int | None:
        """How many keys there may be; None is any number."""

    @property
    def other(self) -> int:
        """What was added to keys for which there was no room.

        No reset takes it away.

        Progress: takes a lock, which additions to it do not wait for.
        """

    def add(self, key: _K, n: SupportsIndex = 1, /) -> None:
        """Add `n` to the count of a key, which begins at 0.

        It returns nothing, since no thread knows the count.

        Raises:
            TypeError: `n` is not an integer, or the key has no hash.
            OverflowError: `n` does not fit in 64 bits.

        Progress: lock-free if the key is there; a key's ``__eq__`` aside. Else locks one shard.
        """

    @overload
    def reset(self, /) -> dict[_K, int]: ...
    @overload
    def reset(self, key: _K, /) -> int: ...
    @overload
    def reset(self, key: Any = ..., /) -> Any:
        """Start again at 0 and return the counts so far; with a key, its count alone.

        With a key, that stays, and counts 0. Without one, all keys are dropped at one moment, and
        the dict has each with its count.

        Should a key's ``__hash__`` or ``__eq__`` raise, or memory be missing, for the dict, what
        was taken away is added again; what cannot be, to `other`.

        Progress: with a key lock-free, unless its count is striped, which takes a lock.
        Without one, locks all shards for some instructions.
        """

    def __getitem__(self, key: _K, /) -> int: ...
    def __setitem__(self, key: _K, value: object, /) -> NoReturn: ...
    def __delitem__(self, key: _K, /) -> NoReturn: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self, /) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __sizeof__(self, /) -> int: ...
    def __iter__(self, /) -> Iterator[_K]: ...
    def keys(self) -> list[_K]:
        """Return a snapshot of the keys."""

    def values(self) -> list[int]:
        """Return a snapshot of the counts."""

    def items(self) -> list[tuple[_K, int]]:
        """Return a snapshot of the keys with their counts.

        Keys that are there throughout appear once, others at most once; each count is read by
        itself.

        Progress: locks one shard at a time.
        """

    def most_common(self, n: int | None = None) -> list[tuple[_K, int]]:
        """Return the `n` keys with the highest counts, and these, the highest first.

        Without `n` all of them. Keys of equal counts are in no particular order.

        Progress: as `items`.
        """

    def total(self) -> int:
        """Return the sum of all counts, and of `other`.

        Progress: as `items`.
        """

    def update(self, iterable: Mapping[_K, SupportsIndex] | Iterable[_K] = (), /) -> None:
        """Count the items of an iterable, or add the counts of a mapping.

        One after the other, as by `add`.

        Progress: as `add`.
        """

    def __reduce__(self) -> NoReturn: ...
    @classmethod
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...

    # What the shared methods are made of.
    def _items(self, /) -> Iterable[tuple[_K, int]]:
        """Return a snapshot of keys and counts."""

@final
class _Removal:
    """Removes a key from a dictionary when its value is gone."""

    def __call__(self, reference: Any, /) -> None: ...

@final
class _Ticket:
    """Whether what is loaded may still be kept."""

@final
class _Entry:
    """An item and its priority, for a coroutine that waits for room."""

@final
class _OnceFunction:
    """A function with a value; `miss` is called while there is none."""

    def __new__(cls, cell: AtomicRef[Any], unset: type, miss: Callable[[], Any], /) -> Self: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any: ...
    def __copy__(self, /) -> Self: ...
    def __deepcopy__(self, memo: object, /) -> Self: ...
    def __reduce__(self, /) -> str: ...

@final
class _CachedFunction:
    """A function whose results are in a cache; `miss` is called with what is not."""

    def __new__(
        cls,
        cache: Cache[Any, Any],
        function: Callable[..., Any],
        typed: bool,
        miss: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any],
        maker: Callable[[tuple[Any, ...], dict[str, Any]], Any] | None,
        is_shared: bool,
        /,
    ) -> Self: ...
    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Any:
        """Return the key of a call."""
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Any: ...
    def __copy__(self, /) -> Self: ...
    def __deepcopy__(self, memo: object, /) -> Self: ...
    def __reduce__(self, /) -> str: ...

@final
class StripedCounter:
    """A counter for many threads that add and few that look.

    Each running thread adds to a cell of its own, in a cache line that no other
    thread writes, so that threads which count at the same time do not slow each
    other down. The sum has to visit all cells. For a value that is read as often
    as it is written, or compared and exchanged, take ``AtomicInt64``.

    ``sum()`` contains every addition that happened before it, and none twice. The cells
    are read one after the other: of two additions that other threads make
    meanwhile it may contain the later and not the earlier one. While no thread adds it is exact.
    What a thread did before an addition is seen by whoever finds that in a sum.

    Each addition is counted by exactly one ``reset()``, or by the sums after it.

    A thread that ends leaves its count behind, and its cell to a thread that
    starts later: there are as many cells as threads ever ran at once, of one or two
    cache lines each, made when a thread first adds. No more than 4096 threads at a time
    have one; others share a place under a lock.

    The sum is an ``int`` of any size: nothing overflows. Comparisons with numbers
    (``c == 3``, ``c < limit``), ``int(c)``, ``bool(c)``, ``str(c)`` and format strings take
    it, as `sum()` would return it. Because it is mutable and compares by value it is
    unhashable, like a list; ``c + 1`` is a ``TypeError``: say ``c.sum() + 1``. Copying and
    pickling are refused, since a copy would not be shared.

    On free-threaded CPython 3.14 and later, an object for which threads
    contend stops being reference counted, which makes sharing it cheap; it is
    then freed by the garbage collector and no longer at once.

    Args:
        value: where it begins.

    Raises:
        TypeError: `value` is not an integer.
        OverflowError: `value` does not fit in 64 bits.

    Progress: adding is wait-free, except for a thread's first time. Source: D. Lea,
    ``LongAdder``, JDK 8, with a cell for each running thread in place of a hash.

    Examples:
        >>> requests = StripedCounter()
        >>> requests.increment()
        >>> requests.add(10)
        >>> requests.sum()
        11
        >>> requests.reset()
        11
        >>> requests
        StripedCounter(0)
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __new__(cls, value: SupportsIndex = 0) -> Self: ...
    def add(self, n: SupportsIndex = 1, /) -> None:
        """Add `n`.

        It returns nothing, since no thread knows the sum.

        Raises:
            TypeError: `n` is not an integer.
            OverflowError: `n` does not fit in 64 bits.

        Progress: wait-free; a thread's first addition makes its cell. A cell whose
        own count would leave 64 bits stays as it is, and that addition takes the lock.
        """

    def increment(self, /) -> None:
        """Add 1.

        Progress: as `add`.
        """

    def decrement(self, /) -> None:
        """Subtract 1.

        Progress: as `add`.
        """

    def sum(self, /) -> int:
        """Return the sum of all that was added.

        It is not a value of one moment, unless no thread adds meanwhile.

        Progress: takes a lock that only sums, resets and additions without a cell take;
        linear in the number of cells.
        """

    def reset(self, /) -> int:
        """Start again at 0 and return the sum so far.

        An addition made meanwhile is counted by this call or afterwards, never by
        both.

        Progress: as `sum`.
        """

    def __eq__(self, other: object, /) -> Any: ...
    def __ne__(self, other: object, /) -> Any: ...
    def __lt__(self, other: object, /) -> Any: ...
    def __le__(self, other: object, /) -> Any: ...
    def __gt__(self, other: object, /) -> Any: ...
    def __ge__(self, other: object, /) -> Any: ...
    def __sizeof__(self, /) -> int: ...
    def __int__(self, /) -> int: ...
    def __bool__(self, /) -> bool: ...
    def __format__(self, spec: str, /) -> str: ...
    def __reduce__(self, /) -> NoReturn: ...

@final
class _PanicProbe:
    """Panics on request, once per calling convention; for the tests."""

    def __new__(cls) -> Self: ...
    def noargs(self, /) -> None:
        """Panic."""

    def quick(self, /) -> None:
        """Panic."""

    def one(self, arg: object, /) -> None:
        """Panic."""

    def optional(self, arg: object = None, /) -> None:
        """Panic."""

    def one_or_two(self, a: object, b: object = None, /) -> None:
        """Panic."""

    def quick_one_or_two(self, a: object, b: object = None, /) -> None:
        """Panic."""

    def two(self, a: object, b: object, /) -> None:
        """Panic."""

    def keywords(self, /, *, a: object = None) -> None:
        """Panic."""

@final
class _Snapshot(Generic[_T]):
    """Hands out what was in a container."""

    def __iter__(self, /) -> Self: ...
    def __next__(self, /) -> _T: ...
    def __length_hint__(self, /) -> int: ...

@final
class _QueueIterator(Generic[_T]):
    """Gets items until the queue is shut down."""

    def __iter__(self, /) -> Self: ...
    def __next__(self, /) -> _T: ...

@final
class _InterruptibleStack:
    """A stack of integers whose `pop` can be interrupted half-way; for the laboratory."""

    def __new__(cls) -> Self: ...
    def push(self, item: int, /) -> None:
        """Put `item` on top."""

    def pop(self, /) -> int:
        """Remove the top item and return it."""

    def interrupted_pop(self, between: Callable[[Self], object], /) -> int:
        """Pop, and call `between(self)` after reading the head, before swinging it.

        Of an empty stack no head is swung, so nothing is called. An exception of
        the callback goes to ``sys.unraisablehook``: the pop must go on.
        """

    def __len__(self, /) -> int: ...

def _baseline(
    cell: str,
    threads: int,
    iterations: int,
    around: Callable[[int], AbstractContextManager[object]],
    /,
) -> tuple[float, int, int]:
    """Run a cell's loop on Rust threads; return the seconds, what it returned, what is left.

    Each thread runs it within the context manager that `around(index)` returns.
    """

def _litmus(test: str, ordering: str, instances: int, /) -> dict[bytes, int]:
    """Run a litmus test on so many instances; return how often each outcome was seen."""

def defer_refcount(obj: _T, /) -> _T:
    """Stop counting references to an object that many threads name; return it.

    On free-threaded CPython 3.14 and later, naming an object that another thread made
    (a global, a closure's variable, an attribute) costs two atomic changes of its
    reference count, for which the threads contend. A deferred object (CPython's term)
    costs none. It is then freed by the garbage collector, and what it holds with it,
    and no longer at once; never, while the collector is disabled.

    The objects of this package do that by themselves once they are contended. This is for
    others that live long: a dict of settings, a client, a bound method. Where there is a GIL,
    and on other versions, it does nothing.

    Args:
        obj: what the garbage collector tracks: an object of a class, a dict, a list, a
            function, a method; not a tuple.

    Raises:
        TypeError: counting references to `obj` cannot be deferred.

    Progress: wait-free.

    Examples:
        >>> settings = defer_refcount({"debug": False})
        >>> settings["debug"]
        False
    """

def fence(ordering: Ordering, /) -> None:
    """Order what comes before against what comes after.

    A fence is an operation of this thread alone; to have an effect it needs an
    atomic operation on either side, and a partner in another thread (C++20,
    [atomics.fences]).

    Args:
        ordering: ACQUIRE, RELEASE, ACQ_REL or SEQ_CST.

    Raises:
        TypeError: `ordering` is no ``Ordering``.
        ValueError: `ordering` is RELAXED.

    Progress: wait-free.
    """

def _document() -> None:
    """Give the classes of this module the docstrings of this file."""
