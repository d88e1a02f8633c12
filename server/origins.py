"""Pages of other origins: they may call what asks for a key, where the settings name them."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

SHOWN = ("Content-Location", "Location", "Idempotency-Replayed", "Retry-After")
PATHS = ("/api/", "/langgraph/", "/agui", "/a2a", "/mcp")


class OtherOrigins:
    """Lets the browser know who may. Keys come in headers; a cookie is never taken along."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._shared = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=("*",),
            expose_headers=SHOWN,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_shared = scope["type"] == "http" and scope["path"].startswith(PATHS)
        await (self._shared if is_shared else self._app)(scope, receive, send)
