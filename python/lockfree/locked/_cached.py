"""``cached`` over the locked ``Cache``."""

from __future__ import annotations

from collections.abc import Callable
from functools import _make_key
from types import MethodType
from typing import Any

from lockfree._cached import decorator
from lockfree.locked._values import MISSING


def cached(
    maxsize: Any = 128, typed: bool = False, *, ttl: float | None = None, cache: Any = None
) -> Any:
    """Keep the results of a function, as `functools.lru_cache` does."""
    from lockfree.locked import Cache

    return decorator(Cache, maxsize, typed, ttl, cache)


class CachedFunction:
    """A function whose results are in a cache; `miss` is called with what is not."""

    def __init__(
        self,
        cache: Any,
        function: Callable[..., Any],
        typed: bool,
        miss: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any],
    ) -> None:
        self.__wrapped__ = function
        self._cache, self._typed, self._miss = cache, typed, miss

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        key = _make_key(args, kwargs, self._typed)
        value = self._cache.get(key, MISSING)
        return self._miss(key, args, kwargs) if value is MISSING else value

    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __copy__(self) -> CachedFunction:
        return self

    def __deepcopy__(self, _memo: object, /) -> CachedFunction:
        return self

    def __reduce__(self) -> str:
        name: str = vars(self)["__qualname__"]
        return name
