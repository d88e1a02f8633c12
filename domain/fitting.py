"""Whether an answer fits its question.

One table, `FITS`: printed in docs/hitl-lifecycle.md and tested cell by cell.
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
    """Infer the type from the fields that are there.

    In this order: approved, selectedOptionId, data, else freeform. Null is as if it were not
    there, save for `data` where nothing else is.
    """
    if given.get("approved") is not None:
        return ResponseType.APPROVAL if given["approved"] else ResponseType.REJECTION
    if given.get("selectedOptionId") is not None:
        return ResponseType.OPTION
    is_form = given.get("data") is not None or (
        "data" in given and given.get("freeformText") is None
    )
    return ResponseType.FORM if is_form else ResponseType.FREEFORM


def find_contradiction(type_: ResponseType, given: dict[str, object]) -> str | None:
    """Say why the fields that the client sent do not go with the type; None: they do."""
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


def _refuse(request: HitlRequest, response: HitlResponse) -> str:
    return (
        f"a question of kind `{request.kind}` "
        f"does not take a response of type `{response.responseType}`"
    )


def _check_approval(request: HitlRequest, response: HitlResponse) -> str | Misfit | None:
    if response.editedArguments is None:
        return _check_allowed(request, Decision.APPROVE)
    if request.action is None:
        return "`editedArguments` need a question about an action"
    if problem := _check_allowed(request, Decision.EDIT):
        return problem
    schema = request.responseSchema or {}  # beside an action it is that of the arguments
    return mismatches(response.editedArguments, schema, "/editedArguments") or None


def _check_rejection(request: HitlRequest, response: HitlResponse) -> str | None:
    return _check_allowed(request, Decision.REJECT)


def _check_reply(request: HitlRequest, response: HitlResponse) -> str | None:
    if request.action is None:
        return "a freeform text alone does not decide an approval; approve or reject"
    return _check_allowed(request, Decision.RESPOND) or _check_text(request, response)


def _check_option(request: HitlRequest, response: HitlResponse) -> str | None:
    ids = [option.id for option in request.options]
    if response.selectedOptionId in ids:
        return None
    return f"`{response.selectedOptionId}` is none of the options: {', '.join(ids)}"


def _check_text_of_choice(request: HitlRequest, response: HitlResponse) -> str | None:
    if not request.allowFreeForm:
        return "this question takes one of its options, no free text"
    return _check_text(request, response)


def _check_text(request: HitlRequest, response: HitlResponse) -> str | None:
    return None if (response.freeformText or "").strip() else "the text is empty"


def _check_form(request: HitlRequest, response: HitlResponse) -> Misfit | None:
    return mismatches(response.data, request.responseSchema or {}, "/data") or None


def _check_yes(request: HitlRequest, response: HitlResponse) -> str | None:
    if response.editedArguments is not None:
        return "`editedArguments` need a question about an action"
    return None


def _check_nothing(request: HitlRequest, response: HitlResponse) -> None:
    """Take any JSON."""


def _check_allowed(request: HitlRequest, decision: Decision) -> str | None:
    action = request.action
    if action is None or decision in action.allowedDecisions:
        return None
    allowed = ", ".join(action.allowedDecisions)
    return f"the action `{action.name}` does not allow `{decision}`, only {allowed}"


_REJECTABLE: dict[ResponseType, Rule] = {ResponseType.REJECTION: _check_rejection}
FITS: dict[Kind, dict[ResponseType, Rule]] = {
    Kind.APPROVAL: {
        **_REJECTABLE,
        ResponseType.APPROVAL: _check_approval,
        ResponseType.FREEFORM: _check_reply,
    },
    Kind.CHOICE: {
        **_REJECTABLE,
        ResponseType.OPTION: _check_option,
        ResponseType.FREEFORM: _check_text_of_choice,
    },
    Kind.FREEFORM: {**_REJECTABLE, ResponseType.FREEFORM: _check_text},
    Kind.FORM: {**_REJECTABLE, ResponseType.FORM: _check_form},
    Kind.OPEN: {
        **_REJECTABLE,
        ResponseType.APPROVAL: _check_yes,
        ResponseType.OPTION: _check_option,
        ResponseType.FREEFORM: _check_text,
        ResponseType.FORM: _check_nothing,
    },
}
_IN_WORDS: dict[Rule, str] = {
    _check_approval: "yes; `editedArguments` if the action allows `edit`",
    _check_rejection: "yes; an action must allow `reject`",
    _check_reply: "an action that allows `respond`",
    _check_option: "one of the list",
    _check_text_of_choice: "if `allowFreeForm`",
    _check_text: "not empty",
    _check_form: "valid against `responseSchema`",
    _check_yes: "yes",
    _check_nothing: "any JSON",
}


def settle(request: HitlRequest, responses: Sequence[HitlResponse]) -> Settled:
    """Return what the responses to one request come to. Raise Invalid.

    One decides; freeform ones beside it are comments.
    """
    decider = _find_decider(request, responses)
    rule = FITS[request.kind].get(decider.responseType, _refuse)
    wrong = rule(request, decider)
    if wrong:
        errors = [] if isinstance(wrong, str) else wrong
        first = wrong if isinstance(wrong, str) else f"{wrong[0]['path']}: {wrong[0]['message']}"
        detail = f"The answer does not fit request {request.requestId}: {first}."
        raise Invalid(detail, errors, requestId=request.requestId)
    return Settled(status=RequestStatus.RESOLVED, answer=_read_answer(decider))


def _find_decider(request: HitlRequest, responses: Sequence[HitlResponse]) -> HitlResponse:
    deciding = [each for each in responses if each.responseType is not ResponseType.FREEFORM]
    if len(deciding) > 1:
        raise Invalid(
            f"Request {request.requestId} is decided twice in one call.",
            requestId=request.requestId,
        )
    return deciding[0] if deciding else responses[0]


def _read_answer(response: HitlResponse) -> Answer:
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
    """Write the table, for the docs."""
    types = list(ResponseType)
    lines = ["| kind | " + " | ".join(types) + " |", "| --- " * (len(types) + 1) + "|"]
    for kind, rules in FITS.items():
        cells = [_IN_WORDS[rules[each]] if each in rules else "422" for each in types]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
