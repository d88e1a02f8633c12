"""The ASGI app: read it downward."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import cache
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.server.api import problems
from hitl_orchestrator.server.api.docs import build_docs_page
from hitl_orchestrator.server.api.gate import BearerKey, BodyLimit, Cancelled, SecurityHeaders
from hitl_orchestrator.server.api.hosts import KnownHosts
from hitl_orchestrator.server.api.openapi import ABOUT, describe
from hitl_orchestrator.server.api.routes import agents, hitl, operations, runs
from hitl_orchestrator.server.api.shortcut import ShortCut
from hitl_orchestrator.server.inbox import room
from hitl_orchestrator.server.limits import STREAMS, WAITING_CALLS, Places
from hitl_orchestrator.server.links import AnswerLinks
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.origins import OtherOrigins
from hitl_orchestrator.server.protocols import room as protocols
from hitl_orchestrator.server.protocols.mcp_route import McpRoute
from hitl_orchestrator.server.proxies import BehindProxy, find_root_path
from hitl_orchestrator.server.settings import Settings


def create_app(
    settings: Settings, wait_turn: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> FastAPI:
    """Make the app. Its lifespan opens `app.state.hitl`, the door.

    `wait_turn`: the pause between two sweeps.
    Whoever stops the server calls `app.state.hitl.end_waits()` first, so that streams end.
    Raise ConfigurationError without a key, or where a setting needs more than there is.
    """
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    if not key:
        raise ConfigurationError("API_KEY is not set.")
    links = AnswerLinks(key, settings.public_url or "", settings.receivers)
    slack = protocols.find_slack(settings)
    listeners = [*protocols.find_listeners(settings, links), *([slack.listen] if slack else ())]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with Orchestrator.open(settings, wait_turn) as hitl, aclosing(mcp):
            app.state.hitl = hitl
            for listen in listeners:
                await listen(hitl)
            yield

    app = FastAPI(
        title="HITL Orchestrator",
        version=version("hitl-orchestrator"),
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        telemetry={"logs": False},  # they would repeat what did not fit, answers among it
    )
    mcp = McpRoute(app)
    app.state.slack = slack
    app.state.streams = Places("event streams", STREAMS)
    app.state.waiting_calls = Places("waiting calls", WAITING_CALLS)

    # The last added is the first to be passed.
    app.add_middleware(ShortCut, routes=[*runs.router.routes, *hitl.router.routes])
    app.add_middleware(BodyLimit)
    hosts = KnownHosts(settings.host, settings.allowed_hosts)
    app.add_middleware(BearerKey, key=key, hosts=hosts)
    app.add_middleware(Cancelled)
    app.add_middleware(SecurityHeaders)
    if settings.cors_origins:
        app.add_middleware(OtherOrigins, origins=settings.cors_origins)
    app.add_middleware(BehindProxy, settings=settings)
    problems.install(app)

    app.include_router(runs.router)
    app.include_router(hitl.router)
    app.include_router(agents.router)
    app.include_router(operations.router)
    describe(app, settings.root_path)
    room.install(app, key, links)
    protocols.install(app)
    app.router.routes.append(Route("/mcp", mcp))

    @cache  # made once: it takes the loop for a moment, and needs no key
    def build_docs() -> HTMLResponse:
        return build_docs_page(app.openapi())

    @cache
    def write_openapi() -> bytes:
        return json.dumps(app.openapi(), ensure_ascii=False).encode()

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return build_docs()

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return Response(write_openapi(), media_type="application/json")

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> RedirectResponse:
        return RedirectResponse(f"{find_root_path(request.scope)}/inbox")

    return app
