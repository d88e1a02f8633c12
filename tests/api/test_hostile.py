"""What nobody well-meaning sends: each is refused in words, and leaves nothing behind.

At once, too: none makes work that grows out of hand.
"""

import asyncio
import json
from typing import Any, cast

import httpx
from psycopg import AsyncConnection, sql

from tests.api.calls import Json, is_problem, paused

# For each, which takes milliseconds, on a machine that may be busy; what is quadratic in a body's
# 10^5 or 10^6 parts takes longer.
PATIENCE_SECONDS = 20
START: Json = {"objective": "x", "outputs": ["survey"]}
DEEP = json.loads('{"a":' * 40 + "1" + "}" * 40)

# Of POST /api/runs.
STARTS: list[Json] = [
    {},
    {"objective": ""},
    {"objective": "x" * 10_001},
    {"objective": 1},
    {"objective": None},
    {"objective": ["x"]},
    START | {"objective": "a\0b"},
    START | {"objective": "\ud800"},
    START | {"goal": "x"},
    START | {"inputs": []},
    START | {"inputs": {"": 1}},
    START | {"inputs": {"1x": 1}},
    START | {"inputs": {"__pregel_tasks": 1}},
    START | {"inputs": {"a\0": 1}},
    START | {"inputs": {"a": "\0"}},
    START | {"inputs": {"a": {"\ud800": 1}}},
    START | {"inputs": {"a": ["\udfff"]}},
    START | {"inputs": {"a": DEEP}},
    START | {"inputs": {"a": 2**64}},
    START | {"inputs": {"a": -(2**63) - 1}},
    START | {"inputs": {"objective": "another"}},
    START | {"outputs": "survey"},
    START | {"outputs": ["a b"]},
    START | {"outputs": ["nobody.makes.this"]},
    START | {"outputs": ["a"] * 101},
    START | {"outputs": [{"a": 1}]},
    START | {"agents": ["nobody"]},
    START | {"agents": []},
    START | {"agents": [None]},
    START | {"threadId": ""},
    START | {"threadId": "x" * 256},
    START | {"threadId": "a\nb"},
    START | {"threadId": "\u202egnp"},
    START | {"threadId": 7},
    START | {"maxHitlRequests": -1},
    START | {"maxHitlRequests": 1001},
    START | {"maxHitlRequests": True},
    START | {"maxHitlRequests": "3"},
    START | {"maxHitlRequests": 1.5},
    START | {"metadata": "x"},
    START | {"metadata": {"auditLog": []}},
]
# Of a resume of a run that waits; `responses` for its request, which asks an approval.
RESPONSES: list[Any] = [
    [],
    {},
    None,
    [None],
    [{"requestId": "another"}],
    [{"approved": "true"}],
    [{"approved": 1}],
    [{"approved": True, "data": {}}],
    [{"responseType": "rejection", "approved": True}],
    [{"responseType": "maybe"}],
    [{"freeformText": "neither yes nor no"}],
    [{"selectedOptionId": "a"}],
    [{"approved": True, "editedArguments": []}],
    [{"approved": True}, {"approved": False}],
    [{"approved": True, "freeformText": "\0"}],
    [{"approved": True, "createdAt": "2020-01-01T00:00:00Z"}],
    [{"approved": True}] * 101,
]
RAW: list[tuple[str, bytes]] = [
    ("application/json", b""),
    ("application/json", b"{"),
    ("application/json", b"[]"),
    ("application/json", b"null"),
    ("application/json", b'"x"'),
    ("application/json", b'{"objective": "x", "objective": "y"}'),
    ("application/json", b'{"objective": "x", "inputs": {"a": NaN}}'),
    ("application/json", b'{"objective": "x", "inputs": {"a": -Infinity}}'),
    ("application/json", b'{"objective": "x", "inputs": {"a": 1e999}}'),
    ("application/json", b'{"objective": "x", "inputs": {"a": ' + b"9" * 5000 + b"}}"),
    ("application/json", b"[" * 100_000),
    ("application/json", b'{"a":' * 100_000),
    ("application/json", b"\xff\xfe{\x00}\x00"),
    ("application/json", b'{"objective": "\xc3\x28"}'),
    ("application/json", b'\xef\xbb\xbf{"objective": "x"}'),
    ("application/json", b"[" + b"0," * 500_000 + b"0]"),
    ("text/plain", json.dumps(START).encode()),
    ("application/x-www-form-urlencoded", b"objective=x"),
    ("multipart/form-data; boundary=x", b"--x\r\n"),
    ("", json.dumps(START).encode()),
]
TABLES = (
    "orchestrator_runs",
    "hitl_requests",
    "hitl_responses",
    "audit_entries",
    "run_events",
    "idempotency_keys",
    "checkpoints",
)


async def rows(database_url: str) -> dict[str, Any]:
    async with await AsyncConnection.connect(database_url) as conn:
        counts = [
            await (
                await conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
            ).fetchone()
            for table in TABLES
        ]
    return dict(zip(TABLES, counts, strict=True))


async def test_hostile_bodies_are_refused_at_once_and_leave_nothing_behind(
    api: httpx.AsyncClient, database_url: str
) -> None:
    run = await paused(
        api,
        {"question": "Send it?", "kind": "approval", "action": {"name": "send", "arguments": {}}},
    )
    request_id = run["pendingRequestId"]
    before = await rows(database_url)

    def resume(responses: Any) -> Json:
        if isinstance(responses, list):
            responses = [
                {"requestId": request_id} | one if one else one
                for one in cast(list[Json | None], responses)
            ]
        return {"runId": run["runId"], "requestId": request_id, "responses": responses}

    calls = [("/api/runs", "application/json", json.dumps(body).encode()) for body in STARTS]
    calls += [
        ("/api/hitl/resume", "application/json", json.dumps(resume(responses)).encode())
        for responses in RESPONSES
    ]
    calls += [("/api/runs", content_type, body) for content_type, body in RAW]
    assert len(calls) >= 60
    for path, content_type, body in calls:
        async with asyncio.timeout(PATIENCE_SECONDS):
            response = await api.post(path, content=body, headers={"Content-Type": content_type})
        problem = is_problem(response, 422)
        assert len(response.content) < 20_000, body[:200]
        assert problem["detail"], body[:200]
    assert await rows(database_url) == before
    assert (await api.get(f"/api/runs/{run['runId']}")).json() == run


ADDRESSES = [
    "/api/runs?limit=0",
    "/api/runs?limit=201",
    "/api/runs?limit=x",
    "/api/runs?status=paused",
    "/api/runs?cursor=x",
    "/api/runs?threadId=%00",
    "/api/runs?threadId=",
    "/api/runs?x=1",
    "/api/runs?%00=1",
    "/api/runs/%00",
    "/api/runs/run_1?wait=61",
    "/api/runs/run_1?wait=-1",
    "/api/runs/run_1?wait=nan",
    "/api/hitl/pending?urgency=extreme",
    "/api/hitl/pending?agent=%ED%A0%80%00",
    "/api/hitl/requests/%0A",
    "/api/capabilities?x",
]
NOWHERE = [
    "/api/runs/",
    "/api/runs/..",
    "/api//runs",
    "/api/runs/run_1/events/x",
    "/API/runs",
    "/docs/x",
    "/api",
]
METHODS = [
    ("DELETE", "/api/runs"),
    ("PUT", "/api/hitl/resume"),
    ("PATCH", "/healthz"),
    ("TRACE", "/api/runs"),
    ("OPTIONS", "/api/runs"),
]


async def test_hostile_addresses_are_refused(api: httpx.AsyncClient) -> None:
    for path in [*ADDRESSES, "/api/runs/" + "x" * 256, "/api/runs?cursor=" + "W" * 1001]:
        is_problem(await api.get(path), 422)
    for path in NOWHERE:
        is_problem(await api.get(path), 404)
    for method, path in METHODS:
        response = await api.request(method, path)
        is_problem(response, 405)
        assert response.headers["Allow"]


async def test_a_forged_cursor_does_not_fit(api: httpx.AsyncClient) -> None:
    is_problem(await api.get("/api/runs?cursor=WyJ5ZXN0ZXJkYXkiLCAiMiJd"), 422)
    is_problem(await api.get("/api/hitl/pending?cursor=WyIzIiwgInllc3RlcmRheSIsICIyIl0"), 422)
