"""Questions across runs: denied, listed, counted, waited for."""

import logging
from typing import Any

import httpx
import pytest

from tests.api.calls import OPERATOR, Json, answering, is_problem, paused

# -- deny


def denying(run: Json, **more: Any) -> Json:
    named = {"runId": run["runId"], "requestId": run["pendingRequestId"]}
    return {**named, "reason": "Not ours", **more}


async def survey(api: httpx.AsyncClient) -> Json:
    """Start a run that asks three questions at once."""
    body = {"objective": "Survey", "outputs": ["survey"], "maxHitlRequests": 9}
    return (await api.post("/api/runs?wait=20", json=body)).json()


async def test_a_denied_question_ends_and_its_run_goes_on(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    body = denying(run, operator=OPERATOR, note="n")
    denied = await api.post("/api/hitl/deny?wait=20", json=body)
    assert denied.status_code == 200, denied.text
    assert denied.json().keys() == {"runId", "threadId", "status", "pendingRequestId", "run"}

    ended = denied.json()["run"]
    assert (ended["status"], ended["deniedCount"]) == ("completed", 1)
    told = {"status": "denied", "reason": "Not ours"}
    assert told.items() <= ended["result"]["outputs"]["answer"].items()
    (request,) = ended["requests"]
    assert (request["status"], request["denialReason"]) == ("denied", "Not ours")
    assert request["deliveredAt"]
    (entry,) = [one for one in ended["metadata"]["auditLog"] if one["action"] == "deny"]
    assert (entry["operator"], entry["note"], entry["reason"]) == (OPERATOR, "n", "Not ours")


async def test_only_the_named_question_is_denied(api: httpx.AsyncClient) -> None:
    run = await survey(api)
    denied = (await api.post("/api/hitl/deny", json=denying(run))).json()
    statuses = [request["status"] for request in denied["run"]["requests"]]
    assert statuses == ["denied", "pending", "pending"]
    assert denied["pendingRequestId"] == run["requests"][1]["requestId"]


async def test_a_denial_with_a_key_is_done_once(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    headers = {"Idempotency-Key": "k"}
    first, second = [
        await api.post("/api/hitl/deny", json=denying(run), headers=headers) for _ in range(2)
    ]
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"


async def test_who_denies_too_late_is_told_who_was_first(api: httpx.AsyncClient) -> None:
    run = await survey(api)
    first = denying(run, operator=OPERATOR)
    assert (await api.post("/api/hitl/deny", json=first)).status_code == 200
    problem = is_problem(await api.post("/api/hitl/deny", json=denying(run)), 409)
    assert (problem["requestStatus"], problem["resolvedBy"]) == ("denied", OPERATOR)
    answer = answering(run, freeformText="x")
    assert is_problem(await api.post("/api/hitl/resume", json=answer), 409)["resolvedAt"]


async def test_a_denial_that_does_not_fit_changes_nothing(api: httpx.AsyncClient) -> None:
    run, other = await paused(api), await paused(api)
    for body, status in (
        (denying(run, reason=""), 422),
        (denying(run, responses=[]), 422),
        ({"runId": run["runId"], "reason": "r"}, 422),
        (denying(run, threadId=other["threadId"]), 422),
        (denying(run, requestId=other["pendingRequestId"]), 404),
        (denying(run, runId="run_0"), 404),
    ):
        is_problem(await api.post("/api/hitl/deny", json=body), status)
    assert (await api.get(f"/api/runs/{run['runId']}")).json() == run


async def test_a_denial_is_logged_without_a_word_of_its_reason(
    api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hitl")
    run = await paused(api)
    body = denying(run, reason="SECRET", note="SECRET", operator=OPERATOR)
    await api.post("/api/hitl/deny", json=body)
    await api.post("/api/hitl/deny", json=body)
    lines: list[Json] = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    calls = [line for line in lines if line["event"] == "hitl_deny_api"]
    assert [(line["status"], line["operatorId"]) for line in calls] == [
        (200, "operator-7"),
        (409, "operator-7"),
    ]
    (denied,) = [line for line in lines if line["event"] == "hitl_request_denied"]
    assert (denied["cause"], denied["operatorId"]) == ("operator", "operator-7")
    assert "SECRET" not in str(lines)
