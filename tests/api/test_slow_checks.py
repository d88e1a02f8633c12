"""One answer cannot make the server deaf."""

import asyncio
import time
from typing import Any

import httpx

from tests.api.calls import answering, is_problem, paused

# Each definition applies the next one twice: 2^60 looks at a whole number.
TWICE: dict[str, Any] = {
    f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
    for n in range(60)
}
SOME_TURNS = 5  # of the loop while one check takes its second; beside one that blocks it: one
DOUBLING = {"$ref": "#/$defs/d0", "$defs": {**TWICE, "d60": {"type": "integer"}}}


async def test_a_pattern_that_explodes_is_answered_at_once(api: httpx.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    run = await paused(api, {"question": "?", "kind": "form", "responseSchema": schema})
    body = answering(run, data={"a": "a" * 60 + "!"})
    problem = is_problem(await api.post("/api/hitl/resume", json=body), 422)
    assert problem["errors"][0]["path"] == "/data/a"
    body = answering(run, data={"a": "a" * 60})
    assert (await api.post("/api/hitl/resume", json=body)).status_code == 200


async def test_an_answer_that_cannot_be_checked_within_a_second_does_not_fit(
    api: httpx.AsyncClient,
) -> None:
    schema = {"type": "object", "properties": {"a": {"pattern": r"^(a|a+)+\1$"}}}
    run = await paused(api, {"question": "?", "kind": "form", "responseSchema": schema})
    body = answering(run, data={"a": "a" * 60 + "!"})
    problem = is_problem(await api.post("/api/hitl/resume", json=body), 422)
    assert "cannot be checked" in problem["detail"]
    assert (await api.get(f"/api/runs/{run['runId']}")).json()["status"] == "awaiting_hitl"


async def test_others_are_answered_at_once_beside_a_check_that_takes_long(
    api: httpx.AsyncClient,
) -> None:
    run = await paused(api, {"question": "?", "kind": "form", "responseSchema": DOUBLING})
    began = time.monotonic()
    body = answering(run, data=5)
    answered = asyncio.create_task(api.post("/api/hitl/resume?wait=1", json=body))
    turns = 0
    while not answered.done():
        assert (await api.get("/healthz")).status_code == 200
        await asyncio.sleep(0.01)
        turns += 1
    assert time.monotonic() - began > 0.5, "the check took no time: it shows nothing"
    assert turns >= SOME_TURNS
    problem = is_problem(await answered, 422)
    assert "cannot be checked within a second" in problem["detail"]
    assert (await api.get(f"/api/runs/{run['runId']}")).json()["status"] == "awaiting_hitl"


async def test_an_honest_answer_that_takes_a_moment_to_check_is_taken(
    api: httpx.AsyncClient,
) -> None:
    schema = {"items": {"pattern": "^(?=.*[0-9]).{4,}$"}}
    run = await paused(api, {"question": "?", "kind": "form", "responseSchema": schema})
    body = answering(run, data=["abc1"] * 1000)
    response = await api.post("/api/hitl/resume?wait=20", json=body)
    assert (response.status_code, response.json()["status"]) == (200, "completed")
    run = await paused(api, {"question": "?", "kind": "form", "responseSchema": schema})
    body = answering(run, data=["abc1"] * 999 + ["abcd"])
    problem = is_problem(await api.post("/api/hitl/resume", json=body), 422)
    assert problem["errors"][0]["path"] == "/data/999"
