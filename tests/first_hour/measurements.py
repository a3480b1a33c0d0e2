"""AtomicFloat64: a sum and the extremes of what several sensors measure."""

import math
import threading

from lockfree import AtomicFloat64

total = AtomicFloat64()
lowest, highest = AtomicFloat64(math.inf), AtomicFloat64(-math.inf)


def sensor(values: list[float]) -> None:
    for value in values:
        total.add(value)
        lowest.fetch_min(value)
        highest.fetch_max(value)


readings = [[i / 4 + sensor_number for i in range(100)] for sensor_number in range(4)]
threads = [threading.Thread(target=sensor, args=(values,)) for values in readings]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

assert total.load() == sum(map(sum, readings))  # quarters: no rounding, in whatever order
assert (lowest.load(), highest.load()) == (0.0, 27.75)
assert f"{total:.1f}" == "5550.0"
