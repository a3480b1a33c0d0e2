"""Ordering and fence: a flag says that data is there, with no more order than that needs."""

import threading

from lockfree import AtomicBool, Ordering, fence

data: list[int] = []
ready = AtomicBool()
released, acquired = ready.at(Ordering.RELEASE), ready.at(Ordering.ACQUIRE)


def producer() -> None:
    data.append(42)
    released.store(True)


thread = threading.Thread(target=producer)
thread.start()
while not acquired.load():
    pass
assert data == [42]
thread.join()

fence(Ordering.SEQ_CST)
try:
    acquired.store(False)
except ValueError as error:
    said = str(error)
else:
    raise AssertionError("a store cannot acquire")
assert "RELEASE" in said, said
