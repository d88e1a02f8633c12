"""Questions that expire together: the last is denied in time, too, and none waits for another."""

import asyncio
import time
from collections.abc import AsyncGenerator

import httpx
import pytest
from psycopg import AsyncConnection

from hitl_orchestrator.checkpoints.migrate import migrate
from hitl_orchestrator.checkpoints.pool import connection_pool
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.transaction import ClaimInline
from hitl_orchestrator.server.expiry import deny_expired
from tests.api.calls import API_KEY, paused, started
from tests.processes import serving

RUNS, QUESTIONS = 100, 3  # of each run, asked side by side
AT_ONCE = 10  # started side by side, by each server
LONGEST_SECONDS = 5.0
NO_WAIT_SECONDS = 20.0  # less than anybody waits for a lock here
EXPIRE = "UPDATE hitl_requests SET expires_at = now() WHERE status = 'pending'"
PENDING = "SELECT count(*) FROM hitl_requests WHERE status = 'pending'"


@pytest.fixture
async def admin(database_url: str) -> AsyncGenerator[AsyncConnection]:
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        yield conn


async def count_pending(admin: AsyncConnection) -> int:
    row = await (await admin.execute(PENDING)).fetchone()
    return row[0] if row else 0


async def wait_until_pending(admin: AsyncConnection, number: int) -> None:
    async with asyncio.timeout(4 * LONGEST_SECONDS):
        while await count_pending(admin) > number:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_of_many_the_last_is_denied_within_seconds_also_by_two_servers(
    database_url: str, admin: AsyncConnection
) -> None:
    with serving(database_url, "asks.py:agent", "parallel.py:agent") as other:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with (
            started(database_url) as api,
            httpx.AsyncClient(base_url=other.url, headers=headers, timeout=60) as beside,
        ):
            for _ in range(RUNS // (2 * AT_ONCE)):
                servers = [api, beside] * AT_ONCE
                await asyncio.gather(*(paused(each, outputs=["survey"]) for each in servers))
            assert await count_pending(admin) == RUNS * QUESTIONS
            began = time.monotonic()
            await admin.execute(EXPIRE)
            await wait_until_pending(admin, 0)
            took = time.monotonic() - began
            assert took < LONGEST_SECONDS


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[Store]:
    """Nobody sweeps it."""
    async with connection_pool(database_url, max_size=4) as pool:
        saver = BufferedSaver(pool)
        await migrate(pool, saver)
        yield Store(pool, saver, ClaimInline("driver", 30), lambda run, happened: None)


async def deny_all(store: Store, at_most: int = 1000) -> list[int]:
    """Return how many runs go on, by batch."""
    return [len(claims) async for claims in deny_expired(store, lambda: False, at_most)]


async def test_more_than_a_batch_are_denied_in_one_sweep(
    database_url: str, store: Store, admin: AsyncConnection
) -> None:
    async with started(database_url) as api:
        await asyncio.gather(*(paused(api) for _ in range(5)))
    await admin.execute(EXPIRE)
    assert await deny_all(store, at_most=2) == [2, 2, 1]
    assert await count_pending(admin) == 0


async def test_a_run_that_somebody_has_locked_is_not_waited_for(
    database_url: str, store: Store, admin: AsyncConnection
) -> None:
    """Two servers do not wait for each other either; what was locked is denied afterwards."""
    async with started(database_url) as api:
        locked, _ = await paused(api), await paused(api)
    await admin.execute(EXPIRE)
    async with await AsyncConnection.connect(database_url) as holder:
        lock = "SELECT FROM orchestrator_runs WHERE run_id = %s FOR UPDATE"
        await holder.execute(lock, (locked["runId"],))
        async with asyncio.timeout(NO_WAIT_SECONDS):
            await deny_all(store)
        assert await count_pending(admin) == 1
    await deny_all(store)
    assert await count_pending(admin) == 0
