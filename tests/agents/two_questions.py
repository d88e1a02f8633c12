"""Two interrupts in one node, one after the other, behind a node whose work is done once."""

from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    objective: str
    facets: dict[str, Any]
    research: str
    letter: dict[str, Any]


def note(state: State, line: str) -> None:
    if log := state.get("facets", {}).get("log"):
        with Path(log).open("a") as lines:
            lines.write(line + "\n")


def research(state: State) -> State:
    note(state, "research")
    return {"research": f"about {state.get('objective')}"}


def write(state: State) -> State:
    tone = interrupt(
        {
            "question": "Which tone?",
            "kind": "choice",
            "options": [{"id": "warm", "label": "Warm"}, {"id": "dry", "label": "Dry"}],
        }
    )
    words = interrupt({"question": "How many words?", "kind": "freeform"})
    note(state, "write")
    return {
        "letter": {
            "tone": tone.get("selectedOptionId"),
            "words": words.get("freeformText"),
            "research": state.get("research"),
        }
    }


graph = StateGraph(State)
graph.add_node("research", research)
graph.add_node("write", write)
graph.add_edge(START, "research")
graph.add_edge("research", "write")
graph.add_edge("write", END)

agent: dict[str, Any] = {
    "capabilityId": "letters.writer",
    "displayName": "Letter writer",
    "inputFacets": ["objective"],
    "optionalInputFacets": ["log"],
    "outputFacets": ["letter"],
    "facets": {"letter": {"type": "object", "required": ["tone", "words"]}},
    "run": graph.compile(),
}
