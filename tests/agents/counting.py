"""Three agents that ask once each, two of them side by side; every node notes in a log that it
worked.

The log's line of a node is written by the node that finished it, so a node that ran twice shows
twice.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class Input(TypedDict):
    runId: str
    stepId: str
    facets: dict[str, Any]


class State(Input, total=False):
    answer: str
    left: str
    right: str
    joined: str


def note(state: Input, what: str) -> None:
    line = f"{state['runId']} {state['stepId']} {what}\n".encode()
    descriptor = os.open(os.environ["HITL_TEST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line)  # one write: whole, whoever dies
    os.close(descriptor)


def mapping(
    name: str,
    takes: list[str],
    note: Callable[[Input, str], None] = note,
    asking: str = "ask",  # the name of the node that asks
) -> dict[str, Any]:
    def prepare(state: State) -> dict[str, Any]:
        note(state, "prepared")
        return {}

    def ask(state: State) -> dict[str, Any]:
        answer = interrupt(
            {
                "question": f"What about {name}?",
                "kind": "freeform",
                "urgency": "high" if name == "right" else "normal",
            }
        )
        return {"answer": answer.get("freeformText") or answer["reason"]}

    def make(state: State) -> dict[str, Any]:
        answer = state.get("answer", "")
        note(state, f"applied {answer}")
        earlier = [state["facets"][facet] for facet in takes if facet != "objective"]
        return {name: " ".join([*earlier, answer])}

    graph = StateGraph(State, input_schema=Input)
    graph.add_sequence([("prepare", prepare), (asking, ask), ("make", make)])
    graph.add_edge(START, "prepare")
    graph.add_edge("make", END)
    return {
        "capabilityId": f"count.{name}",
        "displayName": f"Counter {name}",
        "inputFacets": takes,
        "outputFacets": [name],
        "facets": {name: {"type": "string"}},
        "run": graph.compile(),
    }


left = mapping("left", ["objective"])
right = mapping("right", ["objective"])
joined = mapping("joined", ["left", "right"])


def log_lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []
