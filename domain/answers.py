"""An answer as somebody says it in short, as the response that its question takes."""

from typing import cast

from pydantic import ValidationError

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.fitting import CARRIES, find_contradiction, infer_type
from hitl_orchestrator.domain.hitl import HitlRequest, HitlResponse, Kind
from hitl_orchestrator.domain.records import Json, JsonObject

_WORDS = frozenset[str]().union(*CARRIES.values())


def read_said(request: HitlRequest, said: Json) -> HitlResponse:
    """Return the response. Raise Invalid: it is none to this question.

    An object with the words of POST /api/hitl/resume alone (`approved`, `selectedOptionId`, …) is
    taken as that. Else true and false approve and reject, a text is an option (by id or label) or
    free text, and anything else is data.
    """
    given = _read_words(request, said)
    type_ = infer_type(given)
    if problem := find_contradiction(type_, given):
        raise Invalid(f"{said!r} is no answer to {request.question!r}: {problem}.")
    response = {"requestId": request.requestId, "responseType": type_, **given}
    try:
        return HitlResponse.model_validate(response)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"]))
        raise Invalid(f"{said!r} is no answer: `{place}`: {wrong['msg']}.") from error


def _read_words(request: HitlRequest, said: Json) -> dict[str, object]:
    if isinstance(said, dict) and said and said.keys() <= _WORDS:
        return {**cast(JsonObject, said)}
    if isinstance(said, bool) and (not said or request.kind is not Kind.FORM):
        return {"approved": said}
    if not isinstance(said, str):
        return {"data": said}
    for option in request.options:
        if said.casefold() in (option.id.casefold(), option.label.casefold()):
            return {"selectedOptionId": option.id}
    return {"data": said} if request.kind is Kind.FORM else {"freeformText": said}
