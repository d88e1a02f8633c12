"""Errors meet HTTP here, in one table.

Each becomes problem+json (RFC 9457) without anything of the inside in it.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from hitl_orchestrator.domain import errors
from hitl_orchestrator.domain.errors import Invalid, OrchestratorError
from hitl_orchestrator.domain.records import JsonObject, Record

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "2"
REPLAYED = "Idempotency-Replayed"
_MOST_ERRORS, _LONGEST_PART = 20, 100


class Reply(NamedTuple):
    status: int
    body: JsonObject


class Problem(NamedTuple):
    status: int
    title: str
    type: str


PROBLEMS: dict[type[OrchestratorError], Problem] = {
    errors.Forbidden: Problem(403, "Forbidden", "forbidden"),
    errors.NotFound: Problem(404, "Not found", "not-found"),
    errors.Conflict: Problem(409, "Conflict", "conflict"),
    errors.RequestNotPending: Problem(409, "Request not pending", "request-not-pending"),
    errors.RunEnded: Problem(409, "Run already ended", "run-ended"),
    errors.RunHeld: Problem(409, "Run held", "held"),
    errors.RunNotFailed: Problem(409, "Run has not failed", "run-not-failed"),
    errors.ThreadBusy: Problem(409, "Thread busy", "thread-busy"),
    errors.Invalid: Problem(422, "Invalid request", "invalid"),
    errors.NotAQuestion: Problem(422, "Not a question", "not-a-question"),
    errors.IdempotencyKeyReused: Problem(422, "Idempotency-Key reused", "idempotency-key-reused"),
    errors.StoreUnavailable: Problem(503, "Database unavailable", "store-unavailable"),
    errors.Unreadable: Problem(503, "Written by a newer version", "unreadable"),
    errors.PutOff: Problem(503, "Left to another process", "put-off"),
    errors.Unfit: Problem(503, "No agent here that fits", "unfit"),
    errors.Fenced: Problem(503, "Taken over by another process", "fenced"),
    errors.ConfigurationError: Problem(500, "Server misconfigured", "configuration"),
}


def install(app: FastAPI) -> None:
    @app.exception_handler(OrchestratorError)
    @app.exception_handler(HTTPException)
    async def refuse_call(
        request: Request, error: OrchestratorError | HTTPException
    ) -> JSONResponse:
        return refuse(error)

    @app.exception_handler(RequestValidationError)
    async def refuse_misfit(request: Request, error: RequestValidationError) -> JSONResponse:
        return refuse(read_misfit(error))

    @app.exception_handler(ClientDisconnect)
    async def end(request: Request, error: ClientDisconnect) -> Response:
        # Nobody reads it; without it the log would have a traceback.
        return Response(status_code=400)

    @app.exception_handler(Exception)
    async def fail(request: Request, error: Exception) -> JSONResponse:
        # uvicorn logs the traceback.
        return respond(write_plain(500, "The server failed. Its log says why."))


def refuse(error: OrchestratorError | HTTPException) -> JSONResponse:
    if isinstance(error, HTTPException):
        return respond(write_plain(error.status_code, error.detail), error.headers)
    return respond(write_problem(error), {REPLAYED: "true"} if error.replayed else None)


def find_problem(error: OrchestratorError) -> Problem:
    """Return the row of the error's class, or of the nearest class it is derived from.

    Raise KeyError for one that none of the table is.
    """
    for kind in type(error).__mro__:
        if problem := PROBLEMS.get(kind):
            return problem
    raise KeyError(type(error).__name__)


def write_problem(error: OrchestratorError) -> Reply:
    status, title, type_ = find_problem(error)
    detail = title if status == HTTPStatus.INTERNAL_SERVER_ERROR else error.detail
    more = {name: value for name, value in error.more.items() if value != []}
    body: JsonObject = {
        "type": f"urn:hitl:{type_}",
        "title": title,
        "status": status,
        "detail": detail,
        **more,
    }
    return Reply(status, body)


def write_plain(status: int, detail: str) -> Reply:
    """Write a problem that is no more than its status code."""
    body: JsonObject = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    return Reply(status, body)


def read_misfit(error: RequestValidationError) -> Invalid:
    """Say what does not fit, and where; never what was sent: it may be huge, or secret."""
    wrong = [
        {"path": _write_path(one["loc"]), "message": one["msg"].removeprefix("Value error, ")}
        for one in error.errors()[:_MOST_ERRORS]
    ]
    return Invalid(f"{wrong[0]['path'] or 'The body'}: {wrong[0]['message']}.", wrong)


def _write_path(loc: tuple[str | int, ...]) -> str:
    """Write a JSON pointer into the body, or `query.limit`."""
    where, *parts = (str(part)[:_LONGEST_PART] for part in loc)
    return "".join(f"/{part}" for part in parts) if where == "body" else ".".join([where, *parts])


def show(record: Record, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Make the response of what went well, in one go from the record to the bytes."""
    return Response(record.write_json(), status, headers, JSONResponse.media_type)


def respond(reply: Reply, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Make the response of a problem."""
    is_unavailable = reply.status == HTTPStatus.SERVICE_UNAVAILABLE
    retry = {"Retry-After": RETRY_AFTER_SECONDS} if is_unavailable else {}
    media_type = MEDIA_TYPE if reply.status >= HTTPStatus.BAD_REQUEST else None
    return JSONResponse(reply.body, reply.status, {**retry, **(headers or {})}, media_type)
