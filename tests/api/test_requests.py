"""Questions across runs: denied, listed, counted, waited for."""

import asyncio
import logging
from collections.abc import Generator
from typing import Any

import httpx
import pytest

from hitl_orchestrator.checkpoints import wakeups
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


# -- lists and counts


async def asks(api: httpx.AsyncClient, text: str, **more: Any) -> Json:
    return await paused(api, {"question": text, "kind": "freeform", **more})


async def listed(api: httpx.AsyncClient, **params: str | int) -> list[str]:
    """Return the questions of all pages."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        response = await api.get("/api/hitl/requests", params={**params, **cursor})
        assert response.status_code == 200, response.text
        page = response.json()
        assert page.keys() == {"requests", "nextCursor"}
        found += [request["question"] for request in page["requests"]]
        if page["nextCursor"] is None:
            return found
        cursor = {"cursor": page["nextCursor"]}


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_those_that_wait_come_as_the_queue_has_them_then_the_newest(
    api: httpx.AsyncClient, limit: int
) -> None:
    for text in ("first answered", "second answered"):
        answer = answering(await asks(api, text, urgency="high"), freeformText="x")
        await api.post("/api/hitl/resume", json=answer)
    await api.post("/api/hitl/deny", json=denying(await asks(api, "denied", urgency="low")))
    for text, urgency in (("low", "low"), ("high 1", "high"), ("normal", "normal")):
        await asks(api, text, urgency=urgency)
    await asks(api, "high 2", urgency="high")

    waiting = ["high 1", "high 2", "normal", "low"]
    over = ["denied", "second answered", "first answered"]
    assert await listed(api, limit=limit) == waiting + over
    assert await listed(api, limit=limit, status="pending") == waiting
    assert await listed(api, limit=limit, status="resolved") == over[1:]
    assert await listed(api, limit=limit, status="denied") == ["denied"]
    assert await listed(api, limit=limit, urgency="high") == waiting[:2] + over[1:]
    assert await listed(api, limit=limit, agent="asks", urgency="low") == ["low", "denied"]
    assert await listed(api, limit=limit, agent="another") == []


async def test_a_listed_request_is_the_runs(api: httpx.AsyncClient) -> None:
    run = await asks(api, "What now?")
    answered = await api.post("/api/hitl/resume", json=answering(run, freeformText="x"))
    page = (await api.get("/api/hitl/requests?status=resolved")).json()
    ended = (await api.get(f"/api/runs/{answered.json()['runId']}?wait=20")).json()
    shown = {name: value for name, value in page["requests"][0].items() if name in IS_SET_ONCE}
    assert shown == {name: ended["requests"][0][name] for name in IS_SET_ONCE}


IS_SET_ONCE = ("requestId", "runId", "question", "status", "responses", "contractSummary")


async def test_text_is_searched_in_what_a_person_reads(api: httpx.AsyncClient) -> None:
    action = {"name": "send_MAIL", "arguments": {"to": "nobody"}}
    await asks(api, "Wem Grüße an 100 %?", additionalContext="Über_den Rat")
    await asks(api, "Another?", kind="approval", action=action)
    for text, found in (
        ("GRÜSSE", []),
        ("GRÜßE", ["Wem Grüße an 100 %?"]),
        ("100 %", ["Wem Grüße an 100 %?"]),
        ("über_den rat", ["Wem Grüße an 100 %?"]),
        ("send_mail", ["Another?"]),
        ("nobody", []),
        ("%", ["Wem Grüße an 100 %?"]),
        ("n_ther", []),
        ("\\", []),
        ("' OR true --", []),
        ("another", ["Another?"]),
    ):
        assert await listed(api, q=text) == found, text
    assert await listed(api, q="?", limit=1) == ["Wem Grüße an 100 %?", "Another?"]


async def test_ids_that_begin_alike_are_listed(api: httpx.AsyncClient) -> None:
    run = await asks(api, "First?")
    other = await asks(api, "Second?")
    await api.post("/api/hitl/deny", json=denying(other))
    first = run["pendingRequestId"]
    assert await listed(api, prefix=first) == await listed(api, prefix=first[:20]) == ["First?"]
    assert await listed(api, prefix="hitl_") == ["First?", "Second?"]
    assert await listed(api, prefix="hitl_", status="denied", limit=1) == ["Second?"]
    assert await listed(api, prefix="%") == await listed(api, prefix=first + "0") == []
    for prefix, found in ((run["runId"][:20], [run["runId"]]), ("run%", [])):
        page = (await api.get("/api/runs", params={"prefix": prefix})).json()
        assert [one["runId"] for one in page["runs"]] == found


async def test_a_list_that_cannot_be_is_refused(api: httpx.AsyncClient) -> None:
    for query in (
        "status=open",
        "urgency=extreme",
        "agent=",
        "q=",
        "q=%00",
        "q=a%00b",
        "q=" + "x" * 201,
        "prefix=",
        "limit=0",
        "limit=201",
        "cursor=x",
        "cursor=WyIwIiwgIi05IiwgIjIwMjYtMDEtMDFUMDA6MDA6MDBaIiwgImEiXQ",
        "threadId=t",
    ):
        is_problem(await api.get(f"/api/hitl/requests?{query}"), 422)


async def test_what_waits_is_counted(api: httpx.AsyncClient) -> None:
    async def counts() -> Json:
        return (await api.get("/api/hitl/requests/counts")).json()

    nothing = {"low": 0, "normal": 0, "high": 0}
    assert await counts() == {
        "pending": 0,
        "high": 0,
        "oldestAt": None,
        "byAgent": {},
        "byUrgency": nothing,
    }
    oldest = await asks(api, "Calm?", urgency="low")
    await asks(api, "Now?", urgency="high")
    await survey(api)
    counted = await counts()
    assert counted == {
        "pending": 5,
        "high": 1,
        "oldestAt": oldest["requests"][0]["createdAt"],
        "byAgent": {"asks": 2, "surveys.three": 3},
        "byUrgency": {"low": 1, "normal": 3, "high": 1},
    }
    await api.post("/api/hitl/deny", json=denying(oldest))
    left = await counts()
    assert (left["pending"], left["byAgent"]["asks"], left["byUrgency"]["low"]) == (4, 1, 0)
    assert left["oldestAt"] > counted["oldestAt"]
    is_problem(await api.get("/api/hitl/requests/counts?x=1"), 422)


# -- one request, its answer, and waiting for it


async def show(api: httpx.AsyncClient, run: Json, **params: float) -> Json:
    path = f"/api/hitl/requests/{run['requests'][0]['requestId']}"
    response = await api.get(path, params=params)
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_request_has_the_answer_that_its_agent_gets(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    assert (await show(api, run))["answer"] is None
    answer = answering(run, freeformText="x") | {"operator": OPERATOR}
    ended = (await api.post("/api/hitl/resume?wait=20", json=answer)).json()["run"]
    shown = await show(api, run)
    assert shown["answer"] == ended["result"]["outputs"]["answer"]
    assert (shown["answer"]["status"], shown["answer"]["freeformText"]) == ("answered", "x")
    assert shown["responses"][0]["freeformText"] == "x"
    own = {"answer", "refusal"}
    assert {name: value for name, value in shown.items() if name not in own} == (
        ended["requests"][0]
    )


async def test_a_rejection_and_every_denial_have_their_reason(api: httpx.AsyncClient) -> None:
    rejected = await paused(api)
    body = answering(rejected, approved=False, freeformText="Not ours")
    await api.post("/api/hitl/resume", json=body)
    denied = await paused(api)
    await api.post("/api/hitl/deny", json=denying(denied))
    removed = await paused(api)
    await api.post("/api/hitl/remove", json={"runId": removed["runId"], "reason": "Not ours"})
    for run, status in ((rejected, "resolved"), (denied, "denied"), (removed, "denied")):
        shown = await show(api, run)
        told = {"status": "denied", "reason": "Not ours"}
        assert (shown["status"], told.items() <= shown["answer"].items()) == (status, True)


async def test_a_guards_denial_is_an_answer_too(api: httpx.AsyncClient) -> None:
    body = {
        "objective": "Ask",
        "inputs": {"question": {"question": "?", "kind": "freeform"}},
        "outputs": ["answer"],
        "maxHitlRequests": 0,
    }
    run = (await api.post("/api/runs?wait=20", json=body)).json()
    shown = await show(api, run, wait=20)
    assert shown["answer"]["reason"] == "Too many HITL requests"
    assert shown["answer"] == run["result"]["outputs"]["answer"]


@pytest.fixture
def no_net() -> Generator[None]:
    """Nobody looks by himself: what is seen was told."""
    usual = wakeups.NET_SECONDS
    wakeups.NET_SECONDS = 3600.0
    yield
    wakeups.NET_SECONDS = usual


@pytest.mark.usefixtures("no_net")
@pytest.mark.parametrize("act", ["resume", "deny", "remove"])
async def test_who_waits_for_a_request_is_told_at_once(api: httpx.AsyncClient, act: str) -> None:
    run = await paused(api)
    body = answering(run, freeformText="x") if act == "resume" else denying(run)
    waiting = asyncio.create_task(show(api, run, wait=60))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    assert (await api.post(f"/api/hitl/{act}", json=body)).status_code == 200
    async with asyncio.timeout(20):
        shown = await waiting
    assert shown["status"] != "pending"
    assert shown["answer"]


async def test_waiting_for_a_request_ends_with_its_time(api: httpx.AsyncClient) -> None:
    run = await survey(api)
    waiting = asyncio.create_task(show(api, run, wait=0.7))
    other = run["requests"][1]["requestId"]
    await api.post("/api/hitl/deny", json=denying(run, requestId=other))
    async with asyncio.timeout(5):
        shown = await waiting
    assert (shown["status"], shown["answer"]) == ("pending", None), "another one's end is not its"


async def test_waiting_for_what_cannot_be_is_refused(api: httpx.AsyncClient) -> None:
    is_problem(await api.get("/api/hitl/requests/hitl_0?wait=5"), 404)
    for wait in ("61", "-1", "nan", "x"):
        is_problem(await api.get(f"/api/hitl/requests/hitl_0?wait={wait}"), 422)
