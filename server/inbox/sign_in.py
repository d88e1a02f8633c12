"""Sign in and out."""

import asyncio
import re
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from hitl_orchestrator.domain.hitl import Person
from hitl_orchestrator.domain.keys import Caller, Scope
from hitl_orchestrator.server.inbox.calls import (
    MOST_FIELDS,
    QUEUE,
    SIGN_IN,
    OwnForm,
    PageRoute,
    PageVisit,
    TheOrchestrator,
    find_session,
    is_from_elsewhere,
    read_form,
    show_problem,
)
from hitl_orchestrator.server.inbox.desk import show_question
from hitl_orchestrator.server.inbox.rendering import get_root, render
from hitl_orchestrator.server.inbox.session import (
    COOKIE,
    NAMELESS,
    REMEMBERED,
    REMEMBERED_SECONDS,
    SESSION_SECONDS,
    Sessions,
    Tries,
)

router = APIRouter(include_in_schema=False, route_class=PageRoute)
OWN = re.compile(r"/inbox(?:[/?][^\\\s]*)?")  # where a sign-in may lead to
OF_QUESTION = re.compile(r"/inbox/q/([^/?]+)")
WRONG_KEY_SECONDS = 0.3
WRONG = "That key is not accepted."
MAY_NOT_READ = "That key may not read. It needs the scope read or decide."
TOO_MANY = "Too many wrong keys. Wait a minute, then try again."


async def _get_sessions(request: Request) -> Sessions:
    return request.app.state.sessions


TheSessions = Annotated[Sessions, Depends(_get_sessions)]


@router.get(SIGN_IN)
async def show_sign_in(request: Request, sessions: TheSessions, to: str = QUEUE) -> Response:
    if await find_session(request):
        return RedirectResponse(get_root(request) + _read_address(to), 303)
    return _show(request, sessions, _read_address(to))


@router.post(SIGN_IN)
async def sign_in(request: Request, hitl: TheOrchestrator, sessions: TheSessions) -> Response:
    if is_from_elsewhere(request):
        return show_problem(request, 403, "Another site's page may not sign you in.")
    form = await read_form(request)
    tries: Tries = request.app.state.tries
    client = request.client.host if request.client else ""
    to, draft = _read_address(form.get("to", "")), form.get("draft", "")
    if tries.are_too_many(client):
        return _show(request, sessions, to, draft, 429, TOO_MANY)
    caller = await sessions.identify(hitl, form.get("key", "").strip())
    if caller is None:
        tries.note_failure(client)
        await asyncio.sleep(WRONG_KEY_SECONDS)
        return _show(request, sessions, to, draft, 401, WRONG)
    if not caller.may(Scope.READ):
        return _show(request, sessions, to, draft, 403, MAY_NOT_READ)
    operator = _read_operator(form, caller)
    done = await _go_on(PageVisit(request, hitl, sessions.open(caller, operator)), to, draft)
    _set_cookie(request, done, COOKIE, sessions.write(caller, operator), SESSION_SECONDS)
    if caller.name is None:
        remembered = sessions.write_remembered(operator)
        _set_cookie(request, done, REMEMBERED, remembered, REMEMBERED_SECONDS)
    return done


@router.post("/inbox/sign-out")
async def sign_out(request: Request, form: OwnForm) -> Response:
    done = RedirectResponse(get_root(request) + SIGN_IN, 303)
    done.delete_cookie(COOKIE, path=get_root(request) or "/")
    return done


def _show(
    request: Request,
    sessions: Sessions,
    to: str,
    draft: str = "",
    status: int = 200,
    wrong: str = "",
) -> Response:
    who = sessions.read_remembered(request.cookies.get(REMEMBERED))
    return render(request, "sign-in.html", status, to=to, draft=draft, wrong=wrong, who=who)


async def _go_on(visit: PageVisit, to: str, draft: str) -> Response:
    """Lead to where the caller wanted to be, with what was typed there before the session ended."""
    question = OF_QUESTION.match(to)
    if not draft or question is None:
        return RedirectResponse(get_root(visit.request) + to, 303)
    typed = dict(parse_qsl(draft, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    return await show_question(visit, question[1], typed)


def _read_operator(form: dict[str, str], caller: Caller) -> Person:
    """Return who signs: a key's name; with the first key whoever they say they are."""
    if caller.name is not None:
        return Person(id=caller.name)
    id_, name = (form.get(field, "").strip()[:255] for field in ("operator", "name"))
    return Person(id=id_ or name, displayName=name or None) if id_ or name else NAMELESS


def _read_address(to: str) -> str:
    return to if OWN.fullmatch(to) else QUEUE


def _set_cookie(request: Request, done: Response, name: str, value: str, seconds: int) -> None:
    done.set_cookie(
        name,
        value,
        max_age=seconds,
        path=get_root(request) or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
