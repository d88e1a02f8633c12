"""Errors meet HTTP in one table: it is complete, and nothing of the inside gets out."""

import httpx
import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from hitl_orchestrator.domain.errors import (
    Invalid,
    OrchestratorError,
    RequestNotPending,
    StoreUnavailable,
)
from hitl_orchestrator.server.api import problems
from hitl_orchestrator.server.api.problems import PROBLEMS, read_misfit, write_problem


def tree(root: type[OrchestratorError]) -> list[type[OrchestratorError]]:
    return [
        error
        for child in root.__subclasses__()
        if child.__module__ == "hitl_orchestrator.domain.errors"
        for error in (child, *tree(child))
    ]


def test_every_error_has_its_problem() -> None:
    assert set(PROBLEMS) == set(tree(OrchestratorError))


def test_every_problem_has_a_name_of_its_own() -> None:
    assert len({problem.type for problem in PROBLEMS.values()}) == len(PROBLEMS)


def test_the_contracts_codes() -> None:
    statuses = {error.__name__: problem.status for error, problem in PROBLEMS.items()}
    assert statuses == {
        "Forbidden": 403,
        "NotFound": 404,
        "Invalid": 422,
        "NotAQuestion": 422,
        "IdempotencyKeyReused": 422,
        "Conflict": 409,
        "RequestNotPending": 409,
        "RunEnded": 409,
        "RunHeld": 409,
        "RunNotFailed": 409,
        "ThreadBusy": 409,
        "StoreUnavailable": 503,
        "Unreadable": 503,
        "Fenced": 503,
        "PutOff": 503,
        "Unfit": 503,
        "ConfigurationError": 500,
    }


def test_what_a_program_may_want_stands_beside_the_detail() -> None:
    reply = write_problem(
        RequestNotPending("Too late.", requestStatus="resolved", pendingRequestId=None)
    )
    assert reply.body == {
        "type": "urn:hitl:request-not-pending",
        "title": "Request not pending",
        "status": 409,
        "detail": "Too late.",
        "requestStatus": "resolved",
        "pendingRequestId": None,
    }
    assert "errors" not in write_problem(Invalid("No.")).body


def test_what_was_sent_is_not_repeated() -> None:
    errors = [
        {"loc": ("body", "x" * 10_000, 3), "msg": "Value error, no", "input": "secret"}
    ] * 1000
    invalid = read_misfit(RequestValidationError(errors, body="secret"))
    assert invalid.detail == f"/{'x' * 100}/3: no."
    assert len(str(write_problem(invalid).body)) < 5000
    assert "secret" not in str(write_problem(invalid).body)


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (
            StoreUnavailable("The database cannot be reached now."),
            503,
            "The database cannot be reached now.",
        ),
        (RuntimeError("SELECT password FROM users"), 500, "The server failed. Its log says why."),
        (
            OrchestratorError("a defect: it has no row in the table"),
            500,
            "The server failed. Its log says why.",
        ),
    ],
)
async def test_whatever_is_raised_becomes_a_problem(
    error: Exception, status: int, detail: str
) -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    async def fails() -> None:
        raise error

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://test"
    ) as client:
        response = await client.get("/")
    assert (response.status_code, response.json()["detail"]) == (status, detail)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert ("Retry-After" in response.headers) is (status == 503)
