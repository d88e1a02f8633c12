"""The API's JSON, as far as a terminal reads it.

These are not the domain's records: pydantic would double the time that `hitl pending` takes to
start, and records refuse the fields that a newer server may send. A key that the API's description
does not promise is NotRequired. tests/terminal/test_wire.py holds all of it against /openapi.json.
"""

from typing import Any, Literal, NotRequired, TypedDict

Json = Any  # as the server sent it, or as the person gave it
JsonObject = dict[str, Any]

LAST_FRAMES = {"complete", "error"}
PROGRESS = {"progress", "tokens"}  # in `data`: a step says something while it works
ENDED = {"completed", "failed", "cancelled"}

RunStatusJson = Literal["queued", "running", "awaiting_hitl", "completed", "failed", "cancelled"]


class OptionJson(TypedDict):
    id: str
    label: str
    description: NotRequired[str | None]


class ActionJson(TypedDict):
    name: str
    arguments: NotRequired[JsonObject]
    allowedDecisions: NotRequired[list[Literal["approve", "edit", "reject", "respond"]]]


class FacetNamesJson(TypedDict):
    input: list[str]
    output: list[str]


class ContractSummaryJson(TypedDict):
    capabilityId: str
    facets: FacetNamesJson


class RequestJson(TypedDict):
    requestId: str
    runId: str
    originAgent: str
    status: Literal["pending", "resolved", "denied"]
    kind: Literal["approval", "choice", "freeform", "form", "open"]
    question: str
    options: NotRequired[list[OptionJson]]
    allowFreeForm: NotRequired[bool]
    urgency: NotRequired[Literal["low", "normal", "high"]]
    additionalContext: NotRequired[str | None]
    action: NotRequired[ActionJson | None]
    responseSchema: NotRequired[JsonObject | None]
    payload: NotRequired[Json]
    operatorPrompt: str
    contractSummary: ContractSummaryJson
    denialReason: NotRequired[str | None]
    createdAt: NotRequired[str | None]
    updatedAt: NotRequired[str | None]
    expiresAt: NotRequired[str | None]
    responses: NotRequired[list[JsonObject]]


class StepJson(TypedDict):
    stepId: str
    capabilityId: str
    label: str
    status: NotRequired[
        Literal["pending", "running", "awaiting_hitl", "completed", "denied", "failed", "skipped"]
    ]
    reason: NotRequired[str | None]


class PlanJson(TypedDict):
    version: int
    steps: list[StepJson]


class NotDoneJson(TypedDict):
    capabilityId: str
    reason: str


class ResultJson(TypedDict):
    outputs: JsonObject
    notDone: NotRequired[list[NotDoneJson]]


class RunErrorJson(TypedDict):
    message: str


class HeldJson(TypedDict):
    reason: str


class RunJson(TypedDict):
    runId: str
    threadId: str
    status: RunStatusJson
    objective: str
    plan: PlanJson | None
    pendingRequestId: str | None
    requests: list[RequestJson]
    result: ResultJson | None
    error: RunErrorJson | None
    held: NotRequired[HeldJson | None]
    stillWorking: NotRequired[bool]
    metadata: JsonObject
    createdAt: str


class RunsJson(TypedDict):
    runs: list[RunJson]
    nextCursor: str | None


class RequestsJson(TypedDict):
    requests: list[RequestJson]


class CountsJson(TypedDict):
    pending: int
    byAgent: JsonObject
    byUrgency: JsonObject


class CapabilityJson(TypedDict):
    capabilityId: str
    displayName: str
    summary: str
    inputFacets: list[str]
    outputFacets: list[str]


class CapabilitiesJson(TypedDict):
    capabilities: list[CapabilityJson]


class ExecutionContextJson(TypedDict):
    objective: str


class PausedRunJson(TypedDict):
    executionContext: ExecutionContextJson
    pendingRequests: list[RequestJson]


class QueueJson(TypedDict):
    runs: list[PausedRunJson]
    nextCursor: str | None


class ResumedJson(TypedDict):
    runId: str
    status: RunStatusJson


class FrameJson(TypedDict):
    """The `data:` of a server-sent event. /openapi.json describes these as text only."""

    type: Literal[
        "start",
        "phase",
        "plan_update",
        "handoff",
        "message",
        "warning",
        "metrics",
        "error",
        "complete",
    ]
    at: str
    message: str
    data: JsonObject


def is_progress(frame: FrameJson) -> bool:
    return not PROGRESS.isdisjoint(frame["data"])


def select_pending(run: RunJson) -> list[RequestJson]:
    """Return the run's questions that wait for an answer, in the order of asking."""
    return [request for request in run["requests"] if request["status"] == "pending"]


def find_option_id(options: list[OptionJson], text: str) -> str | None:
    """Return `text` if it is an id, else the id of the only option with that label, in any case."""
    if text in [option["id"] for option in options]:
        return text
    label = text.strip().casefold()
    labelled = [option["id"] for option in options if option["label"].casefold() == label]
    return labelled[0] if len(labelled) == 1 else None
