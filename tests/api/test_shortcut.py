"""The short way of a POST and the long one: nobody can tell which his call went."""

import json
import re
from collections.abc import AsyncGenerator
from itertools import product
from typing import Any

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hitl_orchestrator.domain.keys import FIRST
from hitl_orchestrator.server.api.gate import MAX_BODY_BYTES
from hitl_orchestrator.server.api.routes import hitl, runs
from hitl_orchestrator.server.api.shortcut import ShortCut
from hitl_orchestrator.server.callers import CALLER
from hitl_orchestrator.server.limits import Places
from tests.api.calls import QUESTIONS, Json, answering, paused, started

VARIES = re.compile(r"(run|thread|hitl)_[0-9a-f]{8,}|\d{4}-\d\d-\d\dT[\d:.]+Z")
DECIDING = ("/api/hitl/resume", "/api/hitl/deny", "/api/hitl/remove")
JSON = {"Content-Type": "application/json"}
START = {"objective": "Ask", "inputs": {"question": QUESTIONS["form"]}, "outputs": ["answer"]}
BODIES: list[Any] = [
    b"",
    b"{",
    b"[]",
    b"\xff",
    b'{"objective": "a", "objective": "b"}',
    b'{"objective": "\\u0000"}',
    b'{"objective": "\\ud800"}',
    b'{"objective": NaN}',
    b'{"objective": "a", "inputs": {"n": 1e400}}',
    b'{"objective": "a", "inputs": {"n": -1E+400}}',
    b'{"objective": "a", "inputs": {"n": 99999999999999999999}}',
    b'{"objective": "a", "inputs": {"n": ' + b"[" * 40 + b"]" * 40 + b"}}",
    b" " * (MAX_BODY_BYTES + 1),
    {},
    {"objective": "x", "unknown": 1},
    {"objective": "x", "maxHitlRequests": "3"},
    {"objective": "x", "outputs": ["nobody"]},
    {"objective": "x", "agents": ["nobody"]},
    {"objective": "ü 東 \u2028 \x7f", "metadata": {"a": [1.5, 2.0, 1e3, None, True, "\\/"]}},
    START,
]


def transport_of(api: httpx.AsyncClient) -> Any:
    return api._transport  # pyright: ignore[reportPrivateUsage]


async def call(api: httpx.AsyncClient, path: str, query: str, body: Any) -> tuple[Any, ...]:
    """Return what came back, without what differs from one run to the next."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await api.post(f"{path}?{query}", content=content, headers=JSON)
    headers = sorted((name, value) for name, value in answer.headers.items())
    text = VARIES.sub("…", answer.text)
    return answer.status_code, [one for one in headers if one[0] != "content-length"], text


async def test_both_ways_answer_a_start_alike(api: httpx.AsyncClient) -> None:
    for body in BODIES:
        short, long = [await call(api, "/api/runs", q, body) for q in ("wait=9", "wait=9.0")]
        assert short == long, body


async def test_both_ways_answer_a_decision_alike(api: httpx.AsyncClient) -> None:
    changes: tuple[Json, ...] = (
        {},
        {"runId": "run_0"},
        {"requestId": "no"},
        {"threadId": "no"},
        {"note": 1},
    )
    for path, change in product(DECIDING, changes):
        found = [
            await call(api, path, query, {**decide(path, await paused(api)), **change})
            for query in ("wait=9", "wait=9.0")
        ]
        assert found[0] == found[1], (path, change)


async def test_both_ways_say_who_was_first(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    body = decide("/api/hitl/resume", run)
    await api.post("/api/hitl/resume", json=body)
    short, long = [await call(api, "/api/hitl/resume", q, body) for q in ("", "wait=0.0")]
    assert short == long
    assert short[0] == 409


async def test_both_ways_tell_a_client_that_waits_too_often(api: httpx.AsyncClient) -> None:
    transport_of(api).app.state.waiting_calls = Places("waiting calls", 0)
    short, long = [await call(api, "/api/runs", query, START) for query in ("wait=9", "wait=9.0")]
    assert short == long
    assert short[0] == 503


def decide(path: str, run: Json) -> Json:
    if path == "/api/hitl/resume":
        return answering(run, freeformText="Go on.")
    return {"runId": run["runId"], "requestId": run["pendingRequestId"], "reason": "No."}


# -- which way a call goes


@pytest.fixture
async def short(database_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """The short way alone: what would go the long one is 418, with the body as it came."""

    async def go_long(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        await Response(message["body"], 418)(scope, receive, send)

    async with started(database_url) as api:
        transport = transport_of(api)
        app, short = transport.app, ShortCut(go_long, [*runs.router.routes, *hitl.router.routes])

        async def with_app(scope: Any, receive: Any, send: Any) -> None:
            await short({**scope, "app": app, CALLER: FIRST}, receive, send)

        transport.app = with_app
        yield api


async def test_what_is_usual_goes_the_short_way(short: httpx.AsyncClient) -> None:
    for query in ("", "?wait=60", "?history=false&wait=5"):
        assert (await short.post(f"/api/runs{query}", json=START)).status_code == 202
    for query in ("?wait=61", "?wait=5&wait=5", "?wait=1e1", "?other=1", "?history=0"):
        answer = await short.post(f"/api/runs{query}", json=START)
        assert (answer.status_code, answer.json()) == (418, START)
    for headers in ({"Idempotency-Key": "k"}, {"Content-Type": "text/plain"}):
        answer = await short.post("/api/runs", json=START, headers=headers)
        assert (answer.status_code, answer.json()) == (418, START)


async def test_it_goes_the_short_way_to_decide(short: httpx.AsyncClient) -> None:
    for path in DECIDING:
        answer = await short.post(path, json=decide(path, await paused(short)))
        assert answer.status_code == 200
    assert (await short.get("/api/runs")).status_code == 418
    assert (await short.post("/api/runs/run_0/cancel", json={"reason": "x"})).status_code == 418
