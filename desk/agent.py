"""The plug-in format of docs/agents.md, as the desk's specialists keep it."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Required, TypedDict, cast

from langgraph.types import interrupt

from hitl_orchestrator.desk.facets import SCHEMAS
from hitl_orchestrator.domain.records import Json, JsonObject

AgentMapping = dict[str, Any]


class DeskAnswer(TypedDict, total=False):
    """What `interrupt()` returns: an answer, or a denial by a guard or a person with its reason.

    In the context of a run `originAgent` says who asked, and what was answered is in `answer`.
    """

    status: Required[Literal["answered", "denied"]]
    reason: str
    approved: bool | None
    selectedOptionId: str | None
    freeformText: str | None
    editedArguments: JsonObject | None
    responder: JsonObject | None
    originAgent: str
    answer: "DeskAnswer | None"


class DeskTask(TypedDict):
    objective: str
    facets: dict[str, Any]
    context: list[DeskAnswer]
    runId: str
    threadId: str
    stepId: str


def describe_agent(
    name: str, run: Callable[[DeskTask], Any], signature: str, summary: str
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
    }


def ask(question: Mapping[str, Json]) -> DeskAnswer:
    """Pause until a person has answered; then its function starts again from its top."""
    return cast(DeskAnswer, interrupt(dict(question)))


def words_of(answer: DeskAnswer | None) -> str:
    """Return what was answered in words, in one line."""
    return " ".join(((answer or {}).get("freeformText") or "").split())


def source_of(task: DeskTask) -> str:
    return str(task["facets"].get("source") or "")
