"""``cached``: the interface of ``functools.lru_cache`` over a ``Cache``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import _make_key, partial, update_wrapper
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    NamedTuple,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    overload,
)

from lockfree._loading import async_load, is_coroutine, load

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")

_MISSING: Final[Any] = object()


class _DefaultSize(int):
    """A size that nobody asked for."""


DEFAULT_SIZE: Final = _DefaultSize(128)


class CacheInfo(NamedTuple):
    """What `cache_info()` returns, as that of `functools.lru_cache`."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


if TYPE_CHECKING:
    from lockfree._native import Cache

    class Cached(Protocol[P, R]):
        """A function whose results are kept."""

        __wrapped__: Callable[P, R]

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        @overload
        def __get__(self, instance: None, owner: type | None = None, /) -> Self: ...
        @overload
        def __get__(
            self: Cached[Concatenate[Any, Q], R], instance: object, owner: type | None = None, /
        ) -> Cached[Q, R]: ...
        def cache_info(self) -> CacheInfo: ...
        def cache_clear(self) -> None: ...
        def cache_parameters(self) -> dict[str, Any]: ...
        def cache_invalidate(self, *args: Any, **kwargs: Any) -> bool: ...
        def cache_contains(self, *args: Any, **kwargs: Any) -> bool: ...

    class Decorator(Protocol):
        """What `cached(...)` returns."""

        def __call__(self, function: Callable[P, R], /) -> Cached[P, R]: ...


@overload
def cached(maxsize: Callable[P, R], typed: bool = False) -> Cached[P, R]: ...
@overload
def cached(
    maxsize: int | None = 128,
    typed: bool = False,
    *,
    key: Callable[..., Any] | None = None,
    ttl: float | None = None,
    grace: float | None = None,
    shield: bool = False,
    cache: Cache[Any, Any] | None = None,
) -> Decorator: ...
def cached(
    maxsize: Any = DEFAULT_SIZE,
    typed: bool = False,
    *,
    key: Callable[..., Any] | None = None,
    ttl: float | None = None,
    grace: float | None = None,
    shield: bool = False,
    cache: Any = None,
) -> Any:
    """Keep the results of a function, as `functools.lru_cache` does.

    The decorated function can be called from any number of threads, and a coroutine
    function from any number of event loops. A hit takes no lock. Of several
    callers who miss at the same time one calls the function, and the others
    wait for its result: the rules are those of `Cache.get_or_load`.

    What is dropped when there is no room is not the least recently used, but as
    with `Cache`. In all else it is `functools.lru_cache`: it may be applied with or without
    parentheses, arguments must be hashable, and the decorated function has
    ``cache_info()``, ``cache_clear()``, ``cache_parameters()`` and ``__wrapped__``.

    Args:
        maxsize: how many results are kept; any number if None, none if 0 or negative.
        typed: whether arguments that are equal, but not of the same type, are kept apart.
        key: is called with the arguments; what it returns is the key. Without it the
            arguments are, and the function as well if there is a `cache`.
        ttl: the seconds that a result is kept; None is for ever.
        grace: the seconds after that in which calls have it as it is, while one of them
            calls the function anew, as with `Cache`.
        shield: whether a call of a coroutine function goes on when nobody waits for it any
            more, to be kept; if it fails then, the event loop's exception handler is told.
        cache: the `Cache` in which results are kept, of any number of functions. `maxsize`,
            `ttl` and `grace` are then the cache's.

    A method's instance is one of its arguments, and is kept alive with the result. What is
    to be kept once per instance, and no longer than that, is a `cached_property`.

    ``cache_invalidate(*args, **kwargs)`` forgets the result of a call, ``cache_contains(*args,
    **kwargs)`` tells whether it is there. A method's first argument is its instance.

    Raises:
        TypeError: `maxsize` is not an integer, a function or None; or there are both
            a `ttl`, `grace` or `maxsize`, and a `cache`; or a `grace` and no `ttl`.

    Examples:
        >>> @cached
        ... def square(n):
        ...     return n * n
        >>> square(3), square(3)
        (9, 9)
        >>> square.cache_info()
        CacheInfo(hits=1, misses=1, maxsize=128, currsize=1)
    """
    import lockfree

    return decorator(lockfree.Cache, maxsize, Options(typed, key, ttl, grace, shield), cache)


class Options(NamedTuple):
    """What `cached` is told, beside the size and the cache."""

    typed: bool
    key: Callable[..., Any] | None
    ttl: float | None
    grace: float | None
    shield: bool

    def maker(self, function: Callable[..., Any], is_shared: bool) -> Any:
        """Return what makes the key of a call, where it is not made of the arguments alone."""
        typed = self.typed
        if is_shared and self.key is None:
            return lambda args, kwargs: (function, _make_key(args, kwargs, typed))
        return self.key_maker()

    def key_maker(self) -> Any:
        """Return what makes a key as the user said, if anything was said."""
        make = self.key
        return None if make is None else lambda args, kwargs: make(*args, **kwargs)


def decorator(make: Any, maxsize: Any, options: Options, cache: Any) -> Any:
    """Do what `cached` does, with caches that `make` makes."""
    typed, key, ttl, grace, _ = options
    if isinstance(maxsize, Mapping):
        raise TypeError("the first argument of cached() is maxsize: pass a cache as cache=")
    if ttl is not None and cache is not None:
        raise TypeError("a cache has its own ttl: pass ttl= or cache=, not both")
    if grace is not None and cache is not None:
        raise TypeError("a cache has its own grace: pass grace= or cache=, not both")
    if grace is not None and ttl is None:
        raise TypeError("grace= begins when the time is over: pass ttl= as well")
    if callable(maxsize) and isinstance(typed, bool):
        return decorator(make, DEFAULT_SIZE, options, cache)(maxsize)
    if maxsize is not None and not isinstance(maxsize, int):
        raise TypeError(f"maxsize must be an int, a function or None, not {maxsize!r}")
    if cache is not None and not hasattr(type(cache), "_cached_function"):
        raise TypeError(f"cache must be a Cache or None, not {cache!r}")
    if cache is not None and maxsize is not DEFAULT_SIZE:
        raise TypeError("a cache has its own maxsize: pass maxsize= or cache=, not both")
    if key is not None and not callable(key):
        raise TypeError(f"key must be callable or None, not {key!r}")
    make(1, ttl=ttl, grace=grace)  # so that what is wrong is told here
    if cache is not None:
        return partial(_decorate, cache, options, True)
    if maxsize is not None and maxsize <= 0:
        return partial(_count, typed)
    return lambda function: _decorate(make(maxsize, ttl=ttl, grace=grace), options, False, function)


def _decorate(cache: Any, options: Options, is_shared: bool, function: Callable[..., Any]) -> Any:
    """Return a function that keeps its results in a cache."""
    _check_callable(function)
    maker = options.maker(function, is_shared)
    typed = options.typed
    key_of = maker or partial(_key_of, typed)
    if is_coroutine_function(function):
        wrapper = _async_wrapper(cache, options, maker, function)
    elif wraps_coroutine_function(function):
        wrapper = _either_wrapper(cache, options, key_of, function)
    else:
        make = partial(_wrapper, cache, options, options.key_maker(), function, is_shared)
        # The key of another one, since the wrapper keeps what keeps this.
        wrapper, key_of = make(), make()._key
    update_wrapper(wrapper, function)
    forgotten = [(0, 0)]  # hits and misses before the last cache_clear()

    def count() -> tuple[int, int, int]:
        hits, misses, _, _, loads, _, _, size = cache._stats()
        # Who waited for another's call called nothing. Others may have asked a shared cache.
        return (hits, misses, size) if is_shared else (hits + misses - loads, loads, size)

    def info() -> CacheInfo:
        hits, misses, size = count()
        return CacheInfo(hits - forgotten[0][0], misses - forgotten[0][1], cache.maxsize, size)

    def clear() -> None:
        cache.clear()
        forgotten[0] = count()[:2]

    wrapper.cache_invalidate = lambda *args, **kwargs: (
        cache.pop(key_of(args, kwargs), _MISSING) is not _MISSING
    )
    wrapper.cache_contains = lambda *args, **kwargs: key_of(args, kwargs) in cache
    # Without annotations, as those of functools are.
    wrapper.cache_info, wrapper.cache_clear = lambda: info(), lambda: clear()
    wrapper.cache_parameters = lambda: {"maxsize": cache.maxsize, "typed": typed}
    return wrapper


def _key_of(typed: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _make_key(args, kwargs, typed)


def _wrapper(
    cache: Any, options: Options, maker: Any, function: Callable[..., Any], is_shared: bool
) -> Any:
    miss = partial(load, cache, function)
    return cache._cached_function(cache, function, options.typed, miss, maker, is_shared)


def _async_wrapper(
    cache: Any, options: Options, maker: Any, function: Callable[..., Awaitable[R]]
) -> Any:
    typed, shield = options.typed, options.shield

    async def wrapper(*args: Any, **kwargs: Any) -> R:
        key = _make_key(args, kwargs, typed) if maker is None else maker(args, kwargs)
        value: R = cache.get(key, _MISSING)
        if value is _MISSING:
            value = await async_load(cache, function, key, args, kwargs, shield=shield)
        return value

    cache._take_along(wrapper)
    return wrapper


class _IsAsyncError(Exception):
    """A function returned a coroutine."""


def _either_wrapper(cache: Any, options: Options, maker: Any, function: Callable[..., Any]) -> Any:
    """Wrap what wraps a coroutine function, and returns its coroutines or what they return.

    That is known once it was called.
    """

    def attempt(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if is_coroutine(result):
            result.close()
            raise _IsAsyncError
        return result

    as_function = _wrapper(cache, options, maker, attempt, False)
    as_coroutine_function = _async_wrapper(cache, options, maker, function)
    is_function = True

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        nonlocal is_function
        if is_function:
            try:
                return as_function(*args, **kwargs)
            except _IsAsyncError:
                is_function = False
        return as_coroutine_function(*args, **kwargs)

    return wrapper


def _count(typed: bool, function: Callable[..., Any]) -> Any:
    """Return a function that keeps nothing, and counts its calls as misses."""
    from lockfree import AtomicInt64

    _check_callable(function)
    misses = AtomicInt64()

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        misses.increment()
        return function(*args, **kwargs)

    async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
        return await wrapper(*args, **kwargs)

    chosen: Any = async_wrapper if is_coroutine_function(function) else wrapper
    update_wrapper(chosen, function)
    chosen.cache_info = lambda: CacheInfo(0, misses.load(), 0, 0)
    chosen.cache_clear = lambda: misses.store(0)
    chosen.cache_invalidate = chosen.cache_contains = lambda *_args, **_kwargs: False
    chosen.cache_parameters = lambda: {"maxsize": 0, "typed": typed}
    return chosen


def _check_callable(function: object) -> None:
    if not callable(function):
        raise TypeError(f"the first argument must be callable, but is {function!r}")


def is_coroutine_function(function: Any) -> bool:
    """Whether what a call returns is to be awaited, as far as that can be seen."""
    from inspect import iscoroutinefunction  # takes longer to import than all of lockfree

    while isinstance(function, partial):
        function = function.func
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


def wraps_coroutine_function(function: Any) -> bool:
    """Whether it stands, by `functools.wraps`, for a coroutine function."""
    seen = set()
    while id(function) not in seen:
        seen.add(id(function))
        while isinstance(function, partial):
            function = function.func
        function = getattr(function, "__wrapped__", function)
    return is_coroutine_function(function)
