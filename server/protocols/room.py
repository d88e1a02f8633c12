"""Which protocols there are. None is imported before its first call, or without its extra.

And which programs tell people outside of questions: those that the settings name.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hitl_orchestrator.domain.errors import ConfigurationError, NotFound
from hitl_orchestrator.server.links import AnswerLinks
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.settings import Settings

if TYPE_CHECKING:
    from hitl_orchestrator.server.protocols.slack import Slack

Listen = Callable[[Orchestrator], Awaitable[None]]


class Protocol(NamedTuple):
    """`module`: ours; `paths`: as Starlette writes them; `package`: what its extra brings."""

    name: str
    module: str
    paths: tuple[str, ...]
    extra: str = ""
    package: str = ""


PROTOCOLS = (
    Protocol("LangGraph's API", "agent_server.routes", ("/langgraph/{rest:path}",)),
    Protocol("AG-UI", "agui", ("/agui",), "agui", "ag_ui"),
    Protocol(
        "A2A", "a2a", ("/a2a", "/a2a/{rest:path}", "/.well-known/agent-card.json"), "a2a", "a2a"
    ),
)


def install(app: FastAPI, protocols: Iterable[Protocol] = PROTOCOLS) -> None:
    for protocol in protocols:
        opened = _Lazy(protocol)
        app.router.routes.extend(Route(path, opened) for path in protocol.paths)
    app.router.routes.append(Route("/slack", take_from_slack, methods=["POST"]))


class _Lazy:
    """A protocol's own app, made when it is first called.

    The import takes up to a second, so a thread does it.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._making: asyncio.Task[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, module, _, extra, package = self._protocol
        if package and find_spec(package) is None:
            raise NotFound(
                f"{name} is not installed here: `pip install 'hitl-orchestrator[{extra}]'`."
            )
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(_make, module))
        app = await asyncio.shield(self._making)
        await app(scope, receive, send)


def _make(module: str) -> ASGIApp:
    found = import_module(f"hitl_orchestrator.server.protocols.{module}")
    build_app: Callable[[], ASGIApp] = found.build_app
    return build_app()


async def take_from_slack(request: Request) -> Response:
    slack: Slack | None = request.app.state.slack
    if slack is None:
        raise NotFound(
            "Slack is not set up here: `pip install 'hitl-orchestrator[slack]'`, and set"
            " HITL_SLACK_TOKEN and what goes with it."
        )
    return await slack.take(request)


def find_slack(settings: Settings) -> "Slack | None":
    """Return what shows questions in Slack. Raise ConfigurationError where it cannot."""
    token, secret = settings.slack_token, settings.slack_signing_secret
    channel, operators = settings.slack_channel, settings.slack_operators
    if token and secret and channel and operators:
        check_extra(settings, "HITL_SLACK_TOKEN", "slack_sdk", "slack")
        from hitl_orchestrator.server.protocols.slack import Slack

        public_url = settings.public_url or ""
        return Slack(token, secret, channel, operators, settings.slack_url, public_url)
    if token or secret or channel or operators:
        raise ConfigurationError(
            "Slack needs all of HITL_SLACK_TOKEN, HITL_SLACK_SIGNING_SECRET, HITL_SLACK_CHANNEL"
            " and HITL_SLACK_OPERATORS: set all, or none."
        )
    return None


def find_listeners(settings: Settings, links: AnswerLinks) -> Sequence[Listen]:
    """Return what begins to tell people outside. Raise ConfigurationError where it cannot."""
    if settings.notify is None:
        return []
    check_extra(settings, "HITL_NOTIFY", "apprise", "notify")
    from hitl_orchestrator.server.protocols.notices import Notices

    return [Notices(settings.receivers, links).listen]


def check_extra(settings: Settings, name: str, package: str, extra: str) -> None:
    """Raise ConfigurationError where a setting needs more than there is."""
    if find_spec(package) is None:
        raise ConfigurationError(
            f"{name} is set, but {package} is not installed: "
            f"pip install 'hitl-orchestrator[{extra}]'."
        )
    if settings.public_url is None:
        raise ConfigurationError(
            f"{name} is set, and HITL_PUBLIC_URL is not: links need the server's address."
        )
