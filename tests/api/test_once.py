"""The Idempotency-Key: the same call twice is one call."""

import asyncio
import json

import httpx
import pytest
from psycopg import AsyncConnection

from tests.api.calls import answering, is_problem, paused

SURVEY = {"objective": "Survey", "outputs": ["survey"]}
KEY = {"Idempotency-Key": "k"}


async def test_ten_calls_with_one_key_start_one_run(api: httpx.AsyncClient) -> None:
    responses = await asyncio.gather(
        *(api.post("/api/runs", json=SURVEY, headers=KEY) for _ in range(10))
    )
    assert {response.status_code for response in responses} == {202}
    assert len({json.dumps(response.json(), sort_keys=True) for response in responses}) == 1
    assert sorted(response.headers.get("Idempotency-Replayed", "") for response in responses) == [
        "",
        *["true"] * 9,
    ]
    assert len((await api.get("/api/runs")).json()["runs"]) == 1


async def test_a_key_is_kept_by_route(api: httpx.AsyncClient, database_url: str) -> None:
    run = await paused(api)
    await api.post(f"/api/runs/{run['runId']}/cancel", json={"reason": "r"}, headers=KEY)
    await api.post("/api/hitl/remove", json={"runId": run["runId"], "reason": "r"}, headers=KEY)
    async with await AsyncConnection.connect(database_url) as conn:
        kept = await (
            await conn.execute(
                """SELECT route, outcome->>'error', outcome->'run'->>'status'
                FROM idempotency_keys ORDER BY route"""
            )
        ).fetchall()
    assert kept == [
        ("POST /api/hitl/remove", "RunEnded", None),
        ("POST /api/runs/{runId}/cancel", None, "cancelled"),
    ]


async def test_a_replay_answers_what_the_waiting_call_answered(api: httpx.AsyncClient) -> None:
    first, second = [
        await api.post("/api/runs?wait=20", json=SURVEY, headers=KEY) for _ in range(2)
    ]
    assert first.json()["status"] == "awaiting_hitl"
    assert first.json() == second.json()


@pytest.mark.parametrize("second_waits", ["?wait=20", ""])
async def test_a_repeat_waits_for_the_call_that_still_waits(
    api: httpx.AsyncClient, second_waits: str
) -> None:
    """It is not answered early with the run as it was when the first began to wait."""
    first = asyncio.create_task(api.post("/api/runs?wait=20", json=SURVEY, headers=KEY))
    while not (await api.get("/api/runs")).json()["runs"]:  # noqa: ASYNC110  # it is committed
        await asyncio.sleep(0.01)
    second = await api.post(f"/api/runs{second_waits}", json=SURVEY, headers=KEY)
    assert second.json()["status"] == "awaiting_hitl"
    assert second.json() == (await first).json()
    assert second.headers["Idempotency-Replayed"] == "true"


async def test_a_call_that_died_while_it_waited_is_answered_as_things_are(
    api: httpx.AsyncClient, database_url: str
) -> None:
    run = (await api.post("/api/runs", json=SURVEY, headers=KEY)).json()
    await api.get(f"/api/runs/{run['runId']}?wait=20")
    async with await AsyncConnection.connect(database_url) as conn:
        await conn.execute(
            """UPDATE idempotency_keys SET outcome = outcome::jsonb
            || jsonb_build_object('waitsUntil', extract(epoch FROM now()) - 1)"""
        )
    again = await api.post("/api/runs?wait=20", json=SURVEY, headers=KEY)
    assert (again.json()["runId"], again.json()["status"]) == (run["runId"], "awaiting_hitl")


async def test_ten_calls_with_one_key_answer_once(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    answer = answering(run, freeformText="x")
    responses = await asyncio.gather(
        *(api.post("/api/hitl/resume", json=answer, headers=KEY) for _ in range(10))
    )
    assert {response.status_code for response in responses} == {200}
    ended = (await api.get(f"/api/runs/{run['runId']}?wait=20")).json()
    assert len(ended["responses"]) == 1
    assert [entry["action"] for entry in ended["metadata"]["auditLog"]].count("resume") == 1


async def test_a_conflict_is_replayed(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    answer = answering(run, freeformText="x")
    await api.post("/api/hitl/resume", json=answer)
    first, second = [await api.post("/api/hitl/resume", json=answer, headers=KEY) for _ in range(2)]
    assert is_problem(first, 409) == is_problem(second, 409)


async def test_a_body_that_does_not_fit_takes_the_key(api: httpx.AsyncClient) -> None:
    path = f"/api/runs/{(await paused(api))['runId']}/cancel"
    for number, body in enumerate([b'{"reason": ""}', b"{", b""]):
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"k{number}"}
        first, second = [await api.post(path, content=body, headers=headers) for _ in range(2)]
        assert is_problem(first, 422) == is_problem(second, 422)
        assert second.headers["Idempotency-Replayed"] == "true"
        reused = await api.post(path, json={"reason": "r"}, headers=headers)
        assert is_problem(reused, 422)["type"] == "urn:hitl:idempotency-key-reused"


async def test_a_key_is_for_one_call_of_one_route(api: httpx.AsyncClient) -> None:
    one, two = await paused(api), await paused(api)
    cancel = {"reason": "enough"}
    assert (
        await api.post(f"/api/runs/{one['runId']}/cancel", json=cancel, headers=KEY)
    ).status_code == 200
    is_problem(await api.post(f"/api/runs/{two['runId']}/cancel", json=cancel, headers=KEY), 422)
    is_problem(
        await api.post(f"/api/runs/{one['runId']}/cancel", json={"reason": "no"}, headers=KEY), 422
    )
    assert (await api.get(f"/api/runs/{two['runId']}")).json()["status"] == "awaiting_hitl"
    assert (
        await api.post("/api/hitl/remove", json={"runId": two["runId"], **cancel}, headers=KEY)
    ).status_code == 200


async def test_a_key_that_is_none_does_not_fit(api: httpx.AsyncClient) -> None:
    for key in ("", "k" * 256, "\x7f", "ü"):
        is_problem(
            await api.post("/api/runs", json=SURVEY, headers={b"Idempotency-Key": key.encode()}),
            422,
        )
    assert (await api.get("/api/runs")).json()["runs"] == []
