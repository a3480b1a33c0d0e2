"""AtomicRef: a configuration that is replaced as a whole while requests read it."""

import threading
from dataclasses import dataclass, replace

from lockfree import AtomicBool, AtomicRef, defer_refcount


@dataclass(frozen=True, eq=False)
class Config:
    host: str
    port: int


config = AtomicRef(defer_refcount(Config("host-0", 0)))
stop = AtomicBool()


def requests() -> None:
    while not stop:
        current = config.value  # once for each request: one whole configuration
        assert current.host == f"host-{current.port}", current


def next_config(old: Config) -> Config:
    return defer_refcount(replace(old, host=f"host-{old.port + 1}", port=old.port + 1))


readers = [threading.Thread(target=requests) for _ in range(2)]
for reader in readers:
    reader.start()
for _ in range(1000):
    config.update(next_config)
stop.store(True)
for reader in readers:
    reader.join()
assert config.load().port == 1000

before = config.exchange(Config("other", 1))
assert before.port == 1000
