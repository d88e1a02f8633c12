"""Two versions of the program on one database, as a rolling update has them for a while."""

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from hitl_orchestrator.checkpoints.migrate import migrations
from hitl_orchestrator.domain.hitl import NOBODY, HitlResponse, ResponseType
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.run import NewRun, Run
from hitl_orchestrator.domain.state import Facet, RunSettings, Snapshot
from hitl_orchestrator.graph.channel import Folded
from hitl_orchestrator.server.drivers import SWEEP_SECONDS
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.settings import Settings
from tests.api.calls import answering, is_problem, paused, started
from tests.processes import AGENTS, Running, serving
from tests.repository import ROOT
from tests.temporary import temporary_folder

# The last commit of the program before migration 0008, and the schema that it knows.
PREVIOUS, PREVIOUS_SCHEMA = "1dae114", 7
QUESTION: Any = {"question": "What now?", "kind": "choice", "options": [{"id": "a", "label": "A"}]}
# A further field in each record that is kept, also in what is inside of it.
WRITE_AS_A_NEWER_PROGRAM = [
    "UPDATE orchestrator_runs SET settings = jsonb_insert(settings::jsonb, '{newer}', '[1]')",
    "UPDATE orchestrator_runs SET plan = jsonb_insert(jsonb_insert(plan::jsonb,"
    " '{newer}', '{}'), '{steps,0,newer}', '1')",
    "UPDATE orchestrator_runs SET facets = jsonb_insert(facets::jsonb, '{objective,newer}', '1')",
    "UPDATE hitl_requests SET request = jsonb_insert(request::jsonb, '{newer}', 'true')",
    "UPDATE hitl_requests SET request = jsonb_insert(jsonb_insert(request::jsonb,"
    " '{options,0,newer}', '1'), '{contractSummary,newer}', '1')",
]
LONG_AGO = "UPDATE hitl_requests SET expires_at = now() - interval '1 s' WHERE run_id = ANY(%s)"
# As the previous release starts a run.
START_AS_BEFORE = """INSERT INTO orchestrator_runs
    (run_id, thread_id, status, settings, metadata, facets, created_at, updated_at)
    VALUES ('run_before', 'thread_before', 'queued', %s, '{}', '{}', now(), now())"""
SETTINGS_BEFORE = """{"runId": "run_before", "threadId": "thread_before", "objective": "Ask",
    "inputs": {"question": {"question": "What now?", "kind": "freeform"}}, "outputs": ["answer"],
    "agents": null, "maxHitlRequests": 3, "hitlEnabled": true, "requestTtlSeconds": null,
    "retriedAt": null}"""


def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, agents=(str(AGENTS / "asks.py:agent"),))


@pytest.fixture
async def hitl(database_url: str) -> AsyncGenerator[Orchestrator]:
    async with Orchestrator.open(settings(database_url)) as opened:
        yield opened


@pytest.fixture
async def admin(database_url: str) -> AsyncGenerator[AsyncConnection]:
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        yield conn


async def pause(hitl: Orchestrator) -> Run:
    new = NewRun(objective="Ask", inputs={"question": QUESTION}, outputs=("answer",))
    run = (await hitl.start(new, wait_seconds=60)).run
    assert run.status == "awaiting_hitl", run
    return run


async def answer(hitl: Orchestrator, run: Run) -> Run:
    response = HitlResponse(
        requestId=run.pendingRequestId or "",
        responseType=ResponseType.OPTION,
        selectedOptionId="a",
    )
    ref = RunRef(run.runId)
    return (await hitl.answer(ref, response.requestId, [response], NOBODY, wait_seconds=60)).run


async def test_what_a_newer_program_added_is_left_out(
    hitl: Orchestrator, admin: AsyncConnection
) -> None:
    run = await pause(hitl)
    for statement in WRITE_AS_A_NEWER_PROGRAM:
        await admin.execute(statement.encode())
    (listed,) = (await hitl.runs()).rows
    (waiting,) = (await hitl.pending()).rows
    (request,) = (await hitl.requests()).rows
    assert run.plan
    assert (listed.plan, waiting.run.plan, request.options) == (
        run.plan,
        run.plan,
        run.requests[0].options,
    )
    assert (await answer(hitl, run)).status == "completed"


def test_what_a_newer_program_added_to_a_thread_is_left_out() -> None:
    run: JsonObject = {
        "runId": "r",
        "threadId": "t",
        "objective": "o",
        "outputs": [],
        "maxHitlRequests": 1,
    }
    facets: JsonObject = {"a": {"value": 1, "producedBy": "input", "newer": 1}}
    kept = {"run": {**run, "newer": 1}, "facets": facets, "newer": {}}
    channel = Folded().from_checkpoint({"runId": "r", "state": json.dumps(kept).encode()})
    channel.update([json.dumps({"facets": facets, "newer": 1}).encode()])
    assert channel.get() == Snapshot.first(RunSettings.read(run)).but(
        facets={"a": Facet(value=1, producedBy="input")}
    )


async def test_what_only_a_newer_program_can_read_stops_nothing_else(
    hitl: Orchestrator, admin: AsyncConnection
) -> None:
    """Its run is in no list; the others' questions expire, and lapsed runs are taken over."""
    newer, run = await pause(hitl), await pause(hitl)
    change = """UPDATE orchestrator_runs SET settings = '{"is": "another"}' WHERE run_id = %s"""
    await admin.execute(change, (newer.runId,))
    assert [listed.runId for listed in (await hitl.runs()).rows] == [run.runId]
    assert [waiting.run.runId for waiting in (await hitl.pending()).rows] == [run.runId]
    assert (await anext(hitl.frames(newer.runId))).seq == 1  # a frame is sent as it is kept
    await admin.execute(LONG_AGO, ([newer.runId, run.runId],))
    await admin.execute(START_AS_BEFORE, (SETTINGS_BEFORE,))
    assert (await wait_until(hitl, run.runId, "completed")).requests[0].denialReason == "Expired"
    await wait_until(hitl, "run_before", "awaiting_hitl")


ANOTHER_SHAPE = """UPDATE orchestrator_runs SET settings = '{"is": "another"}',
    status = %s WHERE run_id = %s"""
ROWS = """SELECT row_to_json(r)::jsonb - 'claimed_until' FROM orchestrator_runs r
    WHERE run_id = ANY(%s) ORDER BY run_id"""


@pytest.mark.slow
async def test_what_only_a_newer_program_can_read_is_said_and_never_changed(
    database_url: str, admin: AsyncConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever calls for it, whatever is swept: its row, its questions and its attempts stay."""
    async with started(database_url) as api:
        begun = [await paused(api), await paused(api)]
        for run, status in zip(begun, ("awaiting_hitl", "running"), strict=True):
            await admin.execute(ANOTHER_SHAPE, (status, run["runId"]))
        run_ids = [run["runId"] for run in begun]
        await admin.execute(LONG_AGO, (run_ids,))
        before = await list_rows(admin, run_ids)
        for call in [*list_calls(api, begun[0]), *list_calls(api, begun[1])]:
            problem = is_problem(await call, 503)
            title = "Written by a newer version"
            assert (problem["type"], problem["title"]) == ("urn:hitl:unreadable", title)
        await asyncio.sleep(1.5 * SWEEP_SECONDS)
        assert await list_rows(admin, run_ids) == before
        for run in begun:
            request = (await api.get(f"/api/hitl/requests/{run['pendingRequestId']}")).json()
            assert request["status"] == "pending"
    assert caplog.text.count(f"run {begun[1]['runId']} is left to others") == 1


async def list_rows(admin: AsyncConnection, run_ids: list[str]) -> list[Any]:
    return await (await admin.execute(ROWS, (run_ids,))).fetchall()


def list_calls(api: httpx.AsyncClient, run: JsonObject) -> list[Awaitable[httpx.Response]]:
    path = f"/api/runs/{run['runId']}"
    question = {"runId": run["runId"], "requestId": run["pendingRequestId"]}
    once = {"Idempotency-Key": "once"}
    resume = answering(run, freeformText="x")
    return [
        api.get(path),
        api.get(f"{path}?wait=1"),
        api.post(f"{path}/cancel", json={"reason": "x"}),
        api.post(f"{path}/retry", json={}),
        api.post("/api/hitl/deny", json={**question, "reason": "x"}),
        api.post("/api/hitl/remove", json={**question, "reason": "x"}),
        api.post("/api/hitl/resume", json=resume),
        *(api.post("/api/hitl/resume?wait=1", json=resume, headers=once) for _ in range(2)),
    ]


async def wait_until(hitl: Orchestrator, run_id: str, status: str) -> Run:
    async with asyncio.timeout(60):
        while (run := await hitl.run(run_id)).status != status:  # noqa: ASYNC110
            await asyncio.sleep(SWEEP_SECONDS / 10)
    return run


async def test_the_schema_and_the_rows_of_the_previous_release_are_gone_on_with(
    database_url: str, admin: AsyncConnection
) -> None:
    await admin.execute(
        "CREATE TABLE hitl_migrations (version int PRIMARY KEY, name text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    for version, name, statements in migrations():
        if version <= PREVIOUS_SCHEMA:
            await admin.execute(statements.encode())
            await admin.execute(
                "INSERT INTO hitl_migrations (version, name) VALUES (%s, %s)", (version, name)
            )
    await admin.execute(START_AS_BEFORE, (SETTINGS_BEFORE,))
    async with Orchestrator.open(settings(database_url)) as hitl:
        await wait_until(hitl, "run_before", "awaiting_hitl")


@pytest.fixture
def previous() -> Generator[Path]:
    """The sources of the previous release, where git has them."""
    with temporary_folder() as folder:
        archive = subprocess.run(
            ["git", "archive", PREVIOUS], cwd=ROOT, capture_output=True, check=False
        )
        if archive.returncode:
            pytest.skip("git does not have the previous release here")
        subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
        yield folder / "src"


def test_the_previous_release_and_this_one_serve_the_same_runs(
    database_url: str, previous: Path
) -> None:
    """Each lists, answers and drives what the other one began."""
    with (
        serving(database_url, "asks.py:agent", PYTHONPATH=str(previous)) as old,
        serving(database_url, "asks.py:agent") as new,
    ):
        begun = {start(old): new, start(new): old, start(old, "again"): new}
        for server in (old, new):
            assert len(get(server, "/api/runs")["runs"]) == len(begun)
            assert len(get(server, "/api/hitl/pending")["runs"]) == len(begun)
        for run_id, other in begun.items():
            assert decide(other, run_id)["status"] == "completed"
        assert {run["status"] for run in get(old, "/api/runs")["runs"]} == {"completed"}


def start(server: Running, objective: str = "Ask") -> str:
    body = {"objective": objective, "inputs": {"question": QUESTION}, "outputs": ["answer"]}
    run = post(server, "/api/runs?wait=60", body)
    assert run["status"] == "awaiting_hitl", run
    return run["runId"]


def decide(server: Running, run_id: str) -> dict[str, Any]:
    request_id = get(server, f"/api/runs/{run_id}")["pendingRequestId"]
    response = {"requestId": request_id, "selectedOptionId": "a"}
    body = {"runId": run_id, "requestId": request_id, "responses": [response]}
    return post(server, "/api/hitl/resume?wait=60", body)["run"]


def get(server: Running, path: str) -> dict[str, Any]:
    with server.client() as client:
        return read(client.get(path))


def post(server: Running, path: str, body: dict[str, Any]) -> dict[str, Any]:
    with server.client() as client:
        return read(client.post(path, json=body, timeout=90))


def read(reply: httpx.Response) -> dict[str, Any]:
    assert reply.is_success, reply.text
    return reply.json()
