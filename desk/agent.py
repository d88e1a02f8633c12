"""The plug-in format of docs/agents.md, as the desk's specialists keep it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, Required, TypedDict, cast

from langgraph.types import interrupt

from hitl_orchestrator.domain.records import Json, JsonObject

STRATEGIST, WRITER, REVIEWER, PUBLISHER = (
    f"announcement.{name}" for name in ("strategist", "writer", "reviewer", "publisher")
)


class DeskAnswer(TypedDict, total=False):
    """What `interrupt()` returns: an answer, or a denial by a guard or a person with its reason."""

    status: Required[Literal["answered", "denied"]]
    reason: str
    approved: bool | None
    selectedOptionId: str | None
    freeformText: str | None
    editedArguments: JsonObject | None
    responder: JsonObject | None


class Said(TypedDict):
    """One answer or denial of the run so far."""

    originAgent: str
    question: str
    status: Literal["answered", "denied"]
    answer: NotRequired[DeskAnswer | None]
    reason: NotRequired[str | None]


class DeskTask(TypedDict):
    objective: str
    facets: dict[str, Any]
    context: list[Said]
    runId: str
    threadId: str
    stepId: str


class AgentMapping(TypedDict):
    capabilityId: str
    displayName: str
    summary: str
    inputFacets: list[str]
    optionalInputFacets: list[str]
    outputFacets: list[str]
    facets: dict[str, JsonObject]
    run: Any  # a function of a Task, or a StateGraph with the Task's keys among its channels
    reworks: NotRequired[list[str]]


def ask(question: Mapping[str, Json]) -> DeskAnswer:
    """Pause until a person has answered.

    The first act of its node, which starts again from its top with the answer.
    """
    return cast(DeskAnswer, interrupt(dict(question)))


def guidance_of(context: Sequence[Said]) -> list[str]:
    """Return what people answered to the reviewer's question in words, in their order."""
    answers = [
        said.get("answer") or {}
        for said in context
        if said["originAgent"] == REVIEWER and said["status"] == "answered"
    ]
    texts = [(answer.get("freeformText") or "").strip() for answer in answers]
    return [text for text in texts if text]
