"""Human in the loop: what waits, and what people decide."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hitl_orchestrator.checkpoints.transaction import PgTransaction
from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.hitl import HitlRequest, Urgency
from hitl_orchestrator.graph import runs
from hitl_orchestrator.server.api.once import Route, TheCall
from hitl_orchestrator.server.api.openapi import EVENTS, problems
from hitl_orchestrator.server.api.problems import shown
from hitl_orchestrator.server.api.routes import (
    Cursor,
    LastEventId,
    Limit,
    OfThread,
    RequestId,
    StreamPlace,
    TheServices,
    TheWaiting,
    Wait,
)
from hitl_orchestrator.server.api.schemas import Id, PausedRun, Queue, Remove, Resume, Resumed
from hitl_orchestrator.server.api.sse import HEADERS, EventStream, events

router = APIRouter(prefix="/api/hitl", tags=["Human in the loop"], route_class=Route)


@router.get(
    "/pending",
    response_model=Queue,
    responses=problems(422),
    response_description="A page of paused runs.",
)
async def list_pending(
    services: TheServices,
    agent: Annotated[
        Id | None, Query(description="Only runs with a pending request of this agent.")
    ] = None,
    urgency: Annotated[
        Urgency | None, Query(description="Only runs with a pending request that urgent.")
    ] = None,
    thread_id: OfThread = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Paused runs with their pending requests, most urgent first, then oldest."""
    page = await services.store.waiting(agent, urgency, thread_id, limit, cursor)
    return shown(
        Queue(
            runs=tuple(PausedRun.of(run, pending) for run, pending in page.rows),
            nextCursor=page.next_cursor,
        )
    )


@router.post(
    "/resume",
    response_model=Resumed,
    responses=problems(404, 409, 413, 422),
    response_description="It is durable.",
)
async def resume(body: Resume, call: TheCall, wait: Wait) -> Response:
    """Answer pending requests of a run: all responses are taken, or none. The answer is durable
    with the 200; the run goes on by itself.
    """

    async def answer(tx: PgTransaction) -> str:
        return await runs.answer(tx, body.ref, body.requestId, body.given(await tx.now()), body.by)

    done = await call.perform(answer, Resumed.of, wait_seconds=wait)
    call.log("hitl_resume_api", done, body.ref, body.requestId, body.operator)
    return done.response


@router.post(
    "/remove",
    response_model=Resumed,
    responses=problems(404, 409, 413, 422),
    response_description="It is cancelled.",
)
async def remove(body: Remove, call: TheCall, wait: Wait) -> Response:
    """Deny a pending request (the oldest, if none is named) and cancel its run; its other pending
    requests are denied with it.
    """

    async def deny(tx: PgTransaction) -> str:
        return await runs.remove(tx, body.ref, body.requestId, body.reason, body.by)

    done = await call.perform(deny, Resumed.of, wait_seconds=wait)
    call.log("hitl_cancel_api", done, body.ref, body.requestId, body.operator)
    return done.response


@router.get(
    "/requests/{requestId}",
    response_model=HitlRequest,
    responses=problems(404, 422),
    response_description="The request.",
)
async def show_request(request_id: RequestId, services: TheServices) -> Response:
    """One request with its responses."""
    return shown(await services.store.request(request_id))


@router.get(
    "/events",
    response_class=EventStream,
    responses=problems(422) | EVENTS,
    dependencies=[StreamPlace],
)
async def queue_events(
    services: TheServices, waiting: TheWaiting, last_event_id: LastEventId = None
) -> Response:
    """Questions, answers and ends of all runs as server-sent events: what is new from now on, or
    after `Last-Event-ID`.
    """
    last = await services.store.last_queue_frame()
    after = int(last_event_id) if last_event_id else last
    if after > last:
        raise Invalid(f"`Last-Event-ID` {after} is no event of the queue.")
    return EventStream(
        events(waiting, None, lambda seq: services.store.queue_frames(seq, 50), after),
        headers=HEADERS,
    )
