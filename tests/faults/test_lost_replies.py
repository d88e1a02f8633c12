"""Every transition of a run, each with its connection broken at the COMMIT: it is cut before it
arrives, or behind it, or the reply is lost, and nobody knows that it was committed. Nothing stands
still until a lease has run out, nothing is done twice.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from hitl_orchestrator.domain.run import Run
from hitl_orchestrator.server.drivers import Drivers
from hitl_orchestrator.server.services import open_services
from hitl_orchestrator.server.settings import Settings
from tests.agents.counting import log_lines
from tests.api.calls import started
from tests.faults.one_life import RUN, opened, start
from tests.faults.proxy import Way, proxied
from tests.processes import AGENTS

Json = dict[str, Any]

LEASE_SECONDS = 60  # nobody may wait for its end
PATIENCE_SECONDS = 25
COUNTER = (f"{AGENTS / 'counting.py'}:left",)
PAYER = (f"{AGENTS / 'payer.py'}:agent",)
ACTS = ("deny", "remove", "cancel")
# what stands in a statement of which transaction
LIFE = {
    "start": "INSERT INTO orchestrator_runs",
    "pause": "INSERT INTO hitl_requests",
    "answer": "INSERT INTO hitl_responses",
    "end": "SET delivered_at",
}
# and in the queue: of the server, and of its worker
QUEUED = (*LIFE.values(), "procrastinate_fetch_job", "SET claim_token", "procrastinate_finish_job")


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HITL_TEST_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture(params=Way)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await is_so():  # noqa: ASYNC110  # the moment is the database's
            await asyncio.sleep(0.05)


async def insist(client: httpx.AsyncClient, path: str, body: Json, key: str | None = None) -> Json:
    """Call until it is no 503, with one Idempotency-Key."""
    headers = {"Idempotency-Key": key or uuid4().hex}
    while True:
        response = await client.post(path, json=body, headers=headers)
        if response.status_code != 503:
            assert response.is_success, response.text
            found = response.json()
            return found.get("run", found)


async def rest(client: httpx.AsyncClient, run: Json, *statuses: str) -> Json:
    """Return the run once it has such a status."""
    found: Json = {}

    async def has_come() -> bool:
        nonlocal found
        response = await client.get(f"/api/runs/{run['runId']}")
        found = response.json() if response.is_success else {"status": response.status_code}
        return found["status"] in statuses

    await until(has_come)
    return found


async def begin(client: httpx.AsyncClient) -> Json:
    return await insist(client, "/api/runs", {"objective": "Count", "outputs": ["left"]})


async def answer(client: httpx.AsyncClient, run: Json) -> Json:
    request_id = run["pendingRequestId"]
    response = {"requestId": request_id, "freeformText": "yes"}
    body = {"runId": run["runId"], "requestId": request_id, "responses": [response]}
    return await insist(client, "/api/hitl/resume", body)


def actions(run: Json) -> Counter[str]:
    return Counter(entry["action"] for entry in run["metadata"]["auditLog"])


@pytest.mark.parametrize("moment", LIFE)
async def test_each_moment_of_a_life(database_url: str, log: Path, moment: str, way: Way) -> None:
    async with (
        proxied(database_url) as (proxy, url),
        started(url, agents=COUNTER, claim_seconds=LEASE_SECONDS) as client,
    ):
        broken = proxy.break_at(LIFE[moment], way)
        run = await rest(client, await begin(client), "awaiting_hitl")
        await answer(client, run)
        run = await rest(client, run, "completed", "failed")
        assert broken.happened.is_set()
    assert (run["status"], run["result"]["outputs"]) == ("completed", {"left": "yes"})
    assert actions(run) == {"start": 1, "request": 1, "resume": 1, "deliver": 1, "complete": 1}
    assert [line.split(" ", 2)[2] for line in log_lines(log)] == ["prepared", "applied yes"]


async def test_a_start_that_is_waited_for(database_url: str, log: Path, way: Way) -> None:
    """It is written with the question of its run, and the caller waits until that is known."""
    async with (
        proxied(database_url) as (proxy, url),
        started(url, agents=COUNTER, claim_seconds=LEASE_SECONDS) as client,
    ):
        broken = proxy.break_at(LIFE["start"], way)
        body = {"objective": "Count", "outputs": ["left"]}
        response = await client.post("/api/runs", params={"wait": 30}, json=body)
        assert (response.status_code, broken.happened.is_set()) == (202, True)
        run = response.json()
        assert run["status"] == "awaiting_hitl"
        (found,) = (await client.get("/api/runs")).json()["runs"]
        await answer(client, found)
        run = await rest(client, run, "completed", "failed")
    assert actions(run) == {"start": 1, "request": 1, "resume": 1, "deliver": 1, "complete": 1}
    assert [line.split(" ", 2)[2] for line in log_lines(log)] == ["prepared", "applied yes"]


async def test_a_run_that_nobody_asks_for_again(database_url: str) -> None:
    """The client gave up after its 503; a run beside it keeps the heartbeat going."""
    async with (
        proxied(database_url) as (proxy, url),
        started(url, agents=COUNTER, claim_seconds=LEASE_SECONDS) as client,
    ):
        proxy.lose_reply(LIFE["start"])
        body = {"objective": "Count", "outputs": ["left"]}
        assert (await client.post("/api/runs", json=body)).status_code == 503
        (run,) = (await client.get("/api/runs")).json()["runs"]
        assert (await rest(client, run, "awaiting_hitl"))["pendingRequestId"]


@asynccontextmanager
async def working(database_url: str, agents: tuple[str, ...] = COUNTER) -> AsyncGenerator[None]:
    """Give a worker of the queue, in this process."""
    settings = Settings(
        database_url=database_url, agents=agents, dispatch="queue", claim_seconds=LEASE_SECONDS
    )
    told_to_end = asyncio.Event()
    async with open_services(settings) as services:
        work = asyncio.ensure_future(services.drive_queued(2, told_to_end))
        try:
            yield
        finally:
            told_to_end.set()
            await work


async def test_a_life_in_the_queue(database_url: str, log: Path, way: Way) -> None:
    async with (
        proxied(database_url) as (proxy, url),
        started(url, agents=COUNTER, claim_seconds=LEASE_SECONDS, dispatch="queue") as client,
        working(url),
    ):
        broken = [proxy.break_at(pattern, way) for pattern in QUEUED]
        run = await rest(client, await begin(client), "awaiting_hitl")
        await answer(client, run)
        run = await rest(client, run, "completed", "failed")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(one.happened.wait() for one in broken))
    assert (run["status"], run["result"]["outputs"]) == ("completed", {"left": "yes"})
    assert actions(run) == {"start": 1, "request": 1, "resume": 1, "deliver": 1, "complete": 1}
    assert [line.split(" ", 2)[2] for line in log_lines(log)] == ["prepared", "applied yes"]


async def decide(client: httpx.AsyncClient, run: Json, act: str) -> Json:
    """Deny or remove its question, or cancel it. Return the run once it has ended."""
    body: Json = {"reason": "no"}
    if act == "cancel":
        await insist(client, f"/api/runs/{run['runId']}/cancel", body)
    else:
        body |= {"runId": run["runId"], "requestId": run["pendingRequestId"]}
        await insist(client, f"/api/hitl/{act}", body)
    return await rest(client, run, "completed" if act == "deny" else "cancelled")


@pytest.mark.parametrize("act", ACTS)
async def test_what_an_operator_decides(database_url: str, act: str, way: Way) -> None:
    async with (
        proxied(database_url) as (proxy, url),
        started(url, agents=COUNTER, claim_seconds=LEASE_SECONDS) as client,
    ):
        run = await rest(client, await begin(client), "awaiting_hitl")
        broken = proxy.break_at("SET status =", way)
        run = await decide(client, run, act)
        assert broken.happened.is_set()
        assert run["requests"][0]["status"] == "denied"
        assert max(actions(run).values()) == 1


async def test_an_expiry(database_url: str, way: Way) -> None:
    settings: Json = {"claim_seconds": LEASE_SECONDS, "request_ttl_seconds": 1}
    async with (
        proxied(database_url) as (proxy, url),
        started(url, agents=COUNTER, **settings) as client,
    ):
        run = await rest(client, await begin(client), "awaiting_hitl", "completed")
        broken = proxy.break_at("SET status =", way)
        run = await rest(client, run, "completed")
        assert broken.happened.is_set()
        assert (run["result"]["outputs"], actions(run)["expire"]) == ({"left": "Expired"}, 1)


async def fail(client: httpx.AsyncClient, folder: Path) -> Json:
    """Return a run that has paid, and whose model is away."""
    (folder / "away").touch()
    body = {"objective": "Pay", "inputs": {"log": str(folder / "paid")}, "outputs": ["receipt"]}
    run = await rest(client, await insist(client, "/api/runs", body), "awaiting_hitl")
    request_id = run["pendingRequestId"]
    response = {"requestId": request_id, "approved": True}
    answers = {"runId": run["runId"], "requestId": request_id, "responses": [response]}
    await insist(client, "/api/hitl/resume", answers)
    return await rest(client, run, "failed")


async def retry(client: httpx.AsyncClient, run: Json, folder: Path) -> Json:
    """Return the run once it has ended, now that the model is there."""
    (folder / "away").unlink()
    await insist(client, f"/api/runs/{run['runId']}/retry", {})
    return await rest(client, run, "completed")


async def test_a_failure_and_a_retry(database_url: str, tmp_path: Path, way: Way) -> None:
    async with (
        proxied(database_url) as (proxy, url),
        started(url, agents=PAYER, claim_seconds=LEASE_SECONDS) as client,
    ):
        failure = proxy.break_at("SET delivered_at", way)
        run = await fail(client, tmp_path)
        again = proxy.break_at("SET status =", way)
        run = await retry(client, run, tmp_path)
        assert (failure.happened.is_set(), again.happened.is_set()) == (True, True)
    assert log_lines(tmp_path / "paid").count("paid") == 1
    assert actions(run)["retry"] == 1


async def show(url: str) -> Run:
    async with opened(url, "who looks", lambda _: None) as (store, _):
        return await store.show(RUN)


async def come_to_rest(database_url: str) -> None:
    async def rests() -> bool:
        return (await show(database_url)).status == "awaiting_hitl"

    await until(rests)


async def test_a_claim_of_the_sweep(database_url: str, log: Path, way: Way) -> None:
    async with opened(database_url, "dead", lambda _: None) as (store, _):
        await start(store)  # and nobody drives it
    async with proxied(database_url) as (proxy, url):
        broken = proxy.break_at("WITH fresh", way)
        await asyncio.sleep(0.1)  # the lease of `one_life`
        async with (
            opened(url, "another", lambda _: None) as (store, graph),
            Drivers(graph, store, "another", LEASE_SECONDS, 5),
        ):
            await come_to_rest(database_url)
            assert broken.happened.is_set()
    assert [line.split(" ", 2)[2] for line in log_lines(log)] == ["prepared"]


async def test_a_claim_that_is_given_back(database_url: str, way: Way) -> None:
    """And what is given back is driven at once by another."""
    async with proxied(database_url) as (proxy, url):
        broken = proxy.break_at("WITH released", way)
        async with (
            opened(url, "one", lambda _: None) as (store, graph),
            Drivers(graph, store, "one", LEASE_SECONDS, 5) as drivers,
        ):
            drivers.start(await start(store))
        assert broken.happened.is_set()
    async with (
        opened(database_url, "another", lambda _: None) as (store, graph),
        Drivers(graph, store, "another", LEASE_SECONDS, 5),
    ):
        await come_to_rest(database_url)
