"""What each call of a page has: session, form, filters. And what stops it, as a page."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from hitl_orchestrator.domain.errors import (
    Forbidden,
    Invalid,
    NotFound,
    OrchestratorError,
    StoreUnavailable,
    Unreadable,
)
from hitl_orchestrator.domain.hitl import Urgency
from hitl_orchestrator.server.inbox.rendering import get_root, is_htmx, render
from hitl_orchestrator.server.inbox.session import COOKIE, Session, Sessions
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.proxies import find_user
from hitl_orchestrator.server.sse import EventStream

MOST_FIELDS = 2000  # of a form
SIGN_IN, QUEUE = "/login", "/inbox"
BACKGROUND = "Hitl-Background"  # header of what a page asks for by itself
STATUSES: dict[type[OrchestratorError], int] = {
    Forbidden: 403,
    NotFound: 404,
    Invalid: 422,
    StoreUnavailable: 503,
    Unreadable: 503,
}
Form = dict[str, str]


class SignedOut(Exception):
    """Whoever calls is not signed in, or not any more."""


class Filters(NamedTuple):
    """What of the queue is shown; empty: all. It stands in the address."""

    agent: str = ""
    urgency: str = ""
    text: str = ""

    @property
    def query(self) -> str:
        given = urlencode({name: value for name, value in self._asdict().items() if value})
        return f"?{given}" if given else ""

    @property
    def wanted(self) -> dict[str, Any]:
        """Return them as arguments of the door."""
        urgency = Urgency(self.urgency) if self.urgency else None
        return {"agent": self.agent or None, "urgency": urgency, "text": self.text or None}


class PageRoute(APIRoute):
    """Shows a person what stops a call."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_for_people(request: Request) -> Response:
            try:
                return await handle(request)
            except SignedOut:
                return await _ask_to_sign_in(request)
            except OrchestratorError as error:
                return show_problem(request, find_status(error), error.detail)
            except RequestValidationError:
                return show_problem(request, 404, "There is no page at this address.")
            except HTTPException as error:
                return show_problem(request, error.status_code, error.detail)

        return handle_for_people


def find_status(error: OrchestratorError) -> int:
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 409)


def show_problem(request: Request, status: int, detail: str) -> Response:
    return render(request, "problem.html", status, detail=detail)


async def _ask_to_sign_in(request: Request) -> Response:
    """Lead to the sign-in and back. What was being sent goes along: nothing typed is lost."""
    to = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.headers.get(BACKGROUND) or request.headers.get("Accept") == EventStream.media_type:
        return Response(status_code=401, headers={"HX-Reswap": "none"})
    if request.method == "POST":
        if is_from_elsewhere(request):
            return show_problem(request, 403, "Another site's page may not decide anything here.")
        draft = urlencode({k: v for k, v in (await read_form(request)).items() if k != "csrf"})
        page = render(request, "sign-in.html", 401, to=to, draft=draft, wrong="", who=None)
        if is_htmx(request):
            page.headers.update({"HX-Retarget": "body", "HX-Reswap": "innerHTML"})
        return page
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # A strict cookie does not come along with a link of another site; it does with our own.
        return render(request, "arrive.html")
    address = f"{get_root(request)}{SIGN_IN}?{urlencode({'to': to})}"
    if is_htmx(request):
        return Response(status_code=401, headers={"HX-Redirect": address})
    return RedirectResponse(address, 303)


async def read_form(request: Request) -> Form:
    """Return the fields of a form; of those with one name the last. Raise Invalid."""
    try:
        body = (await request.body()).decode()
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise Invalid("The form that was sent cannot be read.") from error


async def _get_orchestrator(request: Request) -> Orchestrator:
    return request.app.state.hitl


async def find_session(request: Request) -> Session | None:
    sessions: Sessions = request.app.state.sessions
    if user := find_user(request.scope):
        return sessions.admit(user)
    return await sessions.read(request.app.state.hitl, request.cookies.get(COOKIE))


async def _need_session(request: Request) -> Session:
    session = await find_session(request)
    if session is None:
        raise SignedOut
    return session


async def _read_filters(agent: str = "", urgency: str = "", text: str = "") -> Filters:
    known = urgency if urgency in {*Urgency} else ""
    return Filters(agent.strip()[:255], known, text.replace("\x00", "").strip()[:200])


def is_from_elsewhere(request: Request) -> bool:
    """Tell whether another site's page sent it.

    `Origin` is of no use: we tell no referrer, which makes it `null`.
    """
    return request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")


async def _read_own_form(request: Request, session: "TheSession") -> Form:
    """Return what one of our pages sent. Raise Forbidden for another site's."""
    if is_from_elsewhere(request):
        raise Forbidden("Another site's page may not decide anything here.")
    form = await read_form(request)
    if not session.has_sent(form.get("csrf", "")):
        raise Forbidden(
            "Nothing was done: this page is older than your session. Go back, reload it, try again."
        )
    return form


class PageVisit(NamedTuple):
    """One call of a page: who calls, and what of the queue they look at."""

    request: Request
    hitl: Orchestrator
    session: Session
    filters: Filters = Filters()

    def show(self, template: str, status: int = 200, /, **values: Any) -> Response:
        known = {"session": self.session, "filters": self.filters}
        return render(self.request, template, status, **known, **values)


TheOrchestrator = Annotated[Orchestrator, Depends(_get_orchestrator)]
TheSession = Annotated[Session, Depends(_need_session)]
OwnForm = Annotated[Form, Depends(_read_own_form)]


async def _begin_visit(
    request: Request,
    hitl: TheOrchestrator,
    session: TheSession,
    filters: Annotated[Filters, Depends(_read_filters)],
) -> PageVisit:
    return PageVisit(request, hitl, session, filters)


TheVisit = Annotated[PageVisit, Depends(_begin_visit)]
