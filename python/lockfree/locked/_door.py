"""The way into an event loop from outside, for the locked classes.

The native one writes to a descriptor that the loop watches, which nothing can interrupt. Here
it is ``loop.call_soon_threadsafe``: a signal handler may raise in it, and again when it is
repeated; what is waited for can then be late until the next wake-up of that loop.
"""

from __future__ import annotations

import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from lockfree.locked._event import Waiter


class Door:
    """The way into an event loop from outside."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        import asyncio

        self._loop = weakref.ref(loop)
        self._running_here = asyncio._get_running_loop
        self._current_task = asyncio.current_task
        self._asked = _Asked()
        self._woken: deque[Waiter] = deque()

    def wake(self, waiter: Waiter) -> bool:
        """Wake one who waits in the loop, from any thread; return whether it surely gets up.

        From outside, a burst of them costs the loop one callback.
        """
        loop = self._loop()
        if loop is None:
            return False
        # Outside is also a signal handler or finalizer that interrupts the loop itself
        # as it falls asleep: where no task runs.
        if self._running_here() is loop and self._current_task(loop) is not None:
            waiter.get_up()
            return True
        if loop.is_closed():
            return False
        self._woken.append(waiter)
        asked = self._asked
        if asked.is_answered or not asked.is_made:
            self._asked = asked = _Asked()
            try:
                loop.call_soon_threadsafe(_Call(self, asked))
            except RuntimeError:
                if not loop.is_closed():
                    raise
            # Not before: a call that failed is made again by the next one who is woken.
            asked.is_made = True
        # A loop that was stopped may never run again.
        return loop.is_running()

    def answer(self) -> None:
        """Wake those who are to be woken by the call that was made."""
        while self._woken:
            waiter = self._woken[0]
            try:
                waiter.get_up()
            except BaseException:
                if loop := self._loop():
                    loop.call_soon_threadsafe(_Call(self, _Asked()))  # again, and for the others
                raise
            self._woken.popleft()

    def pass_on(self) -> None:
        """Give the news for those who are in a loop that is closed to others."""
        loop = self._loop()
        if loop is None or loop.is_closed():
            while self._woken:
                self._woken.popleft().pass_on()


class _Asked:
    """How far a call into a loop has come."""

    __slots__ = ("is_answered", "is_made")

    def __init__(self) -> None:
        self.is_made = False
        self.is_answered = False


class _Call:
    """A call into a loop. If the loop is closed before, it drops it: the news goes on."""

    __slots__ = ("_asked", "_door")

    def __init__(self, door: Door, asked: _Asked) -> None:
        self._door = door
        self._asked = asked

    def __call__(self) -> None:
        # Before the list is looked at: who comes after that makes another call.
        self._asked.is_answered = True
        self._door.answer()

    def __del__(self) -> None:
        if not self._asked.is_answered:
            self._door.pass_on()


def door_of(loop: Any) -> Door:
    """Return the door of a loop, which keeps it."""
    try:
        door: Door = loop._lockfree_locked_door
    except AttributeError:
        door = Door(loop)
        with suppress(AttributeError):  # else it keeps none, and each wait makes one
            loop._lockfree_locked_door = door
    return door
