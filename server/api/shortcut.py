"""The short way for the POSTs that nearly all callers make, as nearly all of them make them.

FastAPI's routing and dependencies cost such a call more than everything else that is done for it
outside the database. What has an Idempotency-Key, another query, or a body that does not fit
goes the long way, which alone says what is wrong.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from inspect import get_annotations
from types import MappingProxyType
from typing import Any, NamedTuple

from fastapi import Response
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hitl_orchestrator.domain.errors import Invalid, OrchestratorError
from hitl_orchestrator.server.api.calls import KEY, Call, Route
from hitl_orchestrator.server.api.problems import refuse
from hitl_orchestrator.server.api.routes import take_waiting_place
from hitl_orchestrator.server.body import parse_body
from hitl_orchestrator.server.callers import find_caller

# The query parameters of these POSTs, as they are usually written.
QUERY: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {"wait": re.compile("[1-5]?[0-9]|60"), "history": re.compile("true|false")}
)
ARGUMENTS = {"body", "call", "return", *QUERY}


class ShortCut:
    """Takes those of the routes that are POSTs of one path and have these arguments alone."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._ways = dict[str, _Way]()
        for route in routes:
            if isinstance(route, Route) and not route.param_convertors:
                way = _Way(route.endpoint, get_annotations(route.endpoint))
                if {*way.arguments} == ARGUMENTS:
                    self._ways[route.path] = way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        way = self._ways.get(scope["path"]) if is_post else None
        if way is None:
            await self._app(scope, receive, send)
            return
        message: Message | None = None

        async def receive_again() -> Message:
            nonlocal message
            found, message = message, None
            return found or await receive()

        try:
            message = await _receive_whole(receive)
            response = await way.go(HTTPConnection(scope), message)
        except (OrchestratorError, HTTPException) as error:
            response = refuse(error)
        await (response or self._app)(scope, receive_again, send)


class _Way(NamedTuple):
    endpoint: Callable[..., Awaitable[Response]]
    arguments: Mapping[str, Any]  # their types

    async def go(self, call: HTTPConnection, message: Message) -> Response | None:
        """Make the call. None: nothing was done, and it has to go the long way."""
        query = _read_query(call.scope["query_string"].decode("latin-1"))
        if query is None or KEY in call.headers or message["type"] != "http.request":
            return None
        body = self._read_body(call.headers.get("Content-Type"), message["body"])
        if body is None:
            return None
        wait, history = float(query.get("wait", 0)), query.get("history") != "false"
        with take_waiting_place(call, wait):
            made = Call(call.app.state.hitl, None, find_caller(call.scope))
            return await self.endpoint(body=body, call=made, wait=wait, history=history)

    def _read_body(self, content_type: str | None, raw: bytes) -> BaseModel | None:
        model: type[BaseModel] = self.arguments["body"]
        with suppress(Invalid, ValidationError):
            return model.model_validate(parse_body(content_type, raw))
        return None


async def _receive_whole(receive: Receive) -> Message:
    """Receive a body, as if it came at once; or that the client has gone."""
    message = await receive()
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return {**message, "body": b"".join(parts)}


def _read_query(raw: str) -> Mapping[str, str] | None:
    found = dict[str, str]()
    for part in raw.split("&") if raw else ():
        name, _, value = part.partition("=")
        if name in found or name not in QUERY or not QUERY[name].fullmatch(value):
            return None
        found[name] = value
    return found
