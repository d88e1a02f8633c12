"""An agent that runs anywhere asks over HTTP: by the same guard, queue, audit and rules."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.api.calls import Json, started
from tests.api.test_keys import add_key, signed_by

ASK = "/api/hitl/requests"
ACTION = {"name": "refund", "arguments": {"amount": 40}}
HITL_REQUEST = {
    "action_requests": [
        {"name": "refund", "args": {"amount": 1}},
        {"name": "write", "args": {"to": "ann"}},
    ],
    "review_configs": [
        {"action_name": "refund", "allowed_decisions": ["approve", "reject"]},
        {"action_name": "write", "allowed_decisions": ["approve", "reject"]},
    ],
}


async def ask(api: httpx.AsyncClient, **body: Any) -> Json:
    response = await api.post(ASK, json=body)
    assert response.status_code == 202, response.text
    return response.json()


async def decide(api: httpx.AsyncClient, asked: Json, **decision: Any) -> None:
    response = {"requestId": asked["requestId"], **decision}
    body = {"runId": asked["runId"], "requestId": asked["requestId"], "responses": [response]}
    done = await api.post("/api/hitl/resume", json=body)
    assert done.status_code == 200, done.text


async def find_answer(api: httpx.AsyncClient, asked: Json) -> tuple[Any, str | None]:
    """Return the answer, and why it was refused."""
    shown = (await api.get(f"{ASK}/{asked['requestId']}?wait=20")).json()
    assert shown["status"] != "pending"
    return shown["answer"], shown["refusal"]


@pytest.mark.parametrize(
    ("body", "kind", "decision", "answer"),
    [
        ({"payload": "Go on?"}, "open", {"approved": True}, True),
        ({"payload": {"question": "Pay?", "amount": 3}}, "open", {"freeformText": "ok"}, "ok"),
        ({"payload": None}, "open", {"data": {"any": [1]}}, {"any": [1]}),
        (
            {"payload": {"message": "Which?", "options": ["a", "b"]}},
            "open",
            {"selectedOptionId": "b"},
            "b",
        ),
        (
            {"payload": "How many?", "responseSchema": {"type": "object"}},
            "form",
            {"data": {"n": 1}},
            {"n": 1},
        ),
    ],
)
async def test_what_was_said_comes_back_as_it_is(
    api: httpx.AsyncClient, body: Json, kind: str, decision: Json, answer: Any
) -> None:
    asked = await ask(api, **body, originAgent="far.away")
    assert (asked["status"], asked["kind"], asked["originAgent"]) == ("pending", kind, "far.away")
    await decide(api, asked, **decision)
    assert await find_answer(api, asked) == (answer, None)


@pytest.mark.parametrize(
    ("body", "kind", "decision", "field"),
    [
        ({"question": "Send?", "kind": "approval"}, "approval", {"approved": True}, "approved"),
        ({"question": "Send?", "action": ACTION}, "approval", {"approved": True}, "approved"),
        ({"question": "Why?"}, "freeform", {"freeformText": "so"}, "freeformText"),
        (
            {"question": "Which?", "options": [{"id": "a", "label": "A"}]},
            "choice",
            {"selectedOptionId": "a"},
            "selectedOptionId",
        ),
        (
            {"question": "How many?", "responseSchema": {"type": "object"}},
            "form",
            {"data": {"n": 1}},
            "data",
        ),
    ],
)
async def test_in_our_words_the_answer_is_as_an_agent_here_gets_it(
    api: httpx.AsyncClient, body: Json, kind: str, decision: Json, field: str
) -> None:
    asked = await ask(api, **body, urgency="high")
    assert (asked["kind"], asked["urgency"]) == (kind, "high")
    await decide(api, asked, **decision)
    answer, refusal = await find_answer(api, asked)
    assert (answer["status"], answer[field], refusal) == ("answered", decision[field], None)


async def test_a_refusal_never_looks_like_consent(api: httpx.AsyncClient) -> None:
    cases: list[tuple[Json, str | None]] = [
        ({"payload": "Go on?"}, None),
        ({"question": "Go on?", "kind": "approval"}, "denied"),
    ]
    for body, answer in cases:
        asked = await ask(api, **body)
        await decide(api, asked, approved=False, freeformText="Not today")
        got, refusal = await find_answer(api, asked)
        assert (got and got["status"], refusal) == (answer, "Not today")
        denied = await ask(api, **body)
        ref = {"runId": denied["runId"], "requestId": denied["requestId"], "reason": "No."}
        assert (await api.post("/api/hitl/deny", json=ref)).status_code == 200
        got, refusal = await find_answer(api, denied)
        assert (got and got["status"], refusal) == (answer, "No.")


async def test_several_actions_are_several_requests_and_one_answer(api: httpx.AsyncClient) -> None:
    first = await ask(api, payload=HITL_REQUEST)
    run = (await api.get(f"/api/runs/{first['runId']}")).json()
    one, other = run["requests"]
    assert (await api.get(f"{ASK}/{one['requestId']}")).json()["answer"] is None
    await decide(api, one, approved=True)
    assert (await api.get(f"{ASK}/{one['requestId']}")).json()["answer"] is None
    waiting = asyncio.create_task(find_answer(api, first))
    await asyncio.sleep(0.5)
    assert not waiting.done()  # nobody polls in a circle until the other is decided
    await decide(api, other, approved=False)
    answer, _ = await waiting
    assert [one["type"] for one in answer["decisions"]] == ["approve", "reject"]


async def test_it_is_found_where_all_questions_are(api: httpx.AsyncClient) -> None:
    asked = await ask(api, question="Found?", originAgent="far.away", metadata={"ticket": 7})
    pending = (await api.get("/api/hitl/pending?agent=far.away")).json()["runs"]
    assert [run["pendingRequestId"] for run in pending] == [asked["requestId"]]
    run = (await api.get(f"/api/runs/{asked['runId']}")).json()
    assert (run["objective"], run["metadata"]["ticket"]) == ("Found?", 7)
    assert asked["operatorPrompt"].startswith("far.away (step 1 of 1")
    assert "outside.question" not in (await api.get("/api/capabilities")).text
    metrics = (await api.get("/metrics")).text
    assert "far.away" not in metrics
    assert 'outside.question"' in metrics


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "`question` or `payload` is needed"),
        ({"question": "a", "payload": 1}, "`question` does not go with `payload`"),
        ({"payload": 1, "urgency": "high"}, "`urgency` does not go with `payload`"),
        ({"question": "Which?", "kind": "choice"}, "needs `options`"),
        ({"question": " ", "kind": "freeform"}, "`question` is empty"),
        ({"question": "a", "kind": "open"}, "kind"),
        ({"question": "a", "responseSchema": {"type": "no"}}, "is not a JSON Schema"),
        ({"payload": "x" * 300_000}, "262144 are allowed"),
        ({"question": "a", "callbackUrl": "https://a.example"}, "callbackUrl"),
    ],
)
async def test_what_cannot_be_asked_is_said_at_once(
    api: httpx.AsyncClient, body: Json, says: str
) -> None:
    refused = await api.post(ASK, json=body)
    assert (refused.status_code, says in refused.text) == (422, True), refused.text
    assert (await api.get("/api/runs")).json()["runs"] == []


async def test_a_plan_never_has_it(api: httpx.AsyncClient) -> None:
    body: Json = {"objective": "x", "inputs": {"outside.asked": 1}, "outputs": ["outside.answer"]}
    refused = await api.post("/api/runs", json=body)
    assert (refused.status_code, "Nobody makes outside.answer" in refused.text) == (422, True)
    refused = await api.post("/api/runs", json={**body, "agents": ["outside.question"]})
    assert (refused.status_code, "Unknown capability" in refused.text) == (422, True)


async def test_the_same_key_asks_once(api: httpx.AsyncClient) -> None:
    headers, body = {"Idempotency-Key": "q1"}, {"question": "Once?", "group": "g"}
    calls = [api.post(ASK, json=body, headers=headers) for _ in range(4)]
    ids = {answer.json()["requestId"] for answer in await asyncio.gather(*calls)}
    assert len(ids) == 1
    assert len((await api.get("/api/runs")).json()["runs"]) == 1


async def test_it_expires_and_the_agent_hears_of_it(database_url: str) -> None:
    async with started(database_url) as api:
        asked = await ask(api, payload="In time?", expiresInSeconds=0.5)
        assert await find_answer(api, asked) == (None, "Expired")


# Groups and guards


async def test_the_limit_counts_over_a_group(api: httpx.AsyncClient) -> None:
    body = {"question": "Again?", "group": "g", "maxHitlRequests": 2}
    asked = await asyncio.gather(*(ask(api, **body) for _ in range(5)))
    denied = [one for one in asked if one["status"] == "denied"]
    assert (len(denied), {one["denialReason"] for one in denied}) == (3, {"Too many HITL requests"})
    answer, refusal = await find_answer(api, denied[0])
    assert (answer["status"], refusal) == ("denied", "Too many HITL requests")
    assert (await ask(api, **body | {"group": "other"}))["status"] == "pending"
    assert (await ask(api, question="Alone?", maxHitlRequests=1))["status"] == "pending"
    assert (await ask(api, **body | {"maxHitlRequests": 3}))["status"] == "pending"


async def test_where_hitl_is_disabled_it_is_born_denied(database_url: str) -> None:
    async with started(database_url, hitl_enabled=False) as api:
        asked = await ask(api, payload="May I?")
        assert (asked["status"], asked["denialReason"]) == ("denied", "HITL is disabled")
        assert await find_answer(api, asked) == (None, "HITL is disabled")


async def test_a_key_that_asks_names_itself_sees_its_answer_and_never_decides(
    api: httpx.AsyncClient, database_url: str
) -> None:
    key = await add_key(database_url, "ci-bot", "ask")
    async with signed_by(api, key):
        asked = await ask(api, payload="Deploy?", group="g", maxHitlRequests=1)
        assert asked["originAgent"] == "ci-bot"
        response = {"requestId": asked["requestId"], "approved": True}
        body = {"runId": asked["runId"], "requestId": asked["requestId"], "responses": [response]}
        for path, more in (
            ("resume", body),
            ("deny", {**body, "reason": "x"}),
            ("remove", {**body, "reason": "x"}),
        ):
            refused = await api.post(f"/api/hitl/{path}", json=more)
            assert refused.status_code == 403
    others = await ask(api, payload="Deploy?", group="g", maxHitlRequests=1)
    assert others["status"] == "pending"  # another caller's group of that name is another group
    await decide(api, asked, approved=True)
    async with signed_by(api, key):
        assert await find_answer(api, asked) == (True, None)
        assert (await api.get(f"{ASK}/{others['requestId']}")).status_code == 403
