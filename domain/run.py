"""A run, as it is kept and as it is shown."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field, TypeAdapter

from hitl_orchestrator.domain.hitl import HitlRequest, HitlResponse, Person, RequestStatus
from hitl_orchestrator.domain.plan import Plan
from hitl_orchestrator.domain.records import JsonObject, Record
from hitl_orchestrator.domain.state import Facet, Result, RunError, RunSettings


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    AWAITING_HITL = "awaiting_hitl"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})


class Held(Record):
    """Why a run waits for other agents than those that are plugged in."""

    reason: str
    capabilityId: str
    since: datetime


class AuditEntry(Record):
    seq: int
    at: datetime
    action: str
    requestId: str | None = None
    operator: Person | None = None
    key: str | None = None
    note: str | None = None
    reason: str | None = None


class NewRun(Record):
    """What a caller wants of a new run. None, or empty `outputs`: as the settings say.

    `threadId`: made if absent.
    """

    objective: str
    inputs: JsonObject = Field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    agents: tuple[str, ...] | None = None
    threadId: str | None = None
    maxHitlRequests: int | None = None
    metadata: JsonObject = Field(default_factory=dict)


class StoredRun(Record):
    """The row. `settings` never change; who drives it, and the counters, are the memory's.

    `needs`: what who drives it must have, as `domain/needs.py` spells it.
    """

    settings: RunSettings
    metadata: JsonObject = Field(default_factory=dict)
    status: RunStatus
    plan: Plan | None = None
    facets: dict[str, Facet] = Field(default_factory=dict)
    result: Result | None = None
    error: RunError | None = None
    held: Held | None = None
    needs: tuple[str, ...] = ()
    claimToken: str | None = None
    stillWorking: bool = False
    retrying: bool = False  # a retry was ordered, and the graph does not know it yet
    createdAt: datetime
    updatedAt: datetime

    @property
    def runId(self) -> str:
        return self.settings.runId

    @property
    def threadId(self) -> str:
        return self.settings.threadId

    def owns_thread(self, thread_id: str) -> bool:
        """Tell whether it is the run's, or an agent's: those have the run's id in their names."""
        return thread_id == self.threadId or self.runId in thread_id

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class Run(Record):
    """What `GET /api/runs/{runId}` shows. `metadata` is the caller's, with `auditLog` added."""

    runId: str
    threadId: str
    status: RunStatus
    objective: str
    plan: Plan | None
    facets: dict[str, Facet]
    pendingRequestId: str | None
    requests: tuple[HitlRequest, ...]
    responses: tuple[HitlResponse, ...]
    deniedCount: int
    maxHitlRequests: int
    result: Result | None
    error: RunError | None
    held: Held | None = None
    stillWorking: bool = False
    metadata: JsonObject
    createdAt: datetime
    updatedAt: datetime


_AUDIT_LOG = TypeAdapter(list[AuditEntry])  # one call for all of them


def build_run_view(run: StoredRun, requests: list[HitlRequest], audit: list[AuditEntry]) -> Run:
    """Put together what is shown. `requests`: in the order of asking, with their responses."""
    return Run.model_construct(  # all of it has been validated
        runId=run.runId,
        threadId=run.threadId,
        status=run.status,
        objective=run.settings.objective,
        plan=run.plan,
        facets=run.facets,
        pendingRequestId=current_request_id(requests),
        requests=tuple(requests),
        responses=tuple(response for request in requests for response in request.responses),
        deniedCount=sum(request.status is RequestStatus.DENIED for request in requests),
        maxHitlRequests=run.settings.maxHitlRequests,
        result=run.result,
        error=run.error,
        held=run.held,
        stillWorking=run.stillWorking,
        metadata={**run.metadata, "auditLog": _AUDIT_LOG.dump_python(audit, mode="json")},
        createdAt=run.createdAt,
        updatedAt=run.updatedAt,
    )


def drop_history(run: Run) -> Run:
    """Return it with what waits for a person, without what is over."""
    pending = (one for one in run.requests if one.status is RequestStatus.PENDING)
    metadata = {**run.metadata, "auditLog": list[JsonObject]()}
    return run.but(requests=tuple(pending), responses=(), metadata=metadata)


def current_request_id(requests: list[HitlRequest]) -> str | None:
    """Return the id of the oldest that is pending."""
    return next(
        (request.requestId for request in requests if request.status is RequestStatus.PENDING), None
    )
