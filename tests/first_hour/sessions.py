"""Cache: sessions with times to live, bounded by their size, loaded once for all who ask."""

import threading

from lockfree import AtomicInt64, Cache

evicted: list[tuple[str, str]] = []
sessions: Cache[str, str] = Cache(
    10,
    ttl=3600,
    weigher=lambda _, value: len(value),
    on_evict=lambda key, _, reason: evicted.append((key, reason)),
)

sessions["ada"] = "12345"
sessions["bob"] = "12345"
assert sessions.weight == 10
sessions["eve"] = "123"  # one of them has to go
assert sessions.weight <= 10
assert evicted
assert all(reason == "size" for _, reason in evicted)

sessions.put("brief", "1", ttl=1e-9)
assert "brief" not in sessions
assert sessions.get("brief", "gone") == "gone"

calls, together = AtomicInt64(), threading.Barrier(4)
found: list[str] = []


def load(user: str) -> str:
    calls.increment()
    return user[:2]


def ask() -> None:
    together.wait()
    found.append(sessions.get_or_load("grace", load))


threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert found == ["gr"] * 4
assert calls == 1
assert sessions.stats().loads == 1
