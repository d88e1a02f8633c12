"""Three nodes that ask at the same time, one of them twice; a fourth that does not ask. Each works
once.
"""

import operator
from pathlib import Path
from typing import Annotated, Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    facets: dict[str, Any]
    said: Annotated[list[str], operator.add]
    survey: dict[str, Any]


def note(state: State, line: str) -> None:
    if log := state.get("facets", {}).get("log"):
        with Path(log).open("a") as lines:
            lines.write(line + "\n")


def asks(*questions: str) -> Any:
    def node(state: State) -> State:
        answers = [interrupt({"question": each, "kind": "freeform"}) for each in questions]
        note(state, questions[0])
        return {
            "said": [
                f"{q} {a.get('freeformText') or a.get('reason')}"
                for q, a in zip(questions, answers, strict=True)
            ]
        }

    return node


def counts(state: State) -> State:
    note(state, "counts")
    return {"said": ["counted"]}


def sums_up(state: State) -> State:
    note(state, "sums up")
    return {"survey": {"said": sorted(state.get("said", []))}}


graph = StateGraph(State)
asking = {"where": asks("Where?"), "when": asks("When?"), "who": asks("Who?", "And who else?")}
for name, node in {**asking, "counts": counts}.items():
    graph.add_node(name, node)
    graph.add_edge(START, name)
graph.add_node("sums up", sums_up)
graph.add_edge([*asking, "counts"], "sums up")
graph.add_edge("sums up", END)

agent: dict[str, Any] = {
    "capabilityId": "surveys.three",
    "displayName": "Surveyor",
    "inputFacets": ["objective"],
    "optionalInputFacets": ["log"],
    "outputFacets": ["survey"],
    "run": graph,  # not even compiled
}
