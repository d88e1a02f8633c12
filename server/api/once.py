"""A POST: its body read strictly, its use case run in one transaction, and with an Idempotency-Key
only once.
"""

import re
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Header, Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Query
from fastapi.routing import APIRoute

from hitl_orchestrator.checkpoints.idempotency import Once, Reply
from hitl_orchestrator.checkpoints.transaction import PgTransaction
from hitl_orchestrator.domain.errors import Conflict, Invalid, NotFound, StoreUnavailable
from hitl_orchestrator.domain.hitl import Person
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.records import Json, Record
from hitl_orchestrator.domain.run import Run
from hitl_orchestrator.server.api import body
from hitl_orchestrator.server.api.problems import misfit, refusal, response
from hitl_orchestrator.server.services import Services
from hitl_orchestrator.server.waiting import Waiting

KEY = "Idempotency-Key"
KEY_PATTERN = "^[ -~]{1,255}$"

Act = Callable[[PgTransaction], Awaitable[str]]  # a use case; returns the run's id
Shown = Callable[[Run], Record]


class Route(APIRoute):
    """Reads a body strictly, knows all its query parameters, and keeps a refusal for an
    Idempotency-Key as any other answer.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            call = _StrictRequest(request.scope, request.receive)
            try:
                if self.body_field:
                    call.parsed = body.parse(call.headers.get("Content-Type"), await call.body())
                self._check_query(call)
                return await handle(call)
            except RequestValidationError as error:
                return await _refused(call, misfit(error))
            except Invalid as error:
                return await _refused(call, error)

        return strictly

    def _check_query(self, request: Request) -> None:
        known = {
            one.alias
            for one in get_flat_params(self.dependant)
            if isinstance(one.field_info, Query)
        }
        if unknown := sorted(set(request.query_params) - known):
            raise Invalid(
                f"Unknown query parameter {unknown[0][:100]!a}. There are: {', '.join(sorted(known)) or 'none'}."
            )


class _StrictRequest(Request):
    parsed: Json

    async def json(self) -> Json:
        return self.parsed


class Done(NamedTuple):
    reply: Reply
    replayed: bool = False

    @property
    def response(self) -> Response:
        return response(self.reply, {"Idempotency-Replayed": "true"} if self.replayed else None)


@dataclass(frozen=True)
class Call:
    services: Services
    waiting: Waiting
    once: Once | None

    async def perform(
        self, act: Act, shown: Shown, status: int = 200, wait_seconds: float = 0
    ) -> Done:
        """Answers what it came to, a refusal too, once that is durable. Raises StoreUnavailable,
        IdempotencyKeyReused.
        """
        async with self.services.store.transaction() as tx:
            if self.once and (kept := await tx.kept(self.once)):
                return Done(kept, replayed=True)
            run, reply = await _tried(tx, act, shown, status)
            if self.once:
                await tx.keep(self.once, reply)
        self.services.drivers.start(tx.claims)
        if run is None or not wait_seconds:
            return Done(reply)
        # what was asked for is done; only the waiting is cut short
        with suppress(StoreUnavailable):
            reply = Reply(
                status,
                shown(
                    await self.waiting.at_rest(self.services.store, run.runId, wait_seconds)
                ).json_object(),
            )
            if self.once:
                async with self.services.store.transaction() as tx:
                    await tx.keep(self.once, reply)
        return Done(reply)

    def log(
        self, name: str, done: Done, ref: RunRef, request_id: str | None, operator: Person | None
    ) -> None:
        self.services.telemetry.log(
            name,
            runId=ref.run_id or _text(done.reply, "runId"),
            threadId=ref.thread_id or _text(done.reply, "threadId"),
            requestId=request_id,
            operatorId=operator and operator.id,
            status=done.reply.status,
            replayed=done.replayed or None,
        )


async def _tried(
    tx: PgTransaction, act: Act, shown: Shown, status: int
) -> tuple[Run | None, Reply]:
    """The run as it will be, or None and why it was refused; then nothing is left of the try."""
    try:
        async with tx.savepoint():
            run = await tx.show(await act(tx))
            return run, Reply(status, shown(run).json_object())
    except (NotFound, Invalid, Conflict) as error:
        return None, refusal(error)


async def called(
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
    """The same key means the same call only with the same path and body."""
    digest = sha256(request.url.path.encode() + b"\n" + await request.body()).hexdigest()
    once = Once(f"{request.method} {request.scope['route'].path}", key, digest) if key else None
    return Call(request.app.state.services, request.app.state.waiting, once)


TheCall = Annotated[Call, Depends(called)]


def _text(reply: Reply, name: str) -> str | None:
    return str(reply.body[name]) if name in reply.body else None


async def _refused(request: Request, error: Invalid) -> Response:
    key = request.headers.get(KEY, "")
    if request.method != "POST" or not re.match(KEY_PATTERN, key):
        raise error

    async def refuse(tx: PgTransaction) -> str:
        raise error

    call = await called(request, key)
    return (await call.perform(refuse, lambda run: run)).response
