"""The gate in front of a real MCP server: what does more than read is made once, or not at all."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client

from hitl_orchestrator.server.protocols.mcp_gate import Gate
from hitl_orchestrator.server.protocols.rest import ApiClient
from hitl_orchestrator.server.protocols.tickets import Tickets
from tests.clients import upstream
from tests.clients.conftest import Served
from tests.clients.mcp_hosts import (
    NEWER,
    OLDER,
    PYTHON,
    Json,
    call,
    hitl_command,
    refusal_of,
    texts,
)
from tests.processes import Running

LONG, SHORT = 20.0, 0.0


class Desk:
    """Where the questions of a gate are answered."""

    def __init__(self, server: Running, key: str, folder: Path) -> None:
        self.server = server
        self.key = key
        self.folder = folder
        self.log = folder / "log"

    @asynccontextmanager
    async def gate(self, wait: float, revision: str = NEWER, **more: Any) -> AsyncGenerator[Client]:
        headers = {"Authorization": f"Bearer {self.key}"}
        async with (
            httpx.AsyncClient(base_url=self.server.url, timeout=30) as http,
            Client(upstream.build(self.log), mode=revision) as behind,
        ):
            tickets = Tickets(self.folder / "tickets")
            gate = Gate(ApiClient(http, self.server.url, headers), behind, tickets, wait, **more)
            async with Client(gate.build_server(), mode=revision) as client:
                yield client

    async def decide(self, ticket: str | None = None, **response: Any) -> None:
        """Answer the question, by default the one that waits."""
        headers = {"Authorization": f"Bearer {self.server.api_key}"}
        async with httpx.AsyncClient(base_url=self.server.url, headers=headers) as api:
            request_id = ticket or await self._find_pending(api)
            request: Json = (await api.get(f"/api/hitl/requests/{request_id}")).json()
            answer = {"requestId": request_id, **response}
            body = {"runId": request["runId"], "requestId": request_id, "responses": [answer]}
            done = await api.post("/api/hitl/resume", json=body)
            assert done.status_code == 200, done.text

    async def _find_pending(self, api: httpx.AsyncClient) -> str:
        while True:
            page = (await api.get("/api/hitl/requests?status=pending")).json()["requests"]
            if page:
                assert page[0]["originAgent"] == "ask", "the key is its name"
                return page[0]["requestId"]
            await asyncio.sleep(0.05)

    @property
    def sent(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def desk(served: Served, tmp_path: Path) -> Desk:
    return Desk(served.server, served.keys["ask"], tmp_path)


@pytest.mark.parametrize("revision", [NEWER, OLDER])
async def test_what_only_reads_passes_and_the_rest_is_made_as_a_person_says(
    desk: Desk, revision: str
) -> None:
    async with desk.gate(LONG, revision) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {*tools} == {"look", "send", "await_approval"}
        assert not [tool for tool in tools.values() if tool.output_schema]
        await client.call_tool("look", {})
        edited = {"to": "ann", "copies": 2}
        made, _ = await asyncio.gather(
            client.call_tool("send", {"to": "all"}),
            desk.decide(approved=True, editedArguments=edited, freeformText="fewer"),
        )
        refused, _ = await asyncio.gather(
            refusal_of(client, "send", to="all"),
            desk.decide(approved=False, freeformText="Not today"),
        )
        looked = await client.call_tool("look", {})
    told = texts(made.content)
    assert "sent to ann" in told
    assert '{"to": "ann", "copies": 2}' in told
    assert "fewer" in told
    assert "Not today" in refused
    assert texts(looked.content) == "ann 2\n"
    assert desk.sent == ["ann 2"]


async def test_what_says_that_it_only_reads_can_be_asked_about_too(desk: Desk) -> None:
    async with desk.gate(SHORT, asks_always=True) as client:
        ticket = (await call(client, "look"))["ticket"]
        await desk.decide(ticket, approved=True)
        assert await call(client, "await_approval", ticket=ticket) == {"result": ""}


async def test_a_ticket_outlives_client_and_gate_and_is_good_for_one_call(desk: Desk) -> None:
    command = hitl_command(
        desk.server,
        desk.key,
        *("mcp", "gate", "--wait", "0", PYTHON, "-P", upstream.__file__, str(desk.log)),
        XDG_STATE_HOME=str(desk.folder),
    )
    async with Client(command) as client:
        ticket = (await call(client, "send", to="ben"))["ticket"]
    await desk.decide(ticket, approved=True)
    async with Client(command) as client:
        made = [await client.call_tool("await_approval", {"ticket": ticket}) for _ in range(2)]
        for strange in ("hitl_nobodys", f"../{ticket}", f"{ticket}.asked"):
            assert "There is no ticket" in await refusal_of(
                client, "await_approval", ticket=strange
            )
    assert [texts(one.content) for one in made] == ["sent to ben"] * 2
    assert desk.sent == ["ben 1"]


async def test_a_gate_that_died_before_or_in_the_call_makes_it_never_again(desk: Desk) -> None:
    async with desk.gate(SHORT) as client:
        ticket = (await call(client, "send", to="eve"))["ticket"]
        await desk.decide(ticket, approved=True)
        assert Tickets(desk.folder / "tickets").claim(ticket)  # and there its process ends
        told = await refusal_of(client, "await_approval", ticket=ticket)
    assert "It is not made again" in told
    assert desk.sent == []
