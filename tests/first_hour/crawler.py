"""ConcurrentDict and Queue: workers who find each other's work, and each page once."""

import threading

from lockfree import ConcurrentDict, Queue, StripedCounter

LINKS = {f"/{n}": [f"/{n * 2 % 50}", f"/{(n * 3 + 1) % 50}"] for n in range(50)}

found: ConcurrentDict[str, int] = ConcurrentDict({"/0": 1})
frontier: Queue[str] = Queue()
fetched = StripedCounter()


def fetch(page: str) -> list[str]:
    fetched.increment()
    return LINKS[page]


def worker() -> None:
    for page in frontier:
        for link in fetch(page):
            # Of all who find it one gets 1, and sees to it.
            if found.compute(link, lambda times: times + 1, 0) == 1:
                frontier.put(link)
        frontier.task_done()


threads = [threading.Thread(target=worker) for _ in range(4)]
for thread in threads:
    thread.start()
frontier.put("/0")
frontier.join()  # what was found is fetched, and nothing is on its way
frontier.shutdown()
for thread in threads:
    thread.join()

assert fetched == len(found), (fetched, found)
assert sum(found.values()) == 1 + 2 * len(found)  # each page has two links
