"""The queue and the question, side by side."""

from collections.abc import Mapping
from time import time
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request, Response

from hitl_orchestrator.domain.hitl import QueueCounts
from hitl_orchestrator.domain.summaries import QueuedQuestion
from hitl_orchestrator.server.inbox.asked import ShownQuestion, load_asked
from hitl_orchestrator.server.inbox.calls import (
    Filters,
    Form,
    OwnForm,
    PageRoute,
    TheFilters,
    TheOrchestrator,
    TheSession,
)
from hitl_orchestrator.server.inbox.fields import read_fields
from hitl_orchestrator.server.inbox.rendering import is_htmx, render
from hitl_orchestrator.server.inbox.session import Session
from hitl_orchestrator.server.inbox.words import find_changes
from hitl_orchestrator.server.orchestrator import Orchestrator

router = APIRouter(prefix="/inbox", include_in_schema=False, route_class=PageRoute)
ROWS, MOST_ROWS = 50, 200  # of a page; what a page that has loaded more asks for anew
NO_FILTERS = Filters()


class QueuePage(NamedTuple):
    """A page of what waits, in the order in which it wants to be answered."""

    rows: list[QueuedQuestion]
    next_cursor: str | None
    counts: QueueCounts
    labels: Mapping[str, str]  # of the agents of all that waits, by id

    @property
    def title(self) -> str:
        return f"({self.counts.pending}) Inbox" if self.counts.pending else "Inbox"


class Paging(NamedTuple):
    """`shown`: how many rows; `cursor`: where they begin."""

    shown: int = ROWS
    cursor: str | None = None


async def load_queue(
    hitl: Orchestrator,
    filters: Filters = NO_FILTERS,
    paging: Paging = Paging(),  # noqa: B008
) -> QueuePage:
    counts = await hitl.counts()
    page = await hitl.summaries.queue(**filters.wanted, limit=paging.shown, cursor=paging.cursor)
    known = {one.capabilityId: one.displayName for one in hitl.capabilities.values()}
    labels = {agent: known.get(agent, agent) for agent in counts.byAgent}
    return QueuePage(page.rows, page.next_cursor, counts, labels)


Shown = Annotated[int, Query(ge=1)]
Cursor = Annotated[str | None, Query(max_length=1000)]


@router.get("")
async def show_desk(
    request: Request,
    hitl: TheOrchestrator,
    session: TheSession,
    filters: TheFilters,
    cursor: Cursor = None,
) -> Response:
    paging = Paging(cursor=cursor or None)
    queue = await load_queue(hitl, filters, paging)
    asked = await load_asked(hitl, queue.rows[0].request_id) if queue.rows else None
    return _render_desk(request, session, filters, queue, asked, is_list=True, paging=paging)


@router.get("/list")
async def show_rows(
    request: Request,
    hitl: TheOrchestrator,
    session: TheSession,
    filters: TheFilters,
    shown: Shown = ROWS,
    cursor: Cursor = None,
    open: str = "",  # noqa: A002  # the question that is open: a name of the form's
) -> Response:
    """Show the rows alone, as the page asks for them again and again."""
    paging = Paging(min(shown, MOST_ROWS), cursor or None)
    queue = await load_queue(hitl, filters, paging)
    values = {"session": session, "filters": filters, "queue": queue, "paging": paging}
    return render(request, "rows.html", open=open, **values)


@router.get("/q/{request_id}")
async def open_question(
    request: Request,
    request_id: str,
    hitl: TheOrchestrator,
    session: TheSession,
    filters: TheFilters,
    edit: bool = False,
    done: str = "",
) -> Response:
    asked = await load_asked(hitl, request_id)
    asked = asked.but(editing=edit and asked.can_edit and asked.takes_decision)
    if is_htmx(request):
        return render_question(request, session, filters, asked)
    queue = await load_queue(hitl, filters)
    decided = await load_asked(hitl, done) if done else None
    return _render_desk(request, session, filters, queue, asked, decided=decided)


@router.get("/q/{request_id}/bar")
async def show_bar(
    request: Request,
    request_id: str,
    hitl: TheOrchestrator,
    session: TheSession,
    filters: TheFilters,
) -> Response:
    """Show how it ended, in place of what it is decided with.

    Nothing while it can be decided: what is typed there stays.
    """
    asked = await load_asked(hitl, request_id)
    if asked.takes_decision:
        return Response(status_code=204)
    return render(request, "bar.html", session=session, asked=asked, filters=filters)


@router.post("/q/{request_id}/changes")
async def show_changes(
    request: Request, request_id: str, hitl: TheOrchestrator, form: OwnForm
) -> Response:
    """Show word by word what is edited so far."""
    asked = await load_asked(hitl, request_id)
    before = asked.proposed or {}
    edited, unread = read_fields(asked.schema, form, needs_all=False, proposed=before)
    after: Any = edited if isinstance(edited, dict) else {}
    return render(request, "changes.html", changes=find_changes(before, after), unread=len(unread))


async def show_question(
    request: Request,
    hitl: Orchestrator,
    session: Session,
    request_id: str,
    typed: Form,
    problem: str = "Nothing was sent: your session had ended. Look once more, then send it.",
) -> Response:
    """Show the whole page with what was typed before."""
    asked = await load_asked(hitl, request_id, typed)
    is_edit = typed.get("decision") == "edit" and asked.can_edit
    asked = asked.but(editing=is_edit, problem=problem)
    return _render_desk(request, session, NO_FILTERS, await load_queue(hitl), asked)


async def render_again(
    request: Request,
    hitl: Orchestrator,
    session: Session,
    filters: Filters,
    asked: ShownQuestion,
    status: int = 200,
) -> Response:
    """Show the question once more, with what was typed."""
    if is_htmx(request):
        return render_question(request, session, filters, asked, status)
    queue = await load_queue(hitl, filters)
    return _render_desk(request, session, filters, queue, asked, status=status)


def render_question(
    request: Request, session: Session, filters: Filters, asked: ShownQuestion, status: int = 200
) -> Response:
    values = {"session": session, "filters": filters, "asked": asked}
    return render(request, "question.html", status, shown_at=_now_ms(), **values)


def _render_desk(
    request: Request,
    session: Session,
    filters: Filters,
    queue: QueuePage,
    asked: ShownQuestion | None,
    *,
    is_list: bool = False,
    decided: ShownQuestion | None = None,
    paging: Paging = Paging(),  # noqa: B008
    status: int = 200,
) -> Response:
    return render(
        request,
        "desk.html",
        status,
        session=session,
        filters=filters,
        queue=queue,
        asked=asked,
        is_list=is_list,
        decided=decided,
        paging=paging,
        open=asked.request.requestId if asked else "",
        shown_at=_now_ms(),
    )


def _now_ms() -> int:
    return int(time() * 1000)
