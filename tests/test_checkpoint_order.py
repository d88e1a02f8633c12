"""The newest checkpoint is the last one written, whatever the clocks of its writers say."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.base.id import UUID, uuid6
from langgraph.checkpoint.conformance.test_utils import (
    generate_checkpoint,
    generate_config,
    generate_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from hitl_orchestrator.checkpoints.migrate import migrate
from hitl_orchestrator.checkpoints.pool import Connection, Pool, connection, connection_pool
from hitl_orchestrator.checkpoints.saver import BufferedSaver
from hitl_orchestrator.domain.ports import Update
from tests.flushes import flush
from tests.processes import serving

FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
IN_STEP, AHEAD, BEHIND = timedelta(), timedelta(seconds=20), timedelta(seconds=-20)


@pytest.fixture
async def pool(database_url: str) -> AsyncGenerator[Pool]:
    async with connection_pool(database_url, max_size=4) as pool:
        yield pool


@pytest.fixture
async def saver(pool: Pool) -> BufferedSaver:
    saver = BufferedSaver(pool)
    await saver.setup()
    return saver


async def nothing(conn: Connection, updates: list[Update]) -> None:
    pass


def make_id(clock: timedelta) -> str:
    """Make an id as LangGraph does where the clock is so far ahead."""
    now = uuid6()
    time = now.time + int(clock / timedelta(microseconds=1)) * 10
    number = (time >> 12) << 80 | (time & 0xFFF) << 64 | now.int & (1 << 64) - 1
    return str(UUID(int=number, version=6))


async def put(
    saver: AsyncPostgresSaver,
    clock: timedelta,
    parent: RunnableConfig | None = None,
    ns: str = "",
) -> RunnableConfig:
    point = generate_checkpoint(checkpoint_id=make_id(clock))
    point["v"] = 4
    at = parent or generate_config("thread", checkpoint_ns=ns)
    return await saver.aput(at, point, generate_metadata(), {})


def id_of(found: CheckpointTuple | RunnableConfig | None) -> str:
    config = found.config if isinstance(found, CheckpointTuple) else found
    assert config is not None
    return config.get("configurable", {})["checkpoint_id"]


async def newest(saver: BufferedSaver) -> str:
    return id_of(await saver.aget_tuple(generate_config("thread")))


async def listed(saver: BufferedSaver, **which: Any) -> list[str]:
    return [id_of(found) async for found in saver.alist(generate_config("thread"), **which)]


CLOCKS = [IN_STEP, AHEAD, BEHIND, IN_STEP]


def test_the_ids_of_a_clock_ahead_are_the_greater() -> None:
    assert make_id(BEHIND) < make_id(IN_STEP) < make_id(AHEAD)


@pytest.mark.parametrize("flushes", ["in a unit", "a flush for each", "outside"])
async def test_the_last_one_written_is_the_newest(saver: BufferedSaver, flushes: str) -> None:
    written: list[str] = []
    at: RunnableConfig | None = None
    if flushes == "outside":
        for clock in CLOCKS:
            at = await put(saver, clock, at)
            written.append(id_of(at))
            assert await newest(saver) == written[-1]
    else:
        async with saver.unit() as unit:
            for clock in CLOCKS:
                at = await put(saver, clock, at)
                written.append(id_of(at))
                assert await newest(saver) == written[-1]
                if flushes == "a flush for each":
                    await flush(saver, unit, nothing)
            assert await listed(saver) == written[::-1]
            await flush(saver, unit, nothing)
    assert await newest(saver) == written[-1]
    assert await listed(saver) == written[::-1]
    assert await listed(saver, limit=2) == written[:1:-1]
    before = generate_config("thread", checkpoint_id=written[2])
    assert await listed(saver, before=before) == written[1::-1]
    assert await listed(saver, before=before, limit=1) == [written[1]]


async def test_a_server_behind_goes_on_where_the_one_ahead_stopped(pool: Pool) -> None:
    ahead, behind = BufferedSaver(pool), BufferedSaver(pool)
    await ahead.setup()
    async with ahead.unit() as unit:
        first = await put(ahead, AHEAD)
        await flush(ahead, unit, nothing)
    async with behind.unit() as unit:
        second = await put(behind, IN_STEP, first)
        assert await newest(behind) == id_of(second)
        assert await newest(ahead) == id_of(second)
        await flush(behind, unit, nothing)
    assert await newest(ahead) == id_of(second)


async def test_a_checkpoint_that_is_written_again_keeps_its_place(saver: BufferedSaver) -> None:
    point = generate_checkpoint()
    point["v"] = 4
    await saver.aput(generate_config("thread"), point, generate_metadata(step=1), {})
    last = await put(saver, BEHIND)
    await saver.aput(generate_config("thread"), point, generate_metadata(step=2), {})
    assert await listed(saver) == [id_of(last), point["id"]]


async def test_before_a_checkpoint_of_the_graph_above(saver: BufferedSaver) -> None:
    """A subgraph that is replayed asks so, with the id alone."""
    below = await put(saver, AHEAD, ns="sub:1")
    above = await put(saver, BEHIND)
    later = await put(saver, BEHIND, ns="sub:1")
    config = generate_config("thread", checkpoint_ns="sub:1")
    before: RunnableConfig = {"configurable": {"checkpoint_id": id_of(above)}}
    found = [id_of(each) async for each in saver.alist(config, before=before)]
    assert found == [id_of(below)]
    assert id_of(await saver.aget_tuple(config)) == id_of(later)


async def test_a_database_of_before_keeps_its_order_and_goes_on_from_there(pool: Pool) -> None:
    stock = AsyncPostgresSaver(pool)
    await stock.setup()
    old = [id_of(await put(stock, clock)) for clock in (AHEAD, BEHIND, IN_STEP)]
    saver = BufferedSaver(pool)
    await migrate(pool, saver)
    assert await listed(saver) == sorted(old, reverse=True)
    assert await listed(saver, before=generate_config("thread", checkpoint_id=old[0])) == [
        old[2],
        old[1],
    ]
    new = id_of(await put(saver, BEHIND))
    by_an_older_program = id_of(await put(stock, BEHIND))
    await migrate(pool, saver)
    assert await listed(saver) == [by_an_older_program, new, *sorted(old, reverse=True)]


async def test_the_newest_is_found_through_an_index(saver: BufferedSaver, pool: Pool) -> None:
    async with connection(pool) as conn:
        await conn.execute("""INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint)
            SELECT 'thread', n::text, '{}' FROM generate_series(1, 5000) n""")
        await conn.execute("ANALYZE checkpoints")
        rows = await (
            await conn.execute("""EXPLAIN SELECT checkpoint FROM checkpoints
            WHERE thread_id = 'thread' AND checkpoint_ns = ''
            ORDER BY hitl_seq DESC, checkpoint_id DESC LIMIT 1""")
        ).fetchall()
    plan = "\n".join(row["QUERY PLAN"] for row in rows)
    assert "checkpoints_in_order" in plan
    assert "Sort" not in plan


async def test_a_delta_channel_is_rebuilt_across_clocks(saver: BufferedSaver) -> None:
    """The stock statement knows only ancestors with smaller ids."""
    parent: RunnableConfig = generate_config("thread")
    for number, clock in enumerate([AHEAD, BEHIND, IN_STEP]):
        parent = await put(saver, clock, parent)
        await saver.aput_writes(parent, [("said", [str(number)])], uuid4().hex)
    last = await put(saver, BEHIND, parent)
    for config in (last, generate_config("thread")):
        found = await saver.aget_delta_channel_history(config=config, channels=["said"])
        assert [value for _, _, value in found["said"]["writes"]] == [["0"], ["1"], ["2"]]


@pytest.mark.skipif(FAKETIME is None, reason="apt-get install libfaketime, to shift a clock")
@pytest.mark.parametrize("ahead", ["starts", "answers"])
async def test_a_run_goes_on_between_servers_20_s_apart(
    database_url: str, tmp_path: Path, ahead: str
) -> None:
    log = tmp_path / "log"
    fast = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "+20s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    first, second = (fast, {}) if ahead == "starts" else ({}, fast)
    agents = ("workflow.py:agent",)
    with (
        serving(database_url, *agents, **first) as one,
        serving(database_url, *agents, **second) as other,
    ):
        with one.client() as client:
            run = client.post(
                "/api/runs?wait=20",
                json={"objective": "Go", "inputs": {"log": str(log)}, "outputs": ["steps"]},
            ).json()
            assert run["status"] == "awaiting_hitl", run
        with other.client() as client:
            request = run["pendingRequestId"]
            said = {"requestId": request, "approved": True}
            answered = client.post(
                "/api/hitl/resume?wait=20",
                json={"runId": run["runId"], "requestId": request, "responses": [said]},
            ).json()
        with one.client() as client:
            ended = client.get(f"/api/runs/{run['runId']}").json()
    assert answered["status"] == "completed", ended["error"]
    assert ended["result"]["outputs"] == {"steps": ["first", "answered", "second"]}
    assert log.read_text().splitlines() == ["first", "second"]
