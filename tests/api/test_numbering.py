"""The queue's frames get their numbers also while nobody listens: a thousand at a time."""

import asyncio
from typing import cast

import httpx
from psycopg import AsyncConnection

from hitl_orchestrator.checkpoints import events
from hitl_orchestrator.checkpoints.pool import connection, connection_pool
from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.domain.events import Event, EventKind
from hitl_orchestrator.server.numbering import Numbering
from tests.api.calls import paused, started

MANY = 2 * events.NUMBERED_AT_ONCE + 500
OF_ONE_MOMENT = """INSERT INTO run_events (run_id, seq, frame, queue, last, at)
    SELECT %s, 1000 + n, '{}', true, false, now() FROM generate_series(1, %s) n"""
NUMBERS = "SELECT array_agg(queue_seq ORDER BY at, seq) FROM run_events WHERE queue"


async def numbers(database_url: str) -> list[int | None]:
    async with await AsyncConnection.connect(database_url) as conn:
        row = await (await conn.execute(NUMBERS)).fetchone()
    return row[0] if row else []


async def write_many(database_url: str, run_id: str) -> None:
    async with await AsyncConnection.connect(database_url) as conn:
        await conn.execute(OF_ONE_MOMENT, (run_id, MANY))


async def until_numbered(database_url: str) -> None:
    for _ in range(50):
        if None not in await numbers(database_url):
            return
        await asyncio.sleep(0.2)
    raise AssertionError(await numbers(database_url))


async def test_what_nobody_listens_to_is_numbered(
    api: httpx.AsyncClient, database_url: str
) -> None:
    await paused(api)
    await until_numbered(database_url)
    assert await numbers(database_url) == [1]


async def test_what_a_process_has_left_is_numbered_by_the_next(database_url: str) -> None:
    async with started(database_url) as api:
        run = await paused(api)
    await write_many(database_url, run["runId"])
    async with started(database_url):
        await until_numbered(database_url)
    assert await numbers(database_url) == [*range(1, MANY + 2)], "in order"


async def test_who_reads_waits_for_one_batch(database_url: str) -> None:
    async with started(database_url) as api:
        run = await paused(api)
    await write_many(database_url, run["runId"])
    async with connection_pool(database_url, max_size=1) as pool, connection(pool) as conn:
        assert await events.number_some(conn)
        assert (await numbers(database_url)).count(None) > events.NUMBERED_AT_ONCE
        assert await events.number_the_queue(conn) == MANY + 1
        assert not await events.number_some(conn)


async def test_what_comes_while_others_are_numbered_has_time() -> None:
    numbering = Numbering()

    class Busy:
        asked = 0

        async def number_queue(self) -> bool:
            self.asked += 1
            assert self.asked < 5, "it never ends"
            numbering.note([Event(kind=EventKind.QUESTION_ASKED, message="requested")])
            return self.asked == 1  # there is a second batch, and always something new

    busy = Busy()
    await numbering.number(cast(Store, busy))
    assert busy.asked == 2
    await numbering.number(cast(Store, busy))
    assert busy.asked == 3
