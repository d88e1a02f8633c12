"""What stands before every route: the key, and the body's size.

And what every answer carries for a browser's sake.
"""

import asyncio
import ipaddress
from secrets import compare_digest

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hitl_orchestrator.domain.errors import OrchestratorError
from hitl_orchestrator.domain.keys import FIRST, Caller
from hitl_orchestrator.server.api.hosts import KnownHosts
from hitl_orchestrator.server.api.problems import refuse, respond, write_plain
from hitl_orchestrator.server.api.scopes import OPEN, is_covered, is_of_protocol
from hitl_orchestrator.server.callers import CALLER
from hitl_orchestrator.server.limits import OpenPlaces
from hitl_orchestrator.server.proxies import MISFIT, is_forwarded

MAX_BODY_BYTES = 2**20
PAGES = "/inbox"  # they ask for a session of their own
NO_PLACE = "Too many calls without a key are open here: try again soon, or send the key."
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
RAW_HEADERS = {name.lower().encode(): value.encode() for name, value in HEADERS.items()}


class Cancelled:
    """Answers 503 to calls that are cut off when the server ends; uvicorn would say 500.

    Nothing of such a call was done, or its Idempotency-Key knows.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except asyncio.CancelledError:
            if scope["type"] != "http" or started:
                raise
            await respond(write_plain(503, "The server is ending."))(scope, receive, send)


class SecurityHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = dict(RAW_HEADERS)
                if scope["path"].startswith("/api/"):
                    headers[b"cache-control"] = b"no-store"
                for name, _ in message["headers"]:
                    headers.pop(name, None)
                message["headers"] = [*message["headers"], *headers.items()]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class BearerKey:
    """Asks for the key on all of /api, whether the route exists or not, and for other protocols.

    And on /metrics, of another machine. What is open without the key is open by known names alone.
    Whoever shows a key is `scope[CALLER]` from here on; its scopes cover what it asks for.
    """

    def __init__(self, app: ASGIApp, key: str, hosts: KnownHosts) -> None:
        self._app = app
        self._key = key.encode()
        self._hosts = hosts
        self._places = OpenPlaces()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if MISFIT in scope:
            await respond(write_plain(400, scope[MISFIT]))(scope, receive, send)
            return
        key = _find_key(Headers(scope=scope))
        try:
            caller = await self._identify(scope, key)
            refusal = await self._refuse(scope, caller)
        except OrchestratorError as error:  # the database is away, and with it who has keys
            refusal, caller = refuse(error), None
        if refusal:
            await refusal(scope, receive, send)
        elif caller:
            scope[CALLER] = caller
            await self._app(scope, receive, send)
        elif scope["path"].startswith(PAGES):
            await self._app(scope, receive, send)
        else:
            with self._places.taken_for(scope["path"]) as has_place:
                app = self._app if has_place else respond(write_plain(503, NO_PLACE))
                await app(scope, receive, send)

    async def _identify(self, scope: Scope, key: bytes) -> Caller | None:
        """Find who shows that key. The first one is known without a look into the database."""
        if not key or not self._key:  # no key is no key
            return None
        if compare_digest(key, self._key):
            return FIRST
        if not _needs_key(scope):  # what is open is open while the database is away, too
            return None
        return await scope["app"].state.hitl.identify(key.decode("latin-1"))

    async def _refuse(self, scope: Scope, caller: Caller | None) -> Response | None:
        """Refuse a call that has no key, or one whose scopes do not cover it.

        A page that came here by another name does not know the key.
        """
        if caller:
            if caller is FIRST:
                return None
            hitl, method, path = scope["app"].state.hitl, scope["method"], scope["path"]
            if await is_covered(hitl, caller, method, path):
                return None
            return respond(write_plain(403, f"The key {caller.name} may not do that."))
        if not self._hosts.has(scope):
            return respond(
                write_plain(
                    421, "The server is not known by that Host: name it in HITL_ALLOWED_HOSTS."
                )
            )
        if _needs_key(scope):
            return respond(
                write_plain(
                    401,
                    "The key is missing or wrong: send `Authorization: Bearer <API_KEY>`, "
                    "or the key as `x-api-key`.",
                ),
                {"WWW-Authenticate": "Bearer"},
            )
        return None


class BodyLimit:
    """Limits a body by what arrives, whatever it says it has.

    Whoever reads the body meets the exception.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0

        async def receive_within_limit() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY_BYTES:
                raise HTTPException(413, f"The body has more than {MAX_BODY_BYTES} bytes.")
            return message

        await self._app(scope, receive_within_limit, send)


def _find_key(headers: Headers) -> bytes:
    """Return the key that a call shows, as a bearer or in a header of its own; empty: none."""
    scheme, _, rest = headers.get("Authorization", "").partition(" ")
    key = rest if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    return key.strip().encode("latin-1")


def _needs_key(scope: Scope) -> bool:
    path: str = scope["path"]
    return (
        path == "/api"
        or path.startswith("/api/")
        or (is_of_protocol(path) and path not in OPEN)
        or (path == "/metrics" and not _is_local(scope))
    )


def _is_local(scope: Scope) -> bool:
    """Tell whether the call began on this machine, as far as can be seen."""
    if is_forwarded(scope):
        return False
    try:
        address = ipaddress.ip_address((scope.get("client") or ("", 0))[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
