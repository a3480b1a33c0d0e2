"""AsyncQueue: as asyncio.Queue, with a thread that fills it."""

import asyncio
import threading

from lockfree import AsyncQueue


async def main() -> list[str]:
    lines: AsyncQueue[str] = AsyncQueue(maxsize=5)
    seen: list[str] = []

    async def consumer() -> None:
        while True:
            line = await lines.get()
            seen.append(line)
            lines.task_done()

    def reader() -> None:  # blocking code, in a thread
        for number in range(50):
            lines.sync_q.put(f"line {number}")

    task = asyncio.create_task(consumer())
    thread = threading.Thread(target=reader)
    thread.start()
    await asyncio.to_thread(thread.join)
    await lines.join()
    task.cancel()
    return seen


assert asyncio.run(main()) == [f"line {number}" for number in range(50)]
