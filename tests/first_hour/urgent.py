"""PriorityQueue: the most urgent first, and of equals the one that came first."""

import threading
from dataclasses import dataclass

from lockfree import PriorityQueue


@dataclass
class Ticket:
    urgency: int
    text: str


tickets: PriorityQueue[Ticket] = PriorityQueue(key=lambda ticket: -ticket.urgency)
tickets.put(Ticket(1, "the coffee is cold"))
tickets.put(Ticket(9, "the house is on fire"))
tickets.put(Ticket(1, "the tea is cold"))

answered: list[str] = []


def help_desk() -> None:
    for ticket in tickets:
        answered.append(ticket.text)


tickets.shutdown()
desk = threading.Thread(target=help_desk)
desk.start()
desk.join()
assert answered == ["the house is on fire", "the coffee is cold", "the tea is cold"]

plain: PriorityQueue[object] = PriorityQueue()
plain.put((2, {"job": "b"}))
plain.put((1, {"job": "a"}))
assert plain.get() == (1, {"job": "a"})
try:
    plain.put("no number")
except TypeError as error:
    said = str(error)
else:
    raise AssertionError("a text has no priority")
assert "key=" in said, said
