"""What loads get when they begin, and lose when their key is written."""

from __future__ import annotations

from itertools import count
from typing import Any, Final


class Ticket:
    """What a load gets when it begins: it may be kept as long as the ticket is listed."""

    def __init__(self, tickets: Tickets, key: Any) -> None:
        self._listed, self._number = tickets.listed, next(_numbers)
        self._listed[self._number] = hash(key)

    def redeem(self, key: Any) -> bool:
        """Whether it may be kept; then no other load of the key may."""
        if self._number not in self._listed:
            return False
        for number, hashed in self._listed.copy().items():
            if hashed == hash(key) and number != self._number:
                self._listed.pop(number, None)
        return True

    def __del__(self) -> None:
        self._listed.pop(self._number, None)


class Tickets:
    """The tickets of a mapping, changed under its lock."""

    def __init__(self) -> None:
        self.listed: dict[int, int] = {}  # the hashes of the keys that are being loaded

    def issue(self, key: Any) -> Ticket:
        """Return a good ticket."""
        return Ticket(self, key)

    def revoke(self, key: Any) -> None:
        """Take the tickets away of those who load the key, or one of the same hash."""
        if self.listed:
            for number, hashed in self.listed.copy().items():
                if hashed == hash(key):
                    self.listed.pop(number, None)

    def revoke_all(self) -> None:
        """Take all tickets away."""
        self.listed.clear()


_numbers: Final = count()
