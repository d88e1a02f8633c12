"""Questions in nobody's dialect: shown whole, answered by what was said, no refusal is consent."""

from typing import Any

import httpx
import pytest

from tests.api.calls import Json, answering, is_problem, paused

DELETE = {"question": "Delete it?", "details": {"account": "ann"}, "options": ["all", "some"]}


async def resume(api: httpx.AsyncClient, run: Json, **response: Any) -> Json:
    done = await api.post("/api/hitl/resume?wait=20", json=answering(run, **response))
    assert done.status_code == 200, done.text
    return done.json()["run"]


def actions(run: Json) -> list[str]:
    return [entry["action"] for entry in run["metadata"]["auditLog"]]


async def test_what_was_handed_over_is_shown_whole(api: httpx.AsyncClient) -> None:
    (request,) = (await paused(api, DELETE))["requests"]
    assert (request["kind"], request["question"]) == ("open", "Delete it?")
    assert request["payload"] == DELETE
    assert [option["id"] for option in request["options"]] == ["all", "some"]
    assert "any JSON" in request["operatorPrompt"]


@pytest.mark.parametrize(
    ("response", "said"),
    [
        ({"approved": True}, True),
        ({"selectedOptionId": "some"}, "some"),
        ({"freeformText": "the newest"}, "the newest"),
        ({"data": {"only": [1, 2]}}, {"only": [1, 2]}),
        ({"data": False}, False),
        ({"data": 0}, 0),
        ({"data": None}, None),
    ],
)
async def test_the_agent_gets_what_was_said(
    api: httpx.AsyncClient, response: Json, said: Any
) -> None:
    run = await resume(api, await paused(api, DELETE), **response)
    assert (run["status"], run["result"]["outputs"]) == ("completed", {"answer": said})
    assert actions(run) == ["start", "request", "resume", "deliver", "complete"]
    assert run["requests"][0]["deliveredAt"]


@pytest.mark.parametrize(
    "response",
    [
        {"selectedOptionId": "none"},
        {"freeformText": " "},
        {"approved": True, "editedArguments": {}},
    ],
)
async def test_what_is_no_answer_is_refused(api: httpx.AsyncClient, response: Json) -> None:
    run = await paused(api, DELETE)
    is_problem(await api.post("/api/hitl/resume", json=answering(run, **response)), 422)


async def test_a_rejection_ends_the_step_and_is_not_delivered(api: httpx.AsyncClient) -> None:
    run = await resume(api, await paused(api, DELETE), approved=False, freeformText="Not hers")
    assert (run["status"], run["result"]["outputs"]) == ("completed", {})
    (step,) = run["plan"]["steps"]
    assert (step["status"], step["reason"]) == ("denied", "Not hers")
    (request,) = run["requests"]
    assert (request["status"], request["deliveredAt"]) == ("resolved", None)
    assert actions(run) == ["start", "request", "resume", "complete"]


async def test_nothing_of_a_guards_no_reaches_the_agent(api: httpx.AsyncClient) -> None:
    body = {
        "objective": "Ask",
        "inputs": {"question": DELETE},
        "outputs": ["answer"],
        "maxHitlRequests": 0,
    }
    run = (await api.post("/api/runs?wait=20", json=body)).json()
    assert (run["status"], run["result"]["outputs"]) == ("completed", {})
    assert run["plan"]["steps"][0]["reason"] == "Too many HITL requests"
    assert actions(run) == ["start", "deny", "complete"]


async def test_an_operators_denial_ends_the_step(api: httpx.AsyncClient) -> None:
    run = await paused(api, DELETE)
    body = {"runId": run["runId"], "requestId": run["pendingRequestId"], "reason": "Not ours"}
    run = (await api.post("/api/hitl/deny?wait=20", json=body)).json()["run"]
    assert (
        run["plan"]["steps"][0] | {"status": "denied", "reason": "Not ours"}
        == (run["plan"]["steps"][0])
    )
    assert "deliver" not in actions(run)


async def test_what_stands_beside_a_question_of_ours_is_shown(api: httpx.AsyncClient) -> None:
    payload = {"question": "Pay?", "kind": "approval", "payee": "Ann", "sum": 900}
    (request,) = (await paused(api, payload))["requests"]
    assert (request["kind"], request["payload"]) == ("approval", payload)
