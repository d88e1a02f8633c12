"""A graph in a graph in a graph; the innermost asks between two pieces of work."""

from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    facets: dict[str, Any]
    plan: str
    verdict: str


def note(state: State, line: str) -> None:
    if log := state.get("facets", {}).get("log"):
        with Path(log).open("a") as lines:
            lines.write(line + "\n")


def prepare(state: State) -> State:
    note(state, "prepare")
    return {"plan": "the plan"}


def ask(state: State) -> State:
    answer = interrupt({"question": f"Is {state.get('plan')} good?", "kind": "approval"})
    return {"verdict": "yes" if answer["status"] == "answered" else f"no: {answer['reason']}"}


def finish(state: State) -> State:
    note(state, "finish")
    return {"verdict": state.get("verdict", "") + "!"}


innermost = StateGraph(State)
innermost.add_node("prepare", prepare)
innermost.add_node("ask", ask)
innermost.add_node("finish", finish)
innermost.add_edge(START, "prepare")
innermost.add_edge("prepare", "ask")
innermost.add_edge("ask", "finish")
innermost.add_edge("finish", END)

middle = StateGraph(State)
middle.add_node("innermost", innermost.compile())
middle.add_edge(START, "innermost")
middle.add_edge("innermost", END)

outermost = StateGraph(State)
outermost.add_node("prepare", prepare)
outermost.add_node("middle", middle.compile())
outermost.add_edge(START, "prepare")
outermost.add_edge("prepare", "middle")
outermost.add_edge("middle", END)

agent: dict[str, Any] = {
    "capabilityId": "plans.judge",
    "displayName": "Judge of plans",
    "inputFacets": ["objective"],
    "optionalInputFacets": ["log"],
    "outputFacets": ["verdict"],
    "facets": {"verdict": {"type": "string"}},
    "run": outermost.compile(checkpointer=InMemorySaver()),  # it has a memory of its own elsewhere
}
