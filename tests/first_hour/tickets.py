"""AtomicInt64: each customer draws a number, and no two draw the same."""

import threading

from lockfree import AtomicInt64

CUSTOMERS, DRAWS = 4, 500

last = AtomicInt64()
longest_queue = AtomicInt64()
drawn: list[list[int]] = [[] for _ in range(CUSTOMERS)]


def customer(numbers: list[int]) -> None:
    for _ in range(DRAWS):
        number = last.increment()
        numbers.append(number)
        longest_queue.fetch_max(number % 7)


threads = [threading.Thread(target=customer, args=(numbers,)) for numbers in drawn]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

everything = sorted(number for numbers in drawn for number in numbers)
assert everything == list(range(1, CUSTOMERS * DRAWS + 1))
assert last == CUSTOMERS * DRAWS
assert longest_queue == 6

# The office closes: only if nobody has drawn since we looked.
seen = last.load()
assert last.compare_exchange(seen, 0)
assert not last.compare_exchange(seen, 0)

top = AtomicInt64(2**63 - 1)
try:
    top.increment()
except OverflowError:
    assert top.load() == 2**63 - 1
else:
    raise AssertionError("it wrapped")
