"""One answer cannot make the server deaf."""

import httpx

from tests.api.calls import answering, is_problem, paused


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
