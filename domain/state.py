"""The state of a run, and what is added to it: the graph's one channel, `run`.

Nodes read a `Snapshot` and write a `Delta`. Both are JSON where they are kept: a Pydantic object in
a checkpoint would carry its module's path, and come back as a bare dict in strict mode.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self

from pydantic import Field

from hitl_orchestrator.domain.capability import OBJECTIVE
from hitl_orchestrator.domain.events import Cause, Event
from hitl_orchestrator.domain.hitl import Answer, Denied, HitlRequest, Question, RequestStatus
from hitl_orchestrator.domain.plan import Plan
from hitl_orchestrator.domain.records import Json, JsonObject, Record

INPUT = "input"  # who made a facet that came with the start
RUN = "run"  # the channel
SHAPE = "2"  # of what is kept of it
# in the shape before: a channel for each part of the state
PARTS = frozenset({"run", "plan", "considered", "facets", "reports", "questions"})


def mark_shape(fingerprint: str) -> str:
    """Return what is noted of who asks: its graph, and how the state of its run is kept.

    So a program that keeps it otherwise does not take it for its own.
    """
    return f"{SHAPE}:{fingerprint}"


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
    facets: JsonObject = Field(default_factory=dict, exclude=True)
    reason: str | None = None
    warnings: tuple[str, ...] = Field(default=(), exclude=True)
    # an error broke it off: another try may end otherwise
    raised: bool = Field(default=False, exclude=True)
    # the keys of answered questions whose answers the agent did not get
    undelivered: tuple[str, ...] = Field(default=(), exclude=True)

    def to_keep(self) -> "Report":
        """Return what stays in the state of it: facets are kept as such, once."""
        return self.but(facets={}, warnings=(), raised=False, undelivered=())


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

    def to_keep(self) -> "Asked":
        """Return what stays in the state of it: once it has ended, its row alone has the whole.

        Else what each further question costs would grow with those before it.
        """
        if self.waits or self.undelivered:
            return self
        return self.but(request=self.request.shorten())

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
    """The state. `is_partial`: a program of before kept it, and most of it elsewhere."""

    run: RunSettings
    plan: Plan | None = None
    considered: tuple[str, ...] = ()
    facets: dict[str, Facet] = Field(default_factory=dict)
    reports: dict[str, Report] = Field(default_factory=dict)
    questions: dict[str, Asked] = Field(default_factory=dict)
    result: Ending | None = None
    metadata: JsonObject = Field(default_factory=dict)
    is_partial: bool = Field(default=False, exclude=True)

    @classmethod
    def first(cls, run: RunSettings, metadata: JsonObject | None = None) -> "Snapshot":
        """Return the state before the planner has seen it. `metadata`: the caller's, of the run."""
        at_hand = {OBJECTIVE: run.objective, **run.inputs}
        return cls(
            run=run,
            metadata=metadata or {},
            facets={name: Facet(value=value, producedBy=INPUT) for name, value in at_hand.items()},
        )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Snapshot":
        """Return it from the values of the compiled graph."""
        return values[RUN]

    def after(self, delta: "Delta") -> "Snapshot":
        """Fold in what a node added."""
        state = delta.first or self
        changes: dict[str, Any] = {
            "facets": state.facets | delta.facets,
            "reports": state.reports | delta.reports,
            "questions": state.questions
            | {name: asked.to_keep() for name, asked in delta.questions.items()},
        }
        for name in ("plan", "considered", "result"):
            if (value := getattr(delta, name)) is not None:
                changes[name] = value
        return state.but(**changes)


class Delta(Record):
    """What a node adds to the state; None: nothing. `events`: what happened, which is not kept.

    `first`: the state that a run begins with, or begins again with; the rest comes on top of it.
    """

    first: Snapshot | None = None
    plan: Plan | None = None
    considered: tuple[str, ...] | None = None
    facets: dict[str, Facet] = Field(default_factory=dict)
    reports: dict[str, Report] = Field(default_factory=dict)
    questions: dict[str, Asked] = Field(default_factory=dict)
    result: Ending | None = None
    events: tuple[Event, ...] = ()

    def join(self, other: "Delta") -> "Delta":
        """Return both as one, of which the other comes later."""
        return self.but(
            first=other.first or self.first,
            plan=other.plan or self.plan,
            considered=self.considered if other.considered is None else other.considered,
            facets=self.facets | other.facets,
            reports=self.reports | other.reports,
            questions=self.questions | other.questions,
            result=other.result or self.result,
            events=(*self.events, *other.events),
        )

    def write(self) -> "DeltaBytes":
        return DeltaBytes(self)

    @classmethod
    def of(cls, written: "bytes | Delta") -> "Delta":
        """Read what a node wrote, which any saver may have kept. Raise Unreadable.

        What a driver gives as an input is no write, and comes as it is.
        """
        if isinstance(written, Delta):
            return written
        return written.delta if isinstance(written, DeltaBytes) else cls.read_json(written)


class DeltaBytes(bytes):
    """A delta as savers keep it, JSON, and as it was before it was made so."""

    delta: Delta

    def __new__(cls, delta: Delta) -> Self:
        made = super().__new__(cls, delta.write_json())
        made.delta = delta
        return made

    def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
        """Be pickled as what savers keep: `langgraph dev` pickles its own."""
        return bytes, (bytes(self),)


def first_state(snapshot: Snapshot) -> dict[str, Any]:
    """Return the graph's input: of a new run, or of one that begins again."""
    # savers keep the whole of an input, and know bytes, but nothing that is more than that
    return {RUN: Delta(first=snapshot).write_json()}
