"""The routes, a module for each part of the contract's section 3. What they share is here."""

from collections.abc import Generator
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

from hitl_orchestrator.server.api.schemas import Id
from hitl_orchestrator.server.services import Services
from hitl_orchestrator.server.waiting import Waiting


def _services(request: Request) -> Services:
    return request.app.state.services


def _waiting(request: Request) -> Waiting:
    return request.app.state.waiting


def _wait(
    request: Request,
    wait: Annotated[
        float,
        Query(
            ge=0,
            le=60,
            allow_inf_nan=False,
            description="Seconds to wait until the run is neither `queued` nor `running`.",
        ),
    ] = 0,
) -> Generator[float]:
    if not wait:
        yield wait
        return
    with request.app.state.waiting_calls.taken_by(request):
        yield wait


def _stream_place(request: Request) -> Generator[None]:
    with request.app.state.streams.taken_by(request):
        yield


TheServices = Annotated[Services, Depends(_services)]
TheWaiting = Annotated[Waiting, Depends(_waiting)]
Wait = Annotated[float, Depends(_wait)]
StreamPlace = Depends(_stream_place)

RunId = Annotated[Id, Path(alias="runId", description="The id of a run.")]
RequestId = Annotated[Id, Path(alias="requestId", description="The id of a request.")]
OfThread = Annotated[Id | None, Query(alias="threadId", description="Only of this thread.")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
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
