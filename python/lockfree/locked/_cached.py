"""``cached`` over the locked ``Cache``."""

from __future__ import annotations

from collections.abc import Callable
from functools import _make_key
from types import MethodType
from typing import Any

from lockfree._cached import DEFAULT_SIZE, Options, decorator
from lockfree.locked._values import MISSING


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
    """Keep the results of a function, as `functools.lru_cache` does."""
    from lockfree.locked import Cache

    return decorator(Cache, maxsize, Options(typed, key, ttl, grace, shield), cache)


class CachedFunction:
    """A function whose results are in a cache; `miss` is called with what is not."""

    def __init__(
        self,
        cache: Any,
        function: Callable[..., Any],
        typed: bool,
        miss: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any],
        maker: Callable[[tuple[Any, ...], dict[str, Any]], Any] | None,
        is_shared: bool,
    ) -> None:
        self.__wrapped__, self._maker, self._is_shared = function, maker, is_shared
        self._cache, self._typed, self._miss = cache, typed, miss

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        key = self._key(args, kwargs)
        value = self._cache.get(key, MISSING)
        return self._miss(key, args, kwargs) if value is MISSING else value

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Any:
        if self._maker is not None:
            return self._maker(args, kwargs)
        key = _make_key(args, kwargs, self._typed)
        return (self.__wrapped__, key) if self._is_shared else key

    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __copy__(self) -> CachedFunction:
        return self

    def __deepcopy__(self, _memo: object, /) -> CachedFunction:
        return self

    def __reduce__(self) -> str:
        name: str = vars(self)["__qualname__"]
        return name
