"""`hitl mcp` and `hitl mcp gate`: a process of its own, which speaks MCP on stdin and stdout."""

import hashlib
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from mcp import Client, StdioServerParameters
from mcp.server import Server
from mcp.server.stdio import stdio_server

from hitl_orchestrator.server.protocols.mcp_gate import Gate
from hitl_orchestrator.server.protocols.mcp_server import build_server
from hitl_orchestrator.server.protocols.rest import CALL_SECONDS, ApiClient, CallRefused
from hitl_orchestrator.server.protocols.tickets import Tickets


class ServerPlace(NamedTuple):
    """Our server, and the key for it. `is_local`: no proxy leads to this machine."""

    url: str
    key: str
    is_local: bool


async def serve_queue(place: ServerPlace, operator: str | None) -> None:
    """Offer the queue of that server until stdin ends."""
    async with _open_rest(place) as rest:
        await _serve(build_server(lambda _: rest, operator))


async def serve_gate(
    place: ServerPlace, upstream: Sequence[str], wait_seconds: float, *, asks_always: bool
) -> None:
    """Offer the tools of another MCP server until stdin ends. Raise CallRefused if it is away.

    `upstream`: its address, or the command that starts it.
    """
    async with _open_rest(place) as rest, AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(Client(_find_upstream(upstream)))
        except (OSError, ExceptionGroup) as error:
            raise CallRefused(f"{upstream[0]} does not answer as an MCP server does.") from error
        tickets = Tickets(_find_folder(place.url, upstream))
        gate = Gate(rest, client, tickets, wait_seconds, asks_always=asks_always)
        await _serve(gate.build_server())


@asynccontextmanager
async def _open_rest(place: ServerPlace) -> AsyncGenerator[ApiClient]:
    async with httpx.AsyncClient(
        base_url=place.url, timeout=CALL_SECONDS, trust_env=not place.is_local
    ) as http:
        yield ApiClient(http, place.url.rstrip("/"), {"Authorization": f"Bearer {place.key}"})


def _find_upstream(upstream: Sequence[str]) -> str | StdioServerParameters:
    command, *arguments = upstream
    if command.startswith(("http://", "https://")):
        return command
    return StdioServerParameters(command=command, args=arguments)


async def _serve(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def _find_folder(url: str, upstream: Sequence[str]) -> Path:
    """Return where the tickets are: a ticket of one server behind a gate opens no other's tools."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    digest = hashlib.sha256("\0".join([url, *upstream]).encode()).hexdigest()
    return Path(state) / "hitl-orchestrator/mcp-gate" / digest[:16]
