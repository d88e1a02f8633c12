"""Short rows of long lists: what a page shows of many, and no more."""

from datetime import datetime
from typing import NamedTuple

from hitl_orchestrator.domain.hitl import Kind, Person, RequestStatus, ResponseType, Urgency
from hitl_orchestrator.domain.run import RunStatus


class QueuedQuestion(NamedTuple):
    """A question that waits, cut to what a row shows.

    `arguments`: some of its action's, where the question is not more than the action's name.
    `nth` of `of`: its place among the questions of its run that wait.
    """

    request_id: str
    run_id: str
    question: str
    kind: Kind
    urgency: Urgency
    agent: str
    agent_label: str
    arguments: str | None
    created_at: datetime
    expires_at: datetime | None
    nth: int
    of: int


class EndedQuestion(NamedTuple):
    """A question that ended, and how. `said`: the beginning of what was said, or the reason."""

    request_id: str
    run_id: str
    question: str
    kind: Kind
    agent_label: str
    status: RequestStatus
    denial_reason: str | None
    response_type: ResponseType | None
    said: str | None
    is_edited: bool
    is_no: bool
    by: Person | None
    at: datetime
    delivered_at: datetime | None


class RunRow(NamedTuple):
    """A run in a list. `asked`: how many questions it put; `pending`: how many of them wait."""

    run_id: str
    objective: str
    status: RunStatus
    held: bool
    asked: int
    pending: int
    created_at: datetime


class AuditVerdict(NamedTuple):
    """What became of verifying a run's chain. `broken`: what is wrong with it, if anything is."""

    entries: int
    broken: str | None
