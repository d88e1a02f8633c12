"""The graph that both servers of the race run: it drafts, asks, and sends or not."""

from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    objective: str
    draft: str
    sent: str


async def draft(state: State) -> State:
    return {"draft": f"Dear all: {state.get('objective')}"}


async def ask(state: State) -> State:
    answer = interrupt({"question": "Send this?", "draft": state.get("draft")})
    return {"sent": f"sent ({answer})" if answer else "not sent"}


async def file(state: State) -> State:
    return {"sent": f"{state.get('sent')}, filed"}


async def make(state: State) -> State:
    return {"sent": f"made {state.get('objective')}"}


def show_made(state: State) -> dict[str, Any]:
    return {"made": state.get("sent")}


def build() -> StateGraph[State, None, State, State]:
    graph = StateGraph(State)
    graph.add_node("draft", draft)
    graph.add_node("ask", ask)
    graph.add_node("file", file)
    graph.add_edge(START, "draft")
    graph.add_edge("draft", "ask")
    graph.add_edge("ask", "file")
    graph.add_edge("file", END)
    return graph


def build_silent() -> StateGraph[State, None, State, State]:
    graph = StateGraph(State)
    graph.add_node("make", make)
    graph.add_edge(START, "make")
    graph.add_edge("make", END)
    return graph


asks: dict[str, Any] = {
    "capabilityId": "bench.asks",
    "displayName": "Asks",
    "outputFacets": ["sent"],
    "run": build().compile(),
}
silent: dict[str, Any] = {
    "capabilityId": "bench.silent",
    "displayName": "Silent",
    "outputFacets": ["made"],
    "output": show_made,
    "run": build_silent().compile(),
}
