"""Two agents that ask many questions one after another."""

from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

QUESTIONS = 120


class State(TypedDict, total=False):
    left: int
    asked: str


def count_down(state: State) -> State:
    return {"left": state.get("left", QUESTIONS)}


def ask(state: State) -> State:
    left = state.get("left", 0)
    answer = interrupt({"question": f"What of {left}?", "kind": "approval"})
    return {"left": left - 1, "asked": str(answer)}


def go_on(state: State) -> str:
    return "ask" if state.get("left") else END


def build() -> StateGraph[State, None, State, State]:
    graph = StateGraph(State)
    graph.add_node("count_down", count_down)
    graph.add_node("ask", ask)
    graph.add_edge(START, "count_down")
    graph.add_edge("count_down", "ask")
    graph.add_conditional_edges("ask", go_on, ["ask", END])
    return graph


def ask_in_a_loop(task: dict[str, Any]) -> dict[str, Any]:
    for left in range(QUESTIONS):
        interrupt({"question": f"What of {left}?", "kind": "approval"})
    return {"looped": "done"}


by_graph: dict[str, Any] = {
    "capabilityId": "bench.graph",
    "displayName": "Asks by a graph",
    "outputFacets": ["asked"],
    "run": build().compile(),
}
by_function: dict[str, Any] = {
    "capabilityId": "bench.function",
    "displayName": "Asks by a function",
    "outputFacets": ["looped"],
    "run": ask_in_a_loop,
}
