"""Errors meet HTTP here, in one table. Each becomes problem+json (RFC 9457) without anything of the
inside in it.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from hitl_orchestrator.checkpoints.idempotency import Reply
from hitl_orchestrator.domain import errors
from hitl_orchestrator.domain.errors import Invalid, OrchestratorError
from hitl_orchestrator.domain.records import Record

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "2"
_MOST_ERRORS, _LONGEST_PART = 20, 100


class Problem(NamedTuple):
    status: int
    title: str
    type: str


PROBLEMS: dict[type[OrchestratorError], Problem] = {
    errors.NotFound: Problem(404, "Not found", "not-found"),
    errors.Conflict: Problem(409, "The state has moved on", "conflict"),
    errors.RequestNotPending: Problem(
        409, "The request is not pending any more", "request-not-pending"
    ),
    errors.RunEnded: Problem(409, "The run has ended", "run-ended"),
    errors.ThreadBusy: Problem(409, "The thread has an active run", "thread-busy"),
    errors.Invalid: Problem(422, "It does not fit", "invalid"),
    errors.NotAQuestion: Problem(422, "Not a question", "not-a-question"),
    errors.IdempotencyKeyReused: Problem(
        422, "The Idempotency-Key was used for something else", "idempotency-key-reused"
    ),
    errors.StoreUnavailable: Problem(503, "The database is out of reach", "store-unavailable"),
    errors.Fenced: Problem(503, "Another process took over", "fenced"),
    errors.ConfigurationError: Problem(500, "The server is not set up right", "configuration"),
}


def install(app: FastAPI) -> None:
    @app.exception_handler(OrchestratorError)
    async def refused(request: Request, error: OrchestratorError) -> JSONResponse:
        return response(refusal(error))

    @app.exception_handler(RequestValidationError)
    async def misfitting(request: Request, error: RequestValidationError) -> JSONResponse:
        return response(refusal(misfit(error)))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return response(plain(error.status_code, error.detail), error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        # nobody reads it; without it the log would have a traceback
        return Response(status_code=400)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        # uvicorn logs the traceback
        return response(plain(500, "The server failed. Its log says why."))


def refusal(error: OrchestratorError) -> Reply:
    status, title, type_ = PROBLEMS[type(error)]
    detail = title if status == HTTPStatus.INTERNAL_SERVER_ERROR else error.detail
    more = {name: value for name, value in error.more.items() if value != []}
    return Reply(
        status,
        {"type": f"urn:hitl:{type_}", "title": title, "status": status, "detail": detail, **more},
    )


def plain(status: int, detail: str) -> Reply:
    """A problem that is no more than its status code."""
    return Reply(
        status,
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
        },
    )


def misfit(error: RequestValidationError) -> Invalid:
    """What does not fit, and where. What was sent is not repeated: it may be huge, or secret."""
    wrong = [
        {"path": _path(one["loc"]), "message": one["msg"].removeprefix("Value error, ")}
        for one in error.errors()[:_MOST_ERRORS]
    ]
    return Invalid(f"{wrong[0]['path'] or 'The body'}: {wrong[0]['message']}.", wrong)


def _path(loc: tuple[str | int, ...]) -> str:
    """A JSON pointer into the body, or `query.limit`."""
    where, *parts = (str(part)[:_LONGEST_PART] for part in loc)
    return "".join(f"/{part}" for part in parts) if where == "body" else ".".join([where, *parts])


def shown(record: Record) -> JSONResponse:
    return response(Reply(200, record.json_object()))


def response(reply: Reply, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Of any reply, good or bad."""
    more = (
        {"Retry-After": RETRY_AFTER_SECONDS}
        if reply.status == HTTPStatus.SERVICE_UNAVAILABLE
        else {}
    )
    media_type = MEDIA_TYPE if reply.status >= HTTPStatus.BAD_REQUEST else None
    return JSONResponse(reply.body, reply.status, {**more, **(headers or {})}, media_type)
