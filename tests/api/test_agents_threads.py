"""An agent's thread is nobody else's: whatever a caller names his own."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from psycopg import AsyncConnection

from hitl_orchestrator.checkpoints.pool import connection_pool
from hitl_orchestrator.checkpoints.retention import prune
from tests.api.calls import Json, answering, is_problem, paused

RENAME = (
    "UPDATE checkpoints SET thread_id = %s WHERE thread_id = %s",
    "UPDATE checkpoint_blobs SET thread_id = %s WHERE thread_id = %s",
    "UPDATE checkpoint_writes SET thread_id = %s WHERE thread_id = %s",
)
TOUCH = "UPDATE orchestrator_runs SET status = status WHERE run_id = %s"
QUESTION = {
    "question": "Send it?",
    "kind": "approval",
    "action": {"name": "send", "arguments": {"to": "all"}},
}


def parts(run: Json) -> tuple[str, str, str]:
    return run["threadId"], run["runId"], run["plan"]["steps"][0]["stepId"]


def guesses(run: Json) -> list[str]:
    return [between.join(parts(run)) for between in (":", "", "|", "/", " ", "\\x1f", "\u241f")]


async def make_old(database_url: str, run: Json) -> None:
    """As if the run had been paused by version 0.1.0, which gave the agent's thread that name."""
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        for statement in RENAME:
            await conn.execute(statement, (":".join(parts(run)), "\x1f".join(parts(run))))
        # as whoever pauses a run does: what this server remembers of it is out of date
        await conn.execute(TOUCH, (run["runId"],))


async def reject(api: httpx.AsyncClient, run: Json) -> Json:
    body = answering(run, approved=False, freeformText="Never")
    response = await api.post("/api/hitl/resume?wait=20", json=body)
    assert response.status_code == 200, response.text
    return response.json()["run"]


async def test_a_run_on_a_thread_of_the_agents_name_changes_nothing(api: httpx.AsyncClient) -> None:
    run = await paused(api, QUESTION)
    for guess in guesses(run):
        other = await paused(api, "Whose is this?", threadId=guess)
        assert other["threadId"] == guess
    ended = await reject(api, run)
    assert ended["status"] == "completed", ended["error"]
    answer = ended["result"]["outputs"]["answer"]
    assert (answer["status"], answer["reason"]) == ("denied", "Never")


async def test_a_thread_with_a_control_character_is_refused(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    body = {"objective": "Ask", "inputs": {"question": "?"}, "outputs": ["answer"]}
    response = await api.post("/api/runs", json={**body, "threadId": "\x1f".join(parts(run))})
    is_problem(response, 422)


async def test_a_run_paused_under_the_old_name_goes_on(
    api: httpx.AsyncClient, database_url: str
) -> None:
    run = await paused(api, QUESTION)
    await make_old(database_url, run)
    ended = await reject(api, run)
    assert ended["status"] == "completed", ended["error"]
    assert ended["result"]["outputs"]["answer"]["reason"] == "Never"
    assert len(ended["requests"]) == 1, "it was not asked anew"


async def test_what_another_run_wrote_under_the_old_name_is_never_a_result(
    api: httpx.AsyncClient, database_url: str
) -> None:
    run = await paused(api, QUESTION)
    await make_old(database_url, run)
    await paused(api, "Whose is this?", threadId=":".join(parts(run)))
    ended = await reject(api, run)
    assert ended["status"] == "failed"
    assert "Another run wrote to the thread of this step" in ended["error"]["message"]


async def test_a_thread_of_the_old_name_does_not_stop_a_new_run(api: httpx.AsyncClient) -> None:
    run, other = await asyncio.gather(paused(api), paused(api))
    await paused(api, "Whose is this?", threadId=":".join(parts(other)))
    for each in (run, other):
        said = answering(each, freeformText="Go on")
        response = await api.post("/api/hitl/resume?wait=20", json=said)
        assert response.json()["status"] == "completed", response.text


async def count_checkpoints(database_url: str) -> int:
    async with await AsyncConnection.connect(database_url) as conn:
        row = await (await conn.execute("SELECT count(*) FROM checkpoints")).fetchone()
    return row[0] if row else 0


@pytest.mark.parametrize("version", ["0.1.0", "this one"])
async def test_an_agents_thread_goes_with_its_run(
    api: httpx.AsyncClient, database_url: str, version: str
) -> None:
    run = await paused(api, QUESTION)
    if version == "0.1.0":
        await make_old(database_url, run)
    await reject(api, run)
    assert await count_checkpoints(database_url)
    async with connection_pool(database_url, max_size=1) as pool:
        assert await prune(pool, timedelta()) == 1
    assert await count_checkpoints(database_url) == 0
