"""Servers and workers of one database, driving the agents that count; each killed one is followed
by another in its place.
"""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from psycopg import AsyncConnection

from tests.faults.crowd import AGENTS
from tests.faults.forked import Forked, finished, serving, working

COUNT = "SELECT count(*) FROM audit_entries WHERE body::json->>'action' = %s"
QUICK = {"HITL_CLAIM_SECONDS": "1.5", "HITL_DRAIN_SECONDS": "5"}


class Place:
    def __init__(self, start: Callable[[], AbstractContextManager[Forked]]) -> None:
        self._start, self._processes = start, ExitStack()
        self._process = self._processes.enter_context(start())
        self.close = self._processes.close

    @property
    def url(self) -> str:
        return self._process.url

    def alive(self) -> bool:
        return self._process.alive()

    def said(self) -> str:
        return self._process.said()

    async def kill(self) -> None:
        """Another follows."""
        await asyncio.to_thread(self._process.kill)
        await self._follow()

    async def terminate(self) -> int:
        """How it ended. Another follows."""
        ended = await asyncio.to_thread(self._process.terminate)
        await self._follow()
        return ended

    async def tell_to_end(self) -> tuple[int, float]:
        """Return how it ended, and after how many seconds. Another follows."""
        began = time.monotonic()
        ended = await asyncio.to_thread(self._process.terminate)
        seconds = time.monotonic() - began
        await self._follow()
        return ended, seconds

    async def freeze(self, seconds: float) -> None:
        frozen = self._process
        frozen.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            with suppress(ProcessLookupError):  # it was killed meanwhile
                frozen.send(signal.SIGCONT)

    async def _follow(self) -> None:
        self._process = await asyncio.to_thread(
            lambda: self._processes.enter_context(self._start())
        )


@contextmanager
def server(database_url: str, log: Path, **settings: str) -> Generator[Place]:
    """Always at the same address."""
    settings = {"HITL_TEST_LOG": str(log), "PORT": str(_free_port()), **QUICK, **settings}
    place = Place(partial(serving, database_url, *AGENTS, **settings))
    try:
        yield place
    finally:
        place.close()


@contextmanager
def worker(database_url: str, log: Path, **settings: str) -> Generator[Place]:
    settings = {"HITL_TEST_LOG": str(log), **QUICK, **settings}
    place = Place(lambda: working(database_url, *AGENTS, **settings))
    try:
        yield place
    finally:
        place.close()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def assert_audit_verifies(database_url: str) -> None:
    code, said = finished(database_url, "audit", "verify")
    assert code == 0, said


async def next_moment(conn: AsyncConnection, action: str) -> None:
    """Returns right after the commit of the next entry of that kind."""

    async def count() -> int:
        row = await (await conn.execute(COUNT, (action,))).fetchone()
        return row[0] if row else 0

    before = await count()
    while await count() == before:  # noqa: ASYNC110  # the moment is the database's
        await asyncio.sleep(0.002)


async def until(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110  # the moment is another process'
        await asyncio.sleep(0.01)
