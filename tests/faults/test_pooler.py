"""Behind a pooler that lends sessions by transaction, with a few sessions for all processes."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from tests.faults.crowd import AGENTS, Crowd
from tests.faults.fleet import server, until, worker
from tests.faults.forked import finished, serving_by_ear
from tests.faults.streams import list_frames
from tests.faults.test_postgres import killed
from tests.pooler import Pooler, needs_pgbouncer, pooling
from tests.processes import API_KEY
from tests.temporary import temporary_postgres

pytestmark = [needs_pgbouncer, pytest.mark.slow]

Json = dict[str, Any]

CLIENTS = 4
FROZEN_SECONDS = 4.0  # longer than a claim is held without a heartbeat
HEARD_SECONDS = 20.0
ASK = {"objective": "Count", "outputs": ["left"]}


@pytest.fixture
def pooler(database_url: str) -> Generator[Pooler]:
    with pooling(database_url) as found:
        yield found


def test_without_a_session_to_listen_on_the_start_names_the_setting(pooler: Pooler) -> None:
    code, said = finished(pooler.url, "serve")
    assert (code, said.count("\n")) == (1, 1)
    assert "pooler" in said
    assert "set HITL_LISTEN_URL" in said


async def test_two_servers_ask_answer_and_stream_as_on_sessions(
    pooler: Pooler, database_url: str, log: Path
) -> None:
    """Started at the one, answered and watched at the other: each frame comes as it is told."""
    settings = {"HITL_TEST_LOG": str(log), "HITL_LISTEN_URL": database_url}
    with (
        serving_by_ear(pooler.url, *AGENTS, **settings) as here,
        serving_by_ear(pooler.url, *AGENTS, **settings) as there,
    ):
        async with calling(here.url) as started_at, calling(there.url) as answered_at:
            await ask_and_answer(started_at, answered_at)
            await cancel(started_at, answered_at)
    assert_audit_verifies(pooler, database_url)


async def ask_and_answer(started_at: httpx.AsyncClient, answered_at: httpx.AsyncClient) -> None:
    async with answered_at.stream("GET", "/api/hitl/events") as stream:
        frames = list_frames(stream)
        run = await post(started_at, "/api/runs?wait=20", ASK)
        async with asyncio.timeout(HEARD_SECONDS):
            while (await anext(frames)).get("runId") != run["runId"]:
                pass
    assert run["status"] == "awaiting_hitl", run
    response = {"requestId": run["pendingRequestId"], "freeformText": "yes"}
    body = {"runId": run["runId"], "requestId": run["pendingRequestId"], "responses": [response]}
    key = uuid4().hex
    ended = await post(answered_at, "/api/hitl/resume?wait=20", body, key)
    assert ended["run"]["result"]["outputs"] == {"left": "yes"}
    # by its key, at the other server too
    assert (await post(started_at, "/api/hitl/resume?wait=20", body, key))["run"] == ended["run"]
    again = await started_at.post("/api/hitl/resume", json=body)
    assert again.status_code == 409, again.text
    listed = (await answered_at.get("/api/runs?limit=1")).json()["runs"]
    assert [one["runId"] for one in listed] == [run["runId"]]


async def cancel(started_at: httpx.AsyncClient, cancelled_at: httpx.AsyncClient) -> None:
    run = await post(started_at, "/api/runs?wait=20", ASK)
    path = f"/api/runs/{run['runId']}"
    async with started_at.stream("GET", f"{path}/events") as stream:
        cancelled = await post(cancelled_at, f"{path}/cancel", {"reason": "enough"})
        assert cancelled["status"] == "cancelled"
        async with asyncio.timeout(HEARD_SECONDS):
            types = [frame["type"] async for frame in list_frames(stream)]
    assert types[-1] == "complete"


async def test_a_worker_listens_for_runs_and_for_jobs_on_sessions_of_its_own(
    pooler: Pooler, database_url: str, log: Path
) -> None:
    own = make_conninfo(database_url, application_name="listens")
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        with worker(pooler.url, log, HITL_LISTEN_URL=own):
            async with asyncio.timeout(10):
                while await find_listeners(conn) != ["listens", "listens"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)


async def find_listeners(conn: AsyncConnection) -> list[str]:
    # by what they said last: one of them greets others once it listens
    query = """SELECT application_name FROM pg_stat_activity
        WHERE query ILIKE 'LISTEN%' OR query LIKE 'SELECT set_config(%count(pg_notify(%'"""
    return [name for (name,) in await (await conn.execute(query)).fetchall()]


@pytest.mark.parametrize("dispatch", ["inline", "queue"])
async def test_killed_servers_and_a_killed_pooler_lose_nothing_and_do_nothing_twice(
    pooler: Pooler, database_url: str, log: Path, dispatch: str
) -> None:
    settings = {"HITL_LISTEN_URL": database_url, "HITL_DISPATCH": dispatch}
    with ExitStack() as stack:
        servers = [stack.enter_context(server(pooler.url, log, **settings)) for _ in range(2)]
        if dispatch == "queue":
            drivers = [stack.enter_context(worker(pooler.url, log, **settings))]
        else:
            drivers = servers
        crowd = Crowd([place.url for place in servers])
        async with crowd.living(CLIENTS):
            for place in (drivers[0], servers[1]):
                await some_end(crowd)
                await place.kill()
            await some_end(crowd)
            with gone(pooler):
                await some_are_refused(crowd)
            await some_end(crowd)
            pooler.send(signal.SIGSTOP)  # it takes everything, and answers nothing
            await asyncio.sleep(FROZEN_SECONDS)
            pooler.send(signal.SIGCONT)
            await some_end(crowd)
        assert all(place.alive() for place in servers), "a server did not survive the pooler"
        crowd.check(log)
    assert_audit_verifies(pooler, database_url)


async def test_postgres_killed_behind_the_pooler_costs_nothing_but_time(log: Path) -> None:
    with temporary_postgres() as postgres:
        database_url = postgres.start()
        with pooling(database_url) as pooler:
            settings = {"HITL_LISTEN_URL": database_url}
            with server(pooler.url, log, **settings) as place:
                crowd = Crowd([place.url])
                async with crowd.living(CLIENTS):
                    await some_end(crowd)
                    with killed(postgres):
                        await some_are_refused(crowd)
                    await some_end(crowd)
                assert place.alive()
                crowd.check(log)
            assert_audit_verifies(pooler, database_url)


async def some_end(crowd: Crowd) -> None:
    goal = len(crowd.ended) + CLIENTS
    await until(lambda: len(crowd.ended) >= goal)


async def some_are_refused(crowd: Crowd) -> None:
    goal = crowd.refused + CLIENTS
    await until(lambda: crowd.refused >= goal)


@contextmanager
def gone(pooler: Pooler) -> Generator[None]:
    pooler.kill()
    yield
    pooler.start()


@asynccontextmanager
async def calling(url: str) -> AsyncGenerator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        yield client


async def post(client: httpx.AsyncClient, path: str, body: Json, key: str | None = None) -> Json:
    headers = {"Idempotency-Key": key or uuid4().hex}
    response = await client.post(path, json=body, headers=headers)
    assert response.is_success, response.text
    return response.json()


def assert_audit_verifies(pooler: Pooler, database_url: str) -> None:
    code, said = finished(pooler.url, "audit", "verify", HITL_LISTEN_URL=database_url)
    assert code == 0, said
    assert "all whole" in said
