"""What callers send and get, beside the domain's own records.

Fields carry the wire's names; unknown ones are refused.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    StrictBool,
    model_validator,
)
from pydantic.config import JsonDict

from hitl_orchestrator.domain.asking import infer_kind
from hitl_orchestrator.domain.assignments import (
    AgentQuestion,
    AgentReport,
    Assignment,
    Home,
    Registration,
    ReportedOutcome,
    ShownAgent,
)
from hitl_orchestrator.domain.capability import (
    Capability,
    FacetName,
    Retries,
)
from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.fitting import find_contradiction, infer_type
from hitl_orchestrator.domain.hitl import (
    Action,
    By,
    Contract,
    HitlRequest,
    HitlResponse,
    Name,
    Option,
    Person,
    ResponseType,
    Text,
    Urgency,
)
from hitl_orchestrator.domain.outside import NewQuestion
from hitl_orchestrator.domain.plan import Plan
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.records import Json, JsonObject, Record
from hitl_orchestrator.domain.run import Run, RunStatus, StoredRun, current_request_id
from hitl_orchestrator.domain.state import Facet
from hitl_orchestrator.domain.webhooks import Callback, is_secret
from hitl_orchestrator.server.new_run import MOST_ITEMS, Body, Id, WholeNumber

MOST_LINES = 20  # that an agent says at once
MOST_TTL_SECONDS = 366 * 86400
OWN_WORDS = (
    *("question", "kind", "options", "allowFreeForm", "urgency"),
    *("additionalContext", "action"),
)


Reason = Annotated[str, Field(min_length=1, max_length=2000)]
SearchText = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Note = Annotated[str, Field(max_length=10_000)]


Facets = Annotated[list[FacetName], Field(max_length=MOST_ITEMS)]
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{16,100}$")]


class AskOutside(Body):
    """A question of an agent elsewhere: in our own words, or whatever it is asked with."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["question"]}, {"required": ["payload"]}]}
    )

    question: Text | None = None
    kind: Literal["approval", "choice", "freeform", "form"] | None = None
    options: Annotated[list[Option], Field(max_length=MOST_ITEMS)] | None = None
    allowFreeForm: StrictBool | None = None
    urgency: Urgency | None = None
    additionalContext: str | None = None
    action: Action | None = None
    payload: Json = None
    responseSchema: JsonObject | None = None
    originAgent: Id | None = None
    group: Id | None = None
    maxHitlRequests: Annotated[WholeNumber, Field(ge=0, le=1000)] | None = None
    expiresInSeconds: Annotated[float, Field(gt=0, le=MOST_TTL_SECONDS)] | None = None
    callbackUrl: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    callbackSecret: Annotated[str, Field(max_length=200)] | None = None
    metadata: JsonObject = Field(default_factory=dict)

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if self.question is None and "payload" not in self.model_fields_set:
            raise ValueError("`question` or `payload` is needed")
        if "payload" in self.model_fields_set and self._own:
            raise ValueError(f"`{next(iter(self._own))}` does not go with `payload`")
        if "auditLog" in self.metadata:
            raise ValueError(
                "`metadata` cannot have `auditLog`: the run's own audit log is shown there"
            )
        return self

    @property
    def _own(self) -> JsonObject:
        """Return what it says in our words."""
        said = self.model_dump(mode="json", include={*OWN_WORDS}, exclude_none=True)
        return {name: said[name] for name in OWN_WORDS if name in said}

    def read_callback(self, default_secret: str | None) -> Callback | None:
        """Return who is told of the end; None: nobody. Raise Invalid."""
        if self.callbackUrl is None:
            return None
        secret = self.callbackSecret or default_secret
        if secret is None:
            raise Invalid("`callbackUrl` wants a `callbackSecret`: the server has none of its own.")
        if not is_secret(secret):
            raise Invalid("`callbackSecret` must be whsec_ and 24 to 64 bytes in base64.")
        return Callback(self.callbackUrl, secret)

    def read(self) -> NewQuestion:
        payload, schema = self.payload, self.responseSchema
        if self.question is not None:
            own = self._own if schema is None else {**self._own, "responseSchema": schema}
            payload, schema = {"kind": infer_kind(own).value, **own}, None
        return NewQuestion(
            payload=payload,
            responseSchema=schema,
            maxHitlRequests=self.maxHitlRequests,
            expiresInSeconds=self.expiresInSeconds,
            metadata=self.metadata,
        )


class RegisterAgent(Body):
    home: Home
    displayName: Annotated[str, Field(min_length=1, max_length=200)]
    summary: Annotated[str, Field(max_length=2000)] = ""
    inputFacets: Facets = Field(default_factory=list[str])
    optionalInputFacets: Facets = Field(default_factory=list[str])
    outputFacets: Annotated[list[FacetName], Field(min_length=1, max_length=MOST_ITEMS)]
    facets: Annotated[
        dict[FacetName, JsonObject], Field(json_schema_extra={"additionalProperties": False})
    ] = Field(default_factory=dict[str, JsonObject])
    reworks: Facets = Field(default_factory=list[str])
    timeoutSeconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600
    retries: Retries | None = None
    canRefuse: StrictBool = False

    def read(self) -> Registration:
        return Registration.model_validate(self.model_dump(mode="json", exclude={"home"}))


class TakeStep(Body):
    home: Home
    token: Token


class KeepStep(Body):
    token: Token
    progress: Annotated[list[Json], Field(max_length=MOST_LINES)] = Field(
        default_factory=list[Json]
    )


class ReportStep(Body):
    token: Token
    outcome: ReportedOutcome
    questions: Annotated[list[AgentQuestion], Field(max_length=MOST_ITEMS)] = Field(
        default_factory=list[AgentQuestion]
    )
    output: JsonObject = Field(default_factory=dict)
    reason: Annotated[str, Field(max_length=10_000)] = ""
    isFinal: StrictBool = False

    def read(self) -> AgentReport:
        return AgentReport(
            outcome=self.outcome,
            questions=tuple(self.questions),
            output=self.output,
            reason=self.reason,
            isFinal=self.isFinal,
        )


class Registered(Record):
    capabilityId: str
    leaseSeconds: float
    waitSeconds: float


class Agents(Record):
    agents: tuple[ShownAgent, ...]


class TakenStep(Record):
    runId: str
    stepId: str
    number: int
    threadId: str
    task: JsonObject
    answers: dict[str, JsonObject] | None
    isBegun: bool

    @classmethod
    def of(cls, assignment: Assignment, is_begun: bool) -> Self:
        return cls(
            runId=assignment.runId,
            stepId=assignment.stepId,
            number=assignment.number,
            threadId=f"{assignment.runId}/{assignment.stepId}",
            task=assignment.task,
            answers=assignment.answers,
            isBegun=is_begun,
        )


class Signed(Body):
    operator: Person | None = None
    note: Note | None = None

    @property
    def by(self) -> By:
        return By(self.operator, self.note)


class Retry(Signed):
    pass


class Cancel(Signed):
    reason: Reason


def _with(field: str) -> JsonDict:
    return {"required": [field], "properties": {field: {"type": "string"}}}


class OfRun(Body):
    """Of a run, by its id, its thread, or both."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_with("runId"), _with("threadId")]})

    runId: Id | None = None
    threadId: Id | None = None
    operator: Person | None = None
    note: Note | None = None

    @model_validator(mode="after")
    def _names_a_run(self) -> Self:
        if self.runId is None and self.threadId is None:
            raise ValueError("`runId` or `threadId` is needed")
        return self

    @property
    def ref(self) -> RunRef:
        return RunRef(self.runId, self.threadId)

    @property
    def by(self) -> By:
        return By(self.operator, self.note)


class Remove(OfRun):
    requestId: Id | None = None
    reason: Reason


class Deny(OfRun):
    requestId: Id
    reason: Reason


class Response(Body):
    requestId: Id
    responseType: ResponseType | None = None
    approved: StrictBool | None = None
    selectedOptionId: Name | None = None
    freeformText: Annotated[str, Field(max_length=100_000)] | None = None
    editedArguments: JsonObject | None = None
    data: Json = None
    responderId: Name | None = None
    responderDisplayName: Name | None = None
    metadata: JsonObject = Field(default_factory=dict)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if problem := find_contradiction(self._type, self._given):
            raise ValueError(problem)
        return self

    @property
    def _given(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.model_fields_set}

    @property
    def _type(self) -> ResponseType:
        return self.responseType or infer_type(self._given)

    def read(self, operator: Person | None) -> HitlResponse:
        """Read the response. `operator`: who answers for one that does not say."""
        given = {name: value for name, value in self._given.items() if value is not None}
        given["responseType"] = self._type
        if self.responderId is None and operator is not None:
            given["responderId"] = operator.id
            given["responderDisplayName"] = self.responderDisplayName or operator.displayName
        return HitlResponse.model_validate(given)


class Resume(OfRun):
    requestId: Id
    responses: Annotated[list[Response], Field(min_length=1, max_length=MOST_ITEMS)]

    @property
    def responder(self) -> Person | None:
        """The first who is said to answer."""
        named = (response for response in self.responses if response.responderId)
        first = next(named, None)
        return first and Person(id=first.responderId or "", displayName=first.responderDisplayName)

    def read_responses(self, operator: Person | None) -> list[HitlResponse]:
        """Read the responses. `operator`: who answers for those that do not say."""
        return [response.read(operator) for response in self.responses]


class Resumed(Record):
    runId: str
    threadId: str
    status: RunStatus
    pendingRequestId: str | None
    run: Run

    @classmethod
    def of(cls, run: Run) -> Self:
        return cls(
            runId=run.runId,
            threadId=run.threadId,
            status=run.status,
            pendingRequestId=run.pendingRequestId,
            run=run,
        )


class Runs(Record):
    runs: tuple[Run, ...]
    nextCursor: str | None


class ExecutionContext(Record):
    objective: str
    plan: Plan | None
    facets: dict[str, Facet]


class PausedRun(Record):
    runId: str
    threadId: str
    status: RunStatus
    pendingRequestId: str | None
    executionContext: ExecutionContext
    pendingRequests: tuple[HitlRequest, ...]
    updatedAt: datetime

    @classmethod
    def of(cls, run: StoredRun, pending: Sequence[HitlRequest]) -> Self:
        return cls(
            runId=run.runId,
            threadId=run.threadId,
            status=run.status,
            pendingRequestId=current_request_id(list(pending)),
            executionContext=ExecutionContext(
                objective=run.settings.objective, plan=run.plan, facets=run.facets
            ),
            pendingRequests=tuple(pending),
            updatedAt=run.updatedAt,
        )


class Queue(Record):
    runs: tuple[PausedRun, ...]
    nextCursor: str | None


class Requests(Record):
    requests: tuple[HitlRequest, ...]
    nextCursor: str | None


class ShownCapability(Record):
    capabilityId: str
    displayName: str
    summary: str
    inputFacets: tuple[str, ...]
    optionalInputFacets: tuple[str, ...]
    outputFacets: tuple[str, ...]
    contract: Contract

    @classmethod
    def of(cls, capability: Capability) -> Self:
        return cls.model_validate({name: getattr(capability, name) for name in cls.model_fields})


class Capabilities(Record):
    capabilities: tuple[ShownCapability, ...]
