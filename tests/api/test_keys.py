"""Keys with names: what each may do, and whose decisions those are that it signs."""

import asyncio
import itertools
import os
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from hitl_orchestrator.checkpoints import keys
from hitl_orchestrator.checkpoints.pool import connection, connection_pool
from hitl_orchestrator.domain.keys import Scope
from hitl_orchestrator.server import main
from hitl_orchestrator.server.protocols.agent_server.routes import router
from tests.api.calls import Json, answering, is_problem, paused, start
from tests.processes import API_KEY, HITL

SCOPES = ("read", "ask", "work", "decide", "admin")
ASKING = {
    "objective": "Ask",
    "inputs": {"question": {"question": "?", "kind": "freeform"}},
    "outputs": ["answer"],
}
NOBODY = "run_nobody"
IDS = {"runId": NOBODY, "requestId": "req_nobody", "capabilityId": "clerk", "stepId": "s1"}
# Each call, who may make it, and what it comes to then.
LANGGRAPH, THREAD = "/langgraph", "/langgraph/threads/nobody"
LANGGRAPH_IDS = {
    "assistant_id": "questions",
    "thread_id": "nobody",
    "run_id": NOBODY,
    "checkpoint_id": "c1",
}
ANYBODY, STARTS_OR_ANSWERS = {*SCOPES}, {"ask", "decide", "admin"}
READS, SEES = {"read", "decide", "admin"}, {"read", "ask", "decide", "admin"}  # its own, who asks
# A body that says nothing is refused only to those who may say something.
LANGGRAPH_CALLS: dict[tuple[str, str], tuple[set[str], int]] = {
    ("GET", f"{LANGGRAPH}/ok"): (ANYBODY, 200),
    ("GET", f"{LANGGRAPH}/info"): (ANYBODY, 200),
    ("GET", f"{LANGGRAPH}/nothing"): (ANYBODY, 404),
    ("DELETE", THREAD): (ANYBODY, 405),
    ("POST", f"{LANGGRAPH}/assistants/search"): (SEES, 200),
    ("GET", f"{LANGGRAPH}/assistants/questions"): (SEES, 200),
    ("GET", f"{LANGGRAPH}/assistants/questions/schemas"): (SEES, 200),
    ("GET", f"{LANGGRAPH}/assistants/questions/graph"): (READS, 200),
    ("POST", f"{LANGGRAPH}/threads/search"): (READS, 200),
    ("POST", f"{LANGGRAPH}/threads/count"): (READS, 200),
    ("POST", f"{LANGGRAPH}/threads"): (SEES, 200),
    ("GET", THREAD): (SEES, 404),
    ("GET", f"{THREAD}/state"): (SEES, 404),
    ("GET", f"{THREAD}/state/c1"): (SEES, 404),
    ("POST", f"{THREAD}/state/checkpoint"): (SEES, 404),
    ("GET", f"{THREAD}/history"): (SEES, 404),
    ("POST", f"{THREAD}/history"): (SEES, 404),
    ("POST", f"{THREAD}/state"): ({"decide", "admin"}, 422),
    ("POST", f"{THREAD}/runs"): (STARTS_OR_ANSWERS, 422),
    ("POST", f"{LANGGRAPH}/runs"): (STARTS_OR_ANSWERS, 422),
    ("POST", f"{THREAD}/runs/wait"): (STARTS_OR_ANSWERS, 422),
    ("POST", f"{LANGGRAPH}/runs/wait"): (STARTS_OR_ANSWERS, 422),
    ("POST", f"{THREAD}/runs/stream"): (STARTS_OR_ANSWERS, 200),  # refused by an event
    ("POST", f"{LANGGRAPH}/runs/stream"): (STARTS_OR_ANSWERS, 200),
    ("POST", f"{THREAD}/commands"): (STARTS_OR_ANSWERS, 200),
    ("GET", f"{THREAD}/runs"): (SEES, 404),
    ("GET", f"{THREAD}/runs/{NOBODY}"): (SEES, 404),
    ("GET", f"{THREAD}/runs/{NOBODY}/join"): (SEES, 404),
    ("GET", f"{THREAD}/runs/{NOBODY}/stream"): (SEES, 404),
    ("POST", f"{THREAD}/runs/{NOBODY}/cancel"): ({"admin"}, 404),
    ("POST", f"{THREAD}/stream/events"): (SEES, 422),
}
CALLS: dict[tuple[str, str], tuple[set[str], int]] = {
    ("GET", "/api/runs"): (READS, 200),
    ("GET", f"/api/runs/{NOBODY}"): (READS, 404),
    ("GET", f"/api/runs/{NOBODY}/events"): (READS, 404),
    ("GET", "/api/capabilities"): (READS, 200),
    ("GET", "/api/agents"): (READS, 200),
    ("GET", "/api/hitl/pending"): (READS, 200),
    ("GET", "/api/hitl/requests"): (READS, 200),
    ("GET", "/api/hitl/requests/counts"): (READS, 200),
    ("GET", "/api/hitl/requests/req_nobody"): (READS, 404),
    ("GET", "/api/nothing"): (READS, 404),
    ("POST", "/api/runs"): ({"ask", "admin"}, 422),
    ("POST", f"/api/runs/{NOBODY}/cancel"): ({"admin"}, 422),
    ("POST", f"/api/runs/{NOBODY}/retry"): ({"admin"}, 404),
    ("POST", "/api/hitl/requests"): ({"ask", "admin"}, 422),
    ("POST", "/api/hitl/resume"): ({"decide", "admin"}, 422),
    ("POST", "/api/hitl/remove"): ({"decide", "admin"}, 422),
    ("POST", "/api/hitl/deny"): ({"decide", "admin"}, 422),
    ("PUT", "/api/agents/clerk"): ({"work", "admin"}, 422),
    ("DELETE", "/api/agents/clerk"): ({"work", "admin"}, 404),
    ("POST", "/api/agents/clerk/steps"): ({"work", "admin"}, 422),
    ("POST", f"/api/agents/clerk/steps/{NOBODY}/s1/keep"): ({"work", "admin"}, 422),
    ("POST", f"/api/agents/clerk/steps/{NOBODY}/s1/report"): ({"work", "admin"}, 422),
    ("POST", "/api/nothing"): ({"admin"}, 404),
    ("DELETE", f"/api/runs/{NOBODY}"): ({"admin"}, 405),
    **LANGGRAPH_CALLS,
}


async def add_key(database_url: str, name: str, *scopes: str) -> str:
    async with connection_pool(database_url, max_size=1) as pool, connection(pool) as conn:
        return await keys.add(conn, name, [Scope(scope) for scope in scopes])


async def revoke_key(database_url: str, name: str) -> bool:
    async with connection_pool(database_url, max_size=1) as pool, connection(pool) as conn:
        return await keys.revoke(conn, name)


@asynccontextmanager
async def signed_by(api: httpx.AsyncClient, key: str) -> AsyncGenerator[httpx.AsyncClient]:
    """The same server, called with that key."""
    api.headers["Authorization"] = f"Bearer {key}"
    yield api
    api.headers["Authorization"] = f"Bearer {API_KEY}"


async def log_of(api: httpx.AsyncClient, run: Json) -> dict[str, Any]:
    """Who did each thing, and with which key, by action."""
    shown = (await api.get(f"/api/runs/{run['runId']}")).json()
    return {
        one["action"]: ((one["operator"] or {}).get("id"), one["key"])
        for one in shown["metadata"]["auditLog"]
    }


def test_the_command_line_knows_every_scope() -> None:
    assert {*main.SCOPES} == {*Scope}


async def test_each_scope_covers_its_calls_and_no_others(
    api: httpx.AsyncClient, database_url: str
) -> None:
    refused = set[tuple[str, str, str]]()
    for scope in SCOPES:
        async with signed_by(api, await add_key(database_url, f"a {scope} key", scope)):
            for method, path in CALLS:
                reply = await api.request(method, path, json={})
                if reply.status_code == 403:
                    assert f"a {scope} key" in is_problem(reply, 403)["detail"]
                    refused.add((scope, method, path))
                else:
                    assert reply.status_code == CALLS[method, path][1], (scope, path, reply.text)
    expected = {
        (scope, *call)
        for scope, call in itertools.product(SCOPES, CALLS)
        if scope not in CALLS[call][0]
    }
    assert refused == expected


async def test_the_table_above_has_every_route(api: httpx.AsyncClient) -> None:
    described = (await api.get("/openapi.json")).json()["paths"]
    routes = {
        (method.upper(), path.format(**IDS))
        for path, methods in described.items()
        for method in methods
        if path.startswith("/api/")
    }
    assert routes <= CALLS.keys() | {("GET", "/api/hitl/events")}
    of_langgraph = {
        (method, route.path.format(**LANGGRAPH_IDS))
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert of_langgraph <= CALLS.keys()


async def test_a_key_is_taken_as_a_bearer_or_in_a_header_of_its_own_until_it_is_revoked(
    api: httpx.AsyncClient, database_url: str
) -> None:
    key = await add_key(database_url, "ada", "read")
    shown = {"Bearer": {"Authorization": f"Bearer {key}"}, "own": {"x-api-key": key}}
    del api.headers["Authorization"]
    for headers in shown.values():
        assert (await api.get("/api/runs", headers=headers)).status_code == 200
    wrong = {"Authorization": f"Bearer {key}x", "x-api-key": key}
    assert (await api.get("/api/runs", headers=wrong)).status_code == 401  # one key, not any of two
    assert (await api.get("/api/runs", headers={"x-api-key": API_KEY})).status_code == 200
    assert await revoke_key(database_url, "ada")
    for headers in shown.values():
        is_problem(await api.get("/api/runs", headers=headers), 401)
    again = await add_key(database_url, "ada", "read")  # the name is free, the old key is not back
    assert (await api.get("/api/runs", headers={"x-api-key": again})).status_code == 200
    assert (await api.get("/api/runs", headers={"x-api-key": key})).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/openapi.json"])
async def test_a_key_that_is_none_shuts_nothing_that_is_open(
    api: httpx.AsyncClient, path: str
) -> None:
    assert (await api.get(path, headers={"Authorization": "Bearer no-key"})).status_code == 200


async def test_a_key_that_asks_sees_what_it_started_and_decides_nothing(
    api: httpx.AsyncClient, database_url: str
) -> None:
    others = await paused(api)
    async with signed_by(api, await add_key(database_url, "bot", "ask")):
        run = await start(api, ASKING)
        own = [f"/api/runs/{run['runId']}", f"/api/hitl/requests/{run['pendingRequestId']}"]
        not_own = [f"/api/runs/{others['runId']}", "/api/hitl/requests/x%00y", "/api/runs/x%00y"]
        not_own += [f"/api/hitl/requests/{others['pendingRequestId']}"]
        assert [(await api.get(path)).status_code for path in own] == [200, 200]
        assert [(await api.get(path)).status_code for path in not_own] == [403] * 4
        is_problem(await api.get(f"/api/runs/{others['runId']}/events"), 403)
        after = {"Last-Event-ID": "999"}  # a stream would go on as long as its run does
        is_problem(await api.get(f"/api/runs/{run['runId']}/events", headers=after), 422)
        decided = await api.post("/api/hitl/resume", json=answering(run, freeformText="Yes"))
        is_problem(decided, 403)
    assert await log_of(api, run) == {"start": ("bot", "bot"), "request": (None, None)}
    assert (await log_of(api, others))["start"] == (None, None)


async def test_a_decision_made_with_a_named_key_is_signed_with_its_name(
    api: httpx.AsyncClient, database_url: str
) -> None:
    run = await paused(api)
    async with signed_by(api, await add_key(database_url, "ada", "decide")):
        body = answering(run, freeformText="Yes")
        for other in (
            {**body, "operator": {"id": "grace"}},
            {**body, "responses": [{**body["responses"][0], "responderId": "grace"}]},
        ):
            problem = is_problem(await api.post("/api/hitl/resume", json=other), 403)
            assert "ada" in problem["detail"]
        assert (await api.get(f"/api/runs/{run['runId']}")).json()["status"] == "awaiting_hitl"
        own = {**body, "operator": {"id": "ada", "displayName": "Ada"}}
        reply = await api.post("/api/hitl/resume?wait=20", json=own)
        assert reply.status_code == 200, reply.text
        (response,) = reply.json()["run"]["responses"]
        assert (response["responderId"], response["responderDisplayName"]) == ("ada", None)
    assert (await log_of(api, run))["resume"] == ("ada", "ada")


@pytest.mark.parametrize(
    ("scopes", "proven"),
    [
        (["decide"], {"displayName": None, "email": None}),
        (["admin"], {"displayName": None, "email": None}),
        (["decide", "onBehalf"], {"displayName": "Grace", "email": "grace@example.com"}),
    ],
)
@pytest.mark.parametrize("said", [{}, {"responderId": "ada"}])
async def test_a_key_proves_its_name_and_whose_it_is_not_said_beside_it(
    api: httpx.AsyncClient, database_url: str, scopes: list[str], proven: Json, said: Json
) -> None:
    """The body says that ada is Grace."""
    run = await paused(api)
    grace = {"id": "ada", "displayName": "Grace", "email": "grace@example.com"}
    answer = answering(run, freeformText="Yes", responderDisplayName="Grace", **said)
    async with signed_by(api, await add_key(database_url, "ada", *scopes)):
        reply = await api.post("/api/hitl/resume?wait=20", json={**answer, "operator": grace})
    assert reply.status_code == 200, reply.text
    shown = reply.json()["run"]
    log = shown["metadata"]["auditLog"]
    (resumed,) = (one["operator"] for one in log if one["action"] == "resume")
    assert resumed == {"id": "ada", **proven}
    (response,) = shown["responses"]
    signed = {"id": response["responderId"], "displayName": response["responderDisplayName"]}
    assert signed == {"id": "ada", "displayName": proven["displayName"]}
    request = (await api.get(f"/api/hitl/requests/{run['pendingRequestId']}")).json()
    assert request["answer"]["responder"] == {**signed, "email": None}


@pytest.mark.parametrize("act", ["deny", "remove"])
async def test_so_is_a_denial(api: httpx.AsyncClient, database_url: str, act: str) -> None:
    run = await paused(api)
    body = {"runId": run["runId"], "requestId": run["pendingRequestId"], "reason": "no"}
    async with signed_by(api, await add_key(database_url, "ada", "decide")):
        named = {**body, "operator": {"id": "grace"}}
        is_problem(await api.post(f"/api/hitl/{act}", json=named), 403)
        assert (await api.post(f"/api/hitl/{act}", json=body)).status_code == 200
    assert (await log_of(api, run))[act] == ("ada", "ada")


@pytest.mark.parametrize("act", ["cancel", "retry"])
async def test_so_is_what_is_done_to_a_run(
    api: httpx.AsyncClient, database_url: str, act: str
) -> None:
    run = await paused(api)
    async with signed_by(api, await add_key(database_url, "ada", "admin")):
        body = {"operator": {"id": "grace"}, **({"reason": "no"} if act == "cancel" else {})}
        is_problem(await api.post(f"/api/runs/{run['runId']}/{act}", json=body), 403)
    shown = (await api.get(f"/api/runs/{run['runId']}")).json()
    assert shown["status"] == "awaiting_hitl"


@pytest.mark.parametrize(
    ("response", "more", "signed"),
    [
        ({}, {"operator": {"id": "grace"}}, "grace"),
        ({"responderId": "grace"}, {}, "grace"),
        ({"responderId": "grace"}, {"operator": {"id": "ada"}}, "ada"),
        ({}, {}, "page"),
    ],
)
async def test_a_key_that_decides_on_behalf_of_others_is_recorded_beside_them(
    api: httpx.AsyncClient, database_url: str, response: Json, more: Json, signed: str
) -> None:
    run = await paused(api)
    async with signed_by(api, await add_key(database_url, "page", "decide", "onBehalf")):
        body = {**answering(run, freeformText="Yes", **response), **more}
        assert (await api.post("/api/hitl/resume?wait=20", json=body)).status_code == 200
    assert (await log_of(api, run))["resume"] == (signed, "page")


async def test_with_the_first_key_the_body_says_who_it_is(api: httpx.AsyncClient) -> None:
    run = await paused(api)
    body = {**answering(run, freeformText="Yes"), "operator": {"id": "grace"}}
    assert (await api.post("/api/hitl/resume?wait=20", json=body)).status_code == 200
    assert (await log_of(api, run))["resume"] == ("grace", None)


async def test_one_idempotency_key_of_two_callers_names_two_calls(
    api: httpx.AsyncClient, database_url: str
) -> None:
    """Else a key that may only ask would be answered with another's run."""
    runs = set[str]()
    for name in ("one", "two"):
        async with signed_by(api, await add_key(database_url, name, "ask")):
            for _ in range(2):
                reply = await api.post("/api/runs", json=ASKING, headers={"Idempotency-Key": "k"})
                assert reply.status_code == 202, reply.text
                runs.add(reply.json()["runId"])
    assert len(runs) == 2


def hitl(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [HITL, "keys", *arguments],
        env=kept | {"DATABASE_URL": database_url},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_keys_are_added_listed_and_revoked_at_the_command_line(
    api: httpx.AsyncClient, database_url: str
) -> None:
    async def call(*arguments: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(hitl, database_url, *arguments)
        return done.returncode, done.stdout, done.stderr

    assert (await call("list"))[:2] == (0, "There are no keys but API_KEY.\n")
    code, key, said = await call("add", "ada", "--scope", "decide", "--scope", "read")
    assert (code, "not shown again" in said, key.startswith("hitl_")) == (0, True, True)
    async with signed_by(api, key.strip()):
        assert (await api.get("/api/runs")).status_code == 200
    code, listed, _ = await call("list")
    assert (code, "ada: decide, read; since 20" in listed, key.strip() in listed) == (
        0,
        True,
        False,
    )
    code, _, said = await call("add", "ada", "--scope", "read")
    assert (code, "There is a key named ada" in said) == (1, True)
    for wrong in (["--scope", "everything"], []):
        code, _, said = await call("add", "grace", *wrong)
        assert (code, "scope" in said.lower()) == (2, True)
    for name in ("", " ada", "a\x1bb"):
        assert (await call("add", name, "--scope", "read"))[0] == 2
    code, said, _ = await call("revoke", "ada")
    assert (code, said) == (0, "The key of ada opens nothing any more.\n")
    async with signed_by(api, key.strip()):
        is_problem(await api.get("/api/runs"), 401)
    assert (await call("revoke", "ada"))[0] == 1
    assert ", revoked 20" in (await call("list"))[1]
