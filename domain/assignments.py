"""Steps that agents in processes of their own take: what they are handed, and what they report.

The protocol is in docs/agents-elsewhere.md.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple, Protocol

from pydantic import Field, StringConstraints

from hitl_orchestrator.domain.records import Json, JsonObject, Record

LEASE_SECONDS = 30.0  # without a word from an agent it is taken to be away
WAIT_SECONDS = 25.0  # that a call for a step may take
LOOK_SECONDS = 5.0  # so often it is looked anyway whether there is something new
_REFUSED = "__hitl_refused__"  # a name that no answer has

Home = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{1,100}$")]


class Registration(Record):
    """How an agent in a process of its own describes itself: the keys of a mapping.

    `canRefuse`: it says itself what a refused `interrupt()` returns.
    """

    displayName: str
    summary: str = ""
    inputFacets: tuple[str, ...] = ()
    optionalInputFacets: tuple[str, ...] = ()
    outputFacets: tuple[str, ...]
    facets: dict[str, JsonObject] = Field(default_factory=dict[str, JsonObject])
    reworks: tuple[str, ...] = ()
    timeoutSeconds: float = 600
    retries: JsonObject | None = None
    canRefuse: bool = False


class RegisteredAgent(NamedTuple):
    """`is_alive`: it was heard of within its lease."""

    capability_id: str
    registration: Registration
    is_alive: bool


class ShownAgent(Record):
    """An agent in a process of its own, as people see it. `key`: its name; None: of the first."""

    capabilityId: str
    displayName: str
    key: str | None
    registeredAt: datetime
    isAlive: bool


class ReportedOutcome(StrEnum):
    ASKING = "asking"
    COMPLETED = "completed"
    FAILED = "failed"


class AgentQuestion(Record):
    """What was handed to `interrupt()`, under a key that no other question of the step has."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    value: Json
    responseSchema: JsonObject | None = None


class AgentReport(Record):
    """How far the agent came. `isFinal`: after this failure no other try would help."""

    outcome: ReportedOutcome
    questions: tuple[AgentQuestion, ...] = ()
    output: JsonObject = Field(default_factory=dict)
    reason: str = ""
    isFinal: bool = False


class Assignment(Record):
    """A step as it is handed to its agent.

    `number` counts what was handed out: the task, its answers, another try. `told`: digests of the
    answers that the agent was given, by question. `isTaken`: an agent works on it, or did last.
    """

    runId: str
    stepId: str
    capabilityId: str
    number: int = 1
    task: JsonObject
    answers: dict[str, JsonObject] | None = None  # by the agent's own key
    told: dict[str, str] = Field(default_factory=dict[str, str])
    report: AgentReport | None = None
    progress: tuple[Json, ...] = ()
    progressNumber: int = 0
    isTaken: bool = False
    isAlive: bool = True

    @property
    def has_failed(self) -> bool:
        return self.report is not None and self.report.outcome is ReportedOutcome.FAILED

    def again(self) -> "Assignment":
        """Return it as it is handed out once more: the agent looks itself how far it came."""
        return self.but(number=self.number + 1, report=None)


class Assignments(Protocol):
    """Where steps lie that agents in processes of their own take. `is_ending`: this process ends.

    All raise StoreUnavailable.
    """

    @property
    def is_ending(self) -> bool: ...

    async def find(self, run_id: str, step_id: str) -> Assignment | None: ...

    async def assign(self, assignment: Assignment) -> None:
        """Hand it out. Do nothing where another has handed it out already, by that number."""
        ...

    async def wait(self, assignment: Assignment) -> Assignment:
        """Return it once it was touched, when this process ends, or after LOOK_SECONDS."""
        ...

    async def withdraw(self, assignment: Assignment, reason: str) -> None:
        """Take it from whoever works on it: it has failed."""
        ...


def refuse(reason: str) -> JsonObject:
    """Return what stands for a refusal until it is written; the agent says itself what that is."""
    return {_REFUSED: reason}


def write_answer(value: Json) -> JsonObject:
    """Return what an agent is told for a question: what `interrupt()` returns, or a refusal."""
    if isinstance(value, dict) and _REFUSED in value:
        return {"refused": value[_REFUSED]}
    return {"value": value}
