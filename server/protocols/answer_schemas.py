"""What may be answered to a question, as a JSON Schema; and answers that fit it.

Of clients that show forms: AG-UI and A2A. What is shown is what is checked: a word that the schema
does not know, a text where true or false is wanted, or no object at all is never a yes.
"""

from collections.abc import Iterable

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.fitting import find_contradiction, infer_type
from hitl_orchestrator.domain.hitl import Decision, HitlRequest, HitlResponse, Kind
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.schemas import mismatches

LONGEST_TEXT = 100_000
MEANINGS = {  # what each word of a schema is of a response
    "approved": "approved",
    "reason": "freeformText",
    "editedArgs": "editedArguments",
    "option": "selectedOptionId",
    "text": "freeformText",
    "data": "data",
}
_REASON: JsonObject = {"type": "string", "title": "Reason", "maxLength": LONGEST_TEXT}
_TEXT: JsonObject = {
    "type": "string",
    "title": "In your own words",
    "minLength": 1,
    "maxLength": LONGEST_TEXT,
}


def write_schema(request: HitlRequest) -> JsonObject:
    """Return what an answer must fit; of a form its own schema, as the agent gave it."""
    if request.kind is Kind.FORM:
        return request.responseSchema or {}
    words = _write_words(request)
    deciding: list[Json] = [{"required": [name]} for name in words if name in _DECIDING]
    return {
        "type": "object",
        "properties": {**words},
        "oneOf": deciding,
        "dependentRequired": {name: ["approved"] for name in words if name not in _DECIDING},
        "additionalProperties": False,
    }


_DECIDING = ("approved", "option", "text", "data")  # one of them says what is answered


def _write_words(request: HitlRequest) -> dict[str, JsonObject]:
    match request.kind:
        case Kind.APPROVAL:
            return _write_approval(request)
        case Kind.CHOICE:
            return {"option": _write_option(request)} | _if(request.allowFreeForm, text=_TEXT)
        case Kind.OPEN:
            return {
                "approved": {"type": "boolean", "title": request.question},
                "reason": _REASON,
                **_if(bool(request.options), option=_write_option(request)),
                "text": _TEXT,
                "data": {"title": "Any JSON, as it is to reach the agent"},
            }
        case _:
            return {"text": {**_TEXT, "title": request.question}}


def _write_approval(request: HitlRequest) -> dict[str, JsonObject]:
    action = request.action
    allowed: Iterable[Decision] = action.allowedDecisions if action else tuple(Decision)[:3]
    can_say: list[Json] = [
        said for said, decisions in _SAID.items() if not decisions.isdisjoint(allowed)
    ]
    words: dict[str, JsonObject] = {}
    if can_say:
        words = {
            "approved": {"type": "boolean", "enum": can_say, "title": request.question},
            "reason": _REASON,
        }
    if action and Decision.EDIT in allowed:
        words["editedArgs"] = {
            "type": "object",
            "title": "The arguments, where they are to be others",
        }
    return words | _if(action is not None and Decision.RESPOND in allowed, text=_TEXT)


_SAID = {
    True: frozenset({Decision.APPROVE, Decision.EDIT}),
    False: frozenset({Decision.REJECT}),
}


def _write_option(request: HitlRequest) -> JsonObject:
    options: list[Json] = [
        {"const": option.id, "title": option.label} for option in request.options
    ]
    return {"type": "string", "title": request.question, "oneOf": options}


def _if(holds: bool, **words: JsonObject) -> dict[str, JsonObject]:
    return words if holds else {}


def read_answer(request: HitlRequest, answer: Json, via: str) -> HitlResponse:
    """Return the response that an answer means which fits the schema. Raise Invalid.

    Whether a form fits is judged where all answers are.
    """
    if request.kind is Kind.FORM:
        return _respond(request, via, data=answer)
    if not isinstance(answer, dict):
        raise Invalid(f"The answer to {request.requestId} is no object; nothing was decided.")
    if misfits := mismatches(answer, write_schema(request)):
        first = misfits[0]
        raise Invalid(
            f"The answer to {request.requestId} does not fit: {first['message']}.", misfits
        )
    return _respond(request, via, **{MEANINGS[word]: said for word, said in answer.items()})


def read_text(request: HitlRequest, text: str, via: str) -> HitlResponse:
    """Return the response that words alone mean: an option, or an answer. Raise Invalid.

    Words alone neither approve nor fill in a form.
    """
    if request.kind not in (Kind.CHOICE, Kind.FREEFORM):
        raise Invalid(
            f"Words alone do not answer {request.requestId}, a question of the kind "
            f"`{request.kind}`: send data that fits its schema."
        )
    wanted = text.strip().casefold()
    named = [one for one in request.options if wanted in (one.id.casefold(), one.label.casefold())]
    if len(named) == 1:
        return _respond(request, via, selectedOptionId=named[0].id)
    return read_answer(request, {"text": text}, via)


def reject(request: HitlRequest, reason: str, via: str) -> HitlResponse:
    """Return the response that refuses."""
    return _respond(request, via, approved=False, freeformText=reason)


def _respond(request: HitlRequest, via: str, **given: Json) -> HitlResponse:
    type_ = infer_type({**given})
    if problem := find_contradiction(type_, {**given}):
        raise Invalid(f"The answer to {request.requestId} does not fit: {problem}.")
    metadata: JsonObject = {"via": via}
    return HitlResponse.model_validate(
        {"requestId": request.requestId, "responseType": type_, "metadata": metadata, **given}
    )
