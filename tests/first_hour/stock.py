"""ConcurrentDict: a stock that several tills sell from, none of them too much."""

import threading

from lockfree import ConcurrentDict

stock = ConcurrentDict({"tea": 300, "coffee": 500})
sold: list[int] = []


def take_one(left: int) -> int:
    return max(left - 1, 0)


def till() -> None:
    count = 0
    for _ in range(200):
        left = stock["tea"]
        while left and not stock.compare_exchange("tea", left, left - 1):
            left = stock["tea"]
        count += left > 0
        stock.compute("coffee", take_one)
        stock.compute("visits", lambda n: n + 1, 0)
    sold.append(count)


threads = [threading.Thread(target=till) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

assert sum(sold) == 300
assert dict(stock.items()) == {"tea": 0, "coffee": 0, "visits": 800}
assert stock.setdefault("milk", 3) == 3
assert stock.compare_remove("milk", 3)
try:
    stock.compute("milk", take_one)
except KeyError:
    pass
else:
    raise AssertionError("there was no milk")
