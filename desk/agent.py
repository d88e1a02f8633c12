"""The plug-in format of docs/agents.md, as the desk's specialists keep it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NotRequired, Required, TypedDict, cast

from langgraph.types import interrupt

from hitl_orchestrator.desk.facets import SCHEMAS
from hitl_orchestrator.domain.records import Json, JsonObject

REVIEWER = "announcement.reviewer"


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
    run: Callable[[DeskTask], Any]
    reworks: list[str]


def describe_agent(
    name: str,
    summary: str,
    run: Callable[[DeskTask], Any],
    signature: str,
    reworks: Sequence[str] = (),
) -> AgentMapping:
    """Return an agent's mapping. Its signature names facets: `brief, source? -> drafts`."""
    takes, makes = (part.split(", ") for part in signature.split(" -> "))
    facets = [facet.rstrip("?") for facet in (*takes, *makes)]
    return {
        "capabilityId": f"announcement.{name}",
        "displayName": name.capitalize(),
        "summary": summary,
        "inputFacets": [facet for facet in takes if facet[-1] != "?"],
        "optionalInputFacets": [facet.rstrip("?") for facet in takes if facet[-1] == "?"],
        "outputFacets": makes,
        "facets": {facet: SCHEMAS[facet] for facet in facets if facet in SCHEMAS},
        "run": run,
        "reworks": [*reworks],
    }


def ask(question: Mapping[str, Json]) -> DeskAnswer:
    """Pause until a person has answered; then its function starts again from its top."""
    return cast(DeskAnswer, interrupt(dict(question)))


def words_of(answer: DeskAnswer | None) -> str:
    """Return what was answered in words, in one line."""
    return " ".join(((answer or {}).get("freeformText") or "").split())


def source_of(task: DeskTask) -> str:
    return str(task["facets"].get("source") or "")


def guidance_of(task: DeskTask) -> list[str]:
    """Return what people answered to the reviewer's question in words, in their order."""
    said = [one for one in task["context"] if one["originAgent"] == REVIEWER]
    answered = [words_of(one.get("answer")) for one in said if one["status"] == "answered"]
    return [*filter(None, answered)]
