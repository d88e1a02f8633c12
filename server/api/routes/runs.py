"""Runs: start, look, cancel, retry, listen; and who can be planned with."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hitl_orchestrator.domain.hitl import NOBODY
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.run import Run, RunStatus, drop_history
from hitl_orchestrator.server.api.calls import Route, TheCall, respond_run
from hitl_orchestrator.server.api.openapi import EVENTS, problems
from hitl_orchestrator.server.api.problems import show
from hitl_orchestrator.server.api.routes import (
    Cursor,
    History,
    LastEventId,
    Limit,
    OfThread,
    Prefix,
    RunId,
    StreamPlace,
    TheOrchestrator,
    Wait,
)
from hitl_orchestrator.server.api.schemas import (
    Cancel,
    Capabilities,
    Retry,
    Runs,
    ShownCapability,
)
from hitl_orchestrator.server.new_run import StartRun
from hitl_orchestrator.server.sse import EventStream, stream_events

router = APIRouter(prefix="/api", tags=["Runs"], route_class=Route)


@router.post(
    "/runs",
    status_code=202,
    response_model=Run,
    responses=problems(409, 413, 422),
    response_description="The run.",
)
async def start_run(body: StartRun, call: TheCall, wait: Wait, history: History = True) -> Response:
    """Start a run. It goes on by itself.

    Follow it with `wait`, by `GET /api/runs/{runId}`, or by its events.
    """
    done = await call.hitl.start(body.read(), call.once, wait, call.caller.sign(NOBODY))
    return respond_run(done, history, 202)


@router.get(
    "/runs", response_model=Runs, responses=problems(422), response_description="A page of runs."
)
async def list_runs(
    hitl: TheOrchestrator,
    status: Annotated[RunStatus | None, Query(description="Only in this status.")] = None,
    thread_id: OfThread = None,
    prefix: Prefix = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    history: History = True,
) -> Response:
    """List runs, newest first."""
    page = await hitl.runs(status, thread_id, limit, cursor, prefix)
    rows = page.rows if history else map(drop_history, page.rows)
    return show(Runs(runs=tuple(rows), nextCursor=page.next_cursor))


@router.get(
    "/runs/{runId}",
    response_model=Run,
    responses=problems(404, 422),
    response_description="The run.",
)
async def show_run(
    run_id: RunId, hitl: TheOrchestrator, wait: Wait, history: History = True
) -> Response:
    """Show one run, with its plan, facets, requests, responses and audit log."""
    run = await hitl.run(run_id, wait)
    return show(run if history else drop_history(run))


@router.post(
    "/runs/{runId}/cancel",
    response_model=Run,
    responses=problems(404, 409, 413, 422),
    response_description="The cancelled run.",
)
async def cancel_run(
    run_id: RunId, body: Cancel, call: TheCall, history: History = True
) -> Response:
    """Stop a queued, running or paused run. Its pending requests are denied with the reason.

    Work of a synchronous agent cannot be stopped: until it ends, the run is `stillWorking`.
    """
    ref = RunRef(run_id)
    by = call.caller.sign(body.by)
    act = call.hitl.cancel(ref, body.reason, by, call.once)
    done = await call.log("hitl_cancel_api", ref, None, by.operator, act)
    return respond_run(done, history)


@router.post(
    "/runs/{runId}/retry",
    status_code=202,
    response_model=Run,
    responses=problems(404, 409, 413, 422),
    response_description="The run, queued again.",
)
async def retry_run(
    run_id: RunId, body: Retry, call: TheCall, wait: Wait, history: History = True
) -> Response:
    """Let a failed run go on. Its failed steps go on from their own checkpoints.

    Finished nodes, answers and decisions stay: nothing is asked or done again that was.
    """
    ref = RunRef(run_id)
    by = call.caller.sign(body.by)
    act = call.hitl.retry(ref, by, call.once, wait)
    done = await call.log("hitl_retry_api", ref, None, by.operator, act)
    return respond_run(done, history, 202)


@router.get(
    "/runs/{runId}/events",
    response_class=EventStream,
    responses=problems(404, 422) | EVENTS,
    dependencies=[StreamPlace],
)
async def run_events(
    run_id: RunId, hitl: TheOrchestrator, last_event_id: LastEventId = None
) -> Response:
    """Send the run's frames as server-sent events, from the beginning or after `Last-Event-ID`.

    They end with the run: 204 if the event named is the last there will be, which tells a browser
    not to come back. Those of a failed run go on when it is retried, behind its `error`.
    """
    after = int(last_event_id or 0)
    if await hitl.is_last_frame(run_id, after):
        return Response(status_code=204, media_type=EventStream.media_type)
    return stream_events(hitl.run_batches(run_id, after))


@router.get(
    "/capabilities",
    response_model=Capabilities,
    responses=problems(),
    response_description="All capabilities.",
)
async def list_capabilities(hitl: TheOrchestrator) -> Response:
    """List the specialists a plan can be made of, in the order of their registration."""
    capabilities = tuple(map(ShownCapability.of, hitl.capabilities.values()))
    return show(Capabilities(capabilities=capabilities))
