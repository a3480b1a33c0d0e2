"""Stress ``once`` and loads: however many ask at the same time, one call is made for all.

A race is a function of `once`, a coroutine function of `once`, or a key of a cache, for which from
two to `--threads` threads, or two event loops, or both, ask at the same time. They go through some
hundred races at a run, and meet before the next ones. A second makes some ten thousand.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from harness import given_options, report
from lockfree import AtomicInt64, Cache, once

AT_ONCE = 200  # races of each kind in a round
LOOPS = 2
TASKS = 2  # of each event loop


class Race:
    """What is made once, and what those who asked for it got."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls = AtomicInt64()
        self.function = once(self._make)
        self.coroutine_function = once(self._async_make)

    def _make(self) -> object:
        self.calls.increment()
        if self.number % 3 == 0:
            time.sleep(0)
        return object()

    async def _async_make(self) -> object:
        self.calls.increment()
        if self.number % 3 == 0:
            await asyncio.sleep(0)
        return object()


class Round:
    """The races at hand: all ask for the same ones."""

    def __init__(self, threads: int) -> None:
        self.asking = threads
        self.races = [Race(number) for number in range(AT_ONCE)]
        self.keys: Cache[int, object] = Cache(None)
        self.loads = AtomicInt64()
        self.got: list[tuple[str, int, int]] = []

    def load(self, _key: int) -> object:
        """Load a key on a thread."""
        self.loads.increment()
        return object()

    async def async_load(self, _key: int) -> object:
        """Load a key in a task."""
        self.loads.increment()
        await asyncio.sleep(0)
        return object()

    def ask(self, index: int) -> None:
        """Go through all, as one of the threads; not each does in every round."""
        if index >= self.asking:
            return
        got = []
        for race in self.races:
            got.append(("function", race.number, id(race.function())))
            got.append(("key", race.number, id(self.keys.get_or_load(race.number, self.load))))
        self.got += got

    def ask_in_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go through all, as some tasks of an event loop."""

        async def all_of_them() -> None:
            await asyncio.gather(*(self._async_ask() for _ in range(TASKS)))

        loop.run_until_complete(all_of_them())

    async def _async_ask(self) -> None:
        got = []
        for race in self.races:
            value = await race.coroutine_function()
            got.append(("coroutine function", race.number, id(value)))
            value = await self.keys.async_get_or_load(race.number, self.async_load)
            got.append(("key", race.number, id(value)))
        self.got += got

    def check(self, done: Counter[str]) -> None:
        """See that each was made once, and begin anew."""
        assert [race.calls.exchange(0) for race in self.races] == [2] * AT_ONCE
        assert self.loads.exchange(0) == AT_ONCE
        assert len(set(self.got)) == 3 * AT_ONCE, "somebody got another one"
        asked = self.asking + LOOPS * TASKS
        assert len(self.got) == AT_ONCE * (self.asking + LOOPS * TASKS + asked)
        done["races"] += 3 * AT_ONCE
        done["operations"] += len(self.got)
        done["waits"] += self.keys.stats().waits
        self.got.clear()
        self.keys = Cache(None)
        for race in self.races:
            race.function.reset()
            race.coroutine_function.reset()


def take_part(ask: Callable[[], object], meet: threading.Barrier) -> None:
    """Ask in every round, as one of those who meet."""
    try:
        while True:
            meet.wait()
            ask()
            meet.wait()
    except threading.BrokenBarrierError:
        pass  # it is over
    except BaseException:
        meet.abort()
        raise


def main() -> None:
    """Make rounds until the time is over."""
    options = given_options()
    print(f"once: --seed {options.seed} --threads {options.threads}", flush=True)
    failures: list[object] = []
    threading.excepthook = lambda failure: report(failure, failures)
    loops = [asyncio.new_event_loop() for _ in range(LOOPS)]
    races = Round(options.threads)
    asks = [partial(races.ask, index) for index in range(options.threads)]
    asks += [partial(races.ask_in_loop, loop) for loop in loops]
    meet = threading.Barrier(len(asks) + 1)
    threads = [threading.Thread(target=take_part, args=(ask, meet)) for ask in asks]
    for thread in threads:
        thread.start()
    dice, done = random.Random(options.seed), Counter[str]()
    until = time.monotonic() + options.seconds
    try:
        while time.monotonic() < until:
            races.asking = dice.randint(2, options.threads)
            meet.wait()
            meet.wait()
            races.check(done)
    except threading.BrokenBarrierError:
        pass
    finally:
        meet.abort()
        for thread in threads:
            thread.join()
        for loop in loops:
            loop.close()
    if failures:
        sys.exit(f"once: {len(failures)} exceptions, --seed {options.seed}")
    print(f"{done['races']:,} races, {done['waits']:,} waits")
    print(f"once: {done['operations']:,} operations, nothing lost")


if __name__ == "__main__":
    main()
