"""`/mcp`, which costs nothing until somebody calls it: the SDK takes a second to import."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

EXTRA = "MCP needs the extra `mcp`: pip install 'hitl-orchestrator[mcp]'"
_OpenSessions = Callable[[ASGIApp], AbstractAsyncContextManager[ASGIApp]]


class McpRoute:
    """Opens the sessions at the first call, and keeps them until `aclose`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._opened: asyncio.Future[ASGIApp] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._opened is None:
            open_sessions = await _import_sessions()
            self._opened = self._opened or self._open(open_sessions)
        await (await asyncio.shield(self._opened))(scope, receive, send)

    def _open(self, open_sessions: _OpenSessions) -> "asyncio.Future[ASGIApp]":
        opened = asyncio.get_running_loop().create_future()

        async def keep() -> None:
            """Hold the sessions: their tasks have to end in the task that they began in."""
            async with open_sessions(self._app) as sessions:
                opened.set_result(sessions)
                await self._ended.wait()

        self._keeper = asyncio.create_task(keep())
        return opened

    async def aclose(self) -> None:
        """End what still streams."""
        self._ended.set()
        if self._keeper is not None:
            await self._keeper


async def _import_sessions() -> _OpenSessions:
    """Import what is heavy, in a thread. Raise HTTPException where the extra is not installed."""
    try:
        module = await asyncio.to_thread(
            import_module, "hitl_orchestrator.server.protocols.mcp_sessions"
        )
    except ModuleNotFoundError as error:
        raise HTTPException(404, EXTRA) from error
    return module.open_sessions
