"""A POST: its body read strictly, its call of the door made once, its answer shaped."""

import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, NoReturn

from fastapi import Depends, Header, Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Query
from fastapi.routing import APIRoute

from hitl_orchestrator.domain.errors import Invalid, OrchestratorError
from hitl_orchestrator.domain.hitl import Person
from hitl_orchestrator.domain.keys import Caller
from hitl_orchestrator.domain.ports import Once, RunRef
from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.domain.run import drop_history
from hitl_orchestrator.server.api.problems import (
    REPLAYED,
    find_problem,
    read_misfit,
    show,
)
from hitl_orchestrator.server.api.schemas import Resumed
from hitl_orchestrator.server.body import parse_body
from hitl_orchestrator.server.callers import find_caller
from hitl_orchestrator.server.orchestrator import Done, Orchestrator

KEY = "Idempotency-Key"
KEY_PATTERN = "^[ -~]{1,255}$"


class Route(APIRoute):
    """Reads a body strictly, knows all its query parameters, and keeps a refusal for its key."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            call = _StrictRequest(request.scope, request.receive)
            try:
                if self.body_field:
                    content_type = call.headers.get("Content-Type")
                    call.parsed = parse_body(content_type, await call.body())
                self._check_query(call)
            except Invalid as error:
                await _refuse(call, error)
            try:
                return await handle(call)
            except RequestValidationError as error:
                await _refuse(call, read_misfit(error))

        return handle_strictly

    def _check_query(self, request: Request) -> None:
        parameters = get_flat_params(self.dependant)
        known = {one.alias for one in parameters if isinstance(one.field_info, Query)}
        if unknown := sorted(set(request.query_params) - known):
            there_are = ", ".join(sorted(known)) or "none"
            raise Invalid(f"Unknown query parameter {unknown[0][:100]!a}. There are: {there_are}.")


class _StrictRequest(Request):
    parsed: Json

    async def json(self) -> Json:
        return self.parsed


@dataclass(frozen=True)
class Call:
    hitl: Orchestrator
    once: Once | None
    caller: Caller

    async def log(
        self,
        name: str,
        ref: RunRef,
        request_id: str | None,
        operator: Person | None,
        act: Awaitable[Done],
    ) -> Done:
        """Await the act, and log how it was answered, also where it was refused."""
        try:
            done = await act
        except OrchestratorError as error:
            status = find_problem(error).status
            self._log(name, ref, request_id, operator, status, error.replayed)
            raise
        known = RunRef(done.run.runId, done.run.threadId)
        self._log(name, known, request_id, operator, 200, done.replayed)
        return done

    def _log(
        self,
        name: str,
        ref: RunRef,
        request_id: str | None,
        operator: Person | None,
        status: int,
        replayed: bool,
    ) -> None:
        self.hitl.log(
            name,
            runId=ref.run_id,
            threadId=ref.thread_id,
            requestId=request_id,
            operatorId=operator and operator.id,
            status=status,
            replayed=replayed or None,
        )


def respond_run(done: Done, history: bool, status: int = 200) -> Response:
    run = done.run if history else drop_history(done.run)
    return show(run, status, tell_replay(done))


def respond_decided(done: Done, history: bool) -> Response:
    run = done.run if history else drop_history(done.run)
    return show(Resumed.of(run), 200, tell_replay(done))


def tell_replay(done: Done) -> dict[str, str] | None:
    return {REPLAYED: "true"} if done.replayed else None


async def _name_call(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias=KEY,
            pattern=KEY_PATTERN,
            description="Repeats of this call within 24 hours get its answer, and do nothing.",
        ),
    ] = None,
) -> Call:
    """Give the call its name: the same key means the same only with the same path and body."""
    caller = find_caller(request.scope)
    if not key:
        return Call(request.app.state.hitl, None, caller)
    digest = sha256(request.url.path.encode() + b"\n" + await request.body()).hexdigest()
    route = f"{request.method} {request.scope['route'].path}"
    if caller.name is not None:  # of two callers each has names of its own for its calls
        route = f"{caller.name}: {route}"
    return Call(request.app.state.hitl, Once(route, key, digest), caller)


TheCall = Annotated[Call, Depends(_name_call)]


async def _refuse(request: Request, error: Invalid) -> NoReturn:
    key = request.headers.get(KEY, "")
    if request.method == "POST" and re.match(KEY_PATTERN, key):
        call = await _name_call(request, key)
        if call.once:
            await call.hitl.refuse(error, call.once)
    raise error
