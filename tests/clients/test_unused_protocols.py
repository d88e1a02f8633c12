"""A protocol costs nothing while nobody uses it, and says which extra it wants."""

import json
import subprocess
import sys

import httpx
from fastapi import FastAPI

from hitl_orchestrator.server.api import problems
from hitl_orchestrator.server.protocols.room import Protocol, install

OURS = "hitl_orchestrator.server.protocols."
UNASKED = ("agent_server", "mcp", "ag_ui", "a2a", "apprise", "slack_sdk")
# A server, and what its gate answers alone; then one call that asks for a protocol.
START = """
import asyncio, json, sys
import httpx
import hitl_orchestrator.server.serving
from hitl_orchestrator.server.app import create_app
from hitl_orchestrator.server.settings import Settings

ORIGIN = "https://inbox.example.com"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
app = create_app(Settings(api_key="k", cors_origins=ORIGIN))

async def call():
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        without_key = await client.post("/langgraph/threads/search", json={})
        preflight = await client.options("/langgraph/threads/search", headers=PREFLIGHT)
        unasked = [*sys.modules]
        asked = await client.get("/langgraph/info")
        return [without_key.status_code, preflight.status_code, asked.status_code], unasked

print(json.dumps([*asyncio.run(call()), [*sys.modules]]))
"""


def test_nothing_of_a_protocol_is_imported_before_its_first_call() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    statuses, unasked, asked = json.loads(done.stdout)
    assert statuses == [401, 200, 200]
    assert find_protocols(unasked) == set()
    assert find_protocols(asked) == {"agent_server"}


def find_protocols(modules: list[str]) -> set[str]:
    """Return which of them are imported: as packages, or as one of our own."""
    names = {one.removeprefix(OURS).partition(".")[0] for one in modules}
    return names & {*UNASKED}


async def test_without_its_extra_a_protocol_names_it() -> None:
    app = FastAPI()
    problems.install(app)
    install(app, [Protocol("X", "x", ("/x",), "x", "no_such_package")])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        refused = await client.post("/x")
    assert refused.status_code == 404
    assert "pip install 'hitl-orchestrator[x]'" in refused.json()["detail"]
