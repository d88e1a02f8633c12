"""Forgetting beside people who listen and answer: no number twice, no wait for ever."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import httpx
import pytest
from psycopg import AsyncConnection

from hitl_orchestrator.checkpoints import events
from hitl_orchestrator.checkpoints.pool import Pool, connection, connection_pool
from hitl_orchestrator.checkpoints.retention import prune
from tests.api.calls import answering, is_problem, paused, started

AT_ONCE = timedelta(0)
ROUNDS = 12


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with started(database_url) as client:
        yield client


@pytest.fixture
async def pool(database_url: str) -> AsyncGenerator[Pool]:
    async with connection_pool(database_url, max_size=4) as opened:
        yield opened


async def end_run(api: httpx.AsyncClient) -> str:
    run = await paused(api)
    await api.post("/api/hitl/resume?wait=20", json=answering(run, freeformText="x"))
    return run["runId"]


async def number(pool: Pool) -> int:
    async with connection(pool) as conn:
        return await events.number_the_queue(conn)


async def read_queue(pool: Pool) -> list[int]:
    async with connection(pool) as conn:
        return [seq for seq, _, _ in await events.of_queue(conn, 0, 1000)]


async def test_a_listener_beside_a_prune_neither_waits_nor_gives_numbers_twice(
    api: httpx.AsyncClient, pool: Pool, database_url: str
) -> None:
    pruned, _ = await end_run(api), await end_run(api)
    async with await AsyncConnection.connect(database_url) as pruning:
        await pruning.execute("DELETE FROM orchestrator_runs WHERE run_id = %s", (pruned,))
        async with asyncio.timeout(5):
            first = await number(pool)
    before = await read_queue(pool)
    assert before[-1] == first
    await end_run(api)
    assert await number(pool) > first
    after = await read_queue(pool)
    assert after[: len(before)] == before
    assert len(after) == len({*after}) > len(before)


async def test_a_counter_that_fell_behind_is_put_right(
    api: httpx.AsyncClient, pool: Pool, database_url: str
) -> None:
    """As a prune beside the first listener left it in an older program."""
    await end_run(api)
    last = await number(pool)
    async with await AsyncConnection.connect(database_url) as conn:
        await conn.execute("UPDATE queue_counter SET last = 1")
    await end_run(api)
    assert await number(pool) > last


async def test_the_stream_of_a_run_that_is_pruned_ends(
    api: httpx.AsyncClient, pool: Pool, database_url: str
) -> None:
    run = await paused(api)
    path = f"/api/runs/{run['runId']}/events"
    streaming = asyncio.create_task(api.get(path))
    async with await AsyncConnection.connect(database_url) as conn:
        await conn.execute("DELETE FROM orchestrator_runs WHERE run_id = %s", (run["runId"],))
    async with asyncio.timeout(20):
        assert (await streaming).status_code in (200, 404)
    is_problem(await api.get(path), 404)


async def test_runs_are_answered_and_listened_to_while_ended_ones_are_pruned(
    api: httpx.AsyncClient, pool: Pool
) -> None:
    done = asyncio.Event()

    async def keep_pruning() -> int:
        pruned = 0
        while not done.is_set():
            pruned += await prune(pool, AT_ONCE)
            await asyncio.sleep(0)
        return pruned

    async def keep_numbering() -> list[int]:
        numbers = list[int]()
        while not done.is_set():
            numbers.append(await number(pool))
        return numbers

    async def keep_answering(thread: str) -> None:
        for _ in range(ROUNDS):
            run = await paused(api, threadId=thread)
            reply = await api.post("/api/hitl/resume", json=answering(run, freeformText="x"))
            assert reply.status_code == 200, reply.text
            ended = await api.get(f"/api/runs/{run['runId']}?wait=20")
            assert ended.status_code == 404 or ended.json()["status"] == "completed", ended.text
            await wait_until_free(api, thread)

    pruning, numbering = asyncio.create_task(keep_pruning()), asyncio.create_task(keep_numbering())
    try:
        await asyncio.gather(*(keep_answering(f"thread {n}") for n in range(4)))
    finally:
        done.set()
    assert await pruning > 0
    numbers = await numbering
    assert numbers == sorted(numbers)


async def wait_until_free(api: httpx.AsyncClient, thread: str) -> None:
    async with asyncio.timeout(20):
        for status in ("queued", "running", "awaiting_hitl"):
            query = {"threadId": thread, "status": status}
            while (await api.get("/api/runs", params=query)).json()["runs"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
