"""Starts whose callers wait: not written yet, and what may go wrong meanwhile."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from psycopg import AsyncConnection, sql

from hitl_orchestrator.server.drivers import BEATS_A_LEASE, Drivers
from tests.agents.counting import log_lines
from tests.api.calls import started
from tests.faults.one_life import RUN, opened, start
from tests.faults.proxy import proxied
from tests.processes import AGENTS

Json = dict[str, Any]

COUNTER = (f"{AGENTS / 'counting.py'}:left",)
LEASE_SECONDS = 1
OVERTIME = """
import time

def run(task):
    time.sleep(0.5)

agent = {"capabilityId": "overtime", "displayName": "Overtime", "inputFacets": ["objective"],
    "outputFacets": ["late"], "facets": {"late": {"type": "string"}}, "timeoutSeconds": 0.02,
    "run": run}
"""


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
    trail = cast(list[Json], run.metadata["auditLog"])
    assert [entry["action"] for entry in trail] == ["start", "request"]
    assert len(log_lines(log)) == 1


async def test_one_that_fails_while_its_work_goes_on_says_so(
    database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "overtime.py"
    file.write_text(OVERTIME)
    async with started(database_url, agents=(f"{file}:agent",)) as client:
        run = (await begin(client, "late")).json()
        assert (run["status"], run["stillWorking"]) == ("failed", True)
        async with asyncio.timeout(20):
            while run["stillWorking"]:
                await asyncio.sleep(0.05)
                run = (await client.get(f"/api/runs/{run['runId']}")).json()
