"""KeyedCounter: requests by path, of which a report takes what came in since the last one."""

import threading

from lockfree import KeyedCounter

requests: KeyedCounter[str] = KeyedCounter(maxsize=3)
paths = ["/", "/about", "/"]


def server() -> None:
    for number in range(300):
        requests.add(paths[number % 3])


threads = [threading.Thread(target=server) for _ in range(4)]
for thread in threads:
    thread.start()
reports = [requests.reset() for _ in range(10)]
for thread in threads:
    thread.join()
reports.append(requests.reset())
assert sum(report.get("/", 0) for report in reports) == 800
assert sum(report.get("/about", 0) for report in reports) == 400

for visitor in range(10):  # labels from outside cannot fill the memory
    requests.add(f"/visitor/{visitor}", 2)
assert len(requests) == 3
assert requests.other == 14
assert requests.total() == 20
assert requests["/visitor/0"] == 2
assert requests["/never"] == 0
try:
    requests["/"] = 5
except TypeError as error:
    said = str(error)
else:
    raise AssertionError("a count was set")
assert "add" in said, said
