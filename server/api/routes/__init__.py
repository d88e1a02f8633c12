"""The routes of the API. What they share is here."""

from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request, params
from starlette.requests import HTTPConnection

from hitl_orchestrator.server.api.schemas import Id
from hitl_orchestrator.server.orchestrator import Orchestrator

# All are `async`: FastAPI runs a synchronous dependency in a thread of its own.


async def _get_orchestrator(request: Request) -> Orchestrator:
    return request.app.state.hitl


def _describe_wait(until: str) -> params.Query:
    description = f"Seconds to wait until {until}."
    return Query(ge=0, le=60, allow_inf_nan=False, description=description)


async def _wait_for_run(
    request: Request,
    wait: Annotated[float, _describe_wait("the run is neither `queued` nor `running`")] = 0,
) -> AsyncGenerator[float]:
    with take_waiting_place(request, wait):
        yield wait


async def _wait_for_request(
    request: Request,
    wait: Annotated[float, _describe_wait("the request is not `pending`")] = 0,
) -> AsyncGenerator[float]:
    with take_waiting_place(request, wait):
        yield wait


def take_waiting_place(call: HTTPConnection, wait: float) -> AbstractContextManager[None]:
    """Count the call among those that wait, if it does."""
    return call.app.state.waiting_calls.taken_by(call) if wait else nullcontext()


async def _take_stream_place(request: Request) -> AsyncGenerator[None]:
    with request.app.state.streams.taken_by(request):
        yield


TheOrchestrator = Annotated[Orchestrator, Depends(_get_orchestrator)]
Wait = Annotated[float, Depends(_wait_for_run)]
WaitForAnswer = Annotated[float, Depends(_wait_for_request)]
StreamPlace = Depends(_take_stream_place)

RunId = Annotated[Id, Path(alias="runId", description="The id of a run.")]
RequestId = Annotated[Id, Path(alias="requestId", description="The id of a request.")]
OfThread = Annotated[Id | None, Query(alias="threadId", description="Only of this thread.")]
Prefix = Annotated[Id | None, Query(description="Only those whose id begins so.")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
History = Annotated[
    bool,
    Query(
        description="False: without what is over, so that a reply does not grow with its run. "
        "`requests` has the pending ones alone; `responses` and `metadata.auditLog` are empty."
    ),
]
Cursor = Annotated[
    str | None, Query(max_length=1000, description="`nextCursor` of the page before.")
]
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern="^[0-9]{1,18}$",
        description="`id` of the last event that arrived; what came after it is sent.",
    ),
]
