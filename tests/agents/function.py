"""The contract's example, an asynchronous function; and a synchronous one whose finished task is
not done again.
"""

from pathlib import Path
from typing import Any

from langgraph.func import task
from langgraph.types import interrupt


async def run(task: dict[str, Any]) -> dict[str, Any]:
    answer = interrupt(
        {
            "question": "Which audience?",
            "kind": "choice",
            "options": [{"id": "dev", "label": "Developers"}, {"id": "ops", "label": "Operators"}],
        }
    )
    if answer["status"] == "denied":
        return {"brief": {"audience": "general", "why": answer["reason"]}}
    return {"brief": {"audience": answer["selectedOptionId"]}}


agent: dict[str, Any] = {
    "capabilityId": "briefing.audience",
    "displayName": "Audience finder",
    "summary": "Finds whom to address.",
    "inputFacets": ["objective"],
    "outputFacets": ["brief"],
    "facets": {
        "brief": {
            "type": "object",
            "required": ["audience"],
            "properties": {"audience": {"type": "string"}},
        }
    },
    "run": run,
}


@task
def research(log: str | None) -> str:
    if log:
        with Path(log).open("a") as lines:
            lines.write("research\n")
    return "people"


def blocking(task: dict[str, Any]) -> dict[str, Any]:
    found = research(task["facets"].get("log")).result()
    answer = interrupt({"question": f"Shall we write for {found}?", "kind": "freeform"})
    return {
        "brief": {"audience": answer.get("freeformText") or answer["reason"]},
        "warnings": ["a guess"],
        "draft": "unasked for",
    }


researcher = {
    **agent,
    "capabilityId": "briefing.research",
    "optionalInputFacets": ["log"],
    "run": blocking,
}
