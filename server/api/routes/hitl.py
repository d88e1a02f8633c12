"""Human in the loop: what waits, and what people decide."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.hitl import (
    NOBODY,
    AnsweredRequest,
    HitlRequest,
    QueueCounts,
    RequestStatus,
    Urgency,
)
from hitl_orchestrator.domain.outside import OUTSIDE, OutsideAgent
from hitl_orchestrator.server.api.calls import Route, TheCall, respond_decided, tell_replay
from hitl_orchestrator.server.api.openapi import EVENTS, problems
from hitl_orchestrator.server.api.problems import show
from hitl_orchestrator.server.api.routes import (
    Cursor,
    History,
    LastEventId,
    Limit,
    OfThread,
    Prefix,
    RequestId,
    StreamPlace,
    TheOrchestrator,
    Wait,
    WaitForAnswer,
)
from hitl_orchestrator.server.api.schemas import (
    AskOutside,
    Deny,
    Id,
    PausedRun,
    Queue,
    Remove,
    Requests,
    Resume,
    Resumed,
    SearchText,
)
from hitl_orchestrator.server.sse import EventStream, stream_events

router = APIRouter(prefix="/api/hitl", tags=["Human in the loop"], route_class=Route)


@router.get(
    "/pending",
    response_model=Queue,
    responses=problems(422),
    response_description="A page of paused runs.",
)
async def list_pending(
    hitl: TheOrchestrator,
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
    """List paused runs with their pending requests, most urgent first, then oldest."""
    page = await hitl.pending(agent, urgency, thread_id, limit, cursor)
    runs = tuple(PausedRun.of(run, pending) for run, pending in page.rows)
    return show(Queue(runs=runs, nextCursor=page.next_cursor))


@router.post(
    "/resume",
    response_model=Resumed,
    responses=problems(404, 409, 413, 422),
    response_description="It is durable.",
)
async def resume(body: Resume, call: TheCall, wait: Wait, history: History = True) -> Response:
    """Answer pending requests of a run: all responses are taken, or none.

    The answer is durable with the 200; the run goes on by itself.
    """
    by = call.caller.sign(body.by, body.responder)
    responses = call.caller.sign_responses(body.read_responses(by.operator))
    act = call.hitl.answer(body.ref, body.requestId, responses, by, call.once, wait)
    done = await call.log("hitl_resume_api", body.ref, body.requestId, by.operator, act)
    return respond_decided(done, history)


@router.post(
    "/remove",
    response_model=Resumed,
    responses=problems(404, 409, 413, 422),
    response_description="It is cancelled.",
)
async def remove(body: Remove, call: TheCall, wait: Wait, history: History = True) -> Response:
    """Deny a pending request (the oldest, if none is named) and cancel its run.

    The run's other pending requests are denied with it.
    """
    by = call.caller.sign(body.by)
    act = call.hitl.remove(body.ref, body.requestId, body.reason, by, call.once, wait)
    done = await call.log("hitl_cancel_api", body.ref, body.requestId, by.operator, act)
    return respond_decided(done, history)


@router.post(
    "/deny",
    response_model=Resumed,
    responses=problems(404, 409, 413, 422),
    response_description="It is durable.",
)
async def deny(body: Deny, call: TheCall, wait: Wait, history: History = True) -> Response:
    """Deny one pending request with a reason; the run goes on, as after a guard's denial.

    The run's other pending requests stay as they are.
    """
    by = call.caller.sign(body.by)
    act = call.hitl.deny(body.ref, body.requestId, body.reason, by, call.once, wait)
    done = await call.log("hitl_deny_api", body.ref, body.requestId, by.operator, act)
    return respond_decided(done, history)


@router.post(
    "/requests",
    status_code=202,
    response_model=HitlRequest,
    responses=problems(409, 413, 422),
    response_description="The request.",
)
async def ask(body: AskOutside, call: TheCall) -> Response:
    """Ask, from wherever the agent runs.

    The request waits in the queue; where a guard says no, it is born `denied`. Wait for its
    `answer` by `GET /api/hitl/requests/{requestId}?wait=60`.
    """
    name = body.originAgent or call.caller.name or OUTSIDE
    group = body.group and f"{call.caller.name or ''}/{body.group}"
    by = call.caller.sign(NOBODY)
    callback = body.read_callback(call.hitl.webhook_secret)
    asker = OutsideAgent(name, group)
    done = await call.hitl.ask(asker, body.read(), call.once, by, callback)
    return show(done.run.requests[0], 202, tell_replay(done))


@router.get(
    "/requests",
    response_model=Requests,
    responses=problems(422),
    response_description="A page of requests.",
)
async def list_requests(
    hitl: TheOrchestrator,
    status: Annotated[RequestStatus | None, Query(description="Only in this status.")] = None,
    agent: Annotated[Id | None, Query(description="Only of this agent.")] = None,
    urgency: Annotated[Urgency | None, Query(description="Only of this urgency.")] = None,
    q: Annotated[
        SearchText | None,
        Query(
            description="Only with this text in the question, its context, or the action's name, "
            "in upper or lower case."
        ),
    ] = None,
    prefix: Prefix = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List requests of all runs.

    Pending ones come in the queue's order, most urgent first, then oldest; then the others, newest
    first.
    """
    page = await hitl.requests(status, agent, urgency, q, limit, cursor, prefix)
    return show(Requests(requests=tuple(page.rows), nextCursor=page.next_cursor))


# Before `/requests/{requestId}`, which it would be otherwise.
@router.get(
    "/requests/counts",
    response_model=QueueCounts,
    responses=problems(),
    response_description="The counts.",
)
async def count_requests(hitl: TheOrchestrator) -> Response:
    """Count the pending requests of all runs, by agent and by urgency."""
    return show(await hitl.counts())


@router.get(
    "/requests/{requestId}",
    response_model=AnsweredRequest,
    responses=problems(404, 422),
    response_description="The request.",
)
async def show_request(
    request_id: RequestId, hitl: TheOrchestrator, wait: WaitForAnswer
) -> Response:
    """Show one request with its responses, and with the answer that its agent gets.

    With `wait`, once it is not pending any more, or after so many seconds.
    """
    return show(await hitl.request(request_id, wait))


@router.get(
    "/events",
    response_class=EventStream,
    responses=problems(422) | EVENTS,
    dependencies=[StreamPlace],
)
async def queue_events(hitl: TheOrchestrator, last_event_id: LastEventId = None) -> Response:
    """Send questions, answers and ends of all runs as server-sent events.

    What is new from now on, or after `Last-Event-ID`.
    """
    last = await hitl.last_queue_frame()
    after = int(last_event_id) if last_event_id else last
    if after > last:
        raise Invalid(f"`Last-Event-ID` {after} is no event of the queue.")
    return stream_events(hitl.queue_batches(after))
