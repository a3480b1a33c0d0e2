"""cached: results of a function and of a coroutine function, once for all who ask."""

import asyncio

from lockfree import cached

computed: list[int] = []
requests: list[str] = []


@cached
def square(n: int) -> int:
    computed.append(n)
    return n * n


assert (square(3), square(3), computed) == (9, 9, [3])
assert square.cache_info().hits == 1
square.cache_clear()
assert square(3) == 9
assert computed == [3, 3]


@cached(maxsize=1000, ttl=60)
async def profile(user: str) -> str:
    requests.append(user)
    await asyncio.sleep(0)
    return f"<{user}>"


async def main() -> list[str]:
    return await asyncio.gather(*(profile("ada") for _ in range(5)))


assert asyncio.run(main()) == ["<ada>"] * 5
assert requests == ["ada"]


class Shop:
    def __init__(self) -> None:
        self.asked = 0

    @cached
    def price(self, article: str) -> int:
        self.asked += 1
        return len(article)


shop = Shop()
assert (shop.price("tea"), shop.price("tea"), shop.asked) == (3, 3, 1)
