"""``once`` and ``cached_property``: single flight for what has no key, or an instance for one.

The value of a `once` function lies in an `AtomicRef`. While there is none, a marker lies
there, a fresh one after each reset: what was loaded replaces the marker that it found when
it began, or nothing.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Generator
from functools import partial, update_wrapper
from types import GenericAlias
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, Self, TypeVar, overload

from lockfree._cached import is_coroutine_function
from lockfree._loading import Flights, Plain, async_load, load

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
V = TypeVar("V")
D = TypeVar("D")

_MISSING: Final[Any] = object()


if TYPE_CHECKING:

    class Once(Protocol[R_co]):
        """A function that is called once."""

        @property
        def __wrapped__(self) -> Callable[[], R_co]: ...
        def __call__(self) -> R_co: ...
        def peek(self, default: Any = None, /) -> Any: ...
        def reset(self) -> None: ...


def once(function: Callable[[], R], /) -> Once[R]:
    """Make a function that calls `function` once, however many ask, and keeps its value.

    For what a program makes when it is first needed: a connection, a table, a singleton. It
    takes a function without arguments, or a coroutine function. Threads, and tasks of any
    number of event loops, wait for the one call: the rules are those of
    `Cache.get_or_load`. An exception is not kept: the next who asks calls again.

    ``peek(default=None)`` returns the value if there is one, and calls nothing; ``reset()``
    forgets it: what is being made meanwhile goes to those who wait for it, and is not kept.

    Raises:
        TypeError: `function` wants arguments; for such there is `cached`.
        RuntimeError: when called, if `function` asks for its own value.

    Progress: lock-free once there is a value; parks while another thread makes it.

    Examples:
        >>> @once
        ... def table():
        ...     print("is made")
        ...     return {"a": 1}
        >>> table() is table()
        is made
        True
    """
    from lockfree import AtomicRef
    from lockfree._select import IMPLEMENTATION

    wrap: Any
    if IMPLEMENTATION == "native":
        from lockfree._native import _OnceFunction

        wrap = _OnceFunction
    else:
        from lockfree.locked._once import OnceFunction

        wrap = OnceFunction
    return decorate_once(AtomicRef, wrap, function)  # type: ignore[no-any-return]


def decorate_once(make: Any, wrap: Any, function: Callable[[], Any]) -> Any:
    """Do what `once` does, with references that `make` makes."""
    _check(function)
    cell = make(Unset())
    key, flights = _Call(function), _Cell(cell)
    wrapper: Any
    if is_coroutine_function(function):

        async def wrapper() -> Any:
            value = cell.load()
            if type(value) is Unset:
                value = await async_load(flights, function, key, (), {})
            return value

    else:
        wrapper = wrap(cell, Unset, partial(load, flights, function, key, (), {}))
    update_wrapper(wrapper, function)
    wrapper.peek = partial(_peek, cell)
    wrapper.reset = partial(_reset, cell)
    return wrapper


def _check(function: Any) -> None:
    from inspect import signature

    if not callable(function):
        raise TypeError(f"once() takes a function, not {function!r}")
    try:
        signature(function).bind()
    except TypeError:
        text = f"once() takes a function without arguments, not {function!r}: use cached"
        raise TypeError(text) from None
    except ValueError:
        pass  # nobody knows its signature


class Unset:
    """Is there instead of a value; each but once."""

    __slots__ = ("__weakref__",)


def _peek(cell: Any, default: Any = None, /) -> Any:
    value = cell.load()
    return default if type(value) is Unset else value


def _reset(cell: Any) -> None:
    cell.store(Unset())


class _Call:
    """The key of a function that has but one; what messages show."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function

    def __repr__(self) -> str:
        return f"{getattr(self._function, '__qualname__', repr(self._function))}()"


class _Cell(Plain):
    """What loads want of a cache, over the reference of a `once` function."""

    def __init__(self, cell: Any) -> None:
        self._load, self._exchange = cell.load, cell.compare_exchange
        self._flights = Flights()

    def _peek(self, _key: object, default: Any, /) -> Any:
        value = self._load()
        return default if type(value) is Unset else value

    def _ticket(self, _key: object, /) -> Any:
        return self._load()

    def _keep(self, ticket: Any, _key: object, value: Any, /) -> None:
        if type(ticket) is Unset:
            self._exchange(ticket, value)


class cached_property(Plain, Generic[V]):  # noqa: N801
    """A property that is computed once per instance, as `functools.cached_property`.

    Of several threads that ask an instance at the same time one computes, and the others
    wait: the rules are those of `Cache.get_or_load`. Instances do not wait for each other. The
    value is an item of the instance's ``__dict__``: an access is that of an attribute then, ``del``
    forgets the value, and an assignment replaces it. Where an instance has no ``__dict__`` the
    value is kept beside it as long as the instance lives; the class must have a
    ``__weakref__`` then, and the value is neither assigned nor deleted. (It lies in a ``dict`` that
    all instances share: without a GIL, a child that is forked while threads put values there may
    find it locked for ever.)

    Of a coroutine function it is awaited: ``await obj.prop``.

    Examples:
        >>> class Circle:
        ...     def __init__(self, radius):
        ...         self.radius = radius
        ...     @cached_property
        ...     def area(self):
        ...         print("computed")
        ...         return 3 * self.radius**2
        >>> circle = Circle(2)
        >>> circle.area, circle.area
        computed
        (12, 12)
    """

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    def __init__(self, func: Callable[[Any], V]) -> None:
        if not callable(func):
            raise TypeError(f"cached_property() takes a function, not {func!r}")
        self.func = func
        self.attrname: str | None = None
        self.__doc__ = func.__doc__
        self.__module__ = func.__module__
        self._is_async = is_coroutine_function(func)
        self._flights = Flights()
        self._beside: dict[int, tuple[weakref.ref[Any], Any]] = {}

    def __set_name__(self, owner: type, name: str) -> None:
        if self.attrname is None:
            self.attrname = name
        elif name != self.attrname:
            raise TypeError(
                "Cannot assign the same cached_property to two different names "
                f"({self.attrname!r} and {name!r})."
            )

    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> V: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        if instance is None:
            return self
        if self.attrname is None:
            raise TypeError(
                "Cannot use cached_property instance without calling __set_name__ on it."
            )
        key = _Instance(instance, self.attrname)
        value = self._peek(key, _MISSING)
        if value is not _MISSING:
            return _Ready(value) if self._is_async else value
        self._check_place(key)
        if self._is_async:
            func: Any = self.func
            return async_load(self, func, key, (instance,), {})
        return load(self, self.func, key, (instance,), {})

    def _check_place(self, key: _Instance) -> None:
        """Refuse an instance that has no place for the value, before it is computed."""
        kind, values = type(key.instance), key.values()
        if values is None and not kind.__weakrefoffset__:
            raise TypeError(
                f"No '__dict__' and no '__weakref__' on {kind.__name__!r} instance to "
                f"cache {self.attrname!r} property."
            )
        if values is not None and not hasattr(values, "setdefault"):  # that of a class
            raise TypeError(
                f"The '__dict__' attribute on {kind.__name__!r} instance does not support "
                f"item assignment for caching {self.attrname!r} property."
            )

    # What loads want of a cache.

    def _peek(self, key: _Instance, default: Any, /) -> Any:
        values = key.values()
        if values is None:
            return self._beside.get(id(key.instance), (None, default))[1]
        value = values.get(self.attrname, default)
        return value.value if self._is_async and isinstance(value, _Ready) else value

    def _ticket(self, _key: _Instance, /) -> None:
        pass

    def _keep(self, _ticket: None, key: _Instance, value: Any, /) -> None:
        values = key.values()
        if values is not None:
            # What was assigned meanwhile stays.
            values.setdefault(self.attrname, _Ready(value) if self._is_async else value)
            return
        number, beside = id(key.instance), self._beside
        forget = weakref.ref(key.instance, lambda _gone: beside.pop(number, None))
        beside[number] = forget, value


class _Instance:
    """An instance as a key, whatever it is equal to."""

    __slots__ = ("instance", "name")

    def __init__(self, instance: Any, name: str) -> None:
        self.instance, self.name = instance, name

    def __hash__(self) -> int:
        return id(self.instance)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Instance) and self.instance is other.instance

    def values(self) -> Any:
        """Return the instance's `__dict__`, or None."""
        return getattr(self.instance, "__dict__", None)

    def __repr__(self) -> str:
        return f"{type(self.instance).__qualname__}.{self.name}"


class _Ready(Awaitable[V]):
    """A value that is there, for who awaits it; any number may."""

    __slots__ = ("value",)

    def __init__(self, value: V) -> None:
        self.value = value

    def __await__(self) -> Generator[None, None, V]:
        return self.value
        yield

    def __repr__(self) -> str:
        return f"<awaitable {self.value!r}>"
