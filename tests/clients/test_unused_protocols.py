"""A protocol costs nothing while nobody uses it, and says which extra it wants."""

import subprocess
import sys

import httpx
from fastapi import FastAPI

from hitl_orchestrator.server.api import problems
from hitl_orchestrator.server.protocols.room import PROTOCOLS, Protocol, install

START = """
import sys
from hitl_orchestrator.server.app import create_app
from hitl_orchestrator.server.settings import Settings
create_app(Settings(api_key="k"))
print(*sys.modules, sep=",")
"""


def test_nothing_of_a_protocol_is_imported_before_its_first_call() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    packages = {protocol.package for protocol in PROTOCOLS} | {"slack_sdk"}
    assert packages.isdisjoint(done.stdout.strip().split(","))


async def test_without_its_extra_a_protocol_names_it() -> None:
    app = FastAPI()
    problems.install(app)
    install(app, [Protocol("X", "x", "no_such_package", ("/x",))])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        refused = await client.post("/x")
    assert refused.status_code == 404
    assert "pip install 'hitl-orchestrator[x]'" in refused.json()["detail"]
