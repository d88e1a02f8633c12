"""What agents wrote on the way of a run that is over goes after a time; what can be seen stays."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from psycopg import AsyncConnection

from hitl_orchestrator.checkpoints.pool import Pool, connection_pool
from hitl_orchestrator.checkpoints.retention import BATCH, drop_history, prune
from tests.agents.counting import log_lines
from tests.api.calls import Json, answer, frames_of, paused, start, started, wanting
from tests.processes import AGENTS

AT_ONCE, LATER = timedelta(0), timedelta(days=1)
AGENTS_HERE = (str(AGENTS / "asks.py:agent"), str(AGENTS / "payer.py:agent"))
TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
RENAME = "UPDATE {} SET thread_id = replace(thread_id, E'\\x1f', ':')"
COPY = """INSERT INTO orchestrator_runs SELECT copy.* FROM orchestrator_runs r,
    generate_series(1, {}) AS n, jsonb_populate_record(r, jsonb_build_object(
    'run_id', 'run ' || n, 'thread_id', 'thread ' || n)) AS copy"""


@pytest.fixture
async def api(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with started(database_url, agents=AGENTS_HERE) as client:
        yield client


@pytest.fixture
async def pool(database_url: str) -> AsyncGenerator[Pool]:
    async with connection_pool(database_url, max_size=2) as opened:
        yield opened


async def execute(database_url: str, statement: str) -> list[str]:
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        done = await conn.execute(statement.encode())
        return [row[0] for row in await done.fetchall()] if done.description else []


async def list_threads(database_url: str) -> set[str]:
    every = " UNION ".join(f"SELECT thread_id FROM {table}" for table in TABLES)  # noqa: S608
    return {*await execute(database_url, every)}


def name_thread(run: Json, between: str = "\x1f") -> str:
    return between.join((run["threadId"], run["runId"], run["plan"]["steps"][0]["stepId"]))


async def complete(api: httpx.AsyncClient, **body: str) -> Json:
    run = await answer(api, await paused(api, **body), freeformText="x")
    assert run["status"] == "completed", run["error"]
    return run


async def cancel(api: httpx.AsyncClient) -> Json:
    run = await paused(api)
    reply = await api.post(f"/api/runs/{run['runId']}/cancel", json={"reason": "Enough"})
    assert reply.json()["status"] == "cancelled", reply.text
    return run


async def see(api: httpx.AsyncClient, run: Json) -> tuple[Json, list[Json]]:
    """Return all that can be seen of a run: its page, with the audit log, and its frames."""
    page = (await api.get(f"/api/runs/{run['runId']}")).json()
    assert page["metadata"]["auditLog"]
    return page, frames_of((await api.get(f"/api/runs/{run['runId']}/events")).text)


async def test_what_agents_of_ended_runs_wrote_goes_after_the_time_and_nothing_else(
    api: httpx.AsyncClient, pool: Pool, database_url: str
) -> None:
    ended = await complete(api), await cancel(api)
    waits = await paused(api)
    seen = [await see(api, run) for run in ended]
    before = await list_threads(database_url)
    assert await drop_history(pool, LATER) == 0
    assert await list_threads(database_url) == before
    assert await drop_history(pool, AT_ONCE) == len(ended)
    assert await list_threads(database_url) == before - {name_thread(run) for run in ended}
    assert [await see(api, run) for run in ended] == seen
    assert await drop_history(pool, AT_ONCE) == 0, "what was dropped is not looked at again"
    await answer(api, waits, freeformText="x")
    assert await drop_history(pool, AT_ONCE) == 1
    await complete(api, threadId=ended[0]["threadId"])


async def test_a_failed_run_keeps_it_and_goes_on_where_it_failed(
    api: httpx.AsyncClient, pool: Pool, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.with_name("away").touch()
    run = await start(api, wanting(log, "receipt", "payer.graph"))
    failed = await answer(api, run, approved=True)
    assert failed["status"] == "failed"
    assert await drop_history(pool, AT_ONCE) == 0
    log.with_name("away").unlink()
    done = await api.post(f"/api/runs/{failed['runId']}/retry?wait=20", json={})
    assert done.json()["status"] == "completed", done.text
    assert log_lines(log) == ["paid", "model", "model"], "it was not paid again"


async def test_a_run_whose_work_goes_on_keeps_it(
    api: httpx.AsyncClient, pool: Pool, database_url: str
) -> None:
    await cancel(api)
    working = "UPDATE orchestrator_runs SET working_until = now()"
    await execute(database_url, working + " + interval '9 s'")
    assert await drop_history(pool, AT_ONCE) == 0
    await execute(database_url, working)
    assert await drop_history(pool, AT_ONCE) == 1


async def test_what_version_0_1_0_wrote_goes_too_but_not_a_callers_thread_of_that_name(
    api: httpx.AsyncClient, pool: Pool, database_url: str
) -> None:
    run, other = await complete(api), await complete(api)
    for table in TABLES:
        await execute(database_url, RENAME.format(table))
    mine = await paused(api, threadId=name_thread(other, ":"))
    assert await drop_history(pool, AT_ONCE) == 2
    left = {run["threadId"], other["threadId"], mine["threadId"], name_thread(mine)}
    assert await list_threads(database_url) == left


async def test_what_another_sweep_or_a_prune_has_in_hand_is_left_to_it(
    api: httpx.AsyncClient, pool: Pool, database_url: str
) -> None:
    await complete(api)
    async with await AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT FROM orchestrator_runs FOR UPDATE")
        assert await drop_history(pool, AT_ONCE) == 0
    assert await drop_history(pool, AT_ONCE) == 1


@pytest.mark.parametrize("forget", [drop_history, prune])
async def test_of_runs_that_ended_at_one_moment_each_is_met_though_they_are_no_one_batch(
    api: httpx.AsyncClient, pool: Pool, database_url: str, forget: Callable[..., Awaitable[int]]
) -> None:
    await complete(api)
    await execute(database_url, COPY.format(2 * BATCH))
    assert await forget(pool, AT_ONCE) == 2 * BATCH + 1
    assert await forget(pool, AT_ONCE) == 0


async def test_a_server_that_is_told_to_does_it_by_itself(
    api: httpx.AsyncClient, database_url: str
) -> None:
    run = await complete(api)
    async with started(database_url, agents=AGENTS_HERE, keep_history_days=1e-9) as told:
        async with asyncio.timeout(10):
            while name_thread(run) in await list_threads(database_url):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await complete(told)
