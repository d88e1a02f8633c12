"""What was sent by a form, read as a response. One place knows which button means what."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from hitl_orchestrator.domain.checking import CheckPending
from hitl_orchestrator.domain.hitl import HitlResponse, ResponseType
from hitl_orchestrator.domain.schemas import mismatches
from hitl_orchestrator.server.inbox.asked import ShownQuestion
from hitl_orchestrator.server.inbox.fields import read_fields
from hitl_orchestrator.server.inbox.wording import word_mismatches

Form = Mapping[str, str]
LONGEST_TEXT = 100_000


class Misread(Exception):
    """`errors`: what is wrong with each input, in words; "": with no single one."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__()
        self.errors = errors


class Given(NamedTuple):
    """What one button sends, of the type that it is."""

    type: ResponseType
    fields: Mapping[str, Any]


def read_response(
    asked: ShownQuestion, form: Form, shown_ms: int | None, via: str = "inbox"
) -> HitlResponse:
    """Return the response that the pressed button means. Raise Misread.

    `shown_ms`: how long it was on the screen; None: nobody knows. `via`: which page it was.
    """
    read = BUTTONS.get(form.get("decision", ""))
    if read is None:
        raise Misread({"": "Press one of the buttons to decide."})
    type_, fields = read(asked, form)
    return HitlResponse(
        requestId=asked.request.requestId,
        responseType=type_,
        metadata={"via": via, "shownMs": shown_ms},
        **fields,
    )


def _approve(asked: ShownQuestion, form: Form) -> Given:
    return Given(ResponseType.APPROVAL, {"approved": True})


def _reject(asked: ShownQuestion, form: Form) -> Given:
    reason = _read_text(form, "reason")
    return Given(ResponseType.REJECTION, {"approved": False, "freeformText": reason or None})


def _edit(asked: ShownQuestion, form: Form) -> Given:
    edited = _read_fields(asked, form, needs_all=False)
    # 1 and true are equal to Python, and not to whoever runs it
    is_changed = json.dumps(edited) != json.dumps(asked.proposed)
    changed = {"editedArguments": edited} if is_changed else {}
    return Given(ResponseType.APPROVAL, {"approved": True, **changed})


def _choose(asked: ShownQuestion, form: Form) -> Given:
    if not form.get("option"):
        raise Misread({"option": "Choose one of the options."})
    return Given(ResponseType.OPTION, {"selectedOptionId": form["option"]})


def _fill_in(asked: ShownQuestion, form: Form) -> Given:
    return Given(ResponseType.FORM, {"data": _read_fields(asked, form, needs_all=True)})


def _write(asked: ShownQuestion, form: Form) -> Given:
    text = _read_text(form, "text")
    if not text.strip():
        raise Misread({"text": "Write an answer first."})
    if "as_json" not in form:
        return Given(ResponseType.FREEFORM, {"freeformText": text})
    try:
        return Given(ResponseType.FORM, {"data": json.loads(text, parse_constant=_refuse_constant)})
    except (ValueError, RecursionError) as error:
        raise Misread({"text": f"This is not JSON: {error}."}) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no value of JSON")


def _say_no(asked: ShownQuestion, form: Form) -> Given:
    return Given(ResponseType.FORM, {"data": False})


BUTTONS: Mapping[str, Callable[[ShownQuestion, Form], Given]] = {
    "approve": _approve,  # of an open question: yes
    "reject": _reject,  # of an open question: refuse
    "edit": _edit,
    "choose": _choose,
    "form": _fill_in,
    "write": _write,
    "no": _say_no,
}


def _read_fields(asked: ShownQuestion, form: Form, needs_all: bool) -> Any:
    """Return what was filled in; whether it fits is judged where all answers are."""
    value, unread = read_fields(asked.schema, form, needs_all=needs_all, proposed=asked.proposed)
    if unread:
        found: list[dict[str, str]] = []
        with suppress(CheckPending):  # what takes long to check is told when all can be read
            found = mismatches(value, asked.schema)
        raise Misread({**word_mismatches(found, asked.schema), **unread})
    return value


def _read_text(form: Form, name: str) -> str:
    text = form.get(name, "").replace("\r\n", "\n")
    if len(text) > LONGEST_TEXT:
        raise Misread({name: f"At most {LONGEST_TEXT} characters."})
    return text
