"""The room as a whole, for the app that it is a part of."""

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from hitl_orchestrator.server.inbox import deciding, desk, linked, news, runs, sign_in
from hitl_orchestrator.server.inbox.calls import PageRoute, TheSession, show_problem
from hitl_orchestrator.server.inbox.queue import SharedLists
from hitl_orchestrator.server.inbox.rendering import HERE
from hitl_orchestrator.server.inbox.session import Sessions, Tries
from hitl_orchestrator.server.links import AnswerLinks

_elsewhere = APIRouter(prefix="/inbox", include_in_schema=False, route_class=PageRoute)


class _Assets(StaticFiles):
    """Asked for anew with each page: a script and a page of two versions do not go together."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def install(app: FastAPI, api_key: str, links: AnswerLinks) -> None:
    """Add the pages. `api_key`: the first key; sessions are signed with what it makes."""
    app.state.links = links
    app.state.sessions = Sessions(api_key)
    app.state.tries = Tries()
    app.state.lists = SharedLists()
    app.mount("/inbox/static", _Assets(directory=HERE / "static"))
    for part in (sign_in, desk, deciding, linked, runs, news):
        app.include_router(part.router)
    app.include_router(_elsewhere)


@_elsewhere.get("/{rest:path}")
async def show_nothing(request: Request, session: TheSession) -> Response:
    return show_problem(request, 404, "There is no page at this address.")
