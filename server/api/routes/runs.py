"""Runs: start, look, cancel, listen; and who can be planned with."""

from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Query, Response

from hitl_orchestrator.checkpoints.transaction import PgTransaction
from hitl_orchestrator.domain.errors import Invalid, NotFound
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.run import Run, RunStatus
from hitl_orchestrator.graph import runs
from hitl_orchestrator.server.api.once import Route, TheCall
from hitl_orchestrator.server.api.openapi import EVENTS, problems
from hitl_orchestrator.server.api.problems import shown
from hitl_orchestrator.server.api.routes import (
    Cursor,
    LastEventId,
    Limit,
    OfThread,
    RunId,
    StreamPlace,
    TheServices,
    TheWaiting,
    Wait,
)
from hitl_orchestrator.server.api.schemas import (
    Cancel,
    Capabilities,
    Runs,
    ShownCapability,
    StartRun,
)
from hitl_orchestrator.server.api.sse import HEADERS, EventStream, events

router = APIRouter(prefix="/api", tags=["Runs"], route_class=Route)


@router.post(
    "/runs",
    status_code=202,
    response_model=Run,
    responses=problems(409, 413, 422),
    response_description="The run.",
)
async def start_run(body: StartRun, call: TheCall, wait: Wait) -> Response:
    """Start a run. It goes on by itself: follow it with `wait`, by `GET /api/runs/{runId}`, or by
    its events.
    """
    settings = body.settings(
        call.services.settings,
        call.services.registry,
        run_id=f"run_{uuid4().hex}",
        thread_id=f"thread_{uuid4().hex}",
    )

    async def start(tx: PgTransaction) -> str:
        await runs.start(tx, call.services.registry, settings, body.metadata)
        return settings.runId

    return (await call.perform(start, lambda run: run, 202, wait)).response


@router.get(
    "/runs", response_model=Runs, responses=problems(422), response_description="A page of runs."
)
async def list_runs(
    services: TheServices,
    status: Annotated[RunStatus | None, Query(description="Only in this status.")] = None,
    thread_id: OfThread = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Runs, newest first."""
    page = await services.store.newest(status, thread_id, limit, cursor)
    return shown(Runs(runs=tuple(page.rows), nextCursor=page.next_cursor))


@router.get(
    "/runs/{runId}",
    response_model=Run,
    responses=problems(404, 422),
    response_description="The run.",
)
async def show_run(
    run_id: RunId, services: TheServices, waiting: TheWaiting, wait: Wait
) -> Response:
    """One run, with its plan, facets, requests, responses and audit log."""
    return shown(await waiting.at_rest(services.store, run_id, wait))


@router.post(
    "/runs/{runId}/cancel",
    response_model=Run,
    responses=problems(404, 409, 413, 422),
    response_description="The cancelled run.",
)
async def cancel_run(run_id: RunId, body: Cancel, call: TheCall) -> Response:
    """Stop a queued, running or paused run. Its pending requests are denied with the reason."""

    async def cancel(tx: PgTransaction) -> str:
        return await runs.cancel(tx, RunRef(run_id), body.reason, body.by)

    done = await call.perform(cancel, lambda run: run)
    call.log("hitl_cancel_api", done, RunRef(run_id), None, body.operator)
    return done.response


@router.get(
    "/runs/{runId}/events",
    response_class=EventStream,
    responses=problems(404, 422) | EVENTS,
    dependencies=[StreamPlace],
)
async def run_events(
    run_id: RunId, services: TheServices, waiting: TheWaiting, last_event_id: LastEventId = None
) -> Response:
    """The run's frames as server-sent events, from the beginning or after `Last-Event-ID`. They end
    with the run: 204 if the event named is the last there will be, which tells a browser not to
    come back."""
    frames, after = services.store.frames, int(last_event_id or 0)
    if not await frames(run_id, 0, 1):
        raise NotFound(f"There is no run {run_id}.")
    if after:
        named = next(iter(await frames(run_id, after - 1, 1)), None)
        if named is None or named[0] != after:
            raise Invalid(f"`Last-Event-ID` {after} is no event of run {run_id}.")
        if named[2]:
            return Response(status_code=204, media_type=EventStream.media_type)
    return EventStream(
        events(waiting, run_id, lambda seq: frames(run_id, seq, 50), after), headers=HEADERS
    )


@router.get(
    "/capabilities",
    response_model=Capabilities,
    responses=problems(),
    response_description="All capabilities.",
)
async def list_capabilities(services: TheServices) -> Response:
    """The specialists a plan can be made of, in the order of their registration."""
    return shown(
        Capabilities(capabilities=tuple(map(ShownCapability.of, services.registry.values())))
    )
