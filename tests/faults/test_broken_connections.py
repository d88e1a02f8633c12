"""A database that is slow, or half-open: it takes everything and answers nothing. Everything comes
right by itself, nothing is done twice, and nobody waits without a bound.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from hitl_orchestrator.checkpoints.events import CANCELLED_CHANNEL
from hitl_orchestrator.checkpoints.wakeups import Wakeups
from hitl_orchestrator.server.drivers import Drivers
from tests.agents.counting import log_lines
from tests.api.calls import started
from tests.faults.fleet import until
from tests.faults.forked import Forked, serving
from tests.faults.forked import working as working_apart
from tests.faults.one_life import opened, start
from tests.faults.proxy import Proxy, proxied
from tests.faults.test_lost_replies import (
    ACTS,
    COUNTER,
    LEASE_SECONDS,
    PAYER,
    actions,
    answer,
    begin,
    come_to_rest,
    decide,
    fail,
    insist,
    rest,
    retry,
    working,
)
from tests.faults.test_told_to_end import END_SECONDS, SOON, end
from tests.processes import AGENTS
from tests.temporary import temporary_database

Json = dict[str, Any]

pytestmark = pytest.mark.slow

DELAY_SECONDS = 0.1  # with 0.2 it comes right too, and takes 39 s
CALL_SECONDS = 20  # a call is answered by then, or refused
REFUSED_SECONDS = 5  # by then, once it is known that nothing answers
AGAIN_SECONDS = 10  # by then everything goes on, after it answers again
HANGING_SECONDS = 3  # before it is told to end: beats and sweeps are under way
LIFE = {"start": 1, "request": 1, "resume": 1, "deliver": 1, "complete": 1}
ALL = (*COUNTER, *PAYER, str(AGENTS / "lasting.py:agent"))


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HITL_TEST_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture
async def databases(postgres: str) -> AsyncGenerator[dict[str, str]]:
    """By dispatch: both are tried beside each other, since most of it is waiting."""
    async with temporary_database(postgres) as one, temporary_database(postgres) as other:
        yield {"inline": one, "queue": other}


class Place:
    """A server behind a proxy, perhaps with a worker. Questions of `hasty` expire in a second."""

    def __init__(
        self, proxy: Proxy, url: str, client: httpx.AsyncClient, hasty: httpx.AsyncClient
    ) -> None:
        self.proxy, self.url, self.client, self.hasty = proxy, url, client, hasty


@asynccontextmanager
async def opened_place(database_url: str, dispatch: str) -> AsyncGenerator[Place]:
    settings: Json = {"agents": ALL, "claim_seconds": LEASE_SECONDS, "dispatch": dispatch}
    async with AsyncExitStack() as stack:
        proxy, url = await stack.enter_async_context(proxied(database_url))
        client = await stack.enter_async_context(started(url, **settings))
        settings["request_ttl_seconds"] = 1
        hasty = await stack.enter_async_context(started(url, **settings))
        if dispatch == "queue":
            await stack.enter_async_context(working(url, ALL))
        yield Place(proxy, url, client, hasty)


async def pause(client: httpx.AsyncClient) -> Json:
    return await rest(client, await begin(client), "awaiting_hitl")


async def live(client: httpx.AsyncClient) -> Json:
    run = await pause(client)
    await answer(client, run)
    return await rest(client, run, "completed", "failed")


async def live_all_lives(place: Place, folder: Path) -> list[Json]:
    async def pause_and_decide(act: str) -> Json:
        return await decide(place.client, await pause(place.client), act)

    async def expire() -> Json:
        return await rest(place.hasty, await begin(place.hasty), "completed")

    async def fail_and_retry() -> Json:
        return await retry(place.client, await fail(place.client, folder), folder)

    lives = (live(place.client), expire(), fail_and_retry(), *map(pause_and_decide, ACTS))
    return await asyncio.gather(*lives)


async def test_a_slow_database(databases: dict[str, str], tmp_path: Path) -> None:
    async def try_it(dispatch: str) -> None:
        (folder := tmp_path / dispatch).mkdir()
        async with opened_place(databases[dispatch], dispatch) as place:
            place.proxy.delay_seconds = DELAY_SECONDS
            life, expired, retried, *decided = await live_all_lives(place, folder)
            place.proxy.delay_seconds = 0
        assert actions(life) == LIFE
        assert (expired["result"]["outputs"], actions(expired)["expire"]) == (
            {"left": "Expired"},
            1,
        )
        assert (log_lines(folder / "paid").count("paid"), actions(retried)["retry"]) == (1, 1)
        assert [max(actions(run).values()) for run in decided] == [1, 1, 1]

    await asyncio.gather(*map(try_it, databases))


async def test_claims_on_a_slow_database(database_url: str, log: Path) -> None:
    """One gives it back, another takes it."""
    async with proxied(database_url) as (proxy, url):
        for name in ("one", "another"):
            proxy.delay_seconds = 0
            async with opened(url, name, lambda _: None) as (store, graph):
                proxy.delay_seconds = DELAY_SECONDS
                async with Drivers(graph, store, name, LEASE_SECONDS, 5) as drivers:
                    if name == "one":
                        drivers.start(await start(store))
                    else:
                        await come_to_rest(database_url)
    assert [line.split(" ", 2)[2] for line in log_lines(log)] == ["prepared"]


async def call(client: httpx.AsyncClient, method: str, path: str, body: Json) -> tuple[int, float]:
    """Return its status, and after how many seconds."""
    began = time.monotonic()
    response = await client.request(method, path, json=body)
    return response.status_code, time.monotonic() - began


async def assert_all_are_refused(client: httpx.AsyncClient, run: Json, seconds: float) -> None:
    request_id = run["pendingRequestId"]
    response = {"requestId": request_id, "freeformText": "yes"}
    resume = {"runId": run["runId"], "requestId": request_id, "responses": [response]}
    found = await asyncio.gather(
        call(client, "GET", f"/api/runs/{run['runId']}", {}),
        call(client, "GET", "/readyz", {}),
        call(client, "POST", "/api/runs", {"objective": "Count", "outputs": ["left"]}),
        call(client, "POST", "/api/hitl/resume", resume),
        call(client, "POST", f"/api/runs/{run['runId']}/cancel", {"reason": "no"}),
    )
    assert [status for status, _ in found] == [503] * len(found)
    assert max(took for _, took in found) < seconds
    status, took = await call(client, "GET", "/healthz", {})
    assert (status, took < seconds) == (200, True)


async def tell_until(database_url: str, heard: asyncio.Event) -> None:
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        while not heard.is_set():
            await conn.execute("SELECT pg_notify(%s, 'run')", (CANCELLED_CHANNEL,))
            await asyncio.sleep(0.05)


async def test_a_half_open_database(databases: dict[str, str], tmp_path: Path) -> None:
    """What was connected then stays dumb; an agent ends, and a question expires, meanwhile."""

    async def try_it(dispatch: str) -> None:
        (folder := tmp_path / dispatch).mkdir()
        work = {"objective": "W", "inputs": {"log": str(folder / "log")}, "outputs": ["lasting"]}
        heard = asyncio.Event()
        async with (
            opened_place(databases[dispatch], dispatch) as place,
            Wakeups(place.url, lambda _: heard.set()),
        ):
            client = place.client
            run = await pause(client)
            working = await insist(client, "/api/runs", work)
            await until(lambda: "began" in log_lines(folder / "log"))
            due = await pause(place.hasty)
            await tell_until(databases[dispatch], heard)
            heard.clear()
            place.proxy.passes.clear()
            place.proxy.deafen()
            (folder / "enough").touch()
            await assert_all_are_refused(client, run, CALL_SECONDS)
            await assert_all_are_refused(client, run, REFUSED_SECONDS)
            place.proxy.passes.set()
            async with asyncio.timeout(AGAIN_SECONDS):
                await answer(client, run)
                run = await rest(client, run, "completed", "failed")
                due = await rest(client, due, "completed")
                working = await rest(client, working, "completed")
                other = await live(client)
                await tell_until(databases[dispatch], heard)
        assert (actions(run), actions(other)) == (LIFE, LIFE)
        assert (actions(due)["expire"], actions(working)["complete"]) == (1, 1)
        assert log_lines(folder / "log") == ["began"]

    await asyncio.gather(*map(try_it, databases))


async def test_a_process_ends_though_nothing_answers(
    databases: dict[str, str], tmp_path: Path
) -> None:
    """A server with a run at work, and a worker that takes jobs."""

    async def try_it(dispatch: str) -> None:
        log = tmp_path / "work"
        start = serving if dispatch == "inline" else working_apart
        async with proxied(databases[dispatch]) as (proxy, url):
            with ExitStack() as stack:
                opening = start(url, "lasting.py:agent", **SOON)
                process = await asyncio.to_thread(stack.enter_context, opening)
                if process.url:
                    await asyncio.to_thread(begin_work, process, log)
                proxy.passes.clear()
                await asyncio.sleep(HANGING_SECONDS)
                _, seconds = await asyncio.to_thread(end, process)
        assert seconds < END_SECONDS

    await asyncio.gather(*map(try_it, databases))


def begin_work(process: Forked, log: Path) -> None:
    body = {"objective": "Work", "inputs": {"log": str(log)}, "outputs": ["lasting"]}
    with process.client() as client:
        assert client.post("/api/runs", json=body).status_code == 202
    while "began" not in log_lines(log):
        time.sleep(0.02)
