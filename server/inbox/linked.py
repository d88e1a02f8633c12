"""One question, shown to the person of a link, who is not signed in. GET shows, POST decides.

So programs that look at links before people do (mail scanners, previews) decide nothing.
"""

from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Request, Response

from hitl_orchestrator.domain.errors import Forbidden, NotFound
from hitl_orchestrator.domain.keys import FIRST
from hitl_orchestrator.server.inbox.asked import load_asked
from hitl_orchestrator.server.inbox.calls import (
    PageRoute,
    PageVisit,
    TheOrchestrator,
    is_from_elsewhere,
    read_form,
)
from hitl_orchestrator.server.inbox.deciding import take_decision
from hitl_orchestrator.server.inbox.desk import render_linked
from hitl_orchestrator.server.inbox.session import Session
from hitl_orchestrator.server.links import AnswerLinks

router = APIRouter(prefix="/answer", include_in_schema=False, route_class=PageRoute)
ENDED = "This link has ended, or never was one. If the question still waits, it is in the inbox."


class _Linked(NamedTuple):
    visit: PageVisit
    request_id: str


async def _follow(request: Request, hitl: TheOrchestrator, token: str) -> _Linked:
    links: AnswerLinks = request.app.state.links
    link = links.read(token, datetime.now(UTC))
    if link is None:
        raise NotFound(ENDED)
    session = Session(FIRST, link.person, csrf="", link=f"/answer/{token}")
    return _Linked(PageVisit(request, hitl, session), link.request_id)


TheLinked = Annotated[_Linked, Depends(_follow)]


@router.get("/{token}")
async def show_linked(linked: TheLinked, edit: bool = False) -> Response:
    visit, request_id = linked
    asked = await load_asked(visit.hitl, request_id)
    return render_linked(visit, asked.but(editing=edit and asked.can_edit))


@router.post("/{token}")
async def decide_linked(linked: TheLinked) -> Response:
    visit, request_id = linked
    if is_from_elsewhere(visit.request):
        raise Forbidden("Another site's page may not decide anything here.")
    return await take_decision(visit, request_id, await read_form(visit.request))
