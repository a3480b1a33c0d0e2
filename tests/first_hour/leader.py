"""AtomicBool: of several threads one does the work, and the others wait until it is done."""

import threading

from lockfree import AtomicBool

claimed, done = AtomicBool(), AtomicBool()
log: list[str] = []


def participant(name: str) -> None:
    if not claimed.test_and_set():
        log.append(name)
        done.store(True)
    else:
        assert done.wait(False, timeout=60)


threads = [threading.Thread(target=participant, args=(f"thread {i}",)) for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

assert len(log) == 1, log
assert done
assert done.toggle() is False
