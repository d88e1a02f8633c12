"""What happened, in one vocabulary.

Audit entries, frames, log lines and metrics are all made of these.
"""

from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from hitl_orchestrator.domain.hitl import Answer, Denied, HitlRequest, Person, RequestStatus
from hitl_orchestrator.domain.records import JsonObject, KnownJsonObject, Record


class EventKind(StrEnum):
    RUN_STARTED = "run_started"
    PHASE_ENTERED = "phase_entered"
    PLAN_REVISED = "plan_revised"
    STEP_HANDED_OVER = "step_handed_over"
    STEP_PROGRESSED = "step_progressed"
    STEP_FINISHED = "step_finished"
    WARNED = "warned"
    QUESTION_ASKED = "question_asked"
    QUESTION_DENIED = "question_denied"
    QUESTION_ANSWERED = "question_answered"
    QUESTION_EXPIRED = "question_expired"
    QUESTION_REMOVED = "question_removed"
    QUESTION_DENIED_BY_OPERATOR = "question_denied_by_operator"
    ANSWER_DELIVERED = "answer_delivered"
    MEASURED = "measured"
    RUN_HELD = "run_held"
    RUN_LET_GO = "run_let_go"
    RUN_CANCELLED = "run_cancelled"
    RUN_COMPLETED = "run_completed"
    RUN_FAILED = "run_failed"
    RUN_RETRIED = "run_retried"


class Voice(NamedTuple):
    """How an event is heard.

    The action of its audit entry, the type of its frame, the name of its log line; None: not
    there.
    """

    audit: str | None
    frame: str | None
    log: str | None
    queue: bool = False  # also in the stream of the whole queue


VOICES: dict[EventKind, Voice] = {
    EventKind.RUN_STARTED: Voice("start", "start", "run_started"),
    EventKind.PHASE_ENTERED: Voice(None, "phase", None),
    EventKind.PLAN_REVISED: Voice(None, "plan_update", None),
    EventKind.STEP_HANDED_OVER: Voice(None, "handoff", None),
    EventKind.STEP_PROGRESSED: Voice(None, "message", None),
    EventKind.STEP_FINISHED: Voice(None, "message", None),
    EventKind.WARNED: Voice(None, "warning", None),
    EventKind.QUESTION_ASKED: Voice("request", "handoff", "hitl_request_created", queue=True),
    EventKind.QUESTION_DENIED: Voice("deny", "handoff", "hitl_request_denied", queue=True),
    EventKind.QUESTION_ANSWERED: Voice("resume", "handoff", "hitl_response_recorded", queue=True),
    EventKind.QUESTION_EXPIRED: Voice("expire", "handoff", "hitl_request_denied", queue=True),
    EventKind.QUESTION_REMOVED: Voice("remove", "handoff", "hitl_request_denied", queue=True),
    EventKind.QUESTION_DENIED_BY_OPERATOR: Voice(
        "deny", "handoff", "hitl_request_denied", queue=True
    ),
    EventKind.ANSWER_DELIVERED: Voice("deliver", None, None),
    EventKind.MEASURED: Voice(None, "metrics", None),
    EventKind.RUN_HELD: Voice("hold", "warning", "run_held"),
    EventKind.RUN_LET_GO: Voice(None, "message", "run_let_go"),
    EventKind.RUN_CANCELLED: Voice("cancel", "complete", "run_completed", queue=True),
    EventKind.RUN_COMPLETED: Voice("complete", "complete", "run_completed", queue=True),
    EventKind.RUN_FAILED: Voice("fail", "error", "run_failed", queue=True),
    EventKind.RUN_RETRIED: Voice("retry", "start", "run_retried", queue=True),
}
PROGRESS = frozenset({"progress", "tokens"})  # in `data`: a step says something while it works
LAST_FRAMES = frozenset({EventKind.RUN_CANCELLED, EventKind.RUN_COMPLETED, EventKind.RUN_FAILED})


class Cause(StrEnum):
    """Why a question was denied, as a metric's label: no free text becomes one."""

    LIMIT = "limit"
    DISABLED = "disabled"
    EXPIRED = "expired"
    REMOVED = "removed"
    OPERATOR = "operator"
    UNSHOWABLE = "unshowable"


class Phase(StrEnum):
    PLANNING = "planning"
    EXECUTION = "execution"
    REVIEW = "review"
    FINALIZATION = "finalization"


class Event(Record):
    """One thing that happened to a run.

    `data` is its frame's `data`; `seconds` what its histogram observes.
    """

    kind: EventKind
    message: str
    data: KnownJsonObject = Field(default_factory=dict)
    requestId: str | None = None
    stepId: str | None = None
    originAgent: str | None = None
    operator: Person | None = None
    key: str | None = None  # the name of the key by which it was done
    note: str | None = None
    reason: str | None = None
    cause: Cause | None = None
    responseTypes: tuple[str, ...] = ()
    seconds: float | None = None


HUMAN = "human"


def asked(request: HitlRequest) -> Event:
    data: JsonObject = {"from": request.originAgent, "to": HUMAN, "hitl": request.json_object()}
    return _of(EventKind.QUESTION_ASKED, request, "requested", data)


def denied(request: HitlRequest, cause: Cause) -> Event:
    """Tell of a question that a guard refused before anybody saw it."""
    data: JsonObject = {"from": request.originAgent, "to": HUMAN, "hitl": request.json_object()}
    return _of(EventKind.QUESTION_DENIED, request, "denied", data).but(
        reason=request.denialReason, cause=cause
    )


def ended(kind: EventKind, request: HitlRequest, answer: Answer) -> Event:
    """Tell of a question that was answered, denied, expired or removed."""
    hitl: JsonObject = {"requestId": request.requestId, "status": request.status.value}
    if request.status is RequestStatus.RESOLVED:
        hitl["response"] = answer.json_object()
    else:
        hitl["denialReason"] = request.denialReason
    event = _of(kind, request, "occurred", {"from": HUMAN, "to": request.originAgent, "hitl": hitl})
    return event.but(reason=answer.reason if isinstance(answer, Denied) else None)


def delivered(request: HitlRequest) -> Event:
    return _of(EventKind.ANSWER_DELIVERED, request, "delivered", {})


def _of(kind: EventKind, request: HitlRequest, message: str, data: JsonObject) -> Event:
    return Event(
        kind=kind,
        message=message,
        data=data,
        requestId=request.requestId,
        stepId=request.stepId,
        originAgent=request.originAgent,
    )
