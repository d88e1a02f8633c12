"""What runs in the background ends when it is told to, and leaves nothing behind."""

import asyncio
import gc
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from psycopg import AsyncConnection

from hitl_orchestrator.checkpoints.tasks import end_tasks
from hitl_orchestrator.checkpoints.wakeups import Wakeups
from tests.processes import API_KEY, HITL

# what is plugged in is loaded while the server starts
TELLS_TO_END = """import os, signal
def agent(settings):
    os.kill(os.getpid(), signal.SIGTERM)
    return {"capabilityId": "works", "displayName": "Works", "outputFacets": ["x"], "run": dict}
"""
HALF_OPEN = "SELECT count(*) FROM pg_stat_activity WHERE state = 'starting'"


@pytest.fixture
def no_garbage_collection() -> Generator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.slow
async def test_a_task_that_swallows_its_cancellation_ends_all_the_same() -> None:
    swallowed = asyncio.Event()

    async def go_on() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(go_on())
    await asyncio.sleep(0)
    await end_tasks(task)
    assert (swallowed.is_set(), task.cancelled()) == (True, True)


async def test_how_a_task_ended_does_not_matter_to_who_ends_it() -> None:
    async def fail() -> None:
        raise ValueError

    await end_tasks()
    await end_tasks(asyncio.create_task(fail()))


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("turns", range(10))
async def test_a_listener_that_ends_while_it_connects_leaves_no_connection_half_open(
    postgres: str, turns: int
) -> None:
    async with await AsyncConnection.connect(postgres, autocommit=True) as admin:
        async with Wakeups(postgres, on_cancelled=lambda run_id: None):
            for _ in range(turns):
                await asyncio.sleep(0)
        await asyncio.sleep(0.1)  # the last handshake of the others in this session
        found = await (await admin.execute(HALF_OPEN)).fetchone()
        assert found == (0,)


@pytest.mark.slow
def test_who_is_told_to_end_while_it_starts_ends_at_once(database_url: str, tmp_path: Path) -> None:
    agent = tmp_path / "ends.py"
    agent.write_text(TELLS_TO_END)
    settings = {"DATABASE_URL": database_url, "API_KEY": API_KEY, "PORT": "0"}
    environment = {**os.environ, **settings, "HITL_AGENTS": f"{agent}:agent"}
    # it would end by itself after 34.5 s, with 1
    ended = subprocess.run([HITL, "serve"], env=environment, cwd=tmp_path, timeout=25, check=False)
    assert ended.returncode == 0
