"""Questions and answers: what an agent may ask, and what a person may answer."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, StringConstraints

from hitl_orchestrator.domain.records import Json, JsonObject, Record

MAX_QUESTION_BYTES = 256 * 1024
# of one step; a denied agent that words its question anew each time would never end
MAX_DENIALS = 500
MAX_REPEATS = 3  # a step that insists on a denied question more often than this fails


class RequestStatus(StrEnum):
    PENDING = "pending"
    RESOLVED = "resolved"
    DENIED = "denied"


class Kind(StrEnum):
    APPROVAL = "approval"
    CHOICE = "choice"
    FREEFORM = "freeform"
    FORM = "form"
    OPEN = "open"


class Urgency(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Decision(StrEnum):
    """What a person may do with a concrete action. The names are LangChain's."""

    APPROVE = "approve"
    EDIT = "edit"
    REJECT = "reject"
    RESPOND = "respond"


class ResponseType(StrEnum):
    APPROVAL = "approval"
    REJECTION = "rejection"
    OPTION = "option"
    FREEFORM = "freeform"
    FORM = "form"


Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class Option(Record):
    id: Name
    label: Text
    description: str | None = None


class Action(Record):
    """A concrete call that waits for a person: a tool and its arguments."""

    name: Name
    arguments: JsonObject = Field(default_factory=dict)
    allowedDecisions: tuple[Decision, ...] = (Decision.APPROVE, Decision.EDIT, Decision.REJECT)


class Question(Record):
    """What an agent asks, validated. See `domain.asking` for how it is read from an interrupt."""

    question: Text
    kind: Kind = Kind.FREEFORM
    options: tuple[Option, ...] = ()
    allowFreeForm: bool = False
    urgency: Urgency = Urgency.NORMAL
    additionalContext: str | None = None
    action: Action | None = None
    responseSchema: JsonObject | None = None
    expiresInSeconds: Annotated[float, Field(gt=0, le=366 * 86400)] | None = None
    payload: Json = None  # what the agent handed to `interrupt()`, whole
    unshowable: str | None = None  # why nobody can be shown it; then it is refused


class Person(Record):
    """Who answered or removed."""

    id: Name
    displayName: Name | None = None
    email: Name | None = None


class By(NamedTuple):
    """Who decides, and what they note for the audit.

    `key`: the name of the key it came by; None: the server's own, or no call at all.
    """

    operator: Person | None = None
    note: str | None = None
    key: Name | None = None


NOBODY = By()


class Answered(Record):
    """What `interrupt()` returns to an agent that was answered."""

    status: Literal["answered"] = "answered"
    responseType: ResponseType
    approved: bool | None = None
    selectedOptionId: str | None = None
    freeformText: str | None = None
    data: Json = None
    editedArguments: JsonObject | None = None
    responder: Person | None = None


class Denied(Record):
    """What `interrupt()` returns to an agent that was refused, by a guard or by a person."""

    status: Literal["denied"] = "denied"
    approved: Literal[False] = False
    reason: str


Answer = Annotated[Answered | Denied, Field(discriminator="status")]


class Settled(Record):
    """How a request ended, as it goes down to the graph.

    `withRun`: nobody decided it, its run ended. After a retry it is asked again.
    """

    status: Literal[RequestStatus.RESOLVED, RequestStatus.DENIED]
    answer: Answer
    withRun: bool = False


class HitlResponse(Record):
    """One response as a person gave it.

    A request may have several: one that decides, and comments.
    """

    requestId: Name
    responseType: ResponseType
    approved: bool | None = None
    selectedOptionId: Name | None = None
    freeformText: str | None = None
    editedArguments: JsonObject | None = None
    data: Json = None
    responderId: Name | None = None
    responderDisplayName: Name | None = None
    metadata: JsonObject = Field(default_factory=dict)
    createdAt: datetime | None = None

    @property
    def responder(self) -> Person | None:
        return (
            Person(id=self.responderId, displayName=self.responderDisplayName)
            if self.responderId
            else None
        )


class FacetNames(Record):
    input: tuple[str, ...]
    output: tuple[str, ...]


class Contract(Record):
    """JSON Schemas, merged from the facets' own."""

    input: JsonObject
    output: JsonObject


class ContractSummary(Record):
    """What the node that asks takes and gives, for the person who decides."""

    nodeId: str
    nodeLabel: str
    capabilityId: str
    capabilityLabel: str
    planVersion: int
    facets: FacetNames
    contract: Contract


class Earlier(Record):
    """How an earlier question of the same words, in the same step, ended."""

    requestId: str
    status: RequestStatus
    answer: Answer | None = None
    denialReason: str | None = None


class HitlRequest(Record):
    """A question that was put to a person, or that a guard refused.

    Times are set where it is written down.
    """

    requestId: str
    runId: str
    threadId: str
    stepId: str
    originAgent: str
    status: RequestStatus
    kind: Kind
    question: str
    options: tuple[Option, ...] = ()
    allowFreeForm: bool = False
    urgency: Urgency = Urgency.NORMAL
    additionalContext: str | None = None
    action: Action | None = None
    responseSchema: JsonObject | None = None
    payload: Json = None
    earlier: tuple[Earlier, ...] = ()
    operatorPrompt: str
    pendingNodeId: str
    contractSummary: ContractSummary
    attempt: int = 1
    denialReason: str | None = None
    createdAt: datetime | None = None
    updatedAt: datetime | None = None
    expiresAt: datetime | None = None
    deliveredAt: datetime | None = None
    responses: tuple[HitlResponse, ...] = ()

    def shorten(self) -> "HitlRequest":
        """Return it without what only those need who decide."""
        return self.but(
            options=(),
            additionalContext=None,
            action=None,
            responseSchema=None,
            payload=None,
            earlier=(),
            operatorPrompt="",
            contractSummary=_NO_SUMMARY,
        )


_NO_SUMMARY = ContractSummary(
    nodeId="",
    nodeLabel="",
    capabilityId="",
    capabilityLabel="",
    planVersion=0,
    facets=FacetNames(input=(), output=()),
    contract=Contract(input={}, output={}),
)


class AnsweredRequest(HitlRequest):
    """A request with what the agent gets for it; None while it is pending.

    An agent elsewhere gets what `interrupt()` would return, so JSON of any kind; None where it was
    refused and knows no refusal. `refusal`: why it was, by whomever.
    """

    answer: Answered | Denied | Json = None
    refusal: str | None = None


class QueueCounts(Record):
    """How many requests are pending, in all runs."""

    pending: int
    high: int
    oldestAt: datetime | None
    byAgent: dict[str, int]
    byUrgency: dict[Urgency, int]
