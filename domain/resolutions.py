"""How a question ended, in words: who, what, when."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from hitl_orchestrator.domain.guards import EXPIRED_REASON
from hitl_orchestrator.domain.hitl import (
    HitlRequest,
    HitlResponse,
    Kind,
    Person,
    RequestStatus,
    ResponseType,
)
from hitl_orchestrator.domain.run import Run
from hitl_orchestrator.domain.summaries import EndedQuestion

ENDINGS = {"resume", "deny", "expire", "remove", "cancel", "fail"}  # of a run's audit
SOMEBODY = "Somebody"


class Resolution(NamedTuple):
    """`who` did it, empty: nobody; `did`: the sentence's rest; `said`: in whose own words."""

    who: str
    did: str
    said: str = ""
    at: datetime | None = None


def find_outcome(request: HitlRequest, audit: Iterable[Mapping[str, Any]]) -> Resolution:
    """Return how a request ended that is not pending any more. `audit`: its run's entries."""
    entry = next((one for one in reversed([*audit]) if _ends(one, request.requestId)), None)
    at = datetime.fromisoformat(entry["at"]) if entry else request.updatedAt
    operator = entry and entry["operator"]
    person = Person.model_validate(operator) if operator else None
    if request.status is RequestStatus.DENIED:
        return _describe_denial(request, entry["action"] if entry else "", person, at)
    decider = find_decider(request)
    person = person or (decider.responder if decider else None)
    did, said = _describe_answer(request, decider)
    return Resolution(name_person(person) or SOMEBODY, did, said, at)


def describe_ended(row: EndedQuestion) -> Resolution:
    """Return how a question in a list ended."""
    who = name_person(row.by)
    if row.status is RequestStatus.DENIED:
        reason = row.denial_reason or ""
        if reason == EXPIRED_REASON:
            return Resolution("", "Expired before anybody answered")
        return Resolution(who, "denied this" if who else "Closed", reason)
    said = row.said or ""
    if row.response_type is ResponseType.OPTION:
        return Resolution(who or SOMEBODY, f"chose “{said}”")
    did = _NAMES[row.kind is Kind.OPEN].get(row.response_type, "answered")
    if row.is_edited:
        did += " with changes"
    if row.is_no and row.kind is Kind.OPEN:
        did = "said no"
    return Resolution(who or SOMEBODY, did, said)


def read_audit(run: Run) -> Sequence[Mapping[str, Any]]:
    """Return the entries of a run's audit, oldest first."""
    return cast(Sequence[Mapping[str, Any]], run.metadata["auditLog"])


def find_decider(request: HitlRequest) -> HitlResponse | None:
    """Return the response that decided; others beside it are comments."""
    deciding = [one for one in request.responses if one.responseType is not ResponseType.FREEFORM]
    return next(iter([*deciding, *request.responses]), None)


def name_person(person: Person | None) -> str:
    return (person.displayName or person.id) if person else ""


def _ends(entry: Mapping[str, Any], request_id: str) -> bool:
    return entry["requestId"] == request_id and entry["action"] in ENDINGS


def _describe_denial(
    request: HitlRequest, action: str, person: Person | None, at: datetime | None
) -> Resolution:
    reason = request.denialReason or ""
    if reason == EXPIRED_REASON:
        return Resolution(
            "", "Expired before anybody answered; the run went on without an answer.", "", at
        )
    if action == "remove":
        return Resolution(name_person(person) or SOMEBODY, "cancelled the run", reason, at)
    if person or action == "resume":
        return Resolution(name_person(person) or SOMEBODY, "denied this", reason, at)
    if action == "deny":
        return Resolution("", f"Refused by a guard: {reason}", "", at)
    return Resolution("", f"Closed, nobody answered: {reason}", "", at)


def _describe_answer(request: HitlRequest, decider: HitlResponse | None) -> tuple[str, str]:
    if decider is None:
        return "answered this", ""
    said = (decider.freeformText or "").strip()
    if decider.responseType is ResponseType.OPTION:
        labels = {option.id: option.label for option in request.options}
        chosen = decider.selectedOptionId or ""
        return f"chose “{labels.get(chosen, chosen)}”", said
    is_open = request.kind is Kind.OPEN
    if is_open and decider.data is False:
        return "said no", said
    edited = " with changes" if decider.editedArguments is not None else ""
    return _NAMES[is_open][decider.responseType] + edited, said


_NAMES: Mapping[bool, Mapping[ResponseType | None, str]] = {
    False: {
        ResponseType.APPROVAL: "approved this",
        ResponseType.REJECTION: "rejected this",
        ResponseType.FORM: "filled in the form",
        ResponseType.FREEFORM: "answered",
    },
    True: {  # of a question that came as an agent's own
        ResponseType.APPROVAL: "said yes",
        ResponseType.REJECTION: "refused this",
        ResponseType.FORM: "answered with data",
        ResponseType.FREEFORM: "answered",
    },
}
