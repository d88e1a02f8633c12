"""The contract's section 3: runs, and people in the loop."""

import asyncio
import logging
from datetime import datetime

import httpx
import pytest
from psycopg import AsyncConnection

from tests.api.calls import OPERATOR, QUESTIONS, Json, answering, is_problem, paused


async def test_a_run_is_started_asks_is_answered_and_ends(api: httpx.AsyncClient) -> None:
    run = await paused(api, metadata={"ticket": "T-1"})
    assert run.keys() == {
        "runId",
        "threadId",
        "status",
        "objective",
        "plan",
        "facets",
        "pendingRequestId",
        "requests",
        "responses",
        "deniedCount",
        "maxHitlRequests",
        "result",
        "error",
        "held",
        "stillWorking",
        "metadata",
        "createdAt",
        "updatedAt",
    }
    assert run["runId"].startswith("run_")
    assert run["metadata"]["ticket"] == "T-1"
    assert datetime.fromisoformat(run["createdAt"]).utcoffset() is not None

    resumed = (
        await api.post(
            "/api/hitl/resume?wait=20",
            json=answering(run, freeformText="Go on") | {"operator": OPERATOR},
        )
    ).json()
    assert resumed.keys() == {"runId", "threadId", "status", "pendingRequestId", "run"}
    assert resumed["status"] == "completed"

    ended = (await api.get(f"/api/runs/{run['runId']}")).json()
    assert ended == resumed["run"]
    assert ended["result"]["outputs"]["answer"]["freeformText"] == "Go on"
    assert ended["result"]["outputs"]["answer"]["responder"]["id"] == "operator-7", (
        "who answers is the operator, if the response does not say"
    )
    assert ended["responses"][0]["responseType"] == "freeform"
    assert ended["responses"][0]["createdAt"]
    assert [entry["action"] for entry in ended["metadata"]["auditLog"]] == [
        "start",
        "request",
        "resume",
        "deliver",
        "complete",
    ]


ANSWERS: list[tuple[str, Json, Json]] = [
    ("approval", {"approved": True}, {"responseType": "approval", "approved": True}),
    (
        "approval",
        {"approved": True, "editedArguments": {"to": "me"}},
        {"editedArguments": {"to": "me"}},
    ),
    (
        "approval",
        {"approved": False, "freeformText": "Not yet"},
        {"status": "denied", "reason": "Not yet"},
    ),
    ("choice", {"selectedOptionId": "b"}, {"responseType": "option", "selectedOptionId": "b"}),
    ("form", {"data": {"n": 3}}, {"responseType": "form", "data": {"n": 3}}),
    (
        "freeform",
        {"responseType": "freeform", "freeformText": "So"},
        {"responseType": "freeform", "freeformText": "So"},
    ),
]


async def test_each_kind_of_answer_reaches_the_agent(api: httpx.AsyncClient) -> None:
    for kind, response, answered in ANSWERS:
        run = await paused(api, QUESTIONS[kind])
        resumed = await api.post("/api/hitl/resume?wait=20", json=answering(run, **response))
        assert resumed.status_code == 200, resumed.text
        value = resumed.json()["run"]["facets"]["answer"]["value"]
        assert answered.items() <= value.items()


async def test_runs_are_listed_newest_first_and_filtered(api: httpx.AsyncClient) -> None:
    runs = [await paused(api, threadId=f"thread {n}") for n in range(3)]
    await api.post(f"/api/runs/{runs[1]['runId']}/cancel", json={"reason": "enough"})

    async def listed(**params: str) -> list[str]:
        return [
            run["threadId"] for run in (await api.get("/api/runs", params=params)).json()["runs"]
        ]

    assert await listed() == ["thread 2", "thread 1", "thread 0"]
    assert await listed(status="awaiting_hitl") == ["thread 2", "thread 0"]
    assert await listed(status="cancelled") == ["thread 1"]
    assert await listed(threadId="thread 0") == ["thread 0"]
    assert await listed(threadId="thread 9") == []


async def test_pages_neither_skip_nor_repeat_while_runs_come_and_go(api: httpx.AsyncClient) -> None:
    first = [(await paused(api))["runId"] for _ in range(5)]
    for path in ("/api/runs", "/api/hitl/pending"):
        seen, cursor = list[str](), None
        while True:
            page = (
                await api.get(path, params={"limit": 2, **({"cursor": cursor} if cursor else {})})
            ).json()
            seen += [run["runId"] for run in page["runs"]]
            await paused(api)  # newer than all of the listing of runs, the last of the queue
            if path == "/api/hitl/pending" and len(seen) >= 5:
                break
            if not (cursor := page["nextCursor"]):
                break
        assert [run for run in seen if run in first] == (
            first[::-1] if path == "/api/runs" else first
        )
        assert len(set(seen)) == len(seen)


async def test_a_cancelled_run_says_by_whom_and_why(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    cancelled = (
        await api.post(
            f"/api/runs/{run['runId']}/cancel",
            json={"reason": "enough", "operator": OPERATOR, "note": "n"},
        )
    ).json()
    assert cancelled["status"] == "cancelled"
    assert cancelled["requests"][0]["denialReason"] == "enough"
    assert cancelled["deniedCount"] == 1
    last = cancelled["metadata"]["auditLog"][-1]
    assert (last["action"], last["operator"], last["note"], last["reason"]) == (
        "cancel",
        OPERATOR,
        "n",
        "enough",
    )


async def test_waiting_ends_with_the_run_or_with_the_time(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    waiting = asyncio.create_task(api.get(f"/api/runs/{run['runId']}?wait=20"))
    assert (await waiting).json()["status"] == "awaiting_hitl"
    async with asyncio.timeout(5):
        started_at = asyncio.get_running_loop().time()
        response = await api.post(
            "/api/runs?wait=0.05",
            json={"objective": "Ask", "inputs": {"question": "?"}, "outputs": ["answer"]},
        )
        assert response.status_code == 202
        assert asyncio.get_running_loop().time() - started_at < 2


async def test_capabilities_are_listed_with_their_contracts(api: httpx.AsyncClient) -> None:
    capabilities = {
        one["capabilityId"]: one
        for one in (await api.get("/api/capabilities")).json()["capabilities"]
    }
    assert capabilities["asks"]["contract"]["input"]["required"] == ["question"]
    assert capabilities["asks"]["outputFacets"] == ["answer"]


# -- human in the loop


async def test_the_queue_shows_what_waits_and_what_a_person_needs(api: httpx.AsyncClient) -> None:
    calm, urgent = (
        await paused(api),
        await paused(api, {"question": "Now?", "kind": "freeform", "urgency": "high"}),
    )
    queue = (await api.get("/api/hitl/pending")).json()
    assert [run["runId"] for run in queue["runs"]] == [urgent["runId"], calm["runId"]]
    shown = queue["runs"][0]
    assert shown.keys() == {
        "runId",
        "threadId",
        "status",
        "pendingRequestId",
        "executionContext",
        "pendingRequests",
        "updatedAt",
    }
    assert shown["executionContext"].keys() == {"objective", "plan", "facets"}
    request = shown["pendingRequests"][0]
    assert {"operatorPrompt", "pendingNodeId", "contractSummary"} <= request.keys()
    alone = await api.get(f"/api/hitl/requests/{request['requestId']}")
    assert alone.json() == {**request, "answer": None, "refusal": None}

    async def found(**params: str) -> list[str]:
        return [
            run["runId"]
            for run in (await api.get("/api/hitl/pending", params=params)).json()["runs"]
        ]

    assert await found(urgency="high") == [urgent["runId"]]
    assert await found(agent="asks", threadId=calm["threadId"]) == [calm["runId"]]
    assert await found(agent="another") == []


async def survey(api: httpx.AsyncClient) -> Json:
    response = await api.post(
        "/api/runs?wait=20",
        json={"objective": "Survey", "outputs": ["survey"], "maxHitlRequests": 9},
    )
    run: Json = response.json()
    assert len([request for request in run["requests"] if request["status"] == "pending"]) == 3
    return run


async def test_several_responses_are_taken_together(api: httpx.AsyncClient) -> None:
    run = await survey(api)
    ids = [request["requestId"] for request in run["requests"]]
    responses = [{"requestId": one, "freeformText": "here"} for one in ids] + [
        {"requestId": ids[0], "freeformText": "a comment"}
    ]
    resumed = (
        await api.post(
            "/api/hitl/resume",
            json={"runId": run["runId"], "requestId": ids[1], "responses": responses},
        )
    ).json()
    assert {
        one: request["status"]
        for one, request in zip(ids, resumed["run"]["requests"], strict=False)
    } == dict.fromkeys(ids, "resolved")
    assert len(resumed["run"]["requests"][0]["responses"]) == 2


async def test_or_none_of_them(api: httpx.AsyncClient) -> None:
    run = await survey(api)
    ids = [request["requestId"] for request in run["requests"]]
    responses = [
        {"requestId": ids[0], "freeformText": "here"},
        {"requestId": ids[1], "approved": True},
    ]
    problem = is_problem(
        await api.post(
            "/api/hitl/resume",
            json={"runId": run["runId"], "requestId": ids[0], "responses": responses},
        ),
        422,
    )
    assert problem["requestId"] == ids[1]
    now = (await api.get(f"/api/runs/{run['runId']}")).json()
    assert {request["status"] for request in now["requests"]} == {"pending"}
    assert now["responses"] == []


async def test_of_many_at_once_one_is_first_and_the_others_are_told_who(
    api: httpx.AsyncClient,
) -> None:
    run = await paused(api)

    async def answer(n: int) -> httpx.Response:
        return await api.post(
            "/api/hitl/resume",
            json=answering(run, freeformText=f"{n}") | {"operator": {"id": f"op-{n}"}},
        )

    responses = await asyncio.gather(*map(answer, range(10)))
    won = [n for n, response in enumerate(responses) if response.status_code == 200]
    assert len(won) == 1
    for n, response in enumerate(responses):
        if n not in won:
            problem = is_problem(response, 409)
            assert problem["resolvedBy"]["id"] == f"op-{won[0]}"
            assert problem["requestStatus"] == "resolved"
            assert problem["pendingRequestId"] is None
            assert datetime.fromisoformat(problem["resolvedAt"])


async def test_removing_denies_and_cancels(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    body = {"threadId": run["threadId"], "reason": "Duplicate", "operator": OPERATOR}
    removed = (await api.post("/api/hitl/remove", json=body)).json()
    assert (removed["status"], removed["pendingRequestId"]) == ("cancelled", None)
    assert removed["run"]["requests"][0]["denialReason"] == "Duplicate"
    problem = is_problem(
        await api.post("/api/hitl/remove", json={"runId": run["runId"], "reason": "again"}), 409
    )
    assert problem["runStatus"] == "cancelled"


async def test_what_an_operator_does_is_logged_without_a_word_of_theirs(
    api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hitl")
    run = await paused(api)
    answer = answering(run, freeformText="SECRET") | {"operator": OPERATOR, "note": "SECRET"}
    await api.post("/api/hitl/resume", json=answer | {"requestId": "another"})
    await api.post("/api/hitl/resume", json=answer)
    await api.post(
        "/api/hitl/remove",
        json={"threadId": run["threadId"], "reason": "SECRET", "operator": OPERATOR},
    )
    lines: list[Json] = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    calls = [
        (line["event"], line["status"], line["operatorId"])
        for line in lines
        if line["event"].endswith("_api")
    ]
    assert calls[:2] == [
        ("hitl_resume_api", 422, "operator-7"),
        ("hitl_resume_api", 200, "operator-7"),
    ]
    assert calls[2][0] == "hitl_cancel_api"
    assert {line["threadId"] for line in lines if line["event"] == "hitl_cancel_api"} == {
        run["threadId"]
    }
    assert "SECRET" not in str(lines)


async def test_a_call_that_broke_is_not_logged_as_answered(
    api: httpx.AsyncClient, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = await paused(api)
    async with await AsyncConnection.connect(database_url, autocommit=True) as admin:
        await admin.execute("ALTER TABLE hitl_responses RENAME TO gone")
    caplog.set_level(logging.INFO, "hitl")
    is_problem(await api.post("/api/hitl/resume", json=answering(run, freeformText="x")), 500)
    assert "hitl_resume_api" not in str([record.msg for record in caplog.records])


async def test_what_is_not_there_is_404(api: httpx.AsyncClient) -> None:
    run, other = await paused(api), await paused(api)
    answer = answering(run, freeformText="x")
    for response in (
        await api.get("/api/runs/run_0"),
        await api.get("/api/runs/run_0/events"),
        await api.get("/api/hitl/requests/hitl_0"),
        await api.get("/api/nothing"),
        await api.post("/api/runs/run_0/cancel", json={"reason": "r"}),
        await api.post("/api/hitl/remove", json={"threadId": "none", "reason": "r"}),
        await api.post(
            "/api/hitl/remove",
            json={"runId": run["runId"], "requestId": other["pendingRequestId"], "reason": "r"},
        ),
        await api.post("/api/hitl/resume", json=answer | {"runId": other["runId"]}),
    ):
        is_problem(response, 404)


async def test_what_is_over_is_409(api: httpx.AsyncClient) -> None:
    run = await paused(api, threadId="busy")
    is_problem(
        await api.post(
            "/api/runs", json={"objective": "x", "outputs": ["survey"], "threadId": "busy"}
        ),
        409,
    )
    await api.post("/api/hitl/resume?wait=20", json=answering(run, freeformText="x"))
    is_problem(await api.post("/api/hitl/resume", json=answering(run, freeformText="x")), 409)
    is_problem(await api.post(f"/api/runs/{run['runId']}/cancel", json={"reason": "r"}), 409)


async def test_a_run_and_a_thread_that_disagree_do_not_fit(api: httpx.AsyncClient) -> None:
    run, other = await paused(api), await paused(api)
    is_problem(
        await api.post(
            "/api/hitl/resume",
            json=answering(run, freeformText="x") | {"threadId": other["threadId"]},
        ),
        422,
    )


async def test_a_reply_can_be_asked_for_without_what_is_over(api: httpx.AsyncClient) -> None:
    run = await paused(api, metadata={"mine": 1})
    ended: Json = {"requests": [], "responses": [], "metadata": {"mine": 1, "auditLog": []}}
    short = (await api.get(f"/api/runs/{run['runId']}?history=false")).json()
    assert short == run | {"metadata": ended["metadata"]}, "it waits: its question is shown"

    body = answering(run, freeformText="x")
    answered = (await api.post("/api/hitl/resume?wait=20&history=false", json=body)).json()
    whole = (await api.get(f"/api/runs/{run['runId']}")).json()
    assert answered["run"] == whole | ended
    assert (len(whole["requests"]), len(whole["responses"])) == (1, 1)
    listed = (await api.get("/api/runs?history=false")).json()["runs"]
    assert listed == [answered["run"]]


async def test_a_repeated_call_may_ask_for_the_history(api: httpx.AsyncClient) -> None:
    """It is no part of what the call does: the key means the same call with it and without."""
    run = await paused(api)
    body = {"runId": run["runId"], "requestId": run["pendingRequestId"], "reason": "No."}
    key = {"Idempotency-Key": "k"}
    for query, shown in (("?history=false", 0), ("", 1)):
        answer = await api.post(f"/api/hitl/deny{query}", json=body, headers=key)
        assert len(answer.json()["run"]["requests"]) == shown
