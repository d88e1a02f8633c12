"""Does this answer fit this question? One table: `FITS`, printed in docs/hitl-lifecycle.md and
tested cell by cell.
"""

from collections.abc import Callable, Sequence

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.hitl import (
    Answer,
    Answered,
    Decision,
    Denied,
    HitlRequest,
    HitlResponse,
    Kind,
    RequestStatus,
    ResponseType,
    Settled,
)
from hitl_orchestrator.domain.schemas import mismatches

REJECTED = "Rejected"  # the reason of a rejection that gives none

# The fields each type of response may carry, beside who gave it. A field of another type
# contradicts it.
CARRIES: dict[ResponseType, frozenset[str]] = {
    ResponseType.APPROVAL: frozenset({"approved", "freeformText", "editedArguments"}),
    ResponseType.REJECTION: frozenset({"approved", "freeformText"}),
    ResponseType.OPTION: frozenset({"selectedOptionId", "freeformText"}),
    ResponseType.FREEFORM: frozenset({"freeformText"}),
    ResponseType.FORM: frozenset({"data", "freeformText"}),
}
_DECIDING = ("approved", "selectedOptionId", "data", "editedArguments", "freeformText")


def infer_type(given: dict[str, object]) -> ResponseType:
    """Inferred from the fields that are there: approved, selectedOptionId, data, else freeform.
    Null is as if it were not there, save for `data` where nothing else is."""
    if given.get("approved") is not None:
        return ResponseType.APPROVAL if given["approved"] else ResponseType.REJECTION
    if given.get("selectedOptionId") is not None:
        return ResponseType.OPTION
    is_form = given.get("data") is not None or (
        "data" in given and given.get("freeformText") is None
    )
    return ResponseType.FORM if is_form else ResponseType.FREEFORM


def find_contradiction(type_: ResponseType, given: dict[str, object]) -> str | None:
    """Why the fields do not go with the type, or None. `given`: the fields the client sent."""
    for name in _DECIDING:
        if given.get(name) is not None and name not in CARRIES[type_]:
            return f"`{name}` does not go with the response type `{type_}`"
    expected = {ResponseType.APPROVAL: True, ResponseType.REJECTION: False}.get(type_)
    if given.get("approved") is not None and given["approved"] is not expected:
        return (
            f"`approved: {str(given['approved']).lower()}` contradicts the response type `{type_}`"
        )
    if type_ is ResponseType.OPTION and given.get("selectedOptionId") is None:
        return "the response type `option` needs a `selectedOptionId`"
    if type_ is ResponseType.FORM and "data" not in given:
        return "the response type `form` needs `data`"
    return None


Misfit = list[dict[str, str]]
Rule = Callable[[HitlRequest, HitlResponse], str | Misfit | None]  # what is wrong, or None


def _refused(request: HitlRequest, response: HitlResponse) -> str:
    return f"a question of kind `{request.kind}` does not take a response of type `{response.responseType}`"


def _approval(request: HitlRequest, response: HitlResponse) -> str | Misfit | None:
    if response.editedArguments is None:
        return _allowed(request, Decision.APPROVE)
    if request.action is None:
        return "`editedArguments` need a question about an action"
    schema = request.responseSchema or {}  # beside an action it is that of the arguments
    return (
        _allowed(request, Decision.EDIT)
        or mismatches(response.editedArguments, schema, "/editedArguments")
        or None
    )


def _rejection(request: HitlRequest, response: HitlResponse) -> str | None:
    return _allowed(request, Decision.REJECT)


def _respond(request: HitlRequest, response: HitlResponse) -> str | None:
    if request.action is None:
        return "a freeform text alone does not decide an approval; approve or reject"
    return _allowed(request, Decision.RESPOND) or _text(request, response)


def _option(request: HitlRequest, response: HitlResponse) -> str | None:
    ids = [option.id for option in request.options]
    return (
        None
        if response.selectedOptionId in ids
        else f"`{response.selectedOptionId}` is none of the options: {', '.join(ids)}"
    )


def _text_of_choice(request: HitlRequest, response: HitlResponse) -> str | None:
    return (
        _text(request, response)
        if request.allowFreeForm
        else "this question takes one of its options, no free text"
    )


def _text(request: HitlRequest, response: HitlResponse) -> str | None:
    return None if (response.freeformText or "").strip() else "the text is empty"


def _form(request: HitlRequest, response: HitlResponse) -> Misfit | None:
    return mismatches(response.data, request.responseSchema or {}, "/data") or None


def _allowed(request: HitlRequest, decision: Decision) -> str | None:
    if request.action is None or decision in request.action.allowedDecisions:
        return None
    return f"the action `{request.action.name}` does not allow `{decision}`, only {', '.join(request.action.allowedDecisions)}"


_REJECTABLE: dict[ResponseType, Rule] = {ResponseType.REJECTION: _rejection}
FITS: dict[Kind, dict[ResponseType, Rule]] = {
    Kind.APPROVAL: _REJECTABLE
    | {ResponseType.APPROVAL: _approval, ResponseType.FREEFORM: _respond},
    Kind.CHOICE: _REJECTABLE
    | {ResponseType.OPTION: _option, ResponseType.FREEFORM: _text_of_choice},
    Kind.FREEFORM: _REJECTABLE | {ResponseType.FREEFORM: _text},
    Kind.FORM: _REJECTABLE | {ResponseType.FORM: _form},
}


def settle(request: HitlRequest, responses: Sequence[HitlResponse]) -> Settled:
    """What the responses to one request come to. One decides; freeform ones beside it are comments.
    Raises Invalid.
    """
    decider = _decider(request, responses)
    wrong = FITS[request.kind].get(decider.responseType, _refused)(request, decider)
    if isinstance(wrong, str):
        raise Invalid(
            f"The answer does not fit request {request.requestId}: {wrong}.",
            requestId=request.requestId,
        )
    if wrong:
        detail = f"The answer does not fit request {request.requestId}: {wrong[0]['path']}: {wrong[0]['message']}."
        raise Invalid(detail, wrong, requestId=request.requestId)
    return Settled(status=RequestStatus.RESOLVED, answer=_answer(decider))


def _decider(request: HitlRequest, responses: Sequence[HitlResponse]) -> HitlResponse:
    deciding = [r for r in responses if r.responseType is not ResponseType.FREEFORM] or list(
        responses[:1]
    )
    if len(deciding) > 1:
        raise Invalid(
            f"Request {request.requestId} is decided twice in one call.",
            requestId=request.requestId,
        )
    return deciding[0]


def _answer(response: HitlResponse) -> Answer:
    if response.responseType is ResponseType.REJECTION:
        return Denied(reason=(response.freeformText or "").strip() or REJECTED)
    return Answered(
        responseType=response.responseType,
        approved=True if response.responseType is ResponseType.APPROVAL else None,
        selectedOptionId=response.selectedOptionId,
        freeformText=response.freeformText,
        data=response.data,
        editedArguments=response.editedArguments,
        responder=response.responder,
    )


def markdown() -> str:
    """The table, for the docs."""
    types = list(ResponseType)
    lines = ["| kind | " + " | ".join(types) + " |", "| --- " * (len(types) + 1) + "|"]
    names: dict[Rule, str] = {
        _approval: "yes; `editedArguments` if the action allows `edit`", _rejection: "yes; an action must allow `reject`",
        _respond: "an action that allows `respond`", _option: "one of the list", _text_of_choice: "if `allowFreeForm`",
        _text: "not empty", _form: "valid against `responseSchema`",
    }  # fmt: skip
    lines += [
        f"| {kind} | "
        + " | ".join(names[FITS[kind][t]] if t in FITS[kind] else "422" for t in types)
        + " |"
        for kind in FITS
    ]
    return "\n".join(lines)
