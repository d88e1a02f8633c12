"""What runs in the background ends when it is told to, and leaves nothing behind."""

import asyncio
import gc
from collections.abc import Generator

import pytest
from psycopg import AsyncConnection

from hitl_orchestrator.checkpoints.tasks import end_tasks
from hitl_orchestrator.checkpoints.wakeups import Wakeups

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
