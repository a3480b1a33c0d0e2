"""The recipe of a near cache, as its page has it, before a server that is started here."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from support import run_threads

SERVER = shutil.which("valkey-server") or shutil.which("redis-server")
PAGE = Path(__file__).parents[2] / "docs/use/beyond.md"
NEVER = 30  # seconds

pytestmark = pytest.mark.skipif(SERVER is None, reason="SKIPPED: there is no valkey-server")


class Server:
    """A server with nothing in it."""

    def __init__(self) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.client = redis.Redis.from_url(self.url)
        self.start()

    def start(self) -> None:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        self._process = subprocess.Popen([str(SERVER), *options], stdout=subprocess.DEVNULL)
        until(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + NEVER
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()
    server.client.close()


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def near(server: Server, loop: asyncio.Runner) -> Iterator[Callable[..., Any]]:
    """Make a `Near`, as the first block of the page has it, that hears the server."""
    code = PAGE.read_text(encoding="utf-8").split("```python title", 1)[1].split("\n", 1)[1]
    namespace: dict[str, Any] = {}
    exec(compile(code.split("```", 1)[0], str(PAGE), "exec"), namespace)
    made = []

    def make(**options: float) -> Any:
        made.append(namespace["Near"](server.url, "user:", **options))
        heard(server, made[-1])
        return made[-1]

    yield make
    for each in made:
        loop.run(each.async_close())
        each.close()


def heard(server: Server, near: Any) -> None:
    """Wait until it hears what is written."""
    until(lambda: "invalidate" in str(server.client.pubsub_channels()))

    def is_heard() -> bool:
        near.get("heard")
        written = server.client.incr("user:heard")
        time.sleep(0.01)
        return bool(near.get("heard") == str(written))

    until(is_heard)


def test_a_write_elsewhere_is_seen(
    server: Server, near: Callable[..., Any], loop: asyncio.Runner
) -> None:
    users = near()
    server.client.set("user:1", "a")
    assert users.get("1") == "a"
    assert loop.run(users.async_get("1")) == "a"
    server.client.set("user:1", "b")
    until(lambda: users.get("1") == "b")
    server.client.delete("user:1")
    until(lambda: users.get("1") is None)
    server.client.set("user:1", "c")  # what did not exist
    until(lambda: loop.run(users.async_get("1")) == "c")
    server.client.flushall()
    until(lambda: users.get("1") is None)


def test_its_own_write_is_seen_at_once(near: Callable[..., Any]) -> None:
    users = near()
    for value in map(str, range(100)):
        users.set("1", value)
        assert users.get("1") == value


def test_what_is_near_does_not_ask_the_server(server: Server, near: Callable[..., Any]) -> None:
    users = near()
    server.client.set("user:1", "a")
    until(lambda: users.get("1") == "a")
    until(lambda: quiet(users))
    asked = int(server.client.info("commandstats")["cmdstat_get"]["calls"])
    run_threads(4, lambda _: [users.get("1") for _ in range(100)])
    assert int(server.client.info("commandstats")["cmdstat_get"]["calls"]) == asked


def quiet(near: Any) -> bool:
    """Whether all that was pushed has arrived: then what is read stays."""
    before = near._near.stats().loads
    time.sleep(0.05)
    near.get("1")
    return bool(near._near.stats().loads == before)


def test_without_the_server_it_is_stale_and_then_an_error(
    server: Server,
    near: Callable[..., Any],
    loop: asyncio.Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_thread: list[Any] = []
    by_task: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", by_thread.append)
    loop.get_loop().set_exception_handler(lambda _, context: by_task.append(context))
    patient, hasty = near(ttl=0.2), near(ttl=0.2, grace=0.2)
    server.client.set("user:1", "a")
    for users in (patient, hasty):
        assert users.get("1") == "a"
        until(partial(quiet, users))  # else a push that is late drops it
    server.stop()

    def is_gone() -> bool:
        try:
            hasty.get("1")
        except redis.ConnectionError:
            return True
        return False

    until(is_gone)
    assert patient.get("1") == "a"
    assert any(isinstance(each.exc_value, redis.ConnectionError) for each in by_thread)

    async def ask() -> None:
        assert await patient.async_get("1") == "a"
        while not by_task:  # the load goes on in a task of its own
            await asyncio.sleep(0.01)

    loop.run(ask())
    assert isinstance(by_task[0]["exception"], redis.ConnectionError)

    server.start()
    server.client.set("user:1", "b")
    until(lambda: patient.get("1") == "b")
    until(lambda: hasty.get("1") == "b")
