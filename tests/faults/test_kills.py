"""Real processes that really die. After each fault: every run ended rightly, each answer was applied once, the audit verifies."""

import asyncio
import os
import random
import signal
import socket
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.faults.crowd import AGENTS, Crowd
from tests.processes import HITL, Running, serving, working

QUICK = {"HITL_CLAIM_SECONDS": "1.5", "HITL_DRAIN_SECONDS": "5"}
KILLS = 5
RUNS = 12


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "work.log"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def assert_audit_verifies(database_url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database_url, "API_KEY": "unused"}
    done = subprocess.run([HITL, "audit", "verify"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class Restarted:
    """A server that is followed by another at the same address whenever it is killed."""

    def __init__(self, start: Callable[[], "Running"]) -> None:
        self._start = start
        self.server = start()

    def kill_and_follow(self) -> None:
        self.server.kill()
        self.server = self._start()


@asynccontextmanager
async def restarted(database_url: str, log: Path, **settings: str) -> AsyncGenerator[Restarted]:
    port = str(free_port())
    with ExitStack() as stack:

        def start() -> Running:
            served = serving(database_url, *AGENTS, PORT=port, HITL_TEST_LOG=str(log), **QUICK, **settings)
            return stack.enter_context(served)

        yield await asyncio.to_thread(Restarted, start)


@pytest.mark.parametrize("moment", ["started", "answered", "ended"])
async def test_a_server_killed_around_each_moment_loses_nothing(database_url: str, log: Path, moment: str) -> None:
    async with restarted(database_url, log) as server:
        crowd = Crowd(server.server.url)
        living = asyncio.create_task(crowd.live(RUNS))
        for kill in range(KILLS):
            goal = crowd.moments[moment] + 1 + kill % 2
            while crowd.moments[moment] < goal and not living.done():  # noqa: ASYNC110  # the moment is the server's
                await asyncio.sleep(0.002)
            await asyncio.sleep(random.random() * 0.15)  # noqa: S311
            await asyncio.to_thread(server.kill_and_follow)
        crowd.check(await living, log)
        assert_audit_verifies(database_url)


async def test_a_worker_killed_in_the_middle_of_a_wave_is_followed_by_another(database_url: str, log: Path) -> None:
    settings = {"HITL_TEST_LOG": str(log), **QUICK}
    with serving(database_url, *AGENTS, HITL_DISPATCH="queue", **settings) as server, ExitStack() as workers:
        worker = partial(working, database_url, *AGENTS, concurrency=4, **settings)
        first, _ = workers.enter_context(worker()), workers.enter_context(worker())
        crowd = Crowd(server.url)
        living = asyncio.create_task(crowd.live(RUNS))
        await asyncio.sleep(0.7)
        await asyncio.to_thread(first.kill)
        crowd.check(await living, log)
        assert_audit_verifies(database_url)


async def test_a_server_frozen_past_its_claim_writes_nothing_when_it_wakes(database_url: str, log: Path) -> None:
    with (
        serving(database_url, *AGENTS, HITL_TEST_LOG=str(log), **QUICK) as first,
        serving(database_url, *AGENTS, HITL_TEST_LOG=str(log), **QUICK) as second,
    ):
        frozen, crowd = Crowd(first.url), Crowd(second.url)
        both = asyncio.gather(frozen.live(RUNS), crowd.live(2))
        await asyncio.sleep(0.6)
        first.send(signal.SIGSTOP)
        await asyncio.sleep(3)
        first.send(signal.SIGCONT)
        mine, others = await both
        frozen.runs |= crowd.runs
        frozen.check([*mine, *others], log)
        assert_audit_verifies(database_url)


async def test_a_server_told_to_end_drains_and_ends_with_0(database_url: str, log: Path) -> None:
    async with restarted(database_url, log) as server:
        crowd = Crowd(server.server.url)
        living = asyncio.create_task(crowd.live(RUNS))
        await asyncio.sleep(0.5)
        code = await asyncio.to_thread(server.server.terminate)
        await asyncio.to_thread(server.kill_and_follow)
        assert code == 0
        crowd.check(await living, log)
