"""once and cached_property: what is made when it is first needed, and once."""

import threading

from lockfree import AtomicInt64, cached_property, once

reads = AtomicInt64()
together = threading.Barrier(4)
seen: list[dict[str, int]] = []


@once
def settings() -> dict[str, int]:
    reads.increment()
    return {"timeout": 5}


def worker() -> None:
    together.wait()
    seen.append(settings())


threads = [threading.Thread(target=worker) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert reads == 1
assert all(each is seen[0] for each in seen)
settings.reset()
assert settings() is not seen[0]


class Page:
    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def words(self) -> list[str]:
        return self.text.split()


page = Page("one two")
assert page.words is page.words
del page.words
assert page.words == ["one", "two"]
