"""The runs, one run, and what was decided lately."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from hitl_orchestrator.domain.errors import Conflict, Forbidden
from hitl_orchestrator.domain.hitl import RequestStatus
from hitl_orchestrator.domain.keys import Scope
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.run import ENDED, Run, RunStatus
from hitl_orchestrator.server.inbox.calls import OwnForm, PageRoute, TheOrchestrator, TheSession
from hitl_orchestrator.server.inbox.deciding import CANCELLED
from hitl_orchestrator.server.inbox.outcomes import find_outcome, read_audit
from hitl_orchestrator.server.inbox.picture import draw_plan
from hitl_orchestrator.server.inbox.rendering import get_root, is_htmx, render
from hitl_orchestrator.server.inbox.session import Session
from hitl_orchestrator.server.inbox.timeline import write_timeline
from hitl_orchestrator.server.orchestrator import Orchestrator

router = APIRouter(prefix="/inbox", include_in_schema=False, route_class=PageRoute)
ROWS, FRAMES = 50, 500
AT_WORK = {RunStatus.QUEUED, RunStatus.RUNNING}  # then nothing tells of each step but its frames
Cursor = Annotated[str | None, Query(max_length=1000)]
Text = Annotated[str, Query(max_length=200)]


@router.get("/runs")
async def list_runs(
    request: Request,
    hitl: TheOrchestrator,
    session: TheSession,
    status: str = "",
    text: Text = "",
    cursor: Cursor = None,
) -> Response:
    wanted = RunStatus(status) if status in {*RunStatus} else None
    text = text.replace("\x00", "").strip()
    page = await hitl.summaries.runs(wanted, text or None, ROWS, cursor or None)
    values = {"rows": page.rows, "next_cursor": page.next_cursor, "status": wanted or ""}
    return render(request, "runs.html", session=session, text=text, **values)


@router.get("/decided")
async def list_decided(
    request: Request,
    hitl: TheOrchestrator,
    session: TheSession,
    by: str = "",
    cursor: Cursor = None,
) -> Response:
    own = session.operator.id if by == "me" else None
    page = await hitl.summaries.ended(own, ROWS, cursor or None)
    values = {"rows": page.rows, "next_cursor": page.next_cursor, "by": by}
    return render(request, "decided.html", session=session, **values)


@router.get("/runs/{run_id}")
async def show_run(
    request: Request, run_id: str, hitl: TheOrchestrator, session: TheSession
) -> Response:
    return await _render_run(request, hitl, session, run_id)


@router.post("/runs/{run_id}/cancel")
async def cancel_run(
    request: Request, run_id: str, hitl: TheOrchestrator, session: TheSession, form: OwnForm
) -> Response:
    """Cancel it, at the second time of asking."""
    run = await hitl.run(run_id)
    if not may_cancel(session, run):
        raise Forbidden("Your key may not cancel this run, or it has ended.")
    if "confirmed" not in form:
        return render(request, "confirm-run.html", session=session, run=run)
    reason = form.get("reason", "").strip()[:2000] or CANCELLED
    try:
        if run.pendingRequestId:
            ref, request_id = RunRef(run_id), run.pendingRequestId
            await hitl.remove(ref, request_id, reason, session.sign())
        else:
            await hitl.cancel(RunRef(run_id), reason, session.sign())
    except Conflict as error:
        return await _render_run(request, hitl, session, run_id, 409, error.detail)
    return RedirectResponse(f"{get_root(request)}/inbox/runs/{run_id}", 303)


def may_cancel(session: Session, run: Run) -> bool:
    """Tell whether that key may: of a run that asks it closes the question, which is to decide."""
    scope = Scope.DECIDE if run.pendingRequestId else Scope.ADMIN
    return run.status not in ENDED and session.caller.may(scope)


async def _render_run(
    request: Request,
    hitl: Orchestrator,
    session: Session,
    run_id: str,
    status: int = 200,
    problem: str = "",
) -> Response:
    run = await hitl.run(run_id)
    frames = await hitl.read_frames(run_id, FRAMES)
    audit = read_audit(run)
    return render(
        request,
        "run-body.html" if is_htmx(request) else "run.html",
        status,
        session=session,
        run=run,
        questions=[
            (one, None if one.status is RequestStatus.PENDING else find_outcome(one, audit))
            for one in run.requests
        ],
        audit=audit,
        verdict=await hitl.summaries.verify_audit(run_id),
        timeline=write_timeline(frames),
        is_cut=len(frames) == FRAMES,
        picture=draw_plan(run.plan.steps) if run.plan else None,
        at_work=run.status in AT_WORK or run.stillWorking,
        cancellable=may_cancel(session, run),
        problem=problem,
    )
