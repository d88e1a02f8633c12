"""Starts whose callers wait: not written yet, and what may go wrong meanwhile."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from psycopg import AsyncConnection, sql

from hitl_orchestrator.checkpoints.claims import Taker
from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.domain.errors import StoreUnavailable
from hitl_orchestrator.domain.ports import Change, Claim, Locked, Unit
from hitl_orchestrator.domain.run import Run, RunStatus
from hitl_orchestrator.server.drivers import BEATS_A_LEASE, Drivers
from tests.agents.counting import log_lines
from tests.api.calls import started
from tests.faults import one_life
from tests.faults.one_life import RUN, opened, start
from tests.faults.proxy import proxied
from tests.processes import AGENTS

Json = dict[str, Any]

COUNTER = (f"{AGENTS / 'counting.py'}:left",)
LEASE_SECONDS = 1


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HITL_TEST_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


@asynccontextmanager
async def locked(database_url: str, table: str) -> AsyncGenerator[None]:
    """Let nobody write to the table; heartbeats do not."""
    async with await AsyncConnection.connect(database_url) as conn:
        await conn.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.Identifier(table)))
        yield


async def begin(
    client: httpx.AsyncClient, output: str = "left", wait: float = 30
) -> httpx.Response:
    body = {"objective": "Count", "outputs": [output]}
    return await client.post("/api/runs", params={"wait": wait}, json=body)


async def list_runs(client: httpx.AsyncClient) -> list[Json]:
    return (await client.get("/api/runs")).json()["runs"]


def list_actions(run: Run) -> list[str]:
    return [entry["action"] for entry in cast(list[Json], run.metadata["auditLog"])]


async def test_a_heartbeat_leaves_it_alone(database_url: str, log: Path) -> None:
    async with started(database_url, agents=COUNTER, claim_seconds=LEASE_SECONDS) as client:
        async with locked(database_url, "audit_entries"):
            starting = asyncio.ensure_future(begin(client))
            await asyncio.sleep(2 * LEASE_SECONDS / BEATS_A_LEASE + 0.2)
            assert (starting.done(), await list_runs(client)) == (False, [])
        response = await starting
        assert (response.status_code, response.json()["status"]) == (202, "awaiting_hitl")
    assert [line.split(" ", 2)[2] for line in log_lines(log)] == ["prepared"]


async def test_a_caller_who_cannot_be_told_gets_no_202(database_url: str, log: Path) -> None:
    """Nobody knows whether it will be written; where it is, it goes on."""
    async with (
        proxied(database_url) as (proxy, url),
        started(url, agents=COUNTER) as client,
    ):
        assert (await begin(client)).json()["status"] == "awaiting_hitl"
        proxy.passes.clear()
        response = await begin(client, wait=1)
        assert (response.status_code, "nobody knows" in response.text) == (503, True)
        proxy.passes.set()
        async with asyncio.timeout(20):
            while [one["status"] for one in await list_runs(client)] != ["awaiting_hitl"] * 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert [line.split(" ", 2)[2] for line in log_lines(log)] == ["prepared"] * 2


async def test_a_driver_that_was_told_to_end_leaves_it_to_others(
    database_url: str, log: Path
) -> None:
    async with opened(database_url, "ending", lambda _: None, is_waited_for=True) as (store, graph):
        async with Drivers(graph, store, "ending", LEASE_SECONDS, 5) as ending:
            pass
        ending.start(await start(store, is_waited_for=True))
        assert (await store.show(RUN)).status == "queued"
        async with Drivers(graph, store, "another", LEASE_SECONDS, 5), asyncio.timeout(20):
            while (run := await store.show(RUN)).status != "awaiting_hitl":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert list_actions(run) == ["start", "request"]
    assert len(log_lines(log)) == 1


@asynccontextmanager
async def begun(database_url: str) -> AsyncGenerator[tuple[Store, Claim, Unit]]:
    """Give a start that is waited for, with what drives it."""
    async with opened(database_url, "first", lambda _: None, is_waited_for=True) as (store, _):
        (claim,) = await start(store, is_waited_for=True)
        async with store.unit(claim) as unit:
            await unit.look()
            yield store, claim, unit


def run_on(locked: Locked, _: object) -> Change:
    return Change(locked.run.but(status=RunStatus.RUNNING))


def give_up(locked: Locked, _: object) -> Change:
    failed = locked.run.but(status=RunStatus.FAILED, claimToken=None, stillWorking=True)
    return Change(failed)


async def test_it_is_written_once_where_the_reply_is_lost_and_the_run_goes_on(
    database_url: str,
) -> None:
    async with proxied(database_url) as (proxy, url), begun(url) as (store, claim, unit):
        proxy.lose_reply("INSERT INTO orchestrator_runs")
        with pytest.raises(StoreUnavailable):
            await unit.flush(run_on)
        await unit.flush(run_on)
        assert list_actions(await store.show(RUN)) == ["start"]
        await asyncio.sleep(2 * one_life.LEASE_SECONDS)  # it dies
        taker = Taker("another", timedelta(seconds=LEASE_SECONDS), None)
        assert await store.take(claim._replace(token="theirs"), taker)


async def test_what_works_on_keeps_its_thread(database_url: str) -> None:
    async with begun(database_url) as (store, _, unit):
        await unit.flush(give_up)
        assert (await store.show(RUN)).stillWorking


async def test_one_that_writes_nothing_is_written_soon(database_url: str) -> None:
    async with begun(database_url) as (store, _, unit), unit.flushing(run_on):
        assert await store.frames(str(RUN.run_id), 0)
        assert (await store.show(RUN)).status == "running"
