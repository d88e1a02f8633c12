"""The real client of MCP over HTTP and stdio, in both revisions: a person decides."""

import subprocess
import sys
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp_types import CallToolResult, ElicitResult, InputResponses

from hitl_orchestrator.server.protocols.mcp_server import build_server
from hitl_orchestrator.server.protocols.rest import ApiClient
from tests.api.calls import QUESTIONS, paused, started
from tests.clients.conftest import Served
from tests.clients.mcp_hosts import (
    NEWER,
    OLDER,
    Host,
    Json,
    Person,
    ask,
    call,
    filled,
    over_http,
    over_stdio,
    refusal_of,
    show,
)
from tests.clients.npm import program
from tests.processes import API_KEY, DESK, Running

SDK = "@modelcontextprotocol/sdk@1.32.2"
SEND = {
    "question": "Send it?",
    "action": {"name": "send", "arguments": {"to": "all", "n": 3, "tags": ["a"]}},
}
WAYS = [(over_http, NEWER), (over_http, OLDER), (over_stdio, NEWER), (over_stdio, OLDER)]
WAY_NAMES = ["http-newer", "http-older", "stdio-newer", "stdio-older"]


@pytest.fixture(scope="module")
def server(served: Served) -> Running:
    return served.server


@pytest.fixture(scope="module")
def ada(served: Served) -> str:
    """Her key: she may decide."""
    return served.keys["ada"]


@pytest.mark.parametrize(("host", "revision"), WAYS, ids=WAY_NAMES)
async def test_a_person_decides_in_the_hosts_form(
    server: Running, ada: str, host: Host, revision: str
) -> None:
    asked = ask(server, **SEND)
    edit = {"field_to": "ann", "field_n": 4.0, "field_tags": '["a", "b"]'}
    person = Person(
        ElicitResult(action="decline"),
        ElicitResult(action="cancel"),
        filled(decision="approve", field_to="ann"),
        filled(decision="edit", text="fewer", **edit),
    )
    request_id = asked["requestId"]
    async with host(server, ada, revision, person) as client:
        listed = (await call(client, "list_pending"))["requests"]
        shown = await call(client, "show_request", request_id=request_id)
        closed = [await call(client, "decide", request_id=request_id) for _ in range(2)]
        contradiction = await refusal_of(client, "decide", request_id=request_id)
        assert show(server, asked)["status"] == "pending"
        await call(client, "decide", request_id=request_id)
        stale = await refusal_of(client, "decide", request_id=request_id)
        tools = (await client.list_tools()).tools
    assert request_id in [one["requestId"] for one in listed]
    assert shown["url"] == f"{server.url}/inbox/q/{request_id}"
    assert [one["decided"] for one in closed] == [None, None]
    assert "choose `edit`" in contradiction
    assert '"to": "all"' in person.seen[0].message
    answered = show(server, asked, wait=20)
    assert answered["answer"]["editedArguments"] == {"to": "ann", "n": 4, "tags": ["a", "b"]}
    assert answered["answer"]["freeformText"] == "fewer"
    assert "ada was first" in stale
    assert len(person.seen) == 4, "what is decided shows nobody a form"
    assert [tool.name for tool in tools] == [
        "list_pending", "show_request", "show_run", "start_run", "decide",
    ]  # fmt: skip
    for tool in tools:
        assert tool.annotations
        assert None not in tool.annotations.model_dump().values()


FORM = {
    "type": "object",
    "required": ["seats"],
    "properties": {"seats": {"type": "integer"}, "day": {"type": "string"}},
}
KINDS: list[tuple[Json, Json, Any]] = [
    ({"question": "?", "kind": "approval"}, {"decision": "approve"}, ("approved", True)),
    (
        {"question": "?", "kind": "approval"},
        {"decision": "reject", "text": "Not today"},
        ("reason", "Not today"),
    ),
    (
        {"question": "?", "options": [{"id": "a", "label": "A"}]},
        {"decision": "answer", "option": "a"},
        ("selectedOptionId", "a"),
    ),
    ({"question": "?"}, {"decision": "answer", "text": "so"}, ("freeformText", "so")),
    (
        {"question": "?", "responseSchema": FORM},
        {"decision": "answer", "field_seats": "2", "field_day": ""},
        ("data", {"seats": 2}),
    ),
]


async def test_each_kind_is_answered_and_what_is_sure_of_nothing_decides_nothing(
    server: Running, ada: str
) -> None:
    person = Person()
    async with over_http(server, ada, NEWER, person) as client:
        for question, content, (field, expected) in KINDS:
            asked = ask(server, **question)
            person.fills = [filled(), filled(**content)]
            assert "decision" in await refusal_of(client, "decide", request_id=asked["requestId"])
            assert show(server, asked)["status"] == "pending"
            await call(client, "decide", request_id=asked["requestId"])
            assert show(server, asked, wait=20)["answer"][field] == expected
        asked = ask(server, payload={"message": "Go on?", "sum": 900})
        person.fills = [filled(decision="answer", json='{"at": 9}')]
        await call(client, "decide", request_id=asked["requestId"])
    assert show(server, asked, wait=20)["answer"] == {"at": 9}
    assert '"sum": 900' in person.seen[-1].message


@pytest.mark.parametrize("revision", [NEWER, OLDER])
async def test_a_host_without_forms_gets_the_link(server: Running, ada: str, revision: str) -> None:
    asked = ask(server, **SEND)
    async with over_http(server, ada, revision) as client:
        told = await refusal_of(client, "decide", request_id=asked["requestId"])
    assert f"{server.url}/inbox/q/{asked['requestId']}" in told
    assert show(server, asked)["status"] == "pending"


async def test_a_call_that_is_made_again_decides_once_and_a_later_one_hears_who_was_first(
    served: Served, server: Running, ada: str
) -> None:
    asked = ask(server, **SEND)
    request_id = asked["requestId"]

    async def send(key: str) -> Any:
        async with over_http(server, key, NEWER, Person()) as client:
            given: InputResponses = {request_id: filled(decision="approve")}
            return await client.session.call_tool(
                "decide", {"request_id": request_id}, input_responses=given
            )

    first, again, late = await send(ada), await send(ada), await send(served.keys["decide"])
    assert first.structured_content["decided"] == again.structured_content["decided"]
    assert late.is_error
    assert "ada was first" in late.content[0].text
    assert len(show(server, asked)["responses"]) == 1


async def test_what_was_refused_for_a_time_can_be_decided_later(database_url: str) -> None:
    """The same answer has the same Idempotency-Key, which would give the old refusal again."""

    async def decide(api: httpx.AsyncClient, request_id: str) -> CallToolResult:
        person = Person(filled(decision="approve"))
        queue = build_server(lambda _: ApiClient(api, "http://localhost", {}))
        async with Client(queue, elicitation_callback=person.fill) as client:
            return await client.call_tool("decide", {"request_id": request_id})

    async with started(database_url) as api:
        asked = (await paused(api, QUESTIONS["approval"]))["pendingRequestId"]
    async with started(database_url, agents=(DESK,)) as api:
        assert (await decide(api, asked)).is_error, "its agent is not plugged in"
    async with started(database_url) as api:
        assert not (await decide(api, asked)).is_error


async def test_a_keys_scopes_hold_here_too(served: Served, server: Running) -> None:
    reader, asker = served.keys["read"], served.keys["ask"]
    asked = ask(server, **SEND)
    person = Person(filled(decision="approve"))
    async with over_http(server, reader, NEWER, person) as client:
        assert "403" in await refusal_of(client, "decide", request_id=asked["requestId"])
        assert "403" in await refusal_of(client, "start_run", objective="Try it")
    async with over_http(server, asker, NEWER, person) as client:
        assert "403" in await refusal_of(client, "list_pending")
        run = await call(client, "start_run", objective="Try it", outputs=["objective"])
        assert (await call(client, "show_run", run_id=run["runId"]))["objective"] == "Try it"
    assert show(server, asked)["status"] == "pending"


def test_a_session_is_of_the_key_that_opened_it(server: Running, ada: str) -> None:
    opening: Json = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "host", "version": "1"},
    }
    accept = {"Accept": "application/json, text/event-stream"}

    def post(key: str, method: str, session: str | None, **params: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", **accept}
        headers |= {"Mcp-Session-Id": session} if session else {}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return httpx.post(f"{server.url}/mcp", json=body, headers=headers)

    opened = post(ada, "initialize", None, **opening)
    session = opened.headers["Mcp-Session-Id"]
    codes = [post(key, "tools/list", session).status_code for key in (ada, API_KEY, "hitl_nobodys")]
    assert codes == [200, 404, 401]


UNUSED = """
import asyncio, logging, sys
import httpx
from hitl_orchestrator.server.app import create_app
from hitl_orchestrator.server.settings import Settings

app = create_app(Settings.model_validate({"api_key": "k"}))
assert not [name for name in sys.modules if name.partition(".")[0] in ("mcp", "mcp_types")]

async def call():
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": "Bearer k"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        return (await http.post("/mcp", headers=headers)).json()

sys.modules["mcp"] = None
print(asyncio.run(call())["detail"])
del sys.modules["mcp"]
from hitl_orchestrator.server.protocols.mcp_server import build_server
build_server(None)
assert not logging.getLogger().handlers
sys.modules["mcp"] = None
del sys.modules["hitl_orchestrator.server.protocols.mcp_server"]
sys.argv = ["hitl", "mcp"]
from hitl_orchestrator.server.main import main
main()
"""


def test_unused_it_costs_nothing_and_without_the_extra_it_says_so() -> None:
    done = subprocess.run([sys.executable, "-c", UNUSED], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    for said in (done.stdout, done.stderr):
        assert "pip install 'hitl-orchestrator[mcp]'" in said


@pytest.mark.slow
def test_the_typescript_client_decides(server: Running, ada: str) -> None:
    asked = ask(server, **SEND)
    with program("mcp.mjs", SDK) as host:
        said = host.ask(url=server.url, key=ada, request_id=asked["requestId"])
    rejection = {"responseType": "rejection", "approved": False, "freeformText": "Not today"}
    assert said == [5, rejection, True]
