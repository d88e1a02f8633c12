"""A plan over specialist agents, and what of it is ready."""

from enum import StrEnum

from hitl_orchestrator.domain.records import Record

MAX_REVISIONS = 10
MAX_STEPS = 50


class StepStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    AWAITING_HITL = "awaiting_hitl"
    COMPLETED = "completed"
    DENIED = "denied"
    FAILED = "failed"
    SKIPPED = "skipped"


OPEN = frozenset({StepStatus.PENDING, StepStatus.RUNNING, StepStatus.AWAITING_HITL})


class Step(Record):
    stepId: str
    capabilityId: str
    label: str
    status: StepStatus = StepStatus.PENDING
    inputFacets: tuple[str, ...] = ()
    optionalInputFacets: tuple[str, ...] = ()
    outputFacets: tuple[str, ...] = ()
    reason: str | None = None


class Plan(Record):
    version: int
    steps: tuple[Step, ...]
