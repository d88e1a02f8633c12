"""What an operator decides. It goes the way of every decision, by the same rules."""

from collections.abc import Coroutine, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from hitl_orchestrator.domain.errors import Conflict, Forbidden, Invalid, OrchestratorError
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.server.inbox.answers import Misread, read_response
from hitl_orchestrator.server.inbox.asked import ShownQuestion, load_asked
from hitl_orchestrator.server.inbox.calls import (
    Form,
    OwnForm,
    PageRoute,
    PageVisit,
    TheVisit,
    find_status,
)
from hitl_orchestrator.server.inbox.desk import get_now_ms, render_again
from hitl_orchestrator.server.inbox.fields import drop_empty_items, edit_lists
from hitl_orchestrator.server.inbox.rendering import get_root, is_htmx
from hitl_orchestrator.server.inbox.wording import word_mismatches

router = APIRouter(prefix="/inbox", include_in_schema=False, route_class=PageRoute)
CANCEL = "cancel"  # the button that ends the run
CANCELLED = "Cancelled in the inbox"  # the reason where none is given
LONGEST_NOTE, LONGEST_REASON = 10_000, 2000  # as the API has them
MOST_SHOWN_MS = 7 * 86_400_000
LIST_BUTTONS = {"more", "less"}
RECEIPT = "receipt"  # field of what was held back: another question is open by now
TO_CONFIRM = {"approve", "edit", CANCEL}


async def _need_decider(visit: TheVisit) -> PageVisit:
    if not visit.session.may_decide:
        raise Forbidden(f"The key {visit.session.operator.id} may read, not decide.")
    return visit


@router.post("/q/{request_id}")
async def decide(
    visit: Annotated[PageVisit, Depends(_need_decider)], request_id: str, form: OwnForm
) -> Response:
    return await take_decision(visit, request_id, form)


async def take_decision(visit: PageVisit, request_id: str, form: Form) -> Response:
    """Do what a form says. Whoever calls has made sure that it is of the visit's own page."""
    if LIST_BUTTONS & form.keys():
        return await _change_lists(visit, request_id, form)
    asked = await load_asked(visit.hitl, request_id, form)
    decision = form.get("decision", "")
    if decision == CANCEL and visit.session.link:
        raise Forbidden("A link answers its question, and cancels no run.")
    if decision == "form":  # so that an error stands at its item
        form = drop_empty_items(asked.schema, form)
        asked = asked.but(typed=form)
    asked = asked.but(editing=decision == "edit" and asked.can_edit)
    if _wants_confirmation(asked, form):  # on a page of its own; with script the button asks twice
        return visit.show("confirm.html", asked=asked, decision=decision)
    try:
        await (_cancel if decision == CANCEL else _answer)(visit, asked, form)
    except Misread as error:
        asked = _complain(asked, error.errors)
    except Conflict:
        return await _say_not_taken(visit, request_id, form)
    except Invalid as error:
        asked = _complain(asked, _word(error, asked))
    else:
        return await _go_on(visit, request_id, form)
    if RECEIPT in form:
        return _render_receipt(visit, asked, 422)
    return await render_again(visit, asked, 422)


async def _change_lists(visit: PageVisit, request_id: str, form: Form) -> Response:
    """Add an item to a list of the form, or take one out. Nothing is decided."""
    asked = await load_asked(visit.hitl, request_id)
    typed = edit_lists(asked.schema, form)
    asked = asked.but(typed=typed, editing=asked.can_edit and asked.takes_decision)
    return await render_again(visit, asked)


async def _answer(visit: PageVisit, asked: ShownQuestion, form: Form) -> None:
    by = visit.session.sign(_read_note(form))
    via = "link" if visit.session.link else "inbox"
    response = read_response(asked, form, _read_shown(form), via)
    if by.operator:
        response = response.but(
            responderId=by.operator.id, responderDisplayName=by.operator.displayName
        )
    ref, request_id = RunRef(asked.run.runId), asked.request.requestId
    await _log(visit, "hitl_resume_api", asked, visit.hitl.answer(ref, request_id, [response], by))


async def _cancel(visit: PageVisit, asked: ShownQuestion, form: Form) -> None:
    by = visit.session.sign(_read_note(form))
    reason = form.get("reason", "").strip() or CANCELLED
    if len(reason) > LONGEST_REASON:
        raise Misread({"reason": f"At most {LONGEST_REASON} characters."})
    ref, request_id = RunRef(asked.run.runId), asked.request.requestId
    await _log(visit, "hitl_cancel_api", asked, visit.hitl.remove(ref, request_id, reason, by))


async def _log(
    visit: PageVisit, name: str, asked: ShownQuestion, act: Coroutine[Any, Any, Any]
) -> None:
    """Await the act, and log how it ended, also where it was refused."""
    status = 200
    try:
        await act
    except OrchestratorError as error:
        status = find_status(error)
        raise
    finally:
        visit.hitl.log(
            name,
            runId=asked.run.runId,
            threadId=asked.run.threadId,
            requestId=asked.request.requestId,
            operatorId=visit.session.operator.id,
            status=status,
        )


def _read_note(form: Form) -> str | None:
    note = form.get("note", "").strip()
    if len(note) > LONGEST_NOTE:
        raise Misread({"note": f"At most {LONGEST_NOTE} characters."})
    return note or None


def _read_shown(form: Form) -> int | None:
    """Return for how long it was on the screen: as the script says, else since it was sent."""
    if (shown := _read_number(form, "shownMs")) is None:
        sent = _read_number(form, "shownAt")
        shown = None if sent is None else get_now_ms() - sent
    return None if shown is None else min(max(shown, 0), MOST_SHOWN_MS)


def _read_number(form: Form, name: str) -> int | None:
    text = form.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _wants_confirmation(asked: ShownQuestion, form: Form) -> bool:
    decision = form.get("decision")
    is_grave = decision == CANCEL or (decision in TO_CONFIRM and asked.needs_confirmation)
    return is_grave and "confirmed" not in form and asked.takes_decision


def _complain(asked: ShownQuestion, errors: Mapping[str, str]) -> ShownQuestion:
    """Put each error at its field; what belongs to none above them all."""
    named = {name: text for name, text in errors.items() if name}
    return asked.but(errors=errors, problem="" if named else errors.get("", ""))


def _word(error: Invalid, asked: ShownQuestion) -> dict[str, str]:
    """Say what does not fit in words for a person, by the names of the inputs."""
    found: Any = error.more.get("errors") or []
    for root in ("/data", "/editedArguments"):
        found = [one | {"path": one["path"].removeprefix(root)} for one in found]
    return word_mismatches(found, asked.schema) or {"": error.detail}


async def _say_not_taken(visit: PageVisit, request_id: str, form: Form) -> Response:
    """Somebody was first, or its run is held: show it as it is now, with what was typed."""
    asked = await load_asked(visit.hitl, request_id, form)
    if RECEIPT in form:
        return _render_receipt(visit, asked, 409)
    return await render_again(visit, asked.but(problem="Not taken."), 409)


async def _go_on(visit: PageVisit, request_id: str, form: Form) -> Response:
    """Show the next question, and what was decided. To what was held back: the latter alone."""
    if visit.session.link:
        return RedirectResponse(get_root(visit.request) + visit.session.link, 303)
    done = await load_asked(visit.hitl, request_id)
    if RECEIPT in form:
        return _render_receipt(visit, done)
    held = {form["held"]} if form.get("held") else set[str]()
    following = await visit.hitl.summaries.find_next(
        request_id, **visit.filters.wanted, without=held, shown_ms=_read_shown(form) or 0
    )
    address = get_root(visit.request) + "/inbox" + (f"/q/{following}" if following else "")
    query = visit.filters.query
    if not is_htmx(visit.request):
        told = f"{query}{'&' if query else '?'}done={request_id}"
        return RedirectResponse(address + (told if following else query), 303)
    page = visit.show(
        "next.html",
        asked=await load_asked(visit.hitl, following) if following else None,
        done=done,
        counts=await visit.hitl.counts(),
        shown_at=get_now_ms(),
    )
    page.headers["HX-Push-Url"] = address + query
    return page


def _render_receipt(visit: PageVisit, asked: ShownQuestion, status: int = 200) -> Response:
    return visit.show("receipt.html", status, asked=asked, is_ours=status == HTTPStatus.OK)
