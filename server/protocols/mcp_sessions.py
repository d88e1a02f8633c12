"""The sessions of MCP over HTTP, in the server's process: what is heavy about `/mcp`."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

import httpx
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from hitl_orchestrator.server.protocols.mcp_server import Context, build_server
from hitl_orchestrator.server.protocols.rest import CALL_SECONDS, ApiClient
from hitl_orchestrator.server.proxies import find_root_path

KEY_HEADERS = ("authorization", "x-api-key")
MOST_SESSIONS = 1000  # of the older revision; the newer one has none


@asynccontextmanager
async def open_sessions(app: ASGIApp) -> AsyncGenerator[ASGIApp]:
    """Yield what answers `/mcp`. Each call of a tool is a call of our API with the caller's key.

    So the API's own rules hold: scopes, and who is named in the audit. The key has been looked at
    before a call comes here; a page of another origin has none to send.
    """
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", timeout=CALL_SECONDS
    ) as http:

        def find_rest(context: Context) -> ApiClient:
            request = cast(Request, context.request)
            return ApiClient(http, _find_address(request), _find_key(request))

        sessions = StreamableHTTPSessionManager(build_server(find_rest), max_sessions=MOST_SESSIONS)
        async with sessions.run():
            yield _bind_to_key(sessions.handle_request)


def _find_address(request: Request) -> str:
    """Return where the caller finds our pages, behind a proxy, too."""
    base = request.base_url
    return f"{base.scheme}://{base.netloc}{find_root_path(request.scope)}"


def _find_key(request: Request) -> dict[str, str]:
    return {name: request.headers[name] for name in KEY_HEADERS if name in request.headers}


def _bind_to_key(app: ASGIApp) -> ASGIApp:
    """Let a session be used with the key that opened it alone."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        shown = "\n".join(_find_key(Request(scope)).values())
        digest = hashlib.sha256(shown.encode()).hexdigest()
        user = AuthenticatedUser(AccessToken(token="", client_id=digest, scopes=[]))
        await app({**scope, "user": user}, receive, send)

    return call
