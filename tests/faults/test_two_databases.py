"""Past one database: each has the threads that a stable hash gives it, and all there is of them.

The routing is the deployer's (docs/scaling.md); here it is `find_shard`, and `PendingMerge` what a
list over all of them has to do.
"""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

import httpx
import pytest
from psycopg import AsyncConnection, sql

from tests.faults.forked import finished, serving
from tests.faults.streams import list_frames
from tests.processes import API_KEY
from tests.temporary import temporary_database

Json = dict[str, Any]
Place = tuple[int, datetime, str]

THREADS = [f"customer-{number}" for number in range(14)]
URGENCIES = ("low", "normal", "high")
RANKS = {urgency: -rank for rank, urgency in enumerate(URGENCIES)}
PAGE = 4
TABLES_OF_THREADS = """SELECT table_name FROM information_schema.columns
    WHERE column_name = 'thread_id' AND table_schema = 'public'"""


class Shard(NamedTuple):
    database_url: str
    client: httpx.AsyncClient


def find_shard(thread_id: str, shards: Sequence[Shard]) -> Shard:
    """Return the thread's own: by a hash that is the same in every process, for good."""
    return shards[zlib.crc32(thread_id.encode()) % len(shards)]


@pytest.fixture
async def shards(postgres: str) -> AsyncGenerator[list[Shard]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened_shard(postgres)) for _ in range(2)]


@asynccontextmanager
async def opened_shard(postgres: str) -> AsyncGenerator[Shard]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with temporary_database(postgres) as url:
        with serving(url, "asks.py:agent") as server:
            async with httpx.AsyncClient(
                base_url=server.url, headers=headers, timeout=30
            ) as client:
                yield Shard(url, client)


@pytest.mark.slow
async def test_all_of_a_thread_is_in_one_database_and_a_list_over_both_keeps_the_order(
    shards: list[Shard],
) -> None:
    places = {thread: find_shard(thread, shards) for thread in THREADS}
    assert len({shard.database_url for shard in places.values()}) == 2
    runs = await asyncio.gather(*(ask(thread, places[thread]) for thread in THREADS))

    seen, at = list[Json](), PendingMerge((None,) * len(shards))
    while len(seen) < len(runs):
        page, at = await read_pending(shards, at)
        assert page, "the list ended early"
        seen += page
        # what is answered between two pages is not there any more: nothing else is left out
        await asyncio.gather(*(answer(run, places[run["threadId"]]) for run in page))
    in_order = sorted(seen, key=find_place_in_queue)
    assert [run["runId"] for run in seen] == [run["runId"] for run in in_order]
    assert sorted(run["runId"] for run in seen) == sorted(run["runId"] for run in runs)

    for run in runs:
        own = places[run["threadId"]]
        await check_stream(run, own.client)
        (other,) = [shard for shard in shards if shard is not own]
        assert (await other.client.get(f"/api/runs/{run['runId']}")).status_code == 404
    for shard in shards:
        own = {thread for thread, place in places.items() if place is shard}
        await check_database(shard, own)


async def ask(thread_id: str, shard: Shard) -> Json:
    """Start a run that asks, and return it."""
    question = {
        "question": f"What of {thread_id}?",
        "kind": "freeform",
        "urgency": URGENCIES[zlib.crc32(thread_id.encode()) // 7 % len(URGENCIES)],
    }
    body = {"threadId": thread_id, "objective": "Ask", "inputs": {"question": question}}
    response = await shard.client.post("/api/runs?wait=20", json={**body, "outputs": ["answer"]})
    run = response.json()
    assert run["status"] == "awaiting_hitl", run
    return run


async def answer(run: Json, shard: Shard) -> None:
    """By the thread alone: its shard knows the run."""
    asked = run["pendingRequestId"]
    response = {"requestId": asked, "freeformText": run["threadId"]}
    body = {"threadId": run["threadId"], "requestId": asked, "responses": [response]}
    ended = (await shard.client.post("/api/hitl/resume?wait=20", json=body)).json()
    assert ended["status"] == "completed", ended
    assert ended["run"]["result"]["outputs"]["answer"]["freeformText"] == run["threadId"]


async def check_stream(run: Json, client: httpx.AsyncClient) -> None:
    async with client.stream("GET", f"/api/runs/{run['runId']}/events") as stream:
        frames = [frame async for frame in list_frames(stream)]
    assert [frame["seq"] for frame in frames] == [*range(1, len(frames) + 1)]
    assert {frame["threadId"] for frame in frames} == {run["threadId"]}
    assert (frames[0]["type"], frames[-1]["type"]) == ("start", "complete")


async def check_database(shard: Shard, threads: set[str]) -> None:
    """It has its own threads alone, chains that are whole, and a queue of its own numbers."""
    async with await AsyncConnection.connect(shard.database_url) as conn:
        tables = [name for (name,) in await (await conn.execute(TABLES_OF_THREADS)).fetchall()]
        assert {"orchestrator_runs", "hitl_requests", "checkpoints"} <= {*tables}
        for table in tables:
            query = sql.SQL("SELECT DISTINCT thread_id FROM {}").format(sql.Identifier(table))
            found = {name for (name,) in await (await conn.execute(query)).fetchall()}
            # an agent's thread is named after the run's, behind a separator that no caller can give
            assert {name.split("\x1f")[0] for name in found} == threads, table
    code, said = finished(shard.database_url, "audit", "verify")
    assert code == 0, said
    assert said.startswith(f"{len(threads)} chains"), said
    assert "all whole" in said
    headers = {"Last-Event-ID": "0"}
    async with (
        asyncio.timeout(20),
        shard.client.stream("GET", "/api/hitl/events", headers=headers) as stream,
    ):
        seen, number = set[str](), 0
        async for frame in list_frames(stream):
            number += 1
            assert frame["seq"] == number
            if frame["type"] == "complete":
                seen.add(frame["threadId"])
            if seen == threads:
                return


# -- one list over all shards


class PendingMerge(NamedTuple):
    """Where a merged list goes on: in each shard's page, and behind the last run that was shown.

    Not so many runs further: what was answered meanwhile is not there any more.
    """

    cursors: tuple[str | None, ...]
    shown: Place | None = None


def find_place_in_queue(run: Json) -> Place:
    """Return what the contract orders by: the most urgent first, then the oldest."""
    pending = run["pendingRequests"]
    rank = min(RANKS[request["urgency"]] for request in pending)
    since = min(datetime.fromisoformat(request["createdAt"]) for request in pending)
    return rank, since, run["runId"]


async def read_pending(
    shards: Sequence[Shard], at: PendingMerge
) -> tuple[list[Json], PendingMerge]:
    """Return the next merged page, and where the one behind it begins; none: that was all.

    A shard's next run is known before one of another's is shown that may stand behind it.
    """
    page, cursors, shown = list[Json](), [*at.cursors], at.shown
    sources = [
        list_pending(shard, cursor, shown) for shard, cursor in zip(shards, at.cursors, strict=True)
    ]
    heads = [await anext(source, None) for source in sources]
    while len(page) < PAGE and any(heads):
        places = [(find_place_in_queue(head[0]), n) for n, head in enumerate(heads) if head]
        shown, number = min(places)
        run, cursors[number] = heads[number] or ({}, None)
        page.append(run)
        heads[number] = await anext(sources[number], None)
    return page, PendingMerge(tuple(cursors), shown)


async def list_pending(
    shard: Shard, cursor: str | None, shown: Place | None
) -> AsyncGenerator[tuple[Json, str | None]]:
    """Yield the runs of a shard behind that place, each with the cursor of its page."""
    while True:
        where: dict[str, str | int] = {"limit": PAGE, **({"cursor": cursor} if cursor else {})}
        page = (await shard.client.get("/api/hitl/pending", params=where)).json()
        for run in page["runs"]:
            if shown is None or find_place_in_queue(run) > shown:
                yield run, cursor
        cursor = page["nextCursor"]
        if cursor is None:
            return
