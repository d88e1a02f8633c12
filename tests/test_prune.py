"""Forgetting beside people who listen and answer: no number twice, no wait for ever."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import product

import httpx
import pytest
from psycopg import AsyncConnection

from hitl_orchestrator.checkpoints import events
from hitl_orchestrator.checkpoints.pool import Pool, connection, connection_pool
from hitl_orchestrator.checkpoints.retention import prune
from hitl_orchestrator.domain.ports import Frame
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.settings import Settings
from tests.api.calls import answering, is_problem, paused, started
from tests.processes import AGENTS

AT_ONCE = timedelta(0)
LISTENED = timedelta(seconds=1)  # by then every listener has its frames
THREADS, ROUNDS = 4, 16


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with started(database_url) as client:
        yield client


@pytest.fixture
async def pool(database_url: str) -> AsyncGenerator[Pool]:
    async with connection_pool(database_url, max_size=4) as opened:
        yield opened


async def end_run(api: httpx.AsyncClient, **body: str) -> str:
    run = await paused(api, **body)
    done = await api.post("/api/hitl/resume?wait=20", json=answering(run, freeformText="x"))
    assert done.json()["status"] == "completed", done.text
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


@pytest.mark.slow
async def test_nothing_is_lost_of_runs_that_are_answered_and_listened_to_beside_a_prune(
    api: httpx.AsyncClient, pool: Pool, database_url: str
) -> None:
    """Their threads are pruned again and again; a listener gets each frame of each run once."""
    agents = (str(AGENTS / "asks.py:agent"),)
    settings = Settings(database_url=database_url, agents=agents)
    async with Orchestrator.open(settings) as listening:
        frames = list[Frame]()
        listener = asyncio.create_task(listen(listening, frames, ROUNDS * THREADS))
        pruned = 0
        ending = asyncio.gather(*(end_runs(api, f"thread {n}") for n in range(THREADS)))
        while not ending.done():
            pruned += await prune(pool, LISTENED)
            await asyncio.sleep(0.02)
        run_ids = [run_id for ended in await ending for run_id in ended]
        async with asyncio.timeout(20):
            await listener
    assert pruned > 0
    got = Counter((frame.body["runId"], frame.body["message"]) for frame in frames)
    assert got == Counter(product(run_ids, ("requested", "occurred", "completed")))
    numbers = [frame.seq for frame in frames]
    assert numbers == sorted(numbers)


async def end_runs(api: httpx.AsyncClient, thread: str) -> list[str]:
    return [await end_run(api, threadId=thread) for _ in range(ROUNDS)]


async def listen(hitl: Orchestrator, frames: list[Frame], ends: int) -> None:
    """Take the queue's frames until so many runs have ended."""
    async for batch in hitl.queue_batches(0):
        frames += batch
        if [frame.body["type"] for frame in frames].count("complete") == ends:
            return


@asynccontextmanager
async def blocked_prune(database_url: str, thread: str) -> AsyncGenerator[asyncio.Task[int]]:
    """Give a prune that stands still, inside, where it deletes that thread's checkpoints."""
    async with (
        await AsyncConnection.connect(database_url) as holder,
        connection_pool(database_url, max_size=1) as pool,
    ):
        await holder.execute("SELECT FROM checkpoints WHERE thread_id = %s FOR UPDATE", (thread,))
        pruning = asyncio.create_task(prune(pool, AT_ONCE))
        blocked = """SELECT FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()
            AND locktype = 'transactionid'"""
        async with asyncio.timeout(10):
            while (await holder.execute(blocked)).rowcount == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        try:
            yield pruning
        finally:
            await holder.rollback()
        await pruning


async def count_checkpoints(database_url: str, thread: str) -> list[int]:
    counts = [
        f"SELECT count(*) FROM {table} WHERE split_part(thread_id, ':', 1) = %s"  # noqa: S608
        for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
    ]
    async with await AsyncConnection.connect(database_url) as conn:
        rows = [await (await conn.execute(one.encode(), (thread,))).fetchone() for one in counts]
    return [row[0] for row in rows if row]


async def test_two_prunes_beside_each_other_leave_nothing_of_a_thread(
    api: httpx.AsyncClient, pool: Pool, database_url: str
) -> None:
    """Each saw the other's run, and kept the checkpoints, or half of them, for it."""
    await end_run(api, threadId="other")
    await end_run(api, threadId="shared")
    paused_run = await paused(api, threadId="shared")
    async with blocked_prune(database_url, "other"):
        await api.post("/api/hitl/resume?wait=20", json=answering(paused_run, freeformText="x"))
        await prune(pool, AT_ONCE)
    await prune(pool, AT_ONCE)
    assert await count_checkpoints(database_url, "shared") == [0, 0, 0]


async def test_a_start_beside_a_prune_of_its_thread_waits_for_it(
    api: httpx.AsyncClient, database_url: str
) -> None:
    """Else it began from checkpoints that went while it was driven."""
    await end_run(api, threadId="other")
    await end_run(api, threadId="shared")
    async with blocked_prune(database_url, "other"):
        starting = asyncio.create_task(paused(api, threadId="shared"))
        await end_run(api, threadId="free")
        assert not starting.done()
    run = await starting
    reply = await api.post("/api/hitl/resume?wait=20", json=answering(run, freeformText="x"))
    assert reply.json()["status"] == "completed"


async def test_a_run_whose_work_goes_on_is_not_pruned(
    api: httpx.AsyncClient, pool: Pool, database_url: str
) -> None:
    """Its row keeps its thread for it."""
    run_id = await end_run(api)
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        await conn.execute("UPDATE orchestrator_runs SET working_until = now() + interval '9 s'")
        assert await prune(pool, AT_ONCE) == 0
        await conn.execute("UPDATE orchestrator_runs SET working_until = now()")
    assert await prune(pool, AT_ONCE) == 1
    is_problem(await api.get(f"/api/runs/{run_id}"), 404)
