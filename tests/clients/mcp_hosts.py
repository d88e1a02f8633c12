"""Hosts of MCP, as Claude Code or VS Code are: the SDK's client and what a person does in it."""

import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestFormParams, ElicitRequestParams, ElicitResult, TextContent

from tests.processes import HITL, Running

Json = dict[str, Any]
NEWER, OLDER = "2026-07-28", "legacy"  # the revisions, as the client names them


class Person:
    """Fills in the next forms with what is in `fills`, and keeps what was shown."""

    def __init__(self, *fills: ElicitResult) -> None:
        self.fills = [*fills]
        self.seen: list[ElicitRequestFormParams] = []

    async def fill(
        self, context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        self.seen.append(params)
        return self.fills.pop(0)


def filled(**content: Any) -> ElicitResult:
    return ElicitResult(action="accept", content=content)


Host = Callable[..., AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def over_http(
    server: Running, key: str, revision: str = NEWER, person: Person | None = None
) -> AsyncGenerator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(
            streamable_http_client(f"{server.url}/mcp", http_client=http),
            mode=revision,
            elicitation_callback=person and person.fill,
        ) as client,
    ):
        yield client


@asynccontextmanager
async def over_stdio(
    server: Running, key: str, revision: str = NEWER, person: Person | None = None
) -> AsyncGenerator[Client]:
    command = hitl_command(server, key, "mcp")
    elicit = person and person.fill
    async with Client(command, mode=revision, elicitation_callback=elicit) as client:
        yield client


def hitl_command(
    server: Running, key: str, *arguments: str, **environment: str
) -> StdioServerParameters:
    env = {**os.environ, "HITL_URL": server.url, "API_KEY": key, **environment}
    return StdioServerParameters(command=str(HITL), args=[*arguments], env=env)


async def call(client: Client, name: str, **arguments: Any) -> Any:
    """Return what the tool made."""
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def refusal_of(client: Client, name: str, **arguments: Any) -> str:
    """Return what the model is told."""
    result = await client.call_tool(name, arguments)
    assert result.is_error, result.content
    return texts(result.content)


def texts(content: list[Any]) -> str:
    return "\n".join(part.text for part in content if isinstance(part, TextContent))


def ask(server: Running, **question: Any) -> Json:
    """Put a question, as an agent elsewhere does."""
    with server.client() as api:
        response = api.post("/api/hitl/requests", json=question)
    assert response.status_code == 202, response.text
    return response.json()


def show(server: Running, request: Json, wait: int = 0) -> Json:
    with server.client() as api:
        return api.get(f"/api/hitl/requests/{request['requestId']}?wait={wait}").json()


PYTHON = sys.executable
