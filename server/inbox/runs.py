"""The runs, one run, and what was decided lately."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from hitl_orchestrator.domain.errors import Conflict, Forbidden
from hitl_orchestrator.domain.hitl import RequestStatus
from hitl_orchestrator.domain.keys import Scope
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.resolutions import find_outcome, read_audit
from hitl_orchestrator.domain.run import ENDED, Run, RunStatus
from hitl_orchestrator.server.inbox.calls import OwnForm, PageRoute, PageVisit, TheVisit
from hitl_orchestrator.server.inbox.deciding import CANCELLED
from hitl_orchestrator.server.inbox.picture import draw_plan
from hitl_orchestrator.server.inbox.rendering import get_root, is_htmx
from hitl_orchestrator.server.inbox.session import Session
from hitl_orchestrator.server.inbox.timeline import find_last_lines, write_timeline

router = APIRouter(prefix="/inbox", include_in_schema=False, route_class=PageRoute)
ROWS, FRAMES = 50, 500
AT_WORK = {RunStatus.QUEUED, RunStatus.RUNNING}  # then nothing tells of each step but its frames
Cursor = Annotated[str | None, Query(max_length=1000)]
Text = Annotated[str, Query(max_length=200)]


@router.get("/runs")
async def list_runs(
    visit: TheVisit, status: str = "", text: Text = "", cursor: Cursor = None
) -> Response:
    wanted = RunStatus(status) if status in {*RunStatus} else None
    text = text.replace("\x00", "").strip()
    page = await visit.hitl.summaries.runs(wanted, text or None, ROWS, cursor or None)
    values = {"rows": page.rows, "next_cursor": page.next_cursor, "status": wanted or ""}
    return visit.show("runs.html", text=text, **values)


@router.get("/decided")
async def list_decided(visit: TheVisit, by: str = "", cursor: Cursor = None) -> Response:
    own = visit.session.operator.id if by == "me" else None
    page = await visit.hitl.summaries.ended(own, ROWS, cursor or None)
    values = {"rows": page.rows, "next_cursor": page.next_cursor, "by": by}
    return visit.show("decided.html", **values)


@router.get("/runs/{run_id}")
async def show_run(visit: TheVisit, run_id: str) -> Response:
    return await _render_run(visit, run_id)


@router.post("/runs/{run_id}/cancel")
async def cancel_run(visit: TheVisit, run_id: str, form: OwnForm) -> Response:
    """Cancel it, at the second time of asking."""
    run = await visit.hitl.run(run_id)
    if not may_cancel(visit.session, run):
        raise Forbidden("Your key may not cancel this run, or it has ended.")
    if "confirmed" not in form:
        return visit.show("confirm-run.html", run=run)
    reason = form.get("reason", "").strip()[:2000] or CANCELLED
    by = visit.session.sign()
    try:
        if run.pendingRequestId:
            await visit.hitl.remove(RunRef(run_id), run.pendingRequestId, reason, by)
        else:
            await visit.hitl.cancel(RunRef(run_id), reason, by)
    except Conflict as error:
        return await _render_run(visit, run_id, 409, error.detail)
    return RedirectResponse(f"{get_root(visit.request)}/inbox/runs/{run_id}", 303)


def may_cancel(session: Session, run: Run) -> bool:
    """Tell whether that key may: of a run that asks it closes the question, which is to decide."""
    scope = Scope.DECIDE if run.pendingRequestId else Scope.ADMIN
    return run.status not in ENDED and session.caller.may(scope)


async def _render_run(
    visit: PageVisit, run_id: str, status: int = 200, problem: str = ""
) -> Response:
    run = await visit.hitl.run(run_id)
    frames = await visit.hitl.read_frames(run_id, FRAMES)
    audit = read_audit(run)
    is_at_work = run.status in AT_WORK or run.stillWorking
    newest = await visit.hitl.read_newest_frames(run_id, FRAMES) if is_at_work else ()
    return visit.show(
        "run-body.html" if is_htmx(visit.request) else "run.html",
        status,
        run=run,
        questions=[
            (one, None if one.status is RequestStatus.PENDING else find_outcome(one, audit))
            for one in run.requests
        ],
        audit=audit,
        verdict=await visit.hitl.summaries.verify_audit(run_id),
        timeline=write_timeline(frames),
        is_cut=len(frames) == FRAMES,
        picture=draw_plan(run.plan.steps) if run.plan else None,
        at_work=is_at_work,
        lines=find_last_lines(newest),
        cancellable=may_cancel(visit.session, run),
        problem=problem,
    )
