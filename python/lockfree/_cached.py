"""``cached``: the interface of ``functools.lru_cache`` over a ``Cache``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import _make_key, partial, update_wrapper
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, Protocol, TypeVar, overload

from lockfree._loading import async_load, load

P = ParamSpec("P")
R = TypeVar("R")

_MISSING: Final[Any] = object()


class CacheInfo(NamedTuple):
    """What `cache_info()` returns, as that of `functools.lru_cache`."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


if TYPE_CHECKING:

    class Cached(Protocol[P, R]):
        """A function whose results are kept."""

        __wrapped__: Callable[P, R]

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        def __get__(self, instance: Any, owner: type | None = None, /) -> Callable[..., R]: ...
        def cache_info(self) -> CacheInfo: ...
        def cache_clear(self) -> None: ...
        def cache_parameters(self) -> dict[str, Any]: ...

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
    ttl: float | None = None,
    cache: Any = None,
) -> Decorator: ...
def cached(
    maxsize: Any = 128,
    typed: bool = False,
    *,
    ttl: float | None = None,
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
        ttl: the seconds that a result is kept; None is for ever.
        cache: the `Cache` in which results are kept, under a key made of the arguments alone:
            it should belong to one function. `maxsize` and `ttl` are then the cache's.

    Raises:
        TypeError: `maxsize` is not an integer, a function or None; or there are both
            a `ttl` and a `cache`.

    Examples:
        >>> @cached
        ... def square(n):
        ...     return n * n
        >>> square(3), square(3)
        (9, 9)
        >>> square.cache_info()
        CacheInfo(hits=1, misses=1, maxsize=128, currsize=1)
    """
    from lockfree import Cache

    return decorator(Cache, maxsize, typed, ttl, cache)


def decorator(make: Any, maxsize: Any, typed: bool, ttl: float | None, cache: Any) -> Any:
    """Do what `cached` does, with caches that `make` makes."""
    if isinstance(maxsize, Mapping):
        raise TypeError("the first argument of cached() is maxsize: pass a cache as cache=")
    if ttl is not None and cache is not None:
        raise TypeError("a cache has its own ttl: pass ttl= or cache=, not both")
    if callable(maxsize) and isinstance(typed, bool):
        return decorator(make, 128, typed, ttl, cache)(maxsize)
    if maxsize is not None and not isinstance(maxsize, int):
        raise TypeError(f"maxsize must be an int, a function or None, not {maxsize!r}")
    if cache is not None and not hasattr(type(cache), "_cached_function"):
        raise TypeError(f"cache must be a Cache or None, not {cache!r}")
    make(1, ttl=ttl)  # so that a wrong `ttl` is told here
    if cache is not None:
        return partial(_decorate, lambda: cache, typed)
    if maxsize is not None and maxsize <= 0:
        return partial(_count, typed)
    return partial(_decorate, lambda: make(maxsize, ttl=ttl), typed)


def _decorate(make: Callable[[], Any], typed: bool, function: Callable[..., Any]) -> Any:
    """Return a function that keeps its results in a cache."""
    _check_callable(function)
    cache = make()
    if is_coroutine_function(function):
        wrapper = _async_wrapper(cache, typed, function)
    elif wraps_coroutine_function(function):
        wrapper = _either_wrapper(cache, typed, function)
    else:
        wrapper = _wrapper(cache, typed, function)
    update_wrapper(wrapper, function)
    forgotten = [(0, 0)]  # hits and misses before the last cache_clear()

    def cache_info() -> CacheInfo:
        hits, misses, *_, size = cache._stats()
        return CacheInfo(hits - forgotten[0][0], misses - forgotten[0][1], cache.maxsize, size)

    def cache_clear() -> None:
        cache.clear()
        hits, misses, *_ = cache._stats()
        forgotten[0] = hits, misses

    wrapper.cache_info, wrapper.cache_clear = cache_info, cache_clear
    wrapper.cache_parameters = lambda: {"maxsize": cache.maxsize, "typed": typed}
    return wrapper


def _wrapper(cache: Any, typed: bool, function: Callable[..., Any]) -> Any:
    return cache._cached_function(cache, function, typed, partial(load, cache, function))


def _async_wrapper(cache: Any, typed: bool, function: Callable[..., Awaitable[R]]) -> Any:
    async def wrapper(*args: Any, **kwargs: Any) -> R:
        key = _make_key(args, kwargs, typed)
        value: R = cache.get(key, _MISSING)
        if value is _MISSING:
            value = await async_load(cache, function, key, args, kwargs)
        return value

    cache._take_along(wrapper)
    return wrapper


class _IsAsyncError(Exception):
    """A function returned a coroutine."""


def _either_wrapper(cache: Any, typed: bool, function: Callable[..., Any]) -> Any:
    """Wrap what wraps a coroutine function, and returns its coroutines or what they return.

    That is known once it was called.
    """

    def attempt(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if isinstance(result, Coroutine):
            result.close()
            raise _IsAsyncError
        return result

    as_function = _wrapper(cache, typed, attempt)
    as_coroutine_function = _async_wrapper(cache, typed, function)
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
