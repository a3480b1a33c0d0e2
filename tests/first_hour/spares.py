"""Stack: a pool of buffers; what was given back last is taken first."""

import threading

from lockfree import Stack

spares: Stack[bytearray] = Stack()
spares.push_many(bytearray(64) for _ in range(4))


def work() -> None:
    for _ in range(500):
        buffer = spares.pop(default=None)
        if buffer is None:  # all are in use
            buffer = bytearray(64)
        buffer[0] = (buffer[0] + 1) % 256
        spares.push(buffer)


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

left = spares.pop_all()  # in one step
assert 4 <= len(left) <= 8
assert len({id(buffer) for buffer in left}) == len(left), "one was given out twice"
assert not spares
try:
    spares.pop()
except IndexError:
    spares.push(bytearray(64))
assert len(spares) == 1
