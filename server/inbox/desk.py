"""The queue and the question, side by side."""

from time import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from hitl_orchestrator.server.inbox.asked import ShownQuestion, load_asked
from hitl_orchestrator.server.inbox.calls import Form, OwnForm, PageRoute, PageVisit, TheVisit
from hitl_orchestrator.server.inbox.fields import read_fields
from hitl_orchestrator.server.inbox.queue import (
    MOST_ROWS,
    ROWS,
    Paging,
    SharedLists,
    View,
    load_list,
)
from hitl_orchestrator.server.inbox.rendering import NO_STORE, get_root, is_htmx
from hitl_orchestrator.server.inbox.words import find_changes

router = APIRouter(prefix="/inbox", include_in_schema=False, route_class=PageRoute)
ENDED_SESSION = "Nothing was sent: your session had ended. Look once more, then send it."
WHOLE = Paging()

Shown = Annotated[int, Query(ge=1)]
Cursor = Annotated[str | None, Query(max_length=1000)]
ShortText = Annotated[str, Query(max_length=50)]


@router.get("")
async def show_desk(visit: TheVisit, cursor: Cursor = None) -> Response:
    return await _render_desk(visit, None, is_list=True, paging=Paging(cursor=cursor or None))


@router.get("/list")
async def show_rows(
    visit: TheVisit,
    shown: Shown = ROWS,
    cursor: Cursor = None,
    heard: ShortText = "",
    digest: ShortText = "",
) -> Response:
    """Show the rows alone, as the page asks for them again and again.

    `heard`: of which news it has. `digest`: of the rows it has, which are not sent again.
    """
    paging = Paging(min(shown, MOST_ROWS), cursor or None)
    view = View(get_root(visit.request), visit.filters, paging)
    lists: SharedLists = visit.request.app.state.lists
    found = await lists.get(view, heard, lambda: load_list(visit.hitl, view))
    if digest == found.digest:
        return HTMLResponse(found.counts, headers={**NO_STORE, "HX-Reswap": "none"})
    return HTMLResponse(found.rows + found.counts, headers=NO_STORE)


@router.get("/q/{request_id}")
async def open_question(
    visit: TheVisit, request_id: str, edit: bool = False, done: str = ""
) -> Response:
    asked = await load_asked(visit.hitl, request_id)
    asked = asked.but(editing=edit and asked.can_edit and asked.takes_decision)
    if is_htmx(visit.request):
        return _render_question(visit, asked)
    decided = await load_asked(visit.hitl, done) if done else None
    return await _render_desk(visit, asked, decided=decided)


@router.get("/q/{request_id}/bar")
async def show_bar(visit: TheVisit, request_id: str) -> Response:
    """Show how it ended, in place of what it is decided with.

    Nothing while it can be decided: what is typed there stays.
    """
    asked = await load_asked(visit.hitl, request_id)
    return (
        Response(status_code=204) if asked.takes_decision else visit.show("bar.html", asked=asked)
    )


@router.post("/q/{request_id}/changes")
async def show_changes(visit: TheVisit, request_id: str, form: OwnForm) -> Response:
    """Show word by word what is edited so far."""
    asked = await load_asked(visit.hitl, request_id)
    before = asked.proposed or {}
    edited, unread = read_fields(asked.schema, form, needs_all=False, proposed=before)
    after: Any = edited if isinstance(edited, dict) else {}
    return visit.show("changes.html", changes=find_changes(before, after), unread=len(unread))


async def show_question(visit: PageVisit, request_id: str, typed: Form) -> Response:
    """Show the whole page with what was typed before the session ended."""
    asked = await load_asked(visit.hitl, request_id, typed)
    is_edit = typed.get("decision") == "edit" and asked.can_edit
    return await _render_desk(visit, asked.but(editing=is_edit, problem=ENDED_SESSION))


async def render_again(visit: PageVisit, asked: ShownQuestion, status: int = 200) -> Response:
    """Show the question once more, with what was typed."""
    if visit.session.link:
        return render_linked(visit, asked, status)
    if is_htmx(visit.request):
        return _render_question(visit, asked, status)
    return await _render_desk(visit, asked, status=status)


def render_linked(visit: PageVisit, asked: ShownQuestion, status: int = 200) -> Response:
    """Show the question alone, to who came by a link; how it ended, once it has."""
    return visit.show("linked.html", status, asked=asked, shown_at=get_now_ms())


def _render_question(visit: PageVisit, asked: ShownQuestion, status: int = 200) -> Response:
    return visit.show("question.html", status, asked=asked, shown_at=get_now_ms())


async def _render_desk(
    visit: PageVisit,
    asked: ShownQuestion | None,
    *,
    is_list: bool = False,
    decided: ShownQuestion | None = None,
    paging: Paging = WHOLE,
    status: int = 200,
) -> Response:
    """Show the queue, with that question open. `is_list`: with its first one."""
    found = await load_list(visit.hitl, View(get_root(visit.request), visit.filters, paging))
    queue = found.queue
    if is_list and queue.rows:
        asked = await load_asked(visit.hitl, queue.rows[0].request_id)
    return visit.show(
        "desk.html",
        status,
        queue=queue,
        counts=queue.counts,
        digest=found.digest,
        asked=asked,
        is_list=is_list,
        decided=decided,
        paging=paging,
        open=asked.request.requestId if asked else "",
        shown_at=get_now_ms(),
    )


def get_now_ms() -> int:
    return int(time() * 1000)
