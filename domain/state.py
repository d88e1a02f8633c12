"""The graph's channels, plain JSON, and the same read as records.

A Pydantic object in a checkpoint would carry its module's path and come back as a bare dict in
strict mode, so the channels hold what `Record.json_object` makes, and the nodes read them through
`Snapshot`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from hitl_orchestrator.domain.capability import OBJECTIVE
from hitl_orchestrator.domain.events import Cause
from hitl_orchestrator.domain.hitl import Answer, Denied, HitlRequest, Question, RequestStatus
from hitl_orchestrator.domain.plan import Plan
from hitl_orchestrator.domain.records import Json, JsonObject, Record

INPUT = "input"  # who made a facet that came with the start


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Reduce: later keys win.

    Parallel specialists write different keys; LangGraph applies them in the order of the wave.
    """
    return {**old, **new}


def forgotten(old: list[JsonObject], new: list[JsonObject]) -> list[JsonObject]:
    """Reduce to nothing: what happened is read from the writes as they are made durable."""
    return []


class State(TypedDict, total=False):
    run: JsonObject  # RunSettings
    plan: JsonObject  # Plan
    # the answers, denials and failures the planner has seen: ids of requests and steps
    considered: list[str]
    facets: Annotated[dict[str, JsonObject], merged]  # name -> Facet
    reports: Annotated[dict[str, JsonObject], merged]  # stepId -> Report
    # requestId -> Asked, in the order of asking
    questions: Annotated[dict[str, JsonObject], merged]
    result: JsonObject | None  # Result
    events: Annotated[list[JsonObject], forgotten]  # domain.events.Event


class RunSettings(Record):
    """What a run was started with; never changed, so that a replay reaches the same verdicts.

    `retriedAt`: in the graph's state, the plan's version when the run was last retried.
    """

    runId: str
    threadId: str
    objective: str
    inputs: JsonObject = Field(default_factory=dict)
    outputs: tuple[str, ...]
    agents: tuple[str, ...] | None = None
    maxHitlRequests: int
    hitlEnabled: bool = True
    requestTtlSeconds: float | None = None
    retriedAt: int | None = None


class Facet(Record):
    value: Json
    producedBy: str


class Ask(Record):
    """A question of an agent. `key` is the agent's own name for it: the answer goes back by it."""

    key: str
    question: Question


class Outcome(StrEnum):
    ASKING = "asking"
    COMPLETED = "completed"
    DENIED = "denied"
    FAILED = "failed"


class Report(Record):
    """What became of a specialist's visit."""

    outcome: Outcome
    asks: tuple[Ask, ...] = ()
    # kept in the channel of that name, once
    facets: JsonObject = Field(default_factory=dict, exclude=True)
    reason: str | None = None
    warnings: tuple[str, ...] = Field(default=(), exclude=True)
    # an error broke it off: another try may end otherwise
    raised: bool = Field(default=False, exclude=True)
    # the keys of answered questions whose answers the agent did not get
    undelivered: tuple[str, ...] = Field(default=(), exclude=True)


class Asked(Record):
    """A question after the guard: as it is known outside, whose it is, and its end.

    `keys`: the agent's own names for it, all of which its answer answers.
    `repeats`: the earlier request whose denial this one repeats; such a one is no request of its
    own and has no row. `cause`: why the guard refused it, if it did.
    """

    request: HitlRequest
    fingerprint: str
    keys: tuple[str, ...]
    repeats: str | None = None
    agentFingerprint: str = ""  # of the agent that asked
    answer: Answer | None = None
    cause: Cause | None = None
    undelivered: bool = False  # it was answered, and the agent has not got the answer
    expiresInSeconds: float | None = None

    @property
    def waits(self) -> bool:
        return self.request.status is RequestStatus.PENDING

    @property
    def refusal(self) -> str | None:
        """Why it was refused: by a guard, by its expiry, or by a person. None: it was not."""
        if isinstance(self.answer, Denied):
            return self.answer.reason
        if self.request.status is RequestStatus.DENIED:
            return self.request.denialReason or ""
        return None


class NotDone(Record):
    stepId: str
    capabilityId: str
    reason: str


class RunError(Record):
    message: str
    stepId: str | None = None


class Result(Record):
    """`error` is set when the run failed."""

    outputs: JsonObject
    notDone: tuple[NotDone, ...] = ()


class Ending(Record):
    """What the planner writes when nothing is left to do."""

    result: Result
    error: RunError | None = None


class Snapshot(Record):
    """The state, read."""

    run: RunSettings
    plan: Plan | None = None
    considered: tuple[str, ...] = ()
    facets: dict[str, Facet] = Field(default_factory=dict)
    reports: dict[str, Report] = Field(default_factory=dict)
    questions: dict[str, Asked] = Field(default_factory=dict)
    result: Ending | None = None

    @classmethod
    def first(cls, run: RunSettings) -> "Snapshot":
        """Return the state before the planner has seen it."""
        at_hand = {OBJECTIVE: run.objective, **run.inputs}
        return cls(
            run=run,
            facets={name: Facet(value=value, producedBy=INPUT) for name, value in at_hand.items()},
        )

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "Snapshot":
        return cls.read({name: value for name, value in state.items() if name in cls.model_fields})

    def after(self, writes: list[tuple[str, Any]]) -> "Snapshot":
        """Fold in a finished task's writes, as LangGraph's reducers do."""
        changes: dict[str, Any] = {}
        for channel, value in writes:
            match channel:
                case "plan":
                    changes[channel] = Plan.read(value)
                case "considered":
                    changes[channel] = tuple(value)
                case "result":
                    changes[channel] = value and Ending.read(value)
                case "facets":
                    changes[channel] = self.facets | {k: Facet.read(v) for k, v in value.items()}
                case "reports":
                    changes[channel] = self.reports | {k: Report.read(v) for k, v in value.items()}
                case "questions":
                    changes[channel] = self.questions | {k: Asked.read(v) for k, v in value.items()}
                case _:
                    pass
        return self.but(**changes)


def first_state(snapshot: Snapshot) -> dict[str, Any]:
    """Return the graph's input: of a new run, or of one that begins again.

    Every channel is overwritten: nothing of an earlier run of the thread leaks into this one.
    """
    return {
        "run": snapshot.run.json_object(),
        "plan": snapshot.plan and snapshot.plan.json_object(),
        "considered": [*snapshot.considered],
        "facets": _overwrite(snapshot.facets),
        "reports": _overwrite(snapshot.reports),
        "questions": _overwrite(snapshot.questions),
        "result": None,
    }


def _overwrite(records: Mapping[str, Record]) -> JsonObject:
    """Return the value that gets past the channel's reducer."""
    return {"__overwrite__": {name: one.json_object() for name, one in records.items()}}
