"""`hitl mcp` and `hitl mcp gate`: a process of its own, which speaks MCP on stdin and stdout."""

import hashlib
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from mcp import Client, StdioServerParameters
from mcp.server import Server
from mcp.server.stdio import stdio_server

from hitl_orchestrator.server.protocols.mcp_gate import Gate
from hitl_orchestrator.server.protocols.mcp_server import build_server
from hitl_orchestrator.server.protocols.rest import CALL_SECONDS, Rest
from hitl_orchestrator.server.protocols.tickets import Tickets


async def serve_queue(url: str, key: str, operator: str | None) -> None:
    """Offer the queue of that server until stdin ends."""
    async with _open_rest(url, key) as rest:
        await _serve(build_server(lambda _: rest, operator))


async def serve_gate(
    url: str, key: str, upstream: Sequence[str], wait_seconds: float, *, asks_always: bool
) -> None:
    """Offer the tools of another MCP server until stdin ends.

    `upstream`: its address, or the command that starts it.
    """
    command, *arguments = upstream
    is_address = command.startswith(("http://", "https://"))
    place = command if is_address else StdioServerParameters(command=command, args=arguments)
    async with _open_rest(url, key) as rest, Client(place) as client:
        tickets = Tickets(_find_folder(url, upstream))
        gate = Gate(rest, client, tickets, wait_seconds, asks_always=asks_always)
        await _serve(gate.build_server())


@asynccontextmanager
async def _open_rest(url: str, key: str) -> AsyncGenerator[Rest]:
    async with httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(CALL_SECONDS)) as http:
        yield Rest(http, url.rstrip("/"), {"Authorization": f"Bearer {key}"})


async def _serve(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def _find_folder(url: str, upstream: Sequence[str]) -> Path:
    """Return where the tickets are: a ticket of one server behind a gate opens no other's tools."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    digest = hashlib.sha256("\0".join([url, *upstream]).encode()).hexdigest()
    return Path(state) / "hitl-orchestrator/mcp-gate" / digest[:16]
