"""Servers and workers of one database, driving the agents that count; each killed one is followed
by another in its place.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path

from psycopg import AsyncConnection

from tests.faults.crowd import AGENTS
from tests.faults.forked import Forked, finished, serving, working
from tests.processes import find_free_port

COUNT = "SELECT count(*) FROM audit_entries WHERE body::json->>'action' = %s"
RESTART_SECONDS = 60.0
SHOWN_CHARACTERS = 100_000  # of a log: the traceback of a 500 is before the 503s of the rest
QUICK = {"HITL_CLAIM_SECONDS": "1.5", "HITL_DRAIN_SECONDS": "5"}


Start = Callable[[Sequence[str]], AbstractContextManager[Forked]]


class Place:
    """A process, and those that follow it.

    `agents`: those of the next one. `told`: how each ended that was told to, after how many
    seconds. `keep`: the name of the files in which is left what each of them said.
    """

    def __init__(
        self, start: Start, keep: Path | None = None, agents: Sequence[str] = AGENTS
    ) -> None:
        self._start, self._processes = start, ExitStack()
        self._keep, self._lives = keep, 1
        self.agents = agents
        self.told: list[tuple[int, float]] = []
        self.lock = asyncio.Lock()  # for who wants that nothing else happens to it meanwhile
        self._process = self._processes.enter_context(start(agents))

    def close(self) -> None:
        self._keep_log()
        self._processes.close()

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
        self.told.append((ended, seconds))
        await self._follow()
        return ended, seconds

    async def deploy(self, agents: Sequence[str]) -> None:
        """Tell it to end; another follows, with these agents."""
        self.agents = agents
        await self.tell_to_end()

    async def revive(self) -> None:
        """Let another follow if it has died by itself."""
        if not self.alive():
            await self._follow()

    async def freeze(self, seconds: float) -> None:
        frozen = self._process
        with suppress(ProcessLookupError):  # it has died, before or meanwhile
            frozen.send(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                frozen.send(signal.SIGCONT)

    async def _follow(self) -> None:
        self._keep_log()
        self._lives += 1
        until = time.monotonic() + RESTART_SECONDS
        while True:
            try:
                self._process = await asyncio.to_thread(
                    lambda: self._processes.enter_context(self._start(self.agents))
                )
            except AssertionError:  # no database at this moment: tried again, as supervisors do
                if time.monotonic() > until:
                    raise
            else:
                return

    def _keep_log(self) -> None:
        if self._keep:
            name = f"{self._keep.name}.{self._lives}.log"
            self._keep.with_name(name).write_text(self.said())


@contextmanager
def server(database_url: str, log: Path, **settings: str) -> Generator[Place]:
    with _telling(open_server(database_url, log, settings)) as place:
        yield place


@contextmanager
def _telling(place: Place) -> Generator[Place]:
    """Close it at the end; a test that fails shows what its process said."""
    with closing(place):
        try:
            yield place
        except BaseException as error:
            error.add_note(f"{place.url or 'The worker'} said:\n{place.said()[-SHOWN_CHARACTERS:]}")
            raise


def open_server(
    database_url: str,
    log: Path,
    settings: Mapping[str, str],
    agents: Sequence[str] = AGENTS,
    keep: Path | None = None,
) -> Place:
    """Always at the same address."""
    settings = {"HITL_TEST_LOG": str(log), "PORT": str(find_free_port()), **QUICK, **settings}
    return Place(lambda agents: serving(database_url, *agents, **settings), keep, agents)


@contextmanager
def worker(database_url: str, log: Path, **settings: str) -> Generator[Place]:
    with _telling(open_worker(database_url, log, settings)) as place:
        yield place


def open_worker(
    database_url: str,
    log: Path,
    settings: Mapping[str, str],
    agents: Sequence[str] = AGENTS,
    keep: Path | None = None,
) -> Place:
    settings = {"HITL_TEST_LOG": str(log), **QUICK, **settings}
    return Place(lambda agents: working(database_url, *agents, **settings), keep, agents)


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
