"""Queue: two event loops in two threads, and one queue in each direction."""

import asyncio
import threading

from lockfree import Queue

questions: Queue[str] = Queue(maxsize=3)
answers: Queue[str] = Queue()


async def answer() -> None:
    async for question in questions:
        await answers.async_put(question.upper())
    answers.shutdown()


async def ask() -> list[str]:
    for number in range(20):
        await questions.async_put(f"question {number}")
    questions.shutdown()
    return [answer async for answer in answers]


other = threading.Thread(target=asyncio.run, args=(answer(),))
other.start()
assert asyncio.run(ask()) == [f"QUESTION {number}" for number in range(20)]
other.join()


async def too_late() -> str:
    try:
        return await asyncio.wait_for(Queue[str]().async_get(), 0.01)
    except TimeoutError:
        return "nothing came"


assert asyncio.run(too_late()) == "nothing came"
